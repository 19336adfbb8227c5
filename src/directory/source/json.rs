//! JSON: an array of objects, each an entry, whose fields stand where attribute paths say.
//!
//! The array is read element by element, so that memory is that of the largest one. A path is names with
//! slashes between them (`name/familyName`), as names may hold dots and colons; through an array it goes
//! to each element. A name that comes twice in an object is refused: others might read the other one.

use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure};
use crate::directory::fields::Fields;
use crate::directory::intake::Entries;
use crate::directory::maps::Map;
use crate::limits::DIRECTORY_LINE;
use nssproto::cache::sshkey;
use nssproto::json::{Elements, Members, Reader, Value};
use std::io::{ErrorKind, Read};

/// How deep what is passed over may be nested.
const DEPTH: u32 = 64;

/// A field of a line.
struct Field {
    /// The path; names from the outside to the inside.
    path: Vec<String>,
    /// What it is if the entry has none; `None`: such an entry is malformed.
    default: Option<String>,
    /// Whether it is a list.
    many: bool,
}

/// Where the entries and their fields are.
pub struct Paths {
    map: Map,
    list: Vec<String>,
    fields: Vec<Field>,
}

/// Of a map, its fields: key, path if the configuration has none, and what an absent one is.
fn fields_of(map: Map) -> &'static [(&'static str, &'static str, Option<&'static str>)] {
    match map {
        Map::Passwd => &[
            ("username", "name", None),
            ("password", "passwd", Some("x")),
            ("uid", "uid", None),
            ("gid", "gid", None),
            ("gecos", "gecos", Some("")),
            ("home_directory", "home", Some("")),
            ("login_shell", "shell", Some("")),
        ],
        Map::Group => &[
            ("groupname", "name", None),
            ("password", "passwd", Some("*")),
            ("gid", "gid", None),
            ("members", "members", Some("")),
        ],
        Map::Shadow => &[
            ("username", "name", None),
            ("password", "passwd", Some("*")),
            ("lstchg", "lstchg", Some("")),
            ("min", "min", Some("")),
            ("max", "max", Some("")),
            ("warn", "warn", Some("")),
            ("inact", "inact", Some("")),
            ("expire", "expire", Some("")),
            ("flag", "flag", Some("")),
        ],
        Map::Sshkey => &[("username", "name", None), ("ssh_keys", "sshkeys", Some(""))],
        Map::Netgroup | Map::Automount => {
            &[("username", "name", None), ("entries", "entries", None)]
        }
    }
}

impl Paths {
    /// What the configuration says: keys `PREFIX_path_…`.
    pub fn new(config: &MapConfig<'_>, prefix: &str) -> Done<Paths> {
        let path = |name: &str, default: &str| -> Done<Vec<String>> {
            let given = config.given(&format!("{prefix}_path_{name}"))?;
            let text = given.unwrap_or_else(|| default.to_owned());
            Ok(text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
        };
        let map = config.map;
        let mut fields = Vec::new();
        for (name, default_path, default) in fields_of(map) {
            let mut default = default.map(str::to_owned);
            if *name == "login_shell"
                && let Some(shell) = config.text(&format!("{prefix}_default_shell"))?
            {
                default = Some(shell);
            }
            let many = matches!(*name, "members" | "ssh_keys" | "entries");
            fields.push(Field { path: path(name, default_path)?, default, many });
        }
        Ok(Paths { map, list: path("list", "")?, fields })
    }

    /// Hands all entries of a document over.
    pub fn read(&self, body: &mut dyn Read, into: &mut dyn Entries) -> Done {
        let mut stream = Stream::new(body);
        let mut element = Vec::new();
        let mut number = 0;
        let outside = stream.enter(&self.list)?;
        let mut fields = Fields::default();
        while stream.element(&mut element, number == 0)? {
            number += 1;
            match self.entry(&element, &mut fields) {
                Ok(()) => into.entry(&fields, number)?,
                Err(Wrong::Malformed(what)) => into.malformed(what, fields.name(), number)?,
                Err(Wrong::Unsafe(what)) => into.unsafe_entry(what, fields.name())?,
            }
        }
        stream.leave(outside, &self.list)
    }

    /// Puts an element's fields together.
    fn entry(&self, element: &[u8], fields: &mut Fields) -> Result<(), Wrong> {
        fields.clear();
        let mut reader = Reader::new(element);
        // Its syntax, to its end.
        let value = reader.value().map_err(|_| Wrong::Malformed("broken JSON"))?;
        if reader.next().map_err(|_| Wrong::Malformed("broken JSON"))?.is_some() {
            return Err(Wrong::Malformed("broken JSON"));
        }
        let Some(value @ Value::Object(_)) = value else {
            return Err(Wrong::Malformed("an entry that is no object"));
        };
        for field in &self.fields {
            let mut found = Vec::new();
            let is_list = collect(value, &field.path, &mut found)?;
            let first = match (found.as_slice(), &field.default) {
                ([], Some(default)) => default.as_bytes(),
                ([], None) => return Err(Wrong::Malformed("a field is missing")),
                ([one], _) => one,
                _ if field.many => b"",
                _ => return Err(Wrong::Malformed("several values of a field")),
            };
            match self.map {
                Map::Sshkey if field.many && is_list => {
                    let text = fields.text();
                    sshkey::write_list(found.iter().map(Vec::as_slice), |byte| text.push(byte))
                        .map_err(|why| Wrong::Unsafe(why.reason()))?;
                    fields.end();
                }
                Map::Group if field.many && found.len() != 1 => {
                    self.join(&found, b',', fields)?;
                }
                Map::Group if field.many && is_list => self.join(&found, b',', fields)?,
                Map::Netgroup if field.many && is_list => self.join(&found, b' ', fields)?,
                _ => fields.push(first),
            }
        }
        Ok(())
    }

    /// A list in one field.
    fn join(&self, items: &[Vec<u8>], separator: u8, fields: &mut Fields) -> Result<(), Wrong> {
        for (at, item) in items.iter().enumerate() {
            if item.contains(&separator) || item.is_empty() {
                return Err(Wrong::Unsafe("a member that would be several, or none"));
            }
            if at > 0 {
                fields.text().push(separator);
            }
            fields.text().extend_from_slice(item);
        }
        fields.end();
        Ok(())
    }
}

/// Why an element is no entry.
enum Wrong {
    Malformed(&'static str),
    Unsafe(&'static str),
}

/// Adds what stands at the end of `path` to `found`, in texts; whether an array was passed.
fn collect(value: Value<'_>, path: &[String], found: &mut Vec<Vec<u8>>) -> Result<bool, Wrong> {
    let broken = |_| Wrong::Malformed("broken JSON");
    match (value, path.split_first()) {
        (Value::Null, _) => Ok(false),
        (Value::Array(array), _) => {
            for element in Elements::of(array).map_err(broken)? {
                collect(element.map_err(broken)?, path, found)?;
            }
            Ok(true)
        }
        (Value::Object(object), Some((name, rest))) => {
            let mut inner = None;
            for member in Members::of(object).map_err(broken)? {
                let (found, value) = member.map_err(broken)?;
                if found.is(name) && inner.replace(value).is_some() {
                    return Err(Wrong::Unsafe("a name that comes twice in an object"));
                }
            }
            inner.map_or(Ok(false), |value| collect(value, rest, found))
        }
        (Value::Text(text), None) => {
            found.push(text.bytes().collect());
            Ok(false)
        }
        (Value::Number(number), None) => {
            found.push(number.raw().to_vec());
            Ok(false)
        }
        (Value::Bool(_) | Value::Object(_), None) => {
            Err(Wrong::Malformed("a field that is neither text nor number"))
        }
        (Value::Text(_) | Value::Number(_) | Value::Bool(_), Some(_)) => Ok(false),
    }
}

/// A document, byte by byte.
struct Stream<'a> {
    body: &'a mut dyn Read,
    room: Vec<u8>,
    at: usize,
    end: usize,
}

impl<'a> Stream<'a> {
    fn new(body: &'a mut dyn Read) -> Self {
        Stream { body, room: vec![0; 32 * 1024], at: 0, end: 0 }
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

    /// Goes into the array at the end of `path`; how many objects are around it.
    fn enter(&mut self, path: &[String]) -> Done<u32> {
        for name in path {
            self.expect(b'{', "the object that http_path_list names")?;
            self.find(name)?;
        }
        self.expect(b'[', "the array of entries")?;
        Ok(path.len() as u32)
    }

    /// Passes over members of an object up to the value of this one.
    fn find(&mut self, name: &str) -> Done {
        let mut text = Vec::new();
        loop {
            if self.token()? == b'}' {
                return Err(Failure::refused(format!("JSON without {name} (http_path_list)")));
            }
            self.name(&mut text)?;
            if nssproto::json::Text::of(&text).is_ok_and(|text| text.is(name)) {
                return Ok(());
            }
            self.value(None)?;
            if self.token()? == b',' {
                self.at += 1;
            }
        }
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
                let again = nssproto::json::Text::of(&text);
                if again.is_ok_and(|text| name.is_some_and(|name| text.is(name))) {
                    return Err(Failure::refused("JSON that has the array of entries twice"));
                }
                self.value(None)?;
            }
            self.expect(b'}', "the end of an object")?;
            outside -= 1;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What came.
    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Entries for Seen {
        fn entry(&mut self, fields: &Fields, place: u64) -> Done {
            let all: Vec<_> = (0..fields.len())
                .map(|at| String::from_utf8_lossy(fields.get(at)).into_owned())
                .collect();
            self.0.push(format!("{place} {}", all.join(":")));
            Ok(())
        }

        fn malformed(&mut self, what: &'static str, _: &[u8], place: u64) -> Done {
            self.0.push(format!("{place} malformed: {what}"));
            Ok(())
        }

        fn unsafe_entry(&mut self, what: &'static str, _: &[u8]) -> Done {
            self.0.push(format!("unsafe: {what}"));
            Ok(())
        }
    }

    fn paths(map: Map, list: &str) -> Paths {
        let parts = |path: &str| {
            path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let fields = fields_of(map).iter().map(|(name, path, default)| Field {
            path: parts(path),
            default: default.map(str::to_owned),
            many: matches!(*name, "members" | "ssh_keys" | "entries"),
        });
        Paths { map, list: parts(list), fields: fields.collect() }
    }

    fn read(paths: &Paths, document: &str) -> Result<Vec<String>, String> {
        let mut seen = Seen::default();
        let done = paths.read(&mut document.as_bytes(), &mut seen);
        done.map(|()| seen.0).map_err(|failure| failure.text)
    }

    #[test]
    fn entries_are_put_together_by_their_paths() {
        let users = paths(Map::Passwd, "");
        let text = r#" [ {"name":"a","uid":1,"gid":"2","home":"/h","x":{"y":[1,"]"]}} ,
            {"name":"J\u00f6rg","uid":2,"gid":2,"shell":null}, {"uid":3}, 7, {"name":"b","uid":true,"gid":1} ] "#;
        assert_eq!(
            read(&users, text).unwrap(),
            [
                "1 a:x:1:2::/h:",
                "2 Jörg:x:2:2:::",
                "3 malformed: a field is missing",
                "4 malformed: an entry that is no object",
                "5 malformed: a field that is neither text nor number",
            ]
        );
        assert_eq!(read(&users, "[]").unwrap(), [""; 0]);
        let mut nested = paths(Map::Passwd, "a/Resources");
        nested.fields[0].path = vec!["urn:x:2.0:User".to_owned(), "userName".to_owned()];
        let text = r#"{"n": [{}], "a": {"Resources": [{"urn:x:2.0:User": {"userName": "u"}, "uid": 1, "gid": 1}],
            "more": {}}, "total": 1}"#;
        assert_eq!(read(&nested, text).unwrap(), ["1 u:x:1:1:::"]);
    }

    #[test]
    fn lists_become_what_their_map_has() {
        let mut groups = paths(Map::Group, "");
        groups.fields[3].path = vec!["members".to_owned(), "value".to_owned()];
        let text = r#"[{"name":"g","gid":1,"members":[{"value":"a"},{"value":"b"}]},{"name":"h","gid":2},
            {"name":"i","gid":3,"members":[{"value":"a,root"}]}]"#;
        assert_eq!(
            read(&groups, text).unwrap(),
            ["1 g:*:1:a,b", "2 h:*:2:", "unsafe: a member that would be several, or none"]
        );
        let keys = paths(Map::Sshkey, "");
        let text = r#"[{"name":"a","sshkeys":["k1"]},{"name":"b","sshkeys":"k"},{"name":"c"}]"#;
        assert_eq!(read(&keys, text).unwrap(), ["1 a:['k1']", "2 b:k", "3 c:"]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let users = paths(Map::Passwd, "");
        let text = r#"[{"name":"a","uid":1000,"uid":0,"gid":1}]"#;
        assert_eq!(read(&users, text).unwrap(), ["unsafe: a name that comes twice in an object"]);
        let text = r#"[{"name":["a","b"],"uid":1,"gid":1}]"#;
        assert_eq!(read(&users, text).unwrap(), ["1 malformed: several values of a field"]);
        let list = paths(Map::Passwd, "l");
        assert!(read(&list, r#"{"l":[],"l":[{"name":"a","uid":1,"gid":1}]}"#).is_err());
    }

    #[test]
    fn a_document_that_is_cut_or_broken_is_no_map() {
        let users = paths(Map::Passwd, "r");
        let text =
            r#"{"x":1,"r":[{"name":"a","uid":1,"gid":1},{"name":"b","uid":2,"gid":1}],"y":[2]}"#;
        assert_eq!(read(&users, text).unwrap().len(), 2);
        for len in 0..text.len() {
            let cut = text.get(..len).unwrap();
            assert!(read(&users, cut).is_err(), "{cut}");
        }
        let plain = paths(Map::Passwd, "");
        for text in ["[1 2]", "[1]]", "[,]", "[{}{}]", "{}", "[\"a\"\"b\"]", "[:]"] {
            assert!(read(&plain, text).is_err(), "{text}");
        }
        assert_eq!(read(&plain, "[{\"a\" 1}]").unwrap(), ["1 malformed: broken JSON"]);
        let deep = format!("[{}{}]", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read(&plain, &deep).unwrap_err(), "JSON nested deeper than 64");
        let deep = format!("[{}{}]", "[".repeat(20), "]".repeat(20));
        assert_eq!(read(&plain, &deep).unwrap(), ["1 malformed: broken JSON"]);
    }
}
