//! Does a command to services, and tells what came of it: as lines, or as JSON.

use super::command::{Action, Command};
use super::control::{Sent, is_done, kill, send};
use super::down;
use super::find::Service;
use super::json;
use super::lines::{self, Style};
use super::log;
use super::look::{Look, Trouble, look};
use super::process::{Node, Processes};
use super::report::{Report, Told, report};
use super::state::{Family, State};
use super::text::{is_control, push_shown};
use crate::sys::clock::{millis, real_time};
use crate::sys::error::Error;
use nssproto::supervise::Stamp;
use std::thread::sleep;
use std::time::Duration;

/// Between two looks at services that are waited for.
const LOOK_MILLIS: u64 = 100;

/// What a script `check` gets at least, however short the wait is.
const CHECK_MILLIS: u64 = 1000;

/// Output is written when there is this much of it.
const ENOUGH: usize = 8 * 1024;

/// The exit code that counts services is this at most.
const COUNT_MAX: u32 = 99;

/// What a command line asks besides.
#[derive(Clone, Copy)]
pub struct Options {
    /// Seconds to wait.
    pub wait: u64,
    /// All commands wait.
    pub verbose: bool,
    /// JSON in place of lines.
    pub json: bool,
    /// The exit code of status is that of LSB.
    pub lsb: bool,
    /// Called by a service's name: LSB's exit code, and it is that of its own script.
    pub script: bool,
    /// The process tree.
    pub tree: bool,
    /// So many lines of the log.
    pub log_lines: Option<usize>,
    /// enable and disable also start and stop.
    pub now: bool,
    /// Names come from a list: what went away meanwhile is left out.
    pub listed: bool,
    /// For a terminal: without what would move its cursor.
    pub terminal: bool,
    /// With colours.
    pub colours: bool,
}

impl Options {
    /// None of them, and runit's 7 s.
    pub const NONE: Options = Options {
        wait: 7,
        verbose: false,
        json: false,
        lsb: false,
        script: false,
        tree: false,
        log_lines: None,
        now: false,
        listed: false,
        terminal: false,
        colours: false,
    };
}

/// LSB's codes for status.
const LSB_UP: u8 = 0;
const LSB_DOWN: u8 = 3;
const LSB_UNKNOWN: u8 = 4;

/// Takes output.
pub type Write<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Error>;

/// Does `command` to all of them; the exit code.
pub fn run(
    command: &Command,
    services: Vec<Service>,
    options: Options,
    write: Write<'_>,
) -> Result<u8, Error> {
    let now = stamp_of_now();
    let style = Style { now, colours: options.colours };
    let mut session = Session {
        options,
        write,
        text: Vec::new(),
        troubles: 0,
        code: LSB_UP,
        start: now,
        until: millis().saturating_add(options.wait.saturating_mul(1000)),
        style,
        processes: None,
    };
    match command.action {
        Action::Status => {
            for service in &services {
                session.status(service)?;
            }
        }
        Action::Enable | Action::Disable => session.set_down(command, services)?,
        Action::Check => session.wait(command, services)?,
        Action::Control => session.control(command, services)?,
    }
    session.flush()?;
    Ok(session.exit_code(command))
}

/// The time, as stamps have it.
pub fn stamp_of_now() -> Stamp {
    let (seconds, nanos) = real_time();
    Stamp::of_unix(seconds, nanos)
}

struct Session<'a> {
    options: Options,
    write: Write<'a>,
    text: Vec<u8>,
    /// Services with trouble.
    troubles: u32,
    /// The worst of LSB's codes.
    code: u8,
    start: Stamp,
    /// The end of the wait, on the clock of deadlines.
    until: u64,
    style: Style,
    processes: Option<Processes>,
}

impl Session<'_> {
    fn flush(&mut self) -> Result<(), Error> {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() { Ok(()) } else { (self.write)(&text) }
    }

    fn end_line(&mut self) -> Result<(), Error> {
        self.text.push(b'\n');
        if self.text.len() < ENOUGH { Ok(()) } else { self.flush() }
    }

    fn exit_code(&self, command: &Command) -> u8 {
        let is_status = command.action == Action::Status;
        if is_status && (self.options.lsb || self.options.script) {
            return self.code;
        }
        self.troubles.min(COUNT_MAX) as u8
    }

    /// A service is not as it should be.
    fn count(&mut self) {
        self.troubles = self.troubles.saturating_add(1);
    }

    /// `status` of a service: a line, and what was asked for besides.
    fn status(&mut self, service: &Service) -> Result<(), Error> {
        let found = report(service);
        let code = match &found.main {
            Told::Trouble(trouble) if self.options.listed && trouble.is_missing() => return Ok(()),
            Told::State(state, _) if state.pid != 0 => LSB_UP,
            Told::State(..) => LSB_DOWN,
            // As runit's: it is one service with trouble.
            _ if self.options.script && !matches!(found.main, Told::Trouble(_)) => 1,
            Told::Trouble(trouble) if self.options.script && trouble.kind == "fail" => 1,
            _ => LSB_UNKNOWN,
        };
        self.code = self.code.max(code);
        let is_state = |told: &Told| matches!(told, Told::State(..));
        if !is_state(&found.main) || found.log.as_ref().is_some_and(|log| !is_state(log)) {
            self.count();
        }
        let trees = if self.options.tree { self.trees(&found) } else { Vec::new() };
        let log = self.options.log_lines.map(|most| self.log_lines(&found, most));
        if self.options.json {
            let options = self.options;
            json::report(&mut self.text, &service.name, &found, self.style.now, |object| {
                if options.tree {
                    object.objects("processes", &trees, |node, object| {
                        object.number("pid", node.pid.into());
                        object.number("parent", node.parent.into());
                        object.text("command", &node.command);
                    });
                }
                match &log {
                    None => {}
                    Some(Ok(lines)) => object.texts("log_lines", lines),
                    Some(Err(why)) => {
                        object.raw("log_lines", b"null");
                        object.text("log_error", why.as_bytes());
                    }
                }
            });
            return self.end_line();
        }
        lines::told(&mut self.text, &service.name, &service.name, &found.main, self.style);
        if let Some(log) = &found.log {
            self.text.extend_from_slice(b"; ");
            let name = [service.name.as_slice(), b"/log"].concat();
            lines::told(&mut self.text, b"log", &name, log, self.style);
        }
        self.end_line()?;
        for node in &trees {
            self.text.resize(self.text.len() + 2 * (node.depth + 1), b' ');
            lines::number(&mut self.text, node.pid.into());
            self.text.push(b' ');
            self.text.extend_from_slice(&node.command);
            self.end_line()?;
        }
        match log {
            None => {}
            Some(Ok(lines)) => {
                for line in lines {
                    self.text.extend_from_slice(b"  | ");
                    self.push_log_line(&line);
                    self.end_line()?;
                }
            }
            Some(Err(why)) => {
                self.text.extend_from_slice(b"  (no log: ");
                push_shown(&mut self.text, why.as_bytes());
                self.text.push(b')');
                self.end_line()?;
            }
        }
        Ok(())
    }

    /// A terminal gets no control bytes but tabs; what reads a pipe gets the line as it is.
    fn push_log_line(&mut self, line: &[u8]) {
        let is_bad = |byte: u8| self.options.terminal && is_control(byte) && byte != b'\t';
        self.text.extend(line.iter().map(|byte| if is_bad(*byte) { b'?' } else { *byte }));
    }

    fn processes(&mut self) -> &Processes {
        self.processes.get_or_insert_with(Processes::now)
    }

    /// What a service and its log service run.
    fn trees(&mut self, found: &Report) -> Vec<Node> {
        let pid = |told: &Told| match told {
            Told::State(state, _) if state.pid != 0 => Some(state.pid),
            _ => None,
        };
        let mut nodes = Vec::new();
        for pid in [pid(&found.main), found.log.as_ref().and_then(pid)].into_iter().flatten() {
            nodes.extend(self.processes().tree(pid));
        }
        nodes
    }

    fn log_lines(&mut self, found: &Report, most: usize) -> Result<Vec<Vec<u8>>, String> {
        match &found.log {
            None => Err("it has no log service".to_owned()),
            Some(Told::State(state, _)) if state.pid != 0 => {
                let pid = state.pid;
                log::last_lines(pid, self.processes(), most)
            }
            Some(_) => Err("its log service does not run".to_owned()),
        }
    }

    /// Sends to each service, and waits for those that can be.
    fn control(&mut self, command: &Command, services: Vec<Service>) -> Result<(), Error> {
        let waits = command.waits || self.options.verbose;
        let mut left = Vec::new();
        for service in services {
            match send(&service, command) {
                Sent::Yes if waits => left.push(service),
                Sent::Yes if self.options.json => self.tell_now(&service, "sent")?,
                Sent::Yes => {}
                Sent::Unsupervised(family) => self.unsupervised(&service, command, family)?,
                Sent::Trouble(trouble) => self.trouble(&service, trouble)?,
            }
        }
        self.wait(command, left)
    }

    /// Looks at services until each is as it is wanted, or the time is over.
    fn wait(&mut self, command: &Command, mut services: Vec<Service>) -> Result<(), Error> {
        let waits = command.waits || self.options.verbose;
        while waits && !services.is_empty() {
            let late = millis() > self.until;
            self.style.now = stamp_of_now();
            let mut left = Vec::new();
            for service in services {
                match look(&service) {
                    Look::Unsupervised(family) => self.unsupervised(&service, command, family)?,
                    Look::Trouble(trouble) => self.trouble(&service, trouble)?,
                    Look::Seen(state, _) => {
                        let check_until = self.until.max(millis() + CHECK_MILLIS);
                        if is_done(&service, command, &state, self.start, check_until) {
                            self.ended(&service, &state, "ok")?;
                        } else if late {
                            let word = if command.kills { "kill" } else { "timeout" };
                            self.ended(&service, &state, word)?;
                            self.count();
                            if command.kills {
                                self.kill(&service)?;
                            }
                        } else {
                            left.push(service);
                        }
                    }
                }
            }
            services = left;
            self.flush()?;
            if !services.is_empty() {
                let left = self.until.saturating_add(1).saturating_sub(millis());
                sleep(Duration::from_millis(LOOK_MILLIS.min(left.max(1))));
            }
        }
        Ok(())
    }

    fn kill(&mut self, service: &Service) -> Result<(), Error> {
        match kill(service) {
            Sent::Yes => Ok(()),
            Sent::Unsupervised(_) if self.options.json => Ok(()),
            Sent::Unsupervised(family) => {
                self.count();
                lines::unsupervised(&mut self.text, &service.name, family, false);
                self.end_line()
            }
            Sent::Trouble(trouble) => self.trouble(service, trouble),
        }
    }

    /// `ok: run: NAME: …`
    fn ended(&mut self, service: &Service, state: &State, result: &str) -> Result<(), Error> {
        if self.options.json {
            return self.tell_now(service, result);
        }
        match super::look::is_normally_up(service) {
            Ok(normally_up) => {
                self.text.extend_from_slice(result.as_bytes());
                self.text.extend_from_slice(b": ");
                lines::state(&mut self.text, &service.name, state, normally_up, self.style);
                self.end_line()
            }
            Err(trouble) => self.trouble(service, trouble),
        }
    }

    /// The state as JSON, with what became of the command.
    fn tell_now(&mut self, service: &Service, result: &str) -> Result<(), Error> {
        let found = report(service);
        json::report(&mut self.text, &service.name, &found, stamp_of_now(), |object| {
            object.text("result", result.as_bytes());
        });
        self.end_line()
    }

    /// There is no supervisor: that is what exit wanted.
    fn unsupervised(
        &mut self,
        service: &Service,
        command: &Command,
        family: Family,
    ) -> Result<(), Error> {
        let wanted = command.is_exit();
        if !wanted {
            self.count();
        }
        if self.options.json {
            let found = Report { main: Told::Unsupervised(family), log: None };
            json::report(&mut self.text, &service.name, &found, self.style.now, |object| {
                object.text("result", if wanted { b"ok" } else { b"fail" });
            });
        } else {
            lines::unsupervised(&mut self.text, &service.name, family, wanted);
        }
        self.end_line()
    }

    fn trouble(&mut self, service: &Service, trouble: Trouble) -> Result<(), Error> {
        self.count();
        let found = Report { main: Told::Trouble(trouble), log: None };
        if self.options.json {
            json::report(&mut self.text, &service.name, &found, self.style.now, |object| {
                object.text("result", b"fail");
            });
        } else {
            lines::told(&mut self.text, &service.name, &service.name, &found.main, self.style);
        }
        self.end_line()
    }

    /// enable, disable; with `-n` what was changed is started or stopped as well.
    fn set_down(&mut self, command: &Command, services: Vec<Service>) -> Result<(), Error> {
        let up = command.action == Action::Enable;
        let mut left = Vec::new();
        for service in services {
            if let Err(trouble) = down::set(&service, up) {
                self.trouble(&service, trouble)?;
            } else if self.options.now {
                left.push(service);
            } else if self.options.json {
                self.tell_now(&service, "ok")?;
            } else if self.options.verbose {
                self.text.extend_from_slice(b"ok: ");
                push_shown(&mut self.text, &service.name);
                let normally: &[u8] = if up { b": normally up" } else { b": normally down" };
                self.text.extend_from_slice(normally);
                self.end_line()?;
            }
        }
        match Command::of(if up { b"start" } else { b"stop" }) {
            Some(command) if !left.is_empty() => self.control(&command, left),
            _ => Ok(()),
        }
    }
}
