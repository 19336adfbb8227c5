//! `-M`: what asks systemd-userdbd alone.

use super::bench::{Bench, ask, call, error, message, replies};
use crate::support::{Connection, Server, run_to_end};
use serde_json::{Value, json};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

const MULTIPLEXER: &str = "io.systemd.Multiplexer";

fn bench() -> Bench {
    Bench::new("ada:x:72001:72001:Ada:/home/ada:/bin/sh\n", "staff:x:72001:ada\n", "")
}

fn socket(bench: &Bench) -> PathBuf {
    bench.dir.join(MULTIPLEXER)
}

/// Beside the machine's own files, without which it would hide them.
fn serve(bench: &Bench) -> Server {
    let mut script = vec!["3", "nsssd-unix", ""];
    let unix = bench.unix();
    script.extend(unix);
    bench.serve_script(&["-M"], &script)
}

/// All replies to a call with this name of a service.
fn ask_as(socket: &Path, service: &str, method: &str, mut keys: Value, more: bool) -> Vec<Value> {
    keys["service"] = service.into();
    let method = format!("io.systemd.UserDatabase.{method}");
    let client = Connection::connect(socket);
    client.send(&message(&json!({"method": method, "parameters": keys, "more": more})));
    replies(&client).expect("a reply")
}

#[test]
fn it_answers_by_its_own_name_what_the_service_does() {
    let bench = bench();
    let server = serve(&bench);
    for key in [json!({"userName": "ada"}), json!({"uid": 72001})] {
        let all = ask_as(&socket(&bench), MULTIPLEXER, "GetUserRecord", key.clone(), false);
        assert_eq!(all[0]["parameters"]["record"]["userName"], "ada");
        assert_eq!(all, ask(&server.connect(), "GetUserRecord", key, false));
    }
    let bad = error("BadService");
    let by_other =
        ask_as(&socket(&bench), super::bench::SERVICE, "GetUserRecord", json!({"uid": 1}), false);
    assert_eq!(by_other[..], std::slice::from_ref(&bad)[..]);
    let other = ask_as(&bench.socket(), MULTIPLEXER, "GetUserRecord", json!({"uid": 1}), false);
    assert_eq!(other, [bad]);
}

/// Who asks there asks nobody else: so they are told there, and only there.
#[test]
fn the_machines_own_users_are_told_there_too() {
    let bench = bench();
    let server = serve(&bench);
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let mut own = passwd.lines().map(|line| line.split(':').next().unwrap());
    let own = own.rfind(|name| !["root", "nobody"].contains(name)).expect("a user");
    let key = json!({"userName": own});
    let told = ask_as(&socket(&bench), MULTIPLEXER, "GetUserRecord", key.clone(), false);
    assert_eq!(told[0]["parameters"]["record"]["userName"], own);
    let hidden = ask(&server.connect(), "GetUserRecord", key, false);
    assert_eq!(hidden, [error("NoRecordFound")]);
    let names = |all: &[Value]| -> Vec<String> {
        let name =
            |reply: &Value| reply["parameters"]["record"]["userName"].as_str().map(str::to_owned);
        all.iter().map(|reply| name(reply).unwrap()).collect()
    };
    let all = names(&ask_as(&socket(&bench), MULTIPLEXER, "GetUserRecord", json!({}), true));
    assert!(all.iter().any(|name| name == own) && all.last().is_some_and(|last| last == "ada"));
    assert_eq!(names(&ask(&server.connect(), "GetUserRecord", json!({}), true)), ["ada"]);
    let root =
        ask_as(&socket(&bench), MULTIPLEXER, "GetUserRecord", json!({"userName": "root"}), false);
    assert_eq!(root, [error("NoRecordFound")]);
}

#[test]
fn it_is_refused_while_another_server_is_there() {
    let bench = bench();
    let _userdbd = UnixListener::bind(socket(&bench)).unwrap();
    let unix = bench.unix();
    let script = [&["3", "nsssd-unix", ""][..], &unix].concat();
    let done = run_to_end(bench.command(&["-M"], &script));
    assert_eq!(done.code, Some(111), "{}", done.stderr);
    assert!(done.stderr.contains("a server is listening at"), "{}", done.stderr);
    assert!(!bench.socket().exists());
}

#[test]
fn without_the_own_files_it_is_refused() {
    let bench = bench();
    let done = run_to_end(bench.command(&["-M"], &bench.unix()));
    assert_eq!(done.code, Some(100), "{}", done.stderr);
    assert!(done.stderr.contains("-M needs the local files"), "{}", done.stderr);
}

/// No service of ours goes by a name of systemd's otherwise.
#[test]
fn names_of_systemds_own_are_refused() {
    let bench = bench();
    let done =
        run_to_end(bench.command(&["-S", "/run/systemd/userdb/io.systemd.Home"], &bench.unix()));
    assert_eq!(done.code, Some(100), "{}", done.stderr);
    assert!(done.stderr.contains("systemd's own"), "{}", done.stderr);
}

/// Both go at the end.
#[test]
fn both_sockets_are_taken_away_at_the_end() {
    let bench = bench();
    let mut server = serve(&bench);
    Connection::connect(&socket(&bench)).send(&call("GetUserRecord", json!({"uid": 7}), false));
    server.stop();
    assert!(!bench.socket().exists() && !socket(&bench).exists());
}
