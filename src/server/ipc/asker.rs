//! The other side of the desk: a process that waits for sources that may block, for one client
//! at a time. Standard input and output are its socket; it ends when nscd closes that.

use super::desk::{BEGUN, HEAD, MESSAGE};
use super::signals::Signals;
use crate::backend::switch::Switch;
use crate::limits::SLOW_REPLY_MILLIS;
use crate::server::conversation::{Conversation, End, Need, Output};
use crate::server::drain::drain;
use crate::sys::access::Asker;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::passed::receive;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::stdio::{stdin, stdout};
use std::os::fd::OwnedFd;

/// How long it waits for what.
pub struct Patience {
    /// Milliseconds for an answer, and for each piece after its first.
    pub lookup_millis: u32,
    /// Milliseconds for a client to take a piece.
    pub client_millis: u32,
}

/// Answers clients until there is no desk any more.
pub fn run<C: Conversation>(switch: &mut Switch, patience: &Patience) -> Result<(), Error> {
    // What ends nscd ends this process by way of its socket, so that a reply in hand is finished.
    let mut signals = Signals::catch()?;
    let (mut out, mut number) = (Output::new(), 0_u32);
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(stdin(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.wake(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(unable("unable to wait for events")(errno)),
        }
        let (asked, signalled) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if signalled {
            let _ = signals.take();
            switch.look();
        }
        if !asked {
            continue;
        }
        let mut message = [0; MESSAGE];
        let (len, socket) =
            receive(stdin(), &mut message).map_err(unable("unable to take a client"))?;
        if len == 0 {
            return Ok(());
        }
        let why = match (socket, read(message.get(..len).unwrap_or_default())) {
            (Some(socket), Some((deadline, asker, request))) => {
                number = number.wrapping_add(1);
                let mut conversation = C::new(asker, number, switch);
                let room = conversation.room().get_mut(..request.len());
                room.unwrap_or_default().copy_from_slice(request);
                conversation.filled(request.len());
                let job = Job { socket, conversation, deadline };
                serve(switch, job, &mut out, patience)
            }
            _ => End::Failed,
        };
        out.clear();
        let word = End::ALL.iter().position(|end| *end == why).unwrap_or_default();
        // Nobody listens: the end of the socket is read next.
        let _ = send(stdout(), &[word as u8], SendFlags::NOSIGNAL);
    }
}

/// The deadline, who asks, and what.
fn read(message: &[u8]) -> Option<(u64, Asker, &[u8])> {
    let (head, request) = message.split_at_checked(HEAD)?;
    let (deadline, ids) = head.split_first_chunk()?;
    let (known, ids) = ids.split_first_chunk()?;
    let (uid, gid) = ids.split_first_chunk()?;
    let [known, uid, gid] = [*known, *uid, *gid.first_chunk()?].map(u32::from_ne_bytes);
    let asker = if known == 1 { Asker::Peer { uid, gid } } else { Asker::Unknown };
    Some((u64::from_ne_bytes(*deadline), asker, request))
}

/// A client to be answered.
struct Job<C> {
    socket: OwnedFd,
    conversation: C,
    deadline: u64,
}

/// Answers a client, or closes his connection.
fn serve<C: Conversation>(
    switch: &mut Switch,
    mut job: Job<C>,
    out: &mut Output,
    patience: &Patience,
) -> End {
    let conversation = &mut job.conversation;
    if millis() >= job.deadline {
        // Those before him took all the time there was.
        return End::Failed;
    }
    switch.revive();
    switch.limit(patience.lookup_millis, Some(job.deadline));
    let last = job.deadline + u64::from(SLOW_REPLY_MILLIS);
    let mut begun = false;
    let end = loop {
        let need = conversation.go_on(switch, out, u64::MAX);
        if !out.pending().is_empty() {
            switch.limit(patience.lookup_millis, None);
            if !begun && !matches!(need, Need::Close(_)) {
                // The desk counts to the first piece otherwise.
                let _ = send(stdout(), &[BEGUN], SendFlags::NOSIGNAL);
                begun = true;
            }
            let until = last.min(millis() + u64::from(patience.client_millis));
            if flush(&job.socket, out.pending(), until).is_err() {
                break End::Broken;
            }
            out.clear();
        }
        match need {
            Need::Flush | Need::Turn => {}
            Need::Input | Need::Elsewhere => break End::Failed,
            Need::Close(end) => break end,
        }
    };
    if conversation.drains() {
        drain(&job.socket);
    }
    conversation.leave(switch);
    end
}

/// Sends all of `bytes` before `until`.
fn flush(socket: &OwnedFd, mut bytes: &[u8], until: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = timespec(until.saturating_sub(millis()));
                match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&left)) {
                    // The kernel tells late that there is room: see `is_late` of the event loop.
                    Ok(0) => match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                        Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                        Err(_) => return Err(Errno::TIMEDOUT),
                    },
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
