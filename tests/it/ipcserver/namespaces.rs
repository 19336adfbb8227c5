//! A client in another pid namespace: in a sibling container, or on the host of the server's. The
//! kernel tells the server its uid and gid, and 0 for its pid.

use crate::support::ipcserver::house::{ask_one, ask_secret, furnish, one, secret, unix};
use crate::support::ipcserver::{Bench, NOBODY, OURS, connect_as, read_to_end};
use crate::support::nscd::{self, ask, asked, request, user};
use crate::support::{Server, have_program, is_root, run_to_end, skip};
use std::path::Path;
use std::process::Command;

/// The command in a pid namespace of its own; `None`, and said, where there can be none.
fn apart(test: &str, command: &Command) -> Option<Command> {
    let unshare = |words: &[&std::ffi::OsStr]| {
        let mut apart = Command::new("unshare");
        apart.args(["-p", "-f", "--kill-child"]).args(words);
        apart
    };
    let usable = is_root()
        && have_program("unshare")
        && run_to_end(unshare(&["true".as_ref()])).code == Some(0);
    if !usable {
        skip(test, "needs root and a pid namespace");
        return None;
    }
    let mut apart = unshare(&[command.get_program()]);
    apart.args(command.get_args());
    for (name, value) in command.get_envs() {
        apart.env(name, value.unwrap_or_default());
    }
    Some(apart)
}

fn serving(test: &str, options: &[&str], program: &[&str], run: impl Fn(&Server)) {
    let bench = Bench::new(OURS);
    furnish(&bench);
    let Some(mut command) = apart(test, &bench.command()) else { return };
    let socket = bench.dir.join("s");
    let own = unix(&bench);
    let program = if program.is_empty() { &own } else { program };
    command.arg("-1").args(options).arg(&socket).args(program);
    run(&Server::start_command(command, &socket));
}

#[test]
fn a_client_in_another_pid_namespace_is_served_by_its_own_rights() {
    let test = "a_client_in_another_pid_namespace_is_served_by_its_own_rights";
    serving(test, &[], &[], |server| {
        server.connect().expect(&ask_one(), &one());
        server.connect().expect(&ask_secret(), &secret());
        let nobody = connect_as(server, NOBODY, NOBODY);
        nobody.expect(&ask_one(), &one());
        nobody.expect(&ask_secret(), &[13]);
    });
}

#[test]
fn a_program_is_started_for_a_client_in_another_pid_namespace() {
    let test = "a_program_is_started_for_a_client_in_another_pid_namespace";
    let program = ["sh", "-c", "echo $IPCREMOTEEUID:$IPCREMOTEEGID"];
    serving(test, &[], &program, |server| {
        assert_eq!(read_to_end(&server.connect()), "0:0\n");
        assert_eq!(read_to_end(&connect_as(server, NOBODY, 4242)), "65534:4242\n");
    });
}

#[test]
fn nscd_answers_a_client_in_another_pid_namespace() {
    let test = "nscd_answers_a_client_in_another_pid_namespace";
    let line = "ada:*:1001:1001:Ada:/home/ada:/bin/sh";
    let bench = nscd::Bench::new(&format!("{line}\n"), "");
    let command = bench.scripted(&[], &[(3, &bench.unix())]);
    let Some(command) = apart(test, &command) else { return };
    let socket = bench.socket();
    let server = Server::start_command(command, Path::new(&socket));
    assert_eq!(asked(server.socket(), &request(ask::USER, "ada")), user(line));
}
