//! A scripted nsss backend on standard input and output, for the tests of the switch.
//!
//! A test executable without libtest's harness is the program: its `main` calls [`run_if_called`]
//! first, and a symbolic link called `fakebackend` leads to it.
//!
//! ```text
//! usage: fakebackend MODE [ARG]
//!   table          serves the built-in entries (not found / end of list otherwise)
//!   empty          every lookup and enumeration step answers 255 (not found)
//!   errno N        every request answers the single status byte N
//!   crash N        behaves as "table" for N requests, then exits without answering
//!   hang N         behaves as "table" for N requests, then swallows everything and never answers
//!   slow MS        behaves as "table", but waits MS milliseconds before each answer
//!   trace PATH     behaves as "table", and appends the opcode of each request to PATH, in octal
//! ```
//!
//! At end of file it exits 0, in or between requests. It exits 1 where it makes no sense of its
//! arguments or a request, or fails to read or write. Any other MODE is "table".

use super::wire::{Shadow, group_reply, grouplist_reply, op, passwd_reply, shadow_reply};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;
use std::{env, fs, process, thread};

/// The name that a link to the test executable must have.
pub const NAME: &str = "fakebackend";

const NOT_FOUND: u8 = 255;

/// Becomes the fake backend, and does not return, if the program was called by that name.
pub fn run_if_called() {
    let mut words = env::args();
    let own = words.next().unwrap_or_default();
    if Path::new(&own).file_name().is_some_and(|name| name == NAME) {
        let mode = words.next().unwrap_or_else(|| process::exit(1));
        let arg = words.next().unwrap_or_else(|| "0".to_owned());
        let code = serve(&mode, &arg).unwrap_or(1);
        process::exit(code);
    }
}

/// Serves until the end of its input and gives the exit code; `None` if it must give up.
fn serve(mode: &str, arg: &str) -> Option<i32> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut tables = tables(mode == "empty");
    // Negative: no limit.
    let mut left: i64 = match mode {
        "crash" | "hang" => arg.parse().ok()?,
        _ => -1,
    };
    loop {
        let opcode = match read(&mut input, 1)?.first() {
            Some(opcode) => *opcode,
            None => return Some(0),
        };
        if mode == "trace" {
            append(Path::new(arg), &format!("{opcode:03o}\n")).ok()?;
        }
        if left == 0 {
            if mode == "crash" {
                return Some(1);
            }
            io::copy(&mut input, &mut io::sink()).ok()?;
            return Some(0);
        }
        left -= 1;
        let mut reply = match answer(&mut tables, opcode, &mut input) {
            Outcome::Reply(reply) => reply,
            Outcome::EndOfFile => return Some(0),
            Outcome::Nonsense => return None,
        };
        match mode {
            "errno" => reply = vec![arg.parse().ok()?],
            "slow" => thread::sleep(Duration::from_millis(arg.parse().ok()?)),
            _ => {}
        }
        output.write_all(&reply).ok()?;
        output.flush().ok()?;
    }
}

/// `n` bytes; fewer at end of file; `None` on an error.
fn read(input: &mut impl Read, n: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(n).ok()?;
    input.by_ref().take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.append(true).create(true).open(path)?;
    file.write_all(line.as_bytes())
}

/// What a request led to.
enum Outcome {
    Reply(Vec<u8>),
    EndOfFile,
    Nonsense,
}

/// One database and the place of its enumeration.
struct Table {
    /// The opcode of its END; those of the other requests follow.
    base: u8,
    rows: Vec<Row>,
    next: usize,
}

struct Row {
    name: &'static str,
    /// What a lookup by number looks for. (By shadow's first number too, which no client asks.)
    id: u32,
    /// `None` where the database has no members.
    members: Option<&'static [&'static str]>,
    reply: Vec<u8>,
}

fn tables(empty: bool) -> [Table; 3] {
    let table = |base, rows| Table { base, rows: if empty { Vec::new() } else { rows }, next: 0 };
    [
        table(
            op::PWD_END,
            vec![
                passwd("fakea", 7001, ["Fake A", "/home/fakea", "/bin/fsh"]),
                passwd("fakeb", 7002, ["", "/", ""]),
            ],
        ),
        table(
            op::GRP_END,
            vec![
                group("fakegrp", "x", 7000, &["fakea", "fakeb"]),
                group("fakeempty", "", 7009, &[]),
            ],
        ),
        table(
            op::SHADOW_END,
            vec![
                shadow("fakea", "!", 100, [100, 0, 99_999, 7, -1, -1, -1]),
                shadow("fakeb", "*", 1, [1, 2, 3, 4, 5, 6, 7]),
            ],
        ),
    ]
}

fn passwd(name: &'static str, uid: u32, rest: [&str; 3]) -> Row {
    Row { name, id: uid, members: None, reply: passwd_reply([name, "x"], uid, 7000, rest) }
}

fn group(name: &'static str, password: &str, gid: u32, members: &'static [&'static str]) -> Row {
    Row { name, id: gid, members: Some(members), reply: group_reply(name, password, gid, members) }
}

fn shadow(name: &'static str, password: &str, id: u32, numbers: Shadow) -> Row {
    Row { name, id, members: None, reply: shadow_reply(name, password, numbers) }
}

fn answer(tables: &mut [Table; 3], opcode: u8, input: &mut impl Read) -> Outcome {
    if opcode == op::SET_TIMEOUT {
        return match number::<4>(input) {
            Some(_) => Outcome::Reply(vec![0]),
            None => Outcome::EndOfFile,
        };
    }
    let [passwd, group, shadow] = tables;
    let table = match opcode {
        op::SHADOW_END.. => shadow,
        op::GRP_END.. => group,
        _ => passwd,
    };
    match opcode.checked_sub(table.base) {
        Some(0 | 1) => {
            table.next = 0;
            Outcome::Reply(vec![0])
        }
        Some(2) => {
            let row = table.rows.get(table.next);
            if row.is_some() {
                table.next += 1;
            }
            found(row)
        }
        Some(3) => match name(input) {
            Some(name) => found(table.rows.iter().find(|row| row.name.as_bytes() == name)),
            None => Outcome::EndOfFile,
        },
        Some(4) => match number::<4>(input) {
            Some(id) => found(table.rows.iter().find(|row| u64::from(row.id) == id)),
            None => Outcome::EndOfFile,
        },
        // The list of a user's groups, and whatever else it does not know.
        _ => match number::<8>(input).zip(name(input)) {
            Some((room, user)) => group_list(&table.rows, room, &user),
            None => Outcome::EndOfFile,
        },
    }
}

fn found(row: Option<&Row>) -> Outcome {
    Outcome::Reply(row.map_or_else(|| vec![NOT_FOUND], |row| row.reply.clone()))
}

fn group_list(rows: &[Row], room: u64, user: &[u8]) -> Outcome {
    let mut gids = Vec::new();
    for row in rows {
        let Some(members) = row.members else {
            return Outcome::Nonsense;
        };
        if members.iter().any(|member| member.as_bytes() == user) {
            gids.push(row.id);
        }
    }
    Outcome::Reply(grouplist_reply(room, &gids))
}

/// A big-endian number of `N` bytes, 8 at most; `None` at end of file.
fn number<const N: usize>(input: &mut impl Read) -> Option<u64> {
    let bytes = read(input, N).filter(|bytes| bytes.len() == N)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A length and a name, its last byte taken away; `None` at end of file.
fn name(input: &mut impl Read) -> Option<Vec<u8>> {
    let length = usize::try_from(number::<4>(input)?).ok()?;
    let mut name = read(input, length).filter(|name| name.len() == length)?;
    name.pop();
    Some(name)
}
