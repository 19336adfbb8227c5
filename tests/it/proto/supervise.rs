//! The codecs of status files against those of live supervisors: tests/vectors/runit and sv.

use nssproto::supervise::{Beside, STATUS_MAX, Stamp, Status, daemontools, encore, s6};
use serde_json::Value;
use std::fs;

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// All vectors with a status file: the path, and what is in it.
fn vectors() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for folder in ["runit", "sv"] {
        let path = format!("{}/tests/vectors/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") {
                let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                if vector["status_hex"].is_string() {
                    found.push((path.display().to_string(), vector));
                }
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// As it lay in its folder. runsv writes `stat`; the files that were made by hand for runit's sv have
/// none beside them, and get one.
fn decode(vector: &Value) -> Result<Status, &'static str> {
    let format = vector["format"].as_str().unwrap();
    let stat = match vector["files"].as_object() {
        Some(files) => files.contains_key("stat"),
        None => format == "runit-20",
    };
    let ok = !format.starts_with("s6");
    let file = unhex(vector["status_hex"].as_str().unwrap());
    let beside = Beside { ok, stat: &|| stat };
    Status::decode(&file, beside).map_err(|malformed| malformed.reason())
}

fn family(status: &Status) -> &'static str {
    match status {
        Status::Runit(_) => "runit-20",
        Status::Daemontools(_) => "daemontools-18",
        Status::Encore { .. } => "encore-20",
        Status::S6(s6::Status { group: None, .. }) => "s6-35",
        Status::S6(_) => "s6-43",
    }
}

#[test]
fn every_recorded_status_file_is_told_apart_and_written_back() {
    let (mut told, mut refused) = (0, Vec::new());
    for (name, vector) in vectors() {
        match decode(&vector) {
            Err(reason) => refused.push((vector["name"].as_str().unwrap().to_owned(), reason)),
            Ok(status) => {
                assert_eq!(family(&status), vector["format"], "{name}");
                let file = unhex(vector["status_hex"].as_str().unwrap());
                let mut out = [0xa5; STATUS_MAX];
                let len = status.encode(&mut out).unwrap();
                // The byte that is read over.
                let file = if file.len() == 21 { &file[..20] } else { &file[..] };
                assert_eq!(&out[..len], file, "{name}");
                told += 1;
            }
        }
    }
    assert_eq!(refused, [("made-size-0".to_owned(), "bad format")]);
    assert_eq!(told, 115, "vectors");
}

/// A field that a vector has must be this.
#[track_caller]
fn same(name: &str, fields: &Value, key: &str, got: impl Into<Value>) {
    if !fields[key].is_null() {
        assert_eq!(fields[key], got.into(), "{name}: {key}");
    }
}

fn want(byte: u8) -> String {
    if byte == 0 { String::new() } else { char::from(byte).into() }
}

#[test]
fn fields_are_what_the_vectors_say() {
    let mut seen = 0;
    for (name, vector) in vectors() {
        let fields = &vector["fields"];
        let (Ok(status), true) = (decode(&vector), fields.is_object()) else { continue };
        seen += 1;
        let stamp = |stamp: Stamp| {
            same(&name, fields, "tai_label", stamp.label);
            same(&name, fields, "nanoseconds", stamp.nanos);
        };
        let seconds = |stamp: Stamp| {
            same(&name, fields, "unix_seconds", stamp.unix_seconds());
        };
        let wants = |byte: u8| {
            let recorded = fields["want"].as_str().unwrap_or_default();
            assert_eq!(recorded.trim_matches('\0'), want(byte), "{name}: want");
        };
        let front = |s: daemontools::Status| {
            stamp(s.stamp);
            seconds(s.stamp);
            wants(s.want);
            same(&name, fields, "pid", s.pid);
            same(&name, fields, "paused", s.paused);
        };
        match status {
            Status::Runit(s) => {
                front(s.front);
                same(&name, fields, "got_term", s.got_term);
                same(&name, fields, "state", s.state);
            }
            Status::Daemontools(s) => front(s),
            Status::Encore { main: s, log } => {
                front(s.front);
                same(&name, fields, "state", s.state);
                same(&name, fields, "byte_19", s.last);
                let svstat = vector["own_tool_output"].as_str().unwrap();
                assert_eq!(log.is_some(), svstat.contains(" log: "), "{name}");
                assert!(vector["supervisor_lives"] == false || svstat.contains(s.word()), "{name}");
                assert!(log.is_none_or(|log| log.state == encore::RUNNING), "{name}");
            }
            Status::S6(s) => {
                stamp(s.stamp);
                seconds(s.since());
                same(&name, fields, "ready_tai_label", s.ready.label);
                same(&name, fields, "ready_nanoseconds", s.ready.nanos);
                same(&name, fields, "ready_unix_seconds", s.ready_since().unix_seconds());
                same(&name, fields, "pid", s.pid);
                same(&name, fields, "pgid", s.group);
                same(&name, fields, "wait_status", s.wait);
                for (key, flag) in [
                    ("paused", s6::PAUSED),
                    ("finishing", s6::FINISHING),
                    ("want_up", s6::WANT_UP),
                    ("ready", s6::READY),
                ] {
                    same(&name, fields, key, u8::from(s.has(flag)));
                }
                let svstat = vector["own_tool_output"].as_str().unwrap();
                assert_eq!(s.is_unstarted(), svstat.contains("not started yet"), "{name}");
            }
        }
    }
    assert!(seen >= 96, "{seen} vectors with fields");
}

#[test]
fn no_shorter_file_is_taken_for_the_whole() {
    for (name, vector) in vectors() {
        let file = unhex(vector["status_hex"].as_str().unwrap());
        for len in 0..file.len().min(17) {
            let told = Status::decode(&file[..len], Beside { ok: true, stat: &|| true });
            assert!(told.is_err(), "{name}: {len} bytes");
        }
    }
}
