//! Debian's slapd and nslcd, which are never installed: tests/peers unpacks them into a folder that
//! NSSBOX_TEST_LDAP names.

use super::{TempDir, run_to_end, skip};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// That folder.
pub struct Unpacked(PathBuf);

impl Unpacked {
    /// `None`, which is said: there is none.
    #[track_caller]
    pub fn find(test: &str) -> Option<Unpacked> {
        let found = env::var_os("NSSBOX_TEST_LDAP").map(PathBuf::from).map(Unpacked);
        if found.is_none() {
            skip(test, "NSSBOX_TEST_LDAP names no folder made by tests/peers");
        }
        found
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// One of the programs, with the libraries that were unpacked beside it.
    pub fn program(&self, path: &str) -> Command {
        let mut command = Command::new(self.0.join(path));
        command.env("LD_LIBRARY_PATH", self.libraries());
        command
    }

    /// Where these are, for the linker.
    pub fn libraries(&self) -> String {
        let root = self.0.to_str().expect("a plain name");
        let triple = format!("{}-linux-gnu", env::consts::ARCH);
        format!("{root}/usr/lib/{triple}:{root}/lib/{triple}")
    }

    /// Makes the database that `slapd.conf` in `dir` tells of, with the entries of `ldif` there.
    #[track_caller]
    pub fn add_entries(&self, dir: &TempDir) {
        let mut add = self.program("usr/sbin/slapadd");
        add.args(["-q", "-f"]).arg(dir.join("slapd.conf")).arg("-l").arg(dir.join("ldif"));
        let added = run_to_end(add);
        assert_eq!(added.code, Some(0), "slapadd: {}", added.stderr);
    }
}
