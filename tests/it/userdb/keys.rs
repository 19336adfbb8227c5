//! ssh keys: files that a map requires, told to who may know what is privileged.
#![cfg(feature = "nsssd-map")]

use super::bench::{Bench, SERVICE, ask_one};
use crate::support::ipcserver::connect_as;
use crate::support::{Server, is_root, skip};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;

const KEYS: &str = "# of ada\n\nssh-ed25519 AAAA ada@one\n\tcommand=\"x\" ssh-rsa BBBB\n";

struct Keys {
    bench: Bench,
    dir: PathBuf,
}

impl Keys {
    /// A map whose users have a key file each; with `range`, each has an own uid.
    fn new(range: bool) -> Keys {
        let bench = Bench::new("", "", "");
        bench.dir.chmod(".", 0o755);
        let dir = bench.dir.subdirectory("keys");
        let root = bench.dir.as_str();
        bench.dir.write("key", "000102030405060708090a0b0c0d0e0f\n");
        bench.dir.chmod("key", 0o400);
        let ids = if range { "1879048192+134217728:=" } else { "15000:15000" };
        let key = if range {
            format!("key {root}/key\nregistry {root}/registry\n")
        } else {
            String::new()
        };
        bench.dir.write(
            "nssmap.conf",
            format!(
                "nssmap 2\n{key}map *\n  template u:x:{ids}:mapped:{root}:/bin/sh\n  \
                 require file {root}/keys/%u\n"
            ),
        );
        Keys { bench, dir }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn serve(&self) -> Server {
        let config = self.bench.dir.join("nssmap.conf");
        let script = ["0", "nsssd-map", "-f", config.to_str().unwrap(), ""];
        self.bench.serve_script(&[], &script)
    }
}

fn user(server: &Server, name: &str) -> Value {
    ask_one(&server.connect(), "GetUserRecord", json!({"userName": name}))
}

fn keys(reply: &Value) -> Value {
    reply["parameters"]["record"]["privileged"]["sshAuthorizedKeys"].clone()
}

#[test]
fn a_key_file_is_told_line_by_line_to_root() {
    if !is_root() {
        return skip("a_key_file_is_told_line_by_line_to_root", "only root is told");
    }
    let stage = Keys::new(false);
    stage.write("ada", KEYS);
    stage.write("bare", "ssh-ed25519 no-newline");
    stage.write("none", "# nothing\n");
    let server = stage.serve();
    let ada = user(&server, "ada");
    assert_eq!(keys(&ada), json!(["ssh-ed25519 AAAA ada@one", "command=\"x\" ssh-rsa BBBB"]));
    assert_eq!(ada["parameters"]["incomplete"], false);
    assert_eq!(ada["parameters"]["record"]["service"], SERVICE);
    assert_eq!(keys(&user(&server, "bare")), json!(["ssh-ed25519 no-newline"]));
    let none = user(&server, "none");
    assert_eq!((keys(&none), &none["parameters"]["record"]["uid"]), (Value::Null, &json!(15000)));
    // As they are now.
    stage.write("ada", "ssh-rsa NEW\n");
    assert_eq!(keys(&user(&server, "ada")), json!(["ssh-rsa NEW"]));
}

#[test]
fn nobody_else_is_told_keys() {
    if !is_root() {
        return skip("nobody_else_is_told_keys", "only root can connect as others");
    }
    let stage = Keys::new(false);
    stage.write("ada", KEYS);
    let server = stage.serve();
    for (uid, gid) in [(65534, 65534), (15000, 15000), (4242, 0)] {
        let client = connect_as(&server, uid, gid);
        let reply = ask_one(&client, "GetUserRecord", json!({"userName": "ada"}));
        let record = &reply["parameters"]["record"];
        assert_eq!((&record["uid"], &record["privileged"]), (&json!(15000), &Value::Null));
        assert_eq!(reply["parameters"]["incomplete"], true);
    }
}

/// More keys than fit any buffer; and of more than may be, none.
#[test]
fn many_keys_are_told_and_too_many_are_not() {
    if !is_root() {
        return skip("many_keys_are_told_and_too_many_are_not", "only root is told");
    }
    let stage = Keys::new(false);
    let line = |n: usize| format!("ssh-rsa {}\"\\ü{n}", "A".repeat(500 + n));
    let many: Vec<String> = (0..90).map(line).collect();
    stage.write("ada", many.join("\n"));
    stage.write("eve", "ssh-rsa A\n".repeat(6554));
    let server = stage.serve();
    assert_eq!(keys(&user(&server, "ada")), json!(many));
    let eve = user(&server, "eve");
    assert_eq!((keys(&eve), &eve["parameters"]["record"]["uid"]), (Value::Null, &json!(15000)));
}

/// Not what others can write, nor what is no plain file, nor what has a second name.
#[test]
fn only_a_plain_file_of_roots_is_told() {
    let test = "only_a_plain_file_of_roots_is_told";
    if !is_root() {
        return skip(test, "needs root");
    }
    let stage = Keys::new(false);
    let server = stage.serve();
    let path = stage.write("ada", KEYS);
    assert_eq!(keys(&user(&server, "ada")).as_array().map(Vec::len), Some(2));
    let mode =
        |mode| fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode));
    for bad in [0o666, 0o620, 0o602] {
        mode(bad).unwrap();
        assert_eq!(keys(&user(&server, "ada")), Value::Null, "{bad:o}");
    }
    mode(0o644).unwrap();
    // People share that uid.
    for uid in [15000, 4242] {
        chown(&path, Some(uid), Some(0)).unwrap();
        assert_eq!(keys(&user(&server, "ada")), Value::Null, "of {uid}");
    }
    chown(&path, Some(0), Some(0)).unwrap();
    fs::hard_link(&path, stage.dir.join("other")).unwrap();
    assert_eq!(keys(&user(&server, "ada")), Value::Null, "two links");
    fs::remove_file(&path).unwrap();
    // These are no evidence of anybody, either; and nothing hangs.
    symlink(stage.dir.join("other"), &path).unwrap();
    assert_eq!(user(&server, "ada")["error"], "io.systemd.UserDatabase.NoRecordFound");
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    assert_eq!(user(&server, "ada")["error"], "io.systemd.UserDatabase.NoRecordFound");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(user(&server, "ada")["error"], "io.systemd.UserDatabase.NoRecordFound");
}

/// Where each has a uid of his own, his own file is as good as root's.
#[test]
fn an_own_file_is_told_where_uids_are_not_shared() {
    if !is_root() {
        return skip("an_own_file_is_told_where_uids_are_not_shared", "needs root");
    }
    let stage = Keys::new(true);
    let path = stage.write("alice", KEYS);
    let server = stage.serve();
    for (owner, count) in [(crate::support::map::ALICE, Some(2)), (crate::support::map::BOB, None)]
    {
        chown(&path, Some(owner), Some(0)).unwrap();
        assert_eq!(keys(&user(&server, "alice")).as_array().map(Vec::len), count, "{owner}");
    }
}
