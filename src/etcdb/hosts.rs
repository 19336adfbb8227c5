//! hosts: addresses and names, from the file alone.

use super::{Etc, Failure, Outcome, text};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses an answer may have. What is of the other family is passed over.
#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

/// Answers from `address name aliases`. A key is an address of either family or a name; for a name
/// IPv6 comes first, and IPv4 only if there is none. `multi on` in host.conf lets all lines of a
/// name count, else the first does.
pub fn answer(etc: &mut Etc<'_>, keys: &[OsString]) -> Result<Outcome, Box<Failure>> {
    let multi = !keys.is_empty() && multi(etc)?;
    etc.each(keys, &mut |etc, key| {
        let Some(key) = key else {
            // glibc enumerates the lines that IPv4 can express, among them ::1.
            return by_address(etc, Family::V4, None);
        };
        match parse(key) {
            // Never looked up.
            Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ok(false),
            Some(IpAddr::V6(address)) => by_address(etc, Family::V6, Some(address)),
            Some(IpAddr::V4(address)) => {
                by_address(etc, Family::V4, Some(address.to_ipv6_mapped()))
            }
            None => by_key(etc, key, multi),
        }
    })
}

/// The lines with that address, or all. With an address the first ends it.
fn by_address(
    etc: &mut Etc<'_>,
    family: Family,
    wanted: Option<Ipv6Addr>,
) -> Result<bool, Box<Failure>> {
    let mut lines = etc.open("hosts")?;
    while let Some(line) = lines.next_entry()? {
        let (address, names) = text::word(text::uncommented(line));
        let Some(address) = address_in(family, address) else {
            continue;
        };
        if wanted.is_some_and(|wanted| wanted != address) {
            continue;
        }
        let mut tail = Vec::new();
        push_names(&mut tail, names);
        push_line(&mut etc.text, family, address, &tail);
        etc.wrote_one()?;
        if wanted.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A key that is no whole address: one of inet_aton()'s short forms, which needs no file, or a
/// name.
fn by_key(etc: &mut Etc<'_>, key: &[u8], multi: bool) -> Result<bool, Box<Failure>> {
    let first = key.first().copied().unwrap_or_default();
    // A dot at the end makes a name of anything.
    let only = |legal: fn(&u8) -> bool| !key.ends_with(b".") && key.iter().all(legal);
    if first.is_ascii_digit() && only(|byte| matches!(byte, b'0'..=b'9' | b'.')) {
        let Some((address, [])) = text::inet_aton(key) else {
            return Ok(false);
        };
        let address = Ipv4Addr::from_bits(address).to_ipv6_mapped();
        push_line(&mut etc.text, Family::V4, address, key);
        return Ok(true);
    }
    // What looks like IPv6 has no IPv4 address, and if it looks no other way it is a bad address.
    if first == b':' || (first.is_ascii_hexdigit() && key.contains(&b':')) {
        let bad = only(|byte| matches!(byte, b':' | b'.') || byte.is_ascii_hexdigit());
        return Ok(!bad && by_name(etc, key, Family::V6, multi)?);
    }
    Ok(by_name(etc, key, Family::V6, multi)? || by_name(etc, key, Family::V4, multi)?)
}

/// The addresses of a name: each on a line with the first one's name, then all other names in the
/// order of the file.
fn by_name(
    etc: &mut Etc<'_>,
    wanted: &[u8],
    family: Family,
    multi: bool,
) -> Result<bool, Box<Failure>> {
    let mut lines = etc.open("hosts")?;
    let mut addresses = Vec::new();
    let mut first_name = Vec::new();
    let mut tail = Vec::new();
    while let Some(line) = lines.next_entry()? {
        let (address, names) = text::word(text::uncommented(line));
        let (name, aliases) = text::word(names);
        let Some(address) = address_in(family, address) else {
            continue;
        };
        if !name.eq_ignore_ascii_case(wanted)
            && !text::words(aliases).any(|alias| alias.eq_ignore_ascii_case(wanted))
        {
            continue;
        }
        if addresses.is_empty() {
            first_name.extend_from_slice(name);
            push_names(&mut tail, names);
        } else {
            for alias in text::words(aliases) {
                tail.push(b' ');
                tail.extend_from_slice(alias);
            }
            if name != first_name {
                tail.push(b' ');
                tail.extend_from_slice(name);
            }
        }
        addresses.push(address);
        if !multi {
            break;
        }
    }
    for address in &addresses {
        push_line(&mut etc.text, family, *address, &tail);
        etc.wrote_one()?;
    }
    Ok(!addresses.is_empty())
}

/// The address of a line, if the family can express it: in IPv4 that are also the mapped ones and
/// the loopback address of IPv6. One of IPv4 is held as a mapped one.
fn address_in(family: Family, text: &[u8]) -> Option<Ipv6Addr> {
    match (family, parse(text)?) {
        (Family::V4, IpAddr::V6(Ipv6Addr::LOCALHOST)) => Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        (Family::V4, IpAddr::V6(address)) => address.to_ipv4_mapped().and(Some(address)),
        (Family::V4, IpAddr::V4(address)) => Some(address.to_ipv6_mapped()),
        (Family::V6, IpAddr::V6(address)) => Some(address),
        (Family::V6, IpAddr::V4(_)) => None,
    }
}

/// Rust takes the same texts for addresses as inet_pton().
fn parse(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn push_names(out: &mut Vec<u8>, names: &[u8]) {
    for (i, name) in text::words(names).enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(name);
    }
}

fn push_line(out: &mut Vec<u8>, family: Family, address: Ipv6Addr, names: &[u8]) {
    let start = out.len();
    match family {
        Family::V4 => text::push_v4(out, address),
        Family::V6 => text::push_v6(out, address),
    }
    text::pad(out, start, 15);
    out.push(b' ');
    out.extend_from_slice(names);
    out.push(b'\n');
}

/// Whether host.conf says `multi on`. The last such line counts; glibc's default is off.
fn multi(etc: &Etc<'_>) -> Result<bool, Box<Failure>> {
    let mut multi = false;
    let mut lines = etc.open("host.conf")?;
    while let Some(line) = lines.next_entry()? {
        let (command, value) = text::word(line);
        if !command.eq_ignore_ascii_case(b"multi") {
            continue;
        }
        let starts_with =
            |word: &[u8]| value.get(..word.len()).is_some_and(|v| v.eq_ignore_ascii_case(word));
        if starts_with(b"on") {
            multi = true;
        } else if starts_with(b"off") {
            multi = false;
        }
    }
    Ok(multi)
}
