//! systemd's own clients: its module for glibc, and userdbctl.

use super::bench::Bench;
use crate::support::{Finished, have_program, is_root, nssbox, peer, run_to_end, skip};
use std::path::PathBuf;
use std::process::Command;

/// A private machine whose libnss_systemd asks our server.
struct Machine {
    bench: Bench,
    module: PathBuf,
    userdbctl: PathBuf,
    /// Served by nscd's process, and nscd as well.
    by_nscd: bool,
}

const PASSWD: &str = "ada:x:72001:72001:Ada Lovelace,Room 1:/home/ada:/bin/sh\n\
    bob:x:72002:72001::/home/bob:/bin/bash\n\
    eve:x:72003:72001:Eve:/home/eve:/bin/sh\n\
    local:x:72009:72001:Not he:/:/bin/sh\n\
    other:x:777:72001:Not his number:/:/bin/sh\n\
    root:x:72010:72001:Not root:/:/bin/sh\n";
const GROUP: &str = "staff:x:72001:ada,bob\nnone:x:72002:\nlocals:x:72003:ada\nmore:x:72004:bob\n";
const SHADOW: &str = "ada:$6$salt$hash:19000:1:90:14:30:20000:\nbob:!:19000::::::\n";

/// Files of the private machine.
const OWN: &str = "\
printf 'root:x:0:0:root:/root:/bin/sh\\nlocal:x:777:777:Local:/:/bin/sh\\n' >/mnt/etc/passwd
printf 'root:x:0:\\nlocals:x:777:\\n' >/mnt/etc/group
printf 'root:*:19000:0:99999:7:::\\nlocal:*:19000:0:99999:7:::\\n' >/mnt/etc/shadow
: >/mnt/etc/gshadow
printf 'passwd: files systemd\\ngroup: files [SUCCESS=merge] systemd\\nshadow: files systemd\\ngshadow: files systemd\\n' >/mnt/etc/nsswitch.conf
";

impl Machine {
    fn new(test: &str) -> Option<Machine> {
        if !is_root() || !have_program("unshare") || !have_program("setpriv") {
            skip(test, "needs root, unshare and setpriv");
            return None;
        }
        let library = format!("usr/lib/{}-linux-gnu/libnss_systemd.so.2", std::env::consts::ARCH);
        let module = peer(test, "libnss-systemd", &library)?;
        let userdbctl = peer(test, "systemd-userdbd", "usr/bin/userdbctl")?;
        let bench = Bench::new(PASSWD, GROUP, SHADOW);
        bench.dir.chmod(".", 0o755);
        Some(Machine { bench, module: module.parent().unwrap().into(), userdbctl, by_nscd: false })
    }

    /// Runs a script beside the server, which is given the machine's own files and ours.
    fn run(&self, script: &str) -> Finished {
        let server = if self.by_nscd { "nscd --userdb" } else { "userdb" };
        let setup = format!(
            "set -e\nmount -t tmpfs -o mode=755 none /mnt\ncp -a /etc /mnt/etc\n{OWN}\
             mount --bind /mnt/etc /etc\nmount -t tmpfs -o mode=755 none /run\nmkfifo /run/ready\n\
             \"$BOX\" {server} -1 3 nsssd-unix '' 0 nsssd-unix -d \"$DIR\" '' >/run/ready & server=$!\n\
             trap 'kill $server' EXIT\nread -r _ </run/ready\nset +e\n{script}\n"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", &setup]).env("LC_ALL", "C");
        command.env("BOX", nssbox()).env("DIR", self.bench.dir.path());
        command.env("LD_LIBRARY_PATH", &self.module).env("CTL", &self.userdbctl);
        run_to_end(command)
    }

    #[track_caller]
    fn expect(&self, script: &str, output: &str) {
        let done = self.run(script);
        let got = String::from_utf8_lossy(&done.stdout);
        assert_eq!(got, output, "{script}: {}", done.stderr);
    }
}

#[test]
fn glibc_sees_users_groups_and_shadow() {
    let Some(m) = Machine::new("glibc_sees_users_groups_and_shadow") else { return };
    what_glibc_sees(&m);
}

/// glibc asks nscd for names and numbers then, and for what nscd has not the same process.
#[cfg(feature = "nscd")]
#[test]
fn glibc_sees_the_same_where_nscd_serves_both() {
    let Some(m) = Machine::new("glibc_sees_the_same_where_nscd_serves_both") else { return };
    what_glibc_sees(&Machine { by_nscd: true, ..m });
}

fn what_glibc_sees(m: &Machine) {
    m.expect(
        "getent passwd ada 72002 nosuch; echo $?",
        "ada:x:72001:72001:Ada Lovelace,Room 1:/home/ada:/bin/sh\n\
         bob:x:72002:72001::/home/bob:/bin/bash\n2\n",
    );
    m.expect("getent group staff 72002; echo $?", "staff:x:72001:ada,bob\nnone:x:72002:\n0\n");
    m.expect(
        "getent shadow ada bob eve",
        "ada:$6$salt$hash:19000:1:90:14:30:20000:\nbob:!:19000::::::\neve:!*:::::::\n",
    );
    m.expect("getent gshadow staff", "staff:!*::\n");
    let nobody = "setpriv --reuid 1500 --regid 1500 --clear-groups";
    m.expect(&format!("{nobody} getent shadow ada; echo $?"), "2\n");
    m.expect(&format!("{nobody} getent passwd ada | cut -d: -f1-3"), "ada:x:72001\n");
    m.expect(
        "getent initgroups bob; id -Gn bob",
        "bob                   72001 72004\nstaff more\n",
    );
    m.expect("setpriv --reuid bob --regid staff --init-groups id -G", "72001 72004\n");
}

/// A program in a container has both for as long as it runs.
#[cfg(feature = "with-nscd")]
#[test]
fn with_nscd_serves_it_too() {
    let Some(m) = Machine::new("with_nscd_serves_it_too") else { return };
    m.expect(
        "kill $server; wait $server; trap - EXIT\n\
         \"$BOX\" with-nscd --userdb 3 nsssd-unix '' 0 nsssd-unix -d \"$DIR\" '' -- sh -c \
         'getent shadow bob; getent passwd 72002; getent passwd | tail -n 1'\n\
         while [ -e /run/systemd/userdb/org.nssbox.Users ]; do sleep 0.01; done",
        "bob:!:19000::::::\nbob:x:72002:72001::/home/bob:/bin/bash\n\
         eve:x:72003:72001:Eve:/home/eve:/bin/sh\n",
    );
}

#[test]
fn lists_are_whole() {
    let Some(m) = Machine::new("lists_are_whole") else { return };
    m.expect(
        "getent passwd | cut -d: -f1,3",
        "root:0\nlocal:777\nada:72001\nbob:72002\neve:72003\n",
    );
    m.expect(
        "getent group | cut -d: -f1,3,4",
        "root:0:\nlocals:777:\nstaff:72001:ada,bob\nnone:72002:\nmore:72004:bob\n",
    );
    m.expect("getent shadow | cut -d: -f1", "root\nlocal\nada\nbob\neve\n");
}

/// systemd's own programs ask the socket before /etc/passwd.
#[test]
fn nothing_of_the_machines_own_is_told() {
    let Some(m) = Machine::new("nothing_of_the_machines_own_is_told") else { return };
    let ask = "\"$CTL\" user --output=friendly";
    m.expect(
        &format!("for u in local other root 777; do {ask} $u 2>&1 | grep -c nssbox; done"),
        &"0\n".repeat(4),
    );
    m.expect(
        "for g in locals root 777; do \"$CTL\" group $g 2>&1 | grep -c nssbox; done",
        &"0\n".repeat(3),
    );
    m.expect("id -Gn ada", "staff\n");
}

#[test]
fn userdbctl_shows_them() {
    let Some(m) = Machine::new("userdbctl_shows_them") else { return };
    m.expect(
        "\"$CTL\" user ada | sed -n 's/^ *\\(UID\\|Directory\\|Service\\): //p'",
        "72001\n/home/ada\norg.nssbox.Users\n",
    );
    m.expect("\"$CTL\" users-in-group --no-legend staff", "ada staff\nbob staff\n");
    m.expect("\"$CTL\" groups-of-user --no-legend bob", "bob more\nbob staff\n");
    m.expect("\"$CTL\" services --no-legend", "org.nssbox.Users yes\n");
    m.expect("\"$CTL\" user nosuch >/dev/null 2>&1; echo $?", "1\n");
}

/// As sshd's AuthorizedKeysCommand asks for them.
#[cfg(feature = "nsssd-map")]
#[test]
fn userdbctl_gives_sshd_the_keys_of_a_map() {
    let Some(m) = Machine::new("userdbctl_gives_sshd_the_keys_of_a_map") else { return };
    m.expect(
        "kill $server; wait $server\nmkdir /etc/ssh-keys\n\
         printf '# carl\\nssh-ed25519 AAAA carl@x\\n\\nfrom=\"*.a\" ssh-rsa BBBB\\n' >/etc/ssh-keys/carl\n\
         : >/etc/ssh-keys/none\n\
         printf 'nssmap 2\\nmap *\\n template u:x:15000:15000:g:/home:/bin/sh\\n require file /etc/ssh-keys/%%u\\n' \
         >/etc/nssmap.conf\n\
         \"$BOX\" userdb -1 3 nsssd-unix '' 0 nsssd-map '' >/run/ready & server=$!\n\
         read -r _ </run/ready\n\
         for u in carl none nosuch; do \"$CTL\" ssh-authorized-keys $u 2>/dev/null; echo $?; done",
        "ssh-ed25519 AAAA carl@x\nfrom=\"*.a\" ssh-rsa BBBB\n0\n0\n1\n",
    );
}

/// Programs that ask systemd-userdbd alone find it, and the machine's own users by it.
#[test]
fn userdbctl_asks_our_multiplexer() {
    let Some(m) = Machine::new("userdbctl_asks_our_multiplexer") else { return };
    m.expect(
        "kill $server; wait $server\n\
         \"$BOX\" userdb -M -1 3 nsssd-unix '' 0 nsssd-unix -d \"$DIR\" '' >/run/ready & server=$!\n\
         read -r _ </run/ready\nls /run/systemd/userdb\n\
         for u in ada local; do \"$CTL\" user $u | sed -n 's/^ *UID: //p'; done\n\
         \"$CTL\" groups-of-user --no-legend ada; getent passwd ada local | cut -d: -f1,3",
        "io.systemd.Multiplexer\norg.nssbox.Users\n72001\n777\nada staff\nada:72001\nlocal:777\n",
    );
}

/// Whatever lies beside the socket is a service to the clients, but what begins with a dot.
#[test]
fn beside_the_socket_lies_nothing_that_they_would_ask() {
    let Some(m) = Machine::new("beside_the_socket_lies_nothing_that_they_would_ask") else {
        return;
    };
    m.expect(
        "ls /run/systemd/userdb; stat -c %a /run/systemd /run/systemd/userdb /run/systemd/userdb/*",
        "org.nssbox.Users\n755\n755\n666\n",
    );
    let left = "kill $server; wait $server; trap - EXIT; ls -A /run/systemd/userdb";
    m.expect(left, "");
}

/// Numbers that look random, the same in each run.
struct Odd(u64);

impl Odd {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.next(all.len())]
    }
}

/// What the client prints of a number of days: nothing is nothing, 0 of the last change or of the end of
/// an account comes out as 1.
fn printed(days: &str, is_date: bool) -> &str {
    match days.parse::<u64>() {
        Ok(0) if is_date => "1",
        Ok(days_) if days_ <= 213_503_982 => days,
        _ => "",
    }
}

/// The table of doc/userdb.md, by lines that are put together at random: what `getent passwd` and `getent
/// shadow` print of each is what it says.
#[test]
fn ten_thousand_records_come_out_as_the_table_says() {
    let Some(m) = Machine::new("ten_thousand_records_come_out_as_the_table_says") else { return };
    let mut odd = Odd(17);
    let (mut passwd, mut shadow) = (String::new(), String::new());
    let (mut users, mut hashes) = (String::new(), String::new());
    for n in 0..10_000 {
        let gecos =
            odd.one_of(&["", "Ada", "Ada \"A\\\" L,1,2", "Größe 😀", "a/b#c", " both ends "]);
        let (home, home_told) = [
            ("/home/x", "/home/x"),
            ("/home//x/./y/", "/home/x/y"),
            ("/", "/"),
            ("", "/"),
            ("x", "/"),
            ("/a/../b", "/"),
            ("/größe", "/größe"),
            ("/.", "/"),
        ][odd.next(8)];
        let (shell, shell_told) = [
            ("/bin/sh", "/bin/sh"),
            ("", "/bin/sh"),
            ("/bin//bash", "/bin/bash"),
            ("/usr/bin/zsh/", "/usr/bin/zsh"),
            ("bash", "/usr/sbin/nologin"),
            ("/", "/usr/sbin/nologin"),
            ("/bin/../sh", "/usr/sbin/nologin"),
        ][odd.next(7)];
        let (name, uid) = (format!("user{n}"), 100_000 + n);
        passwd += &format!("{name}:x:{uid}:{}:{gecos}:{home}:{shell}\n", uid + 1);
        users += &format!("{name}:x:{uid}:{}:{gecos}:{home_told}:{shell_told}\n", uid + 1);
        if odd.next(8) == 0 {
            hashes += &format!("{name}:!*:::::::\n");
            continue;
        }
        let hash = odd.one_of(&["", "!", "*", "x", "$6$salt$hash", "!$6$salt$hash", "$y$j9T$/."]);
        let days: Vec<&str> = (0..6)
            .map(|_| {
                odd.one_of(&[
                    "",
                    "0",
                    "1",
                    "7",
                    "19000",
                    "99999",
                    "213503982",
                    "213503983",
                    "99999999999",
                ])
            })
            .collect();
        shadow += &format!("{name}:{hash}:{}:\n", days.join(":"));
        let told: Vec<&str> =
            days.iter().enumerate().map(|(at, days)| printed(days, at == 0 || at == 5)).collect();
        hashes += &format!("{name}:{hash}:{}:\n", told.join(":"));
    }
    m.bench.dir.write("passwd", passwd);
    m.bench.dir.write("shadow", shadow);
    for (database, wanted) in [("passwd", users), ("shadow", hashes)] {
        let done = m.run(&format!("getent -s systemd {database}"));
        let got = String::from_utf8_lossy(&done.stdout);
        let differs = got.lines().zip(wanted.lines()).find(|(got, wanted)| got != wanted);
        assert_eq!(differs, None, "{database}: {}", done.stderr);
        assert_eq!(got.lines().count(), 10_000, "{database}");
    }
}
