//! Speed of the cache files: lookups by index, and indexing.
//!
//! `cargo bench --bench directory [-- ROW…]`. Conditions, the command line and the exit code are those of
//! the bench `speed`. A million users, and 100,000 groups with 40 members each.

#[path = "speed/daemon.rs"]
mod daemon;
#[path = "speed/driver.rs"]
mod driver;
#[path = "speed/files.rs"]
mod files;
#[path = "directory/http.rs"]
mod http;
#[path = "directory/ldap.rs"]
mod ldap;
#[path = "speed/measure.rs"]
mod measure;
#[path = "speed/reference.rs"]
mod reference;
#[path = "speed/subjects.rs"]
mod subjects;
#[path = "directory/watch.rs"]
mod watch;

use daemon::Link;
use driver::Row;
use files::Question;
use measure::{Finding, Limit, Pair, Plan, rounds, time, turns};
use reference::Pingpong;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use subjects::Bench;

/// Users, groups, and members of each group; where times do not matter, fewer.
const USERS: u32 = 1_000_000;
const GROUPS: u32 = 100_000;
const MEMBERS: u32 = 40;
const FEWER: u32 = 100;

/// So many are asked for in turn, in no order.
const ASKED: u32 = 4096;

/// Bytes that indexing may take.
const MEMORY: u64 = 8 * 1024 * 1024;

/// Bytes that a full update over HTTP may take.
const HTTP_MEMORY: u64 = 4 * 1024 * 1024;

/// Bytes that a watch may have while nothing changes.
const WATCH_MEMORY: u64 = 1536 * 1024;

const ROWS: &[Row] = &[
    Row { name: "pingpong", limit: Limit::None, run: pingpong },
    Row { name: "switch", limit: Limit::Ratio(1.4), run: few },
    Row { name: "name", limit: Limit::Ratio(1.5), run: |b| lookup(b, "own", files::of_sized) },
    Row { name: "id", limit: Limit::Ratio(1.5), run: |b| lookup(b, "own", files::id_of_sized) },
    Row {
        name: "name-unknown",
        limit: Limit::Ratio(1.5),
        run: |b| unknown(b, "own", files::of_sized),
    },
    Row {
        name: "id-unknown",
        limit: Limit::Ratio(1.5),
        run: |b| unknown(b, "own", files::id_of_sized),
    },
    Row { name: "ix-name", limit: Limit::Ratio(2.6), run: |b| lookup(b, "ix", files::of_sized) },
    Row { name: "ix-id", limit: Limit::Ratio(2.6), run: |b| lookup(b, "ix", files::id_of_sized) },
    Row {
        name: "ix-name-unknown",
        limit: Limit::Ratio(2.6),
        run: |b| unknown(b, "ix", files::of_sized),
    },
    Row {
        name: "ix-id-unknown",
        limit: Limit::Ratio(2.6),
        run: |b| unknown(b, "ix", files::id_of_sized),
    },
    Row { name: "groups", limit: Limit::Ratio(2.0), run: groups },
    Row { name: "index-users", limit: Limit::None, run: |b| index(b, "passwd") },
    Row { name: "index-groups", limit: Limit::None, run: |b| index(b, "group") },
    Row { name: "index-memory", limit: Limit::Bytes(MEMORY), run: |b| memory(b, "passwd") },
    Row { name: "index-memory-groups", limit: Limit::Bytes(MEMORY), run: |b| memory(b, "group") },
    Row { name: "size-of-members", limit: Limit::None, run: size_of_members },
    // To memory, and to the disk with its fsyncs.
    Row { name: "http-full", limit: Limit::Ratio(12.0), run: |b| http::full(b, true) },
    Row { name: "http-full-disk", limit: Limit::None, run: |b| http::full(b, false) },
    Row { name: "http-304", limit: Limit::Ratio(0.5), run: http::unchanged },
    Row { name: "http-memory", limit: Limit::Bytes(HTTP_MEMORY), run: http::memory },
    Row { name: "ldap-full", limit: Limit::Ratio(1.5), run: |b| ldap::full(b, false) },
    Row { name: "ldap-full-cpu", limit: Limit::Ratio(1.5), run: |b| ldap::full(b, true) },
    Row { name: "ldap-memory", limit: Limit::Bytes(MEMORY), run: |b| ldap::memory(b, "passwd") },
    Row {
        name: "ldap-group-memory",
        limit: Limit::Bytes(MEMORY),
        run: |b| ldap::memory(b, "group"),
    },
    Row { name: "watch-p50", limit: Limit::Number(0.5), run: |b| watch::change(b, 50) },
    Row { name: "watch-p99", limit: Limit::Number(1.5), run: |b| watch::change(b, 99) },
    Row { name: "watch-memory", limit: Limit::Bytes(WATCH_MEMORY), run: watch::memory },
    Row { name: "watch-wake-ups", limit: Limit::Number(1.0), run: watch::wake_ups },
];

fn main() -> ExitCode {
    driver::main(ROWS)
}

fn users(bench: &Bench) -> u32 {
    if bench.full { USERS } else { USERS / FEWER }
}

fn groups_of(bench: &Bench) -> u32 {
    if bench.full { GROUPS } else { GROUPS / FEWER }
}

/// The user in that place of all lists of members: each of as many as there are groups is in as many
/// groups as a group has members.
fn member(place: u64, groups: u32) -> u32 {
    (place % u64::from(groups) * 7919 % u64::from(groups)) as u32 + 1
}

fn member_name(number: u32) -> String {
    format!("user{number:06}")
}

/// A directory with all of it, indexed, made when it is needed first. `ix`: only with the indexes that
/// libnss-cache knows.
fn directory(bench: &Bench, kind: &str) -> io::Result<PathBuf> {
    let name = format!("cache-{kind}");
    let dir =
        bench.files.sized(1, false)?.parent().map(|root| root.join(&name)).unwrap_or_default();
    if dir.exists() {
        return Ok(dir);
    }
    if kind == "ix" {
        let own = directory(bench, "own")?;
        let dir = bench.files.folder(&name)?;
        for file in ["passwd.cache", "passwd.cache.ixname", "passwd.cache.ixuid"] {
            fs::hard_link(own.join(file), dir.join(file))?;
        }
        return Ok(dir);
    }
    let users = bench.files.sized(users(bench), false)?;
    let dir = bench.files.folder(&name)?;
    fs::copy(users.join("passwd"), dir.join("passwd.cache"))?;
    let groups = groups_of(bench);
    let line = |group: u32| {
        let first = u64::from(group) * u64::from(MEMBERS);
        let members =
            (first..first + u64::from(MEMBERS)).map(|place| member_name(member(place, groups)));
        format!("group{group:06}:*:{}:{}\n", 200_000 + group, members.collect::<Vec<_>>().join(","))
    };
    fs::write(dir.join("group.cache"), (0..groups).map(line).collect::<String>())?;
    if bench.full {
        // What changed so recently is looked at anew.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let status = indexing(bench, &dir, &["passwd", "group"]).status()?;
    if status.success() { Ok(dir) } else { Err(io::Error::other("unable to index")) }
}

fn indexing(bench: &Bench, dir: &Path, maps: &[&str]) -> Command {
    let mut command = Command::new(bench.files.applet("nsscache"));
    command.args(["index", "-d"]).arg(dir).args(maps).stdin(Stdio::null());
    command
}

/// `nsssd-switch 0 nsssd-cache -d DIR ""`.
fn switch(bench: &Bench, dir: &Path) -> io::Result<Link> {
    let mut command = bench.applet("nsssd-switch");
    command.arg("0").arg(bench.files.applet("nsssd-cache")).arg("-d").arg(dir).arg("");
    Link::start(&mut command)
}

fn pingpong(bench: &Bench) -> io::Result<Finding> {
    let plan = bench.exchanges();
    rounds(plan, || {
        let (one, other) = (Pingpong::start()?, Pingpong::start()?);
        turns(plan, || one.once(), || other.once())
    })
}

/// What the machine makes of this moment: the same row as that of the bench `speed`.
fn few(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), files::last_of_few());
    rounds(plan, || {
        let mut command = bench.applet("nsssd-switch");
        bench.add_script(&mut command, &bench.files.few());
        let (ping, link) = (Pingpong::start()?, Link::start(&mut command)?);
        turns(plan, || ping.once(), || link.ask(&question.request, &question.reply))
    })
}

/// All these questions in turn.
fn ask(bench: &Bench, kind: &str, questions: &[Question]) -> io::Result<Finding> {
    let (plan, dir) = (bench.exchanges(), directory(bench, kind)?);
    let mut at = 0;
    rounds(plan, || {
        let (ping, link) = (Pingpong::start()?, switch(bench, &dir)?);
        turns(
            plan,
            || ping.once(),
            || {
                at = (at + 1) % questions.len();
                questions.get(at).map_or(Ok(()), |q| link.ask(&q.request, &q.reply))
            },
        )
    })
}

fn lookup(bench: &Bench, kind: &str, of: fn(u32) -> Question) -> io::Result<Finding> {
    let users = users(bench);
    let questions: Vec<_> =
        (0..ASKED).map(|n| of((n.wrapping_mul(2_654_435_761)) % users + 1)).collect();
    ask(bench, kind, &questions)
}

/// Who is not there.
fn unknown(bench: &Bench, kind: &str, of: fn(u32) -> Question) -> io::Result<Finding> {
    let nobody = |n: u32| Question {
        reply: vec![255],
        ..of(users(bench) + 1 + n.wrapping_mul(2_654_435_761) % 900_000)
    };
    ask(bench, kind, &(0..ASKED).map(nobody).collect::<Vec<_>>())
}

/// The groups of users.
fn groups(bench: &Bench) -> io::Result<Finding> {
    const GRP_GETLIST: u8 = 0x15;
    const ROOM: u64 = 100;
    let groups = groups_of(bench);
    let mut of_user: Vec<Vec<u32>> = vec![Vec::new(); 65];
    for place in 0..u64::from(groups) * u64::from(MEMBERS) {
        if let Some(gids) = of_user.get_mut(member(place, groups) as usize) {
            gids.push(200_000 + (place / u64::from(MEMBERS)) as u32);
        }
    }
    let question = |(user, gids): (usize, &Vec<u32>)| {
        let name = member_name(user as u32);
        let mut request = vec![GRP_GETLIST];
        request.extend(ROOM.to_be_bytes());
        request.extend((name.len() as u32 + 1).to_be_bytes());
        request.extend(name.bytes().chain([0]));
        let mut reply = vec![0];
        reply.extend(ROOM.to_be_bytes());
        reply.extend((gids.len() as u64).to_be_bytes());
        reply.extend(gids.iter().flat_map(|gid| gid.to_be_bytes()));
        Question { request, reply }
    };
    let questions: Vec<_> = of_user.iter().enumerate().skip(1).map(question).collect();
    ask(bench, "own", &questions)
}

/// Indexing a map, beside sort(1) of the same file.
fn index(bench: &Bench, map: &str) -> io::Result<Finding> {
    let dir = directory(bench, "own")?;
    let plan = Plan { rounds: if bench.full { 3 } else { 1 }, ..bench.plan(1, 1) };
    let run = |command: &mut Command| match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?} failed"))),
    };
    rounds(plan, || {
        let mut sort = Command::new("sort");
        sort.arg("-o")
            .arg(dir.join("sorted"))
            .arg(dir.join(format!("{map}.cache")))
            .env("LC_ALL", "C");
        let mut pair = Pair::default();
        pair.reference.add(time(1, &mut || run(&mut sort))?, 1);
        pair.subject.add(time(1, &mut || run(&mut indexing(bench, &dir, &[map])))?, 1);
        fs::remove_file(dir.join("sorted"))?;
        Ok(pair)
    })
}

/// The most memory that indexing has.
fn memory(bench: &Bench, map: &str) -> io::Result<Finding> {
    let dir = directory(bench, "own")?;
    let mut child = indexing(bench, &dir, &[map]).spawn()?;
    let (path, mut most) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        most = most.max(kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    Ok(Finding::Bytes(most * 1024))
}

/// The file with the groups of each user; group.cache has 50 MB.
fn size_of_members(bench: &Bench) -> io::Result<Finding> {
    let dir = directory(bench, "own")?;
    let size = |name: &str| fs::metadata(dir.join(name)).map(|file| file.len());
    let (members, data) = (size("group.cache.hashmember")?, size("group.cache")?);
    if members * 10 > data * 8 {
        return Err(io::Error::other(format!("{members} bytes beside {data}")));
    }
    Ok(Finding::Bytes(members))
}
