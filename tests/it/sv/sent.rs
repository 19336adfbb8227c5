//! tests/vectors/sv/runit-sent.json: the bytes that runit's sv writes, by command and state, what it
//! prints after `-w 1`, and its exit codes.

use super::folder::{Folder, runit_status, without_ages};
use crate::support::run_to_end;
use serde_json::Value;
use std::sync::Mutex;
use std::thread;

fn recorded() -> Value {
    let path = format!("{}/tests/vectors/sv/runit-sent.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// States and commands of which runit 2.3 does otherwise than 2.1.2, which was recorded: `check` waits
/// until the service is as it is wanted.
const CHECK_OF_2_3: [&str; 4] =
    ["down, want up", "finish, want up", "run, want down", "run, want down, got TERM"];

struct Outcome {
    what: String,
    got: (String, String, String, i64),
    want: (String, String, String, i64),
}

fn replay(states: &Value, record: &Value) -> Outcome {
    let state = record["state"].as_str().unwrap();
    let argv: Vec<&str> =
        record["argv"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    let what = format!("{state}: {}", argv.join(" "));
    let byte = |key: &str| states[state][key].as_u64().unwrap();
    let want = states[state]["want"].as_str().unwrap().as_bytes()[0];
    let status =
        runit_status(100, byte("pid") as u32, want, byte("got_term") as u8, byte("state") as u8);
    let folder = Folder::new();
    let mut service = folder.runit("svc", &status);
    folder.script("svc");
    let finished = run_to_end(folder.command(argv[0], &argv[1..]));
    let stdout = without_ages(&String::from_utf8(finished.stdout).unwrap()).0;
    let got = (service.sent(), stdout, finished.stderr, finished.code.unwrap().into());
    let text = |key: &str| record[key].as_str().unwrap().to_owned();
    let mut want = (text("sent"), text("stdout"), text("stderr"), record["exit"].as_i64().unwrap());
    if CHECK_OF_2_3.contains(&state) && argv.contains(&"check") {
        assert_eq!(want.3, 0, "{what}");
        want.1 = want.1.replacen("ok: ", "timeout: ", 1);
        want.3 = 1;
    }
    Outcome { what, got, want }
}

#[test]
fn what_runits_sv_sends_prints_and_exits_with() {
    let all = recorded();
    let runs = all["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 263);
    // Most of them wait for a second.
    let next = Mutex::new(runs.iter());
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                loop {
                    let Some(record) = next.lock().unwrap().next() else { break };
                    let outcome = replay(&all["states"], record);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    assert_eq!(outcomes.len(), runs.len());
    let mut wrong = String::new();
    for Outcome { what, got, want } in outcomes {
        if got != want {
            wrong += &format!("{what}\n     got {got:?}\nexpected {want:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn four_records_of_check_are_those_of_an_older_runit() {
    let all = recorded();
    let is_check = |record: &&Value| {
        record["argv"].as_array().unwrap().contains(&"check".into())
            && CHECK_OF_2_3.contains(&record["state"].as_str().unwrap())
    };
    let found: Vec<_> = all["runs"].as_array().unwrap().iter().filter(is_check).collect();
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|record| record["exit"] == 0));
}
