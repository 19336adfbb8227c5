//! How long an honest user waits beside one who asks without end, and what the same costs him at a
//! bare server that accepts, echoes and closes.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::attack::{After, Attack, Times, beside};
use crate::daemon::{Daemon, own_executable};
use crate::files::{self, Files, Question};
use crate::on_cpu;

/// At most so many times the echo's.
const FAIR: f64 = 3.0;

/// Who asks the same as the honest one, without end and with the same priority.
fn attack(request: &[u8], clients: usize) -> Attack {
    let request = request.to_vec();
    let ask = move |_| request.clone();
    Attack { uids: 1, each: clients, ask: Box::new(ask), after: After::Reads, nice: 0 }
}

pub fn run(files: &Files, clients: usize, time: Duration, judge: bool) -> io::Result<bool> {
    let question = files::last_of_few_by_nscd();
    let echoed = Question { request: question.request.clone(), reply: question.request.clone() };

    let socket = files.socket("echo");
    on_cpu(0)?;
    let mut command = own_executable()?;
    let echo = Daemon::start(command.arg("--serve").arg(&socket))?;
    on_cpu(1)?;
    wait_for(&socket, Instant::now() + Duration::from_secs(10))?;
    let bare = beside(&socket, &echoed, Some(&attack(&question.request, clients)), time)?;
    drop(echo);

    let socket = files.socket("nscd");
    let mut command = Command::new(files.applet("nscd"));
    command.args(["-1", "-q", "-S"]).arg(&socket).arg("0");
    command.arg(files.applet("nsssd-unix")).arg("-d").arg(files.few()).arg("");
    on_cpu(0)?;
    let _nscd = Daemon::start_and_wait(&mut command)?;
    on_cpu(1)?;
    let ours = beside(&socket, &question, Some(&attack(&question.request, clients)), time)?;

    println!("| beside {clients} connections of another uid | answers | failed | p50 | p99 |");
    println!("|---|---|---|---|---|");
    let row = |name: &str, times: &Times| {
        let (count, failed) = (times.millis.len(), times.failed);
        let [p50, p99] = [50, 99].map(|percent| times.percentile(percent));
        println!("| {name} | {count} | {failed} | {p50:.2} ms | {p99:.2} ms |");
    };
    row("a bare echo server", &bare);
    row("nscd", &ours);
    let ratio = ours.percentile(99) / bare.percentile(99);
    let least = bare.least.min(ours.least);
    println!("\np99: {ratio:.2} of the echo's (limit {FAIR}); {least} connections at least\n");
    Ok(ours.failed == 0 && (!judge || (ratio <= FAIR && least >= clients * 9 / 10)))
}

fn wait_for(socket: &OsStr, end: Instant) -> io::Result<()> {
    while let Err(why) = UnixStream::connect(socket) {
        if Instant::now() > end {
            return Err(why);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Accepts, reads once, answers the same, closes.
pub fn echo(socket: &str) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    rustix::net::listen(&listener, 4096)?;
    let mut bytes = [0; 4096];
    loop {
        let (mut client, _) = listener.accept()?;
        if let Ok(len) = client.read(&mut bytes) {
            let _ = client.write_all(bytes.get(..len).unwrap_or_default());
        }
    }
}
