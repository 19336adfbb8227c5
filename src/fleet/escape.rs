//! Text of a host, made harmless: a line is a line, and no byte drives a terminal.
//!
//! Newlines at the end are dropped, and then one carriage return, as dtools did.

/// Bytes that may be the front of a character.
const LONGEST_FRONT: usize = 3;

/// Escapes bytes in pieces of any size. Each call adds whole escapes only.
#[derive(Default)]
pub struct Escaper {
    /// Backslashes, too, and NUL as `\0`: what is written can be undone.
    coded: bool,
    /// A carriage return, then newlines, that are perhaps the last bytes.
    held_return: bool,
    held_lines: u64,
    /// The front of a character.
    front: Vec<u8>,
}

impl Escaper {
    /// One that can be undone, or one as dtools had it.
    pub fn new(coded: bool) -> Self {
        Escaper { coded, ..Escaper::default() }
    }

    /// Escapes `bytes` onto `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let joined;
        let bytes = match self.front.is_empty() {
            true => bytes,
            false => {
                joined = [&std::mem::take(&mut self.front), bytes].concat();
                &joined
            }
        };
        let end = bytes.len() - unfinished(bytes);
        self.front = bytes.get(end..).unwrap_or_default().to_vec();
        self.run(bytes.get(..end).unwrap_or_default(), out);
    }

    /// The text ends. `whole`: it was cut here, and so nothing of its end is dropped.
    pub fn finish(mut self, whole: bool, out: &mut Vec<u8>) {
        let front = std::mem::take(&mut self.front);
        // Of a character that was cut, nothing is worth printing.
        if !whole {
            self.run(&front, out);
        } else {
            self.release(out);
        }
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_return) {
            out.extend_from_slice(b"\\r");
        }
        for _ in 0..std::mem::take(&mut self.held_lines) {
            out.extend_from_slice(b"\\n");
        }
    }

    fn run(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let (plain, rest) = bytes.split_at(plain(bytes));
            if !plain.is_empty() {
                self.release(out);
                out.extend_from_slice(plain);
            }
            match rest.split_first() {
                Some((byte, behind)) if byte.is_ascii() => {
                    self.special(*byte, out);
                    bytes = behind;
                }
                _ => {
                    let ascii = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
                    let (wide, behind) = rest.split_at(ascii);
                    if !wide.is_empty() {
                        self.release(out);
                        self.wide(wide, out);
                    }
                    bytes = behind;
                }
            }
        }
    }

    /// A byte of ASCII that may not stand for itself.
    fn special(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'\n' => {
                self.held_lines += 1;
                return;
            }
            b'\r' => {
                self.release(out);
                self.held_return = true;
                return;
            }
            _ => self.release(out),
        }
        match byte {
            b'\\' if self.coded => out.extend_from_slice(b"\\\\"),
            0 if self.coded => out.extend_from_slice(b"\\0"),
            b'\\' | b'\t' => out.push(byte),
            _ => hex(byte, out),
        }
    }

    /// Bytes that are no ASCII. Of what is no UTF-8, a terminal that knows none takes 0x80 to 0x9f for
    /// control characters.
    fn wide(&self, bytes: &[u8], out: &mut Vec<u8>) {
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                let mut room = [0; 4];
                let bytes = c.encode_utf8(&mut room).as_bytes();
                match c.is_control() {
                    true => bytes.iter().for_each(|byte| hex(*byte, out)),
                    false => out.extend_from_slice(bytes),
                }
            }
            for byte in chunk.invalid() {
                match byte {
                    0x80..=0x9f => hex(*byte, out),
                    _ => out.push(*byte),
                }
            }
        }
    }
}

/// How many bytes in front are printable ASCII, and no backslash: eight at a time, since a host may
/// print a lot.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Whether a byte is zero, as in Hacker's Delight; right for the lowest one, and that is asked for.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut len = 0;
    for word in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        let low = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = low | word & HIGH | zeros(word ^ (ONES * 0x7f)) | zeros(word ^ (ONES * 0x5c));
        if found != 0 {
            return len + (found.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    let rest = bytes.get(len..).unwrap_or_default();
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'\\';
    len + rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len())
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    use nssproto::bytes::hex_digit;
    out.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
}

/// How many bytes at the end may be the front of a character of which the rest follows.
pub fn unfinished(bytes: &[u8]) -> usize {
    for len in 1..=LONGEST_FRONT.min(bytes.len()) {
        let end = bytes.get(bytes.len() - len..).unwrap_or_default();
        match end.first() {
            Some(0xc0..) => {
                // The rest may still come.
                let cut = std::str::from_utf8(end).is_err_and(|e| e.error_len().is_none());
                return if cut { len } else { 0 };
            }
            Some(0x80..) => {}
            _ => return 0,
        }
    }
    0
}

/// A line of text, without its end, escaped as messages are.
pub fn escaped(text: &[u8], coded: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut escaper = Escaper::new(coded);
    escaper.feed(text, &mut out);
    escaper.finish(false, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_escaped_as_dtools_did_and_harmless() {
        for (text, plain, coded) in [
            (&b"a\nb\n\n"[..], &b"a\\nb"[..], &b"a\\nb"[..]),
            (b"a\r\r\n", b"a\\r", b"a\\r"),
            (b"a\n\r\n", b"a\\n", b"a\\n"),
            (b"\r", b"", b""),
            (b"\n\na\n", b"\\n\\na", b"\\n\\na"),
            (b"a\\b\0c\td", b"a\\b\\x00c\td", b"a\\\\b\\0c\td"),
            (b"\x1b[31m\x7f", b"\\x1b[31m\\x7f", b"\\x1b[31m\\x7f"),
            (
                "a\u{9b}1m\u{20ac}\u{f1}".as_bytes(),
                "a\\xc2\\x9b1m\u{20ac}\u{f1}".as_bytes(),
                "a\\xc2\\x9b1m\u{20ac}\u{f1}".as_bytes(),
            ),
            (b"\x80\x9f\xa0", b"\\x80\\x9f\xa0", b"\\x80\\x9f\xa0"),
            (b"a\xff\x9bb", b"a\xff\\x9bb", b"a\xff\\x9bb"),
        ] {
            assert_eq!(escaped(text, false), plain, "{}", text.escape_ascii());
            assert_eq!(escaped(text, true), coded, "{}", text.escape_ascii());
            // The same in pieces of one byte.
            let (mut escaper, mut out) = (Escaper::new(false), Vec::new());
            text.iter().for_each(|byte| escaper.feed(&[*byte], &mut out));
            escaper.finish(false, &mut out);
            assert_eq!(out, plain, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn each_byte_is_plain_or_not_wherever_it_stands() {
        for byte in 0..=255_u8 {
            for at in 0..20 {
                let mut text = [b'x'; 20];
                text[at] = byte;
                let wanted = matches!(byte, 0x20..=0x7e) && byte != b'\\';
                assert_eq!(plain(&text), if wanted { 20 } else { at }, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn a_character_that_is_cut_is_left_out() {
        let (mut escaper, mut out) = (Escaper::new(false), Vec::new());
        escaper.feed("ab\n\u{20ac}".as_bytes().split_last().unwrap().1, &mut out);
        escaper.finish(true, &mut out);
        assert_eq!(out, b"ab\\n");
    }
}
