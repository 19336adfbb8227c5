//! The servers that are tried, the files under them, and what each is asked.

use crate::support::map::{ALICE, BOB, KEY};
use crate::support::nscd::{self, ask, request};
use crate::support::stage::copy_executable;
use crate::support::{
    Server, Shadow, TempDir, by_id, by_name, group_reply, grouplist, grouplist_reply, link, op,
    passwd_reply, shadow_reply, tool,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Whom a server becomes that gives root up.
pub const UID: &str = "1507";
pub const GID: &str = "1508";
/// Another user who asks.
pub const OTHER: u32 = 1500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    InProcess,
    Switch,
    Spawned,
    Near,
    Program,
    Asking,
}

/// A server, and whether it gives root up.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub kind: Kind,
    pub gives_up: bool,
}

/// All of them.
pub fn subjects() -> Vec<(&'static str, Subject)> {
    let kinds = [
        ("ipcserver", "ipcserver_u", Kind::InProcess),
        ("ipcserver_switch_map", "ipcserver_switch_map_u", Kind::Switch),
        ("ipcserver_spawned", "ipcserver_spawned_u", Kind::Spawned),
        ("nscd", "nscd_u", Kind::Near),
        ("nscd_program", "nscd_program_u", Kind::Program),
        ("nscd_s", "nscd_s_u", Kind::Asking),
    ];
    let both = kinds.into_iter().flat_map(|(root, other, kind)| {
        [(root, Subject { kind, gives_up: false }), (other, Subject { kind, gives_up: true })]
    });
    both.collect()
}

/// A question, who asks it, and the answer. Nothing is right but this, a failure or the end of the
/// connection; or where it cannot be told whether he may see a hash, the same without.
pub struct Question {
    pub uid: u32,
    pub request: Vec<u8>,
    pub reply: Vec<u8>,
    pub hidden: Option<Vec<u8>>,
    /// What is in front does not know it, and a later source may fail once and for all at start.
    pub later_source: bool,
}

fn question(uid: u32, request: Vec<u8>, reply: Vec<u8>) -> Question {
    Question { uid, request, reply, hidden: None, later_source: false }
}

const HASH: &str = "$6$salt$secret";
const NUMBERS: Shadow = [1, 0, 99999, 7, -1, -1, -1];

fn passwd() -> String {
    format!("root:*:0:0:root:/root:/bin/sh\nada:{HASH}:1001:1001:Ada:/home/ada:/bin/sh\n")
}

/// Some replies in pieces: more than what is kept of one.
fn members() -> Vec<String> {
    (0..1000).map(|n| format!("member{n:04}")).collect()
}

fn group() -> String {
    format!("root:*:0:\nbig:*:77:ada,{}\nsecond:*:78:ada\n", members().join(","))
}

/// The executable where other users can reach it.
static EXECUTABLE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = TempDir::new();
    let path = dir.join("nssbox");
    copy_executable(crate::support::nssbox(), &path);
    (dir, path)
});

/// The directory of one server.
pub struct House {
    pub dir: TempDir,
    subject: Subject,
    /// Whom `nscd -s` asks.
    _asked: Option<Server>,
}

impl House {
    pub fn new(subject: Subject) -> House {
        let dir = TempDir::new();
        let bin = dir.subdirectory("bin");
        for name in crate::support::APPLETS {
            link(&EXECUTABLE.1, &bin, name);
        }
        dir.accounts(passwd(), group(), format!("ada:{HASH}:1:0:99999:7:::\n"));
        dir.chmod("shadow", 0o600);
        // What nobody but root may see, where the server is root.
        let hidden = matches!(subject.kind, Kind::Near | Kind::Program) && !subject.gives_up;
        dir.chmod("passwd", if hidden { 0o600 } else { 0o644 });
        let other = dir.subdirectory("other");
        fs::write(other.join("passwd"), "net:*:5000:5000:::\n").unwrap();
        fs::write(other.join("group"), "").unwrap();
        dir.write("key", KEY);
        dir.chmod("key", 0o400);
        let homes = dir.subdirectory("home");
        for name in ["alice", "bob"] {
            fs::create_dir(homes.join(name)).unwrap();
        }
        let text = "nssmap 2\nkey DIR/key\nregistry DIR/reg/registry\nmap *\n  \
                    template u:x:1879048192+134217728:=:mapped user:DIR/home:/bin/sh\n  \
                    require home\n";
        // A number has a name once it was given.
        let registry = format!("{ALICE} alice 1700000000\n");
        fs::write(dir.subdirectory("reg").join("registry"), registry).unwrap();
        dir.write("nssmap.conf", text.replace("DIR", dir.as_str()));
        let asked = (subject.kind == Kind::Asking)
            .then(|| Server::start(&bin, dir.path(), &["-q"], &["nsssd-unix", "-d", dir.as_str()]));
        House { dir, subject, _asked: asked }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("run/socket")
    }

    pub fn command(&self) -> Command {
        let socket = self.socket();
        let socket = socket.to_str().unwrap();
        fs::create_dir_all(self.dir.join("run")).unwrap();
        let dir = self.dir.as_str();
        let (conf, nsss) = (self.dir.join("nssmap.conf"), self.dir.join("s"));
        let (conf, nsss) = (conf.to_str().unwrap(), nsss.to_str().unwrap());
        let other = self.dir.join("other");
        let other = other.to_str().unwrap();
        let given: &[&str] = if self.subject.gives_up { &["-u", UID, "-g", GID] } else { &[] };
        let own = ["nsssd-unix", "-d", dir];
        let nested = format!(" {other}");
        let (name, rest): (&str, Vec<&str>) = match self.subject.kind {
            Kind::InProcess => ("ipcserver", [&[socket][..], &own].concat()),
            Kind::Switch => (
                "ipcserver",
                [
                    &[socket, "nsssd-switch", "-m", "3"][..],
                    &own,
                    &["", "3", "nsssd-map", "-f", conf, ""],
                ]
                .concat(),
            ),
            Kind::Spawned => ("ipcserver", [&["--spawn", socket][..], &own].concat()),
            Kind::Near => ("nscd", [&["-S", socket, "3"][..], &own, &[""]].concat()),
            Kind::Program => (
                "nscd",
                [
                    &["-t", "4000", "-S", socket, "3"][..],
                    &own,
                    &["", "0", "nsssd-switch", " 0", " nsssd-unix", " -d", &nested, " ", ""],
                ]
                .concat(),
            ),
            Kind::Asking => ("nscd", vec!["-t", "4000", "-S", socket, "-s", nsss, "--no-files"]),
        };
        let mut command = tool(&self.dir.join("bin"), name);
        command.args(["-1", "-q"]).args(given).args(rest);
        command
    }

    /// What it is asked.
    pub fn questions(&self) -> Vec<Question> {
        if self.is_nscd() {
            return self.nscd_questions();
        }
        let by_name = |op, name: &str| by_name(op, name);
        let ada = passwd_reply(["ada", HASH], 1001, 1001, ["Ada", "/home/ada", "/bin/sh"]);
        let stars = "*".repeat(HASH.len());
        let hidden = passwd_reply(["ada", &stars], 1001, 1001, ["Ada", "/home/ada", "/bin/sh"]);
        let members = members();
        let mut big = vec!["ada"];
        big.extend(members.iter().map(String::as_str));
        let shadow = by_name(op::SHADOW_GETBYNAME, "ada");
        let secret = shadow_reply("ada", HASH, NUMBERS);
        // Whoever is not root may not read it.
        let denied = || vec![13];
        let mut questions = vec![
            question(0, by_name(op::PWD_GETBYNAME, "ada"), ada.clone()),
            question(0, by_name(op::PWD_GETBYNAME, "none"), vec![255]),
            question(0, by_id(op::PWD_GETBYUID, 1001), ada.clone()),
            question(0, by_name(op::GRP_GETBYNAME, "big"), group_reply("big", "*", 77, &big)),
            question(0, grouplist(9, "ada"), grouplist_reply(9, &[77, 78])),
            question(0, by_id(op::GRP_GETBYGID, 4), vec![255]),
            question(0, shadow.clone(), if self.subject.gives_up { denied() } else { secret }),
            Question {
                hidden: Some(hidden),
                ..question(OTHER, by_name(op::PWD_GETBYNAME, "ada"), ada)
            },
            question(OTHER, shadow, denied()),
            question(OTHER, by_name(op::GRP_GETBYNAME, "none"), vec![255]),
        ];
        if self.subject.kind == Kind::Switch {
            for question in &mut questions {
                let list = question.request[0] == op::GRP_GETLIST;
                question.later_source = list || question.reply == [255];
            }
            let reply = |name, uid| {
                let home = format!("{}/home/{name}", self.dir.as_str());
                passwd_reply([name, "x"], uid, uid, ["mapped user", &home, "/bin/sh"])
            };
            let (alice, bob) = (reply("alice", ALICE), reply("bob", BOB));
            let by_name = |name| by_name(op::PWD_GETBYNAME, name);
            let asked = [
                (0, by_name("alice"), alice.clone()),
                (0, by_name("bob"), bob),
                (OTHER, by_name("alice"), alice.clone()),
                (0, by_id(op::PWD_GETBYUID, ALICE), alice),
            ];
            questions.extend(asked.map(|(asker, request, reply)| Question {
                later_source: true,
                ..question(asker, request, reply)
            }));
        }
        questions
    }

    fn nscd_questions(&self) -> Vec<Question> {
        let line = |hash: &str| format!("ada:{hash}:1001:1001:Ada:/home/ada:/bin/sh");
        let hidden = nscd::user(&line("*"));
        // From another process nobody gets one that /etc/passwd does not have.
        let (root, others) = match (self.subject.kind, self.subject.gives_up) {
            (Kind::Asking, _) => (hidden.clone(), hidden.clone()),
            (_, true) => (nscd::user(&line(HASH)), nscd::user(&line(HASH))),
            (_, false) => (nscd::user(&line(HASH)), hidden.clone()),
        };
        let big = group().lines().nth(1).unwrap().to_owned();
        let question = |uid, request, reply: Vec<u8>| Question {
            hidden: (reply == nscd::user(&line(HASH))).then(|| hidden.clone()),
            ..question(uid, request, reply)
        };
        let mut questions = vec![
            question(0, request(ask::USER, "ada"), root.clone()),
            question(0, request(ask::USER, "none"), nscd::no_user()),
            question(0, request(ask::UID, "1001"), root),
            question(0, request(ask::GROUP, "big"), nscd::group(&big)),
            question(0, request(ask::GROUPS, "ada"), nscd::groups(&[77, 78])),
            question(0, request(ask::GID, "4"), nscd::no_group()),
            question(OTHER, request(ask::USER, "ada"), others),
            question(OTHER, request(ask::GROUP, "none"), nscd::no_group()),
        ];
        if self.subject.kind == Kind::Program {
            let none = [nscd::no_user(), nscd::no_group()];
            for question in &mut questions {
                let list = question.request == request(ask::GROUPS, "ada");
                question.later_source = list || none.contains(&question.reply);
            }
            let net = nscd::user("net:*:5000:5000:::");
            let net = question(OTHER, request(ask::USER, "net"), net);
            questions.push(Question { later_source: true, ..net });
        }
        questions
    }

    pub fn is_nscd(&self) -> bool {
        matches!(self.subject.kind, Kind::Near | Kind::Program | Kind::Asking)
    }

    /// Both files anew, for them to be read again.
    pub fn touch(&self) {
        for name in ["passwd", "group"] {
            let mode = fs::metadata(self.dir.join(name)).unwrap().permissions();
            let new = self.dir.join("new");
            fs::copy(self.dir.join(name), &new).unwrap();
            fs::set_permissions(&new, mode).unwrap();
            fs::rename(&new, self.dir.join(name)).unwrap();
        }
    }
}

/// Connects as a user; `None` where nobody listens any more.
pub fn connect(socket: &Path, uid: u32) -> Option<crate::support::Connection> {
    crate::support::ipcserver::try_connect_as(socket, uid, uid)
}
