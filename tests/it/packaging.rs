//! What `build/install` puts in place: pages and completions that know all of each applet's options, files
//! for supervisors, and nothing in the place of what somebody else has there.

use crate::support::{APPLETS, Finished, TempDir, have_program, nssbox, run_to_end, skip};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Installs the executable under test below a folder; None, said loudly, where python3 is too old.
#[track_caller]
fn install(test: &str, options: &[&str], root: &Path) -> Option<Finished> {
    let known = |program: &str| {
        Command::new(program)
            .args(["-c", "import tomllib"])
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !have_program("python3") || !known("python3") {
        skip(test, "no python3 from 3.11 on");
        return None;
    }
    let mut command = Command::new("sh");
    // Its own umask: what is made is to be read by everybody.
    command.args(["-c", "umask 077; exec \"$@\"", "sh", "python3"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("build/install"));
    command.arg("--executable").arg(nssbox()).args(options).arg(root).arg("/usr");
    Some(run_to_end(command))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap().is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

/// The options that a `--help` has in its first lines, and at the start of those that explain them.
fn explained(help: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut usage = true;
    for line in help.lines() {
        usage = usage && (line.starts_with("Usage: ") || line.starts_with("   or: "));
        let joints = |c: char| c.is_whitespace() || "[]|".contains(c);
        let words: Vec<&str> = match usage {
            true => line.split(joints).filter(|word| word.starts_with('-')).collect(),
            false => {
                // "-S, --ask SOCKET  where": up to the text.
                let head = line.trim_start().split("  ").next().unwrap_or_default();
                let options = head.split(", ").filter(|option| option.starts_with('-'));
                options.filter(|_| head.starts_with('-')).collect()
            }
        };
        for word in words {
            let end = |c: char| !(c.is_alphanumeric() || "-?".contains(c));
            let name = word.split(end).next().unwrap_or_default();
            if name.len() > 1 && name != "--" {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// Whether a text has an option as a word of its own.
fn names(text: &str, option: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '-';
    text.match_indices(option).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + option.len()..].chars().next().is_some_and(part)
    })
}

/// The page of a command, as it is read.
fn page(root: &Path, name: &str) -> String {
    let pages = files(&root.join("usr/share/man"));
    let of = |path: &&PathBuf| path.file_stem().is_some_and(|stem| stem == name);
    let path = pages.iter().find(of).unwrap_or_else(|| panic!("no page of {name}"));
    let text = fs::read_to_string(path).unwrap();
    let marks = ["\\fB", "\\fR", "\\fI", "\\&", "\\:"];
    marks.iter().fold(text, |text, mark| text.replace(mark, "")).replace("\\-", "-")
}

/// The part of a completion that is about a command.
fn part<'a>(completion: &'a str, name: &str) -> &'a str {
    let start = format!("\n    '{name}')\n");
    let rest = completion.split_once(&start).unwrap_or_else(|| panic!("nothing about {name}")).1;
    rest.split_once(" ;;\n").unwrap().0
}

#[test]
fn every_option_of_every_help_is_in_page_and_completions() {
    let test = "packaging::every_option_of_every_help_is_in_page_and_completions";
    let dir = TempDir::new();
    let Some(done) = install(test, &[], dir.path()) else { return };
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let bash = dir.join("usr/share/bash-completion/completions/nssbox");
    let zsh = dir.join("usr/share/zsh/site-functions/_nssbox");
    let (bash, zsh) = (fs::read_to_string(bash).unwrap(), fs::read_to_string(zsh).unwrap());
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in [&APPLETS[..], &[""]].concat() {
        let mut command = Command::new(nssbox());
        command.args((!name.is_empty()).then_some(name)).arg("--help");
        let help = String::from_utf8(run_to_end(command).stdout).unwrap();
        let called = if name.is_empty() { "nssbox" } else { name };
        let page = page(dir.path(), called);
        let in_bash = part(&bash, name);
        let in_bash: BTreeSet<&str> =
            in_bash.lines().next().unwrap().split([' ', '\'', '=']).skip(1).collect();
        let in_zsh: BTreeSet<&str> = part(&zsh, name)
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("'*"))
            .map(|spec| spec.split(['[', ':', '=', '\'']).next().unwrap())
            .collect();
        for option in explained(&help) {
            count += 1;
            if !names(&page, &option) {
                wrong.push(format!("{called} {option}: not in its page"));
            }
            if !in_bash.contains(option.as_str()) {
                wrong.push(format!("{called} {option}: not in bash's completion"));
            }
            if !in_zsh.contains(option.as_str()) {
                wrong.push(format!("{called} {option}: not in zsh's completion"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(count > 3 * APPLETS.len(), "{count} options alone");
}

#[test]
fn bash_completes_applets_databases_and_options() {
    let test = "packaging::bash_completes_applets_databases_and_options";
    let dir = TempDir::new();
    if !have_program("bash") {
        return skip(test, "no bash");
    }
    let Some(done) = install(test, &[], dir.path()) else { return };
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let complete = |words: &[&str]| {
        let mut command = Command::new("bash");
        let script = ". \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _nssbox; echo \"${COMPREPLY[*]}\"";
        command.args(["--norc", "-c", script]);
        command.arg(dir.join("usr/share/bash-completion/completions/nssbox")).args(words);
        let done = run_to_end(command);
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{words:?}");
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(complete(&["nssbox", "get"]), "getent");
    assert_eq!(complete(&["/usr/bin/nssbox", "getent", "pass"]), "passwd");
    assert_eq!(complete(&["nssbox", "getent", "-S", "/x", "init"]), "initgroups");
    assert_eq!(complete(&["nssbox", "getent", "passwd", "grou"]), "");
    // What is a file is left to bash.
    assert_eq!(complete(&["nssbox", "getent", "-S", ""]), "");
    assert_eq!(complete(&["nsssd-unix", "-d"]), "-d");
    assert_eq!(complete(&["nssbox", "--inst"]), "--install");
    assert_eq!(complete(&["nssbox", "nonsense", "--"]), "--list --install --help --version");
    for name in ["nsssd-unix", "ipcserver"] {
        let link = dir.join("usr/share/bash-completion/completions").join(name);
        assert_eq!(fs::read_link(link).unwrap(), Path::new("nssbox"));
    }
}

#[test]
fn it_is_for_everybody_to_read_and_to_start() {
    let test = "packaging::it_is_for_everybody_to_read_and_to_start";
    let dir = TempDir::new();
    let kinds = "--services=systemd,openrc,runit,s6,busybox,sysvinit";
    let Some(done) = install(test, &[kinds, "--links=all"], dir.path()) else { return };
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    for path in files(dir.path()) {
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        let program = text.starts_with(b"#!") || text.starts_with(b"\x7fELF");
        assert_eq!(mode, if program { 0o755 } else { 0o644 }, "{}", path.display());
        let folder = path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(folder & 0o755, 0o755, "{}", path.display());
    }
    for name in APPLETS {
        assert!(
            dir.join("usr/bin").join(name).is_file()
                && dir.join("usr/lib/nssbox/bin").join(name).is_file()
        );
    }
    for path in [
        "usr/lib/systemd/system/nsssd.socket",
        "usr/lib/systemd/system/nssbox-nscd.service",
        "etc/init.d/nsssd",
        "etc/init.d/nssbox-nscd",
        "etc/sv/nsssd/run",
        "usr/share/nssbox/s6/nssbox-nscd/notification-fd",
        "usr/share/nssbox/inittab.busybox",
    ] {
        assert!(dir.join(path).is_file(), "{path}");
    }
    // What a link in a page or a file leads to.
    let told = fs::read_to_string(dir.join("etc/init.d/nsssd")).unwrap();
    assert!(told.contains("/usr/share/doc/nssbox/doc/examples/README.md"), "{told}");
    assert!(dir.join("usr/share/doc/nssbox/doc/examples/README.md").is_file());
}

#[test]
fn what_others_have_there_stays_and_is_named() {
    let test = "packaging::what_others_have_there_stays_and_is_named";
    let dir = TempDir::new();
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("usr/bin/id", "coreutils'");
    symlink("busybox", dir.join("usr/bin/getent")).unwrap();
    write("etc/init.d/nsssd", "#!/bin/sh\n# changed\n");
    let options = ["--services=procd", "--links=all"];
    for _ in 0..2 {
        let Some(done) = install(test, &options, dir.path()) else { return };
        let left =
            |path: &str| format!("install: in the way, and left alone: {}/{path}\n", dir.as_str());
        let told = ["usr/bin/getent", "usr/bin/id", "etc/init.d/nsssd"].map(left).concat();
        assert_eq!((done.code, done.stderr), (Some(1), told));
    }
    assert_eq!(fs::read_to_string(dir.join("usr/bin/id")).unwrap(), "coreutils'");
    assert_eq!(fs::read_link(dir.join("usr/bin/getent")).unwrap(), Path::new("busybox"));
    assert_eq!(fs::read_to_string(dir.join("etc/init.d/nsssd")).unwrap(), "#!/bin/sh\n# changed\n");
    assert!(fs::read_to_string(dir.join("etc/init.d/nsssd.new")).unwrap().contains("procd_"));
    // The rest is there.
    assert!(dir.join("usr/bin/whoami").is_file() && dir.join("etc/init.d/nssbox-nscd").is_file());
}

#[test]
fn a_service_whose_applet_is_not_there_is_left_out() {
    let test = "packaging::a_service_whose_applet_is_not_there_is_left_out";
    let dir = TempDir::new();
    let options = ["--services=systemd,runit,s6", "--features=nscd,nsssd-unix,id"];
    let Some(done) = install(test, &options, dir.path()) else { return };
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let names = |path: &str| {
        let entries = fs::read_dir(dir.join(path)).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names("etc/sv"), ["nssbox-nscd"]);
    // With what belongs to it: a socket or a timer without its service would fail when it is used.
    assert_eq!(names("usr/lib/systemd/system"), ["nssbox-nscd.service"]);
    assert_eq!(names("usr/share/nssbox/s6"), ["nssbox-nscd"]);
    assert_eq!(names("usr/lib/nssbox/bin"), ["id", "nscd", "nsssd-unix"]);
}
