//! What each target does with the bytes that it is given: it must not panic.
//!
//! tests/fuzz_replay.rs runs these over the corpus, the fuzzer over what it makes of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target finds by panicking"
)]

mod cache;
mod ldap;
mod lines;
mod map_files;
mod nscd;
mod nscd_map;
mod nslcd;
mod nsss;
mod script;
mod session;
mod stage;
mod supervise;
mod userdb;
mod varlink;

pub use cache::{cache_index, cache_lines, cache_lookup};
pub use ldap::ldap;
pub use lines::lines;
pub use map_files::{nssmap_conf, registry};
pub use nscd::{nscd_request, nscd_session};
pub use nscd_map::nscd_map;
pub use nslcd::nslcd_reply;
pub use nsss::{nsss_reply, nsss_request};
pub use script::switch_script;
pub use session::nsss_session;
pub use supervise::service_status;
pub use userdb::userdb_session;
pub use varlink::varlink;

/// A target: its name, and what it does with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, sorted.
pub const TARGETS: &[Target] = &[
    ("cache_index", cache_index),
    ("cache_lines", cache_lines),
    ("cache_lookup", cache_lookup),
    ("ldap", ldap),
    ("lines", lines),
    ("nscd_map", nscd_map),
    ("nscd_request", nscd_request),
    ("nscd_session", nscd_session),
    ("nslcd_reply", nslcd_reply),
    ("nssmap_conf", nssmap_conf),
    ("nsss_reply", nsss_reply),
    ("nsss_request", nsss_request),
    ("nsss_session", nsss_session),
    ("registry", registry),
    ("service_status", service_status),
    ("switch_script", switch_script),
    ("userdb_session", userdb_session),
    ("varlink", varlink),
];

/// Up to a mark that a fuzzer soon knows, and from there on; without a mark all is the first.
fn cut(data: &[u8]) -> (&[u8], &[u8]) {
    match data.windows(2).position(|w| w == b"\xff\xff") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[]),
    }
}

/// The first byte, 0 if there is none, and the rest.
fn first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// Decimal digits, any number of zeros in front.
fn number(text: &[u8], most: u64) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(text).unwrap().trim_start_matches('0');
    let value: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    (value <= most).then_some(value)
}

/// Compares bytes that may be many.
fn same(got: &[u8], want: &[u8]) {
    let equal = got.iter().zip(want).take_while(|(got, want)| got == want).count();
    let near = |bytes: &[u8]| bytes[equal..bytes.len().min(equal + 40)].escape_ascii().to_string();
    let sizes = (got.len(), want.len());
    assert!(got == want, "{sizes:?}, after {equal}: \"{}\", not \"{}\"", near(got), near(want));
}
