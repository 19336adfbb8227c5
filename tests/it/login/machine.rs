//! A machine that a test describes, made by `machine.py`, and what is to come of its tables.

use crate::support::{TempDir, have_program, is_root, peer, skip};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The columns of a table behind the account.
pub const PROGRAMS: [&str; 16] = [
    "su",
    "su-password",
    "su-wrong",
    "login-f",
    "login-password",
    "sshd-pam-key",
    "sshd-pam-password",
    "sshd-key",
    "sshd-password",
    "cron",
    "sudo-u",
    "sudo",
    "sudo-password",
    "passwd-S",
    "root-sees",
    "nobody-sees",
];

/// The columns of a table of groups.
pub const GROUP_FIELDS: [&str; 2] = ["root-sees-group", "nobody-sees-group"];

/// What crypt makes of "secret".
pub const HASH: &str = "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.";

/// What every machine has.
pub const SYSTEM: &str = "nobody:*:65534:65534::/:/bin/false\nsshd:*:65533:65534::/:/bin/false\n";

/// Lines of passwd: each a name and a password field, with uids from `first` on. HASH is the hash.
pub fn passwd(first: u32, users: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (uid, (name, field)) in (first..).zip(users) {
        let uid = if *name == "root" { 0 } else { uid };
        let field = field.replace("HASH", HASH);
        let _ = writeln!(text, "{name}:{field}:{uid}:100::/:/etc/welcome");
    }
    text
}

/// Lines of shadow: each a name and what is behind the first colon up to the day of change.
pub fn shadow(users: &[(&str, &str)]) -> String {
    let line = |(name, field): &(&str, &str)| {
        let expires = if *name == "expired" { "1" } else { "" };
        format!("{name}:{}:19000:0:99999:7::{expires}:\n", field.replace("HASH", HASH))
    };
    users.iter().map(line).collect()
}

/// Accounts with a line in shadow, and what stands there.
pub const SHADOWED: [(&str, &str); 5] = [
    ("in-shadow", "HASH"),
    ("s-bang", "!HASH"),
    ("s-star", "*"),
    ("s-empty", ""),
    ("expired", "HASH"),
];

const IN_PASSWD: [(&str, &str); 6] = [
    ("in-passwd", "HASH"),
    ("bang", "!"),
    ("bang-hash", "!HASH"),
    ("star", "*"),
    ("empty", ""),
    ("no-line", "x"),
];

/// Files for a machine.
pub struct Machine {
    test: &'static str,
    pub dir: TempDir,
    start: String,
}

impl Machine {
    /// With nobody but root, `SYSTEM`, and nothing that answers. `None` where no machine can be
    /// made, which is said.
    pub fn new(test: &'static str) -> Option<Machine> {
        if !is_root() {
            skip(test, "needs root");
            return None;
        }
        let programs = ["unshare", "python3", "su", "login", "sshd", "ssh", "cron", "sudo"];
        if let Some(missing) = programs.iter().find(|name| !have_program(name)) {
            skip(test, &format!("no {missing}"));
            return None;
        }
        let dir = TempDir::new();
        for name in ["etc", "mnt"] {
            dir.subdirectory(name);
        }
        let bin = dir.bin();
        // Readiness is a line on standard output.
        let start = format!(
            "up() {{ mkfifo /run/up; PATH={bin}:$PATH \"$@\" >/run/up & read -r _ </run/up; rm /run/up; }}\n\
             await() {{ until python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).connect(sys.argv[1])' \"$1\" 2>/dev/null; do kill -0 $!; done; }}\n",
            bin = bin.display()
        );
        let mut machine = Machine { test, dir, start };
        machine.etc("passwd", &[("root", "x")], "");
        machine.dir.write("etc/shadow", shadow(&[("root", "HASH")]));
        machine.dir.write("etc/group", "root:x:0:\ntty:x:5:\nusers:x:100:\nnogroup:x:65534:\n");
        machine.switch("passwd: files\ngroup: files\nshadow: files\n");
        Some(machine)
    }

    /// `OWN`'s accounts.
    pub fn with_shadow(test: &'static str) -> Option<Machine> {
        let mut machine = Machine::new(test)?;
        let x = SHADOWED.map(|(name, _)| (name, "x"));
        let users = [&[("root", "x")], &IN_PASSWD[..], &x, &[("in-both", "HASH")]].concat();
        machine.etc("passwd", &users, "");
        let lines = [&[("root", "HASH")], &SHADOWED[..], &[("in-both", "*")]].concat();
        machine.dir.write("etc/shadow", shadow(&lines));
        Some(machine)
    }

    /// `NO_SHADOW`'s.
    pub fn without_shadow(test: &'static str) -> Option<Machine> {
        let mut machine = Machine::new(test)?;
        machine.etc("passwd", &[&[("root", "HASH")], &IN_PASSWD[..]].concat(), "");
        fs::remove_file(machine.dir.join("etc/shadow")).unwrap();
        Some(machine)
    }

    /// A passwd file of /etc with these users, `SYSTEM`'s, and more lines.
    pub fn etc(&mut self, file: &str, users: &[(&str, &str)], more: &str) {
        self.dir.write(&format!("etc/{file}"), passwd(1000, users) + SYSTEM + more);
    }

    pub fn switch(&mut self, text: &str) {
        self.dir.write("etc/nsswitch.conf", text);
    }

    /// A directory in /mnt with a passwd file, and a shadow file with the hash for each `x`.
    pub fn second(&mut self, name: &str, first: u32, users: &[(&str, &str)]) {
        let dir = format!("mnt/{name}");
        self.dir.subdirectory(&dir);
        self.dir.write(&format!("{dir}/passwd"), passwd(first, users));
        self.dir.write(&format!("{dir}/group"), "");
        let x: Vec<_> = users.iter().filter(|u| u.1 == "x").map(|u| (u.0, "HASH")).collect();
        self.dir.write(&format!("{dir}/shadow"), shadow(&x));
        self.dir.chmod(&format!("{dir}/shadow"), 0o600);
    }

    /// More for the script that starts what answers.
    pub fn start(&mut self, text: &str) {
        self.start.push_str(text);
        self.start.push('\n');
    }

    /// Our nscd, with these arguments, in a second of which four may pass for a lookup.
    pub fn ours(&mut self, words: &str) {
        self.start(&format!("up nscd -1 -t 4000 {words}"));
    }

    /// glibc's. `None` if it was not unpacked, which is said.
    pub fn glibcs(&mut self) -> Option<()> {
        let program = peer(self.test, "nscd", "usr/sbin/nscd")?;
        let mut conf = String::new();
        for database in ["passwd", "group", "hosts", "services", "netgroup"] {
            let yes = if matches!(database, "passwd" | "group") { "yes" } else { "no" };
            let _ = writeln!(conf, "enable-cache {database} {yes}\npersistent {database} no");
            let _ = writeln!(conf, "shared {database} no");
        }
        self.dir.write("etc/nscd.conf", conf);
        self.start(&format!("{} -F & await /run/nscd/socket", program.display()));
        Some(())
    }

    /// Tries what a table has, and compares.
    #[track_caller]
    pub fn expect(&self, table: &str) {
        self.expect_columns(&PROGRAMS, table);
    }

    /// The same of other columns; what programs said and logged.
    #[track_caller]
    pub fn expect_columns(&self, programs: &[&str], table: &str) -> String {
        let (wrong, said) = self.differences(programs, table);
        // What our nscd says.
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("nscd:")).collect();
        assert!(wrong.is_empty(), "\n{wrong}{}", lines.join("\n"));
        said
    }

    /// Tries what a table has; where it came otherwise, and what programs said and logged.
    #[track_caller]
    pub fn differences(&self, programs: &[&str], table: &str) -> (String, String) {
        let mut wanted = Vec::new();
        let mut ask = String::new();
        for line in table.lines().filter(|line| !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words.len(), programs.len() + 1, "{line}");
            let _ = write!(ask, "{}", words[0]);
            for (program, cell) in
                programs.iter().zip(&words[1..]).filter(|(_, cell)| **cell != ".")
            {
                let _ = write!(ask, " {program}");
                let outcome = match *cell {
                    "+" => "in",
                    "-" => "no",
                    other => other,
                };
                wanted.push(format!("{} {program} {outcome}", words[0]));
            }
            ask.push('\n');
        }
        self.dir.write("ask", ask);
        self.dir.write("start", &self.start);
        let got = self.run();
        let said = fs::read_to_string(self.dir.join("said")).unwrap_or_default();
        let lines: Vec<&str> = got.lines().collect();
        assert_eq!(lines.len(), wanted.len(), "{got}");
        let mut wrong = String::new();
        for (got, want) in lines.iter().zip(&wanted).filter(|(got, want)| got != want) {
            let _ = writeln!(wrong, "{want} is expected, and it is {:?}", got.rsplit(' ').next());
        }
        (wrong, said)
    }

    #[track_caller]
    pub fn run(&self) -> String {
        let python = ["/usr/bin/python3", "python3"];
        let python = python.iter().find(|p| Path::new(p).exists() || !p.contains('/')).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/login/machine.py");
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "240", "unshare", "-m", "-n", "-p", "--fork", "--kill-child"]);
        command.args(["--mount-proc", python, "-B", script]).arg(self.dir.path());
        let done = command.output().expect("timeout");
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        let said = fs::read_to_string(self.dir.join("said")).unwrap_or_default();
        assert!(done.status.success(), "{}: {stderr}\n{said}", done.status);
        String::from_utf8(done.stdout).unwrap()
    }
}
