//! Who may sign: the public keys of `http_signed_by`, a file as minisign writes it, or several of them one
//! behind the other.
//!
//! Their order is that in which they come into use: once a list was accepted that a later one has signed,
//! earlier ones are refused, so that a key that was replaced is worth nothing to whoever finds it.

use super::kept::Kept;
use super::sum;
use crate::directory::failure::{Done, Failure, shown};
use crate::limits::DIRECTORY_SECRET;
use crate::sys::file::{open_path, read_all};
use crate::sys::stat::fstat;
use minisign_verify::{Error, PublicKey, Signature};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::geteuid;
use std::os::fd::AsFd as _;

/// Bytes of a signature file: two comments and two signatures.
pub const SIGNATURE: u64 = 16 * 1024;

/// The keys.
pub struct Signers {
    path: String,
    /// Of their file.
    pub sum: String,
    /// As they are written, and read.
    keys: Vec<(String, PublicKey)>,
}

impl Signers {
    /// Those of a file, which nobody else may have written.
    pub fn read(path: &str) -> Done<Signers> {
        let unable = |what| move |errno| Failure::system(what, path.as_bytes(), errno);
        let file = open_path(path.as_bytes(), OFlags::RDONLY, Mode::empty());
        let file = file.map_err(unable("open"))?;
        let stat = fstat(&file).map_err(unable("open"))?;
        let name = shown(path.as_bytes());
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Failure::refused(format!("{name} is no regular file")));
        }
        let is_ours = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
        if !is_ours || stat.st_mode & 0o022 != 0 {
            return Err(Failure::refused(format!(
                "others can write {name}, and say who signs: chown root {name}; chmod 644 {name}"
            )));
        }
        let text = read_all(file.as_fd(), DIRECTORY_SECRET).map_err(unable("read"))?;
        let keys = keys(&text).map_err(|why| Failure::refused(format!("{name}: {why}")))?;
        Ok(Signers { path: name, sum: sum::of(&text), keys })
    }

    /// Which key has signed a text; it is a key that may still sign.
    pub fn signer(&self, text: &[u8], signature: &[u8], kept: &Kept) -> Done<&str> {
        let refused = |why: &str| Failure::refused(format!("the signature of the snapshot {why}"));
        let signature = std::str::from_utf8(signature)
            .ok()
            .and_then(|signature| Signature::decode(signature).ok())
            .ok_or_else(|| refused("is none"))?;
        for (at, (key, public)) in self.keys.iter().enumerate() {
            match public.verify(text, &signature, false) {
                Ok(()) => {}
                Err(Error::UnexpectedKeyId) => continue,
                Err(Error::UnexpectedAlgorithm) => {
                    return Err(refused("is of minisign's legacy format"));
                }
                Err(_) => return Err(refused("does not fit: it is forged, or damaged")),
            }
            let later = self.keys.iter().skip(at + 1);
            if let Some((later, _)) = later.into_iter().find(|(later, _)| kept.of(later).is_some())
            {
                return Err(refused(&format!("is by {key}, which {later} has replaced")));
            }
            return Ok(key);
        }
        Err(refused(&format!("is by no key of {}", self.path)))
    }
}

fn keys(text: &[u8]) -> Result<Vec<(String, PublicKey)>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "no text".to_owned())?;
    let mut keys: Vec<(String, PublicKey)> = Vec::new();
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') || line.starts_with("untrusted comment:") {
            continue;
        }
        let number = at + 1;
        let key = PublicKey::from_base64(line)
            .map_err(|_| format!("line {number} is no public key of minisign"))?;
        if keys.iter().any(|(other, _)| other == line) {
            return Err(format!("line {number} has a key again"));
        }
        keys.push((line.to_owned(), key));
    }
    match keys.is_empty() {
        true => Err("it has no public key".to_owned()),
        false => Ok(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn a_file_may_have_several_keys() {
        let other = KEY.replace("f6LRC", "f6LRD");
        let text = format!("untrusted comment: minisign public key\n{KEY}\n\n# next\n{other}\n");
        let found = keys(text.as_bytes()).unwrap();
        let found: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(found, [KEY, &other]);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            String::new(),
            "untrusted comment: x\n".to_owned(),
            KEY.split_at(1).1.to_owned(),
            format!("{KEY}\n{KEY}\n"),
            format!("{KEY} {KEY}\n"),
            format!("{KEY}\nRWQf\n"),
        ] {
            assert!(keys(text.as_bytes()).is_err(), "{text}");
        }
        assert!(keys(b"\xff").is_err());
    }
}
