//! Strings are escaped piece by piece; what fits a buffer is written into it whole.

use crate::EncodeError;
use crate::bytes::{DECIMAL_MAX, hex_digit, write_decimal};

/// Room that [`Escaper::feed`] needs to take a byte: three that were no UTF-8 after all, and one that
/// is escaped.
pub const ESCAPED_MAX: usize = 3 * REPLACEMENT.len() + 6;

/// U+FFFD, which stands for what cannot be told.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Escapes bytes for the inside of a JSON string, in pieces of any size.
///
/// Each byte that is not part of valid UTF-8 becomes U+FFFD; so do NUL and the characters that Unicode
/// has for no use (U+FDD0 to U+FDEF, U+FFFE and U+FFFF of each plane), for which systemd refuses the
/// whole message. Control characters, DEL included, are escaped.
#[derive(Clone, Debug, Default)]
pub struct Escaper {
    /// The front of a character.
    held: [u8; 3],
    len: usize,
}

/// Where escaped bytes go.
struct Out<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.room.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

impl Escaper {
    /// Escapes the front of `input` into `out`: bytes taken and bytes written. All is taken as long
    /// as [`ESCAPED_MAX`] bytes are free.
    pub fn feed(&mut self, input: &[u8], out: &mut [u8]) -> (usize, usize) {
        let mut out = Out { room: out, len: 0 };
        let mut rest = input;
        while let Some((byte, behind)) = rest.split_first() {
            let Some(free) = (out.room.len() - out.len).checked_sub(ESCAPED_MAX) else { break };
            // Most bytes stand for themselves, and all in a row are copied.
            let most = rest.get(..=free).unwrap_or(rest);
            let plain = if self.len == 0 { plain(most) } else { 0 };
            if plain > 0 {
                let (row, behind) = rest.split_at_checked(plain).unwrap_or_default();
                out.put(row);
                rest = behind;
            } else {
                self.push(*byte, &mut out);
                rest = behind;
            }
        }
        (input.len() - rest.len(), out.len)
    }

    /// The string ends: what stands for a character that was not complete; bytes written, at most
    /// [`ESCAPED_MAX`].
    pub fn finish(&mut self, out: &mut [u8]) -> usize {
        let mut out = Out { room: out, len: 0 };
        self.give_up(&mut out);
        out.len
    }

    fn push(&mut self, byte: u8, out: &mut Out<'_>) {
        if byte < 0x80 {
            self.give_up(out);
            escape(byte, out);
            return;
        }
        let mut character = [0; 4];
        for (place, byte) in
            character.iter_mut().zip(self.held.iter().take(self.len).chain([&byte]))
        {
            *place = *byte;
        }
        let bytes = character.get(..self.len + 1).unwrap_or_default();
        match core::str::from_utf8(bytes) {
            Ok(text) => {
                let told = text.chars().all(is_character);
                out.put(if told { bytes } else { REPLACEMENT });
                self.len = 0;
            }
            // The front of a character, of which there may be more.
            Err(error) if error.error_len().is_none() => {
                if let Some(place) = self.held.get_mut(self.len) {
                    *place = byte;
                    self.len += 1;
                }
            }
            Err(_) if self.len == 0 => out.put(REPLACEMENT),
            // What was held was none; this byte may begin another.
            Err(_) => {
                self.give_up(out);
                self.push(byte, out);
            }
        }
    }

    fn give_up(&mut self, out: &mut Out<'_>) {
        for _ in 0..self.len {
            out.put(REPLACEMENT);
        }
        self.len = 0;
    }
}

/// Whether all bytes stand for themselves in a string.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    plain(bytes) == bytes.len()
}

/// How many bytes at the front stand for themselves.
fn plain(bytes: &[u8]) -> usize {
    let is_other = |byte: &u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
    bytes.iter().position(is_other).unwrap_or(bytes.len())
}

fn escape(byte: u8, out: &mut Out<'_>) {
    match byte {
        0 => out.put(REPLACEMENT),
        b'"' | b'\\' => out.put(&[b'\\', byte]),
        1..0x20 | 0x7f => {
            out.put(&[b'\\', b'u', b'0', b'0', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        _ => out.put(&[byte]),
    }
}

/// Whether Unicode has a use for it.
pub(crate) fn is_character(character: char) -> bool {
    let code = u32::from(character);
    !(0xfdd0..=0xfdef).contains(&code) && code & 0xfffe != 0xfffe
}

/// Writes what fits a buffer; what does not is known at the end.
#[derive(Debug)]
pub struct Message<'a> {
    out: &'a mut [u8],
    /// Bytes needed so far.
    len: usize,
}

impl<'a> Message<'a> {
    /// An empty message.
    pub fn new(out: &'a mut [u8]) -> Self {
        Message { out, len: 0 }
    }

    /// Appends bytes that are JSON.
    pub fn put(&mut self, json: &[u8]) -> &mut Self {
        if let Some(place) = self.out.get_mut(self.len..self.len + json.len()) {
            place.copy_from_slice(json);
        }
        self.len += json.len();
        self
    }

    /// Appends a string that is at hand, with its quotes.
    pub fn string(&mut self, bytes: &[u8]) -> &mut Self {
        let (front, rest) = bytes.split_at_checked(plain(bytes)).unwrap_or_default();
        self.put(b"\"").put(front).escaped(rest.iter().copied()).put(b"\"")
    }

    /// Appends a string, with its quotes.
    pub fn text(&mut self, bytes: impl IntoIterator<Item = u8>) -> &mut Self {
        self.put(b"\"").escaped(bytes).put(b"\"")
    }

    fn escaped(&mut self, bytes: impl IntoIterator<Item = u8>) -> &mut Self {
        let mut escaper = Escaper::default();
        let mut piece = [0; ESCAPED_MAX];
        for byte in bytes {
            let (_, written) = escaper.feed(&[byte], &mut piece);
            self.put(piece.get(..written).unwrap_or_default());
        }
        let written = escaper.finish(&mut piece);
        self.put(piece.get(..written).unwrap_or_default())
    }

    /// Appends a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.put(write_decimal(number, &mut [0; DECIMAL_MAX]))
    }

    /// The message is complete: its length. [`EncodeError::NoSpace`]: it did not fit.
    pub fn finish(&self) -> Result<usize, EncodeError> {
        if self.len > self.out.len() {
            return Err(EncodeError::NoSpace(self.len));
        }
        Ok(self.len)
    }
}
