//! A userdb server on files of its own, and what its clients say.

use crate::support::{Connection, DEADLINE, Got, Server, TempDir, tool};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The name that the socket gives the service.
pub const SERVICE: &str = "org.nssbox.Users";

/// A directory with links, files and a socket.
pub struct Bench {
    pub dir: TempDir,
}

impl Bench {
    /// With these files; a shadow file has no lines, and is root's alone.
    pub fn new(passwd: &str, group: &str, shadow: &str) -> Bench {
        let dir = TempDir::new();
        dir.write("passwd", passwd);
        dir.write("group", group);
        dir.write("shadow", shadow);
        dir.chmod("shadow", 0o600);
        Bench { dir }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join(SERVICE)
    }

    /// `userdb -1 -S SOCKET OPTIONS SCRIPT`.
    pub fn command(&self, options: &[&str], script: &[&str]) -> Command {
        let mut command = tool(&self.dir.bin(), "userdb");
        command.args(["-1", "-S"]).arg(self.socket()).args(options).args(script);
        command
    }

    /// The script whose only source are the files.
    pub fn unix(&self) -> [&str; 5] {
        ["0", "nsssd-unix", "-d", self.dir.as_str(), ""]
    }

    pub fn serve(&self, options: &[&str]) -> Server {
        self.serve_script(options, &self.unix())
    }

    pub fn serve_script(&self, options: &[&str], script: &[&str]) -> Server {
        Server::start_command(self.command(options, script), &self.socket())
    }
}

/// A call of a method of the user database; `parameters` without the service.
pub fn call(method: &str, mut parameters: Value, more: bool) -> Vec<u8> {
    parameters["service"] = SERVICE.into();
    let mut call = serde_json::json!({
        "method": format!("io.systemd.UserDatabase.{method}"), "parameters": parameters,
    });
    if more {
        call["more"] = true.into();
    }
    message(&call)
}

/// A value as it goes over the wire.
pub fn message(value: &Value) -> Vec<u8> {
    [serde_json::to_vec(value).unwrap(), vec![0]].concat()
}

/// All messages up to one that has no other behind it; `None`: closed before that.
#[track_caller]
pub fn replies(client: &Connection) -> Option<Vec<Value>> {
    let (mut all, mut bytes): (Vec<Value>, Vec<u8>) = (Vec::new(), Vec::new());
    loop {
        match client.recv(DEADLINE) {
            Got::Bytes(more) => bytes.extend(more),
            Got::End => {
                assert!(bytes.is_empty(), "closed within a message");
                return None;
            }
            Got::Nothing => panic!("no reply behind {all:?}"),
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            let message: Vec<u8> = bytes.drain(..=end).collect();
            let value: Value = serde_json::from_slice(&message[..end]).expect("JSON");
            let ended = value["continues"] != true;
            all.push(value);
            if ended {
                assert!(bytes.is_empty(), "more than was asked for");
                return Some(all);
            }
        }
    }
}

/// Asks, and all replies.
#[track_caller]
pub fn ask(client: &Connection, method: &str, parameters: Value, more: bool) -> Vec<Value> {
    client.send(&call(method, parameters, more));
    replies(client).expect("a reply")
}

/// The only reply to a call without `more`.
#[track_caller]
pub fn ask_one(client: &Connection, method: &str, parameters: Value) -> Value {
    let mut all = ask(client, method, parameters, false);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// The name of an error of the user database.
pub fn error(name: &str) -> Value {
    serde_json::json!({"error": format!("io.systemd.UserDatabase.{name}"), "parameters": {}})
}

/// The server answers another client.
#[track_caller]
pub fn assert_lives(server: &Server) {
    let client = server.connect();
    let info = serde_json::json!({"method": "org.varlink.service.GetInfo"});
    client.send(&message(&info));
    let info = replies(&client).expect("a reply");
    assert_eq!(info[0]["parameters"]["interfaces"][0], "io.systemd.UserDatabase");
}
