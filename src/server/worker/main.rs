//! The worker: a process that waits for sources that may block, for one client at a time. Standard
//! input and output are its socket; it ends when the server closes that.

use super::{Job, MESSAGE, Word};
use crate::backend::switch::Switch;
use crate::server::conversation::{Conversation, Conversations, End, Need, Output, Patience, Wait};
use crate::server::signals::Signals;
use crate::sys::access::Rights;
use crate::sys::clock::{NEVER, millis, timespec};
use crate::sys::error::{Error, unable};
use crate::sys::passed::receive;
use crate::sys::stream::{drain, send_all};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use rustix::stdio::{stdin, stdout};
use std::os::fd::OwnedFd;

/// Answers clients until there is no server any more.
pub fn serve(switch: &mut Switch, patience: Patience) -> Result<(), Error> {
    // What ends the server ends this process by way of its socket, so that a reply in hand is
    // finished.
    let mut signals = Signals::catch()?;
    let out = Output::default();
    let mut worker = Worker { switch, conversation: None, number: 0, out, patience };
    let mut message = vec![0; MESSAGE];
    while let Some((len, socket)) = worker.next(&mut signals, &mut message)? {
        let word = match (socket, Job::read(message.get(..len).unwrap_or_default())) {
            (Some(socket), Some(job)) => worker.work(&socket, &job),
            _ => Word::Ended(End::Failed),
        };
        // The socket is closed by now: whoever hears of the end is the last who has it.
        tell(word);
    }
    worker.switch.end();
    Ok(())
}

/// Says something to the server. If nobody listens, the end of the socket is read next.
fn tell(word: Word) {
    let _ = send(stdout(), &[word.byte()], SendFlags::NOSIGNAL);
}

struct Worker<'a> {
    switch: &'a mut Switch,
    /// The one that goes on, or was the last.
    conversation: Option<Box<dyn Conversations>>,
    /// Of the last conversation.
    number: u32,
    out: Output,
    patience: Patience,
}

impl Worker<'_> {
    /// Waits for the next request: how long its message is, and the client's connection. `None`: there
    /// will be none.
    fn next(
        &mut self,
        signals: &mut Signals,
        message: &mut [u8],
    ) -> Result<Option<(usize, Option<OwnedFd>)>, Error> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(stdin(), PollFlags::IN),
                PollFd::from_borrowed_fd(signals.wake(), PollFlags::IN),
            ];
            let next_look = self.switch.next_look();
            let limit = (next_look != NEVER).then(|| timespec(next_look.saturating_sub(millis())));
            match poll(&mut fds, limit.as_ref()) {
                Ok(0) => self.close_idle(),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(unable("unable to wait for events")(errno)),
            }
            let (asked, signalled) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            if signalled {
                while signals.take().is_some() {}
                self.switch.look();
            }
            if asked {
                return match receive(stdin(), message) {
                    // A server that ends before it has read what a worker said is gone like any other.
                    Ok((0, _)) | Err(Errno::CONNRESET) => Ok(None),
                    Ok(got) => Ok(Some(got)),
                    Err(errno) => Err(unable("unable to take a client")(errno)),
                };
            }
        }
    }

    /// Closes files that nobody has used for a while.
    fn close_idle(&mut self) {
        let open = self.conversation().is_some_and(|conversation| conversation.close_idle());
        self.switch.close_idle(open);
    }

    /// The one that goes on.
    fn conversation(&mut self) -> Option<&mut dyn Conversation> {
        self.conversation.as_mut()?.at(0)
    }

    /// Ends it, if there is one.
    fn leave(&mut self) {
        let mut before = self.conversation.take();
        if let Some(conversation) = before.as_mut().and_then(|one| one.at(0)) {
            conversation.leave(self.switch);
        }
    }

    /// Answers a request on the client's socket.
    fn work(&mut self, socket: &OwnedFd, job: &Job<'_>) -> Word {
        let failed = Word::Ended(End::Failed);
        if millis() >= job.deadline {
            // Those before him took all the time there was.
            return failed;
        }
        self.switch.share(job.repeats, job.followed);
        if job.continues {
            // A source that has ended is missed: another one would begin its list anew.
            self.switch.look();
        } else {
            self.leave();
            // For one that repeats, what was found a moment ago is still there.
            if !job.repeats {
                self.switch.revive();
            }
            self.number = self.number.wrapping_add(1);
            let mut client = self.switch.new_client(Rights::of(job.peer), self.number);
            client.limit_to(job.sources.clone());
            self.conversation.insert(job.protocol.conversations(1)).begin(0, client);
        }
        let Some(conversation) = self.conversation.as_mut().and_then(|one| one.at(0)) else {
            return failed;
        };
        let Some(room) = conversation.room().get_mut(..job.request.len()) else { return failed };
        room.copy_from_slice(job.request);
        conversation.filled(job.request.len());
        self.out.clear();
        let until = job.deadline.min(millis() + u64::from(self.patience.lookup_millis));
        let (switch, out) = (&mut *self.switch, &mut self.out);
        let mut word = answer(switch, conversation, socket, until, out, self.patience);
        if job.repeats && self.switch.was_not_told() {
            word = Word::Back;
        }
        if !job.followed {
            self.switch.share(false, false);
        }
        if let Word::Ended(_) | Word::Back = word {
            if conversation.drains() && word != Word::Back {
                drain(socket);
            }
            self.leave();
        }
        word
    }
}

/// Answers one request; how that ended.
fn answer(
    switch: &mut Switch,
    conversation: &mut dyn Conversation,
    socket: &OwnedFd,
    deadline: u64,
    out: &mut Output,
    patience: Patience,
) -> Word {
    let lookup_millis = patience.lookup_millis;
    switch.limit(lookup_millis, deadline);
    let mut begun = false;
    loop {
        // The first piece is due soon.
        out.set_large(begun && conversation.is_long());
        let need = conversation.go_on(switch, out, u64::MAX);
        let whole = matches!(need, Need::Close(_)) || conversation.waits_for_input();
        if !out.pending().is_empty() {
            switch.limit(lookup_millis, NEVER);
            if !begun && !whole {
                // The server counts to the first piece otherwise.
                tell(Word::Begun);
                begun = true;
            }
            let last = deadline + u64::from(conversation.reply_millis());
            let until = last.min(conversation.deadline(Wait::Output, patience));
            if send_all(socket, out.pending(), until).is_err() {
                return Word::Ended(End::Broken);
            }
            out.clear();
            if whole && !matches!(need, Need::Close(_)) {
                return Word::Answered;
            }
        }
        match need {
            Need::Flush | Need::Turn => {}
            // The request was not whole, or nobody else can know more.
            Need::Input | Need::Worker(_) => return Word::Ended(End::Failed),
            Need::Close(end) => return Word::Ended(end),
            // It has no companion.
            #[cfg(feature = "share")]
            Need::Errand(_) => return Word::Ended(End::Refused),
        }
    }
}
