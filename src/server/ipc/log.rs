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

    fn info(self) -> Option<Message> {
        (self.verbosity >= 2 && is_taken()).then(|| Message::new(self.name, "info"))
    }

    fn warn(self) -> Option<Message> {
        (self.verbosity >= 1 && is_taken()).then(|| Message::new(self.name, "warning"))
    }

    /// At the start.
    pub fn starting(self) {
        let Some(mut m) = self.info() else { return };
        m.text("starting").send();
        self.status(0);
    }

    /// How many connections there are.
    pub fn status(self, open: u32) {
        let Some(mut m) = self.info() else { return };
        m.text("status: ").number(open.into()).text("/").number(self.max.into()).send();
    }

    /// A client came; `pid` is the program started for him, if one was.
    pub fn allow(self, who: Option<(u32, u32)>, pid: Option<u32>, count: u32, most: u32) {
        let Some(mut m) = self.info() else { return };
        ids(m.text("allow "), who);
        if pid.is_some() {
            number(m.text(" pid "), pid);
        }
        number(m.text(" count "), who.map(|_| count)).text("/").number(most.into()).send();
    }

    /// A user has too many connections.
    pub fn deny(self, uid: u32, gid: u32, count: u32, most: u32) {
        let Some(mut m) = self.info() else { return };
        let m = ids(m.text("deny "), Some((uid, gid))).text(" count ");
        m.number(count.into()).text("/").number(most.into()).send();
    }

    /// A program ended: `how` is `exitcode` or `signal`.
    pub fn end(self, pid: u32, uid: Option<u32>, how: &str, code: u32) {
        let Some(mut m) = self.info() else { return };
        let m = number(m.text("end pid ").number(pid.into()).text(" uid "), uid);
        m.text(" ").text(how).text(" ").number(code.into()).send();
    }

    /// A client's connection, served in process, ended.
    pub fn left(self, uid: Option<u32>, why: &str) {
        let Some(mut m) = self.info() else { return };
        number(m.text("end uid "), uid).text(": ").text(why).send();
    }

    /// A signal that ends the server, or is passed to its children.
    pub fn received(self, signal: Signal, then: &str) {
        let Some(mut m) = self.info() else { return };
        m.text("received ").text(signal.name()).text(", ").text(then).send();
    }

    /// The process ended with which this one ends.
    pub fn parent_ended(self) {
        let Some(mut m) = self.info() else { return };
        m.text("the program has ended, quitting").send();
    }

    /// At the end.
    pub fn exiting(self) {
        let Some(mut m) = self.info() else { return };
        m.text("exiting").send();
    }

    /// A build with a sandbox has none here.
    pub fn no_sandbox(self) {
        let Some(mut m) = self.warn() else { return };
        m.text("no sandbox: the kernel has no landlock, or refuses it").send();
    }

    /// SO_PEERCRED failed.
    pub fn no_credentials(self) {
        let Some(mut m) = self.warn() else { return };
        m.text("unable to look up a client's credentials, connection closed").send();
    }

    /// No client can be taken in for the moment.
    pub fn cannot_accept(self, errno: Errno) {
        let Some(mut m) = self.warn() else { return };
        m.text("unable to accept connections for now: ").errno(errno).send();
    }

    /// A program could not be started.
    pub fn cannot_spawn(self, program: &[u8], errno: Errno) {
        let Some(mut m) = self.warn() else { return };
        m.text("unable to spawn ").path(program).text(": ").errno(errno).send();
    }
}

/// Whether a line can be written without waiting: a logger that is stuck, with its disk full for
/// instance, must not keep clients from their answers. The line is lost then.
fn is_taken() -> bool {
    let mut fds = [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)];
    poll(&mut fds, Some(&timespec(0))).is_ok_and(|ready| ready > 0)
}

fn ids(message: &mut Message, who: Option<(u32, u32)>) -> &mut Message {
    match who {
        Some((uid, gid)) => message.number(uid.into()).text(":").number(gid.into()),
        None => message.text("?:?"),
    }
}

fn number(message: &mut Message, number: Option<u32>) -> &mut Message {
    match number {
        Some(number) => message.number(number.into()),
        None => message.text("?"),
    }
}
