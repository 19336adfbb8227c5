//! JSON: an array of objects, each an entry, whose fields stand where attribute paths say.
//!
//! The array is read element by element, so that memory is that of the largest one. A path is names with
//! slashes between them (`name/familyName`), as names may hold dots and colons; through an array it goes
//! to each element. A name that comes twice in an object is refused: others might read the other one.

pub mod stream;

use self::stream::{Aside, elements};
use crate::directory::config::MapConfig;
use crate::directory::failure::Done;
use crate::directory::fields::Fields;
use crate::directory::intake::Entries;
use crate::directory::maps::Map;
use nssproto::cache::sshkey;
use nssproto::json::{Elements, Members, Reader, Value};
use std::io::Read;

/// The way to a value: names from the outside to the inside.
pub type Path = Vec<String>;

/// A field of a line.
pub struct Field {
    /// Where it may stand, the first that is there. Each is paths whose texts have blanks between them.
    places: Vec<Vec<Path>>,
    /// What it is if the entry has none; `None`: such an entry is none.
    default: Option<String>,
    /// Whether `%u` in that is the entry's name.
    of_name: bool,
    many: Option<Many>,
}

/// How a list may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Many {
    /// As an array, or as a text that is the line's own.
    Array,
    /// Also as a text of lines.
    Lines,
}

impl Field {
    /// One that stands at one of these paths, names with slashes between them.
    pub fn at(paths: &[&str]) -> Field {
        let places = paths.iter().map(|path| vec![path_of(path)]).collect();
        Field { places, default: None, of_name: false, many: None }
    }

    /// Else these together.
    pub fn or_joined(mut self, paths: &[&str]) -> Field {
        self.places.push(paths.iter().map(|path| path_of(path)).collect());
        self
    }

    /// Else it is this.
    pub fn or(mut self, default: impl Into<String>) -> Field {
        self.default = Some(default.into());
        self
    }

    /// Else it is this, of which `%u` is the entry's name.
    pub fn or_of_name(mut self, default: impl Into<String>) -> Field {
        self.of_name = true;
        self.or(default)
    }

    /// It is a list.
    pub fn many(mut self, many: Many) -> Field {
        self.many = Some(many);
        self
    }
}

/// The names of a path.
fn path_of(text: &str) -> Path {
    text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Where the entries and their fields are.
pub struct Paths {
    map: Map,
    list: Path,
    fields: Vec<Field>,
    /// An entry that lacks a field is dropped and named, however many there are.
    pub lenient: bool,
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
        let path = |name: &str, default: &str| -> Done<String> {
            let given = config.given(&format!("{prefix}_path_{name}"))?;
            Ok(given.unwrap_or_else(|| default.to_owned()))
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
            let many = matches!(*name, "members" | "ssh_keys" | "entries").then_some(Many::Array);
            let field = Field::at(&[&path(name, default_path)?]);
            fields.push(Field { default, many, ..field });
        }
        Ok(Paths { map, list: path_of(&path("list", "")?), fields, lenient: false })
    }

    /// These fields, of entries that stand in an array at a path.
    pub fn of(map: Map, list: &str, fields: Vec<Field>) -> Paths {
        Paths { map, list: path_of(list), fields, lenient: false }
    }

    /// Hands all entries of a document over.
    pub fn read(&self, body: &mut dyn Read, into: &mut dyn Entries) -> Done {
        let mut fields = Fields::default();
        elements(body, &self.list, &mut Aside::default(), &mut |element, number| {
            self.hand(element, number, None, &mut fields, into)
        })
    }

    /// Hands one over. `name`: what it is called if it does not say so itself.
    pub fn hand(
        &self,
        element: &[u8],
        number: u64,
        name: Option<&[u8]>,
        fields: &mut Fields,
        into: &mut dyn Entries,
    ) -> Done {
        match self.entry(element, name, fields) {
            Ok(()) => into.entry(fields, number),
            Err(Wrong::Missing) if self.lenient => {
                into.unsafe_entry("a field is missing", fields.name())
            }
            Err(Wrong::Missing) => into.malformed("a field is missing", fields.name(), number),
            Err(Wrong::Malformed(what)) => into.malformed(what, fields.name(), number),
            Err(Wrong::Unsafe(what)) => into.unsafe_entry(what, fields.name()),
        }
    }

    /// Puts an element's fields together.
    pub fn entry(
        &self,
        element: &[u8],
        name: Option<&[u8]>,
        fields: &mut Fields,
    ) -> Result<(), Wrong> {
        fields.clear();
        let value = object_of(element)?;
        for (at, field) in self.fields.iter().enumerate() {
            let mut found = Vec::new();
            let mut is_list = false;
            for place in &field.places {
                is_list = gather(value, place, &mut found)?;
                if !found.is_empty() || is_list {
                    break;
                }
            }
            let default = field.default.as_ref().map(|text| match field.of_name {
                true => expanded(text, fields.name()),
                false => text.as_bytes().to_vec(),
            });
            let first: &[u8] = match (found.as_slice(), &default) {
                ([], Some(default)) => default,
                ([], None) if at == 0 => name.ok_or(Wrong::Missing)?,
                ([], None) => return Err(Wrong::Missing),
                ([one], _) => one,
                _ if field.many.is_some() => b"",
                _ => return Err(Wrong::Malformed("several values of a field")),
            };
            let many = field.many.is_some();
            match self.map {
                Map::Sshkey if many && is_list => {
                    let text = fields.text();
                    sshkey::write_list(found.iter().map(Vec::as_slice), |byte| text.push(byte))
                        .map_err(|why| Wrong::Unsafe(why.reason()))?;
                    fields.end();
                }
                Map::Group if many && (found.len() != 1 || is_list) => {
                    join(&found, b',', fields)?;
                }
                Map::Group if field.many == Some(Many::Lines) => members(first, fields)?,
                Map::Netgroup if many && is_list => join(&found, b' ', fields)?,
                _ => fields.push(first),
            }
        }
        Ok(())
    }
}

/// A list in one field.
fn join(items: &[Vec<u8>], separator: u8, fields: &mut Fields) -> Result<(), Wrong> {
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

/// Members with line feeds between them, which stand for commas, the last one too.
pub fn members(lines: &[u8], fields: &mut Fields) -> Result<(), Wrong> {
    if lines.contains(&b',') {
        return Err(Wrong::Unsafe("a member that would be several, or none"));
    }
    fields.text().extend(lines.iter().map(|byte| if *byte == b'\n' { b',' } else { *byte }));
    fields.end();
    Ok(())
}

/// A text in which `%u` is a name.
pub fn expanded(text: &str, name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, part) in text.split("%u").enumerate() {
        if at > 0 {
            out.extend_from_slice(name);
        }
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// Why an element is no entry.
pub enum Wrong {
    /// It lacks a field.
    Missing,
    /// It is no entry.
    Malformed(&'static str),
    /// It is one that would be more than it says.
    Unsafe(&'static str),
}

/// The object that an element is, whose syntax is right to its end.
pub fn object_of(element: &[u8]) -> Result<Value<'_>, Wrong> {
    let broken = |_| Wrong::Malformed("broken JSON");
    let mut reader = Reader::new(element);
    let value = reader.value().map_err(broken)?;
    if reader.next().map_err(broken)?.is_some() {
        return Err(Wrong::Malformed("broken JSON"));
    }
    match value {
        Some(value @ Value::Object(_)) => Ok(value),
        _ => Err(Wrong::Malformed("an entry that is no object")),
    }
}

/// What stands at a place, which may be several paths together.
fn gather(value: Value<'_>, place: &[Path], found: &mut Vec<Vec<u8>>) -> Result<bool, Wrong> {
    if let [path] = place {
        return if path.is_empty() { Ok(false) } else { collect(value, path, found) };
    }
    let mut parts = Vec::new();
    for path in place {
        collect(value, path, &mut parts)?;
    }
    parts.retain(|part| !part.is_empty());
    if !parts.is_empty() {
        found.push(parts.join(&b' '));
    }
    Ok(false)
}

/// The text or number at the end of a path; `None`: there is none.
pub fn text_at(value: Value<'_>, path: &[String]) -> Result<Option<Vec<u8>>, Wrong> {
    let mut found = Vec::new();
    collect(value, path, &mut found)?;
    Ok(if found.len() == 1 { found.pop() } else { None })
}

/// Adds what stands at the end of `path` to `found`, in texts; whether an array was passed.
pub fn collect(value: Value<'_>, path: &[String], found: &mut Vec<Vec<u8>>) -> Result<bool, Wrong> {
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
        let fields = fields_of(map).iter().map(|(name, path, default)| {
            let many = matches!(*name, "members" | "ssh_keys" | "entries").then_some(Many::Array);
            Field { default: default.map(str::to_owned), many, ..Field::at(&[path]) }
        });
        Paths::of(map, list, fields.collect())
    }

    fn read(paths: &Paths, document: &str) -> Result<Vec<String>, String> {
        let mut seen = Seen::default();
        let done = paths.read(&mut document.as_bytes(), &mut seen);
        done.map(|()| seen.0).map_err(crate::directory::failure::Failure::into_text)
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
        nested.fields[0] = Field::at(&["urn:x:2.0:User/userName"]);
        let text = r#"{"n": [{}], "a": {"Resources": [{"urn:x:2.0:User": {"userName": "u"}, "uid": 1, "gid": 1}],
            "more": {}}, "total": 1}"#;
        assert_eq!(read(&nested, text).unwrap(), ["1 u:x:1:1:::"]);
    }

    #[test]
    fn lists_become_what_their_map_has() {
        let mut groups = paths(Map::Group, "");
        groups.fields[3] = Field::at(&["members/value"]).or("").many(Many::Array);
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
