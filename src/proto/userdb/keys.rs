//! A user's ssh keys, as a part of his record: a string for each line of a file as sshd reads it
//! (AUTHORIZED_KEYS FILE FORMAT in sshd(8)), whose empty lines and comments are left out.

use super::record::{Privileged, end_record};
use crate::EncodeError;
use crate::json::{ESCAPED_MAX, Escaper, Message};

/// Writes them behind what [`encode_user_shadow`](super::record::encode_user_shadow) has written, as
/// their files are read in pieces of any size.
#[derive(Clone, Debug)]
pub struct KeysWriter {
    /// The object for what is privileged is open.
    open: bool,
    /// There was a key.
    any: bool,
    line: Line,
    escaper: Escaper,
}

/// What the line in hand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Blanks so far.
    Empty,
    Comment,
    Key,
}

/// What is written in front of the first key.
const BEFORE: usize = ",\"privileged\":{\"sshAuthorizedKeys\":[\"".len();

impl KeysWriter {
    /// Bytes of room with which [`KeysWriter::feed`] goes on.
    pub const ROOM: usize = BEFORE + 2 * ESCAPED_MAX;

    /// Behind what was told of shadow.
    pub fn new(told: &Privileged<'_>) -> Self {
        let open = matches!(told, Privileged::Shadow(_));
        KeysWriter { open, any: false, line: Line::Empty, escaper: Escaper::default() }
    }

    /// Writes the front of `input`: bytes taken and bytes written.
    pub fn feed(&mut self, input: &[u8], out: &mut [u8]) -> (usize, usize) {
        let mut len = 0;
        for (taken, byte) in input.iter().enumerate() {
            let room = out.get_mut(len..).unwrap_or_default();
            if room.len() < KeysWriter::ROOM {
                return (taken, len);
            }
            len += self.push(*byte, room);
        }
        (input.len(), len)
    }

    fn push(&mut self, byte: u8, out: &mut [u8]) -> usize {
        match (self.line, byte) {
            (_, b'\n') => self.end_line(out),
            (_, b'\r') | (Line::Comment, _) | (Line::Empty, b' ' | b'\t') => 0,
            (Line::Empty, b'#') => {
                self.line = Line::Comment;
                0
            }
            (Line::Empty, _) => {
                let len = self.begin(out);
                len + self.escaper.feed(&[byte], out.get_mut(len..).unwrap_or_default()).1
            }
            (Line::Key, _) => self.escaper.feed(&[byte], out).1,
        }
    }

    fn begin(&mut self, out: &mut [u8]) -> usize {
        let mut message = Message::new(out);
        if !self.any {
            message.put(if self.open { b"," } else { b",\"privileged\":{" });
            message.put(b"\"sshAuthorizedKeys\":[\"");
        } else {
            message.put(b",\"");
        }
        (self.open, self.any, self.line) = (true, true, Line::Key);
        message.finish().unwrap_or_default()
    }

    fn end_line(&mut self, out: &mut [u8]) -> usize {
        let mut len = 0;
        if self.line == Line::Key {
            len = self.escaper.finish(out);
            let mut end = Message::new(out.get_mut(len..).unwrap_or_default());
            len += end.put(b"\"").finish().unwrap_or_default();
        }
        self.line = Line::Empty;
        len
    }

    /// All lines were taken, the last one with its LF: writes the end of the record; the number of
    /// bytes. `incomplete`: not all could be read.
    pub fn finish(&self, incomplete: bool, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut message = Message::new(out);
        if self.any {
            message.put(b"]");
        }
        if self.open {
            message.put(b"}");
        }
        end_record(incomplete, &mut message)
    }

    /// Whether a key was begun and not ended.
    pub fn is_in_key(&self) -> bool {
        self.line == Line::Key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Shadow;

    fn written<'a>(told: &Privileged<'_>, file: &[u8], piece: usize, out: &'a mut [u8]) -> &'a str {
        let (mut writer, mut len) = (KeysWriter::new(told), 0);
        for piece in file.chunks(piece) {
            let (taken, written) = writer.feed(piece, &mut out[len..]);
            assert_eq!(taken, piece.len());
            len += written;
        }
        len += writer.finish(false, &mut out[len..]).unwrap();
        core::str::from_utf8(&out[..len]).unwrap()
    }

    #[test]
    fn each_line_that_is_a_key_is_a_string() {
        let file =
            b"# who\n\n  ssh-ed25519 AAAA ada@x\r\n\t# no\ncommand=\"a\\b\" ssh-rsa B J\xf6rg\n";
        let keys = "\"sshAuthorizedKeys\":[\"ssh-ed25519 AAAA ada@x\",\
            \"command=\\\"a\\\\b\\\" ssh-rsa B J\u{fffd}rg\"]}},\"incomplete\":false}";
        let shadow = Privileged::Shadow(Shadow { name: b"ada", password: b"*", numbers: [0; 7] });
        for piece in 1..=file.len() {
            let mut out = [0; 1024];
            let text = written(&shadow, file, piece, &mut out);
            assert_eq!(text.strip_prefix(","), Some(keys), "{piece}");
            let text = written(&Privileged::None, file, piece, &mut out);
            assert_eq!(text.strip_prefix(",\"privileged\":{"), Some(keys), "{piece}");
        }
    }

    #[test]
    fn without_a_key_nothing_is_said_of_them() {
        let mut out = [0; 256];
        let end = "},\"incomplete\":false}";
        assert_eq!(written(&Privileged::None, b"#\n \n", 9, &mut out), end);
        let shadow = Privileged::Shadow(Shadow { name: b"ada", password: b"*", numbers: [0; 7] });
        assert_eq!(written(&shadow, b"", 9, &mut out), "}},\"incomplete\":false}");
    }

    #[test]
    fn without_room_nothing_is_taken() {
        let mut writer = KeysWriter::new(&Privileged::None);
        assert_eq!(writer.feed(b"key\n", &mut [0; KeysWriter::ROOM - 1]), (0, 0));
    }
}
