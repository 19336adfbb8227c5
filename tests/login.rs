//! Programs that let people in, on machines where `nscd` is the only new thing: whoever came in
//! without it comes in with it, and nobody else does; an account that only our sources have passes
//! su, cron, sudo and ssh keys, and a password where its hash can be reached.
//!
//! Programs are the real ones: su, login, sshd, cron, sudo, passwd. `login/machine.py` makes the
//! machine, in namespaces of its own, and says what came of each. The tables say what is to come
//! of it: `+` in, `-` not, `.` is not tried; then the state that `passwd -S` tells, and the password
//! field as root and as nobody sees it.
#![cfg(all(feature = "nsssd-map", feature = "nsssd-nslcd"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod common;

use common::{TempDir, have_program, is_root, peer, skip};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// The columns of a table behind the account.
const PROGRAMS: [&str; 16] = [
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
const GROUP_FIELDS: [&str; 2] = ["root-sees-group", "nobody-sees-group"];

/// What crypt makes of "secret".
const HASH: &str = "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.";

/// Accounts of /etc with a shadow file; seen without any nscd.
//             su  pw wrong login pw  sshd+PAM: key pw  sshd: key pw  cron  sudo -u own pw  state root nobody
const OWN: &str = "
    root       +   +  -     +  +      + +               + +           +     + + +           P   x      x
    in-passwd  +   +  -     +  +      + +               + +           +     + + +           P   hash   hash
    in-shadow  +   +  -     +  +      + +               + +           +     + + +           P   x      x
    bang       +   -  -     +  -      + -               - -           +     + + -           L   !      !
    bang-hash  +   -  -     +  -      + -               - -           +     + + -           L   !hash  !hash
    star       +   -  -     +  -      + -               + -           +     + + -           L   *      *
    empty      +   +  +     +  +      + -               + -           +     + + +           NP  empty  empty
    s-bang     +   -  -     +  -      + -               - -           +     + + -           L   x      x
    s-star     +   -  -     +  -      + -               + -           +     + + -           L   x      x
    s-empty    +   +  +     +  +      + -               + -           +     + + +           NP  x      x
    no-line    -   -  -     -  -      - -               + -           -     + - -           P   x      x
    expired    -   -  -     -  -      - -               - -           -     + - -           P   x      x
    in-both    +   +  -     +  +      + +               + -           +     + + +           L   hash   hash
    unknown    -   -  -     -  -      - -               - -           -     - - -           none none  none
";

/// The same without a shadow file.
const NO_SHADOW: &str = "
    root       +   +  -     +  +      + +               + +           +     + + +           P   hash   hash
    in-passwd  +   +  -     +  +      + +               + +           +     + + +           P   hash   hash
    bang       +   -  -     +  -      + -               - -           +     + + -           L   !      !
    bang-hash  +   -  -     +  -      + -               - -           +     + + -           L   !hash  !hash
    star       +   -  -     +  -      + -               + -           +     + + -           L   *      *
    empty      +   +  +     +  +      + -               + -           +     + + +           NP  empty  empty
    no-line    -   -  -     -  -      - -               + -           -     + - -           P   x      x
    unknown    -   -  -     -  -      - -               - -           -     - - -           none none  none
";

/// What every machine has.
const SYSTEM: &str = "nobody:*:65534:65534::/:/bin/false\nsshd:*:65533:65534::/:/bin/false\n";

/// Lines of passwd: each a name and a password field, with uids from `first` on. HASH is the hash.
fn passwd(first: u32, users: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (uid, (name, field)) in (first..).zip(users) {
        let uid = if *name == "root" { 0 } else { uid };
        let field = field.replace("HASH", HASH);
        let _ = writeln!(text, "{name}:{field}:{uid}:100::/:/etc/welcome");
    }
    text
}

/// Lines of shadow: each a name and what is behind the first colon up to the day of change.
fn shadow(users: &[(&str, &str)]) -> String {
    let line = |(name, field): &(&str, &str)| {
        let expires = if *name == "expired" { "1" } else { "" };
        format!("{name}:{}:19000:0:99999:7::{expires}:\n", field.replace("HASH", HASH))
    };
    users.iter().map(line).collect()
}

const IN_PASSWD: [(&str, &str); 6] = [
    ("in-passwd", "HASH"),
    ("bang", "!"),
    ("bang-hash", "!HASH"),
    ("star", "*"),
    ("empty", ""),
    ("no-line", "x"),
];

/// Files for a machine.
struct Machine {
    test: &'static str,
    dir: TempDir,
    start: String,
}

impl Machine {
    /// With nobody but root, `SYSTEM`, and nothing that answers. `None` where no machine can be
    /// made, which is said.
    fn new(test: &'static str) -> Option<Machine> {
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
    fn with_shadow(test: &'static str) -> Option<Machine> {
        let mut machine = Machine::new(test)?;
        let shadowed = [
            ("in-shadow", "HASH"),
            ("s-bang", "!HASH"),
            ("s-star", "*"),
            ("s-empty", ""),
            ("expired", "HASH"),
        ];
        let x = shadowed.map(|(name, _)| (name, "x"));
        let users = [&[("root", "x")], &IN_PASSWD[..], &x, &[("in-both", "HASH")]].concat();
        machine.etc("passwd", &users, "");
        let lines = [&[("root", "HASH")], &shadowed[..], &[("in-both", "*")]].concat();
        machine.dir.write("etc/shadow", shadow(&lines));
        Some(machine)
    }

    /// `NO_SHADOW`'s.
    fn without_shadow(test: &'static str) -> Option<Machine> {
        let mut machine = Machine::new(test)?;
        machine.etc("passwd", &[&[("root", "HASH")], &IN_PASSWD[..]].concat(), "");
        fs::remove_file(machine.dir.join("etc/shadow")).unwrap();
        Some(machine)
    }

    /// A passwd file of /etc with these users, `SYSTEM`'s, and more lines.
    fn etc(&mut self, file: &str, users: &[(&str, &str)], more: &str) {
        self.dir.write(&format!("etc/{file}"), passwd(1000, users) + SYSTEM + more);
    }

    fn switch(&mut self, text: &str) {
        self.dir.write("etc/nsswitch.conf", text);
    }

    /// A directory in /mnt with a passwd file, and a shadow file with the hash for each `x`.
    fn second(&mut self, name: &str, first: u32, users: &[(&str, &str)]) {
        let dir = format!("mnt/{name}");
        self.dir.subdirectory(&dir);
        self.dir.write(&format!("{dir}/passwd"), passwd(first, users));
        self.dir.write(&format!("{dir}/group"), "");
        let x: Vec<_> = users.iter().filter(|u| u.1 == "x").map(|u| (u.0, "HASH")).collect();
        self.dir.write(&format!("{dir}/shadow"), shadow(&x));
        self.dir.chmod(&format!("{dir}/shadow"), 0o600);
    }

    /// More for the script that starts what answers.
    fn start(&mut self, text: &str) {
        self.start.push_str(text);
        self.start.push('\n');
    }

    /// Our nscd, with these arguments, in a second of which four may pass for a lookup.
    fn ours(&mut self, words: &str) {
        self.start(&format!("up nscd -1 -t 4000 {words}"));
    }

    /// glibc's. `None` if it was not unpacked, which is said.
    fn glibcs(&mut self) -> Option<()> {
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
    fn expect(&self, table: &str) {
        self.expect_columns(&PROGRAMS, table);
    }

    /// The same of other columns; what programs said and logged.
    #[track_caller]
    fn expect_columns(&self, programs: &[&str], table: &str) -> String {
        let (wrong, said) = self.differences(programs, table);
        // What our nscd says.
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("nscd:")).collect();
        assert!(wrong.is_empty(), "\n{wrong}{}", lines.join("\n"));
        said
    }

    /// Tries what a table has; where it came otherwise, and what programs said and logged.
    #[track_caller]
    fn differences(&self, programs: &[&str], table: &str) -> (String, String) {
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
    fn run(&self) -> String {
        let python = ["/usr/bin/python3", "python3"];
        let python = python.iter().find(|p| Path::new(p).exists() || !p.contains('/')).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/login/machine.py");
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

#[test]
fn own_files_with_shadow_and_no_nscd() {
    let Some(machine) = Machine::with_shadow("own_files_with_shadow_and_no_nscd") else { return };
    machine.expect(OWN);
}

#[test]
fn own_files_with_shadow_and_glibcs_nscd() {
    let Some(mut machine) = Machine::with_shadow("own_files_with_shadow_and_glibcs_nscd") else {
        return;
    };
    let Some(()) = machine.glibcs() else { return };
    machine.expect(OWN);
}

#[test]
fn own_files_with_shadow() {
    let Some(mut machine) = Machine::with_shadow("own_files_with_shadow") else { return };
    machine.ours("");
    machine.expect(OWN);
}

#[test]
fn own_files_without_shadow_and_no_nscd() {
    let Some(machine) = Machine::without_shadow("own_files_without_shadow_and_no_nscd") else {
        return;
    };
    machine.expect(NO_SHADOW);
}

#[test]
fn own_files_without_shadow_and_glibcs_nscd() {
    let test = "own_files_without_shadow_and_glibcs_nscd";
    let Some(mut machine) = Machine::without_shadow(test) else { return };
    let Some(()) = machine.glibcs() else { return };
    machine.expect(NO_SHADOW);
}

#[test]
fn own_files_without_shadow() {
    let Some(mut machine) = Machine::without_shadow("own_files_without_shadow") else { return };
    machine.ours("");
    machine.expect(NO_SHADOW);
}

/// A server and a program that tell what stands in /etc: nothing is another truth by that.
#[test]
fn own_files_told_by_a_server() {
    let Some(mut machine) = Machine::with_shadow("own_files_told_by_a_server") else { return };
    machine.start("up ipcserver -1 /run/nsssd nsssd-unix");
    machine.ours("-s /run/nsssd");
    machine.expect(OWN);
}

#[test]
fn own_files_without_shadow_told_by_a_program() {
    let test = "own_files_without_shadow_told_by_a_program";
    let Some(mut machine) = Machine::without_shadow(test) else { return };
    machine.dir.write("etc/backend", "#!/bin/sh\nexec nsssd-unix\n");
    machine.dir.chmod("etc/backend", 0o755);
    machine.ours("0 /etc/backend ''");
    machine.expect(NO_SHADOW);
}

const SECOND: [(&str, &str); 8] = [
    ("d-hash", "HASH"),
    ("d-x", "x"),
    ("d-x-line", "x"),
    ("d-x-locked", "x"),
    ("d-bang", "!"),
    ("d-bang-hash", "!HASH"),
    ("d-star", "*"),
    ("d-empty", ""),
];

/// Lines of the machine's own shadow for two of them.
fn with_lines() -> String {
    shadow(&[("root", "HASH"), ("d-x-line", "HASH"), ("d-x-locked", "!HASH")])
}

fn with_second(test: &'static str) -> Option<Machine> {
    let mut machine = Machine::new(test)?;
    machine.second("d2", 2000, &SECOND);
    machine.dir.write("etc/shadow", with_lines());
    Some(machine)
}

/// `d-x` and the like pass, and no password fits.
const SECOND_OUTCOMES: &str = "
    root         +   +  -   +  +    + +    + +   +   + + +   P   x      x
    d-hash       +   +  -   +  +    + +    + +   +   + + +   P   hash   hash
    d-x          +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-x-line     +   +  -   +  +    + +    + +   +   + + +   P   x      x
    d-x-locked   +   -  -   +  -    + -    - -   +   + + -   L   x      x
    d-bang       +   -  -   +  -    + -    - -   +   + + -   L   !      !
    d-bang-hash  +   -  -   +  -    + -    - -   +   + + -   L   !hash  !hash
    d-star       +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-empty      +   +  +   +  +    + -    + -   +   + + +   NP  empty  empty
    unknown      -   -  -   -  -    - -    - -   -   - - -   none none  none
";

#[test]
fn a_second_directory() {
    let Some(mut machine) = with_second("a_second_directory") else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''");
    machine.expect(SECOND_OUTCOMES);
}

/// The machine's own files with the same lines: what is locked or open is so there as well. Only
/// `x` without a line in shadow is refused, and is let in above: nothing says that it is to be.
#[test]
fn the_lines_of_the_second_directory_in_own_files_and_no_nscd() {
    let test = "the_lines_of_the_second_directory_in_own_files_and_no_nscd";
    let Some(mut machine) = with_second(test) else { return };
    machine.etc("passwd", &[("root", "x")], &passwd(2000, &SECOND));
    let refused = "    d-x          -   -  -   -  -    - -    + -   -   + - -   P   x      x";
    let table = SECOND_OUTCOMES
        .lines()
        .map(|line| if line.trim_start().starts_with("d-x ") { refused } else { line });
    machine.expect(&table.collect::<Vec<_>>().join("\n"));
}

/// Told by a server, nobody knows who may read a hash.
#[test]
fn a_second_directory_told_by_a_server() {
    let Some(mut machine) = with_second("a_second_directory_told_by_a_server") else { return };
    machine.start(
        "up ipcserver -1 /run/nsssd nsssd-switch 3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''",
    );
    machine.ours("-s /run/nsssd");
    machine.expect(
        "
    d-hash       +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-x          +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-x-line     +   +  -   +  +    + +    + +   +   + + +   P   x      x
    d-x-locked   +   -  -   .  .    + -    - -   .   . . .   L   x      x
    d-bang       +   -  -   .  .    + -    - -   .   . . .   L   !      !
    d-empty      +   +  +   .  .    + -    + -   .   . . .   NP  empty  empty
",
    );
}

/// Files that root may read are no secret to set-uid programs, and one to everybody else.
#[test]
fn second_directories_that_not_everybody_may_read() {
    let test = "second_directories_that_not_everybody_may_read";
    let Some(mut machine) = Machine::new(test) else { return };
    for (at, name) in ["closed", "under/closed", "mode", "acl"].iter().enumerate() {
        if let Some((above, _)) = name.split_once('/') {
            machine.dir.subdirectory(&format!("mnt/{above}"));
        }
        let user = format!("{}-hash", name.replace('/', "-"));
        machine.second(name, 3000 + at as u32, &[(&user, "HASH")]);
    }
    machine.dir.chmod("mnt/closed", 0o700);
    machine.dir.chmod("mnt/under", 0o700);
    machine.dir.chmod("mnt/mode/passwd", 0o600);
    // As `setfacl -m u:nobody:-` does: the bits of the mode still say that everybody may read.
    machine.start(
        "python3 -c 'import os, struct
acl = [(1, 6, -1), (2, 0, 65534), (4, 4, -1), (0x10, 4, -1), (0x20, 4, -1)]
acl = b\"\".join(struct.pack(\"<HHi\", *entry) for entry in acl)
os.setxattr(\"/mnt/acl/passwd\", \"system.posix_acl_access\", struct.pack(\"<I\", 2) + acl)'",
    );
    machine.ours(
        "3 nsssd-unix '' 3 nsssd-unix -d /mnt/closed '' 3 nsssd-unix -d /mnt/under/closed '' \
         3 nsssd-unix -d /mnt/mode '' 0 nsssd-unix -d /mnt/acl ''",
    );
    machine.expect(
        "
    closed-hash        +  +  -   +  +    + +    + +   +   + + +   P   hash  *
    under-closed-hash  +  +  -   .  .    + +    . .   .   . . .   .   hash  *
    mode-hash          +  +  -   .  .    + +    . .   .   . . .   .   hash  *
    acl-hash           +  +  -   .  .    + +    . .   .   . . .   .   hash  *
",
    );
}

/// `x` in a directory whose service is asked for shadow: as the C library's module for it says.
const EXTRA: &str = "
    e-x     +   +  -   +  +    + +    + +   +   + + +   P   x     x
    e-hash  +   +  -   +  +    + +    + +   +   + + +   P   hash  hash
    e-star  +   -  -   +  -    + -    + -   +   + + -   L   *     *
";

fn with_extrausers(test: &'static str) -> Option<Machine> {
    let mut machine = Machine::new(test)?;
    let module = peer(test, "libnss-extrausers", "usr/share/doc/libnss-extrausers/copyright")?;
    let root = module.ancestors().nth(5)?;
    machine.second("extra", 4000, &[("e-x", "x"), ("e-hash", "HASH"), ("e-star", "*")]);
    let order = "files extrausers\n";
    machine.switch(&format!("passwd: {order}group: {order}shadow: {order}"));
    machine.start(&format!(
        "mkdir /var/lib/extrausers; cp -p /mnt/extra/* /var/lib/extrausers\n\
         find {root} -name 'libnss_extrausers*' -printf '%h\\n' | sort -u >>/etc/ld.so.conf; ldconfig -X",
        root = root.display()
    ));
    Some(machine)
}

#[test]
fn extrausers_by_their_module_and_no_nscd() {
    let Some(machine) = with_extrausers("extrausers_by_their_module_and_no_nscd") else { return };
    machine.expect(EXTRA);
}

#[test]
fn extrausers_with_their_module_for_shadow() {
    let test = "extrausers_with_their_module_for_shadow";
    let Some(mut machine) = with_extrausers(test) else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-unix -d /var/lib/extrausers ''");
    machine.expect(EXTRA);
}

/// Without an own line in shadow a mapped user has no password; with one, that one.
#[test]
fn users_of_a_map() {
    let Some(mut machine) = Machine::new("users_of_a_map") else { return };
    machine.dir.write(
        "etc/nssmap.conf",
        "nssmap 2\nkey /etc/nssmap.key\nmap *\n  \
         template virtual:x:1879048192+134217728:=:mapped:/home/%u:/etc/welcome\n  require home\n",
    );
    machine.dir.write("etc/nssmap.key", "000102030405060708090a0b0c0d0e0f\n");
    machine.dir.chmod("etc/nssmap.key", 0o400);
    let lines = [("root", "HASH"), ("m-line", "HASH"), ("m-locked", "!HASH")];
    machine.dir.write("etc/shadow", shadow(&lines));
    machine.start("for user in m-no-line m-line m-locked; do mkdir /home/$user; done");
    machine.ours("3 nsssd-unix '' 0 nsssd-map ''");
    machine.expect(
        "
    m-no-line  +   -  -   +  -    + -    + -   +   + + -   L    *     *
    m-line     +   +  -   +  +    + +    + +   +   + + +   P    x     x
    m-locked   +   -  -   +  -    + -    - -   +   + + -   L    x     x
    m-no-home  -   -  -   -  -    - -    - -   -   - - -   none none  none
",
    );
}

/// What stands in the password field of a template is nobody's.
#[test]
fn a_template_with_a_password() {
    let mut wrong = String::new();
    for field in [HASH, "", "!", "*"] {
        let Some(mut machine) = Machine::new("a_template_with_a_password") else { return };
        let template = format!("virtual:{field}:15000:100:mapped:/home:/etc/welcome\n");
        machine.dir.write("etc/nssmap.conf", &template);
        machine.start("mkdir /home/zoe");
        machine.ours("3 nsssd-unix '' 0 nsssd-map -r home ''");
        let table = "zoe  +   -  -   .  .    + -    + -   +   . . .   L   *   *";
        let (differences, _) = machine.differences(&PROGRAMS, table);
        if !differences.is_empty() {
            let _ = writeln!(wrong, "{template:?}:\n{differences}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Users of an nslcd that is not the real one, as lines of passwd.
fn with_nslcd(test: &'static str) -> Option<Machine> {
    let mut machine = Machine::new(test)?;
    let users = [
        ("l-hash", "HASH"),
        ("l-x", "x"),
        ("l-x-line", "x"),
        ("l-star", "*"),
        ("l-bang", "!"),
        ("l-empty", ""),
    ];
    machine.dir.write("mnt/users", passwd(5000, &users));
    machine.dir.write("etc/shadow", shadow(&[("root", "HASH"), ("l-x-line", "HASH")]));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/login/fakenslcd.py");
    // `up` runs it in the background, where the shell takes standard input away.
    machine.start(&format!("up sh -c 'exec python3 -B {script} /run/fake </mnt/users'"));
    Some(machine)
}

#[test]
fn ldap_users() {
    let Some(mut machine) = with_nslcd("ldap_users") else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/fake ''");
    machine.expect(
        "
    l-hash    +   +  -   +  +    + +    + +   +   + + +   P   hash   *
    l-x       +   -  -   +  -    + -    + -   +   + + -   L   *      *
    l-x-line  +   +  -   +  +    + +    + +   +   + + +   P   x      x
    l-star    +   -  -   +  -    + -    + -   +   + + -   L   *      *
    l-bang    +   -  -   +  -    + -    - -   +   + + -   L   !      !
    l-empty   +   +  +   +  +    + -    + -   +   + + +   NP  empty  empty
    unknown   -   -  -   -  -    - -    - -   -   - - -   none none  none
",
    );
}

/// What pam_unix asks for the time that it takes, once for each password. nslcd closes without a
/// word, since by its `validnames` nobody is called so. A close by nscd would send the program to
/// its own sources for its next 99 questions, and there the user is unknown.
const NOBODYS: &str = "pam_unix_non_existent: none";

#[test]
fn a_name_that_nslcd_refuses_is_nobodys() {
    let Some(mut machine) = with_nslcd("a_name_that_nslcd_refuses_is_nobodys") else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/fake ''");
    machine.expect_columns(&["answer"], NOBODYS);
}

#[test]
fn a_name_that_the_real_nslcd_refuses_is_nobodys() {
    let test = "a_name_that_the_real_nslcd_refuses_is_nobodys";
    let Some(mut machine) = with_ldap(test) else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/nslcd/socket ''");
    machine.expect_columns(&["answer"], NOBODYS);
}

/// Which source shadow is asked of decides whether `x` stays; its module is missing here.
#[test]
fn an_x_stays_where_its_own_service_is_asked_for_shadow() {
    let test = "an_x_stays_where_its_own_service_is_asked_for_shadow";
    let sources = [
        // nsswitch.conf, then the field of a user of nslcd, of a second directory, of a server.
        ("passwd: files\nshadow: files\n", ["*", "*", "*"]),
        ("passwd: files\nshadow: files ldap\n", ["x", "*", "x"]),
        ("passwd: files ldap\n", ["x", "*", "x"]),
        ("passwd: files ldap\nshadow: files\n", ["*", "*", "*"]),
        ("shadow: files sss # ldap\n", ["*", "*", "x"]),
        ("shadow:compat systemd\n", ["*", "*", "*"]),
        ("shadow: files [NOTFOUND=continue]\tldap\n", ["x", "*", "x"]),
        ("passwd: files\nshadow: files [SUCCESS=merge] extrausers\n", ["*", "*", "x"]),
        ("#shadow: ldap\nhosts: ldap\n", ["*", "*", "*"]),
    ];
    let mut wrong = String::new();
    for (switch, fields) in sources {
        let scripts = [
            "3 nsssd-unix '' 0 nsssd-nslcd /run/fake ''",
            "3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''",
            "-s /run/nsssd",
        ];
        for ((script, user), field) in scripts.iter().zip(["l-x", "d-x", "d-x"]).zip(fields) {
            let Some(mut machine) = with_nslcd(test) else { return };
            machine.second("d2", 2000, &SECOND);
            machine.switch(switch);
            machine.start("up ipcserver -1 /run/nsssd nsssd-switch 3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''");
            machine.ours(script);
            let table = format!("{user} {field} {field}");
            let (differences, _) = machine.differences(&PROGRAMS[14..], &table);
            if !differences.is_empty() {
                let _ = writeln!(wrong, "{switch:?}, {script}:\n{differences}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// An own shadow file that nscd may not open: said, and a field is as if it had every name.
#[test]
fn a_shadow_file_that_cannot_be_opened() {
    let Some(mut machine) = with_second("a_shadow_file_that_cannot_be_opened") else { return };
    machine.etc("passwd", &[("root", "x"), ("in-passwd", "HASH")], "");
    machine.dir.write("etc/nssmap.conf", "virtual:x:15000:100:mapped:/home:/etc/welcome\n");
    machine.start("mkdir /home/zoe");
    let script = "3 nsssd-unix '' 3 nsssd-unix -d /mnt/d2 '' 0 nsssd-map -r home ''";
    machine.ours(&format!("-u 65533 -g 65534 {script}"));
    let said = machine.expect_columns(
        &PROGRAMS[14..],
        "
    root       x     x
    in-passwd  hash  hash
    d-hash     hash  hash
    d-x        x     x
    d-x-line   x     x
    d-star     *     *
    zoe        *     *
",
    );
    assert!(said.contains("/etc/shadow"), "it is said at start: {said}");
}

/// A group's field: gshadow is never looked at.
#[test]
fn groups() {
    let Some(mut machine) = with_nslcd("groups") else { return };
    let lines = |prefix: &str, gid: u32| {
        let fields = [("hash", HASH), ("x", "x"), ("star", "*"), ("bang", "!"), ("empty", "")];
        let line = |(at, (name, field)): (u32, (&str, &str))| {
            format!("{prefix}-{name}:{field}:{}:\n", gid + at)
        };
        (0..).zip(fields).map(line).collect::<String>()
    };
    let own = fs::read_to_string(machine.dir.join("etc/group")).unwrap();
    machine.dir.write("etc/group", own + &lines("own", 600));
    for (name, gid) in [("d2", 700), ("d3", 800)] {
        machine.second(name, 2000, &[]);
        machine.dir.write(&format!("mnt/{name}/group"), lines(name, gid));
    }
    machine.dir.chmod("mnt/d3/group", 0o600);
    machine.start(
        "up ipcserver -1 /run/nsssd nsssd-switch 3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''",
    );
    let own = "
    own-hash   hash   hash
    own-x      x      x
    own-star   *      *
    own-bang   !      !
    own-empty  empty  empty
";
    machine.expect_columns(&GROUP_FIELDS, own);
    machine.ours("3 nsssd-unix '' 3 nsssd-unix -d /mnt/d2 '' 0 nsssd-unix -d /mnt/d3 ''");
    let table = format!(
        "{own}
    d2-hash    hash   hash
    d2-x       x      x
    d2-star    *      *
    d2-bang    !      !
    d2-empty   empty  empty
    d3-hash    hash   *
    d3-x       x      x
    d3-bang    !      !
    d3-empty   empty  empty
"
    );
    machine.expect_columns(&GROUP_FIELDS, &table);
}

const REAL: &str = "
    realx     +   +  -   +  +    + +    + +   +   + + +   P   x     x
    realhash  +   +  -   +  +    + +    + +   +   + + +   P   hash  *
    unknown   -   -  -   -  -    - -    - -   -   - - -   none none none
";

/// A machine whose users come from slapd by way of nslcd, with the module that asks it.
fn with_ldap(test: &'static str) -> Option<Machine> {
    let Some(root) = env::var_os("NSSBOX_TEST_LDAP") else {
        skip(test, "NSSBOX_TEST_LDAP names no folder made by tests/ldap/unpack");
        return None;
    };
    let root = Path::new(&root).display().to_string();
    let mut machine = Machine::new(test)?;
    let mut ldif = "dn: dc=example\nobjectClass: domain\ndc: example\n\n".to_owned();
    for (uid, (name, class)) in
        (6000..).zip([("realx", "shadowAccount"), ("realhash", "simpleSecurityObject")])
    {
        let _ = writeln!(
            ldif,
            "dn: uid={name},dc=example\nobjectClass: account\nobjectClass: posixAccount\n\
             objectClass: {class}\nuid: {name}\ncn: {name}\nuidNumber: {uid}\ngidNumber: 100\n\
             homeDirectory: /\nloginShell: /etc/welcome\nuserPassword: {{CRYPT}}{HASH}\n"
        );
    }
    machine.dir.write("etc/ldif", ldif);
    let schemas = ["core", "cosine", "inetorgperson", "nis"]
        .map(|name| format!("include {root}/etc/ldap/schema/{name}.schema\n"));
    machine.dir.write(
        "etc/slapd.conf",
        format!(
            "modulepath {root}/usr/lib/ldap\nmoduleload back_mdb\n{}database mdb\n\
             suffix dc=example\ndirectory /run/db\nmaxsize 16777216\ndbnosync\n",
            schemas.concat()
        ),
    );
    // By default it gives no hash to anybody.
    let hashes = "map passwd userPassword userPassword\nmap shadow userPassword userPassword\n";
    let server = "uri ldapi://%2Frun%2Fldapi\nbase dc=example\n";
    machine.dir.write("etc/nslcd.conf", format!("{server}{hashes}"));
    machine.dir.chmod("etc/nslcd.conf", 0o600);
    let order = "files ldap\n";
    machine.switch(&format!("passwd: {order}group: {order}shadow: {order}"));
    // By the linker's cache: a set-uid program takes no LD_LIBRARY_PATH.
    machine.start(&format!(
        "for dir in {root}/usr/lib/*-linux-gnu {root}/lib/*-linux-gnu; do
           [ ! -d $dir ] || echo $dir >>/etc/ld.so.conf
         done
         ldconfig -X; mkdir /run/db /run/nslcd
         {root}/usr/sbin/slapadd -f /etc/slapd.conf -l /etc/ldif
         {root}/usr/sbin/slapd -d 0 -h ldapi://%2Frun%2Fldapi -f /etc/slapd.conf & await /run/ldapi
         {root}/usr/sbin/nslcd -n & await /run/nslcd/socket"
    ));
    Some(machine)
}

#[test]
fn real_ldap_users_by_their_module_and_no_nscd() {
    let Some(machine) = with_ldap("real_ldap_users_by_their_module_and_no_nscd") else { return };
    machine.expect(REAL);
}

/// It asks as root for everybody, and so tells everybody the hash: as root sees it, nobody does.
#[test]
fn real_ldap_users_by_their_module_and_glibcs_nscd() {
    let test = "real_ldap_users_by_their_module_and_glibcs_nscd";
    let Some(mut machine) = with_ldap(test) else { return };
    let Some(()) = machine.glibcs() else { return };
    machine.expect(&REAL.replace("hash  *", "hash  hash"));
}

#[test]
fn real_ldap_users_with_their_module_for_shadow() {
    let test = "real_ldap_users_with_their_module_for_shadow";
    let Some(mut machine) = with_ldap(test) else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/nslcd/socket ''");
    machine.expect(REAL);
}

/// Where shadow is not asked of ldap, the real nslcd gives root the hash of everybody.
#[test]
fn real_ldap_users_without_a_module() {
    let Some(mut machine) = with_ldap("real_ldap_users_without_a_module") else { return };
    machine.switch("passwd: files\ngroup: files\nshadow: files\n");
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/nslcd/socket ''");
    machine.expect(
        "
    realx     +   +  -   +  +    + +    + +   +   + + +   P   hash  *
    realhash  +   +  -   +  +    + +    + +   +   + + +   P   hash  *
",
    );
}
