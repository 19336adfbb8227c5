//! What nscd sends of a password field: the [rule], and what it has to look at.
//!
//! Own files are read with our own rights, here and nowhere told: what comes of it is whether a
//! field is sent or a star. /etc/shadow is opened when it is looked at for the first time.

pub mod rule;

use super::client::{Enumerations, Hit, Search, Sequel};
use super::gids::Gids;
use super::stamp::{Reading, Stamp};
use super::unix::Unix;
use super::{Outcome, Shared, Source, Step, Teller, nsswitch};
use crate::sys::access::Rights;
use crate::sys::clock::file_time;
use crate::sys::file::{open, pread_full};
use crate::sys::sandbox::Sandbox;
use crate::sys::stat::{fstat, stat};
use crate::sys::untouched;
use nssproto::bytes::Fnv1a;
use nssproto::entry::{Db, Name, Record};
use nssproto::line::Rules;
use nssproto::nscd::Password;
use nssproto::nsss::Request;
use rule::{Case, Facts, Field, Look, OwnPasswd, ShadowLine};
use rustix::fs::{Access, Mode, OFlags, access};
use rustix::io::Errno;
use std::ffi::CStr;

/// A field that was found, and for whom.
pub struct Subject<'a> {
    /// Of a user or of a group.
    pub db: Db,
    /// The name of the record.
    pub name: &'a [u8],
    /// Its password field, or the beginning of a very long one.
    pub field: &'a [u8],
    /// Who told it.
    pub source: &'a dyn Source,
    /// Who asks.
    pub rights: Rights,
    /// Which client of the switch that is.
    pub client: u32,
}

/// How far a look into /etc/shadow has come that takes more than a turn: one at a time, since few do.
#[derive(Default)]
struct ShadowSearch {
    /// Whose it is; `None`: there is none.
    client: Option<u32>,
    /// The hash of the name that is looked for.
    name: u64,
    search: Search,
}

/// What is looked at where another source than the machine's own files tells a field.
pub struct Passwords {
    own: Box<Unix>,
    shared: Shared,
    enumerations: Enumerations,
    looking: ShadowSearch,
    services: Services,
    /// What shadow says of other sources is told by this process, to those who ask glibc's `systemd`.
    pub tells_shadow: bool,
}

impl Passwords {
    /// With room for all that will be read. Nothing is opened yet.
    pub fn new() -> Option<Box<Self>> {
        Some(Box::new(Passwords {
            own: Unix::new(b"/etc", false).ok()?,
            shared: Shared::new(Gids::NONE),
            enumerations: Enumerations::default(),
            looking: ShadowSearch::default(),
            services: Services::new(),
            tells_shadow: false,
        }))
    }

    /// Names what must stay allowed.
    pub fn allow(&self, sandbox: &mut Sandbox) {
        self.own.allow(sandbox);
        sandbox.open_later(|| nsswitch::PATH.into());
    }

    /// Makes sure that shadow can be opened when all descriptors are in use.
    pub fn reserve_descriptor(&mut self) {
        self.own.reserve_descriptors();
    }

    /// Closes files that were not used for a while; whether others are open.
    pub fn close_idle(&mut self) -> bool {
        self.shared.holds_files = self.own.close_idle();
        self.shared.holds_files
    }

    /// Forgets what a client looks for, who has left; no matter if it is another who looks.
    pub fn release(&mut self, client: u32) {
        if self.looking.client == Some(client) {
            self.looking.client = None;
        }
    }

    /// Whether files are open, which are to be closed when they are not used.
    pub fn holds_files(&self) -> bool {
        self.shared.holds_files
    }

    fn look(
        &mut self,
        look: Look,
        subject: &Subject<'_>,
        budget: &mut u64,
        facts: &mut Facts,
    ) -> Option<()> {
        match look {
            Look::Readable => {}
            Look::OwnPasswd => facts.own = Some(self.own_passwd(subject)),
            Look::Listed => {
                let teller = subject.source.teller();
                let lists = self.services.lists(teller, self.shared.batch);
                facts.listed = Some(lists || self.tells_shadow && self.services.systemd);
            }
            Look::ShadowLine => facts.line = Some(self.shadow_line(subject, budget)?),
        }
        Some(())
    }

    /// What /etc/passwd has of a name. Who asks for the name of another program's record may wait.
    fn own_passwd(&mut self, subject: &Subject<'_>) -> OwnPasswd {
        let mut hit = Hit::None;
        let (search, budget) = (&mut Search::default(), &mut { u64::MAX });
        match self.ask(Db::Passwd, subject.name, search, &mut hit, budget) {
            Outcome::Found => match self.own.record(self.shared.window.bytes(), &hit) {
                Some(Record::Passwd(own)) if own.password == subject.field => OwnPasswd::SameField,
                _ => OwnPasswd::Name,
            },
            _ => OwnPasswd::NoName,
        }
    }

    /// Whether /etc/shadow has a line of a name. `None`: the budget is used up, or another client's
    /// look has to end first.
    fn shadow_line(&mut self, subject: &Subject<'_>, budget: &mut u64) -> Option<ShadowLine> {
        let (client, name) = (Some(subject.client), hash(subject.name));
        if self.looking.client.is_some() && self.looking.client != client {
            return None;
        }
        let goes_on = self.looking.client.is_some() && self.looking.name == name;
        let before = std::mem::take(&mut self.looking.search);
        let mut search = if goes_on { before } else { Search::default() };
        let outcome = self.ask(Db::Shadow, subject.name, &mut search, &mut Hit::None, budget);
        if outcome == Outcome::Pending {
            self.looking = ShadowSearch { client, name, search };
            return None;
        }
        self.looking.client = None;
        match outcome {
            Outcome::Found => Some(ShadowLine::Yes),
            Outcome::NotFound => Some(ShadowLine::No),
            outcome if outcome == Outcome::failed(Errno::NOENT) => Some(ShadowLine::No),
            _ => Some(ShadowLine::Unknown),
        }
    }

    fn ask(
        &mut self,
        db: Db,
        name: &[u8],
        search: &mut Search,
        hit: &mut Hit,
        budget: &mut u64,
    ) -> Outcome {
        let Some(name) = Name::new_long(name) else { return Outcome::NotFound };
        let Passwords { own, shared, enumerations, .. } = self;
        let step = Step {
            shared,
            rights: Rights::Own,
            rules: Rules::Glibc,
            lists: false,
            budget,
            search,
            enumerations,
            sequel: &mut Sequel::default(),
            hit,
        };
        own.ask(step, &Request::ByName(db, name))
    }
}

/// FNV-1a: a record that is asked for by number may be another one the next time.
fn hash(name: &[u8]) -> u64 {
    let mut hash = Fnv1a::START;
    hash.feed(name);
    hash.value()
}

/// What is sent of a field. `batch`: see [`Shared::batch`]. `None`: the budget is used up, so that
/// the record is to be asked for again.
pub fn shown(
    mut passwords: Option<&mut Passwords>,
    subject: &Subject<'_>,
    budget: &mut u64,
    batch: u64,
) -> Option<Password> {
    let peer = match subject.rights {
        Rights::Peer(peer) | Rights::Public(peer) => Some(peer),
        Rights::Own | Rights::Unknown => None,
    };
    let case = Case {
        db: subject.db,
        field: Field::of(subject.field),
        teller: subject.source.teller(),
        by_root: peer.is_some_and(|peer| peer.is_root()),
        by_userdb: passwords.as_ref().is_some_and(|passwords| passwords.tells_shadow),
    };
    let mut facts = Facts::default();
    loop {
        let look = match rule::shown(case, &facts) {
            Ok(password) => return Some(password),
            Err(look) => look,
        };
        match (look, &mut passwords) {
            (Look::Readable, _) => {
                let readable = peer.is_some_and(|p| subject.source.could_read(subject.db, p));
                facts.readable = Some(readable);
            }
            (look, Some(passwords)) => {
                passwords.shared.batch = batch;
                passwords.look(look, subject, budget, &mut facts)?;
            }
            // Nobody else than own files was to tell anything.
            (_, None) => return Some(Password::Star),
        }
    }
}

/// Whether /etc/shadow is there, and this process may not read it.
pub fn is_shadow_closed() -> bool {
    access(c"/etc/shadow", Access::READ_OK) == Err(Errno::ACCESS)
}

/// What nsswitch.conf says of shadow.
struct Services {
    reading: Reading,
    /// When it was looked at last: see [`Shared::batch`].
    batch: u64,
    text: &'static mut [u8],
    ldap: bool,
    extrausers: bool,
    cache: bool,
    /// Any that is not of glibc itself.
    others: bool,
    systemd: bool,
}

/// A longer one is read so far.
const TEXT: usize = 16 * 1024;

const PATH: &CStr = c"/etc/nsswitch.conf";

impl Services {
    fn new() -> Self {
        Services {
            reading: Reading::torn(Stamp::default()),
            batch: 0,
            text: untouched(TEXT),
            ldap: false,
            extrausers: false,
            cache: false,
            others: false,
            systemd: false,
        }
    }

    /// Whether a teller's own service is asked for shadow, as far as glibc would see it now.
    fn lists(&mut self, teller: Teller, batch: u64) -> bool {
        if batch == 0 || self.batch != batch {
            self.batch = batch;
            self.refresh();
        }
        match teller {
            Teller::Nslcd => self.ldap,
            Teller::Extrausers => self.extrausers,
            Teller::Cache => self.cache,
            Teller::Other => self.others,
            Teller::Own | Teller::Directory | Teller::Map => false,
        }
    }

    fn refresh(&mut self) {
        if stat(PATH).is_ok_and(|now| self.reading.holds(&Stamp::of(&now))) {
            return;
        }
        let len = match self.read() {
            Ok(len) => len,
            // Files are asked.
            Err(Errno::NOENT) => {
                self.reading = Reading::torn(Stamp::default());
                0
            }
            // What was known holds until it can be read.
            Err(_) => return self.reading = Reading::torn(Stamp::default()),
        };
        let text = self.text.get(..len).unwrap_or_default();
        (self.ldap, self.extrausers, self.cache) = (false, false, false);
        (self.others, self.systemd) = (false, false);
        for service in nsswitch::services(text, nsswitch::for_shadow(text)) {
            self.ldap |= service == b"ldap";
            self.extrausers |= service == b"extrausers";
            self.cache |= service == b"cache";
            self.systemd |= service == b"systemd";
            self.others |= ![&b"files"[..], b"compat", b"systemd"].contains(&service);
        }
    }

    fn read(&mut self) -> Result<usize, Errno> {
        let file = open(PATH, OFlags::RDONLY, Mode::empty())?;
        let clock = file_time();
        self.reading = Reading::new(Stamp::of(&fstat(&file)?), clock);
        pread_full(&file, self.text, 0)
    }
}
