//! A daemon of the nsss protocol that knows one user, and a client that asks it.
#![allow(clippy::indexing_slicing, reason = "the lengths are those of its own buffers")]

use nssproto::entry::{Db, Gid, Name, Passwd, Record, Uid};
use nssproto::nsss::{self, Reply, Request, RequestError, status};
use nssproto::{DecodeError, line};
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

type Failure = Box<dyn Error + Send + Sync>;

const ADA: Record<'static> = Record::Passwd(Passwd {
    name: b"ada",
    password: b"x",
    uid: Uid(1001),
    gid: Gid(1000),
    gecos: b"Ada",
    home: b"/home/ada",
    shell: b"/bin/sh",
});

/// Answers until the client closes.
fn serve(mut client: UnixStream) -> Result<(), Failure> {
    let (mut input, mut piece) = (Vec::new(), [0; 512]);
    loop {
        let (reply, len) = match Request::decode(&input) {
            Ok(decoded) => (answer(&decoded.value)?, decoded.len),
            Err(RequestError::Incomplete(_)) => {
                let len = client.read(&mut piece)?;
                if len == 0 {
                    return Ok(());
                }
                input.extend(piece.iter().take(len));
                continue;
            }
            // EPROTO; the stream is still in step.
            Err(RequestError::InvalidName { len }) => (vec![71], len),
            Err(error) => return Err(error.into()),
        };
        input.drain(..len);
        client.write_all(&reply)?;
    }
}

fn answer(request: &Request<'_>) -> Result<Vec<u8>, nssproto::EncodeError> {
    let found = match request {
        Request::ByName(Db::Passwd, name) => name.bytes() == ADA.name(),
        Request::ByUid(Uid(id)) => Some(*id) == ADA.id(),
        Request::SetTimeout { .. } | Request::Rewind(_) | Request::End(_) => {
            return Ok(vec![status::OK]);
        }
        // No groups, no shadow, no enumeration.
        _ => false,
    };
    if !found {
        return Ok(vec![status::NOT_FOUND]);
    }
    let mut reply = vec![0; 256];
    let len = nsss::encode(&ADA, &mut reply)?;
    reply.truncate(len);
    Ok(reply)
}

/// Asks for one user, and returns the line of the record.
fn ask(server: &mut UnixStream, name: &str) -> Result<Option<String>, Failure> {
    let name = Name::new(name.as_bytes()).ok_or("a name too long, or with a NUL")?;
    let request = Request::ByName(Db::Passwd, name);
    let mut out = [0; Request::MAX];
    let len = request.encode(&mut out)?;
    server.write_all(out.get(..len).unwrap_or_default())?;

    let (mut input, mut piece) = (Vec::new(), [0; 512]);
    loop {
        let len = server.read(&mut piece)?;
        if len == 0 {
            return Err("closed without a reply".into());
        }
        input.extend(piece.iter().take(len));
        let decoded = match Reply::decode(&request, &input) {
            Ok(decoded) => decoded,
            Err(DecodeError::Incomplete(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let head = match decoded.value {
            Reply::Record(head) => head,
            Reply::NotFound => return Ok(None),
            other => return Err(format!("unexpected: {other:?}").into()),
        };
        // The strings follow, of which the head tells the length.
        let strings = decoded.len..decoded.len + head.area_len() as usize;
        if let Some(strings) = input.get(strings) {
            let mut text = [0; 256];
            let len = line::encode(&head.record(strings)?, &mut text)?;
            return Ok(Some(String::from_utf8_lossy(&text[..len]).into_owned()));
        }
    }
}

#[cfg_attr(test, test)]
fn main() -> Result<(), Failure> {
    let (mut server, client) = UnixStream::pair()?;
    let daemon = thread::spawn(|| serve(client));
    for name in ["ada", "bob"] {
        match ask(&mut server, name)? {
            Some(line) => println!("{line}"),
            None => println!("no user {name}"),
        }
    }
    drop(server);
    daemon.join().map_err(|_| "the daemon panicked")??;
    Ok(())
}
