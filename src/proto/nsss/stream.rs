//! A peer's record in pieces of any size: its strings are checked while they pass.
//!
//! ```
//! use nssproto::entry::Gid;
//! use nssproto::nsss::{Head, stream::AreaChecker};
//!
//! let mut check = AreaChecker::new(&Head::Group { gid: Gid(5), len: 8, members: 1 });
//! check.feed(b"g\0x\0a")?;
//! assert_eq!(check.left(), 3);
//! // Two strings are left where one was announced: nothing of this may be passed on.
//! assert!(check.feed(b"\0b\0").is_err());
//! # Ok::<(), nssproto::Malformed>(())
//! ```

use crate::Malformed;
use crate::nsss::Head;

/// Checks the area of a peer's record while it passes: the right length, the right number of
/// strings, the last byte a NUL.
#[derive(Clone, Copy, Debug)]
pub struct AreaChecker {
    left: u32,
    strings: u32,
}

impl AreaChecker {
    /// A check of the area that follows `head`.
    pub fn new(head: &Head) -> Self {
        AreaChecker { left: head.area_len(), strings: head.strings() }
    }

    /// Bytes that are still to come.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Takes the next bytes, at most [`AreaChecker::left`]; the error means that they must not be
    /// passed on.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let wrong = Malformed("string area does not hold the expected strings");
        let nuls = bytes.iter().filter(|b| **b == 0).count();
        let len = u32::try_from(bytes.len()).map_err(|_| wrong)?;
        self.left = self.left.checked_sub(len).ok_or(wrong)?;
        self.strings =
            u32::try_from(nuls).ok().and_then(|n| self.strings.checked_sub(n)).ok_or(wrong)?;
        if self.left == 0 && (self.strings != 0 || bytes.last() != Some(&0)) {
            return Err(wrong);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Gid;

    #[test]
    fn a_peers_area_is_checked_in_any_pieces() {
        let head = Head::Group { gid: Gid(1), len: 8, members: 1 };
        for (area, good) in [
            (&b"g\0x\0abc\0"[..], true),
            (b"g\0x\0abcd", false),
            (b"g\0xyabc\0", false),
            (b"g\0\0\0abc\0", false),
        ] {
            for cut in 0..area.len() {
                let mut check = AreaChecker::new(&head);
                let first = check.feed(&area[..cut]);
                assert_eq!(first.and_then(|()| check.feed(&area[cut..])).is_ok(), good);
            }
        }
        assert!(AreaChecker::new(&head).feed(b"123456789").is_err());
    }
}
