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

    fn run(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for chunk in bytes.utf8_chunks() {
            self.text(chunk.valid().as_bytes(), out);
            for byte in chunk.invalid() {
                self.release(out);
                // A terminal that knows no UTF-8 has control characters there.
                match byte {
                    0x80..=0x9f => hex(*byte, out),
                    _ => out.push(*byte),
                }
            }
        }
    }

    /// Escapes valid UTF-8.
    fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while !text.is_empty() {
            let plain = text.iter().position(is_special);
            let (front, rest) = text.split_at(plain.unwrap_or(text.len()));
            if !front.is_empty() {
                if self.held_return || self.held_lines > 0 {
                    self.release(out);
                }
                out.extend_from_slice(front);
            }
            let Some((byte, behind)) = rest.split_first() else { return };
            text = behind;
            match byte {
                b'\n' => {
                    self.held_lines += 1;
                    continue;
                }
                b'\r' => {
                    self.release(out);
                    self.held_return = true;
                    continue;
                }
                _ => self.release(out),
            }
            match byte {
                b'\\' if self.coded => out.extend_from_slice(b"\\\\"),
                0 if self.coded => out.extend_from_slice(b"\\0"),
                b'\\' => out.push(b'\\'),
                0xc2 => match text.split_first() {
                    Some((second @ 0x80..=0x9f, behind)) => {
                        hex(0xc2, out);
                        hex(*second, out);
                        text = behind;
                    }
                    _ => out.push(0xc2),
                },
                _ => hex(*byte, out),
            }
        }
    }
}

/// Bytes that may not stand for themselves.
fn is_special(byte: &u8) -> bool {
    matches!(byte, 0..=8 | 10..=0x1f | 0x7f | b'\\' | 0xc2)
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
    fn a_character_that_is_cut_is_left_out() {
        let (mut escaper, mut out) = (Escaper::new(false), Vec::new());
        escaper.feed("ab\n\u{20ac}".as_bytes().split_last().unwrap().1, &mut out);
        escaper.finish(true, &mut out);
        assert_eq!(out, b"ab\\n");
    }
}
