//! The second pass over a line: its strings.

use super::stream::{FieldKind, LineSummary, Walk};
use crate::Malformed;
use crate::bytes::Fnv1a;
use crate::entry::Db;
use crate::nsss::Head;

/// Second pass over a measured line: its strings, each closed by NUL.
#[derive(Clone, Copy, Debug)]
pub struct LineCopier {
    walk: Walk,
    any_member: bool,
    ended: bool,
    taken: u64,
    given: u64,
    hash: Fnv1a,
    measured: LineSummary,
}

impl LineCopier {
    /// A copier at the start of the line of `db` that was measured.
    pub fn new(db: Db, measured: LineSummary) -> Self {
        LineCopier {
            walk: Walk::new(db),
            any_member: false,
            ended: false,
            taken: 0,
            given: 0,
            hash: Fnv1a::START,
            measured,
        }
    }

    /// A copier at the start of the same line.
    pub fn again(&self) -> Self {
        LineCopier::new(self.walk.db, self.measured)
    }

    /// The head of the record.
    pub fn head(&self) -> &Head {
        &self.measured.head
    }

    /// Bytes of the line that are still to be fed.
    pub fn wants(&self) -> u64 {
        self.measured.len - self.taken
    }

    /// Bytes of the line that were fed.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the whole area was given out.
    pub fn done(&self) -> bool {
        self.ended
    }

    /// Takes bytes of the line from the front of `input` and puts bytes of the area to the
    /// front of `out`; how many of each. The area's last byte is only given out once the whole
    /// line was seen to be the one that was measured; if it is another one, the error says so
    /// and what is missing must never be sent.
    pub fn feed(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), Malformed> {
        let area = u64::from(self.measured.head.area_len());
        let wants = usize::try_from(self.wants()).unwrap_or(usize::MAX).min(input.len());
        let input = input.get(..wants).unwrap_or_default();
        let mut rest = input.iter();
        let mut room = out.iter_mut();
        while room.len() > 0 {
            let Some(byte) = rest.next() else { break };
            if let Some(byte) = self.push(*byte) {
                self.given += 1;
                // The last byte is held back until the line has been verified.
                if self.given < area {
                    if let Some(place) = room.next() {
                        *place = byte;
                    }
                }
            }
        }
        let taken = input.len() - rest.len();
        self.hash.feed(input.get(..taken).unwrap_or_default());
        self.taken += taken as u64;
        if self.wants() == 0 && !self.ended {
            // The end of the line closes a string, where there is one.
            let closes = self.any_member || self.walk.db == Db::Passwd;
            if self.hash != self.measured.hash || self.given + u64::from(closes) != area {
                return Err(Malformed("file changed while its record was being sent"));
            }
            // Without room for the last byte it is taken up again in the next call.
            if let Some(place) = room.next() {
                *place = 0;
                self.ended = true;
            }
        }
        let left = room.len();
        Ok((taken, out.len() - left))
    }

    /// The byte of the area that `byte` of the line becomes, if any.
    fn push(&mut self, byte: u8) -> Option<u8> {
        match self.walk.step(byte) {
            (FieldKind::Text, closes) => Some(if closes { 0 } else { byte }),
            (FieldKind::Members, _) => {
                self.any_member = true;
                Some(if byte == b',' { 0 } else { byte })
            }
            (FieldKind::Number | FieldKind::Over, _) => None,
        }
    }
}
