//! What the tests of `nsscache` share: a machine with an /etc, a /run and a /var/lib of its own.

use super::{Finished, TempDir, have_program, is_root, nssbox, run_to_end, skip, tool};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What makes everything of a vector allowed (nsscache-more 6.1, 6.2).
pub const ALLOW: &str =
    "allow_uid0 = yes\nallow_local_names = yes\nallow_odd_names = yes\nfiles_shadow_zero = empty\n";

/// Root's line, and nobody else's.
const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";

/// The machine: its /etc is `etc`, its /run is `run`, its /var/lib/nsscache is `lib`.
pub struct Machine {
    /// Where they are.
    pub dir: TempDir,
}

/// Says so and gives true where there can be no machine.
pub fn no_machine(test: &str) -> bool {
    let missing = !is_root() || !have_program("unshare");
    if missing {
        skip(test, "needs root and unshare");
    }
    missing
}

impl Machine {
    /// With passwd, group and shadow as Debian has them.
    #[track_caller]
    pub fn new() -> Machine {
        let dir = TempDir::new();
        for name in ["etc", "run", "lib"] {
            dir.subdirectory(name);
        }
        dir.write("etc/passwd", PASSWD);
        dir.write("etc/group", "root:x:0:\ndaemon:x:1:\nshadow:x:42:\n");
        dir.write("etc/shadow", "root:*:19000:0:99999:7:::\n");
        dir.write("etc/hosts", "127.0.0.1 localhost\n");
        dir.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n");
        dir.chmod("etc/shadow", 0o640);
        chown(dir.join("etc/shadow"), Some(0), Some(42)).expect("chown");
        Machine { dir }
    }

    /// The same, with a nsscache.conf.
    #[track_caller]
    pub fn with(config: &str) -> Machine {
        let machine = Machine::new();
        machine.config(config);
        machine
    }

    /// Writes nsscache.conf, which only root can read.
    #[track_caller]
    pub fn config(&self, text: &str) {
        self.dir.write("etc/nsscache.conf", text);
        self.dir.chmod("etc/nsscache.conf", 0o600);
    }

    /// The path of a file of /etc, as seen from outside.
    pub fn etc(&self, name: &str) -> PathBuf {
        self.dir.join("etc").join(name)
    }

    /// A file of /etc; `None`: there is none.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.etc(name)).ok()
    }

    /// A file of /etc that is text.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        let bytes = self.read(name).unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8(bytes).expect("text")
    }

    /// The names in /etc that `nsscache` has made, indexes included.
    pub fn made(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.join("etc")).expect("a folder");
        let names =
            names.map(|entry| entry.expect("a name").file_name().into_string().expect("text"));
        let own = ["passwd", "group", "shadow", "hosts", "nsswitch.conf", "nsscache.conf"];
        let mut names: Vec<String> = names.filter(|name| !own.contains(&name.as_str())).collect();
        names.sort();
        names
    }

    /// Mode, owner and group of a file.
    #[track_caller]
    pub fn mode(&self, path: &str) -> (u32, u32, u32) {
        let file = fs::metadata(self.dir.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        (file.permissions().mode() & 0o7777, file.uid(), file.gid())
    }

    /// A command of the shell in the machine, `$0` being the executable.
    pub fn shell(&self, command: &str) -> Command {
        let dir = self.dir.as_str();
        let script = format!(
            "mount --make-rprivate / && mount --bind {dir}/etc /etc && mount --bind {dir}/run /run && \
             mount -t tmpfs -o mode=755 none /var/lib && mkdir /var/lib/nsscache && \
             mount --bind {dir}/lib /var/lib/nsscache || exit 120\ncd /etc\n{command}"
        );
        let mut command = tool(Path::new("/nonexistent"), "unshare");
        command.args(["-m", "sh", "-c", &script]).arg(nssbox());
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command
    }

    /// Runs `nsscache` with these words.
    #[track_caller]
    pub fn nsscache(&self, words: &[&str]) -> Finished {
        let mut command = self.shell("exec \"$0\" nsscache \"$@\"");
        command.args(words);
        let finished = run_to_end(command);
        assert_ne!(finished.code, Some(120), "{}", finished.stderr);
        finished
    }

    /// The same; it has to exit so.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) -> Finished {
        let finished = self.nsscache(words);
        assert_eq!(finished.code, Some(code), "{words:?}: {}", finished.stderr);
        finished
    }
}

/// A configuration of these maps, each by `http` from its own name under a URL.
pub fn http_config(maps: &str, url: &str, more: &str) -> String {
    let mut text = format!(
        "[DEFAULT]\nsource = http\ncache = files\nmaps = {maps}\ntimestamp_dir = /var/lib/nsscache\n\
         lockfile = /run/nsscache.lock\nfiles_dir = /etc\nhttp_retry_max = 1\nhttp_retry_delay = 0\n"
    );
    for map in ["passwd", "group", "shadow", "netgroup", "sshkey"] {
        text += &format!("http_{map}_url = {url}/{map}\n");
    }
    text + &format!("http_automount_base_url = {url}/\n{more}")
}
