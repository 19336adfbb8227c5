//! How many connections each user has.

/// Counts by uid, in room for as many uids as there are connections.
pub struct Uids {
    counts: Vec<(u32, u32)>,
}

impl Uids {
    /// Room for `max` connections.
    pub fn new(max: u32) -> Self {
        Uids { counts: Vec::with_capacity(max as usize) }
    }

    /// The connections of `uid`.
    pub fn count(&self, uid: u32) -> u32 {
        self.counts.iter().find(|c| c.0 == uid).map_or(0, |c| c.1)
    }

    /// One more; how many there are now.
    pub fn add(&mut self, uid: u32) -> u32 {
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
    pub fn remove(&mut self, uid: u32) {
        if let Some(at) = self.counts.iter().position(|c| c.0 == uid) {
            if let Some((_, count)) = self.counts.get_mut(at) {
                *count -= 1;
                if *count == 0 {
                    self.counts.swap_remove(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Uids;

    #[test]
    fn each_user_has_his_own_count() {
        let mut u = Uids::new(3);
        assert_eq!((u.add(5), u.add(5), u.add(7)), (1, 2, 1));
        u.remove(5);
        assert_eq!((u.count(5), u.count(7), u.count(0)), (1, 1, 0));
        u.remove(5);
        u.remove(5);
        assert_eq!(u.add(5), 1);
    }
}
