//! What is looked at where another source than the machine's own files tells a field.
//!
//! Own files are read with our own rights, here and nowhere told: what comes of it is whether a
//! field is sent or a star. /etc/shadow is opened when it is looked at for the first time.

use super::Subject;
use super::rule::{Facts, Look, OwnPasswd, ShadowLine};
use crate::backend::client::{Enumerations, Hit, Search};
use crate::backend::stamp::{Reading, Stamp};
use crate::backend::unix::Unix;
use crate::backend::{Outcome, Shared, Source, Step, Teller, nsswitch};
use crate::sys::access::Rights;
use crate::sys::clock::file_time;
use crate::sys::file::{open, pread_full};
use crate::sys::sandbox::Sandbox;
use crate::sys::stat::{fstat, stat};
use crate::sys::untouched;
use nssproto::entry::{Db, Name, Record};
use nssproto::line::Rules;
use nssproto::nsss::Request;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;

/// How far the look into /etc/shadow has come, for one client.
#[derive(Clone, Copy, Default)]
pub struct ShadowSearch {
    search: Search,
    /// The hash of the name that is looked for.
    name: u64,
}

/// What is looked at where another source than the machine's own files tells a field.
pub struct Passwords {
    own: Box<Unix>,
    shared: Shared,
    enumerations: Enumerations,
    services: Services,
}

impl Passwords {
    /// With room for all that will be read. Nothing is opened yet.
    pub fn new() -> Option<Box<Self>> {
        Some(Box::new(Passwords {
            own: Unix::new(b"/etc", false).ok()?,
            shared: Shared::new(false),
            enumerations: Enumerations::default(),
            services: Services::new(),
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

    /// Whether files are open, which are to be closed when they are not used.
    pub fn holds_files(&self) -> bool {
        self.shared.holds_files
    }

    /// Looks at what is wanted; `batch`: see [`Shared::batch`]. `None`: the budget is used up.
    pub fn look(
        &mut self,
        look: Look,
        subject: &Subject<'_>,
        search: &mut ShadowSearch,
        budget: &mut u64,
        batch: u64,
        facts: &mut Facts,
    ) -> Option<()> {
        self.shared.batch = batch;
        match look {
            Look::Readable => {}
            Look::OwnPasswd => facts.own = Some(self.own_passwd(subject)),
            Look::Listed => {
                let teller = subject.source.teller();
                facts.listed = Some(self.services.lists(teller, self.shared.batch));
            }
            Look::ShadowLine => facts.line = Some(self.shadow_line(subject, search, budget)?),
        }
        Some(())
    }

    /// What /etc/passwd has of a name. Who asks for the name of another program's record may wait.
    fn own_passwd(&mut self, subject: &Subject<'_>) -> OwnPasswd {
        let mut hit = Hit::None;
        let (search, budget) = (&mut Search::default(), &mut { u64::MAX });
        match self.ask(Db::Passwd, subject.name, search, &mut hit, budget) {
            Outcome::Found => match self.own.record(&self.shared.window, &hit) {
                Some(Record::Passwd(own)) if own.password == subject.field => OwnPasswd::SameField,
                _ => OwnPasswd::Name,
            },
            _ => OwnPasswd::NoName,
        }
    }

    /// Whether /etc/shadow has a line of a name. `None`: the budget is used up.
    fn shadow_line(
        &mut self,
        subject: &Subject<'_>,
        search: &mut ShadowSearch,
        budget: &mut u64,
    ) -> Option<ShadowLine> {
        let name = hash(subject.name);
        if search.name != name {
            *search = ShadowSearch { search: Search::default(), name };
        }
        let (search, hit) = (&mut search.search, &mut Hit::None);
        match self.ask(Db::Shadow, subject.name, search, hit, budget) {
            Outcome::Pending => None,
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
            budget,
            search,
            enumerations,
            hit,
        };
        own.ask(step, &Request::ByName(db, name))
    }
}

/// FNV-1a: a record that is asked for by number may be another one the next time.
fn hash(name: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    name.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What nsswitch.conf says of shadow.
struct Services {
    reading: Reading,
    /// When it was looked at last: see [`Shared::batch`].
    batch: u64,
    text: Vec<u8>,
    ldap: bool,
    extrausers: bool,
    /// Any that is not of glibc itself.
    others: bool,
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
            others: false,
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
        (self.ldap, self.extrausers, self.others) = (false, false, false);
        for service in nsswitch::services(text, nsswitch::for_shadow(text)) {
            self.ldap |= service == b"ldap";
            self.extrausers |= service == b"extrausers";
            self.others |= ![&b"files"[..], b"compat", b"systemd"].contains(&service);
        }
    }

    fn read(&mut self) -> Result<usize, Errno> {
        let file = open(PATH, OFlags::RDONLY, Mode::empty())?;
        let clock = file_time();
        self.reading = Reading::new(Stamp::of(&fstat(&file)?), clock);
        pread_full(&file, &mut self.text, 0)
    }
}
