//! The rows of the table: what is measured, against what, and what is allowed.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use crate::daemon::{Connection, Daemon, Link};
use crate::driver::Row;
use crate::files::{self, DONE, PWD_END};
use crate::measure::{Finding, Limit, Pair, rounds, time, turns};
use crate::peers::Peer;
use crate::reference::{PING, PONG, Pingpong, Scan, start_accept};
use crate::subjects::Bench;

/// Clients that ask once and then stay.
const IDLE_CLIENTS: u64 = 200;

/// Clients of nscd that do not ask: they are weighed before it closes them.
const SILENT_CLIENTS: u64 = 200;

/// All rows. The limits are those that the project has set itself.
pub const ROWS: &[Row] = &[
    Row { name: "pingpong", limit: Limit::None, run: pingpong },
    Row { name: "unix", limit: Limit::Ratio(1.3), run: unix },
    Row { name: "switch", limit: Limit::Ratio(1.4), run: switch },
    Row { name: "ipcserver-lasting", limit: Limit::Ratio(1.5), run: ipcserver_lasting },
    Row { name: "ipcserver-connect", limit: Limit::Ratio(1.6), run: ipcserver_connect },
    Row { name: "ipcserver-idle", limit: Limit::Bytes(6 * 1024), run: ipcserver_idle },
    Row { name: "map-unknown", limit: Limit::Ratio(1.7), run: map_unknown },
    Row { name: "map-reverse", limit: Limit::Ratio(2.0), run: map_reverse },
    Row { name: "nscd-connect", limit: Limit::Ratio(1.45), run: nscd_connect },
    Row { name: "nscd-connect-x", limit: Limit::None, run: nscd_connect_x },
    Row { name: "nscd-memory", limit: Limit::Bytes(200 * 1024), run: nscd_memory },
    Row { name: "nscd-waiting", limit: Limit::Bytes(6 * 1024), run: nscd_waiting },
    Row { name: "userdb-connect", limit: Limit::Ratio(1.6), run: userdb_connect },
    Row { name: "userdb-list", limit: Limit::Ratio(3.0), run: userdb_list },
    Row { name: "three-memory", limit: Limit::Bytes(220 * 1024), run: three_memory },
    Row { name: "userdb-memory", limit: Limit::Bytes(220 * 1024), run: userdb_memory },
    Row { name: "userdb-waiting", limit: Limit::Bytes(6 * 1024), run: userdb_waiting },
    Row { name: "peer-nscd", limit: Limit::None, run: |b| peer_connect(b, Peer::Nscd) },
    Row { name: "peer-nscd-off", limit: Limit::None, run: |b| peer_connect(b, Peer::NscdOff) },
    Row { name: "peer-unscd", limit: Limit::None, run: |b| peer_connect(b, Peer::Unscd) },
    Row { name: "peer-nscd-memory", limit: Limit::None, run: |b| peer_memory(b, Peer::Nscd) },
    Row { name: "peer-unscd-memory", limit: Limit::None, run: |b| peer_memory(b, Peer::Unscd) },
    Row { name: "large-first", limit: Limit::Ratio(1.5), run: large_first },
    Row { name: "large-repeated", limit: Limit::Ratio(1.6), run: large_repeated },
    Row { name: "random-5024-name", limit: Limit::Ratio(1.6), run: |b| random(b, files::of_sized) },
    Row {
        name: "random-5024-id",
        limit: Limit::Ratio(1.6),
        run: |b| random(b, files::id_of_sized),
    },
    Row { name: "random-memory", limit: Limit::Bytes(100 * 1024), run: random_memory },
    Row { name: "large-group", limit: Limit::Bytes(64 * 1024 - 1), run: large_group },
];

/// The reference against itself: how far apart equal things come out.
fn pingpong(bench: &Bench) -> io::Result<Finding> {
    let plan = bench.exchanges();
    rounds(plan, || {
        let (one, other) = (Pingpong::start()?, Pingpong::start()?);
        turns(plan, || one.once(), || other.once())
    })
}

fn unix(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), files::last_of_few());
    rounds(plan, || {
        let (ping, unix) = (Pingpong::start()?, bench.unix(&bench.files.few())?);
        turns(plan, || ping.once(), || unix.ask(&question.request, &question.reply))
    })
}

fn switch(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), files::last_of_few());
    rounds(plan, || {
        let ping = Pingpong::start()?;
        let mut command = bench.applet("nsssd-switch");
        bench.add_script(&mut command, &bench.files.few());
        let switch = Link::start(&mut command)?;
        turns(plan, || ping.once(), || switch.ask(&question.request, &question.reply))
    })
}

/// A switch over the short file and then the map.
fn map_switch(bench: &Bench) -> io::Result<Link> {
    let mut command = bench.applet("nsssd-switch");
    bench.add_script(&mut command, &bench.files.few());
    command.arg("0").arg(bench.files.applet("nsssd-map")).arg("-f").arg(bench.files.map()).arg("");
    Link::start(&mut command)
}

/// An unknown name, which both are asked for.
fn map_unknown(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), files::nobody());
    rounds(plan, || {
        let (ping, switch) = (Pingpong::start()?, map_switch(bench)?);
        turns(plan, || ping.once(), || switch.ask(&question.request, &question.reply))
    })
}

/// A uid of a registry with ten thousand names, after the first look-up.
fn map_reverse(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), bench.files.mapped_uid());
    rounds(plan, || {
        let (ping, switch) = (Pingpong::start()?, map_switch(bench)?);
        switch.ask(&question.request, &question.reply)?;
        turns(plan, || ping.once(), || switch.ask(&question.request, &question.reply))
    })
}

fn ipcserver_lasting(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), files::last_of_few());
    rounds(plan, || {
        let ping = Pingpong::start()?;
        let (_server, socket) = bench.ipcserver(&bench.files.few())?;
        let client = Connection::open(&socket)?;
        turns(plan, || ping.once(), || client.ask(&question.request, &question.reply))
    })
}

fn ipcserver_connect(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.plan(20, 300), files::last_of_few());
    rounds(plan, || {
        let bare = bench.files.socket("accept");
        let _reference = start_accept(&bare)?;
        let (_server, socket) = bench.ipcserver(&bench.files.few())?;
        turns(
            plan,
            || Connection::open(&bare)?.ask(&PING, &PONG),
            || Connection::open(&socket)?.ask(&question.request, &question.reply),
        )
    })
}

/// Private memory for each client that has asked once and stays connected.
fn ipcserver_idle(bench: &Bench) -> io::Result<Finding> {
    let question = files::last_of_few();
    let (server, socket) = bench.ipcserver(&bench.files.few())?;
    let asked = || -> io::Result<Connection> {
        let client = Connection::open(&socket)?;
        client.ask(&question.request, &question.reply)?;
        Ok(client)
    };
    // The first client brings in what is there once for all.
    let _first = asked()?;
    let before = server.memory("Private_Dirty")?;
    let clients = (0..IDLE_CLIENTS).map(|_| asked()).collect::<io::Result<Vec<_>>>()?;
    let grown = server.memory("Private_Dirty")?.saturating_sub(before);
    drop(clients);
    Ok(Finding::Bytes(grown.div_ceil(IDLE_CLIENTS)))
}

fn nscd_connect(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.plan(20, 300), files::last_of_few_by_nscd());
    rounds(plan, || {
        let bare = bench.files.socket("accept");
        let _reference = start_accept(&bare)?;
        let (_server, socket) = bench.nscd(&bench.files.few())?;
        turns(
            plan,
            || Connection::open(&bare)?.ask_and_end(&PING, &PONG),
            || Connection::open(&socket)?.ask_and_end(&question.request, &question.reply),
        )
    })
}

/// The same where the user is `x` in a directory of his own, so that nscd looks whether own shadow has
/// a line of him.
fn nscd_connect_x(bench: &Bench) -> io::Result<Finding> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Finding::Absent("needs root".into()));
    }
    let (plan, question) = (bench.plan(20, 300), files::last_of_few_x_by_nscd());
    rounds(plan, || {
        let bare = bench.files.socket("accept");
        let _reference = start_accept(&bare)?;
        let (_server, socket) = bench.nscd_x()?;
        turns(
            plan,
            || Connection::open(&bare)?.ask_and_end(&PING, &PONG),
            || Connection::open(&socket)?.ask_and_end(&question.request, &question.reply),
        )
    })
}

/// One question of systemd's client: connect, call, read the reply, close.
fn userdb_connect(bench: &Bench) -> io::Result<Finding> {
    let plan = bench.plan(20, 300);
    rounds(plan, || {
        let bare = bench.files.socket("accept");
        let _reference = start_accept(&bare)?;
        let (_server, socket, service) = bench.userdb(&bench.files.few())?;
        let question = files::last_of_few_by_userdb(&service);
        turns(
            plan,
            || Connection::open(&bare)?.ask_and_end(&PING, &PONG),
            || Connection::open(&socket)?.ask(&question.request, &question.reply),
        )
    })
}

/// A whole list of users, read raw by a process that is not root's, where glibc's getent prints those of such
/// a file.
fn userdb_list(bench: &Bench) -> io::Result<Finding> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Finding::Absent("needs root".into()));
    }
    let plan = bench.plan(6, 1);
    let machine = bench.machine_of_many()?;
    rounds(plan, || {
        let (_server, socket) = bench.userdb_behind_own(&bench.files.many())?;
        let list = || bench.list_by_userdb(&machine, &socket);
        turns(plan, || bench.getent_of_many(&machine), list)
    })
}

/// Private memory of one process that serves nscd's protocol, nsss's and userdb, each asked thirty times.
fn three_memory(bench: &Bench) -> io::Result<Finding> {
    let (server, [nscd, nsss, userdb]) = bench.nscd_of_three(&bench.files.few())?;
    let service = Path::new(&userdb).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (by_nscd, by_nsss) = (files::last_of_few_by_nscd(), files::last_of_few());
    let by_userdb = files::last_of_few_by_userdb(&service);
    for _ in 0..30 {
        Connection::open(&nscd)?.ask_and_end(&by_nscd.request, &by_nscd.reply)?;
        Connection::open(&nsss)?.ask(&by_nsss.request, &by_nsss.reply)?;
        Connection::open(&userdb)?.ask(&by_userdb.request, &by_userdb.reply)?;
    }
    Ok(Finding::Bytes(server.memory("Anonymous")?))
}

/// Private memory after a hundred answers.
fn userdb_memory(bench: &Bench) -> io::Result<Finding> {
    let (server, socket, service) = bench.userdb(&bench.files.few())?;
    let question = files::last_of_few_by_userdb(&service);
    for _ in 0..100 {
        Connection::open(&socket)?.ask(&question.request, &question.reply)?;
    }
    Ok(Finding::Bytes(server.memory("Anonymous")?))
}

/// The same for each of 200 clients that are connected and silent.
fn userdb_waiting(bench: &Bench) -> io::Result<Finding> {
    let (server, socket, service) = bench.userdb(&bench.files.few())?;
    let question = files::last_of_few_by_userdb(&service);
    let asked = || Connection::open(&socket)?.ask(&question.request, &question.reply);
    silent_clients(&server, &socket, &asked)
}

/// What it must answer to the question of [`nscd_connect`].
fn peer_question(peer: Peer) -> files::Question {
    match peer {
        Peer::NscdOff => files::last_of_few_by_nscd_off(),
        Peer::Nscd | Peer::Unscd => files::last_of_few_by_nscd(),
    }
}

/// The same as [`nscd_connect`] with another server.
fn peer_connect(bench: &Bench, peer: Peer) -> io::Result<Finding> {
    let (plan, question) = (bench.plan(20, 300), peer_question(peer));
    let mut absent = None;
    let finding = rounds(plan, || {
        let bare = bench.files.socket("accept");
        let _reference = start_accept(&bare)?;
        let (_server, socket) = match peer.start(&bench.files)? {
            Ok(started) => started,
            Err(why) => {
                absent = Some(why);
                return Ok(Pair::default());
            }
        };
        turns(
            plan,
            || Connection::open(&bare)?.ask_and_end(&PING, &PONG),
            || Connection::open(&socket)?.ask_and_end(&question.request, &question.reply),
        )
    })?;
    Ok(absent.map_or(finding, Finding::Absent))
}

/// The same as [`nscd_memory`] with another server.
fn peer_memory(bench: &Bench, peer: Peer) -> io::Result<Finding> {
    let (server, socket) = match peer.start(&bench.files)? {
        Ok(started) => started,
        Err(why) => return Ok(Finding::Absent(why)),
    };
    let question = peer_question(peer);
    for _ in 0..100 {
        Connection::open(&socket)?.ask_and_end(&question.request, &question.reply)?;
    }
    Ok(Finding::Bytes(server.memory("Anonymous")?))
}

/// Private memory of an nscd that has answered and is idle.
fn nscd_memory(bench: &Bench) -> io::Result<Finding> {
    let question = files::last_of_few_by_nscd();
    let (server, socket) = bench.nscd(&bench.files.few())?;
    for _ in 0..100 {
        Connection::open(&socket)?.ask_and_end(&question.request, &question.reply)?;
    }
    Ok(Finding::Bytes(server.memory("Anonymous")?))
}

/// Private memory for each client that is connected and has not asked yet.
fn nscd_waiting(bench: &Bench) -> io::Result<Finding> {
    let question = files::last_of_few_by_nscd();
    let (server, socket) = bench.nscd(&bench.files.few())?;
    let asked = || Connection::open(&socket)?.ask_and_end(&question.request, &question.reply);
    silent_clients(&server, &socket, &asked)
}

/// What each of them takes, where `asked` is an exchange of another one.
fn silent_clients(
    server: &Daemon,
    socket: &OsStr,
    asked: &dyn Fn() -> io::Result<()>,
) -> io::Result<Finding> {
    asked()?;
    let before = server.memory("Anonymous")?;
    let clients =
        (0..SILENT_CLIENTS).map(|_| Connection::open(socket)).collect::<io::Result<Vec<_>>>()?;
    // By then all of them have been taken in.
    asked()?;
    let grown = server.memory("Anonymous")?.saturating_sub(before);
    drop(clients);
    Ok(Finding::Bytes(grown.div_ceil(SILENT_CLIENTS)))
}

/// The first look-up of the last of many users, by a daemon that runs already but has not yet
/// looked at any file.
fn large_first(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.plan(10, 1), files::last_of_many());
    let dir = bench.files.many();
    let mut scan = Scan::open(&dir.join("passwd"))?;
    let mut count = || match scan.count()? {
        newlines if newlines == files::MANY as usize => Ok(()),
        other => Err(io::Error::other(format!("counted {other} lines"))),
    };
    count()?;
    rounds(plan, || {
        let mut pair = Pair::default();
        for _ in 0..plan.slices {
            let unix = bench.unix(&dir)?;
            unix.ask(&PWD_END, &DONE)?;
            let mut first = || unix.ask(&question.request, &question.reply);
            pair.subject.add(time(1, &mut first)?, 1);
            pair.reference.add(time(1, &mut count)?, 1);
        }
        Ok(pair)
    })
}

fn large_repeated(bench: &Bench) -> io::Result<Finding> {
    let (plan, question) = (bench.exchanges(), files::last_of_many());
    rounds(plan, || {
        let (ping, unix) = (Pingpong::start()?, bench.unix(&bench.files.many())?);
        turns(plan, || ping.once(), || unix.ask(&question.request, &question.reply))
    })
}

/// Users of a file of usual size for a school or a company.
const USERS: u32 = 5024;

/// Another number of a line each time, all of them before one comes again.
fn next_of_users(line: &mut u32) -> u32 {
    *line = (*line + 3067) % USERS;
    *line + 1
}

/// Users of such a file in no order, so that no place is remembered.
fn random(bench: &Bench, question: impl Fn(u32) -> files::Question) -> io::Result<Finding> {
    let plan = bench.exchanges();
    let dir = bench.files.sized(USERS, bench.full)?;
    let mut line = 0;
    let in_no_order = (0..USERS).map(|_| question(next_of_users(&mut line)));
    let questions: Vec<files::Question> = in_no_order.collect();
    rounds(plan, || {
        let (ping, unix) = (Pingpong::start()?, bench.unix(&dir)?);
        let mut questions = questions.iter().cycle();
        let mut ask = || match questions.next() {
            Some(question) => unix.ask(&question.request, &question.reply),
            None => Ok(()),
        };
        // What makes it fast is made once, when it was asked some times.
        (0..100).try_for_each(|_| ask())?;
        turns(plan, || ping.once(), &mut ask)
    })
}

/// How much private memory that takes.
fn random_memory(bench: &Bench) -> io::Result<Finding> {
    let (server, socket) = bench.nscd(&bench.files.sized(USERS, bench.full)?)?;
    let mut line = 0;
    let mut ask = || {
        let question = files::of_sized_by_nscd(next_of_users(&mut line));
        Connection::open(&socket)?.ask_and_end(&question.request, &question.reply)
    };
    (0..10).try_for_each(|_| ask())?;
    let before = server.memory("Anonymous")?;
    (0..1000).try_for_each(|_| ask())?;
    Ok(Finding::Bytes(server.memory("Anonymous")?.saturating_sub(before)))
}

/// How much the server grows while it sends a large group, or after. It has served small groups
/// before, so what is counted is the size of the answer and not the code that makes it.
fn large_group(bench: &Bench) -> io::Result<Finding> {
    let (server, socket) = bench.ipcserver(&bench.files.many())?;
    let client = Connection::open(&socket)?;
    for count in [files::FEW, files::SOME] {
        let small = files::group_question(count);
        client.ask(&small.request, &small.reply)?;
    }
    let before = server.memory("Rss")?;
    let large = files::group_question(files::MANY);
    client.send(&large.request)?;
    let mut most = before;
    for piece in large.reply.chunks(large.reply.len().div_ceil(4)) {
        client.expect(piece)?;
        most = most.max(server.memory("Rss")?);
    }
    // Nothing came after the reply if the next one is in step.
    client.ask(&PWD_END, &DONE)?;
    Ok(Finding::Bytes(most - before))
}
