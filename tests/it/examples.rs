//! The service files of doc/examples, each started by its own supervisor in namespaces of its own, and
//! asked. Where the page says how to install one, those words are what installs it, twice.

use crate::support::page::blocks;
use crate::support::{
    self, TempDir, have_program, is_root, nssbox, peer, procfs, run_to_end, skip, wait_until,
};
use rustix::process::Pid;
use std::path::Path;
use std::process::{Child, Command};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/doc/examples");

/// Installs the executable and its links in /usr/bin of a mount namespace; `$0` is doc/examples.
fn installed() -> String {
    format!(
        "mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /run || exit 120\n\
         mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir bin bin.w etc etc.w || exit 120\n\
         over() {{ mount -t overlay o -o lowerdir=$1,upperdir=/mnt/$2,workdir=/mnt/$2.w $1; }}\n\
         over /usr/bin bin && over /etc etc || exit 120\n\
         rm -f /etc/nssmap.conf; export PATH=/usr/bin:/bin:/usr/sbin:/sbin\n\
         cp '{}' /usr/bin/nssbox || exit 120\n\
         nssbox --install -s /usr/bin 2>/dev/null\n",
        nssbox().display()
    )
}

/// A supervisor as PID 1.
struct Supervisor(Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        // --kill-child: what it started goes with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The commands of the page for one supervisor.
fn page(supervisor: &str) -> String {
    let blocks = blocks("doc/examples/README.md");
    let mut blocks = blocks.into_iter().filter(|block| block.needs == supervisor);
    let block = blocks.next().unwrap_or_else(|| panic!("no block for {supervisor}"));
    block.text
}

/// Starts `script` as PID 1, and nscd by it; runs `commands`, which install nsssd, twice; then asks
/// both services. Without commands the script starts both.
#[track_caller]
fn answers(test: &str, programs: &[&str], script: &str, commands: &str) {
    for program in [&["unshare", "nsenter", "perl"], programs].concat() {
        if !is_root() || !have_program(program) {
            return skip(test, &format!("needs root and {program}"));
        }
    }
    let said = TempDir::new();
    let log = std::fs::File::create(said.join("log")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "-p", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
    command.arg(installed() + script).arg(EXAMPLES).stdout(log.try_clone().unwrap()).stderr(log);
    let mut supervisor = Supervisor(command.spawn().unwrap());
    let pid = Pid::from_child(&supervisor.0);
    let mut first = None;
    let told = || std::fs::read_to_string(said.join("log")).unwrap_or_default();
    wait_until("there is a PID 1", || {
        first = procfs::children(pid).first().copied();
        first.is_some() || supervisor.0.try_wait().unwrap().is_some()
    });
    let Some(first) = first else {
        return skip(test, &format!("no namespaces: {}", told()));
    };
    let process = Path::new("/proc").join(first.as_raw_nonzero().to_string());
    let root = process.join("root").join("run");
    let mut there = |socket: &str| {
        wait_until(socket, || {
            root.join(socket).exists() || supervisor.0.try_wait().unwrap().is_some()
        });
        supervisor.0.try_wait().unwrap().and_then(|status| status.code())
    };
    if there("nscd/socket") == Some(120) {
        return skip(test, &format!("no overlays: {}", told()));
    }
    // Asked from where they run.
    let pid = first.as_raw_nonzero().to_string();
    let inside = |words: &[&str]| {
        let mut command = Command::new("nsenter");
        command
            .args(["-m", "-p", "-t", &pid])
            .args(words)
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        let finished = run_to_end(command);
        assert_eq!(finished.code, Some(0), "{words:?}: {} {}", finished.stderr, told());
        String::from_utf8(finished.stdout).unwrap()
    };
    for _ in 0..2 {
        inside(&["sh", "-ec", &format!("cd {EXAMPLES}\n{commands}")]);
    }
    there("service/nsssd/s");
    let users = inside(&["nssbox", "getent", "-S", "/run/service/nsssd/s", "passwd", "root"]);
    assert!(users.starts_with("root:x:0:0:"), "{users}");
    let ask = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => '/var/run/nscd/socket');\n\
               syswrite $s, pack 'l3a5', 2, 0, 5, \"root\\0\"; sysread $s, my $r, 36;\n\
               print join ' ', unpack 'l7', $r";
    assert!(inside(&["perl", "-e", ask]).starts_with("2 1 5 "));
}

#[test]
fn s6_runs_both_services() {
    let script = "mkdir /run/service && cp -R \"$0\"/s6/nscd /run/service/\n\
                  exec s6-svscan /run/service\n";
    answers("s6_runs_both_services", &["s6-svscan"], script, &page("s6"));
}

#[test]
fn runit_runs_both_services() {
    let script = "mkdir -p /etc/sv /etc/service && cp -R \"$0\"/runit/nscd /etc/sv/\n\
                  ln -s /etc/sv/nscd /etc/service/nscd && exec runsvdir -P /etc/service\n";
    answers("runit_runs_both_services", &["runsvdir"], script, &page("runit"));
}

/// Nothing packaged has procd: this takes of rc.common and procd what these scripts use of them. Some
/// releases of procd's functions end at an empty word, and so does this.
#[test]
fn procd_starts_both_services() {
    let script = "cat > /etc/rc.common <<'END'\n\
                  procd_open_instance() { :; }\n\
                  procd_close_instance() { :; }\n\
                  procd_set_param() {\n\
                  [ \"$1\" = command ] || return 0\n\
                  shift; words=$#; while [ $words -gt 0 ]; do word=$1; shift; words=$((words - 1))\n\
                  [ -n \"$word\" ] || break; set -- \"$@\" \"$word\"; done; \"$@\" </dev/null &\n\
                  }\n\
                  . \"$1\"; [ \"$2\" != start ] || start_service\n\
                  END\n\
                  install -m 0755 \"$0\"/procd/nscd /etc/init.d/nssbox-nscd\n\
                  /etc/init.d/nssbox-nscd start; exec tail -f /dev/null\n";
    answers("procd_starts_both_services", &[], script, &page("procd"));
}

#[test]
fn busybox_init_runs_both_services() {
    let script = "cat \"$0\"/inittab/busybox > /etc/inittab && exec busybox init\n";
    answers("busybox_init_runs_both_services", &["busybox"], script, "");
}

#[test]
fn sysvinit_runs_both_services() {
    let test = "sysvinit_runs_both_services";
    let Some(init) = peer(test, "sysvinit-core", "sbin/init") else { return };
    let script = format!(
        "{{ echo id:2:initdefault:; cat \"$0\"/inittab/sysvinit; }} > /etc/inittab\n\
         exec {}\n",
        init.display()
    );
    answers(test, &[], &script, "");
}

#[test]
fn openrc_runs_both_services() {
    // What its own start makes; and no dependencies, which mount disks.
    let script = "cd /run && mkdir openrc && cd openrc && mkdir daemons exclusive failed options \\\n\
                  hotplugged inactive scheduled started starting stopping tmp wasinactive\n\
                  echo default > softlevel; mount -t tmpfs tmpfs /var/log\n\
                  install -m 0755 \"$0\"/openrc/nssbox-nscd /etc/init.d/nssbox-nscd\n\
                  rc-service -D nssbox-nscd start; exec tail -f /dev/null\n";
    let commands = page("openrc").replace("rc-service ", "rc-service -D ");
    answers("openrc_runs_both_services", &["rc-service"], script, &commands);
}

#[test]
fn systemd_understands_its_units() {
    let test = "systemd_understands_its_units";
    if !is_root() || !have_program("systemd-analyze") || !have_program("unshare") {
        return skip(test, "needs root, unshare and systemd-analyze");
    }
    let mut command = Command::new("unshare");
    let check = "systemd-analyze verify --man=no \"$0\"/systemd/*.service \"$0\"/systemd/*.socket \
         \"$0\"/systemd/*.timer\n";
    command.args(["-m", "sh", "-c"]).arg(installed() + check).arg(EXAMPLES);
    let finished = run_to_end(command);
    if finished.code == Some(120) {
        return skip(test, &finished.stderr);
    }
    let ours: Vec<&str> = finished
        .stderr
        .lines()
        .filter(|line| ["nsssd", "nssbox", "nsscache"].iter().any(|name| line.contains(name)))
        .collect();
    assert_eq!((finished.code, ours), (Some(0), Vec::new()), "{}", finished.stderr);
    // They are there before who keeps running and asks once.
    for name in ["nssbox-nscd", "nssbox-userdb"] {
        let unit = std::fs::read_to_string(format!("{EXAMPLES}/systemd/{name}.service")).unwrap();
        let lines =
            ["DefaultDependencies=no", "ProtectHome=read-only", "After=systemd-tmpfiles-setup"];
        for line in lines {
            assert!(unit.contains(line), "{name}: {line}");
        }
        for before in ["basic.target", "dbus.service", "systemd-logind.service"] {
            let line = unit.lines().find(|line| line.starts_with("Before=")).unwrap();
            assert!(line.contains(before), "{name}: {line}");
        }
    }
}

#[test]
fn openrc_understands_its_scripts() {
    let test = "openrc_understands_its_scripts";
    for name in ["nsssd", "nssbox-nscd"] {
        let file = format!("{EXAMPLES}/openrc/{name}");
        // They are functions and variables for openrc-run, which is a shell.
        let mut command = support::tool(std::path::Path::new("/usr/bin"), "sh");
        command.args(["-c", "RC_SVCNAME=x; . \"$0\"; depend", &file]).env("PATH", "/nonexistent");
        let shell = run_to_end(command);
        assert!(!shell.stderr.contains("yntax"), "{}", shell.stderr);
        if !have_program("openrc-run") {
            skip(test, "no openrc-run");
            continue;
        }
        let mut command = Command::new("openrc-run");
        command.args([&file, "describe"]);
        let finished = run_to_end(command);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    }
}
