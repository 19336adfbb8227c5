//! Odd lines by the thousand, and who says what of them: glibc by itself, glibc with our `nscd`,
//! and our `getent` must say the same, but for what doc/lines.md lists.
#![cfg(all(feature = "getent", feature = "nscd", feature = "nsssd-unix"))]

mod model;
pub mod odd;

use crate::support::{TempDir, have_program, is_root, nssbox, run_to_end, skip};
use model::{Ask, answer, is_garbled, questions};
use nssproto::entry::Db;
use odd::{Dice, File, MARK, good};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::{fs, thread};

/// Files of 40 lines: 20,000 in all.
const FILES: [(Db, usize); 3] = [(Db::Passwd, 200), (Db::Group, 200), (Db::Shadow, 100)];

/// Files of one script, which has the deadline of a program.
const BATCH: usize = 25;

/// Who is known to our nscd alone: that it answers, and not the files behind its back.
const OURS: &str = "only-nscd";
const OURS_ID: &str = "3999999998";

/// In front of a script: an /etc of the test's own, and nothing that runs.
const SETUP: &str = "mount --make-rprivate / && mount -t tmpfs -o mode=755 tmpfs /run \
                     && mount --bind \"$1/etc\" /etc || exit 120\n";

/// Our nscd, and a word when it is ready.
const SERVE: &str = "mkdir /run/nscd && mkfifo /run/ready || exit 120\n\
     PATH=\"$1/bin:$PATH\" nscd -1 -q --parent $$ 3 nsssd-unix '' 0 nsssd-unix -d \"$1/behind\" '' >/run/ready &\n\
     read ready </run/ready || exit 121\n";

/// Asks the helper and a getent about each file: by key, for all, for the groups of users.
const EACH: &str = "while [ $at -lt $end ]; do\n\
     db=$(cat /etc/in/$at.db); out=\"$1/out/$at\"\n\
     mv /etc/in/$at /etc/$db\n\
     \"$1/ask\" $db </etc/in/$at.asks >$out.asked\n\
     $getent getent $db >$out.all 2>/dev/null\n\
     xargs -0 -a /etc/in/$at.keys $getent getent -- $db >$out.keys 2>/dev/null\n\
     [ $db != group ] ||\n\
     xargs -0 -a /etc/in/$at.users $getent getent -- initgroups >$out.users 2>/dev/null\n\
     : >/etc/$db\n\
     at=$((at+1))\ndone\n";

/// A machine for one of the two: glibc alone, or glibc beside ours.
struct Side {
    dir: TempDir,
    ours: bool,
}

impl Side {
    fn new(ours: bool, files: &[(File, Vec<Ask>)]) -> Side {
        let dir = TempDir::new();
        dir.bin();
        for name in ["etc", "etc/in", "out", "behind"] {
            dir.subdirectory(name);
        }
        dir.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n");
        for (name, db) in [("passwd", Db::Passwd), ("group", Db::Group), ("shadow", Db::Shadow)] {
            dir.write(&format!("etc/{name}"), "");
            dir.write(&format!("behind/{name}"), good(db, OURS, OURS_ID));
        }
        for (at, (file, asks)) in files.iter().enumerate() {
            dir.write(&format!("etc/in/{at}"), &file.bytes);
            dir.write(&format!("etc/in/{at}.db"), file.db.name());
            let mut text = String::new();
            let mut probed = false;
            for ask in asks {
                // After what nscd may leave to the library itself it is not asked for a while.
                if !probed && is_long(ask) {
                    text += &Ask::Name(OURS.into()).line();
                    probed = true;
                }
                text += &ask.line();
            }
            if !probed {
                text += &Ask::Name(OURS.into()).line();
            }
            text += &Ask::All.line();
            dir.write(&format!("etc/in/{at}.asks"), text);
            let keys: Vec<u8> =
                keys(asks).iter().flat_map(|k| [k, MARK.0.as_bytes()]).flat_map(with_nul).collect();
            dir.write(&format!("etc/in/{at}.keys"), keys);
            let users: Vec<u8> = users(asks).iter().flat_map(|k| with_nul(k)).collect();
            dir.write(&format!("etc/in/{at}.users"), users);
        }
        Side { dir, ours }
    }

    /// Asks about these files; says what was wrong with the machine.
    fn ask(&self, from: usize, to: usize) -> Result<(), String> {
        let getent = if self.ours { "\"$2\"" } else { "env" };
        let serve = if self.ours { SERVE } else { "" };
        let script = format!(
            "{SETUP}{serve}at={from} end={to} getent={getent}\n{EACH}: >\"$1/out/{from}.done\"\n"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script, "sh", self.dir.as_str()]).arg(nssbox());
        command.env("LC_ALL", "C");
        let finished = run_to_end(command);
        if self.dir.join(format!("out/{from}.done")).exists() {
            return Ok(());
        }
        let (code, why) = (finished.code, finished.stderr);
        assert!(matches!(code, Some(1 | 120)), "files from {from}: {code:?}: {why}");
        Err(format!("no private mounts: {why}"))
    }

    fn output(&self, at: usize, what: &str) -> Vec<u8> {
        fs::read(self.dir.join(format!("out/{at}.{what}"))).unwrap_or_default()
    }

    /// The helper's answer to each question, in order, then all entries; and whether our nscd was
    /// still asked.
    fn asked(&self, at: usize, asks: &[Ask]) -> (Vec<String>, bool) {
        let text = String::from_utf8(self.output(at, "asked")).expect("the helper writes ASCII");
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.pop(), Some("."), "file {at}: the helper ended early");
        let probe = asks.iter().position(is_long).unwrap_or(asks.len());
        let all = lines.split_off(asks.len() + 1).join("\n");
        let served = lines.remove(probe) != "-";
        (lines.into_iter().map(str::to_owned).chain([all]).collect(), served)
    }
}

fn with_nul(word: &[u8]) -> Vec<u8> {
    [word, &[0]].concat()
}

/// A name that the nsss protocol cannot carry.
fn is_long(ask: &Ask) -> bool {
    ask.name().is_some_and(|name| name.len() > 254)
}

/// Words for getent: no names that it takes for numbers.
fn keys(asks: &[Ask]) -> Vec<Vec<u8>> {
    let word = |ask: &Ask| match ask {
        Ask::Name(name) if !is_long(ask) && !is_number(name) => Some(name.clone()),
        Ask::Id(id) => Some(id.to_string().into_bytes()),
        _ => None,
    };
    asks.iter().filter_map(word).collect()
}

fn users(asks: &[Ask]) -> Vec<Vec<u8>> {
    let word = |ask: &Ask| match ask {
        Ask::Member(name) if !is_long(ask) => Some(name.clone()),
        _ => None,
    };
    // Never without a word.
    asks.iter().filter_map(word).chain([b"nobody".to_vec()]).collect()
}

/// What strtoul(3) takes as a whole.
fn is_number(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let text = text.trim_start_matches([' ', '\t', '\r', '\x0b', '\x0c']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// What was found to differ: how often, and the first few cases.
#[derive(Default)]
struct Differences(BTreeMap<String, (usize, Vec<String>)>);

impl Differences {
    fn add(&mut self, kind: String, case: impl FnOnce() -> String) {
        let (count, cases) = self.0.entry(kind).or_default();
        *count += 1;
        if cases.len() < 2 {
            cases.push(case());
        }
    }

    #[track_caller]
    fn assert_none(&self) {
        let mut text = String::new();
        for (kind, (count, cases)) in &self.0 {
            writeln!(text, "{count:6} {kind}").unwrap();
            cases.iter().for_each(|case| writeln!(text, "         {case}").unwrap());
        }
        let sum: usize = self.0.values().map(|(count, _)| count).sum();
        assert!(self.0.is_empty(), "{sum} differences that doc/lines.md does not list\n{text}");
    }
}

/// All that was said of all files.
struct Run {
    asked: usize,
    /// By the rules as doc/lines.md has them, and by glibc.
    rules: Differences,
    /// By glibc with and without our nscd.
    nscd: Differences,
    /// By glibc's getent and ours.
    getent: Differences,
}

/// Why the files could not be asked about; a failure where it should have been possible.
static RUN: LazyLock<Result<Run, String>> = LazyLock::new(run);

fn run() -> Result<Run, String> {
    if !is_root() || !["unshare", "cc", "getent", "xargs"].into_iter().all(have_program) {
        return Err("needs root, unshare, cc, getent and xargs".to_owned());
    }
    let mut dice = Dice::new(14);
    let mut files = Vec::new();
    for (db, count) in FILES {
        files.extend((0..count).map(|_| File::odd(db, &mut dice)));
    }
    let files: Vec<_> =
        files.into_iter().map(|f| (questions(&f), f)).map(|(q, f)| (f, q)).collect();
    let sides = [false, true].map(|ours| Side::new(ours, &files));
    build(&sides[0].dir.join("ask"));
    fs::copy(sides[0].dir.join("ask"), sides[1].dir.join("ask")).unwrap();
    let ask = |side: &Side| {
        (0..files.len()).step_by(BATCH).try_for_each(|at| side.ask(at, files.len().min(at + BATCH)))
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| ask(&sides[1]));
        ask(&sides[0]).and(other.join().unwrap())
    })?;
    let [glibc, ours] = &sides;
    let mut run = Run {
        asked: 0,
        rules: Differences::default(),
        nscd: Differences::default(),
        getent: Differences::default(),
    };
    for (at, (file, asks)) in files.iter().enumerate() {
        let seen = Seen { at, file, asks };
        let plain = run.questions_to_glibc(&seen, glibc, ours);
        run.getents(&seen, glibc, ours, &plain);
    }
    Ok(run)
}

fn build(program: &Path) {
    let mut compiler = Command::new("cc");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/glibc-lines.c");
    compiler.args(["-O1", source, "-o"]).arg(program);
    let finished = run_to_end(compiler);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

/// A file and what was asked about it.
struct Seen<'a> {
    at: usize,
    file: &'a File,
    asks: &'a [Ask],
}

impl Seen<'_> {
    /// What differs, by question and by the line that glibc, or else nsss, answers it from.
    fn kind(&self, ask: &Ask) -> String {
        let lines = self.file.lines();
        let by_nsss = |line: &&[u8]| match (nssproto::line::parse(self.file.db, line), ask) {
            (Ok(nssproto::entry::Record::Group(mut g)), Ask::Member(user)) => {
                g.members.any(|m| m == user)
            }
            (Ok(record), Ask::Name(name)) => record.name() == name,
            (Ok(record), Ask::Id(id)) => record.id() == Some(*id),
            _ => false,
        };
        let line = match answer(self.file, ask).1 {
            Some(at) => Some((lines[at], "glibc's")),
            None => lines.iter().find(|line| by_nsss(line)).map(|line| (*line, "nsss's")),
        };
        let (shape, whose) =
            line.map_or(("no line", ""), |(line, whose)| (shape(self.file.db, line), whose));
        format!("{} by {}: {whose} {shape}", self.file.db.name(), ask.kind())
    }

    fn case(&self, ask: &Ask, want: &str, got: &str) -> String {
        let cut = |text: &str| text.chars().take(120).collect::<String>();
        format!("file {} {:?}: {} / {}", self.at, cut(ask.line().trim_end()), cut(want), cut(got))
    }

    /// Whether glibc garbles some line of the file.
    fn garbled(&self) -> bool {
        let lines = self.file.lines();
        lines.iter().enumerate().any(|(n, line)| is_garbled(self.file, line, n + 1 == lines.len()))
    }
}

/// What is odd about a line: the first that fits.
fn shape(db: Db, line: &[u8]) -> &'static str {
    let colons = line.iter().filter(|b| **b == b':').count();
    let (least, most) = match db {
        Db::Passwd => (6, 6),
        Db::Group => (3, 3),
        Db::Shadow => (8, 8),
    };
    let mut fields = line.split(|b| *b == b':');
    let password = fields.nth(1).unwrap_or_default();
    let number = fields.next().unwrap_or_default();
    match line {
        [b' ' | b'\t'..=b'\r', ..] => "line with a blank in front",
        [b'#', ..] => "comment",
        [b'+' | b'-', ..] => "line for NIS",
        _ if line.contains(&0) => "line with a NUL",
        _ if colons < least => "line with fields missing",
        _ if colons > most => "line with further colons",
        _ if !number.iter().all(u8::is_ascii_digit) => "line with an odd number",
        _ if line.first() == Some(&b':') => "line without a name",
        _ if db == Db::Group && line.contains(&b' ') => "line with blanks",
        _ if db == Db::Group && line.ends_with(b",") => "line with empty members",
        _ if !matches!(password, b"" | b"*" | b"x") => "line with a hash or the like",
        _ => "line of another kind",
    }
}

/// The same groups, each told once.
fn once(gids: &str) -> Vec<&str> {
    let mut once = Vec::new();
    for gid in gids.split_terminator(',') {
        if !once.contains(&gid) {
            once.push(gid);
        }
    }
    once
}

impl Run {
    /// Compares what the helper got; gives what glibc alone answers.
    fn questions_to_glibc(&mut self, seen: &Seen<'_>, glibc: &Side, ours: &Side) -> Vec<String> {
        let (plain, _) = glibc.asked(seen.at, seen.asks);
        let (with, served) = ours.asked(seen.at, seen.asks);
        let garbled = seen.garbled();
        if !served && seen.file.db != Db::Shadow {
            let db = seen.file.db.name();
            self.nscd
                .add(format!("{db}: nscd closed a connection"), || format!("file {}", seen.at));
        }
        let asks = seen.asks.iter().chain([&Ask::All]);
        for ((ask, plain), with) in asks.zip(&plain).zip(&with) {
            self.asked += 1;
            let (model, _) = answer(seen.file, ask);
            if &model != plain && !garbled {
                self.rules.add(seen.kind(ask), || seen.case(ask, plain, &model));
            }
            let listed = garbled && with == &model
                || matches!(ask, Ask::Member(_)) && once(plain) == once(with);
            if plain != with && !listed {
                self.nscd.add(seen.kind(ask), || seen.case(ask, plain, with));
            }
        }
        plain
    }

    /// Compares the two programs.
    fn getents(&mut self, seen: &Seen<'_>, glibc: &Side, ours: &Side, plain: &[String]) {
        let garbled = seen.garbled();
        let is_listed = |ask: &Ask| {
            let at = seen.asks.iter().position(|a| a == ask).unwrap();
            garbled && plain[at] != answer(seen.file, ask).0
        };
        let text =
            |side: &Side, what| String::from_utf8_lossy(&side.output(seen.at, what)).into_owned();
        let [theirs, our] = [glibc, ours].map(|side| text(side, "all"));
        let db = seen.file.db.name();
        let (theirs, our) = if garbled { Default::default() } else { (theirs, our) };
        for (line, of, no) in [(&theirs, &our, "is missing"), (&our, &theirs, "is too many")] {
            let others: Vec<&str> = of.lines().collect();
            for line in line.lines().filter(|line| !others.contains(line)) {
                self.getent.add(format!("{db} listed: a line {no}"), || {
                    format!("file {}: {:?}", seen.at, line.chars().take(120).collect::<String>())
                });
            }
        }
        if theirs != our && theirs.lines().count() == our.lines().count() {
            self.getent.add(format!("{db} listed: lists differ"), || format!("file {}", seen.at));
        }
        // A word is answered by what stands in front of the next mark.
        let mark = text(glibc, "keys").lines().last().unwrap_or_default().to_owned() + "\n";
        let [theirs, our] = [glibc, ours].map(|side| text(side, "keys"));
        let words = keys(seen.asks);
        let said = |text: &str| text.split(&mark).map(str::to_owned).collect::<Vec<_>>();
        let (theirs, our) = (said(&theirs), said(&our));
        assert_eq!(theirs.len(), words.len() + 1, "file {}: marks of glibc's getent", seen.at);
        let asks = seen.asks.iter().filter(|ask| match ask {
            Ask::Name(name) => !is_long(ask) && !is_number(name),
            Ask::Id(_) => true,
            _ => false,
        });
        for ((ask, theirs), our) in asks.zip(&theirs).zip(&our) {
            if theirs != our && !is_listed(ask) {
                self.getent.add(seen.kind(ask), || seen.case(ask, theirs, our));
            }
        }
        if our.len() != theirs.len() {
            self.getent
                .add(format!("{db}: not all words were answered"), || format!("file {}", seen.at));
        }
        let [theirs, our] = [glibc, ours].map(|side| text(side, "users"));
        let asks = seen.asks.iter().filter(|ask| matches!(ask, Ask::Member(_)) && !is_long(ask));
        for ((ask, theirs), our) in asks.zip(theirs.lines()).zip(our.lines()) {
            let gids = |line: &str| line.rsplit("  ").next().unwrap_or_default().replace(' ', ",");
            if once(&gids(theirs)) != once(&gids(our)) && !is_listed(ask) {
                self.getent.add(seen.kind(ask), || seen.case(ask, theirs, our));
            }
        }
    }
}

/// What was said, if it could be asked.
fn told(test: &str) -> Option<&'static Run> {
    match &*RUN {
        Ok(run) => Some(run),
        Err(why) => {
            skip(test, why);
            None
        }
    }
}

#[test]
fn the_rules_of_the_page_are_those_of_glibc() {
    let Some(run) = told("the_rules_of_the_page_are_those_of_glibc") else { return };
    assert!(run.asked > 20_000, "{}", run.asked);
    run.rules.assert_none();
}

#[test]
fn glibc_says_the_same_with_our_nscd() {
    let Some(run) = told("glibc_says_the_same_with_our_nscd") else { return };
    run.nscd.assert_none();
}

#[test]
fn our_getent_says_what_glibcs_says() {
    let Some(run) = told("our_getent_says_what_glibcs_says") else { return };
    run.getent.assert_none();
}
