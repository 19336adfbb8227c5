//! A program for each client, with the socket as its standard input and output and the
//! environment of UCSPI-unix.
//!
//! Ended programs are noticed by SIGCHLD, which every kernel has, and which costs no
//! descriptor for each of them.

use super::ServerOptions;
use super::acceptor::{Accepted, Acceptor, PAUSE};
use super::listener::Listener;
use super::signals::{Signal, Signals};
use super::supervisor::{self, tell_ready};
use crate::sys::access::Peer;
use crate::sys::clock::{NEVER, millis, timespec};
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

/// A program that serves a client.
struct Running {
    pid: Pid,
    uid: Option<Uid>,
}

/// Serves until a signal ends it.
pub fn serve(
    listener: &Listener,
    server_options: &ServerOptions,
    command: &[OsString],
) -> Result<(), Error> {
    let mut signals = Signals::catch()?;
    server_options.log.starting();
    let mut acceptor = Acceptor::new(listener, server_options.log, 0);
    let mut running: Vec<Running> = Vec::new();
    let mut program = program(command, server_options.hidden).map_err(unable("unable to spawn"))?;
    let mut watchdog = tell_ready(server_options.newline);
    loop {
        let now = millis();
        let pause_ends = acceptor.pause_ends;
        let accepts = !acceptor.is_full() && pause_ends <= now;
        let events = if accepts { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(signals.wake(), PollFlags::IN),
            PollFd::new(&acceptor.listener.socket, events),
        ];
        let ends = if pause_ends > now { pause_ends.min(watchdog.due) } else { watchdog.due };
        let timeout = (ends != NEVER).then(|| timespec(ends.saturating_sub(now)));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(unable("unable to wait for events")(errno)),
        }
        watchdog.keep_alive();
        let called = accepts && fds[1].revents().contains(PollFlags::IN);
        if !fds[0].revents().is_empty() && handle(&mut acceptor, &mut signals, &mut running) {
            acceptor.log.exiting();
            return Ok(());
        }
        if !called {
            continue;
        }
        match acceptor.accept() {
            Ok(Some(client)) => serve_client(&mut acceptor, &mut program, &client, &mut running),
            Ok(None) => {}
            Err(errno) => {
                acceptor.log.cannot_accept(errno);
                acceptor.pause_ends = millis() + PAUSE;
            }
        }
    }
}

fn serve_client(
    acceptor: &mut Acceptor<'_>,
    program: &mut Command,
    client: &Accepted,
    running: &mut Vec<Running>,
) {
    let uid = client.peer.map(|peer| peer.uid);
    match start(program, client, acceptor) {
        Ok(pid) => {
            acceptor.tell_status();
            running.push(Running { pid, uid });
        }
        Err(errno) => {
            acceptor.log.cannot_spawn(program.name(), errno);
            acceptor.left(uid);
        }
    }
}

/// True when the server has to exit.
fn handle(acceptor: &mut Acceptor<'_>, signals: &mut Signals, running: &mut Vec<Running>) -> bool {
    let mut exits = false;
    while let Some(signal) = signals.take() {
        let (then, send): (&str, &[process::Signal]) = match signal {
            Signal::Child => {
                reap(acceptor, running);
                continue;
            }
            Signal::Term => ("quitting", &[]),
            Signal::Hup => ("sending SIGTERM+SIGCONT to all connections", TERMINATE),
            Signal::Quit => ("sending SIGTERM+SIGCONT to all connections and quitting", TERMINATE),
            Signal::Abort => {
                ("sending SIGKILL to all connections and quitting", &[process::Signal::KILL])
            }
        };
        acceptor.log.received(signal, then);
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

fn reap(acceptor: &mut Acceptor<'_>, running: &mut Vec<Running>) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let Some(at) = running.iter().position(|c| c.pid == pid) else { continue };
        let uid = running.swap_remove(at).uid;
        let number = pid.as_raw_nonzero().get().unsigned_abs();
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => acceptor.log.end(number, uid, "exitcode", code.unsigned_abs()),
            (_, Some(signal)) => acceptor.log.end(number, uid, "signal", signal.unsigned_abs()),
            _ => {}
        }
        acceptor.left(uid);
        acceptor.tell_status();
    }
}

/// What is started, with what of its environment is the same for all clients. `hidden`: variables
/// that are not for it.
fn program(command: &[OsString], hidden: &[&str]) -> Result<Box<Command>, Errno> {
    let mut program = Command::new(command)?;
    // That we are ready is ours to tell.
    let ours = ["IPCREMOTEEUID", "IPCREMOTEEGID"];
    for names in &[hidden, &ours, &supervisor::VARIABLES, &passed::VARIABLES] {
        for name in *names {
            program.unset(name);
        }
    }
    program.set("PROTO", b"IPC")?;
    program.set("IPCCONNNUM", b"")?;
    Ok(program)
}

/// Starts the program for a client.
fn start(program: &mut Command, client: &Accepted, acceptor: &mut Acceptor) -> Result<Pid, Errno> {
    let path = acceptor.address.take().and_then(|address| SocketAddrUnix::try_from(address).ok());
    let path = path.as_ref().and_then(|p| p.path_bytes()).unwrap_or_default();
    program.set("IPCREMOTEPATH", path)?;
    if let Some(Peer { uid: Uid(uid), gid: Gid(gid) }) = client.peer {
        let numbers =
            [("IPCCONNNUM", client.count), ("IPCREMOTEEUID", uid), ("IPCREMOTEEGID", gid)];
        for (name, number) in &numbers {
            program.set(name, write_decimal((*number).into(), &mut [0; DECIMAL_MAX]))?;
        }
    }
    let pid = program.start(client.socket.as_fd(), client.socket.as_fd())?.pid;
    let number = pid.as_raw_nonzero().get().unsigned_abs();
    acceptor.tell_allowed(client.peer, Some(number), client.count);
    Ok(pid)
}
