//! The other side of the desk: a process that waits for sources that may block, for one client
//! at a time. Standard input and output are its socket; it ends when nscd closes that.

use super::Guest;
use super::desk::{BEGUN, Head, MESSAGE};
use super::served::table::{Connection, Table};
use super::signals::Signals;
use crate::backend::switch::Switch;
use crate::limits::SLOW_REPLY_MILLIS;
use crate::server::conversation::{Conversation, End, Need, Output};
use crate::server::drain::drain;
use crate::sys::access::Peer;
use crate::sys::clock::{millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::passed::receive;
use nssproto::entry::{Gid, Uid};
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
///
/// `table` has room for one.
pub fn run(table: &mut dyn Table, switch: &mut Switch, patience: &Patience) -> Result<(), Error> {
    // What ends nscd ends this process by way of its socket, so that a reply in hand is finished.
    let signals = Signals::catch()?;
    let (mut out, mut number) = (Output::new(), 0_u32);
    let mut message = vec![0; MESSAGE];
    while let Some((len, socket)) = next(switch, signals, &mut message)? {
        let why = match (socket, read(message.get(..len).unwrap_or_default())) {
            (Some(socket), Some((deadline, peer, request))) => {
                number = number.wrapping_add(1);
                table.seat(0, Guest { socket, peer, count: 0 }, number, switch);
                out.clear();
                table.at(0).map_or(End::Failed, |client| {
                    let room = client.conversation.room().get_mut(..request.len());
                    room.unwrap_or_default().copy_from_slice(request);
                    client.conversation.filled(request.len());
                    answer(switch, client, deadline, &mut out, patience)
                })
            }
            _ => End::Failed,
        };
        table.vacate(0);
        let word = End::ALL.iter().position(|end| *end == why).unwrap_or_default();
        tell(word as u8);
    }
    switch.end();
    Ok(())
}

/// Waits for the next client: how long his message is, and his connection. `None`: there will be
/// none.
fn next(
    switch: &mut Switch,
    signals: &mut Signals,
    message: &mut [u8],
) -> Result<Option<(usize, Option<OwnedFd>)>, Error> {
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
        if asked {
            let got = receive(stdin(), message).map_err(unable("unable to take a client"))?;
            return Ok((got.0 > 0).then_some(got));
        }
    }
}

/// Says something to the desk. If nobody listens, the end of the socket is read next.
fn tell(word: u8) {
    let _ = send(stdout(), &[word], SendFlags::NOSIGNAL);
}

/// The deadline, who asks, and what.
fn read(message: &[u8]) -> Option<(u64, Option<Peer>, &[u8])> {
    let (head, request) = message.split_at_checked(size_of::<Head>())?;
    let mut numbers = Head::default();
    for (number, bytes) in numbers.iter_mut().zip(head.chunks_exact(size_of::<u32>())) {
        *number = u32::from_ne_bytes(*bytes.first_chunk()?);
    }
    let [high, low, known, uid, gid] = numbers;
    let peer = (known == 1).then_some(Peer { uid: Uid(uid), gid: Gid(gid) });
    Some((u64::from(high) << 32 | u64::from(low), peer, request))
}

/// Answers a client, or closes his connection.
fn answer(
    switch: &mut Switch,
    client: &mut Connection<dyn Conversation>,
    deadline: u64,
    out: &mut Output,
    patience: &Patience,
) -> End {
    if millis() >= deadline {
        // Those before him took all the time there was.
        return End::Failed;
    }
    let Connection { socket, conversation, .. } = client;
    switch.revive();
    switch.limit(patience.lookup_millis, Some(deadline));
    let last = deadline + u64::from(SLOW_REPLY_MILLIS);
    let mut begun = false;
    let end = loop {
        let need = conversation.go_on(switch, out, u64::MAX);
        if !out.pending().is_empty() {
            switch.limit(patience.lookup_millis, None);
            if !begun && !matches!(need, Need::Close(_)) {
                // The desk counts to the first piece otherwise.
                tell(BEGUN);
                begun = true;
            }
            let until = last.min(millis() + u64::from(patience.client_millis));
            if !flush(socket, out.pending(), until) {
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
        drain(socket);
    }
    conversation.leave(switch);
    end
}

/// Sends all of `bytes` before `until`; false if that failed.
fn flush(socket: &OwnedFd, mut bytes: &[u8], until: u64) -> bool {
    let mut late = false;
    while !bytes.is_empty() {
        match send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(len) => (bytes, late) = (bytes.get(len..).unwrap_or_default(), false),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if !late => {
                let left = timespec(until.saturating_sub(millis()));
                match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&left)) {
                    // The kernel tells late that there is room: see `is_late` of the event loop.
                    Ok(0) => late = true,
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
            Err(_) => return false,
        }
    }
    true
}
