//! A user's groups, which both protocols send in pieces of any size.

use super::Output;
use crate::backend::gids::{Gids, HASH_START, hash};

/// How far a list of groups has been sent.
pub struct Groups {
    sent: u64,
    total: u64,
    hash: u64,
}

impl Groups {
    /// A list that is not begun.
    pub const NONE: Groups = Groups { sent: 0, total: 0, hash: HASH_START };

    /// How many were sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Puts the next gids, as many as there is room for and `max` in all; whether they were the
    /// last. `None`: the list is not what it was, or has no more where it should.
    pub fn send(
        &mut self,
        gids: &Gids,
        max: u64,
        to_bytes: fn(u32) -> [u8; 4],
        out: &mut Output,
    ) -> Option<bool> {
        let total = gids.total();
        let (fresh, passed) = gids.after_skipped();
        if self.sent > 0 && (passed != self.hash || total != self.total) {
            return None;
        }
        self.total = total;
        let left = max.min(total).saturating_sub(self.sent);
        let count = (out.room().len() / 4).min(usize::try_from(left).unwrap_or(usize::MAX));
        let piece = fresh.get(..count.min(fresh.len())).unwrap_or_default();
        piece.iter().for_each(|gid| out.put(&to_bytes(*gid)));
        self.hash = hash(self.hash, piece);
        self.sent += piece.len() as u64;
        let ended = piece.len() as u64 == left;
        (ended || !piece.is_empty()).then_some(ended)
    }
}
