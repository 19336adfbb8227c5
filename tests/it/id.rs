//! `id`, `groups` and `whoami`: against those of coreutils, over the same files, and with
//! sources that only ours can ask.

use crate::support::{
    Finished, Server, TempDir, have_program, is_root, nssbox, run_to_end, skip, tool,
};
use std::path::PathBuf;
use std::process::Command;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nada:x:1001:1001:Ada:/:/bin/sh\n\
                      eve:x:1002:77:no group of her own:/:/bin/sh\n4001:x:4002:1001:::\n\
                      0day:x:2003:2003::/:/bin/sh\nbig:x:3000000000:3000000000:::\n\
                      most:x:4294967294:4294967294:::\nmany:x:2004:2004:::\n\
                      none:x:4294967295:4294967295:::\n";
const GROUP: &str = "root:x:0:\nstaff:x:1001:ada,eve\nwheel:x:10:ada\nvideo:x:44:eve,ada\n";

struct Files {
    dir: TempDir,
    bin: PathBuf,
}

fn files() -> Files {
    let dir = TempDir::new();
    let bin = dir.bin();
    dir.write("passwd", PASSWD);
    dir.write("group", GROUP);
    Files { dir, bin }
}

impl Files {
    /// One of the applets, asked about these files only.
    fn run(&self, applet: &str, args: &[&str]) -> Finished {
        let mut command = tool(&self.bin, applet);
        command.args(["-s", &format!("unix -d {}", self.dir.as_str())]).args(args);
        run_to_end(command)
    }

    #[track_caller]
    fn prints(&self, applet: &str, args: &[&str], code: i32, text: &str) -> String {
        let finished = self.run(applet, args);
        let got = String::from_utf8(finished.stdout).unwrap();
        assert_eq!((finished.code, got.as_str()), (Some(code), text), "{applet} {args:?}");
        finished.stderr
    }
}

#[test]
fn a_user_is_printed_with_his_groups() {
    let f = files();
    let all = "uid=1001(ada) gid=1001(staff) groups=1001(staff),10(wheel),44(video)\n";
    assert_eq!(f.prints("id", &["ada"], 0, all), "");
    f.prints("id", &["1001"], 0, all);
    f.prints("id", &["+1001"], 0, all);
    f.prints("id", &["eve"], 0, "uid=1002(eve) gid=77 groups=77,1001(staff),44(video)\n");
    f.prints("id", &["-u", "ada", "eve"], 0, "1001\n1002\n");
    f.prints("id", &["-gn", "ada"], 0, "staff\n");
    f.prints("id", &["-G", "ada"], 0, "1001 10 44\n");
    f.prints("id", &["--groups", "--name", "ada"], 0, "staff wheel video\n");
    f.prints("id", &["-Gz", "ada", "eve"], 0, "1001\x0010\x0044\0\x0077\x001001\x0044\0\0");
    f.prints("groups", &["ada", "root"], 0, "ada : staff wheel video\nroot : root\n");
    // A name of digits goes before a number.
    f.prints("id", &["-u", "4001"], 0, "4002\n");
}

#[test]
fn what_has_no_name_is_told_and_counts_as_a_failure() {
    let f = files();
    let told = f.prints("id", &["-Gn", "eve"], 1, "77 staff video\n");
    assert_eq!(told, "id: warning: cannot find name for group ID 77\n");
    let told = f.prints("id", &["-u", "nobody", "ada"], 1, "1001\n");
    assert_eq!(told, "id: warning: no such user: nobody\n");
    let told = f.prints("groups", &["+77"], 1, "");
    assert_eq!(told, "groups: warning: no such user: +77\n");
}

#[test]
fn options_that_make_no_sense_together_are_refused() {
    let f = files();
    for args in [&["-ug"][..], &["-n"], &["-r", "ada"], &["-z"], &["-Z"], &["-x"], &["--what"]] {
        let finished = f.run("id", args);
        assert_eq!((finished.code, finished.stdout.len()), (Some(1), 0), "{args:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
    assert_eq!(f.run("whoami", &["ada"]).code, Some(1));
}

#[test]
fn an_nsss_server_is_asked() {
    let f = files();
    let unix = ["nsssd-unix", "-d", f.dir.as_str()];
    let server = Server::start(&f.bin, f.dir.path(), &[], &unix);
    let mut command = tool(&f.bin, "id");
    command.arg("-S").arg(server.socket()).args(["-Gn", "ada"]);
    assert_eq!(run_to_end(command).stdout, b"staff wheel video\n");
    let mut command = tool(&f.bin, "id");
    command.args(["-S", "/nonexistent/s", "ada"]);
    let finished = run_to_end(command);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("/nonexistent/s"), "{}", finished.stderr);
}

/// As for the C library: one who wants an image with a passwd file alone has no groups.
#[test]
fn a_missing_group_file_is_an_empty_one() {
    let f = files();
    std::fs::remove_file(f.dir.join("group")).unwrap();
    assert_eq!(f.prints("id", &["ada"], 0, "uid=1001(ada) gid=1001 groups=1001\n"), "");
    assert_eq!(f.prints("id", &["-G", "ada"], 0, "1001\n"), "");
    assert_eq!(f.prints("id", &["4294967295"], 1, ""), "id: warning: no such user: 4294967295\n");
}

#[test]
fn coreutils_print_the_same() {
    let test = "coreutils_print_the_same";
    if !is_root() || !have_program("unshare") || !have_program("setpriv") {
        return skip(test, "needs root, unshare and setpriv");
    }
    let mut version = Command::new("id");
    version.arg("--version");
    if !String::from_utf8_lossy(&run_to_end(version).stdout).contains("coreutils") {
        return skip(test, "no id of coreutils");
    }
    let f = files();
    f.dir.write("nsswitch.conf", "passwd: files\ngroup: files\n");
    let many: String = (5001..5400).map(|n| format!("g{n}:x:{n}:many\n")).collect();
    f.dir.write("group", format!("{GROUP}{many}"));
    let calls = [
        "id",
        "id -a",
        "id -u",
        "id -un",
        "id -g",
        "id -gn",
        "id -G",
        "id -Gn",
        "id -ru",
        "id -rgn",
        "id -Gz",
        "id -uz",
        "id ada",
        "id eve",
        "id root ada",
        "id -u eve ada",
        "id -Gnz ada root",
        "id 1001",
        "id 4001",
        "id +1001",
        "id -un +4002",
        "id nobody",
        "id -Gn eve",
        "id -n",
        "id -ug",
        "groups",
        "groups ada eve",
        "groups nobody root",
        "whoami",
        "whoami x",
        "id -Gr",
        "id -rg",
        "id eve -u",
        "id big",
        "id most",
        "id 3000000000",
        "id 4294967294",
        "id 4294967295",
        "id +4294967295",
        "id 4294967296",
        "id 18446744073709551615",
        "id -u 0x3e9",
        "id 0day",
        "id -u 00001001",
        "id +4001",
        "id +0",
        "id -un +ada",
        "id ''",
        "id +",
        "id -G many",
        "groups many",
    ];
    let as_whom = [
        "",
        "setpriv --reuid 1001 --regid 1001 --groups 10,44",
        "setpriv --reuid 1002 --regid 77 --clear-groups",
        "setpriv --ruid 1001 --rgid 1001 --egid 10 --groups 44,1001",
        "setpriv --reuid 5555 --regid 5555 --clear-groups",
        "setpriv --reuid 1001 --egid 10 --clear-groups",
        "setpriv --rgid 1001 --egid 44 --groups 10,1001",
        "setpriv --ruid 1001 --euid 1002 --regid 1337 --clear-groups",
        "setpriv --regid 1234 --groups 77,88",
        "setpriv --regid 3000000000 --reuid 4294967294 --clear-groups",
    ];
    let copy = f.dir.join("nssbox");
    // No server of this machine.
    let mut start =
        String::from("mount --make-rprivate / && mount -t tmpfs none /run || exit 120\n");
    for name in ["passwd", "group", "nsswitch.conf"] {
        start += &format!("mount --bind '{0}/{name}' /etc/{name} || exit 120\n", f.dir.as_str());
    }
    std::fs::copy(nssbox(), &copy).unwrap();
    // A program has a deadline, and these are many.
    for whom in as_whom {
        let mut script = start.clone();
        for whose in ["", &format!("'{}' ", copy.display())] {
            for call in calls {
                script +=
                    &format!("echo '# {whom} {call}'; {whom} {whose}{call} 2>/dev/null; echo $?\n");
            }
            script += "echo '====='\n";
        }
        let mut command = Command::new("unshare");
        command.args(["-m", "sh"]).arg(f.dir.write("script", script)).env("LC_ALL", "C");
        let finished = run_to_end(command);
        if finished.code == Some(120) {
            return skip(test, &format!("no private mounts: {}", finished.stderr));
        }
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        let (theirs, ours) = text.split_once("=====\n").expect("two parts");
        assert_eq!(ours.trim_end_matches("=====\n"), theirs);
    }
}
