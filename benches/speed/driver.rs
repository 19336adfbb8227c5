//! What the benches of rows share: the command line, the run, the table.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use crate::measure::{self, Finding, Limit};
use crate::subjects::Bench;
use crate::{daemon, reference};

/// After this the daemons are killed, so that one that does not answer hangs nobody. Several times
/// what a whole run takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// One row.
pub struct Row {
    /// What the command line chooses it by.
    pub name: &'static str,
    /// What is allowed.
    pub limit: Limit,
    /// Measures it.
    pub run: fn(&Bench) -> io::Result<Finding>,
}

/// What the command line asks for.
#[derive(Default)]
struct Options {
    /// Measure, not merely check.
    full: bool,
    /// Over a limit is a failure.
    strict: bool,
    /// Parts of the names of the rows to run; none means all.
    wanted: Vec<String>,
}

impl Options {
    fn parse(args: &[OsString]) -> Options {
        let mut options = Options::default();
        for arg in args.iter().map(|arg| arg.to_string_lossy()) {
            match &*arg {
                "--bench" => options.full = true,
                "--strict" => options.strict = true,
                // The options of Rust's own harness mean nothing here.
                other if other.starts_with('-') => {}
                part => options.wanted.push(part.to_owned()),
            }
        }
        if args.iter().any(|arg| arg == "--test") {
            options.full = false;
        }
        options
    }

    fn wants(&self, row: &Row) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| row.name.contains(part.as_str()))
    }
}

/// The whole program: `NAME [--strict] [ROW…]`, or `NAME --serve …` as the other process of a reference.
pub fn main(rows: &[Row]) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match args.split_first() {
        Some((first, rest)) if first == "--serve" => serve(rest).map(|()| true),
        _ => run(rows, &Options::parse(&args)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("bench: fatal: {why}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &[OsString]) -> io::Result<()> {
    match args {
        [what] if what == "pingpong" => reference::serve_pingpong(),
        [what, socket] if what == "accept" => reference::serve_accept(OsStr::new(socket)),
        [what, socket] if what == "list" => reference::read_list(OsStr::new(socket)),
        [what, socket] if what == "echo" => reference::serve_echo(OsStr::new(socket)),
        _ => {
            Err(io::Error::other("--serve pingpong | --serve accept SOCKET | --serve echo SOCKET"))
        }
    }
}

/// Runs the rows; false when one of them failed.
fn run(rows: &[Row], options: &Options) -> io::Result<bool> {
    let rows: Vec<&Row> = rows.iter().filter(|row| options.wants(row)).collect();
    if rows.is_empty() {
        println!("no row has such a name");
        return Ok(true);
    }
    let cpu = daemon::pin()?;
    daemon::kill_all_after(PATIENCE);
    let bench = Bench::prepare(options.full)?;
    if options.full {
        println!("CPU {cpu}; means, and ratios of means with the lowest and highest round");
        println!("{}", measure::HEADING);
    } else {
        println!("one short round: answers are judged, times are not (cargo bench measures)");
    }
    let mut good = true;
    for row in rows {
        match (row.run)(&bench) {
            Ok(finding) if options.full => {
                println!("{}", measure::line(row.name, &finding, row.limit));
                good &= !options.strict || finding.within(row.limit);
            }
            Ok(Finding::Absent(why)) => println!("{:<18} not measured: {why}", row.name),
            Ok(_) => println!("{:<18} answers ok", row.name),
            Err(why) => {
                println!("{:<18} FAILED", row.name);
                eprintln!("bench: {}: {why}", row.name);
                good = false;
            }
        }
    }
    Ok(good)
}
