//! A program for each client, with the socket as its standard input and output and the
//! environment of UCSPI-unix.
//!
//! Ended programs are noticed by SIGCHLD, which every kernel has, and which costs no
//! descriptor for each of them.

use super::listen::tell_ready;
use super::signals::{Signal, Signals};
use super::{Door, Guest, PAUSE, Rules};
use crate::sys::access::Peer;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::passed;
use crate::sys::spawn::Command;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::entry::{Gid, Uid};
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
#[inline(never)] // In main's frame, all of this would be far from the stack pointer.
pub fn run(door: &mut Door, signals: &mut Signals, command: &[OsString]) -> Result<(), Error> {
    let mut running: Vec<Running> = Vec::new();
    let mut program = program(command, door.rules).map_err(unable("unable to spawn"))?;
    let mut pause_ends = 0;
    tell_ready(door.rules.newline);
    loop {
        let now = millis();
        let accepts = !door.is_full() && pause_ends <= now;
        let events = if accepts { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(signals.wake(), PollFlags::IN),
            PollFd::new(door.listener, events),
        ];
        let timeout = (pause_ends > now).then(|| timespec(pause_ends - now));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(unable("unable to wait for events")(errno)),
        }
        let called = accepts && fds[1].revents().contains(PollFlags::IN);
        if !fds[0].revents().is_empty() && handle(door, signals, &mut running) {
            door.log.exiting();
            return Ok(());
        }
        if !called {
            continue;
        }
        match door.admit() {
            Ok(Some(guest)) => match start(&mut program, &guest, door) {
                Ok(pid) => {
                    door.log.status(door.open);
                    running.push(Running { pid, uid: guest.peer.map(|peer| peer.uid.0) });
                }
                Err(errno) => {
                    let name = command.first().map(|name| name.as_bytes()).unwrap_or_default();
                    door.log.cannot_spawn(name, errno);
                    door.leave(guest.peer.map(|peer| peer.uid.0));
                }
            },
            Ok(None) => {}
            Err(errno) => {
                door.log.cannot_accept(errno);
                pause_ends = millis() + PAUSE;
            }
        }
    }
}

/// True when the server has to exit.
fn handle(door: &mut Door, signals: &mut Signals, running: &mut Vec<Running>) -> bool {
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
        for child in running.iter() {
            for signal in send {
                // It may have ended; until it is reaped its number is not given to another.
                let _ = kill_process(child.pid, *signal);
            }
        }
        exits |= signal != Signal::Hup;
    }
    exits
}

const TERMINATE: &[process::Signal] = &[process::Signal::TERM, process::Signal::CONT];

fn reap(door: &mut Door, running: &mut Vec<Running>) {
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

/// What is started, with what of its environment is the same for all clients.
fn program(command: &[OsString], rules: &Rules) -> Result<Box<Command>, Errno> {
    let mut program = Command::new(command)?;
    // That we are ready is ours to tell.
    let ours = ["NOTIFY_SOCKET", "IPCREMOTEEUID", "IPCREMOTEEGID"];
    for names in &[rules.hidden, &ours, &passed::VARIABLES] {
        for name in *names {
            program.unset(name);
        }
    }
    program.set("PROTO", b"IPC")?;
    program.set("IPCCONNNUM", b"")?;
    Ok(program)
}

/// Starts the program for a guest.
fn start(program: &mut Command, guest: &Guest, door: &mut Door) -> Result<Pid, Errno> {
    let path = door.address.take().and_then(|address| SocketAddrUnix::try_from(address).ok());
    let path = path.as_ref().and_then(|p| p.path_bytes()).unwrap_or_default();
    program.set("IPCREMOTEPATH", path)?;
    if let Some(Peer { uid: Uid(uid), gid: Gid(gid) }) = guest.peer {
        let numbers = [("IPCCONNNUM", guest.count), ("IPCREMOTEEUID", uid), ("IPCREMOTEEGID", gid)];
        for (name, number) in &numbers {
            program.set(name, write_decimal((*number).into(), &mut [0; DECIMAL_MAX]))?;
        }
    }
    let pid = program.start(guest.socket.as_fd(), guest.socket.as_fd())?.pid;
    let most = if guest.peer.is_some() { door.rules.max_per_uid } else { door.rules.max };
    let number = pid.as_raw_nonzero().get().unsigned_abs();
    door.log.allow(guest.peer, Some(number), guest.count, most);
    Ok(pid)
}
