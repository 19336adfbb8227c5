//! OMNI lines: `STATUS:ENCODING:PROGRAM:COMMAND:HOST:MESSAGE`.

/// Where printed bytes go.
pub trait Sink {
    /// Takes them all.
    fn put(&mut self, bytes: &[u8]);
}

/// The last field, in pieces, escaped already.
pub trait Message {
    /// Gives the pieces. An escape of ours is never cut in two.
    fn each(&self, to: &mut dyn FnMut(&[u8]));
}

impl Message for &[u8] {
    fn each(&self, to: &mut dyn FnMut(&[u8])) {
        to(self);
    }
}

/// The fields in front of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// `okay`, `fail`, `info`, `type`.
    pub status: &'a [u8],
    /// Empty; `c` first: the message can be undone.
    pub encoding: &'a [u8],
    /// `dt`.
    pub program: &'a [u8],
    /// What was run.
    pub command: &'a [u8],
    /// Where: the word, without colons.
    pub host: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads a line; fields that it has not are empty. What follows them is the message.
    pub fn parse(line: &'a [u8]) -> (Head<'a>, &'a [u8]) {
        let mut fields = line.splitn(6, |byte| *byte == b':');
        let mut next = || fields.next().unwrap_or_default();
        let head = Head {
            status: next(),
            encoding: next(),
            program: next(),
            command: next(),
            host: next(),
        };
        (head, next())
    }

    /// The fields, each with its colon.
    pub fn write(&self, colours: bool, sink: &mut dyn Sink) {
        // As dtools' own: green, red, blue; the command blue, the host bold.
        let status: &[u8] = match self.status {
            _ if !colours => b"",
            b"okay" => b"\x1b[32;1m",
            b"fail" => b"\x1b[31;1m",
            _ => b"\x1b[34;1m",
        };
        let colour = |code: &'static [u8]| if colours { code } else { b"" };
        let reset = colour(b"\x1b[0;0m");
        for (front, field) in [
            (status, self.status),
            (b"", self.encoding),
            (b"", self.program),
            (colour(b"\x1b[34;1m"), self.command),
            (colour(b"\x1b[0;1m"), self.host),
        ] {
            let end = if front.is_empty() { b"" } else { reset };
            for piece in [front, field, end, b":"] {
                if !piece.is_empty() {
                    sink.put(piece);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(Vec<u8>);

    impl Sink for Text {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    #[test]
    fn a_line_is_read_and_written() {
        let line = b"okay:c:dt:ssh:web1:a:b:";
        let (head, message) = Head::parse(line);
        assert_eq!((head.host, message), (&b"web1"[..], &b"a:b:"[..]));
        let mut text = Text(Vec::new());
        head.write(false, &mut text);
        assert_eq!(text.0, b"okay:c:dt:ssh:web1:");
        assert_eq!(Head::parse(b"fail::dt:x").0.command, b"x");
        assert_eq!(Head::parse(b"").1, b"");
    }

    #[test]
    fn colours_are_those_of_dtools() {
        let mut text = Text(Vec::new());
        Head::parse(b"fail::dt:ssh:web1:").0.write(true, &mut text);
        let wanted = "\x1b[31;1mfail\x1b[0;0m::dt:\x1b[34;1mssh\x1b[0;0m:\x1b[0;1mweb1\x1b[0;0m:";
        assert_eq!(String::from_utf8(text.0).unwrap(), wanted);
    }
}
