//! The only code that touches offsets: a checked reader, a checked writer, decimal numbers.

use crate::{DecodeError, EncodeError};

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    taken: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, taken: 0 }
    }

    /// Bytes read so far.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The next `len` bytes, or [`DecodeError::Incomplete`] with the number that is missing.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                self.taken += len;
                Ok(head)
            }
            None => Err(DecodeError::Incomplete(len - self.rest.len())),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(DecodeError::Incomplete(N - self.rest.len()));
        };
        self.rest = rest;
        self.taken += N;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes, little-endian.
    pub fn u16_le(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Two bytes, big-endian.
    pub fn u16_be(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32_le(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Four bytes, big-endian.
    pub fn u32_be(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Four bytes in the machine's own order, as in nscd.
    pub fn u32_ne(&mut self) -> Result<u32, DecodeError> {
        self.u32_be().map(u32::to_be)
    }

    /// Eight bytes, big-endian.
    pub fn u64_be(&mut self) -> Result<u64, DecodeError> {
        let high = self.u32_be()?;
        Ok(u64::from(high) << 32 | u64::from(self.u32_be()?))
    }
}

/// Copies as much of `from` as there is room for to the front of `out`; how much.
pub fn copy_front(from: &[u8], out: &mut [u8]) -> usize {
    let len = from.len().min(out.len());
    if let (Some(from), Some(out)) = (from.get(..len), out.get_mut(..len)) {
        out.copy_from_slice(from);
    }
    len
}

/// Writes to the front of a slice. Whoever uses it has checked the whole size with
/// [`Writer::new`], so that a unit is written whole or not at all.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// A writer of a unit of `size` bytes; [`EncodeError::NoSpace`] if `out` is smaller.
    pub fn new(out: &'a mut [u8], size: usize) -> Result<Self, EncodeError> {
        if out.len() < size {
            return Err(EncodeError::NoSpace(size));
        }
        Ok(Writer { out, at: 0 })
    }

    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.at
    }

    /// Appends `bytes`; what has no room is dropped, which a right size in `new` rules out.
    pub fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.out.get_mut(self.at..self.at.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    /// Appends `bytes` and a NUL.
    pub fn put_string(&mut self, bytes: &[u8]) {
        self.put(bytes);
        self.put(&[0]);
    }

    /// Appends four bytes, big-endian.
    pub fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Appends words of four bytes in the machine's own order, as in nscd.
    pub fn put_words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.put(&word.to_ne_bytes()));
    }

    /// Appends eight bytes, big-endian.
    pub fn put_u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }
}

/// FNV-1a: two passes over what may change in between must see the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv1a(u64);

impl Fnv1a {
    /// The hash of no bytes.
    pub const START: Fnv1a = Fnv1a(0xcbf2_9ce4_8422_2325);

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The hash of what was taken.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// A decimal number read digit by digit: digits only, leading zeros allowed, at most `u64::MAX`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decimal {
    value: u64,
    digits: bool,
    bad: bool,
}

impl Decimal {
    /// Takes one more byte of the number.
    pub fn push(&mut self, byte: u8) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            self.bad = true;
            return;
        }
        self.digits = true;
        match self.value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit))) {
            Some(v) => self.value = v,
            None => self.bad = true,
        }
    }

    /// The number; `None` if it was empty, had another byte than a digit, or was too large.
    pub fn value(&self) -> Option<u64> {
        (self.digits && !self.bad).then_some(self.value)
    }

    /// Whether no byte came at all.
    pub fn is_empty(&self) -> bool {
        !self.digits && !self.bad
    }
}

/// `bytes` as a decimal number below 2^64; see [`Decimal`].
pub fn decimal_u64(bytes: &[u8]) -> Option<u64> {
    let mut number = Decimal::default();
    bytes.iter().for_each(|b| number.push(*b));
    number.value()
}

/// `bytes` as a decimal number below 2^32; see [`Decimal`].
pub fn decimal_u32(bytes: &[u8]) -> Option<u32> {
    decimal_u64(bytes).and_then(|n| u32::try_from(n).ok())
}

/// Room for any number that [`write_decimal`] writes.
pub const DECIMAL_MAX: usize = 20;

/// The hexadecimal digit, in lower case, of a number below 16.
pub const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}

/// `value` in decimal digits, written to the end of `room`.
pub fn write_decimal(mut value: u64, room: &mut [u8; DECIMAL_MAX]) -> &[u8] {
    let mut start = DECIMAL_MAX;
    for (at, place) in room.iter_mut().enumerate().rev() {
        let digit;
        (value, digit) = by_ten(value);
        *place = b'0' + digit as u8;
        start = at;
        if value == 0 {
            break;
        }
    }
    room.get(start..).unwrap_or_default()
}

/// A tenth of `value`, and the rest. Large ones in steps of 16 bits: to divide 64 bits at once is half
/// a kilobyte of code on 32-bit machines.
fn by_ten(value: u64) -> (u64, u32) {
    if let Ok(small) = u32::try_from(value) {
        return ((small / 10).into(), small % 10);
    }
    let (mut tenth, mut rest) = (0, 0);
    for shift in [48, 32, 16, 0] {
        let part = rest << 16 | ((value >> shift) as u32 & 0xffff);
        tenth = tenth << 16 | u64::from(part / 10);
        rest = part % 10;
    }
    (tenth, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_takes_digits_only() {
        assert_eq!(decimal_u32(b"0"), Some(0));
        assert_eq!(decimal_u32(b"00017"), Some(17));
        assert_eq!(decimal_u32(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"4294967296", b"-1", b"+1", b" 1", b"1 ", b"0x1", b"1a"] {
            assert_eq!(decimal_u32(bad), None, "{bad:?}");
        }
        assert_eq!(decimal_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal_u64(b"18446744073709551616"), None);
        assert_eq!(decimal_u64(b"99999999999999999999999999"), None);
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for n in [0, 7, 10, 4294967295, 4294967296, 10_000_000_000, 1 << 48, u64::MAX - 5, u64::MAX]
        {
            let mut room = [0xa5; DECIMAL_MAX];
            assert_eq!(decimal_u64(write_decimal(n, &mut room)), Some(n));
        }
        assert_eq!(write_decimal(0, &mut [0; DECIMAL_MAX]), b"0");
    }

    #[test]
    fn a_short_slice_tells_what_is_missing() {
        let mut c = Reader::new(&[1, 2, 3]);
        assert_eq!(c.u32_be(), Err(DecodeError::Incomplete(1)));
        assert_eq!(c.u8(), Ok(1));
        assert_eq!(c.take(9), Err(DecodeError::Incomplete(7)));
        assert_eq!(c.taken(), 1);
    }

    #[test]
    fn a_sink_that_is_too_small_writes_nothing() {
        let mut out = [0xa5; 3];
        assert_eq!(Writer::new(&mut out, 4).err(), Some(EncodeError::NoSpace(4)));
        assert_eq!(out, [0xa5; 3]);
    }
}
