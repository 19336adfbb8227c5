//! A backend on standard input and output that answers as the naive reader does, and goes wrong
//! where it is told to.
//!
//! `fake DIR [NUMBER:ACT]…`: the files of DIR; what to do with the request of that number, from 0.

use crate::support::naive::Naive;
use std::io::{self, Read, Write};
use std::path::Path;
use std::{env, fs, process};

/// The name that a link to the test executable must have.
pub const NAME: &str = "misbehave";

/// A record that is larger than this is sent on before all of it is known.
pub const PIECE: usize = 4096;

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// This status byte is the whole reply.
    Status(u8),
    /// So many bytes of the reply, then the end of the program.
    Crash(usize),
    /// So many bytes of the reply, less than all, and never another one.
    Hang(usize),
    /// A record whose strings are shorter than their number, or a list that was not asked for.
    Garbage,
    /// The reply and a byte more; garbage where the reply is larger than what is kept of it, since
    /// nobody can tell when a byte behind it is met.
    Excess,
    /// Nothing goes wrong, but each byte comes by itself.
    Drip,
}

impl Act {
    /// As a word of the command line.
    pub fn word(&self, number: usize) -> String {
        match self {
            Act::Status(status) => format!("{number}:status:{status}"),
            Act::Crash(bytes) => format!("{number}:crash:{bytes}"),
            Act::Hang(bytes) => format!("{number}:hang:{bytes}"),
            Act::Garbage => format!("{number}:garbage:0"),
            Act::Excess => format!("{number}:excess:0"),
            Act::Drip => format!("{number}:drip:0"),
        }
    }

    fn read(word: &str) -> Option<(usize, Act)> {
        let mut parts = word.split(':');
        let (number, act, value) = (parts.next()?, parts.next()?, parts.next()?);
        let value: usize = value.parse().ok()?;
        let act = match act {
            "status" => Act::Status(u8::try_from(value).ok()?),
            "crash" => Act::Crash(value),
            "hang" => Act::Hang(value),
            "garbage" => Act::Garbage,
            "excess" => Act::Excess,
            "drip" => Act::Drip,
            _ => return None,
        };
        Some((number.parse().ok()?, act))
    }

    /// What is garbage as a reply to a request with this opcode: for a record, one of no strings;
    /// for a list of groups, one for another client; for what has no data, a byte more.
    pub fn garbage(opcode: u8) -> Vec<u8> {
        match opcode & 7 {
            0 | 1 => vec![0, 0],
            5 => [&[0][..], &[7; 16]].concat(),
            _ => vec![0; 61],
        }
    }
}

/// Becomes the backend, and does not return, if the program was called by that name.
pub fn run_if_called() {
    let mut words = env::args();
    let own = words.next().unwrap_or_default();
    if Path::new(&own).file_name().is_some_and(|name| name == NAME) {
        let dir = words.next().unwrap_or_default();
        let acts: Vec<(usize, Act)> = words.map(|w| Act::read(&w).expect("an act")).collect();
        let _ = serve(Path::new(&dir), &acts);
        process::exit(0);
    }
}

fn serve(dir: &Path, acts: &[(usize, Act)]) -> io::Result<()> {
    let file = |name| fs::read(dir.join(name));
    let mut naive = Naive::new(file("passwd")?, file("group")?, file("shadow")?);
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    for number in 0.. {
        let request = request(&mut input)?;
        let reply = naive.answer(&request);
        let act = acts.iter().find(|(at, _)| *at == number).map(|(_, act)| act);
        let mut say = |bytes: &[u8]| output.write_all(bytes).and_then(|()| output.flush());
        match act {
            None => say(&reply)?,
            Some(Act::Status(status)) => say(&[*status])?,
            Some(Act::Crash(bytes)) => {
                return say(&reply[..reply.len().min(*bytes)]);
            }
            Some(Act::Hang(bytes)) => {
                say(&reply[..(reply.len() - 1).min(*bytes)])?;
                io::copy(&mut input, &mut io::sink())?;
            }
            Some(Act::Garbage) => say(&Act::garbage(request[0]))?,
            Some(Act::Excess) if reply.len() > PIECE => say(&Act::garbage(request[0]))?,
            Some(Act::Excess) => say(&[&reply[..], &[0]].concat())?,
            Some(Act::Drip) => reply.chunks(1).try_for_each(say)?,
        }
    }
    Ok(())
}

/// One whole request; the error is the end of the input.
fn request(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut request = vec![0];
    input.read_exact(&mut request)?;
    let mut more = |request: &mut Vec<u8>, bytes: usize| {
        let at = request.len();
        request.resize(at + bytes, 0);
        input.read_exact(&mut request[at..])
    };
    match request[0] & 7 {
        3 | 5 => {
            let front = if request[0] & 7 == 3 { 4 } else { 12 };
            more(&mut request, front)?;
            let at = request.len() - 4;
            let length = request[at..].iter().fold(0, |n, b| n << 8 | usize::from(*b));
            more(&mut request, length)?;
        }
        4 => more(&mut request, 4)?,
        _ => {}
    }
    Ok(request)
}
