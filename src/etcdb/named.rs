//! services, protocols, rpc, networks: a name, a number or an address, and aliases.

use super::text;
use std::net::Ipv4Addr;

/// `name port/protocol aliases`. A key is `name` or `port`, either with `/protocol`; it is a port
/// if it is all digits and at most 65535.
pub fn service(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let (name, rest) = text::word(text::uncommented(line));
    // As in glibc 010 is eight here, and more slashes are as good as one.
    let Some((port, mut rest)) = text::field(rest, 0, is_slash) else {
        return false;
    };
    while let [b'/', tail @ ..] = rest {
        rest = tail;
    }
    // htons() in glibc: a larger number loses its upper half.
    let port = port & 0xffff;
    let (protocol, aliases) = text::word(rest);
    if let Some(key) = key {
        let (wanted, wanted_protocol) = text::split(key, is_slash);
        if key.contains(&b'/') && wanted_protocol != protocol {
            return false;
        }
        let same = match port_key(wanted) {
            Some(wanted) => wanted == port,
            None => has_name(wanted, name, aliases),
        };
        if !same {
            return false;
        }
    }
    push_name(out, name, 21);
    text::push_decimal(out, port);
    out.push(b'/');
    out.extend_from_slice(protocol);
    push_aliases(out, aliases);
    true
}

/// `name number aliases`. A key that begins with a digit is a number.
pub fn protocol(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    numbered(line, key, 21, b"", out)
}

/// `name number aliases`. A key that begins with a digit is a number.
pub fn rpc(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    // glibc writes two blanks before the first alias.
    numbered(line, key, 15, b" ", out)
}

fn numbered(
    line: &[u8],
    key: Option<&[u8]>,
    width: usize,
    before_aliases: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let (name, rest) = text::word(text::uncommented(line));
    let Some((value, rest)) = text::field(rest, 10, text::is_blank) else {
        return false;
    };
    let aliases = text::skip_blanks(rest);
    // glibc keeps the number in an int.
    let value = value.cast_signed();
    let same = match key {
        None => true,
        Some(key @ [b'0'..=b'9', ..]) => int_key(key) == value,
        Some(key) => has_name(key, name, aliases),
    };
    if !same {
        return false;
    }
    push_name(out, name, width);
    if value < 0 {
        out.push(b'-');
    }
    text::push_decimal(out, value.unsigned_abs());
    if !aliases.is_empty() {
        out.extend_from_slice(before_aliases);
    }
    push_aliases(out, aliases);
    true
}

/// `name address aliases`, where missing bytes at the end of the address are zero. A key that
/// begins with a digit is an address. A bad address, in a line or a key, is 255.255.255.255.
pub fn network(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let (name, rest) = text::word(text::uncommented(line));
    let (address, aliases) = text::word(rest);
    let address = inet_network(address).unwrap_or(u32::MAX);
    let same = match key {
        None => true,
        Some(key @ [b'0'..=b'9', ..]) => {
            text::inet_aton(key).map_or(u32::MAX, |(key, _)| key) == address
        }
        Some(key) => {
            name.eq_ignore_ascii_case(key)
                || text::words(aliases).any(|alias| alias.eq_ignore_ascii_case(key))
        }
    };
    if !same {
        return false;
    }
    push_name(out, name, 21);
    text::push_v4(out, Ipv4Addr::from_bits(address).to_ipv6_mapped());
    push_aliases(out, aliases);
    true
}

fn is_slash(byte: u8) -> bool {
    byte == b'/'
}

fn has_name(wanted: &[u8], name: &[u8], aliases: &[u8]) -> bool {
    name == wanted || text::words(aliases).any(|alias| alias == wanted)
}

/// The port that a key names, unless it is to be taken for a service's name.
fn port_key(key: &[u8]) -> Option<u32> {
    if !key.first()?.is_ascii_digit() {
        return None;
    }
    match text::number(key, 10)? {
        (port @ 0..=0xffff, []) => u32::try_from(port).ok(),
        _ => None,
    }
}

/// atol() where a long has 64 bits, cut down to an int: what follows the digits is ignored.
fn int_key(key: &[u8]) -> i32 {
    let long = match text::number(key, 10) {
        Some((value, _)) => value.min(i64::MAX.cast_unsigned()),
        None => 0,
    };
    // The low half, which always fits.
    u32::try_from(long & 0xffff_ffff).map_or(0, u32::cast_signed)
}

/// inet_network() after missing parts were added as zeros: up to four numbers of one byte, in C's
/// notation; a hexadecimal one needs no 0 before its x.
fn inet_network(text: &[u8]) -> Option<u32> {
    let mut address = 0;
    let mut count = 0;
    for part in text.split(|&byte| byte == b'.') {
        let (base, digits) = match part {
            [b'0', b'x' | b'X', digits @ ..] | [b'x' | b'X', digits @ ..] => (16, digits),
            [b'0', ..] => (8, part),
            _ => (10, part),
        };
        // Neither blanks nor signs nor a second 0x.
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let Some((value @ 0..=0xff, [])) = text::number(digits, base) else {
            return None;
        };
        address = address << 8 | u32::try_from(value).ok()?;
        count += 1;
    }
    match count {
        1..=4 => Some(address << (8 * (4 - count))),
        _ => None,
    }
}

fn push_name(out: &mut Vec<u8>, name: &[u8], width: usize) {
    let start = out.len();
    out.extend_from_slice(name);
    text::pad(out, start, width);
    out.push(b' ');
}

/// Ends the line with the aliases, one blank before each.
fn push_aliases(out: &mut Vec<u8>, aliases: &[u8]) {
    for alias in text::words(aliases) {
        out.push(b' ');
        out.extend_from_slice(alias);
    }
    out.push(b'\n');
}
