//! The commands of dt: what is started for a host, and what is made of its output.

pub mod push;

use self::push::Push;
use super::client::{Client, Kind, SCP_VALUES, Wishes, required, split_options};
use super::complaint::{Complaint, failure};
use super::database::Entry;
use super::host::field;
use super::input::Input;
use crate::sys::file::{base, join, open_path, read_all};
use crate::sys::program::find;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::AsFd;

/// What is started for a host.
pub struct Launch<'a> {
    /// The program's path, and its arguments.
    pub words: Vec<Vec<u8>>,
    /// Its standard input.
    pub input: &'a Input,
    /// What the host prints once it is reached, where the client does not tell.
    pub mark: Option<&'a [u8]>,
}

/// How a child's output is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As it is.
    Plain,
    /// As ping's.
    Ping,
}

/// A command, read and ready to be started anywhere.
pub struct Task {
    /// Its name, as lines have it.
    pub name: &'static str,
    /// How its output is told.
    pub reading: Reading,
    /// Whether ssh is between: its 255 is its own.
    pub is_ssh: bool,
    work: Work,
    input: Input,
    mark: Option<Vec<u8>>,
}

enum Work {
    Remote { client: Client, command: Vec<u8> },
    Copy { client: Client, scp: CString, options: Vec<Vec<u8>>, files: Vec<Vec<u8>>, to: Vec<u8> },
    Fetch { client: Client, scp: CString, options: Vec<Vec<u8>>, from: Vec<u8>, to: Vec<u8> },
    Local { program: Result<CString, Errno>, front: Vec<Vec<u8>>, behind: Vec<Vec<u8>> },
    Ping { program: CString, timeout: u64 },
    Push { client: Client, push: Box<Push> },
}

/// The names of commands that are started; the others are `list`, `add` and `tag`.
pub const NAMES: &[&str] =
    &["local", "ping", "push", "rscp", "scp", "script", "ssh", "ssh-copy-id", "sudo"];

/// What the options say about all commands.
pub struct Manner {
    /// About connections.
    pub wishes: Wishes,
    /// Each argument is quoted.
    pub quotes: bool,
    /// What `--stdin` gives to each host.
    pub stdin: Option<Input>,
    /// The password that `-i` has asked for.
    pub password: Option<Vec<u8>>,
}

impl Task {
    /// Reads a command's arguments. A complaint of exit 3 is the command's own.
    pub fn new(name: &str, words: Vec<Vec<u8>>, manner: Manner) -> Result<Task, Complaint> {
        let name = NAMES.iter().find(|known| **known == name).copied().unwrap_or_default();
        let missing = || Complaint::module("missing arguments");
        let mut input = match (manner.stdin, manner.wishes.interactive) {
            (Some(input), _) => input,
            (None, true) => Input::Ours,
            (None, false) => Input::Null,
        };
        let quotes = manner.quotes;
        let timeout = manner.wishes.timeout;
        let client = || Client::new(manner.wishes.clone());
        let work = match name {
            "ssh" | "sudo" => {
                let mut command = match words.is_empty() {
                    true => return Err(missing()),
                    false => joined(&words, quotes),
                };
                if name == "sudo" {
                    let sudo: &[u8] = match &manner.password {
                        Some(password) => {
                            input = Input::of_bytes(&[password, &b"\n"[..]].concat())
                                .map_err(|e| Complaint::system("keep", b"the password", e))?;
                            b"sudo -S -p '' "
                        }
                        None => b"sudo ",
                    };
                    command.splice(..0, sudo.iter().copied());
                }
                Work::Remote { client: client()?, command }
            }
            "script" => {
                let (file, arguments) = words.split_first().ok_or_else(missing)?;
                let (script, command) = script(file, arguments)?;
                input = script;
                Work::Remote { client: client()?, command }
            }
            "ssh-copy-id" => {
                if words.is_empty() {
                    return Err(missing());
                }
                input = keys(&words)?;
                Work::Remote { client: client()?, command: COPY_ID.to_vec() }
            }
            "scp" | "rscp" => {
                let (options, mut files) = split_options(words, SCP_VALUES);
                let to = files.pop().filter(|_| !files.is_empty()).ok_or_else(missing)?;
                let client = client()?;
                if client.kind == Kind::Dropbear {
                    return Err(Complaint::module("needs OpenSSH's ssh; push does without"));
                }
                let scp = required("scp")?;
                match (name, files.as_slice()) {
                    ("scp", _) => Work::Copy { client, scp, options, files, to },
                    (_, [from]) => Work::Fetch { client, scp, options, from: from.clone(), to },
                    _ => return Err(Complaint::module("too many arguments")),
                }
            }
            "local" => {
                let (command, behind) = words.split_first().ok_or_else(missing)?;
                let mut front =
                    command.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
                let program = front.next().ok_or_else(missing)?;
                let mut words = vec![program.to_vec()];
                words.extend(front.map(<[u8]>::to_vec));
                Work::Local { program: find(program), front: words, behind: behind.to_vec() }
            }
            "ping" => Work::Ping { program: required("ping")?, timeout },
            "push" => {
                let client = client()?;
                let (push, file) = Push::new(words)?;
                input = file;
                Work::Push { client, push: Box::new(push) }
            }
            _ => return Err(Complaint::usage(format!("unknown command {name}"))),
        };
        let client = match &work {
            Work::Remote { client, .. } | Work::Push { client, .. } => Some(client),
            _ => None,
        };
        // A word that no command prints by itself.
        let mark = client.filter(|client| client.kind == Kind::Dropbear).map(|_| {
            let number = crate::sys::clock::file_time().unsigned_abs();
            format!("dt-reached-{}-{number}", std::process::id()).into_bytes()
        });
        let reading = if name == "ping" { Reading::Ping } else { Reading::Plain };
        let is_ssh = !matches!(name, "local" | "ping");
        Ok(Task { name, reading, is_ssh, work, input, mark })
    }

    /// What is started for a host in this stage; later ones follow where `before` is what the one in
    /// front of it printed.
    pub fn launch(&self, entry: &Entry, stage: usize, before: &[u8]) -> Result<Launch<'_>, String> {
        let address = entry.address();
        let remote = |client: &Client, command: &[u8]| match &self.mark {
            // It says that the host was reached.
            Some(mark) => {
                client.remote(&address, &[b"echo ", mark.as_slice(), b"; ", command].concat())
            }
            None => client.remote(&address, command),
        };
        let mut input = &self.input;
        let words = match &self.work {
            Work::Remote { client, command } => remote(client, command),
            Work::Copy { client, scp, options, files, to } => {
                let (mut words, front) = client.copy(scp, &address, options);
                words.extend(files.iter().map(|file| local_name(file)));
                words.push([front.as_slice(), to].concat());
                words
            }
            Work::Fetch { client, scp, options, from, to } => {
                let (mut words, front) = client.copy(scp, &address, options);
                words.push([front.as_slice(), from].concat());
                let name = field(&entry.word).into_bytes();
                let to = match is_folder(to) {
                    true => join(to, &name),
                    false => [to.as_slice(), b".", &name].concat(),
                };
                words.push(local_name(&to));
                words
            }
            Work::Local { program, front, behind } => {
                let program = program.as_ref().map_err(|errno| {
                    failure("run", front.first().map(Vec::as_slice).unwrap_or_default(), *errno)
                })?;
                let mut words = vec![program.as_bytes().to_vec()];
                words.extend(front.iter().skip(1).cloned());
                words.push(entry.word.clone().into_bytes());
                words.extend(behind.iter().cloned());
                words
            }
            Work::Ping { program, timeout } => {
                let wait = (*timeout).max(1).to_string().into_bytes();
                let words = [program.as_bytes(), b"-q", b"-c", b"1", b"-W", &wait];
                let mut words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
                words.push(address.host.name.clone().into_bytes());
                words
            }
            Work::Push { client, push } => {
                let step = push.step(stage, before)?;
                input = step.input.unwrap_or(input);
                remote(client, &step.command)
            }
        };
        Ok(Launch { words, input, mark: self.mark.as_deref() })
    }

    /// How many programs are started for a host, one after the other.
    pub fn stages(&self) -> usize {
        match &self.work {
            Work::Push { push, .. } => push.stages(),
            _ => 1,
        }
    }
}

/// Arguments for the shell there: joined by blanks as ssh does, or each quoted.
fn joined(words: &[Vec<u8>], quotes: bool) -> Vec<u8> {
    let words: Vec<Vec<u8>> = match quotes {
        true => words.iter().map(|word| quoted(word)).collect(),
        false => words.to_vec(),
    };
    words.join(&b' ')
}

/// A word in single quotes.
pub fn quoted(word: &[u8]) -> Vec<u8> {
    let mut text = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => text.extend_from_slice(b"'\\''"),
            _ => text.push(*byte),
        }
    }
    text.push(b'\'');
    text
}

/// A local file for scp: a colon or a dash in front would mean something.
fn local_name(name: &[u8]) -> Vec<u8> {
    let colon = name.iter().position(|b| *b == b':');
    let slash = name.iter().position(|b| *b == b'/');
    let is_plain = match (colon, slash) {
        (Some(colon), Some(slash)) => slash < colon,
        (Some(_), None) => false,
        _ => true,
    };
    if is_plain { name.to_vec() } else { [b"./", name].concat() }
}

fn is_folder(path: &[u8]) -> bool {
    open_path(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).is_ok()
}

/// A file that every host gets.
pub fn opened(name: &[u8]) -> Result<std::os::fd::OwnedFd, Complaint> {
    let file = open_path(name, OFlags::RDONLY, Mode::empty());
    file.map_err(|errno| Complaint::module(failure("open", name, errno)))
}

/// Longest first line of a script that is looked at.
const FIRST_LINE: usize = 512;

/// The script, and the command that reads it from its standard input.
fn script(name: &[u8], arguments: &[Vec<u8>]) -> Result<(Input, Vec<u8>), Complaint> {
    let file = opened(name)?;
    let mut front = vec![0; FIRST_LINE];
    let len = crate::sys::file::pread_full(&file, &mut front, 0)
        .map_err(|errno| Complaint::module(failure("read", name, errno)))?;
    front.truncate(len);
    let line = front.split(|b| *b == b'\n').next().unwrap_or_default();
    let interpreter = match line.strip_prefix(b"#!") {
        Some(rest) => rest.trim_ascii(),
        None => b"/bin/sh",
    };
    let mut command = interpreter.to_vec();
    if !arguments.is_empty() {
        let words = interpreter.split(|b| *b == b' ').filter(|word| !word.is_empty());
        let mut names = words.map(base).filter(|word| !word.starts_with(b"-") && *word != b"env");
        let program = names.next().unwrap_or_default();
        let dash: &[u8] = match program {
            b"sh" | b"ash" | b"bash" | b"dash" | b"ksh" | b"mksh" | b"zsh" => b" -s --",
            b"perl" | b"ruby" => b" -",
            _ if program.starts_with(b"python") => b" -",
            _ => {
                let program = String::from_utf8_lossy(program).into_owned();
                return Err(Complaint::module(format!("no way to give {program} arguments")));
            }
        };
        command.extend_from_slice(dash);
        for argument in arguments {
            command.push(b' ');
            command.extend_from_slice(&quoted(argument));
        }
    }
    Ok((Input::File(file), command))
}

/// Adds each key that is not there yet. One line without a quote inside, for any login shell.
const COPY_ID: &[u8] =
    b"exec sh -c 'umask 077; f=.ssh/authorized_keys; mkdir -p .ssh && touch $f || exit 1; \
    if [ -n \"$(tail -c 1 $f)\" ]; then echo >>$f || exit 1; fi; \
    while IFS= read -r k; do grep -qxF -e \"$k\" $f || echo \"$k\" >>$f || exit 1; done'";

/// Most that is read of a file of keys.
const KEYS: usize = 1024 * 1024;

fn keys(names: &[Vec<u8>]) -> Result<Input, Complaint> {
    let mut all = Vec::new();
    for name in names {
        let text = read_all(opened(name)?.as_fd(), KEYS)
            .map_err(|errno| Complaint::module(failure("read", name, errno)))?;
        let name = String::from_utf8_lossy(name);
        if memchr::memmem::find(&text, b"PRIVATE KEY").is_some() {
            return Err(Complaint::module(format!("{name} is a private key: it goes nowhere")));
        }
        for line in text.split(|b| *b == b'\n') {
            let line = line.trim_ascii();
            // echo there would take a backslash for an escape, and no key has one.
            if line.contains(&b'\\') || line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
                return Err(Complaint::module(format!("{name} is no file of public keys")));
            }
            if !line.is_empty() && !line.starts_with(b"#") {
                all.extend_from_slice(line);
                all.push(b'\n');
            }
        }
    }
    Input::of_bytes(&all).map_err(|errno| Complaint::module(failure("keep", b"the keys", errno)))
}

/// What ping says, in a word: the time it took, or why there was none.
pub fn ping_result(text: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    for line in text.lines() {
        // rtt min/avg/max/mdev = 0.031/0.031/0.031/0.000 ms; busybox: round-trip min/avg/max = …
        if let Some((_, times)) =
            line.split_once("min/avg/max").and_then(|(_, r)| r.split_once(" = "))
        {
            let time = times.split('/').nth(1)?;
            return Some(format!("{time} ms").into_bytes());
        }
        if let Some(why) = line.strip_prefix("ping: ") {
            return Some(why.as_bytes().to_vec());
        }
    }
    text.contains(" 0 received").then(|| b"no answer".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell_there() {
        assert_eq!(quoted(b"a b"), b"'a b'");
        assert_eq!(quoted(b"c'd"), b"'c'\\''d'");
        assert_eq!(joined(&[b"echo".to_vec(), b"$x".to_vec()], true), b"'echo' '$x'");
        assert_eq!(joined(&[b"echo".to_vec(), b"$x".to_vec()], false), b"echo $x");
    }

    #[test]
    fn a_local_name_is_never_a_remote_one() {
        assert_eq!(local_name(b"a:b"), b"./a:b");
        assert_eq!(local_name(b"/x/a:b"), b"/x/a:b");
        assert_eq!(local_name(b"a b"), b"a b");
    }

    #[test]
    fn ping_tells_its_time() {
        let text = b"PING x\n\nrtt min/avg/max/mdev = 0.031/0.041/0.051/0.000 ms\n";
        assert_eq!(ping_result(text).unwrap(), b"0.041 ms");
        assert_eq!(ping_result(b"round-trip min/avg/max = 0.1/0.2/0.3 ms").unwrap(), b"0.2 ms");
        assert_eq!(ping_result(b"ping: x: Name unknown\n").unwrap(), b"x: Name unknown");
        assert_eq!(ping_result(b"other"), None);
    }
}
