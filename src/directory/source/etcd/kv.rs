//! What etcd's JSON gateway is asked, and what it answers: keys and values are base64, numbers texts.

use super::changes::Event;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::source::client::{Answer, body, front, refused};
use crate::directory::source::json::stream::{Aside, elements, number};
use crate::directory::source::json::{Wrong, object_of, text_at};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nssproto::json::{Members, Value};
use std::fmt::{self, Display, Formatter};
use ureq::http::StatusCode;

/// Something to be asked.
pub struct Call {
    /// Behind the endpoint.
    pub path: &'static str,
    /// The body.
    pub json: String,
}

/// Where a map was when it was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which cluster's.
    pub cluster: u64,
    /// Of the whole store.
    pub revision: u64,
    /// Keys of the map.
    pub count: u64,
    /// What lines were made of them.
    pub shape: u64,
}

impl Position {
    /// As it is remembered.
    pub fn parse(text: &str) -> Option<Position> {
        let mut words = text.split(' ').map(|word| u64::from_str_radix(word, 16).ok());
        let mut next = || words.next().flatten();
        Some(Position { cluster: next()?, revision: next()?, count: next()?, shape: next()? })
    }
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Position { cluster, revision, count, shape } = self;
        write!(f, "{cluster:x} {revision:x} {count:x} {shape:x}")
    }
}

/// A key with its value.
pub struct Pair {
    key: Vec<u8>,
    /// What it has.
    pub value: Vec<u8>,
    created: u64,
    modified: u64,
}

impl Pair {
    /// The key without the prefix of the map.
    pub fn name(&self, prefix: &[u8]) -> &[u8] {
        self.key.strip_prefix(prefix).unwrap_or_default()
    }

    /// As what made it so.
    pub fn event(self, prefix: &[u8]) -> Event {
        let name = self.name(prefix).to_vec();
        let (created, modified) = (self.created, self.modified);
        Event { name, value: Some(self.value), created, modified }
    }

    /// One as JSON has it.
    pub fn of(value: Value<'_>) -> Result<Pair, Wrong> {
        let text = |name: &str| text_at(value, &[name.to_owned()]);
        let bytes = |name: &str| -> Result<Vec<u8>, Wrong> {
            let text = text(name)?.unwrap_or_default();
            STANDARD.decode(text).map_err(|_| Wrong::Malformed("what is no base64"))
        };
        let count = |name: &str| -> Result<u64, Wrong> {
            let text = text(name)?.unwrap_or_else(|| b"0".to_vec());
            nssproto::bytes::decimal_u64(&text).ok_or(Wrong::Malformed("a revision that is none"))
        };
        Ok(Pair {
            key: bytes("key")?,
            value: bytes("value")?,
            created: count("create_revision")?,
            modified: count("mod_revision")?,
        })
    }
}

/// The keys of a map, page by page at one revision.
pub struct Range {
    /// Where the next page begins.
    key: Vec<u8>,
    end: Vec<u8>,
    limit: u64,
    /// That of the first page, from then on that of all; 0: none came yet.
    pub revision: u64,
    /// Only keys that changed behind this one.
    pub newer_than: u64,
}

/// What a page says besides its keys.
pub struct Page {
    /// Keys from its beginning on.
    pub count: u64,
    /// There are more of them.
    pub more: bool,
    /// Whose it is.
    pub cluster: u64,
    /// Bytes that came.
    pub bytes: u64,
}

impl Range {
    /// All with a prefix, so many at a time.
    pub fn all(prefix: &[u8], limit: u64) -> Range {
        let (key, end) = (prefix.to_vec(), end_of(prefix));
        Range { key, end, limit, revision: 0, newer_than: 0 }
    }

    /// What asks for the next page.
    pub fn call(&self) -> Call {
        let (key, end) = (STANDARD.encode(&self.key), STANDARD.encode(&self.end));
        let Range { limit, revision, .. } = self;
        let newer = match self.newer_than {
            0 => String::new(),
            revision => format!(",\"min_mod_revision\":\"{}\"", revision + 1),
        };
        let json = format!(
            "{{\"key\":\"{key}\",\"range_end\":\"{end}\",\"limit\":\"{limit}\",\"revision\":\"{revision}\"{newer}}}"
        );
        Call { path: "v3/kv/range", json }
    }

    /// Hands its keys over, with their numbers.
    pub fn read(&mut self, answer: Answer, each: &mut dyn FnMut(Pair, u64) -> Done) -> Done<Page> {
        let mut aside = Aside::of(&["header", "more", "count"]);
        // Of no keys there is no list.
        aside.may_lack = true;
        let mut body = body(answer)?;
        let mut last = None;
        elements(&mut body, &["kvs".to_owned()], &mut aside, &mut |element, number| {
            let pair = object_of(element).and_then(Pair::of);
            let pair = pair.map_err(|_| Failure::refused("a key that is none"))?;
            // Whoever sent keys in another order would have us ask for ever.
            if pair.key < self.key || last.as_ref().is_some_and(|last| pair.key <= *last) {
                return Err(Failure::refused("keys that are not in their order"));
            }
            last = Some(pair.key.clone());
            each(pair, number)
        })?;
        let Some(Value::Object(header)) = aside.value("header")? else {
            return Err(Failure::refused("an answer that is not etcd's"));
        };
        let revision = member(header, "revision").unwrap_or_default();
        // A page of another time would have keys twice, or lack some.
        if self.revision == 0 {
            self.revision = revision;
        }
        let more = matches!(aside.value("more")?, Some(Value::Bool(true)));
        let count = aside.number("count")?.unwrap_or_default();
        if more {
            let mut key = last.ok_or_else(|| Failure::refused("a page without keys"))?;
            key.push(0);
            self.key = key;
        }
        let cluster = member(header, "cluster_id").unwrap_or_default();
        Ok(Page { count, more, cluster, bytes: body.received() })
    }
}

/// The first key behind all that have this prefix.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(byte) = end.pop() {
        if let Some(next) = byte.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0]
}

/// A number among the members of an object.
pub fn member(object: &[u8], name: &str) -> Option<u64> {
    let found = Members::of(object).ok()?.flatten().find(|(known, _)| known.is(name))?;
    number(found.1)
}

/// A string of JSON.
fn quoted(text: &str) -> Done<String> {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

/// What asks for a token.
pub fn authenticate(user: &str, password: &str) -> Done<String> {
    Ok(format!("{{\"name\":{},\"password\":{}}}", quoted(user)?, quoted(password)?))
}

/// The token that was asked for.
pub fn token(answer: Answer) -> Done<String> {
    let says = front(answer);
    let token = object_of(&says).and_then(|answer| text_at(answer, &["token".to_owned()]));
    let token = token.ok().flatten().and_then(|token| String::from_utf8(token).ok());
    token.ok_or_else(|| Failure::refused("etcd gave no token"))
}

/// What asks to be told of all changes from a revision on.
pub fn watch(prefix: &[u8], from: u64) -> String {
    let (key, end) = (STANDARD.encode(prefix), STANDARD.encode(end_of(prefix)));
    format!(
        "{{\"create_request\":{{\"key\":\"{key}\",\"range_end\":\"{end}\",\
         \"start_revision\":\"{from}\",\"progress_notify\":true}}}}"
    )
}

/// What etcd refuses something with: a code of gRPC, and a text.
pub struct Refusal {
    code: u64,
    text: String,
}

impl Refusal {
    /// One as JSON has it: that of a watch is an object in the object.
    pub fn of(object: Value<'_>) -> Refusal {
        let object = inside(object).unwrap_or(object);
        let part = |name: &str| text_at(object, &[name.to_owned()]).ok().flatten();
        let text = part("message").or_else(|| part("error")).unwrap_or_default();
        let code = part("code").or_else(|| part("grpc_code"));
        let code = code.and_then(|code| nssproto::bytes::decimal_u64(&code));
        let text = String::from_utf8_lossy(&text).into_owned();
        Refusal { code: code.unwrap_or_default(), text }
    }

    /// Of a text alone, in front of which gRPC may have put its own: `rpc error: code = X desc = `.
    pub fn text(text: &str) -> Refusal {
        let (front, text) = text.split_once(" desc = ").unwrap_or(("", text));
        let codes = [("Unauthenticated", 16), ("PermissionDenied", 7)];
        let code =
            codes.iter().find(|(name, _)| front.ends_with(name)).map_or(0, |(_, code)| *code);
        Refusal { code, text: text.to_owned() }
    }

    /// Another token may help.
    pub fn is_of_token(&self) -> bool {
        // The second: of a time before somebody's rights changed.
        self.code == 16 || self.text.contains("revision of auth store is old")
    }

    /// What it means.
    pub fn failure(&self) -> Failure {
        let Refusal { code, text } = self;
        let hint = if text.contains("user name is empty") { " (etcd_user)" } else { "" };
        let text = format!("{}{hint}", shown(text.as_bytes()));
        match code {
            // Invalid, denied, not now, or not without a token.
            3 | 7 | 9 | 16 => Failure::refused(text),
            _ => Failure::unavailable(text),
        }
    }
}

/// The object that a member `error` is.
fn inside(object: Value<'_>) -> Option<Value<'_>> {
    let Value::Object(raw) = object else { return None };
    let (_, inside) = Members::of(raw).ok()?.flatten().find(|(name, _)| name.is("error"))?;
    matches!(inside, Value::Object(_)).then_some(inside)
}

/// The answer, or why it is none.
pub fn refusal(answer: Answer) -> Done<Result<Answer, Refusal>> {
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(Ok(answer));
    }
    let mut plain = refused(status, answer.headers());
    let says = front(answer);
    let refusal = object_of(&says).map(Refusal::of).ok();
    match refusal.filter(|refusal| !refusal.text.is_empty()) {
        Some(refusal) => Ok(Err(refusal)),
        None => {
            if !says.is_empty() {
                plain = plain.adding(&shown(says.trim_ascii()));
            }
            // A client certificate with a CommonName, where etcd has users.
            if says.starts_with(b"CommonName") {
                plain = plain.refusing();
            }
            Err(plain)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_behind_all_with_the_prefix() {
        assert_eq!(end_of(b"/a/"), b"/a0");
        assert_eq!(end_of(b"a\xff\xff"), b"b");
        assert_eq!(end_of(b"\xff"), [0]);
    }

    #[test]
    fn positions_are_remembered() {
        let position = Position { cluster: u64::MAX, revision: 12, count: 0, shape: 7 };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        assert_eq!(Position::parse("W/\"x\""), None);
        assert_eq!(Position::parse("1 2 3"), None);
    }

    #[test]
    fn refusals_are_told_in_two_ways() {
        let of = |text: &str| Refusal::of(object_of(text.as_bytes()).ok().unwrap());
        // Of a request, and of a watch that was refused before it began.
        let plain = r#"{"error":"etcdserver: x","message":"etcdserver: x","code":14}"#;
        let nested = r#"{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: x"}}"#;
        for text in [plain, nested] {
            assert_eq!((of(text).code, of(text).text.as_str()), (14, "etcdserver: x"), "{text}");
        }
        assert!(of(&nested.replace("14", "16")).is_of_token());
    }

    #[test]
    fn passwords_are_texts_of_json() {
        let json = authenticate("u", "a\"b\\c\n\u{e9}").unwrap();
        assert_eq!(json, r#"{"name":"u","password":"a\"b\\c\u000aé"}"#);
    }
}
