//! What an event loop, or whoever else moves bytes, needs of a protocol: bytes in, bytes out,
//! and what a connection waits for.

mod groups;
mod hidden;

use crate::backend::switch::{ClientState, Switch};
use crate::limits::{LIST_PIECE, REPLY_PIECE, SLOW_REPLY_MILLIS};
use crate::sys::untouched;
#[cfg(feature = "share")]
use nssproto::entry::Db;

/// A line adds a protocol: how its conversations begin, and its row of the table.
macro_rules! protocols {
    ($($(#[$gate:meta])* $protocol:ident, $name:literal => $module:ident::$conversation:ident::$begin:ident;)*) => {
        /// What is spoken at a socket.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Protocol {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $(#[$gate])*
                $protocol,
            )*
        }

        impl Protocol {
            /// All of them: one process tells another by their places.
            pub const ALL: &[Protocol] = &[$($(#[$gate])* Protocol::$protocol,)*];

            /// What a supervisor calls a socket where it is spoken (LISTEN_FDNAMES).
            pub fn name(self) -> &'static str {
                match self {
                    $($(#[$gate])* Protocol::$protocol => $name,)*
                }
            }

            /// Room for so many conversations. It is memory once they are begun.
            pub fn conversations(self, max: usize) -> Box<dyn Conversations> {
                match self {
                    $(
                        $(#[$gate])*
                        Protocol::$protocol => Box::new(Rows {
                            rows: Vec::with_capacity(max),
                            begin: $module::$conversation::$begin,
                        }),
                    )*
                }
            }
        }
    };
}

#[cfg(feature = "nscd")]
pub mod nscd;
pub mod nsss;
#[cfg(feature = "userdb")]
pub mod userdb;

protocols! {
    Nsss, "nsss" => nsss::Nsss::new;
    #[cfg(feature = "nscd")]
    Nscd, "nscd" => nscd::Nscd::new;
    #[cfg(feature = "userdb")]
    Userdb, "userdb" => userdb::Userdb::new;
    #[cfg(feature = "userdb")]
    Multiplexer, "multiplexer" => userdb::Userdb::multiplexer;
}

/// What there is to send. One is enough for all connections: it is empty whenever one begins.
pub struct Output {
    /// All of them are there from the start, and memory once they are used.
    bytes: &'static mut [u8],
    len: usize,
    /// As many may be put there.
    most: usize,
}

impl Default for Output {
    /// Nothing to send.
    fn default() -> Self {
        Output { bytes: untouched(LIST_PIECE), len: 0, most: REPLY_PIECE }
    }
}

impl Output {
    /// From now on a piece is one of a list, for somebody who takes so much, or the usual one.
    pub fn set_large(&mut self, large: bool) {
        self.most = if large { LIST_PIECE } else { REPLY_PIECE };
    }

    /// What is to be sent.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// All of it was sent, or put elsewhere.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Where more can be put.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.len..self.most).unwrap_or_default()
    }

    /// So many bytes were put there.
    pub fn add(&mut self, len: usize) {
        self.len = (self.len + len).min(self.most);
    }

    /// These bytes, where there is room for all of them.
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

/// Pieces of a record count as work, as searching does.
fn spend(client: &mut ClientState, len: usize) {
    client.budget = client.budget.saturating_sub(len as u64 + 1);
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
    /// Only a source that may block knows more: a worker goes on with
    /// [`Conversation::request`].
    Worker(Which),
    /// Send the output, then close.
    Close(End),
    /// The server's companion has to do something first: then send the output, if it is willing, with
    /// what it lends, and close.
    #[cfg(feature = "share")]
    Errand(Errand),
}

/// What a conversation wants of the server's [companion](crate::server::companion::Companion).
#[cfg(feature = "share")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// A descriptor of what it keeps of a database.
    Lend(Db),
    /// That it believes nothing of what it keeps before it has looked again.
    Forget,
}

/// Which worker it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Any.
    Any,
    /// One that has nobody, and keeps this conversation until [`Conversation::keeps_worker`] says
    /// otherwise.
    New,
    /// The one that keeps this conversation.
    Kept,
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
    /// Root asked that the server end.
    Shutdown,
}

impl End {
    /// All of them: one process tells another by their places.
    pub const ALL: [End; 6] =
        [End::Answered, End::Protocol, End::Refused, End::Failed, End::Broken, End::Shutdown];
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Bytes of its client.
    Input,
    /// Its client to take what was sent.
    Output,
    /// Its turn.
    Turn,
    /// A worker that is free.
    Worker,
    /// What a worker has to say.
    Source,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Milliseconds for a client to finish a request or to take a piece of a reply.
    pub client_millis: u32,
    /// Milliseconds until a source begins its answer.
    pub lookup_millis: u32,
}

/// One connection's side of a protocol.
pub trait Conversation {
    /// A connection of a client of the switch, on behalf of his rights.
    fn new(client: ClientState) -> Self
    where
        Self: Sized;

    /// Where to put bytes that were read.
    fn room(&mut self) -> &mut [u8];

    /// So many bytes were put there.
    fn filled(&mut self, len: usize);

    /// Whether nothing is to be done until more bytes come.
    fn waits_for_input(&self) -> bool;

    /// Whether its request is complete, where it has one.
    fn has_asked(&self) -> bool {
        true
    }

    /// What is left of the budget that [`Conversation::go_on`] was given.
    fn budget_left(&self) -> u64;

    /// Until when it may wait for this, in milliseconds of the clock;
    /// [`NEVER`](crate::sys::clock::NEVER): for ever.
    fn deadline(&self, wait: Wait, patience: Patience) -> u64;

    /// Goes on as far as it can; `out` is empty. `budget` is how many bytes of files it may read.
    fn go_on(&mut self, switch: &mut Switch, out: &mut Output, budget: u64) -> Need;

    /// Gives back what it holds of the switch.
    fn leave(&self, switch: &mut Switch);

    /// Closes files of enumerations that its client has not gone on with for a while; whether others
    /// are open.
    fn close_idle(&mut self) -> bool {
        false
    }

    /// Whether its client may have sent what was not read, so that it has to be read before the
    /// connection is closed: else the client meets an error instead of the end.
    fn drains(&self) -> bool {
        false
    }

    /// After [`Need::Worker`]: the request that a worker is to answer, which begins anew with it.
    fn request(&self) -> &[u8] {
        &[]
    }

    /// Whether clients who ask the same may be told what one lookup has found, each as far as he may
    /// see it.
    fn shares(&self) -> bool {
        false
    }

    /// Whether so much is to come that large pieces are of use.
    fn is_long(&self) -> bool {
        false
    }

    /// Milliseconds that a worker may take for the rest of a reply that it has begun.
    fn reply_millis(&self) -> u32 {
        SLOW_REPLY_MILLIS
    }

    /// A worker has answered that request, and the connection goes on here.
    fn answered(&mut self) {}

    /// No worker could: instead of [`Conversation::go_on`], `out` is empty.
    fn unanswered(&mut self, _out: &mut Output) -> Need {
        Need::Close(End::Failed)
    }

    /// Whether the worker that answered is kept for what is asked next.
    fn keeps_worker(&self) -> bool {
        false
    }
}

/// Conversations of one protocol, by numbers from 0. Only the memory differs: who moves bytes is the
/// same code for each protocol.
pub trait Conversations {
    /// Begins one, in the place of one that has ended or behind the last.
    fn begin(&mut self, at: usize, client: ClientState);

    /// That of a number; `None`: there is none.
    fn at(&mut self, at: usize) -> Option<&mut dyn Conversation>;

    /// Ends one.
    fn end(&mut self, at: usize);
}

/// As many rows as there may be conversations, and how one begins.
struct Rows<C> {
    rows: Vec<Option<C>>,
    begin: fn(ClientState) -> C,
}

impl<C: Conversation + 'static> Conversations for Rows<C> {
    fn begin(&mut self, at: usize, client: ClientState) {
        if at == self.rows.len() {
            // As many as there may be, so there is room.
            self.rows.push(None);
        }
        if let Some(place @ None) = self.rows.get_mut(at) {
            *place = Some((self.begin)(client));
        }
    }

    fn at(&mut self, at: usize) -> Option<&mut dyn Conversation> {
        Some(self.rows.get_mut(at)?.as_mut()?)
    }

    fn end(&mut self, at: usize) {
        if let Some(place) = self.rows.get_mut(at) {
            // Not taken: that would move two kilobytes first.
            *place = None;
        }
    }
}
