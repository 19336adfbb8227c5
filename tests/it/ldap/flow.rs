//! Changes without end to a directory, and a reader that knows what each entry has been: what it sees is
//! never anything else, nothing of it goes back in time, and what never changes is always there.

use super::slapd::{ADMIN, Slapd, account_ldif, places_ldif};
use crate::support::directory::Machine;
use crate::support::wait_for_exit;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Users who never change, users who do, and groups that do.
const QUIET: u32 = 260;
const BUSY: u32 = 40;
const GROUPS: u32 = 12;

/// Ids of users who change, and of groups.
const USER: u32 = 31_000;
const GROUP: u32 = 32_000;

/// The states of an entry so far, oldest first: a line, or that there is none.
type History = HashMap<u32, Vec<Option<String>>>;

/// A site of these entries, and the hand that changes it.
pub struct Flow {
    history: Arc<Mutex<History>>,
    random: u64,
    changes: u64,
    modify: Option<(Child, Captured)>,
}

type Captured = crate::support::Captured;

fn quiet_line(n: u32) -> String {
    format!("q{n}:x:{}:20000:Quiet {n}:/home/q{n}:/bin/sh", 30_000 + n)
}

fn user_line(name: &str, n: u32, version: u64) -> String {
    format!("{name}:x:{}:20000:v{version}:/home/{n}.{version}:/bin/v{version}", USER + n)
}

fn group_line(n: u32, version: u64) -> String {
    format!("fg{n}:*:{}:a{version},b{version},c{version}", GROUP + n)
}

fn user_ldif(dn: &str, name: &str, n: u32, version: u64) -> String {
    format!(
        "dn: {dn}\nobjectClass: account\nobjectClass: posixAccount\nuid: {name}\ncn: x\nuidNumber: {}\n\
         gidNumber: 20000\ngecos: v{version}\nhomeDirectory: /home/{n}.{version}\nloginShell: /bin/v{version}\n",
        USER + n
    )
}

/// The entries at the beginning.
pub fn ldif() -> String {
    let mut text = places_ldif("flow");
    for n in 0..QUIET {
        text += &account_ldif("flow", &format!("q{n}"), &format!("Quiet {n}"), 30_000 + n, 20_000);
    }
    for n in 0..BUSY {
        let dn = format!("uid=f{n},ou=flow,dc=example,dc=org");
        let _ = write!(text, "\n{}", user_ldif(&dn, &format!("f{n}"), n, 0));
    }
    for n in 0..GROUPS {
        let _ = write!(
            text,
            "\ndn: cn=fg{n},ou=flowgroup,dc=example,dc=org\nobjectClass: posixGroup\ncn: fg{n}\n\
             gidNumber: {}\nmemberUid: a0\nmemberUid: b0\nmemberUid: c0\n",
            GROUP + n
        );
    }
    text
}

/// nsscache.conf for it.
pub fn config(slapd: &Slapd, more: &str) -> String {
    super::watch::config(slapd, more)
        .replace("ou=people,", "ou=flow,")
        .replace("ou=group,", "ou=flowgroup,")
}

impl Flow {
    pub fn new() -> Flow {
        let users = (0..BUSY).map(|n| (USER + n, vec![Some(user_line(&format!("f{n}"), n, 0))]));
        let groups = (0..GROUPS).map(|n| (GROUP + n, vec![Some(group_line(n, 0))]));
        let history = Arc::new(Mutex::new(users.chain(groups).collect()));
        Flow { history, random: 0x9e37_79b9_7f4a_7c15, changes: 0, modify: None }
    }

    /// A number below `most`.
    pub fn random(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most
    }

    /// Makes so many changes; when they are made is told by [`Flow::settle`].
    #[track_caller]
    pub fn change(&mut self, slapd: &Slapd, count: u32) {
        for _ in 0..count {
            let ldif = self.next();
            let (child, _) = self.modify.get_or_insert_with(|| {
                let mut command = slapd.modify();
                command.args(["-D", ADMIN, "-w", "vector-secret"]);
                let stderr = Captured::new();
                command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr.stdio());
                (command.spawn().expect("ldapmodify"), stderr)
            });
            let stdin = child.stdin.as_mut().expect("a pipe");
            stdin.write_all(ldif.as_bytes()).expect("ldapmodify reads");
        }
    }

    /// Waits until all changes are made.
    #[track_caller]
    pub fn settle(&mut self) {
        if let Some((mut child, stderr)) = self.modify.take() {
            drop(child.stdin.take());
            assert!(wait_for_exit(&mut child).success(), "{}", stderr.text());
        }
    }

    /// The next change, noted before it is made.
    fn next(&mut self) -> String {
        self.changes += 1;
        let version = self.changes;
        let (kind, pick) = (self.random(20), self.random(1 << 20) as u32);
        let history = Arc::clone(&self.history);
        let mut history = history.lock().unwrap();
        if kind < 4 {
            let n = pick % GROUPS;
            history.get_mut(&(GROUP + n)).unwrap().push(Some(group_line(n, version)));
            return format!(
                "dn: cn=fg{n},ou=flowgroup,dc=example,dc=org\nchangetype: modify\nreplace: memberUid\n\
                 memberUid: c{version}\nmemberUid: a{version}\nmemberUid: b{version}\n\n"
            );
        }
        let n = pick % BUSY;
        let states = history.get_mut(&(USER + n)).unwrap();
        let Some(line) = states.last().unwrap().clone() else {
            let name = format!("f{n}");
            states.push(Some(user_line(&name, n, version)));
            let dn = format!("uid={name},ou=flow,dc=example,dc=org");
            let entry = user_ldif(&dn, &name, n, version);
            return entry.replacen('\n', "\nchangetype: add\n", 1) + "\n";
        };
        let (name, rest) = line.split_once(':').unwrap();
        let dn = format!("uid={name},ou=flow,dc=example,dc=org");
        match kind {
            4..7 => {
                states.push(None);
                format!("dn: {dn}\nchangetype: delete\n\n")
            }
            7..9 => {
                let other = if name.ends_with('r') { format!("f{n}") } else { format!("f{n}r") };
                states.push(Some(format!("{other}:{rest}")));
                format!("dn: {dn}\nchangetype: modrdn\nnewrdn: uid={other}\ndeleteoldrdn: 1\n\n")
            }
            _ => {
                states.push(Some(user_line(name, n, version)));
                format!(
                    "dn: {dn}\nchangetype: modify\nreplace: gecos\ngecos: v{version}\n-\nreplace: homeDirectory\n\
                     homeDirectory: /home/{n}.{version}\n-\nreplace: loginShell\nloginShell: /bin/v{version}\n\n"
                )
            }
        }
    }

    /// What a map has to be now, sorted.
    pub fn lines(&self, map: &str) -> Vec<String> {
        let history = self.history.lock().unwrap();
        let of_map = |id: u32| (id >= GROUP) == (map == "group");
        let now = history.iter().filter(|(id, _)| of_map(**id));
        let mut lines: Vec<String> =
            now.filter_map(|(_, states)| states.last().unwrap().clone()).collect();
        if map == "passwd" {
            lines.extend((0..QUIET).map(quiet_line));
        }
        lines.sort();
        lines
    }

    /// Both maps are what they have to be.
    #[track_caller]
    pub fn expect(&self, machine: &Machine, when: &str) {
        for map in ["passwd", "group"] {
            let text = machine.text(&format!("{map}.cache"));
            assert_eq!(sorted(&text), self.lines(map), "{when}: {map}");
        }
    }

    /// Whether both maps are what they have to be.
    pub fn is_in(&self, machine: &Machine) -> bool {
        let same = |map: &str| sorted(&machine.text(&format!("{map}.cache"))) == self.lines(map);
        same("passwd") && same("group")
    }

    /// Reads all the time from now on.
    pub fn reader(&self, machine: &Machine) -> Reader {
        let (history, end) = (Arc::clone(&self.history), Arc::new(AtomicBool::new(false)));
        let (stop, count) = (Arc::clone(&end), Arc::new(AtomicU64::new(0)));
        let (rounds, etc) = (Arc::clone(&count), machine.dir.join("etc"));
        let thread = thread::spawn(move || {
            let mut seen = HashMap::new();
            let mut before = HashMap::new();
            while !stop.load(Ordering::Relaxed) {
                for map in ["passwd", "group"] {
                    let text = std::fs::read_to_string(etc.join(format!("{map}.cache")))
                        .unwrap_or_else(|error| panic!("{map}: {error}"));
                    if before.get(map) != Some(&text) {
                        judge(map, &text, &history, &mut seen);
                        rounds.fetch_add(1, Ordering::Relaxed);
                        before.insert(map, text);
                    }
                }
                thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        Reader { thread: Some(thread), end, sets: count }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.modify {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Lines in order.
pub fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// One look at a file. `seen`: in which state each entry was at the last one.
fn judge(map: &str, text: &str, history: &Mutex<History>, seen: &mut HashMap<u32, usize>) {
    let mut lines: HashMap<u32, &str> = HashMap::new();
    let mut quiet = 0;
    for line in text.lines() {
        let id: u32 = line.split(':').nth(2).unwrap().parse().unwrap();
        if map == "passwd" && id < USER {
            assert_eq!(line, quiet_line(id - 30_000), "a user who never changes");
            quiet += 1;
            continue;
        }
        assert!(lines.insert(id, line).is_none(), "two with one id: {line}");
    }
    assert!(text.ends_with('\n') && (map == "group" || quiet == QUIET), "{map}: a half set");
    let history = history.lock().unwrap();
    for (id, states) in history.iter().filter(|(id, _)| (**id >= GROUP) == (map == "group")) {
        let last = seen.entry(*id).or_insert(0);
        let now = lines.remove(id);
        let found = states.iter().skip(*last).position(|state| state.as_deref() == now);
        let Some(found) = found else {
            panic!("{map}: {id} is {now:?}; it has been {:?}", states.get(*last..));
        };
        *last += found;
    }
    assert!(lines.is_empty(), "nobody has been {lines:?}");
}

/// A reader in a loop.
pub struct Reader {
    thread: Option<JoinHandle<()>>,
    end: Arc<AtomicBool>,
    sets: Arc<AtomicU64>,
}

impl Reader {
    /// Ends it; how many sets it has seen. It fails if one was wrong.
    #[track_caller]
    pub fn end(mut self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a thread");
        if let Err(panic) = thread.join() {
            let text = panic.downcast_ref::<String>().cloned();
            panic!("reader: {}", text.unwrap_or_default());
        }
        self.sets.load(Ordering::Relaxed)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}
