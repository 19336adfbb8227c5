//! The way to a file: each name on it, in the directory where it stands. Who knows them all hears of
//! whatever makes the path lead elsewhere, links that are turned over and directories that are renamed
//! above it, too.

use rustix::fs::{CWD, readlinkat_raw};
use rustix::io::Errno;
use std::ffi::CStr;

/// The longest path, with its NUL.
const PATH_MAX: usize = 4096;

/// As many links are followed in one path as the kernel follows.
const LINKS: u32 = 40;

type Text = heapless::Vec<u8, PATH_MAX>;

/// Is given a directory, and a name in it.
pub type Visit<'a> = dyn FnMut(&CStr, &[u8]) -> Result<(), Errno> + 'a;

/// Room to walk.
#[derive(Default)]
pub struct Way {
    /// Where the walk has come, without links and without a slash behind it.
    done: Text,
    /// What is to be walked behind it.
    rest: Text,
    /// Where a link leads.
    target: Text,
}

impl Way {
    /// Walks `path`, and calls `each` with a directory and the name that is followed there next: first, so
    /// that it hears of what changes behind. Ends where nothing is there, or may be looked at.
    pub fn walk(&mut self, path: &[u8], each: &mut Visit<'_>) -> Result<(), Errno> {
        self.start(path)?;
        let mut links = 0;
        loop {
            let slashes = self.rest.iter().take_while(|byte| **byte == b'/').count();
            self.rest.drain(..slashes);
            let end = self.rest.iter().position(|byte| *byte == b'/').unwrap_or(self.rest.len());
            let name = self.rest.get(..end).unwrap_or_default();
            match name {
                b"" => return Ok(()),
                b"." => {}
                b".." if self.done != b"." && !self.done.ends_with(b"..") => up(&mut self.done),
                _ => {
                    let before = self.done.len();
                    if name != b".." {
                        each(
                            c_str(
                                &mut self.target,
                                &[&self.done, if before == 0 { b"/" } else { b"" }],
                            )?,
                            name,
                        )?;
                    }
                    push(&mut self.done, b"/")?;
                    push(&mut self.done, name)?;
                    let path = c_str(&mut self.target, &[&self.done])?;
                    let mut room = [0; PATH_MAX];
                    match readlinkat_raw(CWD, path, &mut room[..]) {
                        Ok(len) => {
                            links += 1;
                            if links > LINKS {
                                return Err(Errno::LOOP);
                            }
                            let target = room.get(..len).unwrap_or_default();
                            let behind = self.rest.get(end..).unwrap_or_default();
                            fill(&mut self.target, &[target, behind])?;
                            std::mem::swap(&mut self.rest, &mut self.target);
                            self.done.truncate(if target.starts_with(b"/") { 0 } else { before });
                            continue;
                        }
                        // No link.
                        Err(Errno::INVAL) => {}
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
                        Err(errno) => return Err(errno),
                    }
                }
            }
            self.rest.drain(..end);
        }
    }

    fn start(&mut self, path: &[u8]) -> Result<(), Errno> {
        fill(&mut self.rest, &[path])?;
        let done: &[u8] = if path.starts_with(b"/") { b"" } else { b"." };
        fill(&mut self.done, &[done])
    }
}

/// Takes the last name off.
fn up(done: &mut Text) {
    let end = done.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    done.truncate(end);
}

fn push(text: &mut Text, part: &[u8]) -> Result<(), Errno> {
    text.extend_from_slice(part).map_err(|_| Errno::NAMETOOLONG)
}

fn fill(text: &mut Text, parts: &[&[u8]]) -> Result<(), Errno> {
    text.clear();
    parts.iter().try_for_each(|part| push(text, part))
}

fn c_str<'a>(text: &'a mut Text, parts: &[&[u8]]) -> Result<&'a CStr, Errno> {
    fill(text, parts)?;
    push(text, b"\0")?;
    CStr::from_bytes_with_nul(text).map_err(|_| Errno::INVAL)
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
