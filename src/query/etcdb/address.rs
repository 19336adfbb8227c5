//! Addresses of the Internet, as the C library reads and writes them.
//!
//! std's own parser of IPv6 is 1 KB larger, and nothing else needs it; the tests compare both.

use super::text::{self, BLANK, Text};
use crate::sys::output::push_decimal;

/// A kind of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An address of IPv6. One of IPv4 is held as a mapped one.
pub type Address = [u16; 8];

/// No address.
pub const UNSPECIFIED: Address = [0; 8];

/// IPv6's own.
pub const LOCALHOST: Address = [0, 0, 0, 0, 0, 0, 0, 1];

/// An address of IPv4 in IPv6.
pub const fn mapped(address: u32) -> Address {
    [0, 0, 0, 0, 0, 0xffff, (address >> 16) as u16, address as u16]
}

/// Whether it stands for an address of IPv4.
pub fn is_mapped(address: &Address) -> bool {
    let [front @ .., _, _] = address;
    *front == [0, 0, 0, 0, 0, 0xffff]
}

/// The address of IPv4 at its end.
pub fn v4_of([.., high, low]: &Address) -> u32 {
    u32::from(*high) << 16 | u32::from(*low)
}

/// An address as inet_pton() reads it.
pub fn parse(text: &[u8]) -> Option<(Family, Address)> {
    let mut address = UNSPECIFIED;
    let last = text.iter().rposition(|byte| *byte == b':').map_or(0, |colon| colon + 1);
    let (front, last) = text.split_at_checked(last)?;
    let Some(v4) = dotted(last, false).filter(|v4| is_canonical(last, *v4)) else {
        groups(text, &mut address)?;
        return Some((Family::V6, address));
    };
    let (family, front) = match front {
        [] => (Family::V4, &b"::ffff:"[..]),
        _ => (Family::V6, front),
    };
    groups(&[front, b"0:0"].concat(), &mut address)?;
    let [.., high, low] = &mut address;
    (*high, *low) = ((v4 >> 16) as u16, v4 as u16);
    Some((family, address))
}

/// IPv4 is read in no other way than it is written.
fn is_canonical(text: &[u8], address: u32) -> bool {
    let mut written = Vec::new();
    push_v4(&mut written, address);
    written == text
}

/// Eight groups of up to four hexadecimal digits. Two colons, once, stand for one group of zeros
/// or more. They are filled in.
fn groups(text: &[u8], address: &mut Address) -> Option<()> {
    let mut rest = match text {
        [b':', rest @ ..] if rest.starts_with(b":") => Text(rest),
        [b':', ..] => return None,
        _ => Text(text),
    };
    let (mut len, mut gap) = (0, None);
    while let [first, behind @ ..] = rest.0 {
        if *first == b':' {
            if gap.replace(len).is_some() {
                return None;
            }
            rest.0 = behind;
            continue;
        }
        let left = rest.0.len();
        *address.get_mut(len)? = rest.digits(16)? as u16;
        len += 1;
        if left - rest.0.len() > 4 {
            return None;
        }
        match rest.0 {
            [b':', next @ ..] if !next.is_empty() => rest.0 = next,
            [] => {}
            _ => return None,
        }
    }
    match gap {
        // What is behind the gap goes to the end, and zeros come forward.
        Some(gap) if len < 8 => (gap..len).rev().for_each(|at| address.swap(at, at + 8 - len)),
        None if len == 8 => {}
        _ => return None,
    }
    Some(())
}

/// An IPv4 address up to a blank, highest byte first, of one to four numbers in C's notation.
///
/// As inet_aton() reads it, the last number fills what the others leave. As inet_network() reads
/// it (`network`, after missing parts were added as zeros), each is one byte, and a hexadecimal
/// one needs no 0 before its x.
pub fn dotted(text: &[u8], network: bool) -> Option<u32> {
    let (mut rest, mut address, mut shift) = (Text(Text(text).until(BLANK)), 0, 32_u32);
    loop {
        shift = shift.checked_sub(8)?;
        let len = rest.0.len();
        let part = rest.until(b'.');
        let last = part.len() == len;
        let (base, part) = match part {
            [b'0', b'x' | b'X', part @ ..] => (16, part),
            [b'x' | b'X', part @ ..] if network => (16, part),
            [b'0', ..] => (8, part),
            _ => (10, part),
        };
        let mut part = Text(part);
        let value = part.digits(base)?;
        let fills = last && !network;
        let most = if fills { u32::MAX >> (24 - shift) } else { 0xff };
        if value > most || !part.0.is_empty() {
            return None;
        }
        address |= if fills { value } else { value << shift };
        if last {
            return Some(address);
        }
    }
}

/// Adds an IPv4 address as inet_ntop() writes it.
pub fn push_v4(out: &mut Vec<u8>, address: u32) {
    for (at, byte) in address.to_be_bytes().iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_decimal(out, (*byte).into());
    }
}

/// Adds an address as inet_ntop() writes it.
///
/// The first of the longest runs of two zeros or more is left out, and what maps IPv4 or has only
/// zeros in front of it is dotted behind that.
pub fn push_v6(out: &mut Vec<u8>, address: &Address) {
    let (mut gap, mut zeros) = (0..0, 0);
    for (at, group) in address.iter().enumerate() {
        zeros = if *group == 0 { zeros + 1 } else { 0 };
        if zeros > gap.len().max(1) {
            gap = at + 1 - zeros..at + 1;
        }
    }
    let dotted = gap == (0..6) || is_mapped(address);
    for (at, group) in address.iter().enumerate() {
        if gap.contains(&at) {
            if at == gap.start {
                out.extend_from_slice(b"::");
            }
            continue;
        }
        if at > 0 && at != gap.end {
            out.push(b':');
        }
        if dotted && at == 6 {
            return push_v4(out, v4_of(address));
        }
        text::push_hex(out, *group);
    }
}
