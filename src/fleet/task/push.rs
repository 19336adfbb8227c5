//! `push`: one file to all, by a piece of POSIX shell there that takes it on standard input.
//!
//! The script (push.sh, without its comments and in one line) is tried with dash and busybox. It has no
//! single quote, no exclamation mark and no newline inside, so that any login shell hands it on.

use super::{opened, quoted};
use crate::fleet::complaint::{Complaint, failure};
use crate::fleet::input::Input;
use crate::options::Spec;
use crate::sys::file::{join, pread_full};
use crate::sys::program::SELF;
use crate::sys::stat::fstat;
use crc::{CRC_32_CKSUM, Crc};
use rustix::fs::FileType;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

const SPEC: Spec = Spec {
    flags: "S",
    values: "moF",
    alias: &[("--self", b'S'), ("--from", b'F'), ("--mode", b'm'), ("--owner", b'o')],
    ..Spec::NONE
};

/// The script; arguments: DST, sum, cksum, mode, owner, mode of a new file.
const SCRIPT: &str = include_str!("push.sh");

/// The byte order of a mips is not in its name: byte 6 of any program tells.
const PROBE: &[u8] = b"exec sh -c 'uname -m; dd if=/proc/self/exe bs=1 skip=5 count=1 2>/dev/null'";

/// The names of uname(1), and the targets of build/cross that run there, the better first.
const MACHINES: &[(&str, &[&str])] = &[
    ("aarch64", &["aarch64"]),
    ("armv5tejl", &["guruplug"]),
    ("armv5tel", &["guruplug"]),
    ("armv6l", &["guruplug"]),
    ("armv7l", &["armv7", "guruplug"]),
    ("armv8l", &["armv7", "guruplug"]),
    ("mips", &["mips"]),
    ("mipsel", &["mipsel"]),
    ("riscv64", &["riscv64"]),
    ("x86_64", &["x86_64"]),
];

/// A file to be sent.
struct Load {
    input: Input,
    sha256: String,
    /// As cksum(1) prints it: a sum and a size.
    cksum: String,
    /// Its permission bits.
    mode: u32,
}

/// What `step` says to run.
pub struct Step<'a> {
    /// For the shell there.
    pub command: Vec<u8>,
    /// Its standard input, unless it is the command's.
    pub input: Option<&'a Input>,
}

/// A push, its files read and summed.
pub struct Push {
    to: Vec<u8>,
    mode: String,
    owner: String,
    /// The file; with `--self` this executable.
    load: Load,
    /// With `--self`: the machine that it is for, and executables of other targets.
    own: Option<(String, Vec<(&'static str, Load)>)>,
}

impl Push {
    /// `[-m MODE] [-o OWNER[:GROUP]] FILE DST` or `--self [--from DIR] DST`.
    pub fn new(words: Vec<Vec<u8>>) -> Result<(Push, Input), Complaint> {
        let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
        let wrong = |what: &str| Complaint::module(format!("push: {what}"));
        let options = SPEC.split(&words).map_err(|_| wrong("no such option (see dt -h push)"))?;
        let text =
            |letter: u8| options.word(letter).map(|word| word.to_string_lossy().into_owned());
        let mode = text(b'm').unwrap_or_default();
        let is_octal = mode.len() <= 4 && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
        if !is_octal {
            return Err(wrong("a mode is an octal number, as 644"));
        }
        let owner = text(b'o').unwrap_or_default();
        if owner.starts_with('-')
            || !owner.chars().all(|c| c.is_ascii_alphanumeric() || "._:-".contains(c))
        {
            return Err(wrong("no owner"));
        }
        let is_self = options.flag(b'S');
        let (load, to) = match (is_self, options.rest) {
            (false, [file, to]) => (Load::open(file.as_bytes())?, to),
            (true, [to]) => (Load::open(SELF.to_bytes())?, to),
            (_, []) => return Err(Complaint::module("missing arguments")),
            (false, [_]) => return Err(Complaint::module("missing arguments")),
            _ => return Err(wrong("too many arguments")),
        };
        let mut to = to.as_bytes().to_vec();
        if to.is_empty() || to.ends_with(b"/") || to.contains(&b'\n') {
            return Err(wrong("DST is a file's name"));
        }
        if to.starts_with(b"-") {
            to.splice(..0, *b"./");
        }
        let own = match (is_self, options.word(b'F')) {
            (false, None) => None,
            (false, Some(_)) => return Err(wrong("--from goes with --self")),
            (true, dir) => {
                let others = dir.map_or(Ok(Vec::new()), |dir| others(dir.as_bytes()))?;
                Some((machine(), others))
            }
        };
        Ok((Push { to, mode, owner, load, own }, Input::Null))
    }

    /// How many programs are run on a host.
    pub fn stages(&self) -> usize {
        if self.own.is_some() { 2 } else { 1 }
    }

    /// What to run; with `--self`, stage 0 asks for the machine, and stage 1 has its answer.
    pub fn step(&self, stage: usize, before: &[u8]) -> Result<Step<'_>, String> {
        let load = match &self.own {
            None => &self.load,
            Some(_) if stage == 0 => {
                return Ok(Step { command: PROBE.to_vec(), input: Some(&Input::Null) });
            }
            Some((own, others)) => {
                let there = machine_of(before).ok_or("cannot tell which machine that is")?;
                match &there == own {
                    true => &self.load,
                    false => fitting(&there, others).ok_or_else(|| {
                        format!("that is {there}, and this executable is for {own} (see --from)")
                    })?,
                }
            }
        };
        let mut command = b"exec sh -c '".to_vec();
        command.extend_from_slice(one_line(SCRIPT).as_bytes());
        command.extend_from_slice(b"' dt");
        let new_mode = format!("{:o}", load.mode);
        for word in [
            self.to.as_slice(),
            load.sha256.as_bytes(),
            load.cksum.as_bytes(),
            self.mode.as_bytes(),
            self.owner.as_bytes(),
            new_mode.as_bytes(),
        ] {
            command.push(b' ');
            command.extend_from_slice(&quoted(word));
        }
        Ok(Step { command, input: Some(&load.input) })
    }
}

/// The script without comments, line ends and the blanks around them.
fn one_line(script: &str) -> String {
    let lines = script.lines().map(str::trim);
    let lines: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    lines.join(" ")
}

impl Load {
    fn open(name: &[u8]) -> Result<Load, Complaint> {
        Load::of(opened(name)?, name)
    }

    fn of(file: OwnedFd, name: &[u8]) -> Result<Load, Complaint> {
        let failed = |errno: Errno| Complaint::module(failure("read", name, errno));
        let stat = fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let name = String::from_utf8_lossy(name);
            return Err(Complaint::module(format!("push: {name} is no file")));
        }
        let crc = Crc::<u32>::new(&CRC_32_CKSUM);
        let (mut sum, mut cksum, mut size) = (Sha256::new(), crc.digest(), 0_u64);
        let mut room = vec![0; 64 * 1024];
        loop {
            let len = pread_full(&file, &mut room, size).map_err(failed)?;
            let piece = room.get(..len).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            sum.update(piece);
            cksum.update(piece);
            size += len as u64;
        }
        // POSIX adds the size, its lowest byte first, without zeros in front.
        let octets = size.to_le_bytes();
        let used = octets.len() - (size.leading_zeros() / 8) as usize;
        cksum.update(octets.get(..used).unwrap_or_default());
        let sha256 = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let cksum = format!("{} {size}", cksum.finalize());
        Ok(Load { input: Input::File(file), sha256, cksum, mode: stat.st_mode & 0o777 })
    }
}

/// This machine, named as [`machine_of`] does.
fn machine() -> String {
    let name = rustix::system::uname().machine().to_string_lossy().into_owned();
    let order = if cfg!(target_endian = "big") { 2 } else { 1 };
    named(&name, order)
}

/// What the probe tells.
fn machine_of(answer: &[u8]) -> Option<String> {
    let at = answer.iter().position(|b| *b == b'\n')?;
    let name = std::str::from_utf8(answer.get(..at)?).ok()?.trim();
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain.then(|| named(name, answer.get(at + 1).copied().unwrap_or(0)))
}

fn named(name: &str, order: u8) -> String {
    match (name, order) {
        ("mips", 1) => "mipsel".to_owned(),
        _ => name.to_owned(),
    }
}

fn fitting<'a>(machine: &str, loads: &'a [(&'static str, Load)]) -> Option<&'a Load> {
    let (_, targets) = MACHINES.iter().find(|(name, _)| *name == machine)?;
    let of = |target: &&str| loads.iter().find(|(name, _)| name == target);
    targets.iter().find_map(of).map(|(_, load)| load)
}

/// The executables of a folder: DIR/TARGET/nssbox, as build/cross lays them, or DIR/TARGET.
fn others(dir: &[u8]) -> Result<Vec<(&'static str, Load)>, Complaint> {
    let mut found: Vec<(&'static str, Load)> = Vec::new();
    for target in MACHINES.iter().flat_map(|(_, targets)| *targets) {
        if found.iter().any(|(known, _)| known == target) {
            continue;
        }
        let place = join(dir, target.as_bytes());
        let inside = join(&place, b"nssbox");
        let Some(file) = opened(&inside).or_else(|_| opened(&place)).ok() else { continue };
        if let Ok(load) = Load::of(file, &place) {
            found.push((target, load));
        }
    }
    match found.is_empty() {
        true => {
            let dir = String::from_utf8_lossy(dir);
            Err(Complaint::module(format!("push: no executable of a target in {dir}")))
        }
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_can_be_handed_on_by_any_shell() {
        let line = one_line(SCRIPT);
        assert!(!line.contains(['\'', '!', '\n', '\\']), "{line}");
        assert!(line.len() < 2500, "{}", line.len());
    }

    #[test]
    fn sums_are_those_of_the_programs() {
        // printf 123456789 | cksum; | sha256sum
        let Input::File(file) = Input::of_bytes(b"123456789").unwrap() else { panic!() };
        let load = Load::of(file, b"x").unwrap();
        assert_eq!(load.cksum, "930766865 9");
        assert!(
            load.sha256
                .starts_with("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225")
        );
    }

    #[test]
    fn the_byte_order_of_a_mips_is_told_by_its_programs() {
        assert_eq!(machine_of(b"mips\n\x01").unwrap(), "mipsel");
        assert_eq!(machine_of(b"mips\n\x02").unwrap(), "mips");
        assert_eq!(machine_of(b"x86_64\n\x01").unwrap(), "x86_64");
        assert_eq!(machine_of(b"$(x)\n"), None);
        assert_eq!(machine_of(b"x86_64"), None);
    }
}
