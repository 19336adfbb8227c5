//! ethers: Ethernet addresses and the names of their hosts.

use super::text;

type Address = [u8; 6];

/// `address name`. A key is an address or a name; a name is written as the key spells it.
pub fn line(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let (Some(key), Some((address, name))) = (key, parse(text::uncommented(line))) else {
        return false;
    };
    let shown = match ether_aton(key) {
        Some(wanted) if wanted == address => name,
        None if name.eq_ignore_ascii_case(key) => key,
        _ => return false,
    };
    for (at, byte) in address.into_iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        text::push_hex(out, byte.into());
    }
    out.push(b' ');
    out.extend_from_slice(shown);
    out.push(b'\n');
    true
}

fn parse(line: &[u8]) -> Option<(Address, &[u8])> {
    let (mut address, mut rest) = (Address::default(), line);
    for (at, byte) in address.iter_mut().enumerate() {
        let value;
        (value, rest) = text::field(rest, 16, if at < 5 { b":" } else { text::BLANKS })?;
        *byte = u8::try_from(value).ok()?;
    }
    Some((address, text::word(text::skip(rest, text::BLANKS)).0))
}

/// Six times one or two hexadecimal digits. As in glibc, what follows the twelfth is ignored.
fn ether_aton(key: &[u8]) -> Option<Address> {
    let (mut address, mut rest) = (Address::default(), key);
    for (at, byte) in address.iter_mut().enumerate() {
        let part;
        (part, rest) = match at {
            5 => text::split(rest.get(..2).unwrap_or(rest), text::BLANKS),
            _ => text::split(rest, b":"),
        };
        *byte = match text::digits(part, 16)? {
            (value, []) if part.len() <= 2 => value as u8,
            _ => return None,
        };
    }
    Some(address)
}
