//! hosts: addresses and names, from the file alone.

use super::Etc;
use super::address::{self, Address, Family};
use super::text::{self, Text};
use crate::sys::error::Error;

/// Which lines count.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    All,
    Address(&'a Address),
    Name(&'a [u8]),
}

/// Answers from `address name aliases`. A key is an address of either family or a name; for a name
/// IPv6 comes first, and IPv4 only if there is none.
pub fn lookup(etc: &mut Etc<'_>, key: Option<&[u8]>) -> Result<(), Error> {
    let Some(key) = key else {
        // glibc enumerates the lines that IPv4 can express, among them ::1.
        return search(etc, Family::V4, Wanted::All);
    };
    if etc.multi.is_none() {
        etc.multi = Some(multi(etc)?);
    }
    match address::parse(key) {
        // Never looked up.
        Some((_, address::UNSPECIFIED)) => Ok(()),
        Some((family, address)) => search(etc, family, Wanted::Address(&address)),
        None => by_key(etc, key),
    }
}

/// A key that is no whole address: one of inet_aton()'s short forms, which needs no file, or a
/// name.
fn by_key(etc: &mut Etc<'_>, key: &[u8]) -> Result<(), Error> {
    let first = key.first().copied().unwrap_or_default();
    // A dot at the end makes a name of anything.
    let only = |legal: &[u8]| !key.ends_with(b".") && key.iter().all(|byte| legal.contains(byte));
    if first.is_ascii_digit() && only(b"0123456789.") {
        return match address::dotted(key, false) {
            Some(v4) => etc.put_host(Family::V4, &address::mapped(v4), key),
            None => Ok(()),
        };
    }
    // What looks like IPv6 has no IPv4 address, and if it looks no other way it is a bad address.
    let is_v6 = first == b':' || (first.is_ascii_hexdigit() && key.contains(&b':'));
    if is_v6 && only(b"0123456789abcdefABCDEF.:") {
        return Ok(());
    }
    search(etc, Family::V6, Wanted::Name(key))?;
    if etc.found || is_v6 { Ok(()) } else { search(etc, Family::V4, Wanted::Name(key)) }
}

/// Writes the lines that are wanted, or the first one of them: of an address or a name.
///
/// If all lines of a name count, each of their addresses stands on a line with the first one's
/// name, then all other names in the order of the file.
fn search(etc: &mut Etc<'_>, family: Family, wanted: Wanted<'_>) -> Result<(), Error> {
    let file = etc.read("hosts")?;
    let mut lines = Text(&file);
    let (mut addresses, mut first, mut names) = (Vec::new(), &[][..], Vec::new());
    while let Some(line) = lines.entry() {
        let mut rest = Text::uncommented(line);
        let (address, name, aliases) = (rest.word(), rest.word(), rest.0);
        // Names first: to read an address takes longer.
        let address = match wanted {
            Wanted::Name(key) if !text::is_named(key, name, aliases, true) => None,
            _ => address_in(family, address),
        };
        let Some(address) = address else { continue };
        if matches!(wanted, Wanted::Address(key) if *key != address) {
            continue;
        }
        addresses.push(address);
        if addresses.len() == 1 {
            first = name;
            names.extend_from_slice(name);
        }
        text::push_words(&mut names, aliases);
        if name != first {
            text::push_words(&mut names, name);
        }
        match wanted {
            Wanted::All => etc.put_hosts(family, &mut addresses, &mut names)?,
            Wanted::Name(_) if etc.multi == Some(true) => {}
            _ => break,
        }
    }
    etc.put_hosts(family, &mut addresses, &mut names)
}

impl Etc<'_> {
    /// Writes a line for each address, with the same names, and forgets both.
    fn put_hosts(
        &mut self,
        family: Family,
        addresses: &mut Vec<Address>,
        names: &mut Vec<u8>,
    ) -> Result<(), Error> {
        for address in &*addresses {
            self.put_host(family, address, names)?;
        }
        addresses.clear();
        names.clear();
        Ok(())
    }

    /// Writes a line of an address and names.
    fn put_host(&mut self, family: Family, address: &Address, names: &[u8]) -> Result<(), Error> {
        let out = &mut self.text;
        let start = out.len();
        match family {
            Family::V4 => address::push_v4(out, address::v4_of(address)),
            Family::V6 => address::push_v6(out, address),
        }
        text::pad(out, start, 15);
        out.push(b' ');
        text::push(out, names, b'\n');
        self.found_one()
    }
}

/// The address of a line, if the family can express it: in IPv4 that are also the mapped ones and
/// the loopback address of IPv6.
fn address_in(family: Family, text: &[u8]) -> Option<Address> {
    let (own, mut address) = address::parse(text)?;
    if family == Family::V6 {
        return (own == family).then_some(address);
    }
    if address == address::LOCALHOST {
        address = address::mapped(0x7f00_0001);
    }
    address::is_mapped(&address).then_some(address)
}

/// Whether host.conf says `multi on`, which lets all lines of a name count. The last such line
/// counts; glibc's default is off.
fn multi(etc: &Etc<'_>) -> Result<bool, Error> {
    let file = etc.read("host.conf")?;
    let (mut lines, mut multi) = (Text(&file), false);
    while let Some(line) = lines.entry() {
        let mut line = Text(line);
        if line.word().eq_ignore_ascii_case(b"multi") {
            match line.0 {
                [b'o' | b'O', b'n' | b'N', ..] => multi = true,
                [b'o' | b'O', b'f' | b'F', b'f' | b'F', ..] => multi = false,
                _ => {}
            }
        }
    }
    Ok(multi)
}
