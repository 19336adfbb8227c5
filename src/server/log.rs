//! What the super-server says, in the words of s6-ipcserverd. Nothing here allocates.

use super::signals::Signal;
use crate::backend::switch::Switch;
use crate::sys::access::Peer;
use crate::sys::message::Message;
use nssproto::entry::{Gid, Uid};
use rustix::io::Errno;

/// Says what the verbosity allows.
#[derive(Clone, Copy)]
pub struct Log {
    /// Whose messages these are.
    pub name: &'static str,
    /// 0 quiet, 1 warnings, 2 each connection.
    pub verbosity: u8,
}

impl Log {
    /// What is told of each connection: `texts`, in which the next of `numbers` stands for `%`, and
    /// `?` for one that is not known.
    fn info(&self, texts: &[&str], numbers: &[Option<u32>]) {
        if self.verbosity < 2 {
            return;
        }
        let mut message = Message::new(self.name, "info");
        let mut numbers = numbers.iter();
        for text in texts {
            for byte in text.as_bytes() {
                match byte {
                    b'%' => match numbers.next() {
                        Some(Some(number)) => message.number((*number).into()),
                        _ => message.text("?"),
                    },
                    _ => message.path(&[*byte]),
                };
            }
        }
        message.send();
    }

    /// What is told of what fails: `text`, what it is about, and why.
    fn warn(&self, text: &str, subject: &[u8], cause: Option<Errno>) {
        if self.verbosity < 1 {
            return;
        }
        let mut message = Message::warning(self.name);
        message.text(text).path(subject);
        if let Some(errno) = cause {
            message.text(": ").errno(errno);
        }
        message.send();
    }

    /// Each failure of a source is told as each connection is.
    pub fn tell_failures(&self, switch: &mut Switch) {
        if self.verbosity > 1 {
            switch.tell_failures(self.name);
        }
    }

    /// At the start.
    pub fn starting(&self) {
        self.info(&["starting"], &[]);
    }

    /// How many connections there are.
    pub fn status(&self, open: u32, max: u32) {
        self.info(&["status: %/%"], &[Some(open), Some(max)]);
    }

    /// A client came; `pid` is the program started for him, if one was.
    pub fn allow(&self, peer: Option<Peer>, pid: Option<u32>, count: u32, most: u32) {
        let (uid, gid, count) = (peer.map(|p| p.uid.0), peer.map(|p| p.gid.0), peer.map(|_| count));
        match pid {
            None => self.info(&["allow %:% count %/%"], &[uid, gid, count, Some(most)]),
            _ => self.info(&["allow %:% pid % count %/%"], &[uid, gid, pid, count, Some(most)]),
        }
    }

    /// A user has too many connections.
    pub fn deny(&self, Peer { uid: Uid(uid), gid: Gid(gid) }: Peer, count: u32, most: u32) {
        self.info(&["deny %:% count %/%"], &[uid, gid, count, most].map(Some));
    }

    /// A program ended: `how` is `exitcode` or `signal`.
    pub fn end(&self, pid: u32, uid: Option<Uid>, how: &str, code: u32) {
        let uid = uid.map(|uid| uid.0);
        self.info(&["end pid % uid % ", how, " %"], &[Some(pid), uid, Some(code)]);
    }

    /// A client's connection, served in process, ended.
    pub fn left(&self, uid: Option<Uid>, why: &str) {
        self.info(&["end uid %: ", why], &[uid.map(|uid| uid.0)]);
    }

    /// A signal that ends the server, or is passed to its children.
    pub fn received(&self, signal: Signal, then: &str) {
        self.info(&["received ", signal.name(), ", ", then], &[]);
    }

    /// What has taken the place of our executable is none.
    pub fn cannot_begin_anew(&self, place: &[u8]) {
        self.warn("goes on as it is, since it does not run: ", place, None);
    }

    /// The process ended with which this one ends.
    pub fn parent_ended(&self) {
        self.info(&["the program has ended, quitting"], &[]);
    }

    /// At the end.
    pub fn exiting(&self) {
        self.info(&["exiting"], &[]);
    }

    /// A build with a sandbox has none here.
    pub fn no_sandbox(&self) {
        self.warn("no sandbox: the kernel has no landlock, or refuses it", b"", None);
    }

    /// SO_PEERCRED failed.
    pub fn no_credentials(&self) {
        self.warn("unable to look up a client's credentials, connection closed", b"", None);
    }

    /// No client can be taken in for the moment.
    pub fn cannot_accept(&self, errno: Errno) {
        self.warn("unable to accept connections for now", b"", Some(errno));
    }

    /// A program could not be started.
    pub fn cannot_spawn(&self, program: &[u8], errno: Errno) {
        self.warn("unable to spawn ", program, Some(errno));
    }
}
