//! Lines of the map sshkey, `NAME:VALUE`. The value is one key as it stands, or a list of keys as Python
//! writes it, `['key', 'key']`; or there is a line for each key of a user, one behind the other.
//!
//! ```
//! use nssproto::cache::sshkey::{keys, split, write_list};
//!
//! let (name, value) = split(b"ada:['ssh-ed25519 AAAA ada@host']")?;
//! let mut found = keys(value);
//! let key = found.next().unwrap()?;
//! assert!(name == b"ada" && key.bytes().eq(*b"ssh-ed25519 AAAA ada@host") && found.next().is_none());
//!
//! let (mut line, mut len) = ([0; 16], 0);
//! write_list([&b"it's"[..], b"b"].into_iter(), |byte| { line[len] = byte; len += 1; })?;
//! assert_eq!(&line[..len], br#"["it's", 'b']"#);
//! # Ok::<(), nssproto::Malformed>(())
//! ```

use crate::Malformed;

/// No key can have such a byte, nor can it be written in a list without another notation.
const CONTROL: Malformed = Malformed("a control character in a key");

/// A list that does not go on, or end, as one does.
const NO_LIST: Malformed = Malformed("no list of keys");

/// The name and the value of a line, without its LF: what stands before its first colon, and behind.
pub fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(super::lines::why::SEPARATOR)?;
    match (line.get(..colon), line.get(colon + 1..)) {
        (Some(name), Some(value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(super::lines::why::NO_NAME),
    }
}

/// A key as it stands in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SshKey<'a> {
    raw: &'a [u8],
    /// Backslashes stand in front of quotes and of themselves.
    escaped: bool,
}

impl<'a> SshKey<'a> {
    /// The key.
    pub fn bytes(self) -> impl Iterator<Item = u8> + use<'a> {
        let mut rest = self.raw.iter();
        core::iter::from_fn(move || match rest.next() {
            Some(b'\\') if self.escaped => rest.next().map(|byte| match byte {
                b't' => b'\t',
                other => *other,
            }),
            byte => byte.copied(),
        })
    }
}

/// The keys of a value. An error is the last thing that comes: keys before it are good, and what
/// follows cannot be told.
pub fn keys(value: &[u8]) -> Keys<'_> {
    match value {
        [] => Keys { rest: b"", state: State::Ended },
        [b'[', list @ ..] => Keys { rest: list, state: State::First },
        _ => Keys { rest: value, state: State::Bare },
    }
}

/// See [`keys`].
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    rest: &'a [u8],
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Bare,
    First,
    Next,
    Ended,
}

impl<'a> Iterator for Keys<'a> {
    type Item = Result<SshKey<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.state {
            State::Bare => {
                self.state = State::Ended;
                check(self.rest).map(|raw| Some(SshKey { raw, escaped: false }))
            }
            State::Ended => return None,
            State::First | State::Next => self.item(),
        };
        if !matches!(next, Ok(Some(_))) {
            self.state = State::Ended;
        }
        next.transpose()
    }
}

impl<'a> Keys<'a> {
    /// The next item of a list; `None`: it ends here, and nothing is behind it.
    fn item(&mut self) -> Result<Option<SshKey<'a>>, Malformed> {
        let rest = match (self.state, self.rest) {
            (_, [b']']) => return Ok(None),
            (State::First, rest) => rest,
            (_, [b',', b' ', rest @ ..]) => rest,
            _ => return Err(NO_LIST),
        };
        let Some((quote @ (b'\'' | b'"'), text)) = rest.split_first() else { return Err(NO_LIST) };
        let (mut end, mut bytes) = (0, text.iter());
        loop {
            match bytes.next().ok_or(NO_LIST)? {
                b'\\' => {
                    if !matches!(bytes.next(), Some(b'\\' | b'\'' | b'"' | b't')) {
                        return Err(CONTROL);
                    }
                    end += 2;
                }
                byte if byte == quote => break,
                _ => end += 1,
            }
        }
        let (raw, behind) = text.split_at_checked(end).ok_or(NO_LIST)?;
        self.rest = behind.get(1..).unwrap_or_default();
        self.state = State::Next;
        check(raw).map(|raw| Some(SshKey { raw, escaped: true }))
    }
}

fn check(key: &[u8]) -> Result<&[u8], Malformed> {
    let wrong = key.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control());
    if wrong { Err(CONTROL) } else { Ok(key) }
}

/// Writes a list of keys as Python does, byte by byte to `put`.
pub fn write_list<'a>(
    keys: impl Iterator<Item = &'a [u8]>,
    mut put: impl FnMut(u8),
) -> Result<(), Malformed> {
    put(b'[');
    for (nth, key) in keys.enumerate() {
        check(key)?;
        if nth > 0 {
            put(b',');
            put(b' ');
        }
        let quote = if key.contains(&b'\'') && !key.contains(&b'"') { b'"' } else { b'\'' };
        put(quote);
        for byte in key {
            if *byte == b'\\' || *byte == quote {
                put(b'\\');
            }
            match byte {
                b'\t' => {
                    put(b'\\');
                    put(b't');
                }
                byte => put(*byte),
            }
        }
        put(quote);
    }
    put(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn read(value: &[u8]) -> Option<Vec<Vec<u8>>> {
        keys(value).map(|key| key.map(|key| key.bytes().collect())).collect::<Result<_, _>>().ok()
    }

    #[test]
    fn lists_are_those_of_python() {
        // What Python 3 prints of these lists.
        for (list, text) in [
            (&[][..], "[]"),
            (&["a"][..], "['a']"),
            (&["a", "b c"], "['a', 'b c']"),
            (&["it's"], "[\"it's\"]"),
            (&["say \"x\""], "['say \"x\"']"),
            (&["it's \"x\""], "['it\\'s \"x\"']"),
            (&["a\\b", "x]', '"], "['a\\\\b', \"x]', '\"]"),
            (&["a\tb", "ä"], "['a\\tb', 'ä']"),
            (&[""], "['']"),
        ] {
            let mut written = Vec::new();
            write_list(list.iter().map(|key| key.as_bytes()), |b| written.push(b)).unwrap();
            assert_eq!(std::str::from_utf8(&written), Ok(text));
            let want: Vec<Vec<u8>> = list.iter().map(|key| key.as_bytes().to_vec()).collect();
            assert_eq!(read(&written), Some(want), "{text}");
        }
    }

    #[test]
    fn a_bare_value_is_one_key_colons_included() {
        let line = b"ada:from=\"2001:db8::1\" ssh-rsa AAAA";
        let (name, value) = split(line).unwrap();
        assert_eq!((name, read(value)), (&b"ada"[..], Some([line[4..].to_vec()].to_vec())));
        assert_eq!(read(b""), Some([].to_vec()));
        assert_eq!(read(br"a\n"), Some([br"a\n".to_vec()].to_vec()), "no escapes there");
        assert!(split(b"ada").is_err() && split(b":x").is_err());
    }

    #[test]
    fn what_is_no_list_is_none() {
        for wrong in [
            &b"["[..],
            b"['a'",
            b"['a",
            b"['a']x",
            b"['a' 'b']",
            b"['a','b']",
            b"['a', ]",
            b"[a]",
            b"['a\\n']",
            b"['a\\x0aroot']",
            b"['a\\",
            b"['a\nb']",
        ] {
            assert_eq!(read(wrong), None, "{}", wrong.escape_ascii());
        }
        assert_eq!(write_list([&b"a\nb"[..]].into_iter(), |_| {}), Err(CONTROL));
        assert_eq!(read(b"a\rb"), None);
    }
}
