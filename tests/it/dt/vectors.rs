//! tests/vectors/dt: command lines with a fake ssh, run by the runner that lies beside them.

use crate::support::{TempDir, have_program, is_root, link_farm, run_to_end, skip};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files: the name of the test, and how many cases there are.
macro_rules! files {
    ($($name:ident: $file:literal, $cases:literal;)*) => {
        const FILES: &[(&str, usize)] = &[$(($file, $cases)),*];
        $(
            #[test]
            fn $name() {
                run(concat!("dt::vectors::", stringify!($name)), $file, $cases);
            }
        )*
    };
}

files! {
    add: "add", 7;
    colour: "colour", 5;
    fail: "fail", 23;
    filter: "filter", 58;
    interrupt: "interrupt", 2;
    local: "local", 11;
    option: "option", 32;
    output: "output", 41;
    pattern: "pattern", 117;
    ping: "ping", 5;
    rscp: "rscp", 5;
    scp: "scp", 9;
    script: "script", 12;
    ssh_copy_id: "ssh-copy-id", 5;
    ssh: "ssh", 30;
    sudo: "sudo", 4;
    tag: "tag", 15;
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/dt")
}

#[track_caller]
fn run(test: &str, file: &str, cases: usize) {
    if !have_program("python3") || (file == "sudo" && !is_root()) {
        return skip(test, "needs python3, and for sudo.json root");
    }
    let dir = TempDir::new();
    link_farm(dir.path());
    let mut command = Command::new("python3");
    command.arg("-B").arg(folder().join("run.py")).arg(dir.path());
    command.arg(folder().join(file).with_extension("json"));
    // Without a terminal, and none of ours.
    for name in ["DTOOLS_DB", "DTOOLS_USER", "DTOOLS_SSH", "SSHOPTS", "NO_COLOR"] {
        command.env_remove(name);
    }
    let run = run_to_end(command);
    let told = String::from_utf8_lossy(&run.stdout).into_owned() + &run.stderr;
    let wanted = format!("{cases} passed, 0 failed\n");
    assert!(run.code == Some(0) && told.ends_with(&wanted), "{told}");
}

#[test]
fn no_file_is_forgotten_and_all_cases_are_there() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    let names = names.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    let names: BTreeSet<String> =
        names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
    assert_eq!(FILES.iter().map(|(_, cases)| cases).sum::<usize>(), 381);
}
