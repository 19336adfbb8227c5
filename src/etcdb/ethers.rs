//! ethers: Ethernet addresses and the names of their hosts.

use super::text;

type Address = [u8; 6];

/// `address name`. A key is an address or a name; a name is written as the key spells it.
pub fn line(line: &[u8], key: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let Some(key) = key else {
        return false;
    };
    let Some((address, name)) = parse(text::uncommented(line)) else {
        return false;
    };
    let shown = match ether_aton(key) {
        Some(wanted) if wanted == address => name,
        None if name.eq_ignore_ascii_case(key) => key,
        _ => return false,
    };
    for (i, byte) in address.into_iter().enumerate() {
        if i > 0 {
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
    let mut address = Address::default();
    let mut rest = line;
    let [head @ .., last] = &mut address;
    for byte in head {
        (*byte, rest) = octet(rest, |byte| byte == b':')?;
    }
    (*last, rest) = octet(rest, text::is_blank)?;
    Some((address, text::word(text::skip_blanks(rest)).0))
}

fn octet(line: &[u8], ends: fn(u8) -> bool) -> Option<(u8, &[u8])> {
    let (value, rest) = text::field(line, 16, ends)?;
    Some((u8::try_from(value).ok()?, rest))
}

/// Six times one or two hexadecimal digits. As in glibc, what follows the twelfth is ignored.
fn ether_aton(text: &[u8]) -> Option<Address> {
    let mut address = Address::default();
    let mut rest = text;
    for (i, byte) in address.iter_mut().enumerate() {
        let (first, tail) = hex_digit(rest)?;
        *byte = first;
        rest = tail;
        let ended = match rest.first() {
            Some(&next) if i < 5 => next == b':',
            Some(&next) => text::is_blank(next),
            None => i == 5,
        };
        if !ended {
            let (second, tail) = hex_digit(rest)?;
            *byte = first << 4 | second;
            rest = tail;
        }
        if i < 5 {
            rest = rest.strip_prefix(b":")?;
        }
    }
    Some(address)
}

fn hex_digit(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = text.split_first()?;
    let digit = char::from(first).to_digit(16)?;
    Some((u8::try_from(digit).ok()?, rest))
}
