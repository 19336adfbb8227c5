//! `nssbox --install [-s] DIR`: the links that the applets are called by.
#![cfg(all(
    feature = "getent",
    feature = "ipcserver",
    feature = "nsssd-switch",
    feature = "nsssd-unix"
))]

use crate::support::{self, APPLETS, Finished, TempDir, is_root, nssbox, run_to_end, skip};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program by a name, without environment.
fn command(program: &Path, arg0: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg0(arg0).args(args).env_clear();
    command
}

/// It was done, and printed this.
#[track_caller]
fn printed(finished: Finished) -> String {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    String::from_utf8(finished.stdout).expect("text")
}

/// A system call failed; the message begins so.
#[track_caller]
fn assert_fails(finished: &Finished, begins: &str) {
    assert_eq!((finished.code, finished.stdout.as_slice()), (Some(111), &b""[..]));
    assert!(finished.stderr.starts_with(begins), "{:?} is not {begins:?}", finished.stderr);
}

/// A directory with the executable in it, as `nssbox`, for hard links must not leave its file
/// system.
fn house() -> (TempDir, PathBuf) {
    let dir = TempDir::new();
    let own = dir.join("nssbox");
    if fs::hard_link(nssbox(), &own).is_err() {
        fs::copy(nssbox(), &own).expect("a copy of the executable");
        // A program that another thread starts may have the copy open for writing until its exec.
        support::wait_until("the copy can be run", || {
            Command::new(&own).arg("--version").stdout(Stdio::null()).status().is_ok()
        });
    }
    (dir, own)
}

#[track_caller]
fn install(own: &Path, args: &[&str]) -> Finished {
    run_to_end(command(own, "nssbox", &[&["--install"][..], args].concat()))
}

/// The names in a directory, sorted.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("plain names"))
        .collect();
    names.sort();
    names
}

fn id(path: &Path) -> (u64, u64) {
    let file = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (file.dev(), file.ino())
}

#[track_caller]
fn assert_hard_links(dir: &Path, own: &Path) {
    assert_eq!(names_in(dir), APPLETS);
    for name in APPLETS {
        assert_eq!(id(&dir.join(name)), id(own), "{name}");
    }
}

#[track_caller]
fn assert_symbolic_links(dir: &Path, own: &Path) {
    assert_eq!(names_in(dir), APPLETS);
    let own = fs::canonicalize(own).expect("the executable");
    for name in APPLETS {
        assert_eq!(fs::read_link(dir.join(name)).expect("a link"), own, "{name}");
    }
}

#[test]
fn install_makes_links_that_work_and_may_be_repeated() {
    let (dir, own) = house();
    let bin = dir.subdirectory("bin");
    let place = bin.to_str().expect("plain names");
    // Each kind afresh, over itself, and over the other.
    for options in [&[][..], &[], &["-s"], &["-s"], &[]] {
        assert_eq!(printed(install(&own, &[options, &[place]].concat())), "");
        match options.is_empty() {
            true => assert_hard_links(&bin, &own),
            false => assert_symbolic_links(&bin, &own),
        }
        for name in APPLETS {
            let link = bin.join(name);
            let help = run_to_end(command(&link, link.to_str().unwrap(), &["--help"]));
            assert!(printed(help).starts_with(&format!("Usage: {name} ")), "{name}");
        }
    }
    let fresh = dir.subdirectory("fresh");
    assert_eq!(printed(install(&own, &["-s", fresh.to_str().unwrap()])), "");
    assert_symbolic_links(&fresh, &own);
}

#[test]
fn install_follows_a_link_to_itself_and_takes_a_relative_directory() {
    let (dir, own) = house();
    let bin = dir.subdirectory("bin");
    let other = dir.join("other");
    symlink(&own, &other).expect("a link");
    let mut command = command(&other, "nssbox", &["--install", "bin"]);
    command.current_dir(dir.path());
    assert_eq!(printed(run_to_end(command)), "");
    assert_hard_links(&bin, &own);
}

#[test]
fn install_leaves_what_is_not_ours_alone_and_names_it() {
    let (dir, own) = house();
    for options in [&[][..], &["-s"]] {
        let bin = dir.subdirectory(&format!("bin{}", options.len()));
        let place = bin.to_str().expect("plain names");
        let foreign = bin.join("nsssd-switch");
        fs::write(&foreign, "somebody's").expect("a file");
        fs::set_permissions(&foreign, fs::Permissions::from_mode(0o600)).expect("its mode");
        let before = id(&foreign);
        // All that is in its way is told at once; a link to others is theirs, too.
        let (other, nowhere) = (bin.join("getent"), bin.join("whoami"));
        symlink("/bin/true", &other).expect("a link");
        symlink("nowhere", &nowhere).expect("a link");
        let told = |files: &[&PathBuf]| -> String {
            let line = |file: &&PathBuf| {
                let what = "unable to replace what is no link of ours:";
                format!("nssbox: fatal: {what} {}\n", file.display())
            };
            files.iter().map(line).collect()
        };
        let want = told(&[&other, &foreign, &nowhere]);
        for _ in 0..2 {
            let finished = install(&own, &[options, &[place]].concat());
            assert_eq!(finished.stderr, want);
            assert_eq!((finished.code, finished.stdout.as_slice()), (Some(1), &b""[..]));
            assert_eq!(id(&foreign), before);
            assert_eq!(fs::read(&foreign).expect("its content"), b"somebody's");
            assert_eq!(fs::read_link(&other).expect("a link"), Path::new("/bin/true"));
            assert_eq!(fs::read_link(&nowhere).expect("a link"), Path::new("nowhere"));
            // The others are made.
            assert_eq!(names_in(&bin), APPLETS);
        }
        fs::remove_file(&other).expect("remove the link");
        fs::remove_file(&nowhere).expect("remove the link");
        let want = told(&[&foreign]);
        // A directory likewise.
        fs::remove_file(&foreign).expect("remove the file");
        fs::create_dir(&foreign).expect("a directory");
        let finished = install(&own, &[options, &[place]].concat());
        assert_eq!(finished.stderr, want);
        assert!(foreign.is_dir());
        fs::remove_dir(&foreign).expect("remove the directory");
        // With that out of the way, it is done.
        assert_eq!(printed(install(&own, &[options, &[place]].concat())), "");
        assert_eq!(names_in(&bin), APPLETS);
    }
}

#[test]
fn install_replaces_links_to_itself_and_what_a_killed_run_left() {
    let (dir, own) = house();
    let bin = dir.subdirectory("bin");
    symlink(&own, dir.join("through")).expect("a link");
    symlink(dir.join("through"), bin.join("getent")).expect("a link");
    fs::write(bin.join(".ipcserver.new"), "").expect("a file");
    assert_eq!(printed(install(&own, &[bin.to_str().unwrap()])), "");
    assert_hard_links(&bin, &own);
}

#[test]
fn install_needs_a_directory_that_it_can_write_to() {
    let (dir, own) = house();
    let missing = dir.join("missing");
    let file = dir.write("file", "");
    for (place, cause) in [(&missing, "No such file or directory"), (&file, "Not a directory")] {
        for options in [&[][..], &["-s"]] {
            let finished = install(&own, &[options, &[place.to_str().unwrap()]].concat());
            assert_fails(&finished, "nssbox: fatal: unable to ");
            assert!(finished.stderr.contains(place.to_str().unwrap()), "{}", finished.stderr);
            assert!(finished.stderr.ends_with(&format!(": {cause}\n")), "{}", finished.stderr);
        }
    }
    let closed = dir.subdirectory("closed");
    dir.chmod("closed", 0o555);
    let place = closed.to_str().expect("plain names");
    let mut installing = command(&own, "nssbox", &["--install", "-s", place]);
    if is_root() {
        // Root may write anywhere: somebody else tries.
        installing.uid(65_534).gid(65_534);
    }
    let finished = run_to_end(installing);
    dir.chmod("closed", 0o755);
    assert_fails(&finished, "nssbox: fatal: unable to make link ");
    assert!(finished.stderr.ends_with(": Permission denied\n"), "{}", finished.stderr);
    assert_eq!(names_in(&closed), [""; 0]);
}

#[test]
fn hard_links_to_another_file_system_are_refused_by_name() {
    let test = "hard_links_to_another_file_system_are_refused_by_name";
    let (_dir, own) = house();
    let shm = Path::new("/dev/shm").join(format!("nssbox-test.{}", std::process::id()));
    if fs::create_dir(&shm).is_err() || id(&shm).0 == id(&own).0 {
        let _ = fs::remove_dir(&shm);
        return skip(test, "no second file system at hand");
    }
    let place = shm.to_str().expect("plain names");
    let hard = install(&own, &[place]);
    let names = names_in(&shm);
    let symbolic = install(&own, &["-s", place]);
    let made = names_in(&shm);
    fs::remove_dir_all(&shm).expect("remove the directory");
    let first = APPLETS[0];
    assert_fails(&hard, &format!("nssbox: fatal: unable to make link {place}/{first}: "));
    assert_eq!(names, [""; 0]);
    assert_eq!(printed(symbolic), "");
    assert_eq!(made, APPLETS);
}

#[test]
fn install_takes_one_directory_and_one_option() {
    let (dir, own) = house();
    let bin = dir.subdirectory("bin");
    let place = bin.to_str().expect("plain names");
    for args in [
        &[][..],
        &["-s"],
        &["-x", place],
        &["-s", "-s", place],
        &[place, "-s"],
        &[place, place],
        &["-s", place, place],
        &["--help"],
    ] {
        let finished = install(&own, args);
        let want = "nssbox: fatal: usage: nssbox --install [-s] DIR\n";
        assert_eq!(finished.stderr, want, "{args:?}");
        assert_eq!((finished.code, finished.stdout.as_slice()), (Some(100), &b""[..]));
    }
    assert_eq!(names_in(&bin), [""; 0]);
}

#[test]
fn the_directory_that_is_missing_is_made_as_the_error_says() {
    let dir = TempDir::new();
    let missing = dir.join("a/b");
    let told = install(nssbox(), &["-s", missing.to_str().unwrap()]).stderr;
    let hint = format!("(first run mkdir -p {}): No such file or directory\n", missing.display());
    assert!(told.ends_with(&hint), "{told}");
}
