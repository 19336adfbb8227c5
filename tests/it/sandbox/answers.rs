//! A build with the feature `sandbox`: servers answer as before, and can open nothing but what they
//! answer from. `cargo test --features sandbox` runs all other tests so, too.
#![cfg(all(feature = "sandbox", feature = "ipcserver", feature = "nscd", feature = "nsssd-nslcd"))]

use crate::support::ipcserver::house::{ask_one, furnish, one};
use crate::support::ipcserver::{self, OURS};
use crate::support::landlock::no_landlock;
use crate::support::nscd::{self, ask, asked, request, user};
use crate::support::nslcd::{self, FakeNslcd};
use crate::support::stage;
use crate::support::{self, by_name, op, passwd_reply};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const LINE: &str = "one:*:1001:1002:One:/home/one:/bin/sh";

/// The status of what may not be opened.
const EACCES: u8 = 13;

/// Makes `file` a link to a file of the same content elsewhere.
#[track_caller]
fn lead_away(file: &Path, elsewhere: &Path) {
    let target = elsewhere.join("target");
    fs::copy(file, &target).unwrap();
    let link = file.with_extension("new");
    symlink(&target, &link).unwrap();
    fs::rename(&link, file).unwrap();
}

#[test]
fn a_server_answers_from_replaced_files_and_from_no_other() {
    if no_landlock("a_server_answers_from_replaced_files_and_from_no_other") {
        return;
    }
    let elsewhere = support::TempDir::new();
    for options in [&[][..], &["--spawn"]] {
        let bench = ipcserver::Bench::new(OURS);
        furnish(&bench);
        let server = bench.start(options, &ipcserver::house::switch(&bench));
        let client = server.connect();
        client.expect(&ask_one(), &one());
        bench.dir.replace("passwd", format!("{LINE}\n").replace(":*:", ":x:"));
        client.expect(&ask_one(), &one());
        lead_away(&bench.dir.join("passwd"), elsewhere.path());
        client.expect(&ask_one(), &[EACCES]);
        client.expect(&[op::PWD_GET], &[EACCES]);
        drop((client, server));
        // A new process follows it: the sandbox has the place where it leads.
        let server = bench.start(options, &ipcserver::house::switch(&bench));
        server.connect().expect(&ask_one(), &one());
    }
}

#[test]
fn nscd_and_its_askers_answer_from_replaced_files_and_from_no_other() {
    if no_landlock("nscd_and_its_askers_answer_from_replaced_files_and_from_no_other") {
        return;
    }
    let elsewhere = support::TempDir::new();
    let no_nslcd = support::TempDir::new();
    let socket = no_nslcd.join("nslcd");
    let _nslcd = FakeNslcd::saying(&socket, nslcd::reply(nslcd::action::USER, &[]));
    let far = ["nsssd-nslcd", socket.to_str().unwrap()];
    for has_askers in [false, true] {
        let bench = nscd::Bench::new(&format!("{LINE}\n"), "");
        let unix = bench.unix();
        let sources: &[(u8, &[&str])] =
            if has_askers { &[(0, &far), (0, &unix)] } else { &[(0, &unix)] };
        let server = bench.start(&["-t", "2000"], sources);
        let ask = || asked(server.socket(), &request(ask::USER, "one"));
        assert_eq!(ask(), user(LINE));
        bench.dir.replace("passwd", format!("{LINE}\n"));
        assert_eq!(ask(), user(LINE));
        lead_away(&bench.dir.join("passwd"), elsewhere.path());
        assert_eq!(ask(), b"", "with askers: {has_askers}");
    }
}

#[test]
fn a_switch_ends_a_program_that_has_failed_from_inside_its_sandbox() {
    let stage = stage::Stage::with(format!("{LINE}\n"), "");
    let dir = stage.dir.as_str().to_owned();
    let own: &[&str] = &["nsssd-unix", "-d", &dir];
    let hangs: &[&str] = &["sh", "-c", "exec cat >/dev/null"];
    let daemon = stage.switch(&["-t", "200"], &[(0, hangs), (0, own)]);
    let reply = passwd_reply(["one", "*"], 1001, 1002, ["One", "/home/one", "/bin/sh"]);
    daemon.expect(&by_name(op::PWD_GETBYNAME, "one"), &reply);
}
