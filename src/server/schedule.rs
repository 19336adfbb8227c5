//! Who is next: pure, so that fairness is tested without a socket.
//!
//! Rows stand for sessions: see [`super::session::Sessions`].

use nssproto::entry::Uid;
use std::collections::VecDeque;

/// Most clients that are accepted at a time where others have something to do: about ten
/// milliseconds' work.
const ACCEPTED_AT_A_TIME: u32 = 512;

/// Rows that wait, each once.
pub struct Queue {
    /// Has room for all from the start.
    rows: VecDeque<usize>,
}

impl Queue {
    /// Room for `max` rows.
    pub fn new(max: usize) -> Self {
        Queue { rows: VecDeque::with_capacity(max) }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row that has waited longest.
    pub fn first(&self) -> Option<usize> {
        self.rows.front().copied()
    }

    /// Lets a row wait that does not yet.
    pub fn push(&mut self, row: usize) {
        self.rows.push_back(row);
    }

    /// Takes the row out that has waited longest.
    pub fn pop(&mut self) -> Option<usize> {
        self.rows.pop_front()
    }

    /// Lets the last `count` rows go before all others; they keep their order.
    pub fn last_first(&mut self, count: usize) {
        for _ in 0..count.min(self.rows.len()) {
            if let Some(row) = self.rows.pop_back() {
                self.rows.push_front(row);
            }
        }
    }

    /// Takes a row out; whether it was there.
    pub fn remove(&mut self, row: usize) -> bool {
        let before = self.rows.len();
        self.rows.retain(|waiting| *waiting != row);
        self.rows.len() < before
    }

    /// Whether a row waits.
    pub fn contains(&self, row: usize) -> bool {
        self.rows.contains(&row)
    }
}

/// How many connections each uid has, in room for as many uids as there may be connections.
pub struct UidCounts {
    counts: Vec<(Uid, u32)>,
}

impl UidCounts {
    /// Room for `max` connections.
    pub fn new(max: u32) -> Self {
        UidCounts { counts: Vec::with_capacity(max as usize) }
    }

    /// The connections of `uid`.
    pub fn count(&self, uid: Uid) -> u32 {
        self.counts.iter().find(|c| c.0 == uid).map_or(0, |c| c.1)
    }

    /// One more; how many there are now.
    pub fn add(&mut self, uid: Uid) -> u32 {
        match self.counts.iter_mut().find(|c| c.0 == uid) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.counts.push((uid, 1));
                1
            }
        }
    }

    /// One less.
    pub fn remove(&mut self, uid: Uid) {
        let Some(at) = self.counts.iter().position(|c| c.0 == uid) else { return };
        if let Some((_, count)) = self.counts.get_mut(at) {
            *count -= 1;
            if *count == 0 {
                self.counts.swap_remove(at);
            }
        }
    }
}

/// Of sessions, each a row and a serial number, the one that came first. Serial numbers begin again
/// some day, so what counts is how far each is from `now`, the last that was given.
pub fn oldest(now: u32, sessions: impl Iterator<Item = (usize, u32)>) -> Option<usize> {
    sessions.max_by_key(|(_, serial)| now.wrapping_sub(*serial)).map(|(row, _)| row)
}

/// How many clients of a listener are accepted in one round of the loop in which others have
/// something to do. Few where a user's limit is low: who of those just accepted leaves among them is
/// seen only afterwards.
pub fn accepted_in_round(max_per_uid: u32) -> u32 {
    (max_per_uid / 2).clamp(1, ACCEPTED_AT_A_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_his_own_count() {
        let [five, seven, root] = [Uid(5), Uid(7), Uid(0)];
        let mut u = UidCounts::new(3);
        assert_eq!((u.add(five), u.add(five), u.add(seven)), (1, 2, 1));
        u.remove(five);
        assert_eq!((u.count(five), u.count(seven), u.count(root)), (1, 1, 0));
        u.remove(five);
        u.remove(five);
        assert_eq!(u.add(five), 1);
    }

    fn queue(rows: &[usize]) -> Queue {
        let mut queue = Queue::new(8);
        rows.iter().for_each(|row| queue.push(*row));
        queue
    }

    fn all(mut queue: Queue) -> Vec<usize> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn newcomers_go_before_those_whose_turn_was_over_and_keep_their_order() {
        let mut q = queue(&[1, 2, 3, 4, 5]);
        q.last_first(2);
        assert_eq!(all(q), [4, 5, 1, 2, 3]);
        let mut few = queue(&[1, 2]);
        few.last_first(7);
        assert_eq!(all(few), [1, 2]);
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let mut q = queue(&[3, 1, 2]);
        assert!(q.remove(1) && !q.remove(1) && !q.contains(1) && q.contains(2));
        assert_eq!((q.len(), q.first(), q.is_empty()), (2, Some(3), false));
        assert_eq!(all(q), [3, 2]);
    }

    #[test]
    fn a_queue_never_grows_beyond_its_room() {
        let mut q = Queue::new(4);
        let room = q.rows.capacity();
        for round in 0..1000 {
            while q.len() < room {
                q.push(round * room + q.len());
            }
            q.last_first(round % 5);
            q.pop();
        }
        assert_eq!(q.rows.capacity(), room);
    }

    #[test]
    fn the_oldest_is_found_also_when_serial_numbers_begin_again() {
        assert_eq!(oldest(9, [(0, 7), (1, 3), (2, 9)].into_iter()), Some(1));
        assert_eq!(oldest(2, [(0, 1), (1, u32::MAX - 5), (2, 0)].into_iter()), Some(1));
        assert_eq!(oldest(2, std::iter::empty()), None);
    }

    #[test]
    fn low_limits_of_a_user_are_looked_at_often() {
        let rounds = [1, 2, 64, 1 << 20].map(accepted_in_round);
        assert_eq!(rounds, [1, 1, 32, 512]);
    }
}
