//! Recorded status files as sv, svstat and `sv -j` tell them: tests/vectors/runit and sv.

use super::folder::{Alive, Folder, now, same_line, unhex};
use crate::support::vector::files_in;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The vectors of a folder with a status file.
fn vectors(folder: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{folder}", env!("CARGO_MANIFEST_DIR"));
    let read = |path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let all = files_in(Path::new(&path)).into_iter().map(read);
    all.filter(|vector| vector["status_hex"].is_string()).collect()
}

/// A status file with its stamps as old as they were when it was recorded.
fn renewed(vector: &Value, hex: &str, made: f64) -> Vec<u8> {
    let mut file = unhex(hex);
    // Those without a time were read within 3 seconds of it.
    let Some(read) = vector["now_unix"].as_f64() else { return file };
    let later = (made.floor() as i64).wrapping_sub(read.floor() as i64);
    let places: &[usize] = match file.len() {
        0 => &[],
        35 | 43 => &[0, 12],
        40 => &[0, 20],
        _ => &[0],
    };
    for place in places {
        let label = i64::from_be_bytes(file[*place..place + 8].try_into().unwrap());
        file[*place..place + 8].copy_from_slice(&label.wrapping_add(later).to_be_bytes());
    }
    file
}

/// The service of a vector, as it lay there. The time at which it was made.
fn make(folder: &Folder, vector: &Value, name: &str) -> (f64, Vec<Alive>) {
    // The second begins: what is told within it has the ages of the vector.
    let made = now();
    let format = vector["format"].as_str().unwrap();
    let status = renewed(vector, vector["status_hex"].as_str().unwrap(), made);
    let lives = vector["supervisor_lives"] != false && !name_of(vector).ends_with("runsv-gone");
    let mut alive = Vec::new();
    match format {
        _ if format.starts_with("s6") => alive.push(folder.s6(name, &status, lives)),
        _ if !lives => {
            let path = folder.dead(name, &status);
            if format == "runit-20" {
                fs::write(path.join("supervise/stat"), "").unwrap();
            }
        }
        "runit-20" => alive.push(folder.runit(name, &status)),
        _ => alive.push(folder.alive(name, &status)),
    }
    if vector["down_file"] == true {
        fs::write(folder.path(name).join("down"), "").unwrap();
    }
    if let Some(log) = vector["log_status_hex"].as_str() {
        alive.push(folder.runit(&format!("{name}/log"), &renewed(vector, log, made)));
    }
    (made, alive)
}

fn name_of(vector: &Value) -> &str {
    vector["name"].as_str().unwrap()
}

/// What runit's sv printed and ours does not: one that it refused is daemontools', which we tell.
const OTHERWISE: [(&str, &str); 1] = [("made-size-18", "run: svc: (pid 4242) 100s\n")];

#[test]
fn every_status_of_runit_is_printed_as_its_own_sv_does() {
    let mut seen = 0;
    for vector in vectors("runit") {
        let name = name_of(&vector);
        if !(vector["format"] == "runit-20" || name.starts_with("made-")) {
            continue;
        }
        let want = vector["sv_output"].as_str().unwrap();
        let otherwise = OTHERWISE.iter().find(|(other, _)| *other == name);
        let want = otherwise.map_or(want, |(_, want)| want);
        // `run: NAME: (pid`, `fail: NAME: …`
        let service = want
            .split(": ")
            .find(|word| !["run", "down", "finish", "fail", "warning"].contains(word));
        let service = service.unwrap();
        let folder = Folder::new();
        let (made, _alive) = make(&folder, &vector, service);
        let (exit, got) = folder.sv(&["status", service]);
        same_line(name, &got, want, made);
        let want = otherwise.map_or(vector["sv_exit"].as_i64().unwrap(), |_| 0);
        assert_eq!(i64::from(exit), want, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 33);
}

#[test]
fn every_status_of_daemontools_and_encore_is_printed_as_their_svstat_does() {
    let mut seen = 0;
    for vector in vectors("sv") {
        let name = name_of(&vector);
        if vector["format"].as_str().unwrap().starts_with("s6") {
            continue;
        }
        let folder = Folder::new();
        let (made, _alive) = make(&folder, &vector, "svc");
        let finished = folder.run("svstat", &["svc"]);
        let got = String::from_utf8(finished.stdout).unwrap();
        same_line(name, &got, vector["own_tool_output"].as_str().unwrap(), made);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 23);
}

/// s6-svstat's fields of a service, out of ours.
fn fields(object: &Value) -> Vec<(&'static str, String)> {
    let number = |key: &str| object[key].as_u64().map_or("-1".to_owned(), |n| n.to_string());
    let is_up = object["state"] == "run";
    let pid = if is_up { number("pid") } else { "-1".to_owned() };
    vec![
        ("up", is_up.to_string()),
        ("wantedup", (object["want"] == "up").to_string()),
        ("normallyup", (object["normally"] == "up").to_string()),
        ("ready", object["ready"].to_string()),
        ("paused", object["paused"].to_string()),
        ("pid", pid),
        ("exitcode", number("exit_code")),
        ("signum", number("signal")),
    ]
}

#[test]
fn every_status_of_s6_is_told_as_s6_svstat_does() {
    let mut seen = 0;
    for vector in vectors("sv") {
        let name = name_of(&vector);
        if !vector["format"].as_str().unwrap().starts_with("s6") {
            continue;
        }
        let folder = Folder::new();
        let (made, _alive) = make(&folder, &vector, "svc");
        let object = folder.json(&["status", "svc"]).remove(0);
        seen += 1;
        if vector["supervisor_lives"] == false {
            assert_eq!(object["supervised"], false, "{name}");
            assert_eq!(object["error"], "s6-supervise not running", "{name}");
            assert_eq!(
                folder.sv(&["status", "svc"]),
                (1, "fail: svc: s6-supervise not running\n".into())
            );
            continue;
        }
        assert_eq!(
            (&object["supervised"], &object["format"]),
            (&true.into(), &"s6".into()),
            "{name}"
        );
        let theirs = &vector["own_tool_fields"];
        for (key, got) in fields(&object) {
            // Until it has been started once, 2.13 tells of no end.
            let unstarted = vector["own_tool_output"].as_str().unwrap().contains("not started");
            if !(unstarted && ["exitcode", "signum", "paused"].contains(&key)) {
                assert_eq!(theirs[key], got, "{name}: {key}");
            }
        }
        let group = vector["fields"]["pgid"].as_u64().filter(|group| *group != 0);
        assert_eq!(object["pgid"].as_u64(), group, "{name}");
        let age: u64 = theirs["updownfor"].as_str().unwrap().parse().unwrap();
        let got = object["uptime"].as_u64().unwrap();
        // Theirs counts from the nanosecond, ours whole seconds of the clock, as runit.
        assert!(age <= got && got <= age + 2 + (now() - made) as u64, "{name}: {got}, not {age}");
    }
    assert_eq!(seen, 54);
}

#[test]
fn every_recorded_state_has_the_python_modules_keys() {
    for vector in [vectors("runit"), vectors("sv")].concat() {
        let name = name_of(&vector);
        let folder = Folder::new();
        let (_made, _alive) = make(&folder, &vector, "svc");
        let object = folder.json(&["status", "svc"]).remove(0);
        assert_eq!(object["service"], "svc", "{name}");
        if object["supervised"] == false {
            assert!(object["error"].is_string(), "{name}: {object}");
            continue;
        }
        let pid = vector["fields"]["pid"].as_u64();
        let status = object["status"].as_u64().unwrap();
        if let Some(pid) = pid {
            assert_eq!(object["pid"].as_u64(), Some(pid).filter(|pid| *pid != 0), "{name}");
            assert_eq!(status == 0, pid == 0, "{name}");
            assert_eq!(status == 2, pid != 0 && object["state"] == "finish", "{name}");
        }
        assert!(
            object["uptime"].is_u64() && object["since"].is_string() || name == "made-label-zero"
        );
        let action = object["action"].as_u64();
        assert!(action.is_none() || [0, 1, 2, 9, 16, 17].contains(&action.unwrap()), "{name}");
        let family = vector["format"].as_str().unwrap().split('-').next().unwrap();
        assert_eq!(object["format"], family, "{name}");
    }
}
