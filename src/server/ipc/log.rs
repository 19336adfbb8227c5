//! What the super-server says, in the words of s6-ipcserverd. Nothing here allocates.

use super::Rules;
use super::signals::Signal;
use crate::sys::clock::timespec;
use crate::sys::message::Message;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stderr;

/// Says what the verbosity allows.
#[derive(Clone, Copy)]
pub struct Log {
    /// Whose messages these are.
    pub name: &'static str,
    /// 0 quiet, 1 warnings, 2 each connection.
    pub verbosity: u8,
    /// Most connections.
    pub max: u32,
}

impl Log {
    /// As these rules have it.
    pub fn of(rules: &Rules) -> Self {
        Log { name: rules.name, verbosity: rules.verbosity, max: rules.max }
    }

    fn info(self, say: impl FnOnce(Message) -> Message) {
        if self.verbosity >= 2 && is_taken() {
            say(Message::new(self.name, "info")).send();
        }
    }

    fn warn(self, say: impl FnOnce(Message) -> Message) {
        if self.verbosity >= 1 && is_taken() {
            say(Message::new(self.name, "warning")).send();
        }
    }

    /// At the start.
    pub fn starting(self) {
        self.info(|m| m.text("starting"));
        self.status(0);
    }

    /// How many connections there are.
    pub fn status(self, open: u32) {
        self.info(|m| m.text("status: ").number(open.into()).text("/").number(self.max.into()));
    }

    /// A client came; `pid` is the program started for him, if one was.
    pub fn allow(self, who: Option<(u32, u32)>, pid: Option<u32>, count: u32, most: u32) {
        self.info(|m| {
            let m = ids(m.text("allow "), who);
            let m = match pid {
                Some(pid) => m.text(" pid ").number(pid.into()),
                None => m,
            };
            let m = m.text(" count ");
            let m = if who.is_some() { m.number(count.into()) } else { m.text("?") };
            m.text("/").number(most.into())
        });
    }

    /// A user has too many connections.
    pub fn deny(self, uid: u32, gid: u32, count: u32, most: u32) {
        self.info(|m| {
            let m = ids(m.text("deny "), Some((uid, gid))).text(" count ");
            m.number(count.into()).text("/").number(most.into())
        });
    }

    /// A program ended: `how` is `exitcode` or `signal`.
    pub fn end(self, pid: u32, uid: Option<u32>, how: &str, code: u32) {
        self.info(|m| {
            let m = m.text("end pid ").number(pid.into()).text(" uid ");
            let m = match uid {
                Some(uid) => m.number(uid.into()),
                None => m.text("?"),
            };
            m.text(" ").text(how).text(" ").number(code.into())
        });
    }

    /// A client's connection, served in process, ended.
    pub fn left(self, uid: Option<u32>, why: &str) {
        self.info(|m| {
            let m = m.text("end uid ");
            let m = match uid {
                Some(uid) => m.number(uid.into()),
                None => m.text("?"),
            };
            m.text(": ").text(why)
        });
    }

    /// A signal that ends the server, or is passed to its children.
    pub fn received(self, signal: Signal, then: &str) {
        self.info(|m| m.text("received ").text(signal.name()).text(", ").text(then));
    }

    /// The process ended with which this one ends.
    pub fn parent_ended(self) {
        self.info(|m| m.text("the program has ended, quitting"));
    }

    /// At the end.
    pub fn exiting(self) {
        self.info(|m| m.text("exiting"));
    }

    /// SO_PEERCRED failed.
    pub fn no_credentials(self) {
        self.warn(|m| m.text("unable to look up a client's credentials, connection closed"));
    }

    /// No client can be taken in for the moment.
    pub fn cannot_accept(self, errno: Errno) {
        let number = errno.raw_os_error().unsigned_abs();
        self.warn(|m| {
            let m = m.text("unable to accept connections for now: ");
            match errno {
                Errno::MFILE => m.text("Too many open files"),
                Errno::NFILE => m.text("Too many open files in system"),
                _ => m.text("errno ").number(number.into()),
            }
        });
    }

    /// A program could not be started. (Allocates: nothing is served in process then.)
    pub fn cannot_spawn(self, program: &[u8], errno: Errno) {
        self.warn(|m| m.text("unable to spawn ").path(program).text(": ").errno(errno));
    }
}

/// Whether a line can be written without waiting: a logger that is stuck, with its disk full for
/// instance, must not keep clients from their answers. The line is lost then.
fn is_taken() -> bool {
    let mut fds = [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)];
    poll(&mut fds, Some(&timespec(0))).is_ok_and(|ready| ready > 0)
}

fn ids(message: Message, who: Option<(u32, u32)>) -> Message {
    match who {
        Some((uid, gid)) => message.number(uid.into()).text(":").number(gid.into()),
        None => message.text("?:?"),
    }
}
