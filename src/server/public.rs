//! Servers whose sources are those of a script, at one socket or several: what they do before the
//! event loop, and what their workers do.

use super::ServerOptions;
use super::conversation::{Patience, Protocol};
#[cfg(feature = "share")]
use super::event_loop::Beside;
use super::event_loop::{self, Service};
use super::listener::{Limits, Listener, Place, passed};
use super::log::Log;
use super::setup::{Identity, ready};
use super::sources::{Others, Sources};
use super::worker;
use super::worker::pool::Pool;
use crate::backend::switch::Switch;
use crate::limits::BACKENDS;
use crate::sys::access::shared_ids;
use crate::sys::error::{Error, not_made};
use crate::sys::file::{directory, path};
use crate::sys::message::Message;
use crate::sys::passed::Passed;
use crate::sys::privilege;
use crate::sys::stat::{Stat, stat};
use crate::sys::watch::Watched;
use rustix::fs::{Mode, mkdir};
use rustix::io::Errno;
use rustix::process::{geteuid, umask};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// Makes a worker of this process, for another one of the same command line. (Nothing to be called by
/// hand.)
pub const WORKER: &str = "--worker";

/// Clients that the kernel lets connect before they are accepted; its own limit is the same.
const BACKLOG: i32 = 4096;

/// What a supervisor calls a socket where nscd's protocol is spoken.
pub const NSCD_NAMES: &[&str] = &["nscd"];
/// The same of nsss's.
pub const NSSS_NAMES: &[&str] = &["nsss"];
/// The same of systemd's user database; the second is systemd's own for varlink.
pub const USERDB_NAMES: &[&str] = &["userdb", "varlink"];
/// The same in the place of systemd-userdbd.
pub const MULTIPLEXER_NAMES: &[&str] = &["multiplexer"];

/// All of them.
const NAMES: [&str; 5] = ["nscd", "nsss", "userdb", "varlink", "multiplexer"];

/// How long a server of ours that has been told to end may take for it.
const ENDING_MILLIS: u64 = 500;

/// A socket to serve, and how.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    /// What is spoken.
    pub protocol: Protocol,
    /// Its path.
    pub socket: &'a OsStr,
    /// How clients are admitted.
    pub limits: Limits,
    /// What the supervisor calls one that it passes (LISTEN_FDNAMES): that is taken instead.
    pub names: &'static [&'static str],
    /// Its directory is made if it is not there: clients look for the socket there and nowhere else.
    pub makes_directory: bool,
    /// Clients take everything beside it for a socket but what begins with a dot.
    pub hides_lock: bool,
}

/// What is served, and how.
pub struct Server<'a> {
    /// The applet's name.
    pub name: &'static str,
    /// Where the answers come from.
    pub sources: &'a Sources,
    /// Whom to become.
    pub identity: &'a Identity,
    /// How long is waited for what.
    pub patience: Patience,
    /// What is done with the sources while all rights are there; whether what is left of these is to
    /// be looked at.
    pub prepare: fn(&mut Switch) -> bool,
    /// If root's were given up, that may be too little, and is said.
    pub look: fn(),
    /// Makes what the loop looks after besides its clients, once the sockets are its own.
    #[cfg(feature = "share")]
    pub companion: &'a dyn Fn(&mut Switch) -> Beside,
}

impl Server<'_> {
    /// Serves clients at all endpoints over one switch. `args`: the command line, for the workers.
    pub fn serve(
        &self,
        endpoints: &[Endpoint<'_>],
        options: &ServerOptions,
        parent: Option<Watched>,
        args: &[OsString],
    ) -> Result<(), Error> {
        // What is wrong with the script is told before the socket is made.
        let (mut near, others) = self.sources.near(self.name)?;
        options.log.tell_failures(&mut near);
        let looks = (self.prepare)(&mut near) && geteuid().is_root();
        if options.log.verbosity > 0 {
            self.sources.name_refused(self.name);
        }
        let (mut services, mut most) = (Vec::<Service>::new(), 0);
        let mut passed = Sockets::passed_for(endpoints)?;
        for endpoint in endpoints {
            if endpoint.makes_directory {
                let directory = directory(endpoint.socket.as_bytes());
                make_directory(directory)?;
                if options.log.verbosity > 0 {
                    self.warn_of_open_directory(directory);
                }
            }
            most += endpoint.limits.rows();
            match endpoint.open(passed.take(endpoint)) {
                Ok(service) => services.push(service),
                Err(error) => {
                    // Those that were made stand for nobody.
                    services.iter().for_each(|service| service.listener.leave());
                    return Err(error);
                }
            }
        }
        #[cfg(feature = "share")]
        let companion = (self.companion)(&mut near);
        #[cfg(not(feature = "share"))]
        let companion = ();
        if !self.sources.start_programs() {
            privilege::gain_no_more();
        }
        // Where workers would only be there in case, a server that can forbid itself files does that.
        let needed = match others {
            Others::None => false,
            Others::Sometimes => cfg!(not(feature = "sandbox")),
            Others::Always => true,
        };
        let enumerates = endpoints.iter().any(|endpoint| endpoint.protocol == Protocol::Nsss);
        let words: &[&'static [u8]] = &[self.name.as_bytes(), WORKER.as_bytes()];
        let mut workers = needed.then(|| Pool::new(most, enumerates, words, args)).transpose()?;
        if let Some(workers) =
            workers.as_mut().filter(|_| others == Others::Always && self.identity.changes())
        {
            // Opened before rights are given up: the map may have a key that only root can read.
            workers.start_all()?;
        }
        let assumed = self.identity.assume();
        if let (Err(_), Some(workers)) = (&assumed, &workers) {
            // They would fail alike, and say so.
            workers.end();
        }
        assumed?;
        if looks {
            (self.look)();
        }
        ready(&mut near);
        event_loop::serve(&services, options, &mut near, workers, parent, companion)
    }

    /// A worker's work.
    pub fn work(&self, log: Log) -> Result<(), Error> {
        let mut far = self.sources.far()?;
        log.tell_failures(&mut far);
        shared_ids();
        (self.prepare)(&mut far);
        // One that takes another's place after the change of user is that user already.
        if geteuid().is_root() {
            self.identity.assume()?;
        }
        far.guard();
        if !self.sources.start_programs() {
            far.sandbox().enter();
        }
        worker::main::serve(&mut far, self.patience)
    }

    /// Whoever may write the directory can put another socket there, and set-uid programs believe it.
    /// Told where it could have been otherwise: a server without root's rights has no choice.
    fn warn_of_open_directory(&self, dir: &[u8]) {
        let open = |stat: Stat| stat.st_uid != 0 || stat.st_mode & 0o022 != 0;
        let stat = || path(dir).and_then(|dir| stat(&dir));
        if !dir.is_empty() && geteuid().is_root() && stat().is_ok_and(open) {
            let mut message = Message::warning(self.name);
            message.path(dir);
            message.text(" can be written by others, who can forge answers there").send();
        }
    }
}

/// Sockets that the supervisor passed.
struct Sockets(Vec<Passed>);

impl Sockets {
    /// Those for these endpoints. One that is called as none of them is for the first, since the
    /// supervisor calls it by its unit where nobody says otherwise. The error: one is called as a
    /// protocol that is not served. Whoever connects there would wait for ever.
    fn passed_for(endpoints: &[Endpoint<'_>]) -> Result<Self, Error> {
        let mut sockets = passed()?;
        let is_of = |endpoint: &Endpoint<'_>, name: &[u8]| {
            endpoint.names.iter().any(|own| own.as_bytes() == name)
        };
        let Some(first) = endpoints.first() else { return Ok(Sockets(sockets)) };
        let has_own = sockets.iter().any(|socket| is_of(first, &socket.name));
        let is_only = endpoints.len() == 1 && sockets.len() == 1;
        let mut needs_one = !has_own;
        for socket in &mut sockets {
            let is_known = NAMES.iter().any(|name| name.as_bytes() == socket.name);
            if needs_one && (is_only || !is_known) {
                socket.name = first.names.first().map_or(&b""[..], |name| name.as_bytes()).into();
                needs_one = false;
            } else if is_known && !endpoints.iter().any(|endpoint| is_of(endpoint, &socket.name)) {
                let name = OsStr::from_bytes(&socket.name);
                return Err(
                    Error::options("a socket is passed for what is not served:").about(name)
                );
            }
        }
        Ok(Sockets(sockets))
    }

    /// That of an endpoint, if there is one.
    fn take(&mut self, endpoint: &Endpoint<'_>) -> Option<OwnedFd> {
        let is_its =
            |socket: &Passed| endpoint.names.iter().any(|name| name.as_bytes() == socket.name);
        let at = self.0.iter().position(is_its)?;
        Some(self.0.remove(at).socket)
    }
}

impl Endpoint<'_> {
    fn open(&self, passed: Option<OwnedFd>) -> Result<Service, Error> {
        let place = Place {
            path: self.socket,
            mode: 0o666,
            backlog: BACKLOG,
            replace: true,
            swap: true,
            // One that ends, with its program or by `-K`, needs a moment for it.
            patience: ENDING_MILLIS,
            takes_descriptors: false,
            lengthens: true,
            hides_lock: self.hides_lock,
        };
        let listener = Listener::open(&place, self.limits, passed)?;
        Ok(Service { protocol: self.protocol, listener, sources: 0..BACKENDS })
    }
}

/// A socket's directory, 0755, if it is not there.
pub fn make_directory(name: &[u8]) -> Result<(), Error> {
    // What is no path is told by the bind; so is what is there and no directory.
    let Ok(dir) = path(name) else { return Ok(()) };
    if name.is_empty() || stat(&dir).is_ok() {
        return Ok(());
    }
    // A chmod afterwards could be led elsewhere by whoever may write the directory above.
    let before = umask(Mode::empty());
    let made = mkdir(&dir, Mode::from_raw_mode(0o755));
    umask(before);
    match made {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(not_made("unable to make directory", name, e)),
    }
}
