//! Hostile clients, and an honest one beside them.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Uid, setpriority_process};
use rustix::thread::set_thread_res_uid;

use crate::files::Question;

/// The first of the hostile uids.
const HOSTILE: u32 = 64_000;

/// What a connection does when it is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It asks, and takes the reply.
    Reads,
    /// It asks, and takes nothing.
    Stops,
    /// It asks, and takes 4 KiB ten times a second.
    Slowly,
    /// It asks, and is gone.
    Leaves,
    /// It sends a byte of its question ten times a second.
    ByteByByte,
}

/// Connections that are made anew whenever one ends.
pub struct Attack {
    pub uids: usize,
    /// Connections of each.
    pub each: usize,
    /// What the connection of that number says.
    pub ask: Box<dyn Fn(usize) -> Vec<u8> + Send + Sync>,
    pub after: After,
    /// What is measured is the server, and not who of two clients on a CPU comes first.
    pub nice: i32,
}

/// What an honest client met.
pub struct Times {
    /// Sorted.
    pub millis: Vec<f64>,
    pub failed: usize,
    /// As many hostile connections there were at least.
    pub least: usize,
}

impl Times {
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = self.millis.len().saturating_sub(1) * percent / 100;
        self.millis.get(at).copied().unwrap_or(0.0)
    }
}

/// An honest client asks the same again and again, beside an attack or alone.
pub fn beside(
    socket: &OsStr,
    question: &Question,
    attack: Option<&Attack>,
    time: Duration,
) -> io::Result<Times> {
    let (stop, ready) = (AtomicBool::new(false), AtomicBool::new(attack.is_none()));
    let least = AtomicUsize::new(usize::MAX);
    let mut times = Times { millis: Vec::new(), failed: 0, least: 0 };
    thread::scope(|scope| {
        if let Some(attack) = attack {
            let (stop, ready, least) = (&stop, &ready, &least);
            scope.spawn(move || {
                let done = attack.run(socket, stop, ready, least);
                ready.store(true, Ordering::SeqCst);
                done
            });
        }
        while !ready.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        least.store(usize::MAX, Ordering::SeqCst);
        let end = Instant::now() + time;
        while Instant::now() < end {
            let before = Instant::now();
            let answered = ask(socket, question).unwrap_or(false);
            times.millis.push(before.elapsed().as_secs_f64() * 1000.0);
            times.failed += usize::from(!answered);
            thread::sleep(Duration::from_millis(3));
        }
        stop.store(true, Ordering::SeqCst);
    });
    times.least = least.load(Ordering::SeqCst);
    times.millis.sort_by(f64::total_cmp);
    Ok(times)
}

fn ask(socket: &OsStr, question: &Question) -> io::Result<bool> {
    let mut client = UnixStream::connect(socket)?;
    client.set_read_timeout(Some(Duration::from_secs(6)))?;
    client.write_all(&question.request)?;
    let mut reply = Vec::new();
    client.read_to_end(&mut reply)?;
    Ok(reply == question.reply)
}

struct Hostile {
    stream: UnixStream,
    uid: usize,
    left: Vec<u8>,
}

impl Attack {
    /// Until it is stopped.
    pub fn run(
        &self,
        socket: &OsStr,
        stop: &AtomicBool,
        ready: &AtomicBool,
        least: &AtomicUsize,
    ) -> io::Result<()> {
        // Of this thread.
        setpriority_process(None, self.nice)?;
        let mut open: Vec<Hostile> = Vec::new();
        let mut missing: Vec<usize> = (0..self.each).flat_map(|_| 0..self.uids).collect();
        let (mut number, begun) = (0, Instant::now());
        let mut next = Instant::now();
        while !stop.load(Ordering::SeqCst) {
            let mut refused = Vec::new();
            for uid in missing.drain(..) {
                number += 1;
                match self.connect(socket, uid, number) {
                    Ok(client) => open.push(client),
                    Err(_) => refused.push(uid),
                }
            }
            missing = refused;
            least.fetch_min(open.len(), Ordering::SeqCst);
            ready.fetch_or(begun.elapsed() > Duration::from_millis(300), Ordering::SeqCst);
            let due = next <= Instant::now();
            if due {
                next += Duration::from_millis(100);
            }
            self.round(&mut open, &mut missing, due);
        }
        Ok(())
    }

    fn connect(&self, socket: &OsStr, uid: usize, number: usize) -> io::Result<Hostile> {
        let uid_raw = Uid::from_raw(HOSTILE + uid as u32);
        set_thread_res_uid(uid_raw, uid_raw, Uid::ROOT)?;
        // In the kernel's queue, or beyond it: that waits, as any client does.
        let stream = UnixStream::connect(socket);
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
        let mut stream = stream?;
        stream.set_nonblocking(true)?;
        let mut left = (self.ask)(number);
        if self.after != After::ByteByByte {
            let _ = stream.write_all(&left);
            left.clear();
        }
        Ok(Hostile { stream, uid, left })
    }

    /// Waits for what there is to do, a hundredth of a second at most, and does it.
    fn round(&self, open: &mut Vec<Hostile>, missing: &mut Vec<usize>, due: bool) {
        let reads = self.after == After::Reads || self.after == After::ByteByByte;
        let flags = if reads { PollFlags::IN } else { PollFlags::empty() };
        let mut fds: Vec<_> =
            open.iter().map(|hostile| PollFd::new(&hostile.stream, flags)).collect();
        let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 }));
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut happened = happened.into_iter();
        let mut bytes = [0; 4096];
        open.retain_mut(|hostile| {
            let happened = happened.next().unwrap_or(false);
            let mut stays = self.after != After::Leaves;
            if due && !hostile.left.is_empty() {
                let byte = hostile.left.remove(0);
                stays &= hostile.stream.write(&[byte]).is_ok();
            }
            if (happened && self.after != After::Slowly) || (self.after == After::Slowly && due) {
                stays &= match hostile.stream.read(&mut bytes) {
                    // An end that is seen by who does not read: there is nothing to wait for.
                    Ok(len) => len > 0 && reads | (self.after == After::Slowly),
                    Err(why) => why.kind() == io::ErrorKind::WouldBlock,
                };
            }
            if !stays {
                missing.push(hostile.uid);
            }
            stays
        });
    }
}
