//! `nsscache index`.

use crate::support::{Finished, TempDir, is_root, nssbox, run_to_end, skip};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nsscache")
}

fn index(dir: &TempDir, words: &[&str]) -> Finished {
    let mut command = Command::new(nssbox());
    command.args(["nsscache", "index", "-d", dir.as_str()]).args(words);
    run_to_end(command)
}

fn names(dir: &TempDir) -> BTreeSet<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Indexes that are not those of nsscache, and why.
const OTHERWISE: [(&str, &str); 15] = [
    // More, 6.2: data that nssbox writes otherwise. A line that glibc refuses is in no index, lest
    // libnss-cache have its caller aborted.
    ("http/plain/expect/shadow.cache.ixname", "a negative number"),
    ("http/plain-three-maps/expect/shadow.cache.ixname", "a negative number"),
    ("ldap/rfc2307/expect/shadow.cache.ixname", "a negative number"),
    ("ldap/verify-repair/expect/shadow.cache.ixname", "a negative number"),
    ("ldap/active-directory/expect/shadow.cache.ixname", "a negative number"),
    ("ldap/opt-uidregex/expect/passwd.cache.ixname", "an empty name"),
    ("ldap/opt-uidregex/expect/passwd.cache.ixuid", "an empty name"),
    // Offsets and widths are counted in bytes.
    ("ldap/utf8/expect/group.cache.ixgid", "characters"),
    ("ldap/utf8/expect/group.cache.ixname", "characters"),
    ("ldap/utf8/expect/passwd.cache.ixname", "characters"),
    ("ldap/utf8/expect/passwd.cache.ixuid", "characters"),
    // A line break in a field made two lines of an entry.
    ("ldap/hazard-inject/expect/passwd.cache.ixuid", "an injected line"),
    ("ldap/hazard-newline-force/expect/passwd.cache.ixname", "an injected line"),
    ("ldap/hazard-newline-force/expect/passwd.cache.ixuid", "an injected line"),
    // Blanks in front of a name belong to it for nsscache and not for those who read the file.
    ("http/comments-and-blanks/expect/passwd.cache.ixname", "blanks in front"),
];

fn folders(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            folders(&path, found);
            found.push(path);
        }
    }
}

#[test]
fn indexes_are_those_of_nsscache_byte_for_byte() {
    let mut all = Vec::new();
    folders(&vectors(), &mut all);
    let (mut same, mut differ) = (0, BTreeSet::new());
    for folder in all {
        let files: Vec<PathBuf> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let is = |path: &&PathBuf, what: &str| path.to_str().unwrap().contains(what);
        let recorded: Vec<_> = files.iter().filter(|path| is(path, ".cache.ix")).collect();
        if recorded.is_empty() {
            continue;
        }
        let dir = TempDir::new();
        for path in files.iter().filter(|path| path.to_str().unwrap().ends_with(".cache")) {
            fs::copy(path, dir.join(path.file_name().unwrap())).unwrap();
        }
        let done = index(&dir, &[]);
        assert_eq!(done.code, Some(0), "{}: {}", folder.display(), done.stderr);
        for path in recorded {
            let ours = fs::read(dir.join(path.file_name().unwrap())).unwrap_or_default();
            if ours == fs::read(path).unwrap() {
                same += 1;
            } else {
                differ.insert(path.strip_prefix(vectors()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let stated: BTreeSet<String> = OTHERWISE.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(differ, stated);
    assert_eq!(same, 93 - stated.len());
}

#[test]
fn a_line_that_is_no_entry_is_named_and_left_out() {
    let dir = TempDir::new();
    dir.write("passwd.cache", "ada:x:1:1:::\nshort:x\n# comment\n\nbob:x:no:1:::\n+nis:x:1:1:::\nc:x\nada:x:2:1:::\nd:x:1:1:::");
    let done = index(&dir, &["-v"]);
    assert_eq!(done.code, Some(0));
    let path = dir.join("passwd.cache");
    let path = path.display();
    let want = [
        format!("nsscache: warning: {path} line 2: bad uid, skipped"),
        format!("nsscache: warning: {path} line 5: bad uid, skipped"),
        format!("nsscache: warning: {path} line 6: no name to be found by, skipped"),
        format!("nsscache: warning: {path}: 1 more such lines, skipped"),
        format!(
            "nsscache: warning: {path}: 1 lines have the name of an earlier one, the first ada; by index, the last line of it is found"
        ),
        format!(
            "nsscache: warning: {path}: 2 lines have the number of an earlier one, the first 1; by index, the last line of it is found"
        ),
    ];
    assert_eq!(done.stderr.lines().collect::<Vec<_>>(), want);
    assert_eq!(String::from_utf8_lossy(&done.stdout), format!("{path}: 3 entries, 4 bad lines\n"));
}

#[test]
fn maps_are_those_that_are_there_or_those_that_are_named() {
    let dir = TempDir::new();
    assert_eq!(index(&dir, &[]).code, Some(1), "nothing there");
    dir.write("group.cache", "g:*:1:a\n");
    dir.write("sshkey.cache", "a:key\n");
    dir.write("netgroup.cache", "all (a,,)\nbad\r\n");
    assert_eq!(index(&dir, &[]).code, Some(0));
    let made = names(&dir);
    for name in
        ["group.cache.ixname", "group.cache.ixgid", "group.cache.hashmember", "sshkey.cache.ixname"]
    {
        assert!(made.contains(name), "{name}: {made:?}");
    }
    assert!(!made.contains("sshkey.cache.hashname"));
    let done = index(&dir, &["netgroup"]);
    assert!(done.code == Some(0) && done.stderr.contains("line 2"), "{}", done.stderr);
    // One that fails is no reason not to do the others.
    fs::remove_file(dir.join("group.cache.ixname")).unwrap();
    let done = index(&dir, &["passwd", "group"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("passwd.cache: No such file"), "{}", done.stderr);
    assert!(names(&dir).contains("group.cache.ixname"));
    assert_eq!(index(&dir, &["nosuch"]).code, Some(2));
}

#[test]
fn indexes_belong_to_whom_the_data_belongs() {
    let dir = TempDir::new();
    dir.write("shadow.cache", "a:*:1::::::\n");
    dir.write("passwd.cache", "a:x:1:1:::\n");
    dir.chmod("shadow.cache", 0o640);
    if is_root() {
        std::os::unix::fs::chown(dir.join("shadow.cache"), Some(0), Some(42)).unwrap();
    }
    assert_eq!(index(&dir, &[]).code, Some(0));
    for (name, mode) in [
        ("shadow.cache.ixname", 0o640),
        ("shadow.cache.hashname", 0o640),
        ("passwd.cache.ixuid", 0o644),
    ] {
        let (index, data) =
            (fs::metadata(dir.join(name)).unwrap(), name.split(".cache").next().unwrap());
        let data = fs::metadata(dir.join(format!("{data}.cache"))).unwrap();
        assert_eq!(index.permissions().mode() & 0o777, mode, "{name}");
        assert_eq!((index.uid(), index.gid()), (data.uid(), data.gid()), "{name}");
        // Not later than it must be: what is written into the data later makes it old.
        assert_eq!(index.mtime(), data.mtime(), "{name}");
    }
}

#[test]
fn what_killed_runs_have_left_is_removed_and_what_others_hold_is_not() {
    let dir = TempDir::new();
    dir.write("passwd.cache", "a:x:1:1:::\n");
    dir.write(".nsscache-123", "left");
    let held = dir.write(".nsscache-456", "held");
    let file = fs::File::open(&held).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert_eq!(index(&dir, &[]).code, Some(0));
    let left: Vec<String> = names(&dir).into_iter().filter(|name| name.starts_with(".")).collect();
    assert_eq!(left, [".nsscache-456"]);
}

#[test]
fn what_has_no_end_is_no_map() {
    let dir = TempDir::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("passwd.cache"), 0o644.into()).unwrap();
    fs::create_dir(dir.join("group.cache")).unwrap();
    let done = index(&dir, &[]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.contains("Invalid argument") && done.stderr.contains("Is a directory"),
        "{}",
        done.stderr
    );
    assert_eq!(names(&dir).len(), 2);
}

/// A file with a line over the limit has no indexes, and says which line. It is answered from all the
/// same.
#[test]
fn a_line_of_100_mb_has_no_index_and_is_served() {
    let dir = TempDir::new();
    let mut text = b"a:x:1:1:::\nb:x:2:1:".to_vec();
    text.resize(100_000_000, b'g');
    text.extend_from_slice(b":/h:/s\nc:x:3:1:::\n");
    dir.write("passwd.cache", &text);
    let done = index(&dir, &[]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.contains("longer than 16 MiB") && done.stderr.contains("line 2"),
        "{}",
        done.stderr
    );
    assert_eq!(names(&dir).len(), 1);
    let mut command = Command::new(nssbox());
    command.args(["getent", "-s", &format!("cache -d {}", dir.as_str()), "passwd", "c", "1"]);
    let done = run_to_end(command);
    assert_eq!(String::from_utf8_lossy(&done.stdout), "c:x:3:1:::\na:x:1:1:::\n");
}

/// A full disk: the old indexes stay, or there are none; nothing else is left.
#[test]
fn a_full_disk_leaves_what_was_there() {
    let test = "a_full_disk_leaves_what_was_there";
    if !is_root() || !crate::support::have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    let dir = TempDir::new();
    let lines: String = (0..3000).map(|n| format!("user{n}:x:{n}:1:::\n")).collect();
    dir.write("lines", lines);
    let script = "set -e
        mount -t tmpfs -o size=${ROOM}k none /mnt
        cp \"$DIR/lines\" /mnt/passwd.cache
        printf 'old' >/mnt/passwd.cache.ixname
        set +e
        \"$BOX\" nsscache index -d /mnt; echo $?
        ls -A /mnt
        cat /mnt/passwd.cache.ixname | head -c 3";
    let run = |room: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", script]);
        command.env("ROOM", room).env("DIR", dir.path()).env("BOX", nssbox());
        run_to_end(command)
    };
    for room in ["72", "96", "128", "160"] {
        let done = run(room);
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(text, "1\npasswd.cache\npasswd.cache.ixname\nold", "{room}: {}", done.stderr);
        assert!(done.stderr.contains("No space left on device"), "{}", done.stderr);
    }
    let done = run("1024");
    assert!(done.stdout.starts_with(b"0\n"), "{}", done.stderr);
}
