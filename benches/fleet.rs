//! dt beside pdsh, clush and a bare spawn-and-poll loop in C: what running a command on many hosts
//! costs, where ssh itself costs nothing.
//!
//! `cargo bench --bench fleet [-- --strict]`. `ssh` is a static stand-in (benches/fleet/ssh.c); pdsh
//! and clush start it with `-R exec`. The exit code is 1 if a run failed, with `--strict` also if dt is
//! over a limit. Without `--bench` (`cargo test --benches`) each row runs once, with few hosts.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// How many are run at a time.
const FANOUT: &str = "50";

/// Rounds: in each, all tools take turns.
const ROUNDS: usize = 5;

/// Most memory of dt.
const MEMORY: u64 = 8 * 1024;

/// One kind of work.
struct Row {
    name: &'static str,
    /// Hosts, as all tools write them, and how many.
    front: &'static str,
    count: usize,
    /// Most of CPU and of wall clock, as ratios to the loop.
    cpu: Option<f64>,
    wall: Option<f64>,
}

const ROWS: [Row; 3] = [
    Row { name: "1,000 x a line", front: "n", count: 1000, cpu: Some(1.5), wall: Some(1.5) },
    Row { name: "200 x 1 s", front: "s", count: 200, cpu: None, wall: Some(1.15) },
    Row { name: "100 MB from one", front: "big", count: 1, cpu: Some(6.0), wall: None },
];

impl Row {
    /// With fewer hosts.
    fn brief(self) -> Row {
        Row { count: self.count.min(20), ..self }
    }

    fn hosts(&self) -> Vec<String> {
        match self.count {
            1 => vec![self.front.to_owned()],
            count => (1..=count).map(|n| format!("{}{n}", self.front)).collect(),
        }
    }

    /// All in a word.
    fn folded(&self) -> String {
        match self.count {
            1 => self.front.to_owned(),
            count => format!("{}[1-{count}]", self.front),
        }
    }
}

/// What a run took: microseconds, microseconds of CPU, KiB.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
    memory: u64,
}

/// The programs that are made for it.
struct Bench {
    dir: PathBuf,
    dt: PathBuf,
    /// In front of what is measured: before all other work of the machine, where that may be, so that
    /// wall clock tells of the program and not of its neighbours.
    first: &'static [&'static str],
}

/// As root.
const FIRST: &[&str] = &["chrt", "-r", "1"];

impl Bench {
    fn new() -> io::Result<Bench> {
        let dir = std::env::temp_dir().join(format!("nssbox-fleet.{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        for (name, options) in [("ssh", &["-static"][..]), ("loop", &[]), ("measure", &[])] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/fleet").join(name);
            let mut compiler = Command::new("gcc");
            compiler.args(["-O2", "-Wall", "-Werror"]).args(options).arg("-o").arg(dir.join(name));
            compiler.arg(source.with_extension("c"));
            if !compiler.status()?.success() {
                return Err(io::Error::other(format!("unable to compile {name}.c")));
            }
        }
        let ours = std::env::var_os("NSSBOX_EXECUTABLE").map(PathBuf::from);
        let ours = ours.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_nssbox")));
        let dt = dir.join("dt");
        std::os::unix::fs::symlink(std::fs::canonicalize(ours)?, &dt)?;
        let mut tried = Command::new("chrt");
        let may = tried.args(["-r", "1", "true"]).output().is_ok_and(|o| o.status.success());
        let first = if may { FIRST } else { &[] };
        Ok(Bench { dir, dt, first })
    }

    /// The command of a tool; `None`: it is not there.
    fn command(&self, tool: &str, row: &Row) -> Option<Vec<String>> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let hosts = row.folded();
        Some(match tool {
            "loop" => {
                let front =
                    [text(&self.dir.join("loop")), FANOUT.to_owned(), text(&self.dir.join("ssh"))];
                front.into_iter().chain(row.hosts()).collect()
            }
            "dt" => {
                let pattern = format!("sys:{hosts}");
                words(&[
                    &text(&self.dt),
                    "-C",
                    FANOUT,
                    "--max-output",
                    "0",
                    &pattern,
                    "ssh",
                    "uptime",
                ])
            }
            "dt --live" => {
                let pattern = format!("sys:{hosts}");
                words(&[&text(&self.dt), "-C", FANOUT, "--live", &pattern, "ssh", "uptime"])
            }
            "pdsh" => words(&["pdsh", "-R", "exec", "-f", FANOUT, "-w", &hosts, "ssh", "%h"]),
            "clush" => words(&["clush", "-R", "exec", "-f", FANOUT, "-w", &hosts, "ssh", "%h"]),
            _ => return None,
        })
        .filter(|words: &Vec<String>| {
            words.first().is_some_and(|name| name.contains('/') || there(name))
        })
    }

    fn run(&self, words: &[String]) -> io::Result<Cost> {
        let path = std::env::var("PATH").unwrap_or_default();
        let measure = self.dir.join("measure");
        let mut command = match self.first {
            [program, options @ ..] => {
                let mut command = Command::new(program);
                command.args(options).arg(measure);
                command
            }
            [] => Command::new(measure),
        };
        command.args(words).env("PATH", format!("{}:{path}", self.dir.display()));
        for name in ["DTOOLS_DB", "DTOOLS_SSH", "DTOOLS_USER", "SSHOPTS"] {
            command.env_remove(name);
        }
        let output = command.output()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<u64> =
            told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [wall, cpu, memory, 0] = numbers[..] else {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("{words:?}: {told}{why}")));
        };
        Ok(Cost { wall: wall as f64, cpu: cpu as f64, memory })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn there(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let has = |word: &str| args.iter().any(|arg| arg == word);
    match measure(has("--bench")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) if !has("--strict") => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("fleet: fatal: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table; whether dt is within its limits.
fn measure(full: bool) -> io::Result<bool> {
    if !there("gcc") {
        println!("fleet: not measured: no gcc");
        return Ok(true);
    }
    let bench = Bench::new()?;
    println!("row              tool        CPU ms  wall ms  memory KiB   CPU  wall  verdict");
    let mut good = true;
    for row in ROWS {
        let row = if full { row } else { row.brief() };
        let rounds = if full { ROUNDS } else { 1 };
        let mut costs: Vec<(&str, Vec<Cost>)> = Vec::new();
        let tools = ["loop", "dt", "dt --live", "pdsh", "clush"];
        for round in 0..rounds {
            for tool in tools {
                let Some(words) = bench.command(tool, &row) else { continue };
                // The slow ones are slow enough to be told from a disturbance.
                if round > 1 && ["pdsh", "clush"].contains(&tool) && row.count != 1000 {
                    continue;
                }
                let cost = bench.run(&words)?;
                match costs.iter_mut().find(|(known, _)| *known == tool) {
                    Some((_, list)) => list.push(cost),
                    None => costs.push((tool, vec![cost])),
                }
            }
        }
        let middle = |list: &[Cost], of: fn(&Cost) -> f64| median(list.iter().map(of).collect());
        let reference = costs.first().map(|(_, list)| list.clone()).unwrap_or_default();
        let (cpu, wall) = (middle(&reference, |c| c.cpu), middle(&reference, |c| c.wall));
        for tool in tools {
            let Some((_, list)) = costs.iter().find(|(known, _)| *known == tool) else {
                println!("{:<16} {tool:<10} not measured: not installed", row.name);
                continue;
            };
            let (c, w) = (middle(list, |c| c.cpu), middle(list, |c| c.wall));
            let memory = list.iter().map(|cost| cost.memory).max().unwrap_or(0);
            let ratios = (c / cpu, w / wall);
            let over = tool == "dt"
                && (row.cpu.is_some_and(|most| ratios.0 > most)
                    || row.wall.is_some_and(|most| ratios.1 > most)
                    || memory > MEMORY);
            good &= !over;
            let verdict = match (tool, over) {
                ("dt", true) => "OVER",
                ("dt", false) => "ok",
                _ => "",
            };
            println!(
                "{:<16} {tool:<10} {:>8.1} {:>8.1} {memory:>11} {:>5.2} {:>5.2}  {verdict}",
                row.name,
                c / 1000.0,
                w / 1000.0,
                ratios.0,
                ratios.1
            );
        }
    }
    Ok(good)
}
