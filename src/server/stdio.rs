//! One client on standard input and output: how the nsss daemons are run by a super-server.

use super::conversation::nsss::Nsss;
use super::conversation::{Conversation, End, Need, Output};
use crate::backend::switch::Switch;
use crate::sys::access::Rights;
use crate::sys::clock::{NEVER, duration, millis, timespec};
use crate::sys::error::{Error, Exit, unable};
use crate::sys::no_alloc;
use crate::sys::privilege::gain_no_more;
use crate::sys::stream::write_all;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::stdio::{stdin, stdout};

/// Most descriptors that are waited for: standard input, and two for each of eight backends.
const WATCHED: usize = 1 + 2 * crate::limits::BACKENDS;

/// Stands for the client where others have the number of a backend.
const CLIENT: usize = crate::limits::BACKENDS;

/// Milliseconds between two looks for the end of a killed child, before Linux 5.3.
const CHILD_MILLIS: u64 = 20;

/// Milliseconds after which reading ends by itself while files are open: from then on poll(2) waits,
/// which is as exact as the looks for them have to be.
const READ_MILLIS: u64 = 10;

/// Serves the client until it ends, with exit code 0, or fails. `timeout`: milliseconds for
/// each read or write inside an exchange.
pub fn serve(switch: &mut Switch, timeout: Option<u32>) -> Result<(), Error> {
    if timeout.is_some() {
        // A write that takes part of what it is given must not wait for the rest.
        fcntl_getfl(stdout())
            .and_then(|flags| fcntl_setfl(stdout(), flags | OFlags::NONBLOCK))
            .map_err(unable("unable to write to stdout"))?;
    }
    // The programs among the backends have been started; there will be no others.
    gain_no_more();
    switch.sandbox().enter();
    let mut client = Nsss::new(switch.new_client(Rights::Own, 0));
    let (mut out, mut input) = (Output::default(), Input::Waits);
    // From here on: no allocation.
    let ended = no_alloc(|| converse(switch, &mut client, &mut out, &mut input, timeout));
    switch.end();
    ended.map_err(|Failure(what, errno)| match what {
        UNINTELLIGIBLE => Error::system(what, errno).with_exit(Exit::PROTOCOL),
        _ => Error::system(what, errno),
    })
}

/// Why the conversation broke off: an [`Error`] that is not made yet, since that allocates.
struct Failure(&'static str, Errno);

/// The bytes of the client are no request.
const UNINTELLIGIBLE: &str = "unable to interpret stdin";

fn converse(
    switch: &mut Switch,
    client: &mut Nsss,
    out: &mut Output,
    input: &mut Input,
    timeout: Option<u32>,
) -> Result<(), Failure> {
    loop {
        let need = client.go_on(switch, out, u64::MAX);
        if !out.pending().is_empty() {
            let written = write_all(stdout(), out.pending(), timeout);
            written.map_err(|errno| Failure("unable to write to stdout", errno))?;
            out.clear();
        }
        match need {
            Need::Flush | Need::Turn => {}
            Need::Input => {
                if !receive(switch, client, input, timeout)? {
                    return Ok(());
                }
            }
            // There are none here: what may block is asked by this process.
            Need::Worker(_) => return Err(Failure("unable to ask a backend", Errno::IO)),
            Need::Close(End::Protocol) => {
                return Err(Failure(UNINTELLIGIBLE, Errno::PROTO));
            }
            #[cfg(feature = "share")]
            Need::Errand(_) => return Ok(()),
            Need::Close(_) => {
                return Err(Failure("unable to finish a reply", Errno::IO));
            }
        }
    }
}

/// How reading standard input ends when nothing comes.
enum Input {
    /// Not.
    Waits,
    /// With EAGAIN, after [`READ_MILLIS`].
    Returns,
    /// Not, and cannot: it is no socket.
    OnlyWaits,
}

impl Input {
    /// Lets reading end by itself or not: two calls around a time in which files are open, instead of
    /// one more for each request. Whether it does.
    fn set(&mut self, returns: bool) -> bool {
        if returns != matches!(self, Input::Returns) && !matches!(self, Input::OnlyWaits) {
            let limit = returns.then(|| duration(timespec(READ_MILLIS)));
            *self = match (set_socket_timeout(stdin(), Timeout::Recv, limit), returns) {
                (Ok(()), true) => Input::Returns,
                (Ok(()), false) => Input::Waits,
                (Err(_), _) => Input::OnlyWaits,
            };
        }
        matches!(self, Input::Returns)
    }
}

/// Reads more of a request; false at the end of the client, or when it was idle for too long.
fn receive(
    switch: &mut Switch,
    client: &mut Nsss,
    input: &mut Input,
    timeout: Option<u32>,
) -> Result<bool, Failure> {
    let idle = client.is_idle();
    let limit = if idle { client.idle_millis() } else { timeout.unwrap_or(0) };
    let fail = |errno| Failure("unable to read from stdin", errno);
    // Where reading by itself would not do: with a limit, with children to watch, or with files that
    // are open, if it does not end before they have to be closed.
    let mut polls = limit != 0 || switch.watched().next().is_some() || switch.must_be_polled();
    if !polls {
        let holds_files = switch.next_look() != NEVER;
        polls = !input.set(holds_files) && holds_files;
        close_idle(switch, client);
    }
    loop {
        if polls && !await_input(switch, client, limit).map_err(fail)? {
            return if idle { Ok(false) } else { Err(fail(Errno::TIMEDOUT)) };
        }
        match read(stdin(), client.room()) {
            Ok(0) if idle => return Ok(false),
            // nsss says "Success" here.
            Ok(0) => return Err(fail(Errno::PIPE)),
            Ok(len) => {
                client.filled(len);
                // One look at a file does for all that is asked of it for one answer.
                switch.begin_batch(1);
                return Ok(true);
            }
            Err(Errno::INTR) => {}
            // The super-server gave us a socket that does not wait by itself.
            Err(Errno::AGAIN) => polls = true,
            Err(errno) => return Err(fail(errno)),
        }
    }
}

/// Waits for standard input; what is heard of children meanwhile is their failure, and files that
/// are not used are closed. False when the limit has passed.
fn await_input(switch: &mut Switch, client: &mut Nsss, limit: u32) -> Result<bool, Errno> {
    let ends = if limit == 0 { NEVER } else { millis() + u64::from(limit) };
    loop {
        let mut wakes = ends.min(switch.next_look());
        // Whose they are: there is room for all.
        let mut fds: heapless::Vec<PollFd<'_>, WATCHED> = heapless::Vec::new();
        let mut slots: heapless::Vec<usize, WATCHED> = heapless::Vec::new();
        let _ = fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        let _ = slots.push(CLIENT);
        for (slot, child) in switch.watched() {
            let _ = fds.push(PollFd::from_borrowed_fd(child, PollFlags::IN));
            let _ = slots.push(slot);
        }
        if switch.must_be_polled() {
            wakes = wakes.min(millis() + CHILD_MILLIS);
        }
        let wait = (wakes != NEVER).then(|| timespec(wakes.saturating_sub(millis())));
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        let mut heard = 0_u32;
        for (slot, fd) in slots.iter().zip(&fds) {
            heard |= u32::from(!fd.revents().is_empty()) << slot;
        }
        drop(fds);
        for slot in 0..CLIENT {
            if heard >> slot & 1 == 1 {
                switch.fail(slot);
            }
        }
        switch.reap();
        if heard >> CLIENT == 1 {
            return Ok(true);
        }
        if millis() >= ends {
            return Ok(false);
        }
        close_idle(switch, client);
    }
}

/// Closes files that are not used, if it is time to look for them.
fn close_idle(switch: &mut Switch, client: &mut Nsss) {
    let look = switch.next_look();
    if look != NEVER && millis() >= look {
        let open = client.close_idle();
        switch.close_idle(open);
    }
}
