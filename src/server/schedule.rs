//! Who is next: pure, so that fairness is tested without a socket.
//!
//! Rows stand for sessions: see [`super::session::Sessions`].

use nssproto::entry::Uid;

/// Most clients that are accepted at a time where others have something to do: about ten
/// milliseconds' work.
const ACCEPTED_AT_A_TIME: u32 = 512;

/// Rows that wait, each once. Those of a uid keep their order; uids take turns, a row each.
pub struct Queue {
    /// What is beside each row in its lane. As long as rows were in use, so that the room for the
    /// others is no memory.
    links: Vec<Links>,
    /// Has room for as many as there are rows.
    lanes: Vec<Lane>,
    len: usize,
}

/// The row in front of one in its lane, and the one behind it, plus 1; 0: none.
#[derive(Clone, Copy, Default)]
struct Links {
    before: u32,
    behind: u32,
}

/// Those of a uid who wait: there is always one.
struct Lane {
    uid: Uid,
    /// The first and the last, plus 1.
    first: u32,
    last: u32,
}

impl Queue {
    /// Room for the rows below `max`.
    pub fn new(max: usize) -> Self {
        Queue { links: Vec::with_capacity(max), lanes: Vec::with_capacity(max), len: 0 }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets a row wait that does not yet, behind those of its uid.
    pub fn push(&mut self, row: usize, uid: Uid) {
        let word = word(row);
        let last = match self.lanes.iter_mut().find(|lane| lane.uid == uid) {
            Some(lane) => std::mem::replace(&mut lane.last, word),
            None => {
                self.lanes.push(Lane { uid, first: word, last: word });
                0
            }
        };
        if self.links.len() <= row && row < self.links.capacity() {
            self.links.resize(row + 1, Links::default());
        }
        self.link(word, |links| *links = Links { before: last, behind: 0 });
        self.link(last, |links| links.behind = word);
        self.len += 1;
    }

    /// Takes out the row that is next.
    pub fn pop(&mut self) -> Option<usize> {
        self.pop_if(|_| true)
    }

    /// The same of those whose uid may go.
    pub fn pop_if(&mut self, may: impl FnMut(Uid) -> bool) -> Option<usize> {
        let row = self.next_if(may)?;
        self.take(row);
        Some(row)
    }

    /// The row that is next, of those whose uid may go.
    pub fn next_if(&self, mut may: impl FnMut(Uid) -> bool) -> Option<usize> {
        let lane = self.lanes.iter().find(|lane| may(lane.uid))?;
        row(lane.first)
    }

    /// Takes out a row that is the first of its uid, which goes behind the others.
    pub fn take(&mut self, row: usize) {
        let at = self.lanes.iter().position(|lane| lane.first == word(row));
        let Some(mut lane) = at.map(|at| self.lanes.remove(at)) else { return };
        let behind = self.links.get(row).map_or(0, |links| links.behind);
        self.link(behind, |links| links.before = 0);
        self.link(lane.first, |links| links.behind = 0);
        if behind != 0 {
            lane.first = behind;
            self.lanes.push(lane);
        }
        self.len -= 1;
    }

    /// Takes out a row; whether it was there. Its uid keeps its turn.
    pub fn remove(&mut self, row: usize) -> bool {
        let word = word(row);
        let Links { before, behind } = self.links.get(row).copied().unwrap_or_default();
        let ends = |lane: &Lane| lane.first == word || lane.last == word;
        let lane = match before == 0 || behind == 0 {
            true => match self.lanes.iter().position(ends) {
                Some(at) => Some(at),
                None => return false,
            },
            false => None,
        };
        self.link(before, |links| links.behind = behind);
        self.link(behind, |links| links.before = before);
        if let Some(place) = lane.and_then(|at| self.lanes.get_mut(at)) {
            place.first = if before == 0 { behind } else { place.first };
            place.last = if behind == 0 { before } else { place.last };
            if place.first == 0 {
                lane.map(|at| self.lanes.remove(at));
            }
        }
        self.link(word, |links| *links = Links::default());
        self.len -= 1;
        true
    }

    /// All who wait, uid by uid.
    pub fn rows(&self) -> impl Iterator<Item = usize> {
        self.lanes.iter().flat_map(|lane| {
            let behind = |at: &usize| row(self.links.get(*at)?.behind);
            std::iter::successors(row(lane.first), behind)
        })
    }

    /// Changes what is beside a row.
    fn link(&mut self, word: u32, change: impl FnOnce(&mut Links)) {
        if let Some(links) = row(word).and_then(|at| self.links.get_mut(at)) {
            change(links);
        }
    }

    /// The row of a uid that came last.
    pub fn last_of(&self, uid: Uid) -> Option<usize> {
        row(self.lanes.iter().find(|lane| lane.uid == uid)?.last)
    }
}

/// A row as it stands in the lists, where 0 is none.
fn word(row: usize) -> u32 {
    row as u32 + 1
}

fn row(word: u32) -> Option<usize> {
    word.checked_sub(1).map(|row| row as usize)
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

    /// How many uids have any.
    pub fn uids(&self) -> u32 {
        self.counts.len() as u32
    }

    /// The uid that has most; of some with as many, this one.
    fn most(&self, preferred: Uid) -> Option<Uid> {
        let most = self.counts.iter().max_by_key(|(uid, count)| (*count, *uid == preferred));
        most.map(|(uid, _)| *uid)
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

/// Of those who wait in a room for so many, which uid has to give a place up, now that somebody of
/// `newcomer` is among them. The room is divided among the uids that wait.
pub fn gives_way(room: u32, waiting: &UidCounts, all: u32, newcomer: Uid) -> Option<Uid> {
    let share = (room / waiting.uids().max(1)).max(1);
    match waiting.count(newcomer) > share {
        true => Some(newcomer),
        false if all > room => waiting.most(newcomer),
        false => None,
    }
}

/// How many clients of a listener are accepted in one round of the loop in which others have
/// something to do. Few where those above a user's limit are closed, and it is low: who of those just
/// accepted leaves among them is seen only afterwards.
pub fn accepted_in_round(max_per_uid: u32, room: u32) -> u32 {
    match room {
        0 => (max_per_uid / 2).clamp(1, ACCEPTED_AT_A_TIME),
        _ => ACCEPTED_AT_A_TIME,
    }
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

    fn queue(rows: &[(usize, u32)]) -> Queue {
        let mut queue = Queue::new(16);
        rows.iter().for_each(|(row, uid)| queue.push(*row, Uid(*uid)));
        queue
    }

    fn all(mut queue: Queue) -> Vec<usize> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn uids_take_turns_and_the_rows_of_a_uid_keep_their_order() {
        let q = queue(&[(1, 7), (2, 7), (3, 7), (4, 7), (9, 0), (5, 8), (0, 0)]);
        assert_eq!((q.len(), q.is_empty()), (7, false));
        assert_eq!(q.rows().collect::<Vec<_>>(), [1, 2, 3, 4, 9, 0, 5]);
        assert_eq!(all(q), [1, 9, 5, 2, 0, 3, 4]);
    }

    #[test]
    fn who_comes_while_another_uid_has_many_is_next_but_one() {
        let mut q = queue(&[(1, 7), (2, 7), (3, 7)]);
        assert_eq!(q.pop(), Some(1));
        // His turn was over, and he waits again.
        q.push(1, Uid(7));
        q.push(8, Uid(9));
        assert_eq!(all(q), [2, 8, 3, 1]);
    }

    #[test]
    fn who_may_not_go_is_passed_over_and_keeps_his_turn() {
        let mut q = queue(&[(1, 7), (2, 7), (3, 8), (4, 8)]);
        assert_eq!(q.next_if(|uid| uid != Uid(7)), Some(3));
        assert_eq!(q.pop_if(|uid| uid != Uid(7)), Some(3));
        assert_eq!(q.pop_if(|uid| uid == Uid(9)), None);
        assert_eq!(all(q), [1, 4, 2]);
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let rows = [(3, 1), (1, 1), (2, 1), (5, 2)];
        for (gone, left) in [(3, [1, 5, 2]), (1, [3, 5, 2]), (2, [3, 5, 1]), (5, [3, 1, 2])] {
            let mut q = queue(&rows);
            assert!(q.remove(gone) && !q.remove(gone) && !q.remove(9));
            assert_eq!(
                (q.len(), q.last_of(Uid(1))),
                (3, left.iter().rev().copied().find(|r| *r != 5))
            );
            assert_eq!(all(q), left);
        }
        let mut one = queue(&[(0, 1)]);
        assert!(one.remove(0) && one.is_empty() && one.last_of(Uid(1)).is_none());
        one.push(0, Uid(2));
        assert_eq!(all(one), [0]);
    }

    /// Against lists that are as plain as can be, for a thousand steps.
    #[test]
    fn a_queue_does_as_plain_lists_do() {
        let (mut q, mut lanes) = (Queue::new(16), Vec::<(u32, Vec<usize>)>::new());
        let (capacity, mut random) = (q.lanes.capacity(), 1u32);
        for _ in 0..5000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (row, uid) = ((random >> 8) as usize % 16, (random >> 16) % 5);
            let at = lanes.iter().position(|(_, rows)| rows.contains(&row));
            match (random >> 28, at) {
                (0..8, None) => {
                    q.push(row, Uid(uid));
                    match lanes.iter_mut().find(|lane| lane.0 == uid) {
                        Some(lane) => lane.1.push(row),
                        None => lanes.push((uid, vec![row])),
                    }
                }
                (8..11, at) => {
                    assert_eq!(q.remove(row), at.is_some());
                    lanes.iter_mut().for_each(|lane| lane.1.retain(|r| *r != row));
                    lanes.retain(|lane| !lane.1.is_empty());
                }
                (11..14, _) => {
                    let at = lanes.iter().position(|lane| lane.0 != uid);
                    let next = at.map(|at| {
                        let mut lane = lanes.remove(at);
                        let row = lane.1.remove(0);
                        lanes.extend(Some(lane).filter(|lane| !lane.1.is_empty()));
                        row
                    });
                    assert_eq!(q.pop_if(|candidate| candidate != Uid(uid)), next);
                }
                _ => {}
            }
            assert_eq!(q.len(), lanes.iter().map(|lane| lane.1.len()).sum::<usize>());
        }
        assert_eq!(q.lanes.capacity(), capacity);
    }

    #[test]
    fn a_room_is_divided_among_the_uids_that_wait() {
        let counts = |of: &[(u32, u32)]| {
            let mut counts = UidCounts::new(100);
            for (uid, count) in of {
                for _ in 0..*count {
                    counts.add(Uid(*uid));
                }
            }
            let all = of.iter().map(|of| of.1).sum();
            (counts, all)
        };
        let way = |of: &[(u32, u32)], newcomer| {
            let (counts, all) = counts(of);
            gives_way(12, &counts, all, Uid(newcomer)).map(|uid| uid.0)
        };
        assert_eq!(way(&[(1, 12)], 1), None);
        assert_eq!(way(&[(1, 13)], 1), Some(1));
        // One who waits alone has all of it, and gives way when others come, one for one.
        assert_eq!(way(&[(1, 12), (2, 1)], 2), Some(1));
        assert_eq!(way(&[(1, 6), (2, 6)], 2), None);
        assert_eq!(way(&[(1, 6), (2, 7)], 2), Some(2));
        assert_eq!(way(&[(1, 7), (2, 5)], 1), Some(1));
        // More uids than places.
        let many: Vec<(u32, u32)> = (0..13).map(|uid| (uid, 1)).collect();
        assert_eq!(way(&many, 12), Some(12));
    }

    #[test]
    fn the_oldest_is_found_also_when_serial_numbers_begin_again() {
        assert_eq!(oldest(9, [(0, 7), (1, 3), (2, 9)].into_iter()), Some(1));
        assert_eq!(oldest(2, [(0, 1), (1, u32::MAX - 5), (2, 0)].into_iter()), Some(1));
        assert_eq!(oldest(2, std::iter::empty()), None);
    }

    #[test]
    fn low_limits_of_a_user_are_looked_at_often_where_they_close() {
        let rounds = [1, 2, 64, 1 << 20].map(|most| accepted_in_round(most, 0));
        assert_eq!(rounds, [1, 1, 32, 512]);
        assert_eq!(accepted_in_round(1, 2048), 512);
    }
}
