//! The way to a file: each name on it, in the directory where it stands. Who knows them all hears of
//! whatever makes the path lead elsewhere, links that are turned over and directories that are renamed
//! above it, too.

use crate::sys::file::{LINKS, PathRoom, c_str, fill};
use rustix::fs::{CWD, readlinkat_raw};
use rustix::io::Errno;
use std::ffi::CStr;

/// Is given a directory, and a name in it.
pub type Visit<'a> = dyn FnMut(&CStr, &[u8]) -> Result<(), Errno> + 'a;

/// Room to walk.
#[derive(Default)]
pub struct Way {
    /// Where the walk has come, without links and without a slash behind it.
    done: PathRoom,
    /// What is to be walked behind it.
    rest: PathRoom,
    /// Where a link leads.
    target: PathRoom,
}

impl Way {
    /// Walks `path`, and calls `each` with a directory and the name that is followed there next: first, so
    /// that it hears of what changes behind. Ends where nothing is there, or may be looked at.
    pub fn walk(&mut self, path: &[u8], each: &mut Visit<'_>) -> Result<(), Errno> {
        let start: &[u8] = if path.starts_with(b"/") { b"" } else { b"." };
        fill(&mut self.done, &[start])?;
        fill(&mut self.rest, &[path])?;
        let mut links = 0;
        loop {
            let slashes = self.rest.iter().take_while(|byte| **byte == b'/').count();
            self.rest.drain(..slashes);
            let before = self.done.len();
            if !self.step(each)? {
                return Ok(());
            }
            if self.done.len() <= before {
                continue;
            }
            match self.read_link() {
                Ok(()) => {}
                // No link.
                Err(Errno::INVAL) => continue,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP);
            }
            self.done.truncate(if self.target.starts_with(b"/") { 0 } else { before });
            for part in [b"/", self.rest.as_slice()] {
                push(&mut self.target, part)?;
            }
            std::mem::swap(&mut self.rest, &mut self.target);
        }
    }

    /// Goes on by a name; false: there is none.
    fn step(&mut self, each: &mut Visit<'_>) -> Result<bool, Errno> {
        let Way { done, rest, target } = self;
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        match rest.get(..end).unwrap_or_default() {
            b"" => return Ok(false),
            b"." => {}
            // What stands above where we were started is not known by name.
            b".." if done == b"." || done.ends_with(b"..") => push(done, b"/..")?,
            b".." => done.truncate(done.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            name => {
                let root: &[u8] = if done.is_empty() { b"/" } else { b"" };
                fill(target, &[done.as_slice(), root, b"\0"])?;
                each(c_str(target)?, name)?;
                push(done, b"/")?;
                push(done, name)?;
            }
        }
        rest.drain(..end);
        Ok(true)
    }

    /// Reads where a link leads. EINVAL: it is none.
    fn read_link(&mut self) -> Result<(), Errno> {
        let Way { done, target, .. } = self;
        target.clear();
        // Filled with zeros, so that there is a place to read into: it has room for so many.
        let _ = target.resize_default(target.capacity());
        push(done, b"\0")?;
        let len = readlinkat_raw(CWD, c_str(done)?, target.as_mut_slice());
        done.pop();
        target.truncate(len?);
        Ok(())
    }
}

fn push(text: &mut PathRoom, part: &[u8]) -> Result<(), Errno> {
    text.extend_from_slice(part).map_err(|_| Errno::NAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Directories and names of a way, `@` for the folder of the test.
    fn way(root: &str, path: &str) -> Vec<(String, String)> {
        let mut met = Vec::new();
        let mut each = |dir: &CStr, name: &[u8]| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            met.push((text(dir.to_bytes()).replace(root, "@"), text(name)));
            Ok(())
        };
        Way::default().walk(format!("{root}/{path}").as_bytes(), &mut each).unwrap();
        met.retain(|(dir, _)| dir.starts_with('@'));
        met
    }

    #[test]
    fn each_link_and_directory_is_met_where_it_stands() {
        let root = std::env::temp_dir().canonicalize().unwrap();
        let root = root.join(format!("nssbox-way.{}", std::process::id()));
        fs::create_dir_all(root.join("v/..1/deep")).unwrap();
        fs::write(root.join("v/..1/passwd"), "").unwrap();
        symlink("..1", root.join("v/..data")).unwrap();
        symlink("..data/passwd", root.join("v/passwd")).unwrap();
        symlink(root.join("v"), root.join("absolute")).unwrap();
        symlink("around", root.join("around")).unwrap();
        let name = root.to_str().unwrap();
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(dir, name)| ((*dir).into(), (*name).into())).collect()
        };
        let volume = [
            ("@", "v"),
            ("@/v", "passwd"),
            ("@/v", "..data"),
            ("@/v", "..1"),
            ("@/v/..1", "passwd"),
        ];
        assert_eq!(way(name, "v/passwd"), pairs(&volume));
        assert_eq!(
            way(name, "v//./..1/deep/../passwd"),
            pairs(&[("@", "v"), ("@/v", "..1"), ("@/v/..1", "deep"), ("@/v/..1", "passwd"),])
        );
        let mut absolute = pairs(&[("@", "absolute")]);
        absolute.extend(pairs(&volume));
        assert_eq!(way(name, "absolute/passwd"), absolute);
        assert_eq!(way(name, "v/none/passwd"), pairs(&[("@", "v"), ("@/v", "none")]));
        let round = Way::default()
            .walk(root.join("around").to_str().unwrap().as_bytes(), &mut |_, _| Ok(()));
        assert_eq!(round, Err(Errno::LOOP));
        fs::remove_dir_all(root).unwrap();
    }
}
