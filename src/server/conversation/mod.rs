//! What an event loop, or whoever else moves bytes, needs of a protocol: bytes in, bytes out,
//! and what a connection waits for.

mod groups;
#[cfg(feature = "nscd")]
pub mod nscd;
pub mod nsss;

use crate::backend::switch::Switch;
use crate::limits::REPLY_PIECE;
use crate::sys::access::Rights;

/// What there is to send. One is enough for all connections: it is empty whenever one begins.
pub struct Output {
    /// All of them are there from the start.
    bytes: Vec<u8>,
    len: usize,
}

impl Output {
    /// Nothing to send.
    pub fn new() -> Self {
        Output { bytes: vec![0; REPLY_PIECE], len: 0 }
    }

    /// What is to be sent.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// All of it was sent, or put elsewhere.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Where more can be put. (Inlined, these three would be at fifty places.)
    #[inline(never)]
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    /// So many bytes were put there.
    #[inline(never)]
    pub fn add(&mut self, len: usize) {
        self.len = (self.len + len).min(REPLY_PIECE);
    }

    /// These bytes, where there is room for all of them.
    #[inline(never)]
    pub fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.room().get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// One byte more.
    pub fn push(&mut self, byte: u8) {
        self.put(&[byte]);
    }
}

/// What a connection needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// More bytes of a request; see [`Conversation::room`].
    Input,
    /// Send the output, then go on.
    Flush,
    /// Its turn is over: go on when others had theirs.
    Turn,
    /// Only a source that may block knows more: whoever may wait goes on from here.
    Elsewhere,
    /// Send the output, then close.
    Close(End),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered, and the protocol has one question a connection.
    Answered,
    /// It sent what is no request.
    Protocol,
    /// It asked for what is not given; no reply says so.
    Refused,
    /// A source failed, and no reply says so.
    Failed,
    /// A record could not be sent to its end.
    Broken,
}

impl End {
    /// All of them: one process tells another by their places.
    pub const ALL: [End; 5] =
        [End::Answered, End::Protocol, End::Refused, End::Failed, End::Broken];
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Bytes of its client.
    Input,
    /// Its client to take what was sent.
    Output,
    /// Its turn, or an answer.
    Turn,
}

/// One connection's side of a protocol.
pub trait Conversation {
    /// A connection on behalf of `rights`; `number` tells it from others of the same switch.
    fn new(rights: Rights, number: u32, switch: &Switch) -> Self
    where
        Self: Sized;

    /// Where to put bytes that were read.
    fn room(&mut self) -> &mut [u8];

    /// So many bytes were put there.
    fn filled(&mut self, len: usize);

    /// The bytes at hand, for whoever begins anew with them elsewhere.
    #[cfg(feature = "nscd")]
    fn request(&self) -> &[u8];

    /// Whether nothing is to be done until more bytes come.
    fn waits_for_input(&self) -> bool;

    /// Whether its client may have sent what was not read, so that it has to be read before the
    /// connection is closed: else the client meets an error instead of the end.
    fn drains(&self) -> bool;

    /// What is left of the turn that [`Conversation::go_on`] was given.
    fn turn_left(&self) -> u64;

    /// Until when it may wait for this, in milliseconds of the clock; `None`: for ever.
    /// `millis` is what the server was told to allow.
    fn patience(&self, wait: Wait, millis: u32) -> Option<u64>;

    /// Goes on as far as it can; `out` is empty. `turn` is how many bytes of files it may read.
    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, turn: u64) -> Need;

    /// Gives back what it holds of the switch.
    fn leave(&self, switch: &mut Switch);
}
