//! A program for each client, with the socket as its standard input and output and the
//! environment of UCSPI-unix.
//!
//! Ended programs are noticed by SIGCHLD, which every kernel has, and which costs no
//! descriptor for each of them.

use super::listen::tell_ready;
use super::signals::{Signal, Signals};
use super::{Door, Guest, PAUSE};
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::passed;
use crate::sys::spawn::Command;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::{self, Pid, WaitOptions, kill_process, wait};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// A program that serves a client.
struct Running {
    pid: Pid,
    uid: Option<u32>,
}

/// Serves until a signal ends it.
pub fn run(mut door: Door<'_>, mut signals: Signals, command: &[OsString]) -> Result<(), Error> {
    let mut running: Vec<Running> = Vec::new();
    let mut pause_ends = None;
    tell_ready(door.rules.newline);
    loop {
        let now = millis();
        pause_ends = pause_ends.filter(|end| *end > now);
        let accepts = !door.is_full() && pause_ends.is_none();
        let events = if accepts { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(signals.wake(), PollFlags::IN),
            PollFd::new(door.listener, events),
        ];
        let timeout = pause_ends.map(|end| timespec(end - now));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(unable("unable to wait for events")(errno)),
        }
        let called = accepts && fds[1].revents().contains(PollFlags::IN);
        if !fds[0].revents().is_empty() && handle(&mut door, &mut signals, &mut running) {
            door.log.exiting();
            return Ok(());
        }
        if !called {
            continue;
        }
        match door.admit() {
            Ok(Some(guest)) => start(&mut door, command, guest, &mut running),
            Ok(None) => {}
            Err(errno) => {
                door.log.cannot_accept(errno);
                pause_ends = Some(millis() + PAUSE);
            }
        }
    }
}

/// True when the server has to exit.
fn handle(door: &mut Door<'_>, signals: &mut Signals, running: &mut Vec<Running>) -> bool {
    let mut exits = false;
    for signal in signals.take() {
        let (then, send): (&str, &[process::Signal]) = match signal {
            Signal::Child => {
                reap(door, running);
                continue;
            }
            Signal::Term => ("quitting", &[]),
            Signal::Hup => ("sending SIGTERM+SIGCONT to all connections", TERMINATE),
            Signal::Quit => ("sending SIGTERM+SIGCONT to all connections and quitting", TERMINATE),
            Signal::Abort => {
                ("sending SIGKILL to all connections and quitting", &[process::Signal::KILL])
            }
        };
        door.log.received(signal, then);
        for (child, signal) in running.iter().flat_map(|c| send.iter().map(move |s| (c, s))) {
            // It may have ended; until it is reaped its number is not given to another.
            let _ = kill_process(child.pid, *signal);
        }
        exits |= signal != Signal::Hup;
    }
    exits
}

const TERMINATE: &[process::Signal] = &[process::Signal::TERM, process::Signal::CONT];

fn reap(door: &mut Door<'_>, running: &mut Vec<Running>) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let Some(at) = running.iter().position(|c| c.pid == pid) else { continue };
        let uid = running.swap_remove(at).uid;
        let number = pid.as_raw_nonzero().get().unsigned_abs();
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => door.log.end(number, uid, "exitcode", code.unsigned_abs()),
            (_, Some(signal)) => door.log.end(number, uid, "signal", signal.unsigned_abs()),
            _ => {}
        }
        door.leave(uid);
        door.log.status(door.open);
    }
}

fn start(door: &mut Door<'_>, command: &[OsString], guest: Guest, running: &mut Vec<Running>) {
    let uid = guest.who.map(|w| w.0);
    let (who, count) = (guest.who, guest.count);
    match spawn(command, guest, door.rules.hidden) {
        Ok(pid) => {
            let number = pid.as_raw_nonzero().get().unsigned_abs();
            let most = if who.is_some() { door.rules.max_per_uid } else { door.rules.max };
            door.log.allow(who, Some(number), count, most);
            running.push(Running { pid, uid });
            door.log.status(door.open);
        }
        Err(errno) => {
            let program = command.first().map(|p| p.as_bytes()).unwrap_or_default();
            door.log.cannot_spawn(program, errno);
            door.leave(uid);
        }
    }
}

fn spawn(command: &[OsString], guest: Guest, hidden: &[&str]) -> Result<Pid, Errno> {
    let path = guest.address.and_then(|a| SocketAddrUnix::try_from(a).ok());
    let path = path.as_ref().and_then(|p| p.path_bytes()).unwrap_or_default();
    let mut program = Command::new(command)?;
    program.set("PROTO", b"IPC")?;
    program.set("IPCREMOTEPATH", path)?;
    let mut room = [0; DECIMAL_MAX];
    let count = guest.who.map(|_| write_decimal(guest.count.into(), &mut room));
    program.set("IPCCONNNUM", count.unwrap_or_default())?;
    let (uid, gid) = (guest.who.map(|w| w.0), guest.who.map(|w| w.1));
    for (name, id) in [("IPCREMOTEEUID", uid), ("IPCREMOTEEGID", gid)] {
        match id {
            Some(id) => program.set(name, write_decimal(id.into(), &mut room))?,
            None => program.unset(name),
        }
    }
    // That we are ready is ours to tell.
    let ours = ["NOTIFY_SOCKET"].iter().chain(&passed::VARIABLES);
    hidden.iter().chain(ours).for_each(|name| program.unset(name));
    let socket = guest.socket.as_fd();
    program.start(socket, socket).map(|process| process.pid)
}
