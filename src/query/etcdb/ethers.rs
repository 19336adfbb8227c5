//! ethers: Ethernet addresses and the names of their hosts.

use super::text::{self, BLANK, Text};

type Address = [u8; 6];

/// `address name`. A key is an address or a name; a name is written as the key spells it.
pub fn line(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let (Some(key), Some((address, name))) = (key, parse(Text::uncommented(line))) else {
        return false;
    };
    let shown = match ether_aton(key) {
        Some(wanted) if wanted == address => name,
        None if name.eq_ignore_ascii_case(key) => key,
        _ => return false,
    };
    for (at, byte) in address.iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        text::push_hex(out, (*byte).into());
    }
    out.push(b' ');
    text::push(out, shown, b'\n');
    true
}

fn parse(mut line: Text<'_>) -> Option<(Address, &[u8])> {
    let mut address = Address::default();
    for (at, byte) in address.iter_mut().enumerate() {
        *byte = u8::try_from(line.field(16, if at < 5 { b':' } else { BLANK })?).ok()?;
    }
    line.skip(BLANK);
    Some((address, line.word()))
}

/// Six times one or two hexadecimal digits. As in glibc, what follows the twelfth is ignored.
fn ether_aton(key: &[u8]) -> Option<Address> {
    let (mut address, mut rest) = (Address::default(), Text(key));
    for (at, byte) in address.iter_mut().enumerate() {
        let part = match at {
            5 => Text(rest.0.get(..2).unwrap_or(rest.0)).until(BLANK),
            _ => rest.until(b':'),
        };
        let mut digits = Text(part);
        *byte = digits.digits(16)? as u8;
        if part.len() > 2 || !digits.0.is_empty() {
            return None;
        }
    }
    Some(address)
}
