//! JSON as it arrives: an array's elements one after the other, so that memory is that of the largest.

use crate::directory::failure::{Done, Failure};
use crate::limits::DIRECTORY_LINE;
use nssproto::bytes::decimal_u64;
use nssproto::json::{Reader, Text, Value};
use std::io::{ErrorKind, Read};

/// How deep what is passed over may be nested.
const DEPTH: u32 = 64;

/// Members of the outermost object that are wanted besides the array, as they stand.
#[derive(Default)]
pub struct Aside {
    wanted: &'static [&'static str],
    found: Vec<(&'static str, Vec<u8>)>,
    /// Without the array it is as if it were empty.
    pub may_lack: bool,
}

impl Aside {
    /// These.
    pub fn of(wanted: &'static [&'static str]) -> Aside {
        Aside { wanted, found: Vec::new(), may_lack: false }
    }

    /// One of them, as it stands.
    pub fn raw(&self, name: &str) -> Option<&[u8]> {
        self.found.iter().find(|(found, _)| *found == name).map(|(_, raw)| raw.as_slice())
    }

    /// One of them; `None`: it is not there, or null.
    pub fn value(&self, name: &str) -> Done<Option<Value<'_>>> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let value = Reader::new(raw).value().ok().flatten();
        match value {
            Some(Value::Null) => Ok(None),
            Some(value) => Ok(Some(value)),
            None => Err(Failure::refused(format!("JSON whose {name} is broken"))),
        }
    }

    /// A number, which may stand as a text.
    pub fn number(&self, name: &str) -> Done<Option<u64>> {
        match self.value(name)? {
            None => Ok(None),
            Some(value) => match number(value) {
                Some(number) => Ok(Some(number)),
                None => Err(Failure::refused(format!("JSON whose {name} is no number"))),
            },
        }
    }

    /// A text; anything else is none.
    pub fn text(&self, name: &str) -> Done<Option<String>> {
        let text = match self.value(name)? {
            Some(Value::Text(text)) => Some(text.bytes().collect::<Vec<u8>>()),
            _ => None,
        };
        Ok(text.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn wants(&self, name: &Text<'_>) -> Option<&'static str> {
        self.wanted.iter().find(|wanted| name.is(wanted)).copied()
    }
}

/// A number, or a text of digits, as protobuf writes those of 64 bits.
pub fn number(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::Text(text) => decimal_u64(&text.bytes().collect::<Vec<u8>>()),
        _ => None,
    }
}

/// Hands each element of the array at the end of a path over, as it stands, with its number from 1.
pub fn elements(
    body: &mut dyn Read,
    path: &[String],
    aside: &mut Aside,
    each: &mut dyn FnMut(&[u8], u64) -> Done,
) -> Done {
    let mut stream = Stream::new(body, aside);
    let mut element = Vec::new();
    let mut number = 0;
    let Some(outside) = stream.enter(path)? else { return stream.end() };
    while stream.element(&mut element, number == 0)? {
        number += 1;
        each(&element, number)?;
    }
    stream.leave(outside, path)
}

/// A document, byte by byte.
struct Stream<'a> {
    body: &'a mut dyn Read,
    aside: &'a mut Aside,
    room: Vec<u8>,
    at: usize,
    end: usize,
}

impl<'a> Stream<'a> {
    fn new(body: &'a mut dyn Read, aside: &'a mut Aside) -> Self {
        Stream { body, aside, room: vec![0; 32 * 1024], at: 0, end: 0 }
    }

    /// The next byte, which stays the next one.
    fn peek(&mut self) -> Done<u8> {
        self.peek_or_end()?.ok_or_else(|| Failure::unavailable("JSON that ends in the middle"))
    }

    fn peek_or_end(&mut self) -> Done<Option<u8>> {
        if self.at == self.end {
            let got = loop {
                match self.body.read(&mut self.room) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    done => break done.map_err(Failure::of_reading)?,
                }
            };
            (self.at, self.end) = (0, got);
        }
        Ok(self.room.get(self.at..self.end).and_then(|rest| rest.first()).copied())
    }

    /// The next byte that is no white space, which stays the next one.
    fn token(&mut self) -> Done<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Ok(byte),
            }
        }
    }

    fn expect(&mut self, wanted: u8, what: &str) -> Done {
        if self.token()? != wanted {
            return Err(Failure::refused(format!("JSON without {what}")));
        }
        self.at += 1;
        Ok(())
    }

    /// Goes into the array at the end of `path`; how many objects are around it. `None`: it is not there.
    fn enter(&mut self, path: &[String]) -> Done<Option<u32>> {
        for (depth, name) in path.iter().enumerate() {
            self.expect(b'{', "the object around its entries")?;
            if self.find(name, depth == 0)? {
                continue;
            }
            if self.aside.may_lack && depth == 0 {
                return Ok(None);
            }
            return Err(Failure::refused(format!("JSON without {name}")));
        }
        self.expect(b'[', "the array of entries")?;
        Ok(Some(path.len() as u32))
    }

    /// Passes over members of an object up to the value of this one. False: it has none, and was left.
    fn find(&mut self, name: &str, outermost: bool) -> Done<bool> {
        let mut text = Vec::new();
        loop {
            if self.token()? == b'}' {
                self.at += 1;
                return Ok(false);
            }
            self.name(&mut text)?;
            if Text::of(&text).is_ok_and(|text| text.is(name)) {
                return Ok(true);
            }
            self.member(&text, outermost)?;
            if self.token()? == b',' {
                self.at += 1;
            }
        }
    }

    /// Passes over the value of another member, or keeps it.
    fn member(&mut self, name: &[u8], outermost: bool) -> Done {
        let wanted = Text::of(name).ok().and_then(|name| self.aside.wants(&name));
        let Some(wanted) = wanted.filter(|_| outermost) else { return self.value(None) };
        if self.aside.raw(wanted).is_some() {
            return Err(Failure::refused(format!("JSON that has {wanted} twice")));
        }
        let mut raw = Vec::new();
        self.value(Some(&mut raw))?;
        self.aside.found.push((wanted, raw));
        Ok(())
    }

    /// A member's name, and its colon.
    fn name(&mut self, text: &mut Vec<u8>) -> Done {
        text.clear();
        if self.token()? != b'"' {
            return Err(Failure::refused("JSON whose object has no name for a member"));
        }
        self.value(Some(text))?;
        self.expect(b':', "a colon")
    }

    /// Passes over what is behind the array: the rest of the objects around it.
    fn leave(&mut self, mut outside: u32, path: &[String]) -> Done {
        let mut text = Vec::new();
        let mut names = path.iter().rev();
        while outside > 0 {
            let name = names.next();
            while self.token()? == b',' {
                self.at += 1;
                self.name(&mut text)?;
                let again = Text::of(&text);
                if again.is_ok_and(|text| name.is_some_and(|name| text.is(name))) {
                    return Err(Failure::refused("JSON that has the array of entries twice"));
                }
                self.member(&text, outside == 1)?;
            }
            self.expect(b'}', "the end of an object")?;
            outside -= 1;
        }
        self.end()
    }

    /// Nothing may follow.
    fn end(&mut self) -> Done {
        while let Some(byte) = self.peek_or_end()? {
            if !byte.is_ascii_whitespace() {
                return Err(Failure::refused("something follows the JSON"));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The next element of the array; false: there is none, and the array was left.
    fn element(&mut self, out: &mut Vec<u8>, first: bool) -> Done<bool> {
        out.clear();
        match self.token()? {
            b']' => {
                self.at += 1;
                return Ok(false);
            }
            b',' if !first => self.at += 1,
            _ if first => {}
            _ => return Err(Failure::refused("JSON without a comma between entries")),
        }
        self.token()?;
        self.value(Some(out))?;
        Ok(true)
    }

    /// Takes a value up to its end, or passes over it. Whether it is one is seen when it is read.
    fn value(&mut self, mut out: Option<&mut Vec<u8>>) -> Done {
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        self.token()?;
        let mut begun = false;
        loop {
            self.peek()?;
            let rest = self.room.get(self.at..self.end).unwrap_or_default();
            let mut taken = 0;
            let mut done = false;
            for byte in rest {
                if quoted {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => {
                            quoted = false;
                            done = depth == 0;
                        }
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' if depth == 0 && begun => break,
                        b'"' => quoted = true,
                        b'{' | b'[' if depth == 0 && begun => break,
                        b'{' | b'[' => depth += 1,
                        // The end of what is around a value without an end of its own.
                        b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => {
                            done = true;
                            break;
                        }
                        b'}' | b']' => {
                            depth -= 1;
                            done = depth == 0;
                        }
                        _ => {}
                    }
                    if depth > DEPTH {
                        return Err(Failure::refused(format!("JSON nested deeper than {DEPTH}")));
                    }
                }
                begun = true;
                taken += 1;
                if done {
                    break;
                }
            }
            if let Some(out) = out.as_deref_mut() {
                out.extend_from_slice(rest.get(..taken).unwrap_or_default());
                if out.len() > DIRECTORY_LINE {
                    let most = DIRECTORY_LINE >> 20;
                    return Err(Failure::refused(format!("an entry of more than {most} MiB")));
                }
            }
            self.at += taken;
            if done {
                return match begun {
                    true => Ok(()),
                    false => Err(Failure::refused("JSON without a value")),
                };
            }
            if taken < rest.len() {
                return Err(Failure::refused("JSON with two values and nothing between them"));
            }
        }
    }
}
