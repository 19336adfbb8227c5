//! services, protocols, rpc, networks: a name, a number or an address, and aliases.

use super::text::{self, BLANK, Text};
use super::{Kind, address};
use crate::sys::output::push_decimal;
use nssproto::bytes::decimal_u64;

/// Writes the entry of that line, if it is one and has the key.
///
/// - networks: `name address aliases`, where missing bytes at the end of the address are zero. A
///   key that begins with a digit is an address. A bad address, in a line or a key, is
///   255.255.255.255.
/// - protocols, rpc: `name number aliases`. A key that begins with a digit is a number.
/// - services: `name port/protocol aliases`. A key is `name` or `port`, either with `/protocol`;
///   it is a port if it is all digits and at most 65535.
pub fn line(kind: Kind, line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = Text::uncommented(line);
    let name = rest.word();
    let (value, protocol) = value(kind, &mut rest)?;
    let aliases = rest.0;
    if let Some(mut key) = key {
        if kind == Kind::Services && key.contains(&b'/') {
            let mut rest = Text(key);
            key = rest.until(b'/');
            if rest.0 != protocol {
                return None;
            }
        }
        let same = match value_of_key(kind, key) {
            Some(wanted) => wanted == value,
            None => text::is_named(key, name, aliases, kind == Kind::Networks),
        };
        if !same {
            return None;
        }
    }
    let start = out.len();
    out.extend_from_slice(name);
    text::pad(out, start, if kind == Kind::Rpc { 15 } else { 21 });
    out.push(b' ');
    match kind {
        Kind::Networks => address::push_v4(out, value),
        Kind::Services => {
            push_decimal(out, value);
            out.push(b'/');
            out.extend_from_slice(protocol);
        }
        _ => {
            // glibc keeps the number in an int.
            let value = value.cast_signed();
            if value < 0 {
                out.push(b'-');
            }
            push_decimal(out, value.unsigned_abs());
        }
    }
    if kind == Kind::Rpc && !aliases.is_empty() {
        // glibc writes two blanks before the first alias.
        out.push(b' ');
    }
    text::push_words(out, aliases);
    out.push(b'\n');
    Some(())
}

/// Takes what follows the name of an entry: its number or address, and a service's protocol.
fn value<'a>(kind: Kind, rest: &mut Text<'a>) -> Option<(u32, &'a [u8])> {
    match kind {
        Kind::Networks => Some((address::dotted(rest.word(), true).unwrap_or(u32::MAX), b"")),
        Kind::Services => {
            // As in glibc 010 is eight here, and more slashes are as good as one.
            let port = rest.field(0, b'/')?;
            rest.skip(b'/');
            // htons() in glibc: a larger number loses its upper half.
            Some((port & 0xffff, rest.word()))
        }
        _ => {
            let number = rest.field(10, BLANK)?;
            rest.skip(BLANK);
            Some((number, b""))
        }
    }
}

/// The number or address that a key stands for, unless it is to be taken for a name.
fn value_of_key(kind: Kind, key: &[u8]) -> Option<u32> {
    if !key.first()?.is_ascii_digit() {
        return None;
    }
    match kind {
        Kind::Networks => address::dotted(key, false).or(Some(u32::MAX)),
        Kind::Services => text::number(key).filter(|port| *port <= 0xffff),
        _ => {
            // atol() where a long has 64 bits, cut down to an int: what follows is ignored.
            let end = key.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(key.len());
            let long = decimal_u64(key.get(..end)?).unwrap_or(u64::MAX);
            Some(long.min(i64::MAX.cast_unsigned()) as u32)
        }
    }
}
