//! The recorded exchanges of tests/vectors/userdb, played against the executable. The codec alone
//! is held against them by tests/it/proto/userdb.rs.

use super::bench::{Bench, assert_lives, message};
use crate::support::{Connection, DEADLINE, Got, Server, is_root, skip};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

/// A gid that the shadow file has, and some peers.
const SHADOW: u32 = 42;

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

/// Sends what the vector says; a server that has closed already is no fault.
fn send(client: &Connection, vector: &Value) {
    if let Some(request) = vector["request"].as_str() {
        let _ = client.try_send(&unhex(request));
        return;
    }
    for step in vector["send"].as_array().unwrap() {
        let bytes = unhex(step["hex"].as_str().unwrap());
        let bytes = bytes.repeat(step["repeat"].as_u64().unwrap_or(1) as usize);
        let chunk = step["chunk"].as_u64().map_or(bytes.len().max(1), |chunk| chunk as usize);
        for piece in bytes.chunks(chunk) {
            if client.try_send(piece).is_err() {
                return;
            }
        }
        if step["eof"] == true {
            client.half_close();
        }
    }
}

/// What is compared of a message.
fn value(message: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(message).expect("JSON");
    if value["parameters"]["interfaces"].is_array() {
        return value["parameters"]["interfaces"].clone();
    }
    match value["parameters"]["description"].as_str() {
        Some(text) => text.lines().next().unwrap().into(),
        None => value,
    }
}

fn values(bytes: &[u8]) -> Vec<Value> {
    bytes.split(|byte| *byte == 0).filter(|m| !m.is_empty()).map(value).collect()
}

/// Reads to the end of file, or until nothing comes that was asked for: a call behind it is answered
/// then. What came before that, and whether the connection was closed.
fn receive(client: &Connection) -> (Vec<u8>, bool) {
    const MARK: &str = "org.nssbox.Mark";
    let mark = serde_json::json!({
        "method": "org.varlink.service.GetInterfaceDescription", "parameters": {"interface": MARK},
    });
    let _ = client.try_send(&message(&mark));
    let mut all = Vec::new();
    loop {
        match client.recv(DEADLINE) {
            Got::Bytes(more) => all.extend(more),
            Got::End => return (all, true),
            Got::Nothing => panic!("neither a reply nor the end: {}", all.escape_ascii()),
        }
        let start = all.len().saturating_sub(1);
        let last = all[..start].iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1);
        if all.ends_with(&[0]) && String::from_utf8_lossy(&all[last..]).contains(MARK) {
            all.truncate(last);
            return (all, false);
        }
    }
}

fn play(server: &Server, vector: &Value) -> Result<(), String> {
    use crate::support::ipcserver::connect_as;
    let client = match vector["peer"].as_str() {
        None | Some("root") => server.connect(),
        Some("nobody") => connect_as(server, 65534, 65534),
        Some("uada") => connect_as(server, 72001, 72001),
        Some("shadow") => connect_as(server, 65534, SHADOW),
        Some(other) => panic!("a peer called {other}"),
    };
    send(&client, vector);
    if vector["then"] == "never reads" {
        assert_lives(server);
        return Ok(());
    }
    // What is to be silent is not followed by another call.
    let silent = vector["send"].is_array() && vector["then"] == "closes";
    let (bytes, closed) = match silent {
        true => (crate::support::receive_all(&client), true),
        false => receive(&client),
    };
    let recorded =
        [&vector["reply"]].into_iter().chain(vector["or"].as_array().into_iter().flatten());
    let mut wanted = recorded.map(|hex| values(&unhex(hex.as_str().unwrap())));
    let got = values(&bytes);
    if !wanted.any(|wanted| wanted == got) {
        return Err(format!("got {got:?}"));
    }
    match vector["then"].as_str() {
        Some("open") if closed => Err("it was closed".into()),
        Some("closes") if !closed => Err("it stays open".into()),
        _ => Ok(()),
    }
}

#[test]
fn each_recorded_call_is_answered_as_it_was() {
    let test = "each_recorded_call_is_answered_as_it_was";
    if !is_root() {
        return skip(test, "only root can connect as others");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/userdb");
    let bench = Bench::new("", "", "");
    for file in ["passwd", "group", "shadow"] {
        fs::copy(folder.join("input").join(file), bench.dir.join(file)).unwrap();
    }
    for (file, mode) in [("passwd", 0o644), ("group", 0o644), ("shadow", 0o640)] {
        bench.dir.chmod(file, mode);
    }
    chown(bench.dir.join("shadow"), Some(0), Some(SHADOW)).unwrap();
    bench.dir.chmod(".", 0o755);
    let server = bench.serve(&[]);
    let (mut played, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if let Err(why) = play(&server, &vector) {
            wrong.push(format!("{}: {why}", path.file_name().unwrap().display()));
        }
        played += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played > 150, "only {played}");
}
