//! A client of nslcd lists all users; the daemon is played by a thread.
#![allow(clippy::indexing_slicing, reason = "the lengths are those of its own buffers")]

use nssproto::entry::Db;
use nssproto::nslcd::{self, ReplyHeader, Request, ResultCode};
use nssproto::{DecodeError, Decoded, line};
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

type Failure = Box<dyn Error + Send + Sync>;

/// Answers one request, as nslcd does on each connection.
fn serve(mut client: UnixStream) -> Result<(), Failure> {
    let mut reader = Buffered { stream: client.try_clone()?, input: Vec::new() };
    let (action, db) = reader.read(|input| {
        let Decoded { value, len } = Request::decode(input)?;
        Ok(Decoded { value: (value.action(), value.db()), len })
    })?;
    let mut out = [0; 256];
    let mut len = ReplyHeader { action }.encode(&mut out)?;
    for text in [&b"ada:x:1001:1000:Ada:/home/ada:/bin/sh"[..], b"bob:x:1002:1000:::"] {
        let record = line::parse(db, text)?;
        len += ResultCode::Begin.encode(&mut out[len..])?;
        len += nslcd::encode(&record, &mut out[len..])?;
    }
    len += ResultCode::End.encode(&mut out[len..])?;
    client.write_all(&out[..len])?;
    Ok(())
}

/// A stream, and what was read of it and not yet decoded.
struct Buffered {
    stream: UnixStream,
    input: Vec<u8>,
}

impl Buffered {
    fn read<T>(
        &mut self,
        decode: impl Fn(&[u8]) -> Result<Decoded<T>, DecodeError>,
    ) -> Result<T, Failure> {
        loop {
            match decode(&self.input) {
                Ok(Decoded { value, len }) => {
                    self.input.drain(..len);
                    return Ok(value);
                }
                Err(DecodeError::Incomplete(missing)) => {
                    let mut piece = vec![0; missing];
                    self.stream.read_exact(&mut piece)?;
                    self.input.append(&mut piece);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg_attr(test, test)]
fn main() -> Result<(), Failure> {
    let (server, client) = UnixStream::pair()?;
    let daemon = thread::spawn(|| serve(client));

    let request = Request::All(Db::Passwd);
    let mut out = [0; Request::MAX];
    let len = request.encode(&mut out)?;
    let mut reader = Buffered { stream: server, input: Vec::new() };
    reader.stream.write_all(&out[..len])?;
    reader.read(|input| ReplyHeader::decode(request.action(), input))?;
    while reader.read(ResultCode::decode)? == ResultCode::Begin {
        let text = reader.read(|input| {
            let Decoded { value, len } = nslcd::decode(request.db(), input)?;
            let mut text = [0; 256];
            // A user of this example fits.
            let size = line::encode(&value, &mut text).unwrap_or(0);
            Ok(Decoded { value: String::from_utf8_lossy(&text[..size]).into_owned(), len })
        })?;
        println!("{text}");
    }
    daemon.join().map_err(|_| "the daemon panicked")??;
    Ok(())
}
