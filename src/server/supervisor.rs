//! What a supervisor is told: by a newline on standard output that clients will be served, and by
//! sd_notify(3) that, and then that they still are.

use crate::sys::clock::{NEVER, millis};
use crate::sys::message::write_at_once;
use crate::sys::socket::address;
use nssproto::bytes::{decimal_u32, decimal_u64};
use rustix::fs::{Mode, OFlags, open};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{sendto, socket_with};
use rustix::process::getpid;
use rustix::stdio::{dup2_stdin, dup2_stdout, stdout};
use std::env::var_os;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// What tells how to tell; for us, and not for what we start.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Seconds for a supervisor to be told that we are ready: it may be busy.
const READY_SECONDS: u64 = 5;

/// A supervisor that wants to be told now and then that we still serve.
pub struct Watchdog {
    socket: Option<(OwnedFd, SocketAddrUnix)>,
    /// Milliseconds from one time to the next.
    pause: u64,
    /// When the next one is due; [`NEVER`]: nobody wants to know.
    pub due: u64,
}

impl Watchdog {
    /// If it is time, tells that we still serve. It waits for nothing.
    pub fn keep_alive(&mut self) {
        if self.due == NEVER {
            return;
        }
        let now = millis();
        if now < self.due {
            return;
        }
        self.due = now + self.pause;
        self.say(b"WATCHDOG=1\n", SendFlags::DONTWAIT);
    }

    fn say(&self, text: &[u8], flags: SendFlags) {
        if let Some((socket, address)) = &self.socket {
            let _ = sendto(socket, text, flags | SendFlags::NOSIGNAL, address);
        }
    }
}

/// Tells whoever started us that clients will be served: a newline on standard output if
/// `newline`, and READY=1 to NOTIFY_SOCKET. Standard input and output are closed.
pub fn tell_ready(newline: bool) -> Watchdog {
    if newline {
        // Nobody reading it is no reason not to serve.
        write_at_once(stdout(), b"\n");
    }
    // Without /dev (early in an initramfs) anything serves that can be neither read nor written.
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = open(c"/dev/null", flags, Mode::empty())
        .or_else(|_| open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()));
    if let Ok(null) = null {
        let _ = dup2_stdin(&null);
        let _ = dup2_stdout(&null);
    }
    let socket = notified();
    let pause = socket.as_ref().and_then(|_| pause());
    let due = pause.map_or(NEVER, |pause| millis() + pause);
    let watchdog = Watchdog { socket, pause: pause.unwrap_or_default(), due };
    watchdog.say(b"READY=1\n", SendFlags::empty());
    watchdog
}

/// What to tell it by: a datagram to a path, or to an abstract name that begins with `@`.
fn notified() -> Option<(OwnedFd, SocketAddrUnix)> {
    let name = var_os("NOTIFY_SOCKET")?;
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => address(name.as_bytes()),
    };
    let (family, kind, flags) = (AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC);
    let socket = socket_with(family, kind, flags, None).ok()?;
    let limit = Some(Duration::from_secs(READY_SECONDS));
    let _ = set_socket_timeout(&socket, Timeout::Send, limit);
    Some((socket, address.ok()?))
}

/// Half of the time after which it ends us, in milliseconds, as sd_watchdog_enabled(3) has it.
fn pause() -> Option<u64> {
    let pid = getpid().as_raw_nonzero().get().unsigned_abs();
    let ours = var_os("WATCHDOG_PID").is_none_or(|text| decimal_u32(text.as_bytes()) == Some(pid));
    let micros = decimal_u64(var_os("WATCHDOG_USEC")?.as_bytes()).filter(|micros| *micros > 0)?;
    // After an hour also where it would wait for longer.
    let half = u32::try_from(micros).unwrap_or(u32::MAX) / 2000;
    ours.then_some(half.max(1).into())
}
