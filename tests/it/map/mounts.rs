//! File systems that are mounted after the start over what a map looks at: they hold up nobody but
//! those who ask for a name that is there.
#![cfg(all(feature = "ipcserver", feature = "nscd", feature = "nsssd-unix"))]

use crate::support::map::Host;
use crate::support::nscd::{ask, asked, no_user, request};
use crate::support::{
    Connection, Server, by_name, compiled, have_program, is_root, op, passwd_reply, run_to_end,
    skip, tool, wait_until,
};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A local user, whom both servers know.
const ADA: &str = "ada:x:1001:1001:Ada:/home/ada:/bin/sh";

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ipcserver,
    Nscd,
}

/// How a lookup ended.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Found,
    NotFound,
    Failed,
}

/// A server in a mount namespace of its own, with the local user and a map of some evidence.
struct Guest {
    host: Host,
    kind: Kind,
    server: Server,
}

impl Guest {
    /// DIR in `require` and `home` is its directory, which has `above/home` and `above/keys`.
    fn start(kind: Kind, home: &str, require: &str) -> Guest {
        let host = Host::new();
        host.dir.accounts(format!("{ADA}\n"), "", "");
        for dir in ["above", "above/home", "above/keys", "other"] {
            host.dir.subdirectory(dir);
        }
        for name in ["bob", "mallory"] {
            host.dir.subdirectory(&format!("above/home/{name}"));
            host.dir.subdirectory(&format!("above/keys/{name}"));
            host.dir.write(&format!("above/keys/{name}/key"), "");
        }
        let map = format!("template dev:x:15000:15000:dev:{home}:/bin/sh\n  {require}\n");
        let config = host.config(&format!("nssmap 2\nmap *\n  {map}"));
        let socket = host.dir.join("s");
        let mut command = tool(&host.bin, "unshare");
        command.args(["-m", "--propagation", "private"]);
        match kind {
            Kind::Ipcserver => command.args(["ipcserver", "-1"]).arg(&socket).arg("nsssd-switch"),
            Kind::Nscd => command.args(["nscd", "-1", "-S"]).arg(&socket),
        };
        command.args(["0", "nsssd-unix", "-d", host.dir.as_str(), ""]);
        command.args(["0", "nsssd-map", "-f"]).arg(config).arg("");
        let server = Server::start_command(command, &socket);
        Guest { host, kind, server }
    }

    /// Runs a command in its mount namespace.
    fn inside(&self) -> Command {
        let mut command = tool(&self.host.bin, "nsenter");
        command.arg("-t").arg(self.server.pid().as_raw_nonzero().to_string()).arg("-m");
        command
    }

    /// Runs a shell script there.
    fn run(&self, script: &str) {
        let mut command = self.inside();
        command.args(["sh", "-e", "-c", &self.host.text(script)]);
        let run = run_to_end(command);
        assert_eq!(run.code, Some(0), "{script}: {}", run.stderr);
    }

    fn ask(&self, name: &str) -> Said {
        if self.kind == Kind::Nscd {
            let said = asked(self.server.socket(), &request(ask::USER, name));
            return match said {
                said if said.is_empty() => Said::Failed,
                said if said == no_user() => Said::NotFound,
                _ => Said::Found,
            };
        }
        match self.server.connect().ask(&by_name(op::PWD_GETBYNAME, name), 1)[0] {
            0 => Said::Found,
            255 => Said::NotFound,
            _ => Said::Failed,
        }
    }

    /// The local user is answered while others wait for an answer about mallory.
    fn expect_others_served(&self) {
        let lookup = match self.kind {
            Kind::Nscd => request(ask::USER, "mallory"),
            Kind::Ipcserver => by_name(op::PWD_GETBYNAME, "mallory"),
        };
        let waits: Vec<Connection> = (0..3).map(|_| self.server.connect()).collect();
        for client in &waits {
            client.send(&lookup);
        }
        for _ in 0..3 {
            if self.kind == Kind::Nscd {
                assert_eq!(self.ask("ada"), Said::Found);
            } else {
                let ada = passwd_reply(["ada", "x"], 1001, 1001, ["Ada", "/home/ada", "/bin/sh"]);
                self.server.connect().expect(&by_name(op::PWD_GETBYNAME, "ada"), &ada);
            }
        }
    }
}

/// `tests/clients/dead-fuse.c` at a directory.
struct DeadFuse(Child);

impl DeadFuse {
    fn mount(guest: &Guest, program: &Path, place: &str) -> Option<DeadFuse> {
        let mut command = guest.inside();
        command.arg(program).arg(guest.host.dir.join(place));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("dead-fuse");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        output.read_line(&mut line).expect("dead-fuse");
        let fuse = DeadFuse(child);
        (line == "mounted\n").then_some(fuse)
    }
}

impl Drop for DeadFuse {
    fn drop(&mut self) {
        // Its mount is dead to all at once, and nobody waits for it any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn can_mount(test: &str) -> bool {
    let can = is_root() && have_program("unshare") && have_program("nsenter");
    if !can {
        skip(test, "needs root, unshare and nsenter");
    }
    can
}

const HOMES: (&str, &str) = ("DIR/above/home", "require home");
const KEYS: (&str, &str) = ("DIR/none", "require file DIR/above/keys/%u/key");
const GROUPS_OF_HOMES: (&str, &str) = ("DIR/above/home", "rc yes");

#[test]
fn a_dead_file_system_that_is_mounted_later_holds_up_nobody_else() {
    let test = "a_dead_file_system_that_is_mounted_later_holds_up_nobody_else";
    if !can_mount(test) {
        return;
    }
    let host = Host::new();
    let Some(program) = compiled(test, "dead-fuse", &host.dir) else { return };
    let places = [
        (HOMES, "above/home/mallory"),
        (HOMES, "above/home"),
        (HOMES, "above"),
        (KEYS, "above/keys/mallory"),
        (KEYS, "above/keys"),
        (KEYS, "above"),
    ];
    for kind in [Kind::Ipcserver, Kind::Nscd] {
        for ((home, require), place) in places {
            let guest = Guest::start(kind, home, require);
            assert_eq!(guest.ask("mallory"), Said::Found, "{kind:?} {place}");
            let Some(fuse) = DeadFuse::mount(&guest, &program, place) else {
                return skip(test, "no FUSE can be mounted");
            };
            guest.expect_others_served();
            assert_eq!(guest.ask("mallory"), Said::Failed, "{kind:?} {place}");
            if place.ends_with("mallory") {
                assert_eq!(guest.ask("bob"), Said::Found, "{kind:?} {place}");
                assert_eq!(guest.ask("carol"), Said::NotFound, "{kind:?} {place}");
            }
            guest.run(&format!("umount -l DIR/{place}"));
            drop(fuse);
            wait_until("it is answered again", || guest.ask("mallory") == Said::Found);
        }
    }
}

#[test]
fn a_dead_file_system_holds_up_nobody_who_asks_for_groups() {
    let test = "a_dead_file_system_holds_up_nobody_who_asks_for_groups";
    if !can_mount(test) {
        return;
    }
    let host = Host::new();
    let Some(program) = compiled(test, "dead-fuse", &host.dir) else { return };
    let (home, rc) = GROUPS_OF_HOMES;
    let guest = Guest::start(Kind::Nscd, home, rc);
    let Some(_fuse) = DeadFuse::mount(&guest, &program, "above/home/mallory") else {
        return skip(test, "no FUSE can be mounted");
    };
    let client = guest.server.connect();
    client.send(&request(ask::GROUPS, "mallory"));
    guest.expect_others_served();
}

#[test]
fn a_server_starts_although_its_homes_are_on_a_dead_file_system() {
    let test = "a_server_starts_although_its_homes_are_on_a_dead_file_system";
    if !can_mount(test) {
        return;
    }
    let host = Host::new();
    let Some(program) = compiled(test, "dead-fuse", &host.dir) else { return };
    for (place, told) in [("above/home", "is on FUSE"), ("above/home/bob", "has below it FUSE")] {
        // Only its mount namespace is used.
        let guest = Guest::start(Kind::Nscd, HOMES.0, HOMES.1);
        let Some(_fuse) = DeadFuse::mount(&guest, &program, place) else {
            return skip(test, "no FUSE can be mounted");
        };
        let socket = guest.host.dir.join("second");
        let mut command = guest.inside();
        command.args(["nscd", "-1", "-S"]).arg(&socket);
        command.args(["0", "nsssd-unix", "-d", guest.host.dir.as_str(), ""]);
        command.args(["0", "nsssd-map", "-f", &guest.host.text("DIR/nssmap.conf"), ""]);
        let server = Server::start_command(command, &socket);
        assert!(server.stderr().contains(told), "{}", server.stderr());
        let mallory = Connection::connect(&socket);
        mallory.send(&request(ask::USER, "mallory"));
        let ada = asked(&socket, &request(ask::USER, "ada"));
        assert!(!ada.is_empty() && ada != no_user(), "{ada:?}");
    }
}

#[test]
fn local_file_systems_that_are_mounted_later_are_looked_into() {
    let test = "local_file_systems_that_are_mounted_later_are_looked_into";
    if !can_mount(test) {
        return;
    }
    for ((home, require), script) in [
        (HOMES, "mount -t tmpfs none DIR/above/home; mkdir DIR/above/home/carol"),
        (HOMES, "mkdir DIR/above/home/carol; mount -t tmpfs none DIR/above/home/carol"),
        (HOMES, "mount -t tmpfs none DIR/above; mkdir -p DIR/above/home/carol"),
        // By links, an absolute one and one that goes up, to another file system.
        (
            HOMES,
            "mount -t tmpfs none DIR/other; mkdir -p DIR/other/x/carol; mv DIR/above/home DIR/was; \
             ln -s DIR/other/x DIR/above/home",
        ),
        (
            HOMES,
            "mount -t tmpfs none DIR/other; mkdir -p DIR/other/carol; mv DIR/above/home DIR/was; \
             ln -s ./../other/ DIR/above/home",
        ),
        (
            KEYS,
            "mount -t tmpfs none DIR/above/keys; mkdir DIR/above/keys/carol; : > DIR/above/keys/carol/key",
        ),
        (
            KEYS,
            "mount -t tmpfs none DIR/other; : > DIR/other/key; ln -s ../../other DIR/above/keys/carol",
        ),
    ] {
        for kind in [Kind::Ipcserver, Kind::Nscd] {
            let guest = Guest::start(kind, home, require);
            assert_eq!(guest.ask("carol"), Said::NotFound, "{kind:?} {script}");
            guest.run(script);
            for _ in 0..2 {
                assert_eq!(guest.ask("carol"), Said::Found, "{kind:?} {script}");
                assert_eq!(guest.ask("dave"), Said::NotFound, "{kind:?} {script}");
            }
            assert_eq!(
                crate::support::procfs::children(guest.server.pid()),
                [],
                "{kind:?} {script}"
            );
        }
    }
}
