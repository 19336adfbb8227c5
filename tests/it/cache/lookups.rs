//! What libnss-cache answers (tests/vectors/nsscache/lookups.json), and where nsssd-cache differs on
//! purpose. Each difference is a test.

use super::bench::{Bench, Told, vectors};
use crate::support::op;
use serde_json::Value;
use std::collections::HashMap;

fn recorded() -> Value {
    let text = std::fs::read(vectors().join("lookups.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A call, its key, and what libnss-cache said.
fn case(value: &Value) -> (String, String, Option<Told>) {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let arg = text("arg").unwrap_or_else(|| value["arg"].to_string());
    let told = match text("status").unwrap().as_str() {
        "SUCCESS" => Some(Told::Line(text("line").unwrap())),
        "NOTFOUND" => Some(Told::NotFound),
        // Of a file that is not there.
        "UNAVAIL" => Some(Told::Failed(2)),
        _ => None,
    };
    (text("call").unwrap(), arg, told)
}

fn is_id_above_2_31(call: &str, arg: &str) -> bool {
    matches!(call, "getpwuid" | "getgrgid")
        && arg.parse::<u32>().is_ok_and(|id| id > i32::MAX as u32)
}

/// Whether libnss-cache tells of somebody whose name has `+` or `-` in front.
fn is_for_nis(told: &Option<Told>) -> bool {
    matches!(told, Some(Told::Line(line)) if line.starts_with(['+', '-']))
}

/// Asks all that is recorded of a data set, with its indexes and without; the calls that differ.
fn ask_all(name: &str) -> Vec<(String, String, Told)> {
    let recorded = recorded();
    let folder = recorded["files"][name].as_str().unwrap().to_owned();
    let set = &recorded["datasets"][name];
    let mut bench = Bench::of(&folder);
    let mut differ = Vec::new();
    let cases = |key: &str| set[key].as_array().unwrap().iter().map(case).collect::<Vec<_>>();
    for (call, arg, want) in cases("with-index") {
        let got = bench.call(&call, &arg);
        if is_for_nis(&want) {
            // Differs: see `names_for_nis_are_nobodys`.
            assert_eq!(got, Told::NotFound, "{call} {arg}");
        } else if Some(&got) != want.as_ref() {
            differ.push((call, arg, got));
        }
    }
    bench.remove_indexes();
    bench.restart();
    let changed: HashMap<_, _> = cases("without-index-differs")
        .into_iter()
        .map(|(call, arg, told)| ((call, arg), told))
        .collect();
    for (call, arg, with) in cases("with-index") {
        let want = changed.get(&(call.clone(), arg.clone())).cloned().unwrap_or(with);
        let want = if is_for_nis(&want) { Some(Told::NotFound) } else { want };
        assert_eq!(Some(bench.call(&call, &arg)), want, "{name} without indexes: {call} {arg}");
    }
    for (map, get) in [("passwd", op::PWD_GET), ("group", op::GRP_GET), ("shadow", op::SHADOW_GET)]
    {
        let Some(list) = set["enumeration"].get(map) else { continue };
        let mut want: Vec<_> =
            list["entries"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        want.retain(|name| !name.starts_with(['+', '-']));
        assert_eq!(bench.names(get), want, "{name}: {map}");
    }
    differ
}

/// The same, but for ids that it never finds by index: see `ids_above_2_31_are_found_by_index`.
#[track_caller]
fn same_as_libnss_cache(name: &str) {
    let differ = ask_all(name);
    let others: Vec<_> =
        differ.iter().filter(|(call, arg, _)| !is_id_above_2_31(call, arg)).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn rfc2307_is_answered_as_by_libnss_cache() {
    same_as_libnss_cache("ldap-rfc2307");
}

#[test]
fn an_entry_with_a_colon_is_answered_as_by_libnss_cache() {
    same_as_libnss_cache("ldap-hazard-colon");
}

/// Two lines of one name: with an index the last one, without it the first.
#[test]
fn an_injected_line_is_answered_as_by_libnss_cache() {
    same_as_libnss_cache("ldap-hazard-inject");
}

/// Differs: libnss-cache formats ids as signed numbers. Ours are unsigned, so that a box with such ids
/// has all its users.
#[test]
fn ids_above_2_31_are_found_by_index() {
    for name in ["ldap-rfc2307", "http-plain"] {
        let differ = ask_all(name);
        let ids = differ.iter().filter(|(call, arg, _)| is_id_above_2_31(call, arg));
        let found = ids.filter(|(_, arg, told)| match told {
            Told::Line(line) => line.split(':').any(|field| field == arg),
            _ => false,
        });
        assert!(found.count() >= 2, "{name}: {differ:?}");
    }
}

/// Differs: where the last line of a file cannot be read, libnss-cache answers 100, on which glibc
/// aborts the program that asks (INVALID-100). Here the lines are searched.
#[test]
fn an_unreadable_last_line_is_not_found_and_aborts_nobody() {
    let differ = ask_all("http-plain");
    let others: Vec<_> =
        differ.into_iter().filter(|(call, arg, _)| !is_id_above_2_31(call, arg)).collect();
    assert_eq!(others, [("getspnam".to_owned(), "neg".to_owned(), Told::NotFound)]);
}

/// Differs: nsscache counts characters, so that its index of these files has records of several widths,
/// in which libnss-cache finds neither `zulu` nor others. Such an index is damaged.
#[test]
fn an_index_that_counts_characters_is_not_believed() {
    let differ = ask_all("ldap-utf8");
    let mut names: Vec<_> = differ.iter().map(|(_, arg, _)| arg.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["zgroup", "zulu", "山田太郎"]);
    assert!(differ.iter().all(|(_, _, told)| matches!(told, Told::Line(_))), "{differ:?}");
}

/// Puts the files of http/plain there as a case of `index-behaviour` says.
fn prepare(bench: &Bench, case: &str) {
    let (data, index) = ("passwd.cache", "passwd.cache.ixname");
    let text = String::from_utf8(bench.read(data)).unwrap();
    let ix = bench.read(index);
    let width = ix.iter().position(|b| *b == b'\n').unwrap() + 1;
    let records: Vec<Vec<u8>> = ix.chunks(width).map(<[u8]>::to_vec).collect();
    let without = || -> Vec<u8> {
        records.iter().filter(|r| !r.starts_with(b"carol\0")).flatten().copied().collect()
    };
    let carol = text.find("carol:").unwrap();
    let at = |offset: &str| -> Vec<u8> {
        let changed = |record: &Vec<u8>| match record.starts_with(b"carol\0") {
            true => {
                let mut new = [b"carol\0", offset.as_bytes()].concat();
                new.resize(width - 1, 0);
                new.push(b'\n');
                new
            }
            false => record.clone(),
        };
        records.iter().flat_map(changed).collect()
    };
    bench.remove("passwd.cache.ixuid");
    match case {
        "index newer than data; the key carol removed from it"
        | "index lacks the key of an existing entry" => bench.write(index, without()),
        "index and data have the same mtime; carol removed from the index" => {
            bench.write(index, without());
            bench.set_time(index, 1000, 0);
        }
        "index one second older than data; carol removed from the index" => {
            bench.write(index, without());
            bench.set_time(index, 999, 0);
        }
        "index older by less than a second, same whole second; carol removed from the index" => {
            bench.write(index, without());
            bench.set_time(index, 1000, 100_000_000);
            bench.set_time(data, 1000, 900_000_000);
        }
        "index absent" => bench.remove(index),
        "index empty (0 bytes)" => bench.write(index, ""),
        "index offset points at the start of another entry (offset 0)" => {
            bench.write(index, at("0"));
        }
        "index offset two bytes past the start of the right entry" => {
            bench.write(index, at(&(carol + 2).to_string()));
        }
        "index offset three bytes before the right entry (inside the previous line)" => {
            bench.write(index, at(&(carol - 3).to_string()));
        }
        "index offset beyond the end of data" => bench.write(index, at("99999")),
        "index offset is not a number" => bench.write(index, at("abc")),
        "index unsorted (reversed)" => {
            bench.write(index, records.iter().rev().flatten().copied().collect::<Vec<u8>>());
        }
        "index is one line without newline" => {
            let joined: Vec<u8> = ix.iter().copied().filter(|b| *b != b'\n').collect();
            bench.write(index, joined);
        }
        "index has a truncated last line" => {
            bench.write(index, &ix[..ix.len() - 5]);
        }
        "index newer, and the data grew by one unindexed line (data mtime kept older)" => {
            bench.write(data, format!("{text}late:x:7:7:::\n"));
        }
        "data absent, index present" => bench.remove(data),
        "data and index absent" => {
            bench.remove(data);
            bench.remove(index);
        }
        "data empty, index absent" => {
            bench.write(data, "");
            bench.remove(index);
        }
        "buffer too small, indexed" => {}
        "buffer too small, linear" => bench.remove(index),
        "duplicate uid, indexed" | "uid above 2147483647, indexed" => {
            bench.write(
                "passwd.cache.ixuid",
                std::fs::read(vectors().join("http/plain/expect/passwd.cache.ixuid")).unwrap(),
            );
        }
        "duplicate uid, linear" | "uid above 2147483647, linear" => {}
        "data has comment, blank, short, bad-number, space-led, plus and CRLF lines; no index" => {
            bench.write(
                data,
                "# c:x:1:1:::\n\nshort:x:5\nbad:x:abc:5::/:/bin/sh\n  sp:x:7:7::/:/bin/sh\n\
                 +plus:x:::::\n-minus:x:8:8::/:/bin/sh\ncr:x:9:9::/:/bin/sh\r\n\
                 extra:x:10:10:g:/:/bin/sh:more\nnoshell:x:11:11:g:/\nlast:x:12:12::/:/bin/sh",
            );
            bench.remove(index);
        }
        other => panic!("an unknown case: {other}"),
    }
}

/// The calls of `index-behaviour` that are answered otherwise.
fn index_behaviour() -> Vec<(String, String, Told)> {
    let recorded = recorded();
    let mut differ = Vec::new();
    for value in recorded["index-behaviour"]["cases"].as_array().unwrap() {
        let name = value["case"].as_str().unwrap();
        let mut bench = Bench::of("http/plain/expect");
        prepare(&bench, name);
        bench.restart();
        for result in value["results"].as_array().unwrap() {
            // There is no buffer of the client's.
            if result["status"] == "TRYAGAIN" {
                continue;
            }
            let (call, arg, want) = case(result);
            let got = bench.call(&call, &arg);
            if Some(&got) != want.as_ref() {
                differ.push((name.to_owned(), arg, got));
            }
        }
    }
    differ
}

/// What is expected of the differences: the case begins so, these keys are found (or not).
const OTHERWISE: [(&str, &str, bool, &str); 8] = [
    ("index offset beyond the end", "carol", true, "libnss-cache has its caller aborted"),
    ("index unsorted", "carol", true, "an index that is not in order is damaged"),
    ("index is one line", "carol", true, "so is one without a LF"),
    ("index has a truncated last line", "root2", true, "so is one that is no whole records"),
    ("uid above 2147483647, indexed", "4294967294", true, "numbers are unsigned"),
    ("uid above 2147483647, indexed", "2147483648", true, "numbers are unsigned"),
    ("data has comment", "+plus", false, "a name for NIS is nobody's"),
    ("data has comment", "-minus", false, "a name for NIS is nobody's"),
];

#[test]
fn indexes_are_believed_as_by_libnss_cache_unless_they_are_damaged() {
    let differ = index_behaviour();
    for (case, key, found, why) in OTHERWISE {
        let told = differ.iter().find(|(name, arg, _)| name.starts_with(case) && arg == key);
        let told = told.unwrap_or_else(|| panic!("{case}: {key} does not differ, but {why}"));
        assert_eq!(matches!(told.2, Told::Line(_)), found, "{case}: {key}: {why}");
    }
    let unexpected: Vec<_> = differ
        .iter()
        .filter(|(name, arg, _)| {
            !OTHERWISE.iter().any(|(case, key, ..)| name.starts_with(case) && key == arg)
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

/// Differs: in a directory, `+name` and `-name` would be entries for NIS to whoever reads them, and
/// glibc's own files service finds none of them. So they are nobody's here, too.
#[test]
fn names_for_nis_are_nobodys() {
    let recorded = recorded();
    let bench = Bench::of("ldap/rfc2307/expect");
    let set = recorded["datasets"]["ldap-rfc2307"]["with-index"].as_array().unwrap();
    let theirs: Vec<_> = set.iter().map(case).filter(|(.., told)| is_for_nis(told)).collect();
    assert!(theirs.len() >= 4, "{theirs:?}");
    for (call, arg, _) in theirs {
        assert_eq!(bench.call(&call, &arg), Told::NotFound, "{call} {arg}");
    }
    for get in [op::PWD_GET, op::GRP_GET, op::SHADOW_GET] {
        assert!(bench.names(get).iter().all(|name| !name.starts_with(['+', '-'])));
    }
}

/// Differs: an empty name is an entry for libnss-cache, which uidregex can make.
#[test]
fn an_empty_name_is_nobodys() {
    let bench = Bench::of("ldap/opt-uidregex/expect");
    let text = String::from_utf8(bench.read("passwd.cache")).unwrap();
    let empty = text.lines().find(|line| line.starts_with(':')).expect("a line without a name");
    let uid = empty.split(':').nth(2).unwrap();
    assert_eq!(bench.call("getpwnam", ""), Told::NotFound);
    let others =
        text.lines().any(|line| !line.starts_with(':') && line.split(':').nth(2) == Some(uid));
    assert_eq!(bench.call("getpwuid", uid) != Told::NotFound, others);
    assert!(bench.names(op::PWD_GET).iter().all(|name| !name.is_empty()));
}
