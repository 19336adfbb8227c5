//! The codec of nsss against the recorded exchanges, both ways, and against noise.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test panics")]

use nssproto::EncodeError;
use nssproto::nsss::stream::AreaChecker;
use nssproto::nsss::{Head, Reply, Request, RequestError, encode};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What was sent and what came back, step by step, of each vector without wildcards.
fn exchanges() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut all = Vec::new();
    for set in ["nsss", "nsss-chain", "nsss-documented"] {
        for entry in fs::read_dir(root.join(set)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            for step in vector["steps"].as_array().unwrap() {
                let (send, expect) =
                    (step["send"].as_str().unwrap(), step["expect"].as_str().unwrap());
                if !expect.contains('!') {
                    let name = vector["name"].as_str().unwrap().to_owned();
                    all.push((name, unhex(send), unhex(expect)));
                }
            }
        }
    }
    all
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
}

#[test]
fn recorded_requests_and_replies_survive_both_ways() {
    let (mut requests, mut records) = (0, 0);
    for (name, mut sent, mut got) in exchanges() {
        while let Ok(took) = Request::decode(&sent) {
            let mut out = [0xa5; Request::MAX];
            let len = took.value.encode(&mut out).unwrap();
            assert_eq!(out[..len], sent[..took.len], "{name}");
            requests += 1;
            // A vector may split a request, or end before its reply.
            let Ok(reply) = Reply::decode(&took.value, &got) else { break };
            let mut size = reply.len;
            match reply.value {
                Reply::Record(head) => {
                    size += head.area_len() as usize;
                    records += 1;
                    both_ways(&name, head, reply.len, &got[..size]);
                }
                Reply::GroupList(head) => size += 4 * head.sent() as usize,
                Reply::Done | Reply::NotFound | Reply::Failed(_) => {}
            }
            sent.drain(..took.len);
            got.drain(..size);
        }
    }
    assert!(requests > 500 && records > 150, "{requests} requests, {records} records");
}

fn both_ways(name: &str, head: Head, head_len: usize, reply: &[u8]) {
    let record = head.record(&reply[head_len..]).unwrap();
    let mut out = vec![0xa5; reply.len()];
    assert_eq!(encode(&record, &mut out), Ok(reply.len()), "{name}");
    assert_eq!(out, reply, "{name}");
    for cut in 0..reply.len() {
        assert_eq!(
            encode(&record, &mut out[..cut]),
            Err(EncodeError::NoSpace(reply.len())),
            "{name}"
        );
    }
    let mut check = AreaChecker::new(&head);
    assert_eq!(check.feed(&reply[head_len..]), Ok(()), "{name}");
    assert_eq!(check.left(), 0, "{name}");
}

/// xorshift: repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn noise_is_refused_or_read_within_its_bounds() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let opcodes = [1, 8, 9, 10, 11, 12, 16, 17, 18, 19, 20, 21, 32, 33, 34, 35];
    for _ in 0..200_000 {
        let mut bytes = [0u8; 48];
        bytes.iter_mut().for_each(|b| *b = noise.next() as u8);
        let len = noise.next() as usize % bytes.len();
        // Half of them begin like something, with small lengths.
        if noise.next().is_multiple_of(2) {
            bytes[0] = opcodes[noise.next() as usize % opcodes.len()];
            bytes[1..4].fill(0);
            bytes[4] %= 40;
        }
        let input = &bytes[..len];
        match Request::decode(input) {
            Ok(took) => {
                assert!(took.len <= len);
                let mut out = [0; Request::MAX];
                let size = took.value.encode(&mut out).unwrap();
                assert_eq!(out[..size], input[..took.len]);
                if let Ok(reply) = Reply::decode(&took.value, &bytes) {
                    assert!(reply.len <= bytes.len());
                    if let Reply::Record(head) = reply.value {
                        // Whatever it announces, nothing outside the slice is touched.
                        let _ = head.record(&bytes[reply.len..]);
                        let _ = AreaChecker::new(&head).feed(&bytes[reply.len..]);
                    }
                }
            }
            Err(RequestError::Incomplete(n)) => assert!(n > 0),
            Err(RequestError::InvalidName { len: skipped }) => assert!(skipped <= len),
            Err(RequestError::NameTooLong | RequestError::UnknownOpcode(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}
