//! What the tests of getent's sources share: a run of getent and what it must print, and servers
//! that do as told.

use super::glibc::ours;
use crate::support::{Finished, TempDir, op, passwd_reply, run_to_end};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

/// Lines of passwd.
pub const ROOT: &str = "root:x:0:0:root:/root:/bin/sh\n";
/// The one of [`one_reply`].
pub const ONE: &str = "one:x:1001:1002:One:/home/one:/bin/sh\n";

/// Runs our getent to its end.
#[track_caller]
pub fn getent<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Finished {
    run_to_end(ours(words))
}

/// It found all, and had nothing else to say.
#[track_caller]
pub fn assert_prints(finished: &Finished, text: &str) {
    let got = String::from_utf8_lossy(&finished.stdout);
    assert!(got == text, "got {} bytes: {:.300}\nexpected: {text:.300}", got.len(), got);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
}

/// It ended so, with these bytes, and one line on standard error that begins and ends so.
#[track_caller]
pub fn assert_fails(finished: &Finished, code: i32, stdout: &[u8], begins: &str, ends: &str) {
    let Finished { code: got, stdout: bytes, stderr } = finished;
    assert_eq!(*got, Some(code), "{stderr}");
    assert_eq!(bytes.escape_ascii().to_string(), stdout.escape_ascii().to_string());
    assert!(stderr.starts_with(begins) && stderr.ends_with(&format!("{ends}\n")), "{stderr:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// How messages begin.
pub const FATAL: &str = "getent: fatal: ";
/// How messages begin that end nothing.
pub const WARNING: &str = "getent: warning: ";

/// A directory with passwd, group and shadow, and what to put behind `-s` for them.
pub fn local(passwd: &str, group: &str, shadow: &str) -> (TempDir, String) {
    let dir = TempDir::new();
    dir.accounts(passwd, group, shadow);
    let service = format!("unix -d {}", dir.as_str());
    (dir, service)
}

/// The socket of a server that takes one client, does as told, and closes.
#[track_caller]
pub fn hostile(
    dir: &TempDir,
    act: impl FnOnce(&mut UnixStream) -> std::io::Result<()> + Send + 'static,
) -> String {
    let path = dir.join("hostile");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        if let Ok((mut client, _)) = listener.accept() {
            // What goes wrong here shows in what the client says.
            let _ = act(&mut client);
        }
    });
    path.to_str().expect("plain names").to_owned()
}

/// Reads a request with a name, or a bare opcode.
pub fn read_request(client: &mut UnixStream) -> std::io::Result<()> {
    let mut opcode = [0];
    client.read_exact(&mut opcode)?;
    let [opcode] = opcode;
    let numbers = match opcode {
        op::PWD_GET | op::GRP_GET | op::SHADOW_GET => return Ok(()),
        op::PWD_GETBYUID | op::GRP_GETBYGID => 4,
        op::GRP_GETLIST => 8,
        _ => 0,
    };
    client.read_exact(&mut vec![0; numbers])?;
    if !matches!(opcode, op::PWD_GETBYUID | op::GRP_GETBYGID) {
        let mut length = [0; 4];
        client.read_exact(&mut length)?;
        client.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize])?;
    }
    Ok(())
}

/// The socket of a server that answers each request with the next of these replies, and closes.
#[track_caller]
pub fn answering(dir: &TempDir, replies: Vec<Vec<u8>>) -> String {
    hostile(dir, move |client| {
        for reply in replies {
            read_request(client)?;
            client.write_all(&reply)?;
        }
        Ok(())
    })
}

/// The reply with [`ONE`].
pub fn one_reply() -> Vec<u8> {
    passwd_reply(["one", "x"], 1001, 1002, ["One", "/home/one", "/bin/sh"])
}
