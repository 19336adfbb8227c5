//! The codec of nscd against the recorded exchanges: what glibc's nscd answered from
//! tests/vectors/nscd/input, byte for byte. They were recorded on a little-endian machine.
#![cfg(target_endian = "little")]

use nssproto::entry::{Db, Group, Passwd, Record};
use nssproto::line::{parse_group, parse_passwd};
use nssproto::nscd::{
    Password, ReplyKind, Request, encode, encode_initgroups, encode_not_found, encode_unserved,
};
use nssproto::{DecodeError, EncodeError};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nscd")
}

struct Vector {
    name: String,
    server: String,
    request: Vec<u8>,
    reply: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        all.push(Vector {
            name: text("name"),
            server: text("server"),
            request: unhex(&text("request")),
            reply: unhex(&text("reply")),
        });
    }
    all
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// The slow and obvious server: every question reads every line.
fn answer(request: &Request<'_>) -> Vec<u8> {
    let passwd = fs::read(folder().join("input/passwd")).unwrap();
    let group = fs::read(folder().join("input/group")).unwrap();
    let user = |wanted: &dyn Fn(&Passwd<'_>) -> bool| {
        let found = passwd.split(|b| *b == b'\n').filter_map(|l| parse_passwd(l).ok()).find(wanted);
        encoded(|out| match found {
            Some(record) => encode(&Record::Passwd(record), Password::AsItStands, out),
            None => encode_not_found(ReplyKind::Passwd, out),
        })
    };
    let group_of = |wanted: &dyn Fn(&Group<'_>) -> bool| {
        let found = group.split(|b| *b == b'\n').filter_map(|l| parse_group(l).ok()).find(wanted);
        encoded(|out| match found {
            Some(record) => encode(&Record::Group(record), Password::AsItStands, out),
            None => encode_not_found(ReplyKind::Group, out),
        })
    };
    match *request {
        Request::PasswdByName(name) => user(&|r| r.name == name),
        Request::PasswdByUid(id) => user(&|r| Some(r.uid) == id),
        Request::GroupByName(name) => group_of(&|r| r.name == name),
        Request::GroupByGid(id) => group_of(&|r| Some(r.gid) == id),
        Request::Initgroups(name) => {
            let groups = group.split(|b| *b == b'\n').filter_map(|l| parse_group(l).ok());
            let gids: Vec<u32> =
                groups.filter(|g| { g.members }.any(|m| m == name)).map(|g| g.gid.0).collect();
            if gids.is_empty() {
                return encoded(|out| encode_not_found(ReplyKind::Initgroups, out));
            }
            let mut reply = encoded(|out| encode_initgroups(gids.len() as u32, out));
            reply.extend(gids.iter().flat_map(|gid| gid.to_ne_bytes()));
            reply
        }
        other => panic!("{other:?} is no lookup"),
    }
}

fn encoded(encode: impl Fn(&mut [u8]) -> Result<usize, EncodeError>) -> Vec<u8> {
    let mut out = vec![0xa5; 16384];
    let len = encode(&mut out).unwrap();
    out.truncate(len);
    out
}

#[test]
fn lookups_are_answered_as_glibcs_nscd_answers_them() {
    let mut seen = 0;
    for v in vectors() {
        let lookup = ["pw-", "gr-", "ig-"].iter().any(|p| v.name.starts_with(p));
        if !lookup || v.server != "glibc nscd 2.36, caches on, shared off" {
            continue;
        }
        let took = Request::decode(&v.request).unwrap();
        assert_eq!(took.len, v.request.len(), "{}", v.name);
        assert_eq!(answer(&took.value), v.reply, "{}", v.name);
        seen += 1;
    }
    assert!(seen >= 30, "only {seen} vectors");
}

#[test]
fn what_is_not_served_is_refused_in_the_size_that_the_client_reads() {
    let mut seen = 0;
    for v in vectors().into_iter().filter(|v| v.name.contains("-disabled-")) {
        let Ok(took) = Request::decode(&v.request) else { panic!("{}", v.name) };
        let Request::Unserved(size) = took.value else { continue };
        let reply = encoded(|out| encode_unserved(size, out));
        assert_eq!(reply[..8], v.reply[..8], "{}", v.name);
        assert!(reply.len() <= v.reply.len(), "{}", v.name);
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} vectors");
}

#[test]
fn odd_requests_are_refused_and_control_is_told_apart() {
    for v in vectors() {
        let got = Request::decode(&v.request);
        match v.name.as_str() {
            "raw-big-endian"
            | "raw-version-1"
            | "raw-keylen-negative"
            | "raw-keylen-1025"
            | "raw-negative-type"
            | "raw-unknown-type-22"
            | "raw-unknown-type-99"
            | "raw-key-without-nul" => {
                assert!(matches!(got, Err(DecodeError::Malformed(_))), "{}", v.name)
            }
            "raw-uid-empty" | "raw-uid-trailing-junk" => {
                assert_eq!(got.unwrap().value, Request::PasswdByUid(None), "{}", v.name);
            }
            "raw-two-requests" => assert!(got.unwrap().len < v.request.len()),
            "ctl-getstat-root" => assert_eq!(got.unwrap().value, Request::Statistics),
            "ctl-shutdown-root" => assert_eq!(got.unwrap().value, Request::Shutdown),
            "ctl-invalidate-root" => {
                assert_eq!(got.unwrap().value, Request::Invalidate(b"group"));
            }
            "fd-group-glibc" => {
                assert_eq!(got.unwrap().value, Request::Descriptor(Some(Db::Group)));
            }
            "fd-hosts-glibc" => assert_eq!(got.unwrap().value, Request::Descriptor(None)),
            "fd-passwd-glibc" => {
                assert_eq!(got.unwrap().value, Request::Descriptor(Some(Db::Passwd)));
            }
            _ => assert!(got.is_ok(), "{}", v.name),
        }
    }
}
