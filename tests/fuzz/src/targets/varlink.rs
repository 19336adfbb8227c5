//! JSON and varlink calls, against serde_json; and escaping, against what Rust takes for UTF-8.

use super::{cut, first};
use nssproto::DecodeError;
use nssproto::json::{DEPTH_MAX, Escaper, Reader, Text, Token};
use nssproto::userdb::{Question, Told};
use nssproto::varlink::{Call, Reply};
use serde_json::Value;
use std::iter::repeat_n;

/// A size of pieces, a document, and a text to escape.
pub fn varlink(data: &[u8]) {
    let (size, rest) = first(data);
    let (document, text) = cut(rest);
    reads_as_serde_does(document);
    calls(document);
    escapes(text, usize::from(size).max(1));
}

/// The next token, where the document cannot be at its end.
fn pull<'a>(reader: &mut Reader<'a>) -> Result<Token<'a>, &'static str> {
    let token = reader.next().map_err(|malformed| malformed.reason())?;
    Ok(token.expect("a value or an error"))
}

/// What the pull reader reads, as a tree.
fn tree<'a>(reader: &mut Reader<'a>, token: Token<'a>) -> Result<Value, &'static str> {
    Ok(match token {
        Token::Object => {
            let mut members = serde_json::Map::new();
            while let Token::Name(name) = pull(reader)? {
                let value = pull(reader)?;
                members.insert(string(name), tree(reader, value)?);
            }
            Value::Object(members)
        }
        Token::Array => {
            let mut elements = Vec::new();
            loop {
                match pull(reader)? {
                    Token::End => break,
                    token => elements.push(tree(reader, token)?),
                }
            }
            Value::Array(elements)
        }
        Token::Text(text) => Value::String(string(text)),
        Token::Number(number) => {
            // Its own reading of a float may be off by a little: it is asked for that.
            let theirs: serde_json::Number = serde_json::from_slice(number.raw())
                .map_err(|_| "a number that is out of range for serde_json")?;
            assert_eq!(number.as_u64(), theirs.as_u64());
            if number.raw() != b"-0" {
                assert_eq!(number.as_i64(), theirs.as_i64());
            }
            Value::Number(theirs)
        }
        Token::Bool(bool) => bool.into(),
        Token::Null => Value::Null,
        Token::End | Token::Name(_) => panic!("{token:?} in place of a value"),
    })
}

pub fn string(text: Text<'_>) -> String {
    let string = String::from_utf8(text.bytes().collect()).expect("UTF-8");
    assert!(text.is(&string));
    string
}

fn read(document: &[u8]) -> Result<Value, &'static str> {
    let mut reader = Reader::new(document);
    let token = pull(&mut reader)?;
    let value = tree(&mut reader, token)?;
    match reader.next() {
        Ok(None) => Ok(value),
        Ok(Some(token)) => panic!("{token:?} behind the value"),
        Err(malformed) => Err(malformed.reason()),
    }
}

fn reads_as_serde_does(document: &[u8]) {
    match (read(document), serde_json::from_slice::<Value>(document)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Err(_), Err(_)) => {}
        // It has a limit of its own, and we another one.
        (Err("nested too deep"), Ok(_)) => assert!(depth(document) > DEPTH_MAX as usize),
        (ours, theirs) => panic!("{ours:?}, but {theirs:?}"),
    }
}

/// At most how deep it is nested.
fn depth(document: &[u8]) -> usize {
    document.iter().filter(|byte| matches!(byte, b'[' | b'{')).count()
}

fn calls(document: &[u8]) {
    let message = [document, b"\0behind"].concat();
    let call = match Call::decode(&message) {
        Ok(call) => call,
        Err(DecodeError::Malformed(_)) => return,
        Err(other) => panic!("a whole message that is {other:?}"),
    };
    let length = message.iter().position(|byte| *byte == 0).unwrap();
    assert_eq!(call.len, length + 1);
    for end in 0..length {
        assert!(matches!(Call::decode(&message[..end]), Err(DecodeError::Incomplete(1))));
    }
    let Ok(value) = serde_json::from_slice::<Value>(&message[..length]) else { return };
    assert_eq!(value["method"].as_str(), Some(&*string(call.value.method)));
    assert_eq!(value["more"].as_bool().unwrap_or_default(), call.value.more);
    assert_eq!(value["parameters"].is_object(), call.value.parameters.is_some());
    let mut out = vec![0; 6 * message.len() + 4096];
    match Question::decode(&call.value, "s") {
        Ok(question) => {
            let Ok(len) = question.encode("s", call.value.more, &mut out) else { return };
            let Ok(again) = Call::decode(&out[..len]) else { return };
            assert_eq!(Question::decode(&again.value, "s"), Ok(question));
        }
        Err(error) => {
            let len = error.encode(&mut out).expect("room");
            assert_eq!(out[len - 1], 0);
            let reply: Value = serde_json::from_slice(&out[..len - 1]).expect("JSON");
            assert!(reply["error"].is_string());
            let reply = Reply::decode(&out[..len], len).expect("a reply").value;
            assert!(matches!(Told::decode(&reply), Ok(Told::None(_) | Told::Failed(_))));
        }
    }
}

/// What is told of a text that may be no UTF-8.
pub fn told(text: &[u8]) -> String {
    let mut wanted = String::new();
    for chunk in text.utf8_chunks() {
        wanted.extend(chunk.valid().chars().map(|character| match u32::from(character) {
            0 | 0xfdd0..=0xfdef => '\u{fffd}',
            code if code & 0xfffe == 0xfffe => '\u{fffd}',
            _ => character,
        }));
        wanted.extend(repeat_n('\u{fffd}', chunk.invalid().len()));
    }
    wanted
}

fn escapes(text: &[u8], size: usize) {
    let wanted = told(text);
    let mut escaper = Escaper::default();
    let mut all = b"\"".to_vec();
    for mut piece in text.chunks(size) {
        while !piece.is_empty() {
            let mut room = [0; 16];
            let (taken, written) = escaper.feed(piece, &mut room);
            assert!(taken > 0, "it goes on while there is room");
            piece = &piece[taken..];
            all.extend(&room[..written]);
        }
    }
    let mut room = [0; 16];
    let written = escaper.finish(&mut room);
    all.extend(&room[..written]);
    all.push(b'"');
    assert!(!all.iter().any(u8::is_ascii_control));
    assert_eq!(serde_json::from_slice::<String>(&all).expect("a string"), wanted);
}
