//! dt: runs a command on every host of a pattern, and prints a line for each.
//!
//! Follows dtools (doc/dt.md): command line, database, patterns, lines. Differs: nothing is evaluated
//! here, limits work, and exit codes tell.

use crate::fleet::client::{Wishes, bytes};
use crate::fleet::complaint::{Complaint, MODULE, failure, tell};
use crate::fleet::database::{Database, Entry};
use crate::fleet::input::Input;
use crate::fleet::pattern::{difference, select};
use crate::fleet::reason::Reason;
use crate::fleet::report::{Done, Form, Report, Style};
use crate::fleet::rewrite::{Change, Replacement, change};
use crate::fleet::runner::{Failures, Limits, Runner};
use crate::fleet::screen::Screen;
use crate::fleet::spool::Output;
use crate::fleet::task::{Manner, NAMES, Task};
use crate::options::{Options, Spec};
use crate::server::signals::settle;
use crate::sys::error::{Error, Exit};
use crate::sys::output;
use crate::sys::spawn::raise_descriptors;
use nix::sys::resource::{Resource, getrlimit};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

mod topics;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: dt [OPTION]... PATTERN COMMAND [ARGUMENT]...
Runs COMMAND on all hosts of PATTERN at once and prints a line for each.
PATTERN  tag:a,b (or) tag:a+b (and) tag:a-b (not)  sys:HOST,web[1-9]  exp:RE
         all:  out: (from stdin)  not:P  P:P (of those)  P+P (both)
COMMAND  ssh CMD.. sudo CMD.. script FILE push FILE DST scp SRC DST rscp SRC DST
         local CMD ping list add [TAG].. tag [+T] [-T].. ssh-copy-id KEY..
  -D [FORMAT:]FILE   hosts and tags (~/.dtdb; -: stdin); FORMAT: dt, ssh-config,
                     known_hosts, ansible-ini, genders
  -x PATTERN         leave these out
  -l USER            log in as USER                 -h COMMAND  more about it
  -C N               at most N at a time (15)       -p, --dry-run    only list
  -T SEC, -W SEC     limits: to connect (5), for all (none)
  -q                 quote each argument            -i    one by one, may ask
  --stdin            standard input to each         -N    no colours
  -f FORM            host, status, compact, group or table instead of lines
  --live, --json     lines as they come; an object for each host
  -e, --status       messages that can be undone; exit codes in the lines
  --batch N          the next N when all are done
  --max-fail N[%]    start no more then             --failed FILE    list them
  --max-output BYTES of each host (1 MiB; 0: all)   --allow-empty
  -S                 exit with the largest exit code of all
Exit codes: 0 all good, 1 some failed, 2 usage, no host, 3 the command's own
error, 124 some timed out, 130 interrupted.
"];

/// Long options that have no letter.
mod long {
    pub const STDIN: u8 = 1;
    pub const STATUS: u8 = 2;
    pub const ALLOW_EMPTY: u8 = 3;
    pub const LIVE: u8 = 4;
    pub const JSON: u8 = 5;
    pub const FAILED: u8 = 6;
    pub const BATCH: u8 = 7;
    pub const MAX_FAIL: u8 = 8;
    pub const MAX_OUTPUT: u8 = 14;
}

const SPEC: Spec = Spec {
    flags: "pieqSNh\x01\x02\x03\x04\x05",
    values: "DxCTWfl\x06\x07\x08\x0e",
    alias: &[
        ("--help", b'?'),
        ("--version", b'V'),
        ("--db", b'D'),
        ("--exclude", b'x'),
        ("--user", b'l'),
        ("--coproc", b'C'),
        ("--timeout", b'T'),
        ("--command-timeout", b'W'),
        ("--quote", b'q'),
        ("--interactive", b'i'),
        ("--pretend", b'p'),
        ("--dry-run", b'p'),
        ("--no-color", b'N'),
        ("--filter", b'f'),
        ("--encode", b'e'),
        ("--largest", b'S'),
        ("--stdin", long::STDIN),
        ("--status", long::STATUS),
        ("--allow-empty", long::ALLOW_EMPTY),
        ("--live", long::LIVE),
        ("--json", long::JSON),
        ("--failed", long::FAILED),
        ("--batch", long::BATCH),
        ("--max-fail", long::MAX_FAIL),
        ("--max-output", long::MAX_OUTPUT),
    ],
    ..Spec::NONE
};

/// How many at a time, as dtools' code has it.
const JOBS: u64 = 15;

/// Most at a time: each has a process, and a descriptor or two.
const MOST_JOBS: u64 = 10_000;

/// Seconds for connecting.
const CONNECT: u64 = 5;

/// Most seconds: longer than any machine runs.
const MOST_SECONDS: u64 = 1_000_000_000;

/// Bytes that are kept of a host's output.
const OUTPUT: u64 = 1024 * 1024;

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    let options = SPEC.split(args)?;
    if options.flag(b'h') {
        let topic = options.rest.first().map(|word| word.as_bytes()).unwrap_or_default();
        let usage: String = USAGE.concat();
        let text = topics::TOPICS.iter().find(|(name, _)| name.as_bytes() == topic);
        output::print(text.map_or(usage.as_bytes(), |(_, text)| text.as_bytes()))?;
        return Ok(Exit::SUCCESS);
    }
    let [pattern, command, arguments @ ..] = options.rest else {
        return Err(Error::options(match options.rest {
            [] => "a pattern and a command are missing",
            _ => "a command is missing",
        }));
    };
    let settings = Settings::read(&options)?;
    settle();
    settings.run(pattern, command, arguments, &options).unwrap_or_else(|why| Err(why.end()))
}

/// What the options say.
struct Settings {
    form: Form,
    style: Style,
    limits: Limits,
    wishes: Wishes,
    largest: bool,
}

impl Settings {
    fn read(options: &Options<'_>) -> Result<Settings, Error> {
        let number = |letter, usual, most| Ok(options.number(letter, most)?.unwrap_or(usual));
        let mut forms = Vec::new();
        if let Some(name) = options.word(b'f') {
            let form = Form::by_name(name.as_bytes());
            forms.push(form.ok_or_else(|| Error::options("no such form:").about(name))?);
        }
        forms.extend(options.flag(long::LIVE).then_some(Form::Live));
        forms.extend(options.flag(long::JSON).then_some(Form::Json));
        if forms.len() > 1 {
            return Err(Error::options("-f, --live and --json exclude each other"));
        }
        let form = forms.pop().unwrap_or(Form::Lines);
        let interactive = options.flag(b'i');
        let timeout = number(b'T', CONNECT, MOST_SECONDS)?;
        let jobs = number(b'C', JOBS, MOST_JOBS)?.max(1);
        let output = number(long::MAX_OUTPUT, OUTPUT, u64::MAX)?;
        let limits = Limits {
            jobs: if interactive { 1 } else { usize::try_from(jobs).unwrap_or(1) },
            whole: number(b'W', 0, MOST_SECONDS)? * 1000,
            connect: timeout * 1000,
            batch: usize::try_from(number(long::BATCH, 0, u64::from(u32::MAX))?).unwrap_or(0),
            failures: options.word(long::MAX_FAIL).map(failures).transpose()?,
            output: if output == 0 { u64::MAX } else { output },
            apart: form.is_apart(),
            live: form == Form::Live,
            interactive,
        };
        let variable = std::env::var_os("DTOOLS_USER").filter(|user| !user.is_empty());
        let user = options.word(b'l').map(OsStr::to_owned).or(variable);
        let user = user.map(user_of).transpose()?;
        let no_colours =
            options.flag(b'N') || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let style = Style {
            command: "",
            coded: options.flag(b'e'),
            status: options.flag(long::STATUS),
            colours: !no_colours,
        };
        let wishes = Wishes { user, timeout, interactive };
        Ok(Settings { form, style, limits, wishes, largest: options.flag(b'S') })
    }

    /// Selects hosts, and does with them what the command says. The outer error is dt's own.
    fn run(
        mut self,
        pattern: &OsStr,
        command: &OsStr,
        arguments: &[OsString],
        options: &Options<'_>,
    ) -> Result<Result<Exit, Error>, Complaint> {
        let name = command.to_string_lossy();
        let mut commands = NAMES.iter().chain(&["add", "list", "tag"]);
        let Some(name) = commands.find(|known| **known == name) else {
            return Err(Complaint::usage(format!("unknown command {name:.80} (see dt --help)")));
        };
        let name = if options.flag(b'p') { "list" } else { name };
        self.style.command = name;
        let database = Database::of(options.word(b'D'));
        let mut hosts = select(text(pattern)?, &database)?;
        for pattern in options.words(b'x') {
            hosts = difference(hosts, &select(text(pattern)?, &database)?);
        }
        if hosts.is_empty() {
            if options.flag(long::ALLOW_EMPTY) {
                return Ok(Ok(Exit::SUCCESS));
            }
            let pattern = pattern.to_string_lossy();
            return Err(Complaint::usage(format!("no host matches {pattern:.200}")));
        }
        let failed = match options.word(long::FAILED) {
            None => None,
            Some(file) => Some(
                Replacement::begin(file.as_bytes())
                    .map_err(|errno| Complaint::system("write beside", file.as_bytes(), errno))?,
            ),
        };
        let words = bytes(arguments);
        let work = match name {
            "list" => Ok(Work::Told(Vec::new())),
            "add" | "tag" => edit(name, &hosts, words, &database),
            _ => self.task(name, words, options, &database).map(|task| Work::Run(Box::new(task))),
        };
        Ok(self.carry_out(work, &hosts, failed))
    }

    fn task(
        &self,
        name: &'static str,
        words: Vec<Vec<u8>>,
        options: &Options<'_>,
        database: &Database,
    ) -> Result<Task, Complaint> {
        let stdin = match options.flag(long::STDIN) {
            true if ["script", "push", "ssh-copy-id"].contains(&name) => {
                return Err(Complaint::usage("--stdin is not for a command that sends a file"));
            }
            true => {
                let text = database.standard_input()?;
                let kept = Input::of_many_bytes(&text);
                Some(kept.map_err(|e| Complaint::system("keep", b"standard input", e))?)
            }
            false => None,
        };
        let password = match self.wishes.interactive && name == "sudo" && stdin.is_none() {
            true => topics::password()?,
            false => None,
        };
        let quotes = options.flag(b'q');
        Task::new(name, words, Manner { wishes: self.wishes.clone(), quotes, stdin, password })
    }

    /// Runs it, or tells at once what there is to tell.
    fn carry_out(
        mut self,
        work: Result<Work, Complaint>,
        hosts: &[Entry],
        failed: Option<Replacement>,
    ) -> Result<Exit, Error> {
        // dt's own errors concern no host.
        let work = match work {
            Err(why) if why.exit != MODULE => return Err(why.end()),
            work => work,
        };
        if needs_descriptors(self.limits.jobs, hosts.len(), &self.form) {
            raise_descriptors();
        }
        let mut screen = Screen::new()?;
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        self.style.colours &= screen.out_is_terminal && !dumb;
        let mut tally = Tally { report: self.form.report(self.style), ..Tally::default() };
        match work {
            Ok(Work::Run(task)) => {
                let runner = Runner::new(&task, hosts, &self.limits)?;
                runner.run(&mut tally, &mut screen)?;
            }
            Ok(Work::Told(words)) => {
                for (at, entry) in hosts.iter().enumerate() {
                    let (word, code) = words.get(at).cloned().unwrap_or_default();
                    let mut output = Output::new(u64::MAX);
                    output.push(word.as_bytes());
                    let reason = Reason::Exit(code);
                    tally.done(&Done { entry, reason, millis: 0, outputs: &[output] }, &mut screen);
                }
            }
            Err(why) => {
                for entry in hosts {
                    let reason = Reason::Module(why.text.clone());
                    tally.done(&Done { entry, reason, millis: 0, outputs: &[] }, &mut screen);
                }
            }
        }
        tally.end(&mut screen);
        screen.flush();
        let exit = tally.exit(screen.is_ending() || screen.is_gone(), self.largest);
        if let Some(Err(errno)) = failed.map(|file| file.commit(&tally.failed)) {
            tell("fail", &failure("write", b"the list of --failed", errno));
            return Ok(if exit == Exit::SUCCESS { Exit::FAILURE } else { exit });
        }
        Ok(exit)
    }
}

/// What there is to do.
enum Work {
    /// A program for each host.
    Run(Box<Task>),
    /// It is done: a word for each host, and its exit code; none is a word that is empty.
    Told(Vec<(String, u8)>),
}

/// `add` and `tag`.
fn edit(
    name: &str,
    hosts: &[Entry],
    words: Vec<Vec<u8>>,
    database: &Database,
) -> Result<Work, Complaint> {
    let mut what = Change { adds_hosts: name == "add", add: Vec::new(), remove: Vec::new() };
    for word in words {
        let (list, tag) = match word.split_first() {
            Some((b'-', tag)) if !what.adds_hosts => (&mut what.remove, tag),
            Some((b'+', tag)) if !what.adds_hosts => (&mut what.add, tag),
            _ => (&mut what.add, word.as_slice()),
        };
        let wrong = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control();
        if tag.is_empty() || tag.starts_with(b"#") || tag.iter().any(wrong) {
            let word = String::from_utf8_lossy(&word).into_owned();
            return Err(Complaint::module(format!("no tag: {word:.80}")));
        }
        list.push(tag.to_vec());
    }
    if !what.adds_hosts && what.add.is_empty() && what.remove.is_empty() {
        let known = database.entries()?;
        let tags = |host: &Entry| match known.iter().find(|entry| entry.word == host.word) {
            Some(entry) => (entry.tags.join(" "), 0),
            None => ("not in the database".to_owned(), 1),
        };
        return Ok(Work::Told(hosts.iter().map(tags).collect()));
    }
    let absent = change(&database.file()?, hosts, &what)?;
    let told = |host: &Entry| match absent.contains(&host.word) {
        true => ("not in the database".to_owned(), 1),
        false => Default::default(),
    };
    Ok(Work::Told(hosts.iter().map(told).collect()))
}

/// Counts what is told.
struct Tally {
    report: Box<dyn Report>,
    modules: bool,
    failures: bool,
    timeouts: bool,
    largest: u8,
    /// Lines of a database: who failed, or was not started.
    failed: Vec<u8>,
}

impl Default for Tally {
    fn default() -> Self {
        let style = Style { command: "", coded: false, status: false, colours: false };
        Tally {
            report: Form::Lines.report(style),
            modules: false,
            failures: false,
            timeouts: false,
            largest: 0,
            failed: Vec::new(),
        }
    }
}

impl Tally {
    fn exit(&self, interrupted: bool, largest: bool) -> Exit {
        match self {
            _ if interrupted => Exit::new(130),
            Tally { modules: true, .. } => Exit::new(3),
            _ if largest => Exit::new(self.largest),
            Tally { failures: true, .. } => Exit::FAILURE,
            Tally { timeouts: true, .. } => Exit::new(124),
            _ => Exit::SUCCESS,
        }
    }
}

impl Report for Tally {
    fn live(&mut self, entry: &Entry, stream: usize, bytes: &[u8], screen: &mut Screen) {
        self.report.live(entry, stream, bytes, screen);
    }

    fn done(&mut self, done: &Done<'_>, screen: &mut Screen) {
        match &done.reason {
            Reason::Exit(0) => {}
            Reason::Timeout(_) => self.timeouts = true,
            Reason::Module(_) => self.modules = true,
            _ => self.failures = true,
        }
        self.largest = self.largest.max(done.exit());
        if done.reason != Reason::Exit(0) {
            self.failed.extend_from_slice(done.entry.word.as_bytes());
            for tag in &done.entry.tags {
                self.failed.push(b' ');
                self.failed.extend_from_slice(tag.as_bytes());
            }
            self.failed.push(b'\n');
        }
        self.report.done(done, screen);
    }

    fn end(&mut self, screen: &mut Screen) {
        self.report.end(screen);
    }
}

/// Whether more are wanted than there are: each program has up to three while it starts, and a message
/// that is kept to the end one. (Programs get the limit that we had: that costs calls for each.)
fn needs_descriptors(jobs: usize, hosts: usize, form: &Form) -> bool {
    let kept = if matches!(form, Form::Filter(_)) { hosts } else { 0 };
    let wanted = (jobs.min(hosts) * 3 + kept + 32) as u64;
    getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft < wanted)
}

fn text(pattern: &OsStr) -> Result<&str, Complaint> {
    pattern.to_str().ok_or_else(|| Complaint::usage("a pattern that is no UTF-8"))
}

/// `N` or `N%`.
fn failures(word: &OsStr) -> Result<Failures, Error> {
    let wrong = || Error::options("--max-fail takes a number from 1, or a percentage:").about(word);
    let text = word.to_str().ok_or_else(wrong)?;
    let (digits, percent) = match text.strip_suffix('%') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let number: usize = digits.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    match percent {
        true if number <= 100 => Ok(Failures::Percent(number)),
        false => Ok(Failures::Count(number)),
        true => Err(wrong()),
    }
}

/// A user's name, which must not be taken for an option, nor for anything else of a destination.
fn user_of(name: OsString) -> Result<String, Error> {
    let good = |name: &str| {
        let may = |c: char| c.is_ascii_alphanumeric() || "._-@\\+".contains(c);
        !name.is_empty() && !name.starts_with('-') && name.chars().all(may)
    };
    match name.to_str().filter(|name| good(name)) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::options("no user:").about(name)),
    }
}
