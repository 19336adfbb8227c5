//! What somebody can do who has a descriptor of a map: read it.

use super::house::{GETFDGR, GETFDPW, Given, House, Place};
use crate::support::nscd::{ask, asked, request};
use crate::support::{TempDir, have_program, others_can_run_it, procfs, run_to_end, skip};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

const PASSWD: &str = "ada:*:4001:4100:Ada:/home/ada:/bin/bash\n";
const GROUP: &str = "staff:x:4100:ada\n";

/// Asks for a map, and tries to change it in each way that there is; says what did not fail. Perl has no
/// name for passed descriptors, so that comes as number 9.
const ATTACK: &str = r#"
import ctypes, fcntl, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd, size = 9, os.fstat(9).st_size
before = os.pread(fd, size, 0)
done = []
def attempt(name, work):
    try:
        work()
        done.append(name)
    except (OSError, ValueError, PermissionError):
        pass
def call(name, *words):
    if getattr(libc, name)(*words) < 0:
        raise OSError(ctypes.get_errno(), name)
path = "/proc/self/fd/9"
attempt("write", lambda: os.pwrite(fd, b"\1\0\0\0", 8))
attempt("reopen to write", lambda: os.open(path, os.O_RDWR))
attempt("reopen only to write", lambda: os.open(path, os.O_WRONLY))
attempt("reopen and cut", lambda: os.open(path, os.O_WRONLY | os.O_TRUNC))
attempt("ftruncate", lambda: os.ftruncate(fd, 0))
attempt("truncate", lambda: os.truncate(path, 0))
attempt("fchmod", lambda: os.fchmod(fd, 0o666))
attempt("chmod", lambda: os.chmod(path, 0o666))
attempt("fchown", lambda: os.fchown(fd, os.getuid(), -1))
attempt("map to write", lambda: mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
attempt("seal", lambda: fcntl.fcntl(fd, 1033, 8))
attempt("punch", lambda: call("fallocate", fd, 3, ctypes.c_long(0), ctypes.c_long(4096)))
attempt("lease", lambda: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK))
attempt("utime", lambda: os.utime(path))
attempt("link", lambda: os.link(path, sys.argv[1] + "/link"))
for name in ("dbpasswd", "dbgroup"):
    there = sys.argv[2] + "/" + name
    attempt("open " + name, lambda: os.open(there, os.O_RDONLY))
    attempt("unlink " + name, lambda: os.unlink(there))
assert os.pread(fd, size, 0)[24:] == before[24:], "changed"
assert len(before) > 120, "can be read"
print(" ".join(done))
"#;

#[test]
fn another_user_can_read_a_map_and_nothing_else() {
    let test = "another_user_can_read_a_map_and_nothing_else";
    if !have_program("setpriv") || !Path::new("/usr/bin/python3").exists() {
        return skip(test, "no setpriv or python3");
    }
    for place in [Place::Memory, Place::Disk] {
        let Some(house) = House::new(test, place, PASSWD, GROUP) else { return };
        let _server = house.serve(&[]);
        let open = TempDir::new();
        open.chmod("", 0o777);
        let script = open.write("attack.py", ATTACK);
        let mut tried = 0;
        let off = Given::ask(&house.socket(), GETFDPW).unwrap();
        let [users, groups] = house.maps();
        for given in [off, users, groups] {
            let mode = given.file.metadata().unwrap();
            assert_eq!((mode.permissions().mode() & 0o7777, mode.uid()), (0o400, 0));
            // Passed on as number 9, as it came.
            let fd = std::os::fd::AsRawFd::as_raw_fd(&given.file);
            let path = format!("/proc/{}/fd/{fd}", std::process::id());
            let run = "exec 9<\"$0\" && exec setpriv --reuid 4242 --regid 4242 --clear-groups \
                       /usr/bin/python3 \"$1\" \"$2\" \"$3\"";
            let mut command = Command::new("sh");
            command.args(["-c", run, &path]).arg(&script).arg(open.path()).arg(&house.run);
            let finished = run_to_end(command);
            assert_eq!(finished.code, Some(0), "{}", finished.stderr);
            assert_eq!(String::from_utf8_lossy(&finished.stdout), "\n", "{place:?}");
            tried += 1;
        }
        assert_eq!(tried, 3);
    }
}

#[test]
fn root_himself_cannot_cut_a_map_without_a_name() {
    let test = "root_himself_cannot_cut_a_map_without_a_name";
    let Some(house) = House::new(test, Place::Disk, PASSWD, GROUP) else { return };
    let _server = house.serve(&[]);
    for given in house.maps() {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&given.file);
        let path = format!("/proc/self/fd/{fd}");
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        assert!(file.set_len(0).is_err() && file.set_len(given.size + 1).is_err());
        assert_eq!(given.check(), if given.size > 0 { given.check() } else { 0 });
    }
}

#[test]
fn a_server_without_root_gives_none_to_its_own_user() {
    let test = "a_server_without_root_gives_none_to_its_own_user";
    if !have_program("setpriv") || !Path::new("/usr/bin/python3").exists() || !others_can_run_it() {
        return skip(test, "needs setpriv, python3 and an executable for all");
    }
    let Some(house) = House::new(test, Place::Memory, PASSWD, GROUP) else { return };
    let server = house.serve(&["-u", "4242", "-g", "4242"]);
    assert_eq!(procfs::status(server.pid(), "Uid"), ["4242"; 4]);
    let maps = house.maps();
    for given in &maps {
        let there = given.file.metadata().unwrap();
        assert_eq!((there.uid(), there.permissions().mode() & 0o7777), (4242, 0o400));
        assert!(given.check() > 0);
    }
    // By a program of that uid, and of another one.
    let script = "import socket, struct, sys\n\
                  s = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.send(struct.pack('3i', 2, 11, 7) + b'passwd\\0')\n\
                  print(len(socket.recv_fds(s, 64, 2)[1]))";
    for (uid, count) in [("4242", "0\n"), ("4243", "1\n")] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", uid, "--clear-groups", "/usr/bin/python3", "-c", script]);
        let finished = run_to_end({
            command.arg(house.socket());
            command
        });
        assert_eq!(String::from_utf8_lossy(&finished.stdout), count, "{uid} {}", finished.stderr);
    }
}

#[test]
fn what_is_not_for_everybody_is_in_no_map() {
    let test = "what_is_not_for_everybody_is_in_no_map";
    let Some(house) = House::new(test, Place::Memory, PASSWD, GROUP) else { return };
    house.bench.dir.chmod("group", 0o640);
    let server = house.serve(&[]);
    for kind in [GETFDPW, GETFDGR] {
        let given = Given::ask(&house.socket(), kind).unwrap();
        assert!(!given.is_on(), "{kind}");
    }
    crate::support::wait_until("a message", || server.stderr().contains("not for everybody"));
    // By the socket as before.
    let reply = asked(server.socket(), &request(ask::GROUP, "staff"));
    assert_eq!(reply, crate::support::nscd::group("staff:x:4100:ada"));
    house.bench.dir.chmod("group", 0o644);
    let maps = house.maps();
    house.bench.dir.chmod("passwd", 0o600);
    crate::support::wait_until("off", || maps.iter().all(|given| !given.is_on()));
}
