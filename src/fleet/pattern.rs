//! Which hosts a pattern means: `LABEL:ARG`, filters chained by `:`, unions by a blank or a `+` in
//! front of a label.

use super::complaint::Complaint;
use super::database::{Database, Entry};
use super::expression::{Basic, Glob};
use super::host::{Address, port_of};
use super::names::expand;
use std::collections::BTreeMap;

/// What a pattern can begin with.
const LABELS: &[&str] = &["all", "exp", "nil", "not", "out", "sys", "tag"];

/// The hosts of a pattern, sorted, each once.
pub fn select(pattern: &str, database: &Database) -> Result<Vec<Entry>, Complaint> {
    let mut found = BTreeMap::new();
    let unions = unions(pattern);
    if unions.is_empty() {
        return Err(Complaint::usage("the pattern is empty"));
    }
    for chain in unions {
        for entry in filter(&fields(chain), None, database)? {
            found.entry(entry.word.clone()).or_insert(entry);
        }
    }
    Ok(found.into_values().collect())
}

/// The parts of a union.
fn unions(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for mut rest in pattern.split_whitespace() {
        let mut from = 0;
        while let Some(at) = rest.get(from..).and_then(|rest| rest.find('+')).map(|at| from + at) {
            let behind = rest.get(at + 1..).unwrap_or_default();
            let label = behind.split_once(':').map(|(label, _)| label);
            if label.is_some_and(|label| LABELS.contains(&label)) {
                parts.push(rest.get(..at).unwrap_or_default());
                (rest, from) = (behind, 0);
            } else {
                from = at + 1;
            }
        }
        parts.push(rest);
    }
    parts
}

/// The fields of a chain: cut at colons, but not in braces, nor in brackets, which are an address of
/// IPv6 or a class of characters, nor behind a backslash.
fn fields(chain: &str) -> Vec<String> {
    let chars: Vec<char> = chain.chars().collect();
    let (mut fields, mut field, mut at) = (Vec::new(), String::new(), 0);
    while let Some(c) = chars.get(at) {
        let whole = match c {
            '\\' => 2,
            '[' | '{' => closed(chars.get(at..).unwrap_or_default()).unwrap_or(1),
            ':' => {
                fields.push(std::mem::take(&mut field));
                at += 1;
                continue;
            }
            _ => 1,
        };
        field.extend(chars.iter().skip(at).take(whole));
        at += whole;
    }
    fields.push(field);
    fields
}

/// How many characters a bracket or brace has up to its end, inner ones passed over; `None`: it has
/// none.
fn closed(chars: &[char]) -> Option<usize> {
    let open = *chars.first()?;
    let close = if open == '[' { ']' } else { '}' };
    let mut depth = 0_usize;
    for (at, c) in chars.iter().enumerate() {
        if *c == open {
            depth += 1;
        } else if *c == close {
            depth -= 1;
            if depth == 0 {
                return Some(at + 1);
            }
        }
    }
    None
}

/// Runs a chain over `input`, or over the database where there is none yet.
fn filter(
    fields: &[String],
    input: Option<Vec<Entry>>,
    database: &Database,
) -> Result<Vec<Entry>, Complaint> {
    let mut rest = fields;
    let mut current = input;
    while let Some((label, behind)) = rest.split_first() {
        // `tag:x:` and `out::` end with one.
        if label.is_empty() && behind.is_empty() && current.is_some() {
            break;
        }
        let known = |current: Option<Vec<Entry>>| match current {
            Some(entries) => Ok(entries),
            None => database.entries().map(<[Entry]>::to_vec),
        };
        if label == "not" {
            if behind.iter().all(String::is_empty) {
                return Err(Complaint::usage("not: of what?"));
            }
            let all = known(current)?;
            let without = filter(behind, Some(all.clone()), database)?;
            return Ok(difference(all, &without));
        }
        let (argument, behind) = match behind.split_first() {
            Some((argument, behind)) => (argument.as_str(), behind),
            None if ["all", "nil", "out"].contains(&label.as_str()) => ("", behind),
            None => return Err(unknown(label)),
        };
        rest = behind;
        current = Some(match label.as_str() {
            "all" => known(current)?,
            "nil" => Vec::new(),
            "out" => database.from_standard_input()?,
            "tag" => tagged(argument, known(current)?)?,
            "exp" => {
                let expression = Basic::parse(argument)?;
                let mut entries = known(current)?;
                entries.retain(|entry| expression.matches(&entry.word));
                entries
            }
            "sys" => {
                let port = behind.first().filter(|field| port_of(field).is_some());
                if port.is_some() {
                    rest = behind.get(1..).unwrap_or_default();
                }
                named(argument, port.map(String::as_str))?
            }
            _ => return Err(unknown(label)),
        });
    }
    Ok(current.unwrap_or_default())
}

fn unknown(label: &str) -> Complaint {
    match LABELS.contains(&label) {
        true => Complaint::usage(format!("{label}: needs something behind its colon")),
        false => Complaint::usage(format!(
            "no such pattern: {label} (see dt --help; one host is sys:HOST)"
        )),
    }
}

/// `entries` without those of `others`.
pub fn difference(mut entries: Vec<Entry>, others: &[Entry]) -> Vec<Entry> {
    let others: std::collections::HashSet<&str> =
        others.iter().map(|entry| entry.word.as_str()).collect();
    entries.retain(|entry| !others.contains(entry.word.as_str()));
    entries
}

/// `sys:`: what the user has typed. A word that ssh cannot be given is his error.
fn named(argument: &str, port: Option<&str>) -> Result<Vec<Entry>, Complaint> {
    let mut entries = Vec::new();
    for name in expand(argument)? {
        let word = match port {
            Some(port) => format!("{name}:{port}"),
            None => name,
        };
        if let Err(why) = Address::parse(&word) {
            return Err(Complaint::usage(format!("no host: {word}: {why}")));
        }
        entries.push(Entry::bare(word));
    }
    Ok(entries)
}

/// `tag:`: `a,b` or, `a+b` and, `a-b` a without b, from left to right; of several signs in a row the
/// last one counts.
fn tagged(expression: &str, entries: Vec<Entry>) -> Result<Vec<Entry>, Complaint> {
    let terms = terms(expression);
    let mut globs = Vec::new();
    for (_, term) in &terms {
        globs.push(Glob::parse(term)?);
    }
    let chosen = |entry: &Entry| {
        // `-old` alone is all but the old ones.
        let mut found = terms.first().is_some_and(|(sign, _)| matches!(sign, '+' | '-'));
        for ((sign, _), glob) in terms.iter().zip(&globs) {
            let has = entry.tags.iter().any(|tag| glob.matches(tag));
            found = match sign {
                '+' => found && has,
                '-' => found && !has,
                _ => found || has,
            };
        }
        found
    };
    Ok(entries.into_iter().filter(chosen).collect())
}

/// The tags of an expression, each with the sign in front of it. Brackets belong to a glob.
fn terms(expression: &str) -> Vec<(char, String)> {
    let chars: Vec<char> = expression.chars().collect();
    let (mut terms, mut sign, mut term, mut at) = (Vec::new(), ',', String::new(), 0);
    while let Some(c) = chars.get(at) {
        let whole = match c {
            ',' | '+' | '-' => {
                if !term.is_empty() {
                    terms.push((sign, std::mem::take(&mut term)));
                }
                sign = *c;
                at += 1;
                continue;
            }
            '\\' => 2,
            '[' => closed(chars.get(at..).unwrap_or_default()).unwrap_or(1),
            _ => 1,
        };
        term.extend(chars.iter().skip(at).take(whole));
        at += whole;
    }
    if !term.is_empty() {
        terms.push((sign, term));
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_a_union_only_in_front_of_a_label() {
        assert_eq!(unions("tag:linux+web+sys:other"), ["tag:linux+web", "sys:other"]);
        assert_eq!(unions("exp:we+b"), ["exp:we+b"]);
        assert_eq!(unions("sys:a sys:b+all:"), ["sys:a", "sys:b", "all:"]);
        assert!(unions("  ").is_empty());
    }

    #[test]
    fn brackets_and_backslashes_keep_their_colons() {
        assert_eq!(fields("sys:[::1]:22"), ["sys", "[::1]", "22"]);
        assert_eq!(fields("exp:web[[:digit:]]:tag:a"), ["exp", "web[[:digit:]]", "tag", "a"]);
        assert_eq!(fields("exp:[a:tag:b"), ["exp", "[a", "tag", "b"]);
        assert_eq!(fields("exp:a\\[:tag:b"), ["exp", "a\\[", "tag", "b"]);
        assert_eq!(fields("sys:{a:1,b}:tag:x"), ["sys", "{a:1,b}", "tag", "x"]);
        assert_eq!(fields("all"), ["all"]);
    }

    #[test]
    fn tags_are_read_from_left_to_right() {
        let entries = |words: &str| -> Vec<Entry> {
            let line = super::super::database::inventory::line;
            words.split(';').filter_map(line).collect()
        };
        let fleet = || entries("web1 linux web;web2 linux web;web3 bsd web old;db1 linux db;x a-b");
        for (expression, wanted) in [
            ("linux-web,old", "web3 db1"),
            ("linux,+web", "web1 web2"),
            ("web,-old", "web1 web2"),
            ("-linux", "web3 x"),
            ("[dw]*", "web1 web2 web3 db1"),
            ("a\\-b", "x"),
            ("", ""),
        ] {
            let found = tagged(expression, fleet()).unwrap();
            let words: Vec<String> = found.into_iter().map(|entry| entry.word).collect();
            assert_eq!(words.join(" "), wanted, "{expression}");
        }
    }
}
