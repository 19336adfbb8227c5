//! Sources that take so long for each answer: an nsss server, a program that speaks nsss's protocol,
//! and an nslcd. They know the accounts of tests/clients/burst.c: user and group uNNNNNN, whose
//! number is the uid and gid, and the user is the group's member. Of one that begins with `hang` and
//! of the number of [`HANGS`] they say nothing for a minute.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// Who asks for that uid is not answered.
pub const HANGS: u32 = 900_000;

/// Becomes a source, if the words say so: KIND MILLISECONDS, and a socket but for a program.
pub fn run(words: &[String]) -> Option<io::Result<()>> {
    let millis = || Duration::from_millis(words.get(1).and_then(|n| n.parse().ok()).unwrap_or(0));
    let socket = || words.get(2).map(String::as_str).unwrap_or_default();
    match words.first()?.as_str() {
        "--nsss" => Some(listen(socket(), millis(), nsss)),
        "--nslcd" => Some(listen(socket(), millis(), nslcd)),
        "--program" => Some(nsss(&mut io::stdin(), &mut io::stdout(), millis())),
        _ => None,
    }
}

type Serve = fn(&mut dyn Read, &mut dyn Write, Duration) -> io::Result<()>;

/// Each client has a thread.
fn listen(socket: &str, time: Duration, serve: Serve) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    rustix::net::listen(&listener, 4096)?;
    std::fs::set_permissions(socket, PermissionsExt::from_mode(0o666))?;
    println!();
    for client in listener.incoming() {
        let mut client = client?;
        std::thread::spawn(move || -> io::Result<()> {
            let mut out: UnixStream = client.try_clone()?;
            serve(&mut client, &mut out, time)
        });
    }
    Ok(())
}

fn number(input: &mut dyn Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Counted; a NUL at its end is not kept.
fn name(input: &mut dyn Read) -> io::Result<String> {
    let mut bytes = vec![0; (number(input)? as usize).min(4096)];
    input.read_exact(&mut bytes)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number of an account of this name, after the time that it takes to tell.
fn known(name: &str, time: Duration) -> Option<u32> {
    rest(time, name.starts_with("hang"));
    name.strip_prefix('u').filter(|digits| digits.len() == 6)?.parse().ok()
}

fn known_number(number: u32, time: Duration) -> Option<u32> {
    rest(time, number == HANGS);
    (100_000..1_000_000).contains(&number).then_some(number)
}

fn rest(time: Duration, hangs: bool) {
    std::thread::sleep(if hangs { Duration::from_secs(60) } else { time });
}

fn nsss(input: &mut dyn Read, out: &mut dyn Write, time: Duration) -> io::Result<()> {
    let mut opcode = [0];
    while input.read(&mut opcode)? == 1 {
        let reply = match opcode {
            [0x0b] => user(known(&name(input)?, time)),
            [0x0c] => user(known_number(number(input)?, time)),
            [0x13] => group(known(&name(input)?, time)),
            [0x14] => group(known_number(number(input)?, time)),
            [0x15] => {
                let mut max = [0; 8];
                input.read_exact(&mut max)?;
                groups(max, known(&name(input)?, time))
            }
            [0x23] => {
                name(input)?;
                vec![255]
            }
            // SET_TIMEOUT and what belongs to enumerations.
            [0x01] => number(input).map(|_| vec![0])?,
            _ => vec![0],
        };
        out.write_all(&reply)?;
        out.flush()?;
    }
    Ok(())
}

fn record(numbers: &[u32], strings: &[&str]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
    let strings = strings.iter().flat_map(|string| string.bytes().chain([0]));
    std::iter::once(0).chain(numbers).chain(strings).collect()
}

fn user(found: Option<u32>) -> Vec<u8> {
    let Some(number) = found else { return vec![255] };
    let name = format!("u{number:06}");
    let strings = [&name, "*", "", "/", "/bin/sh"];
    let len: usize = strings.iter().map(|string| string.len() + 1).sum();
    record(&[number, number, len as u32], &strings)
}

fn group(found: Option<u32>) -> Vec<u8> {
    let Some(number) = found else { return vec![255] };
    let name = format!("u{number:06}");
    record(&[number, (2 * name.len() + 4) as u32, 1], &[&name, "x", &name])
}

fn groups(max: [u8; 8], found: Option<u32>) -> Vec<u8> {
    let count = u64::from(found.is_some());
    let mut reply = [&[0][..], &max, &count.to_be_bytes()].concat();
    if u64::from_be_bytes(max) > 0 {
        reply.extend(found.iter().flat_map(|number| number.to_be_bytes()));
    }
    reply
}

/// One request a connection: version, action, argument.
fn nslcd(input: &mut dyn Read, out: &mut dyn Write, time: Duration) -> io::Result<()> {
    number(input)?;
    let action = number(input)?;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let mut reply: Vec<u8> = words(&[2, action]);
    let found = match action {
        0x80001 | 0x40001 | 0x40006 => known(&name(input)?, time),
        0x80002 | 0x40002 => known_number(number(input)?, time),
        _ => None,
    };
    if let Some(number) = found {
        let text = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let name = text(&format!("u{number:06}"));
        let numbers: Vec<u8> = words(&[number, number]);
        let (one, none, [text_x, home, shell]) =
            (words(&[1]), text(""), [text("*"), text("/"), text("/bin/sh")]);
        reply.extend(match action {
            0x80001 | 0x80002 => [one, name, text_x, numbers, none, home, shell].concat(),
            // The list of a user's groups has no members.
            0x40006 => [one, name, text_x, words(&[number, 0])].concat(),
            _ => [one, name.clone(), text_x, words(&[number, 1]), name].concat(),
        });
    }
    let end: Vec<u8> = words(&[2]);
    reply.extend(end);
    out.write_all(&reply)
}
