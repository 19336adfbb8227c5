//! A record that is larger than the buffer: measured in one answer, it is asked for again, and
//! passes in pieces. The last byte goes out only if both answers were the same.

use super::connection::{Connection, Query, WaitLimit};
use crate::sys::clock::{NEVER, millis};
use nssproto::nslcd::ResultCode;
use nssproto::nslcd::stream::{EntryReader, EntrySummary};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

/// A record that is asked for again, to be sent in pieces.
pub struct SecondAnswer {
    question: Query,
    measured: EntrySummary,
    passage: EntryReader,
    /// Bytes of the area that were given out.
    given: u32,
    /// Milliseconds that the exchange may still take; [`NEVER`]: no limit.
    left: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not asked again yet.
    New,
    Passing,
    /// The second answer was the first one: the last byte may go out.
    Same,
}

impl SecondAnswer {
    /// The record that was measured so, and how to ask for it again; `left`: milliseconds for that.
    pub fn new(question: Query, measured: EntrySummary, left: u64) -> Self {
        let passage = EntryReader::new(question.db());
        SecondAnswer { question, measured, passage, given: 0, left, stage: Stage::New }
    }

    /// Bytes for `out`, at least one where it has room, and whether they are the last. `limit`
    /// holds besides the milliseconds that are left.
    pub fn pass(
        &mut self,
        connection: &mut Connection,
        address: &SocketAddrUnix,
        out: &mut [u8],
        limit: WaitLimit,
    ) -> Result<(usize, bool), Errno> {
        let start = millis();
        let until = start.saturating_add(self.left).min(limit.until);
        let wait = WaitLimit { until, ..limit };
        let piece = self.piece(connection, address, out, wait);
        // The client's time is not nslcd's: only that counts which was spent here.
        if self.left != NEVER {
            self.left = self.left.saturating_sub(millis() - start);
        }
        piece
    }

    fn piece(
        &mut self,
        connection: &mut Connection,
        address: &SocketAddrUnix,
        out: &mut [u8],
        wait: WaitLimit,
    ) -> Result<(usize, bool), Errno> {
        if self.stage == Stage::New {
            connection.ask(address, &self.question, wait)?;
            if connection.mark(wait)? != ResultCode::Begin {
                return Err(Errno::PROTO);
            }
            self.stage = Stage::Passing;
        }
        let mut put = 0;
        while self.stage == Stage::Passing {
            // Never more than was announced, and its last byte only if all was as before.
            let left = self.measured.head.area_len() - 1 - self.given;
            let end = out.len().min(put + left as usize);
            let room = out.get_mut(put..end).unwrap_or_default();
            let len = connection.feed(&mut self.passage, room)?;
            put += len;
            self.given += len as u32;
            match self.passage.summary() {
                Some(measured) if measured == self.measured => {
                    if connection.mark(wait)? != ResultCode::End {
                        return Err(Errno::PROTO);
                    }
                    self.stage = Stage::Same;
                }
                Some(_) => return Err(Errno::PROTO),
                None if connection.is_empty() && put > 0 => return Ok((put, false)),
                None if connection.is_empty() => connection.receive(wait)?,
                // There is more to put than room.
                None if end < out.len() => return Err(Errno::PROTO),
                None => return Ok((put, false)),
            }
        }
        match out.get_mut(put) {
            Some(last) => {
                *last = 0;
                Ok((put + 1, true))
            }
            None => Ok((put, false)),
        }
    }
}
