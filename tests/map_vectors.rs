//! Replays tests/vectors/map and map-derive.json against `nsssd-map`, safe and compat.
//!
//! Homes are moved into a directory of the test: the prefix is put in front of `/home` wherever
//! the vectors have it. Files of root's need root. A program of its own, since build/vectors runs it.
#![cfg(feature = "nsssd-map")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use support::{
    Daemon, TempDir, by_id, by_name, group_reply, grouplist, grouplist_reply, is_root, nsssd, op,
    passwd_reply, run_to_end, shadow_reply, skip, tool,
};

const NOT_FOUND: [u8; 1] = [255];

fn vectors() -> Vec<Value> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/map");
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    files.iter().map(|f| serde_json::from_slice(&fs::read(f).unwrap()).unwrap()).collect()
}

/// One vector with its files in place.
struct Case<'a> {
    vector: &'a Value,
    dir: TempDir,
    config: PathBuf,
}

impl Case<'_> {
    fn new(vector: &Value) -> Case<'_> {
        let dir = TempDir::new();
        let mut case = Case { vector, config: dir.join("nssmap.conf"), dir };
        if let Some(text) = vector["config"].as_str() {
            case.config = case.dir.write("nssmap.conf", case.moved(text));
        }
        for file in vector["files"].as_array().unwrap() {
            let path = PathBuf::from(case.moved(file["path"].as_str().unwrap()));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(target) = file["symlink"].as_str() {
                symlink(case.moved(target), path).unwrap();
                continue;
            }
            fs::write(&path, file["content"].as_str().unwrap()).unwrap();
            let mode = u32::from_str_radix(file["mode"].as_str().unwrap(), 8).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let id = |key: &str| Some(file[key].as_u64().unwrap() as u32);
            if is_root() {
                chown(&path, id("uid"), id("gid")).unwrap();
            }
        }
        case
    }

    fn moved(&self, text: &str) -> String {
        text.replace("/home", &format!("{}/home", self.dir.as_str()))
    }

    /// The request, and the reply that `expect` stands for.
    fn exchange(&self, expect: &Value) -> (Vec<u8>, Vec<u8>) {
        let query = &self.vector["query"];
        let (db, by) = (query["db"].as_str().unwrap(), query["by"].as_str().unwrap());
        let key = query["key"].as_str().unwrap_or_default();
        let id = query["key"].as_u64().unwrap_or_default() as u32;
        if db == "initgroups" {
            // The first one is the primary gid, which the client adds.
            let gids = expect["groups"].as_array().map_or(&[][..], |g| &g[1..]);
            let gids: Vec<u32> = gids.iter().map(|g| g.as_u64().unwrap() as u32).collect();
            return (grouplist(9, key), grouplist_reply(9, &gids));
        }
        let request = match (db, by) {
            ("passwd", "name") => by_name(op::PWD_GETBYNAME, key),
            ("group", "name") => by_name(op::GRP_GETBYNAME, key),
            ("shadow", "name") => by_name(op::SHADOW_GETBYNAME, key),
            ("passwd", "uid") => by_id(op::PWD_GETBYUID, id),
            ("group", "gid") => by_id(op::GRP_GETBYGID, id),
            ("passwd", "enumerate") => vec![op::PWD_GET],
            ("group", "enumerate") => vec![op::GRP_GET],
            other => panic!("{other:?}"),
        };
        if by == "enumerate" {
            assert_eq!(expect["lines"], Value::Array(vec![]), "nothing is ever enumerated");
            return (request, NOT_FOUND.to_vec());
        }
        if expect["found"] == false {
            return (request, NOT_FOUND.to_vec());
        }
        let line = self.moved(expect["line"].as_str().unwrap());
        // A name may hold colons.
        let name =
            if key.is_empty() && by != "name" { line.split(':').next().unwrap() } else { key };
        let mut rest: Vec<&str> = line[name.len() + 1..].splitn(6, ':').collect();
        if db == "passwd" && name.contains(':') {
            // Then the home holds colons, too, and the shell does not.
            let (_, shell) = line.rsplit_once(':').unwrap();
            let at = line.rfind(&format!("{}/home", self.dir.as_str())).unwrap();
            rest[4] = &line[at..line.len() - shell.len() - 1];
            rest[5] = shell;
        }
        let number = |at: usize| rest[at].parse().unwrap();
        let reply = match db {
            "passwd" => {
                let texts = [rest[3], rest[4], rest[5]];
                passwd_reply([name, rest[0]], number(1), number(2), texts)
            }
            "group" => group_reply(name, rest[0], number(1), &[]),
            _ => shadow_reply(name, rest[0], [13571, 0, 99999, 7, -1, -1, -1]),
        };
        (request, reply)
    }

    fn play(&self, options: &[&str], expect: &Value) {
        let bin = self.dir.join("bin");
        if !bin.exists() {
            self.dir.bin();
        }
        let mut command = nsssd(&bin, "nsssd-map");
        command.arg("-f").arg(&self.config).args(options);
        for (name, value) in self.vector["env"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        let mut daemon = Daemon::start(command);
        let (request, reply) = self.exchange(expect);
        let name = &self.vector["name"];
        let got = daemon.ask(&request, 1);
        assert_eq!(got[0], reply[0], "{name} {options:?}: {}", daemon.stderr());
        let got =
            [got, daemon.recv_exact(if reply[0] == 0 { reply.len() - 1 } else { 0 })].concat();
        assert!(
            got == reply,
            "{name} {options:?}\n     got {}\nexpected {}\n{}",
            got.escape_ascii(),
            reply.escape_ascii(),
            daemon.stderr()
        );
        assert_eq!(daemon.finish(), Some(0), "{name}");
    }

    fn needs_root(&self) -> bool {
        self.vector["files"].as_array().is_some_and(|f| !f.is_empty())
    }
}

fn run(mode: &str) {
    let mut skipped = 0;
    for vector in vectors() {
        let case = Case::new(&vector);
        if case.needs_root() && !is_root() {
            skipped += 1;
            continue;
        }
        let env = !vector["env"].as_object().unwrap().is_empty();
        let safe = [&vector["expect_safe"], &vector["expect"]].into_iter().find(|e| !e.is_null());
        let safe = safe.unwrap();
        if mode == "safe" {
            let policy = vector["policy"]["require"].as_str();
            let options: Vec<&str> = policy.iter().flat_map(|p| ["-r", p]).collect();
            case.play(&options, safe);
            continue;
        }
        // A daemon does not look at LOGNAME, and does not crash its callers.
        let library = &vector["libnss_map"];
        let as_library = if library.is_null() { &vector["expect"] } else { library };
        let expect = if env || !library["crash"].is_null() { safe } else { as_library };
        case.play(&["-c"], expect);
    }
    if skipped > 0 {
        skip(mode, &format!("{skipped} vectors have files of root's"));
    }
}

#[test]
fn all_68_vectors_are_here() {
    assert_eq!(vectors().len(), 68);
}

#[test]
fn safe_mode_answers_as_the_vectors_say() {
    run("safe");
}

#[test]
fn compat_mode_answers_as_libnss_map_did() {
    run("compat");
}

#[test]
fn in_process_and_with_l_logname_names_who_shares_a_uid() {
    let vectors = vectors();
    for vector in &vectors {
        if vector["env"]["LOGNAME"].is_null() || vector["query"]["by"] != "uid" {
            continue;
        }
        let case = Case::new(vector);
        let bin = case.dir.bin();
        let ask = |options: &str| {
            let mut command = tool(&bin, "getent");
            command.env("LOGNAME", vector["env"]["LOGNAME"].as_str().unwrap());
            let backend = format!("map {options} -f {}", case.config.display());
            let key = vector["query"]["key"].to_string();
            run_to_end({
                command.args(["-s", &backend, "passwd", &key]);
                command
            })
        };
        let line = |text: &str| case.moved(text) + "\n";
        let admitted = vector["name"] == "pw-uid-logname";
        let want =
            if admitted { line(vector["expect"]["line"].as_str().unwrap()) } else { String::new() };
        let got = ask("-L");
        assert_eq!(String::from_utf8(got.stdout).unwrap(), want, "{}", vector["name"]);
        assert_eq!(ask("").stdout, b"", "{}", vector["name"]);
    }
}

#[test]
fn uids_are_derived_as_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/map-derive.json");
    let vectors: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let dir = TempDir::new();
    let bin = dir.bin();
    let key = dir.write("key", vectors["key_hex"].as_str().unwrap());
    dir.chmod("key", 0o400);
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let (lo, size) = (&case["lo"], &case["size"]);
        let text = format!(
            "nssmap 2\nkey {}\nmap *\n template t:x:{lo}+{size}:=:g:/home:/bin/sh\n",
            key.display()
        );
        let config = dir.write("conf", text);
        let name = case["name"].as_str().unwrap();
        let mut command = tool(&bin, "getent");
        command.args(["-s", &format!("map -f {}", config.display()), "passwd", name]);
        let run = run_to_end(command);
        let uid = &case["uid"];
        let want = format!("{name}:x:{uid}:{uid}:g:/home/{name}:/bin/sh\n");
        assert_eq!(String::from_utf8(run.stdout).unwrap(), want, "{}", run.stderr);
    }
    // The names that the file says share a uid are found in the list of all.
    let names: Vec<&str> = cases.iter().map(|c| c["name"].as_str().unwrap()).collect();
    let list = dir.write("list", names.join("\n"));
    let mut command = tool(&bin, "nsssd-map");
    command.arg("-f").arg(dir.join("conf")).arg("-l").arg(list);
    let run = run_to_end(command);
    if run.stderr.contains("this build has no -u and -l") {
        return skip("uids_are_derived_as_the_vectors_say", "an executable without map-tools");
    }
    assert_eq!(run.code, Some(1));
    let found = String::from_utf8(run.stdout).unwrap();
    assert_eq!(found, "47537 user329 user370\n55846 user17288 user3469\n");
}
