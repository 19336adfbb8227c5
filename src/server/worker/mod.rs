//! Sources that may block are asked by workers: processes of this executable with sources of their
//! own. Who asked a source that hangs waits there, up to his deadline, and nobody else does.
//!
//! A client's connection, one request and a deadline go to a worker in one message; it answers the
//! client and says so. The connection's row it keeps meanwhile. This is what the two sides tell
//! each other; [`pool`] is the loop's side, [`main`] the worker's.

pub mod main;
pub mod pool;

use super::conversation::{End, Protocol};
use crate::sys::access::Peer;
use nssproto::entry::{Gid, Uid};
use std::ops::Range;

/// Longest request that is handed to a worker.
pub const REQUEST_MAX: usize = 2048;

/// Numbers in front of a request, in the machine's own byte order: the halves of the deadline, the
/// upper one first, the place of the protocol, the range of sources, whether it continues, whether it
/// repeats, whether others that do follow, whether uid and gid are known, and these.
const HEAD: usize = 11 * size_of::<u32>();

/// A whole message to a worker.
const MESSAGE: usize = HEAD + REQUEST_MAX;

/// A request for a worker.
pub struct Job<'a> {
    /// What is spoken.
    pub protocol: Protocol,
    /// The backends that are asked, by their places in the switch.
    pub sources: Range<usize>,
    /// On whose behalf.
    pub peer: Option<Peer>,
    /// Until when the first byte of a reply is due at the latest, in milliseconds of the clock.
    pub deadline: u64,
    /// With the conversation of the request before, which the worker has kept.
    pub continues: bool,
    /// It is the request of the job before, and was waiting when that was given: one lookup does for
    /// both.
    pub repeats: bool,
    /// One that repeats it follows.
    pub followed: bool,
    /// One request, whole.
    pub request: &'a [u8],
}

impl<'a> Job<'a> {
    /// What goes in front of the request.
    fn head(&self) -> [[u8; 4]; HEAD / 4] {
        let protocol = self.protocol as u32;
        let (uid, gid) = self.peer.map_or((0, 0), |peer| (peer.uid.0, peer.gid.0));
        let (high, low) = ((self.deadline >> 32) as u32, self.deadline as u32);
        let known = self.peer.is_some().into();
        let [first, end] = [self.sources.start, self.sources.end].map(|place| place as u32);
        let [continues, repeats, followed] =
            [self.continues, self.repeats, self.followed].map(u32::from);
        [high, low, protocol, first, end, continues, repeats, followed, known, uid, gid]
            .map(u32::to_ne_bytes)
    }

    /// The same read from a message; `None`: it is none of ours.
    fn read(message: &'a [u8]) -> Option<Self> {
        let (head, request) = message.split_at_checked(HEAD)?;
        let mut numbers = [0; HEAD / size_of::<u32>()];
        for (number, bytes) in numbers.iter_mut().zip(head.chunks_exact(size_of::<u32>())) {
            *number = u32::from_ne_bytes(*bytes.first_chunk()?);
        }
        let [high, low, protocol, first, end, continues, repeats, followed, known, uid, gid] =
            numbers;
        Some(Job {
            protocol: *Protocol::ALL.get(protocol as usize)?,
            sources: first as usize..end as usize,
            peer: (known == 1).then_some(Peer { uid: Uid(uid), gid: Gid(gid) }),
            deadline: u64::from(high) << 32 | u64::from(low),
            continues: continues == 1,
            repeats: repeats == 1,
            followed: followed == 1,
            request,
        })
    }
}

/// What a worker says, in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The first piece of a longer reply is on its way.
    Begun,
    /// The request was answered, and the connection goes on.
    Answered,
    /// What was found for the one before does not do for this one: it has to be asked by itself.
    Back,
    /// The connection ends.
    Ended(End),
}

impl Word {
    const BEGUN: u8 = 0xff;
    const ANSWERED: u8 = 0xfe;
    const BACK: u8 = 0xfd;

    fn byte(self) -> u8 {
        match self {
            Word::Begun => Word::BEGUN,
            Word::Answered => Word::ANSWERED,
            Word::Back => Word::BACK,
            Word::Ended(end) => end as u8,
        }
    }

    fn of(byte: u8) -> Self {
        match byte {
            Word::BEGUN => Word::Begun,
            Word::ANSWERED => Word::Answered,
            Word::BACK => Word::Back,
            at => Word::Ended(End::ALL.get(usize::from(at)).copied().unwrap_or(End::Failed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_is_understood() {
        let words =
            End::ALL.map(Word::Ended).into_iter().chain([Word::Begun, Word::Answered, Word::Back]);
        words.for_each(|word| assert_eq!(Word::of(word.byte()), word));
        for peer in [None, Some(Peer { uid: Uid(7), gid: Gid(u32::MAX - 1) })] {
            for (&protocol, continues) in Protocol::ALL.iter().zip([true, false]) {
                let deadline = 0x1_2345_6789;
                let (sources, request) = (1..7, b"request");
                let (repeats, followed) = (!continues, continues);
                let job = Job {
                    protocol,
                    sources,
                    peer,
                    deadline,
                    continues,
                    repeats,
                    followed,
                    request,
                };
                let message = [job.head().as_flattened(), request].concat();
                let Some(read) = Job::read(&message) else { panic!("a message") };
                assert_eq!((read.protocol, read.peer), (protocol, peer));
                assert_eq!((read.deadline, read.continues), (deadline, continues));
                assert_eq!((read.repeats, read.followed), (repeats, followed));
                assert_eq!((read.sources, read.request), (1..7, &request[..]));
            }
        }
        assert!(Job::read(&[0xff; HEAD]).is_none() && Job::read(b"").is_none());
    }
}
