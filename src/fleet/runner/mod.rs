//! Runs a command on hosts, so many at a time: an event loop over their output, without a thread.

mod job;

use self::job::{Cause, GRACE, Job};
use super::complaint::failure;
use super::database::Entry;
use super::progress::Progress;
use super::reason::Reason;
use super::report::{Done, Report};
use super::screen::{Came, Screen};
use super::spool::Output;
use super::task::{Launch, Reading, Task, ping_result};
use crate::sys::clock::{NEVER, millis, time_left};
use crate::sys::error::{Error, unable};
use crate::sys::spawn::Command;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitStatus};
use rustix::stdio::stdin;
use std::os::fd::{AsFd, OwnedFd};

/// What is read at a time.
const PIECE: usize = 64 * 1024;

/// How hosts are run.
pub struct Limits {
    /// At a time.
    pub jobs: usize,
    /// Milliseconds for the whole command; 0: no limit.
    pub whole: u64,
    /// Milliseconds for connecting, where the client has no such limit.
    pub connect: u64,
    /// The next so many begin when all of these are done; 0: all at once.
    pub batch: usize,
    /// Failures after which none is started any more.
    pub failures: Option<Failures>,
    /// Bytes that are kept of each host's output.
    pub output: u64,
    /// Standard error is told apart from standard output.
    pub apart: bool,
    /// Lines are told as they come, and nothing is kept.
    pub live: bool,
    /// Each has our terminal, one after the other.
    pub interactive: bool,
}

/// How many failures are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// So many in all.
    Count(usize),
    /// So many of a hundred of a batch.
    Percent(usize),
}

/// A run.
pub struct Runner<'a> {
    task: &'a Task,
    limits: &'a Limits,
    hosts: &'a [Entry],
    command: Box<Command>,
    jobs: Vec<Job<'a>>,
    /// The next to be started.
    next: usize,
    /// How many run at most: fewer than was asked for, where the machine has no room for them.
    most: usize,
    /// Where the batch ends, and how many of it have failed.
    batch: std::ops::Range<usize>,
    batch_failed: usize,
    failed: usize,
    done: usize,
    /// None is started any more.
    closed: bool,
    /// When the last ^C came.
    asked: Option<u64>,
}

impl<'a> Runner<'a> {
    /// Ready to run `task` on `hosts`.
    pub fn new(task: &'a Task, hosts: &'a [Entry], limits: &'a Limits) -> Result<Self, Error> {
        let command = Command::new(&[]).map_err(unable("unable to take the environment"))?;
        let size = if limits.batch == 0 { hosts.len() } else { limits.batch.min(hosts.len()) };
        Ok(Runner {
            task,
            limits,
            hosts,
            command,
            jobs: Vec::new(),
            next: 0,
            most: limits.jobs,
            batch: 0..size,
            batch_failed: 0,
            failed: 0,
            done: 0,
            closed: false,
            asked: None,
        })
    }

    /// Runs it everywhere, or until it is interrupted: then the screen is ending.
    pub fn run(mut self, report: &mut dyn Report, screen: &mut Screen) -> Result<(), Error> {
        let mut room = vec![0; PIECE];
        let mut progress = Progress::new(screen, self.limits.interactive);
        loop {
            self.start(report, screen);
            if self.jobs.is_empty() {
                break;
            }
            self.wait(report, screen, &mut room, &progress)?;
            self.answer(screen);
            self.judge();
            self.collect(report, screen);
            screen.flush();
            progress.show(screen, self.counts(), self.longest());
        }
        progress.end(screen);
        // Those that were never started.
        for entry in self.hosts.get(self.next..).unwrap_or_default() {
            let reason = if screen.is_ending() { Reason::Interrupted } else { Reason::NotStarted };
            report.done(&Done { entry, reason, millis: 0, outputs: &[] }, screen);
        }
        screen.flush();
        Ok(())
    }

    /// Done, failed, running, all.
    fn counts(&self) -> [usize; 4] {
        [self.done, self.failed, self.jobs.len(), self.hosts.len()]
    }

    fn longest(&self) -> Option<(&str, u64)> {
        let job = self.jobs.iter().min_by_key(|job| job.began)?;
        Some((job.entry.word.as_str(), millis().saturating_sub(job.began) / 1000))
    }

    /// Starts as many as may run.
    fn start(&mut self, report: &mut dyn Report, screen: &mut Screen) {
        while !self.closed && self.jobs.len() < self.most {
            if self.next == self.batch.end {
                if self.next == self.hosts.len() || !self.jobs.is_empty() {
                    return;
                }
                let end = (self.next + self.limits.batch).min(self.hosts.len());
                self.batch = self.next..end;
                self.batch_failed = 0;
            }
            let Some(entry) = self.hosts.get(self.next) else { return };
            self.next += 1;
            self.begin(entry, 0, &[], millis(), report, screen);
        }
    }

    /// Starts a program for a host, or tells why it cannot be.
    fn begin(
        &mut self,
        entry: &'a Entry,
        stage: usize,
        before: &[u8],
        began: u64,
        report: &mut dyn Report,
        screen: &mut Screen,
    ) {
        let task = self.task;
        let started = task.launch(entry, stage, before).and_then(|launch| {
            let name = launch.words.first().cloned().unwrap_or_default();
            let mark = launch.mark;
            match self.spawn(launch) {
                Ok(started) => Ok((started, mark)),
                // It waits until one of the others has ended.
                Err(Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM)
                    if stage == 0 && !self.jobs.is_empty() =>
                {
                    self.most = self.jobs.len();
                    self.next -= 1;
                    Err(String::new())
                }
                Err(errno) => Err(failure("run", &name, errno)),
            }
        });
        let ((pid, pipes), mark) = match started {
            Ok(started) => started,
            Err(why) if why.is_empty() => return,
            Err(why) => {
                let mut output = Output::new(u64::MAX);
                output.push(why.as_bytes());
                // As a shell tells of a program that is not there.
                let reason = Reason::Exit(127);
                let millis = millis().saturating_sub(began);
                return self.tell(
                    &Done { entry, reason, millis, outputs: &[output] },
                    report,
                    screen,
                );
            }
        };
        let mark = mark.map(|mark| (mark, Vec::new()));
        let due = match (&mark, self.limits.whole) {
            (Some(_), _) if self.limits.connect > 0 => began + self.limits.connect,
            (_, 0) => NEVER,
            (_, whole) => began + whole,
        };
        // What is told as it comes is counted only.
        let most = if self.limits.live { 0 } else { self.limits.output };
        let output = || Output::new(most);
        self.jobs.push(Job {
            entry,
            stage,
            pid,
            status: None,
            left: false,
            pipes,
            outputs: [output(), output()],
            began,
            reached: mark.is_none(),
            mark,
            cause: None,
            due,
            steps: 0,
        });
    }

    /// Its number, and our ends of its pipes.
    fn spawn(&mut self, launch: Launch<'_>) -> Result<(Pid, [Option<OwnedFd>; 2]), Errno> {
        let input = launch.input.open()?;
        self.command.set_words(launch.words)?;
        let (out, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, their_err) = match self.limits.apart {
            true => {
                pipe_with(PipeFlags::CLOEXEC).map(|(ours, theirs)| (Some(ours), Some(theirs)))?
            }
            false => (None, None),
        };
        let files = [
            input.as_ref().map_or(stdin(), AsFd::as_fd),
            theirs.as_fd(),
            their_err.as_ref().unwrap_or(&theirs).as_fd(),
        ];
        let process = self.command.start_apart(files, !self.limits.interactive)?;
        Ok((process.pid, [Some(out), err]))
    }

    /// Waits for something to happen, and reads what hosts print.
    fn wait(
        &mut self,
        report: &mut dyn Report,
        screen: &mut Screen,
        room: &mut [u8],
        progress: &Progress,
    ) -> Result<(), Error> {
        let due = self.jobs.iter().map(|job| job.due).min().unwrap_or(NEVER).min(progress.due());
        // What was noticed while it was written is answered at once.
        let due = if screen.has_news() { 0 } else { due };
        let watched = screen.watch();
        let mut fds = vec![PollFd::from_borrowed_fd(screen.wake(), PollFlags::IN)];
        if let Some(out) = watched {
            // For an error alone.
            fds.push(PollFd::from_borrowed_fd(out, PollFlags::empty()));
        }
        let first = fds.len();
        for job in &self.jobs {
            fds.extend(job.pipes.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        }
        match poll(&mut fds, time_left(due).as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(unable("unable to wait for events")(errno)),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if first == 2 && ready.get(1) == Some(&true) {
            screen.lose();
        }
        let mut ready = ready.into_iter().skip(first);
        for job in &mut self.jobs {
            for stream in 0..job.pipes.len() {
                let Some(pipe) = job.pipes.get(stream).and_then(Option::as_ref) else { continue };
                if ready.next() != Some(true) {
                    continue;
                }
                let len = retry_on_intr(|| read(pipe, &mut *room)).unwrap_or(0);
                if len == 0 {
                    if let Some(place) = job.pipes.get_mut(stream) {
                        *place = None;
                    }
                    job.give_up_mark(self.limits, report, screen);
                    continue;
                }
                let bytes = room.get(..len).unwrap_or_default();
                job.take(stream, bytes, self.limits, report, screen);
            }
        }
        Ok(())
    }

    /// Answers signals, and the loss of the reader.
    fn answer(&mut self, screen: &mut Screen) {
        let mut ends = screen.has_lost();
        for came in screen.signals() {
            match came {
                Came::Child => {}
                Came::End => ends = true,
                Came::Interrupt if !screen.err_is_terminal => ends = true,
                Came::Interrupt => {
                    let now = millis();
                    let again = self.asked.is_some_and(|asked| now.saturating_sub(asked) <= GRACE);
                    self.asked = Some(now);
                    if again {
                        ends = true;
                    } else {
                        self.list_running(screen);
                    }
                }
            }
        }
        if ends {
            if screen.is_ending() {
                // Asked again: no more patience.
                self.jobs.iter_mut().for_each(|job| job.due = 0);
            }
            self.closed = true;
            screen.end();
            self.jobs.iter_mut().for_each(|job| job.end(Cause::Interrupt, self.limits.interactive));
        }
    }

    fn list_running(&self, screen: &mut Screen) {
        let now = millis();
        let [done, failed, running, all] = self.counts();
        let mut text = format!("\rdt: {done} of {all} done, {failed} failed, {running} running:\n");
        for job in &self.jobs {
            let seconds = now.saturating_sub(job.began) / 1000;
            text.push_str(&format!("  {} {seconds} s\n", job.entry.word));
        }
        text.push_str("dt: ^C again within 2 s ends them all\n");
        screen.status("");
        screen.err(text.as_bytes());
    }

    /// Ends those whose time is over.
    fn judge(&mut self) {
        let now = millis();
        for job in self.jobs.iter_mut().filter(|job| job.due <= now) {
            match job.cause {
                // It was reached in time, and now has the rest of the whole time.
                None if job.mark.is_none() || self.limits.connect == 0 => {
                    job.end(Cause::Whole, self.limits.interactive);
                }
                None => job.end(Cause::Connect, self.limits.interactive),
                Some(_) => job.press(self.limits.interactive),
            }
        }
    }

    /// Takes those that are done out, and tells of them.
    fn collect(&mut self, report: &mut dyn Report, screen: &mut Screen) {
        let mut at = 0;
        while let Some(job) = self.jobs.get_mut(at) {
            if !job.has_ended() {
                at += 1;
                continue;
            }
            let job = self.jobs.swap_remove(at);
            self.finish(job, report, screen);
        }
    }

    fn finish(&mut self, job: Job<'a>, report: &mut dyn Report, screen: &mut Screen) {
        let code = job.status.and_then(WaitStatus::exit_status);
        let status = (code, job.status.and_then(WaitStatus::terminating_signal));
        let has_text = job.outputs.iter().any(|output| output.total() > 0);
        // What ssh says of a host that it did not reach is on standard error.
        let [out, err] = &job.outputs;
        let is_word =
            if self.limits.apart { out.total() == 0 && err.total() > 0 } else { has_text };
        let reason = match (job.cause, status) {
            (Some(Cause::Whole), _) => Reason::Timeout(self.limits.whole / 1000),
            (Some(Cause::Connect), _) => Reason::Unreachable,
            (Some(Cause::Interrupt), _) => Reason::Interrupted,
            (None, (Some(255), _)) if self.task.is_ssh && is_word && job.reached => {
                Reason::Unreachable
            }
            (None, (Some(_), _)) if !job.reached => Reason::Unreachable,
            (None, (Some(code), _)) => Reason::Exit(u8::try_from(code).unwrap_or(255)),
            (None, (_, Some(signal))) => Reason::Signal(u8::try_from(signal).unwrap_or(0)),
            (None, _) => Reason::Exit(255),
        };
        let mut outputs = job.outputs;
        if job.cause == Some(Cause::Connect) {
            let text = format!("connecting timed out after {} s\n", self.limits.connect / 1000);
            if let Some(last) = outputs.get_mut(usize::from(self.limits.apart)) {
                last.push(text.as_bytes());
            }
        }
        if self.task.reading == Reading::Ping {
            read_ping(&mut outputs);
        }
        if reason == Reason::Exit(0) && job.stage + 1 < self.task.stages() && !screen.is_ending() {
            let mut before = Vec::new();
            outputs
                .iter()
                .for_each(|output| output.spool.each(&mut |b| before.extend_from_slice(b)));
            return self.begin(job.entry, job.stage + 1, &before, job.began, report, screen);
        }
        let millis = millis().saturating_sub(job.began);
        self.tell(&Done { entry: job.entry, reason, millis, outputs: &outputs }, report, screen);
    }

    /// Counts a host, and reports it.
    fn tell(&mut self, done: &Done<'_>, report: &mut dyn Report, screen: &mut Screen) {
        self.done += 1;
        if done.reason != Reason::Exit(0) {
            self.failed += 1;
            self.batch_failed += 1;
            let is_over = match self.limits.failures {
                None => false,
                Some(Failures::Count(most)) => self.failed >= most,
                Some(Failures::Percent(most)) => self.batch_failed * 100 >= most * self.batch.len(),
            };
            self.closed |= is_over;
        }
        report.done(done, screen);
    }
}

fn read_ping(outputs: &mut [Output; 2]) {
    let mut text = Vec::new();
    outputs.iter().for_each(|output| output.spool.each(&mut |bytes| text.extend_from_slice(bytes)));
    if let Some(result) = ping_result(&text) {
        let mut output = Output::new(u64::MAX);
        output.push(&result);
        *outputs = [output, Output::new(0)];
    }
}
