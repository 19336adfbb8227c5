//! The second pass over a line: its strings.

use super::Rules;
use super::stream::{FieldKind, LineSummary, Walk};
use crate::Malformed;
use crate::bytes::Fnv1a;
use crate::entry::Db;
use crate::nsss::Head;

/// Second pass over a measured line: its strings, each closed by NUL.
#[derive(Clone, Copy, Debug)]
pub struct LineCopier {
    walk: Walk,
    ended: bool,
    taken: u64,
    /// Bytes of the area that the line has given, and those that were put out.
    made: u32,
    given: u32,
    hash: Fnv1a,
    measured: LineSummary,
}

impl LineCopier {
    /// A copier at the start of the line of `db` that was measured.
    pub fn new(db: Db, measured: LineSummary) -> Self {
        LineCopier {
            walk: Walk::new(measured.rules, db),
            ended: false,
            taken: 0,
            made: 0,
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
        let area = self.measured.head.area_len();
        let wants = usize::try_from(self.wants()).unwrap_or(usize::MAX).min(input.len());
        let input = input.get(..wants).unwrap_or_default();
        let mut rest = input.iter();
        let mut room = out.iter_mut();
        while room.len() > 0 {
            let Some(byte) = rest.next() else { break };
            if let Some(byte) = self.push(*byte) {
                self.made += 1;
                // The last byte is held back until the line has been verified.
                if self.made < area {
                    if let Some(place) = room.next() {
                        *place = byte;
                        self.given += 1;
                    }
                }
            }
        }
        let taken = input.len() - rest.len();
        self.hash.feed(input.get(..taken).unwrap_or_default());
        self.taken += taken as u64;
        if self.wants() == 0 && !self.ended {
            // The end of the line closes the strings that are open or missing.
            let open = self.walk.open_strings();
            if self.hash != self.measured.hash || self.made + open != area {
                return Err(Malformed("file changed while its record was being sent"));
            }
            // Those that have no room are taken up again in the next call. All areas end with NUL.
            while self.given < area {
                let Some(place) = room.next() else { break };
                *place = 0;
                self.given += 1;
            }
            self.ended = self.given == area;
        }
        let left = room.len();
        Ok((taken, out.len() - left))
    }

    /// The byte of the area that `byte` of the line becomes, if any.
    fn push(&mut self, byte: u8) -> Option<u8> {
        let in_member = self.walk.in_member;
        match self.walk.step(byte) {
            // Empty members are none for glibc.
            (FieldKind::Members, true) => {
                (in_member || self.walk.rules == Rules::Nsss).then_some(0)
            }
            (FieldKind::Text, true) => Some(0),
            (FieldKind::Text | FieldKind::Members, false) => Some(byte),
            (FieldKind::Number | FieldKind::Over, _) => None,
        }
    }
}
