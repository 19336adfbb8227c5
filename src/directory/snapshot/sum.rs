//! SHA-256 sums, as files are called by them.

use crate::directory::failure::Failure;
use nssproto::bytes::hex_digit;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// Digits of a sum.
pub const DIGITS: usize = 64;

/// Whether a text is a sum: 64 digits of 0 to 9 and a to f.
pub fn is_sum(text: &[u8]) -> bool {
    text.len() == DIGITS && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The sum of a text.
pub fn of(text: &[u8]) -> String {
    digits(&Sha256::digest(text))
}

fn digits(sum: &[u8]) -> String {
    let digit = |value| char::from(hex_digit(value));
    sum.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Sums and counts what is read through it.
pub struct Summed<R> {
    inner: R,
    hasher: Sha256,
    most: u64,
    /// Bytes so far.
    pub len: u64,
}

impl<R: Read> Summed<R> {
    /// Of a body that has `most` bytes at most.
    pub fn new(inner: R, most: u64) -> Self {
        Summed { inner, hasher: Sha256::new(), most, len: 0 }
    }

    /// The sum of all that was read.
    pub fn sum(self) -> String {
        digits(&self.hasher.finalize())
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(out)?;
        self.hasher.update(out.get(..len).unwrap_or_default());
        self.len += len as u64;
        if self.len > self.most {
            let text = format!("more than the {} bytes that the snapshot lists", self.most);
            return Err(io::Error::other(Failure::refused(text)));
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of(b""), empty);
        // FIPS 180-2, B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc"), abc);
        let mut summed = Summed::new(&b"abc"[..], 3);
        io::copy(&mut summed, &mut io::sink()).unwrap();
        assert_eq!((summed.len, summed.sum().as_str()), (3, abc));
        assert!(io::copy(&mut Summed::new(&b"abc"[..], 2), &mut io::sink()).is_err());
        assert!(is_sum(abc.as_bytes()));
        for text in ["", abc.split_at(1).1, &abc.to_uppercase(), &format!("{abc}0")] {
            assert!(!is_sum(text.as_bytes()), "{text}");
        }
    }
}
