//! JSON, RFC 8259, as varlink speaks it: read from a whole message and written into a fixed buffer.
//!
//! [`Reader`] pulls one token after another. It keeps no tree and does not recurse: what it knows of
//! its nesting is a bit for each level, and what is nested deeper than [`DEPTH_MAX`] is malformed.
//! Texts and numbers are lent as they stand and are unescaped or converted when they are used.
//!
//! ```
//! use nssproto::json::{Members, Value};
//!
//! let mut members = Members::of(br#"{"uid": 1000, "name": "J\u00f6rg"}"#).unwrap();
//! let (name, value) = members.next().unwrap().unwrap();
//! assert!(name.is("uid"));
//! assert!(matches!(value, Value::Number(number) if number.as_u64() == Some(1000)));
//! let (_, value) = members.next().unwrap().unwrap();
//! assert!(matches!(value, Value::Text(text) if text.is("Jörg")));
//! assert!(members.next().is_none());
//! ```

mod text;
mod write;

pub use text::{Number, Text};
pub(crate) use write::is_character;
pub(crate) use write::is_plain;
pub use write::{ESCAPED_MAX, Escaper, Message};

use crate::Malformed;

/// How deep arrays and objects may be nested.
pub const DEPTH_MAX: u32 = 16;

/// What a document is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    Object,
    /// `[`
    Array,
    /// The end of the innermost object or array.
    End,
    /// The name of a member of an object; its value follows.
    Name(Text<'a>),
    /// A string.
    Text(Text<'a>),
    /// A number.
    Number(Number<'a>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
}

/// A value, of which nothing nested was looked at but its syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number.
    Number(Number<'a>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
    /// An object, as it stands; [`Members::of`] reads it.
    Object(&'a [u8]),
    /// An array, as it stands; [`Elements::of`] reads it.
    Array(&'a [u8]),
}

/// Reads a document, token by token. An error stays one.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    all: &'a [u8],
    rest: &'a [u8],
    next: Next,
    depth: u32,
    /// A bit for each level, the innermost the lowest: set for an object.
    objects: u32,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Value,
    /// The first element of an array, or its end.
    ElementOrEnd,
    /// The first member of an object, or its end.
    NameOrEnd,
    /// Another element or member, or the end.
    CommaOrEnd,
    /// Nothing: the document is complete.
    Nothing,
    /// It was malformed.
    Bad,
}

impl<'a> Reader<'a> {
    /// A reader of this document: one value, with white space around it.
    pub fn new(document: &'a [u8]) -> Self {
        Reader { all: document, rest: document, next: Next::Value, depth: 0, objects: 0 }
    }

    /// The next token; `None` at the end of the document.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's items would be options of results"
    )]
    pub fn next(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        let token = self.token();
        if token.is_err() {
            self.next = Next::Bad;
        }
        token
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        let mut byte = self.peek();
        let mut first = true;
        match (self.next, byte) {
            (Next::Bad, _) => return Err(Malformed("an object or array is broken")),
            (Next::Nothing, None) => return Ok(None),
            (Next::Nothing, Some(_)) => return Err(Malformed("something follows the value")),
            (_, None) => return Err(Malformed("the value is not complete")),
            (Next::Value, _) => {}
            (_, Some(b']')) if !self.in_object() => return Ok(Some(self.end())),
            (_, Some(b'}')) if self.in_object() => return Ok(Some(self.end())),
            (Next::CommaOrEnd, Some(b',')) => {
                self.skip(1);
                byte = self.peek();
                first = false;
            }
            (Next::CommaOrEnd, _) => return Err(Malformed("a comma is missing")),
            _ => {}
        }
        let names = match self.next {
            Next::Value => false,
            Next::NameOrEnd => true,
            _ => !first && self.in_object(),
        };
        if names {
            let Some(b'"') = byte else { return Err(Malformed("a member has no name")) };
            let name = self.text()?;
            if self.peek() != Some(b':') {
                return Err(Malformed("a colon is missing"));
            }
            self.skip(1);
            self.next = Next::Value;
            return Ok(Some(Token::Name(name)));
        }
        let token = match byte {
            Some(b'{') => self.begin(true)?,
            Some(b'[') => self.begin(false)?,
            Some(b'"') => Token::Text(self.text()?),
            Some(b'-' | b'0'..=b'9') => {
                let (number, rest) = Number::split(self.rest)?;
                self.rest = rest;
                Token::Number(number)
            }
            _ => self.word()?,
        };
        if !matches!(token, Token::Object | Token::Array) {
            self.next = self.behind_value();
        }
        Ok(Some(token))
    }

    /// The next value, nested ones as they stand; `None` where an array or the document ends.
    pub fn value(&mut self) -> Result<Option<Value<'a>>, Malformed> {
        self.peek();
        let from = self.rest;
        let value = match self.next()? {
            None | Some(Token::End) => return Ok(None),
            Some(Token::Name(_)) => return Err(Malformed("a name, and no value")),
            Some(Token::Text(text)) => Value::Text(text),
            Some(Token::Number(number)) => Value::Number(number),
            Some(Token::Bool(bool)) => Value::Bool(bool),
            Some(Token::Null) => Value::Null,
            Some(begin @ (Token::Object | Token::Array)) => {
                let outside = self.depth - 1;
                while self.depth > outside {
                    self.next()?;
                }
                let len = from.len() - self.rest.len();
                // A comma in front of it, and white space.
                let nested = from.get(..len).unwrap_or_default().trim_ascii_start();
                let nested = nested.strip_prefix(b",").unwrap_or(nested).trim_ascii_start();
                if begin == Token::Object { Value::Object(nested) } else { Value::Array(nested) }
            }
        };
        Ok(Some(value))
    }

    /// Bytes that were read.
    pub fn taken(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn behind_value(&self) -> Next {
        if self.depth == 0 { Next::Nothing } else { Next::CommaOrEnd }
    }

    fn begin(&mut self, object: bool) -> Result<Token<'a>, Malformed> {
        if self.depth == DEPTH_MAX {
            return Err(Malformed("nested too deep"));
        }
        self.skip(1);
        self.depth += 1;
        self.objects = self.objects << 1 | u32::from(object);
        self.next = if object { Next::NameOrEnd } else { Next::ElementOrEnd };
        Ok(if object { Token::Object } else { Token::Array })
    }

    fn end(&mut self) -> Token<'a> {
        self.skip(1);
        self.depth -= 1;
        self.objects >>= 1;
        self.next = self.behind_value();
        Token::End
    }

    fn text(&mut self) -> Result<Text<'a>, Malformed> {
        let (text, rest) = Text::split(self.rest)?;
        self.rest = rest;
        Ok(text)
    }

    fn word(&mut self) -> Result<Token<'a>, Malformed> {
        let words = [
            (&b"true"[..], Token::Bool(true)),
            (b"false", Token::Bool(false)),
            (b"null", Token::Null),
        ];
        for (word, token) in words {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(token);
            }
        }
        Err(Malformed("no value"))
    }
}

/// The members of an object, in their order: name and value. Names may come twice.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    reader: Reader<'a>,
}

impl<'a> Members<'a> {
    /// Those of `document`, which has to be an object.
    pub fn of(document: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(document);
        match reader.next()? {
            Some(Token::Object) => Ok(Members { reader }),
            _ => Err(Malformed("no object")),
        }
    }

    fn member(&mut self) -> Result<Option<(Text<'a>, Value<'a>)>, Malformed> {
        let Some(Token::Name(name)) = self.reader.next()? else {
            // The end of the object; nothing may follow.
            return self.reader.next().map(|_| None);
        };
        match self.reader.value()? {
            Some(value) => Ok(Some((name, value))),
            None => Err(Malformed("no value")),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<(Text<'a>, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.reader.next, Next::Nothing | Next::Bad) {
            return None;
        }
        self.member().transpose()
    }
}

/// The elements of an array, in their order.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    reader: Reader<'a>,
}

impl<'a> Elements<'a> {
    /// Those of `document`, which has to be an array.
    pub fn of(document: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(document);
        match reader.next()? {
            Some(Token::Array) => Ok(Elements { reader }),
            _ => Err(Malformed("no array")),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Value<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.reader.next, Next::Nothing | Next::Bad) {
            return None;
        }
        match self.reader.value() {
            Ok(Some(value)) => Some(Ok(value)),
            Ok(None) => self.reader.next().err().map(Err),
            Err(malformed) => Some(Err(malformed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of the whole document, or what is wrong with it.
    fn read(document: &[u8]) -> Result<usize, &'static str> {
        let mut reader = Reader::new(document);
        let mut tokens = 0;
        while reader.next().map_err(Malformed::reason)?.is_some() {
            tokens += 1;
        }
        assert_eq!(reader.taken(), document.len());
        Ok(tokens)
    }

    #[test]
    fn a_document_is_one_value() {
        for (document, want) in [
            (&b" {\"a\": [1, true, null], \"b\": {}} \n"[..], Ok(11)),
            (b"-0.5e+3", Ok(1)),
            (b"", Err("the value is not complete")),
            (b"[1", Err("the value is not complete")),
            (b"[1,]", Err("no value")),
            (b"[,1]", Err("no value")),
            (b"[1 2]", Err("a comma is missing")),
            (b"{\"a\":1,}", Err("a member has no name")),
            (b"{1:1}", Err("a member has no name")),
            (b"{\"a\" 1}", Err("a colon is missing")),
            (b"{\"a\":}", Err("no value")),
            (b"[}", Err("no value")),
            (b"{]", Err("a member has no name")),
            (b"1 1", Err("something follows the value")),
            (b"[]]", Err("something follows the value")),
            (b"01", Err("a number with a leading zero")),
            (b"1.", Err("a number without digits")),
            (b"-", Err("a number without digits")),
            (b"1e", Err("a number without digits")),
            (b"nul", Err("no value")),
            (b"\"a", Err("a string is not complete")),
            (b"\"\\x\"", Err("an escape that is none")),
            (b"\"\\u12g4\"", Err("an escape without four hexadecimal digits")),
            (b"\"\\ud800\"", Err("half of a surrogate pair")),
            (b"\"\\ud800\\u0041\"", Err("half of a surrogate pair")),
            (b"\"\\udc00\"", Err("half of a surrogate pair")),
            (b"\"\xff\"", Err("a string is no UTF-8")),
            (b"\"\n\"", Err("a control character in a string")),
        ] {
            assert_eq!(read(document), want, "{}", document.escape_ascii());
        }
    }

    #[test]
    fn nesting_has_a_bound_and_takes_no_stack() {
        let deep = |depth: usize| {
            let mut document = [b'['; 2 * 600];
            document.iter_mut().skip(depth).for_each(|byte| *byte = b']');
            read(document.get(..2 * depth).unwrap_or_default())
        };
        assert_eq!(deep(DEPTH_MAX as usize), Ok(2 * DEPTH_MAX as usize));
        assert_eq!(deep(DEPTH_MAX as usize + 1), Err("nested too deep"));
        assert_eq!(deep(600), Err("nested too deep"));
    }

    #[test]
    fn nested_values_are_lent_as_they_stand() {
        let mut elements = Elements::of(b"[1 , {\"a\" : [ ]} ,[2]]").unwrap();
        assert!(matches!(elements.next(), Some(Ok(Value::Number(one))) if one.as_i64() == Some(1)));
        assert_eq!(elements.next(), Some(Ok(Value::Object(b"{\"a\" : [ ]}"))));
        assert_eq!(elements.next(), Some(Ok(Value::Array(b"[2]"))));
        assert_eq!(elements.next(), None);
        let mut members = Members::of(b"{\"a\":1} x").unwrap();
        assert!(members.next().is_some_and(|member| member.is_ok()));
        assert!(members.next().is_some_and(|member| member.is_err()));
        assert!(members.next().is_none());
    }

    #[test]
    fn integers_are_asked_for_by_their_kind() {
        for (document, unsigned, signed) in [
            (&b"18446744073709551615"[..], Some(u64::MAX), None),
            (b"18446744073709551616", None, None),
            (b"-9223372036854775808", None, Some(i64::MIN)),
            (b"-9223372036854775809", None, None),
            (b"-0", None, Some(0)),
            (b"1.0", None, None),
            (b"1e2", None, None),
        ] {
            let Ok(Some(Token::Number(number))) = Reader::new(document).next() else {
                panic!("no number");
            };
            assert_eq!((number.as_u64(), number.as_i64()), (unsigned, signed));
        }
    }

    #[test]
    fn a_message_that_does_not_fit_says_how_long_it_is() {
        let mut out = [0; 9];
        let mut message = Message::new(&mut out);
        message.put(b"{").text(*b"a\"").put(b":").number(17).put(b"}");
        assert_eq!(message.finish(), Err(crate::EncodeError::NoSpace(10)));
        let mut out = [0; 10];
        let mut message = Message::new(&mut out);
        message.put(b"{").text(*b"a\"").put(b":").number(17).put(b"}");
        assert_eq!(message.finish(), Ok(10));
        assert_eq!(&out, b"{\"a\\\"\":17}");
    }
}
