//! doc/options.md: each row is tried with the program whose name we take, and with ours.

use crate::support::{TempDir, have_program, is_root, nssbox, peer, run_to_end, skip};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// The page.
const PAGE: &str = include_str!("../../doc/options.md");

/// A row of its tables.
struct Row {
    options: Vec<String>,
    /// Words for the shell.
    words: String,
    there: String,
    here: String,
    same: bool,
}

impl Row {
    /// Whether an option stands in the command line: a long one perhaps cut short, a letter perhaps
    /// behind others.
    fn gives(&self, option: &str) -> bool {
        let mut words = self.words.split_whitespace();
        match option.strip_prefix("--") {
            Some(_) => words.any(|word| {
                let word = word.split('=').next().unwrap_or_default();
                word.len() > 2 && option.starts_with(word)
            }),
            None => words.any(|word| {
                word.starts_with('-') && !word.starts_with("--") && word.contains(&option[1..])
            }),
        }
    }
}

/// The rows of a program.
fn rows(program: &str) -> Vec<Row> {
    let title = format!("\n## {program}\n");
    let section = PAGE.split_once(&title).expect("a section").1;
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [options, words, there, here, same, _] = cells[..] else { panic!("six cells: {line}") };
        assert!(matches!(same, "yes" | "no"), "{line}");
        Row {
            options: options.split_whitespace().map(str::to_owned).collect(),
            words: if words == "(none)" { "" } else { words.trim_matches('`') }.to_owned(),
            there: there.to_owned(),
            here: here.to_owned(),
            same: same == "yes",
        }
    };
    lines.map(row).collect()
}

/// The options that a help text explains: at the start of its lines.
fn explained(help: &str) -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for line in help.lines().filter(|line| line.trim_start().starts_with('-')) {
        for word in line.split_whitespace().take_while(|word| word.starts_with('-')) {
            options.insert(word.trim_end_matches(',').split('=').next().unwrap().to_owned());
        }
    }
    options
}

/// Tries the rows of `program`, whose `--version` or `--help` says that it is the `maker`'s.
#[track_caller]
pub fn hold(test: &str, program: &str, maker: &str) {
    if !have_program(program) {
        return skip(test, &format!("no {program}"));
    }
    let told = |option: &str| {
        let mut command = Command::new(program);
        command.arg(option).env("LC_ALL", "C");
        String::from_utf8_lossy(&run_to_end(command).stdout).into_owned()
    };
    if !told("--version").contains(maker) {
        return skip(test, &format!("no {program} of {maker}"));
    }
    hold_rows(test, program, program, &explained(&told("--help")));
}

/// Tries the rows of `program`, which is at `path` and has these `options`.
#[track_caller]
fn hold_rows(test: &str, program: &str, path: &str, options: &BTreeSet<String>) {
    if !is_root() || !have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    let theirs = path;
    let rows = rows(program);
    let listed: BTreeSet<String> = rows.iter().flat_map(|row| row.options.clone()).collect();
    assert_eq!(&listed, options, "options in doc/options.md, and theirs");
    for row in &rows {
        let absent: Vec<&String> = row.options.iter().filter(|option| !row.gives(option)).collect();
        assert!(absent.is_empty(), "{program} {}: {absent:?} in its first cell", row.words);
    }

    let dir = TempDir::new();
    let covers: [(&str, &str); 5] = [
        ("passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("group", "root:x:0:\nstaff:x:50:root\n"),
        ("services", "ssh 22/tcp\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n"),
    ];
    // Neither a server of this machine, nor a key file.
    let mut script =
        String::from("mount --make-rprivate / && mount -t tmpfs none /run || exit 120\n");
    for (name, text) in covers {
        dir.write(name, text);
        script += &format!("mount --bind '{}/{name}' /etc/{name} || exit 120\n", dir.as_str());
    }
    let ours = link(&dir, program);
    for (at, row) in rows.iter().enumerate() {
        for (whose, path) in [("there", theirs), ("here", ours.to_str().unwrap())] {
            let file = format!("{}/{at}.{whose}", dir.as_str());
            let words = &row.words;
            script += &format!("{path} {words} >{file} 2>/dev/null; echo $? >{file}.code\n");
        }
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).env("LC_ALL", "C");
    let finished = run_to_end(command);
    assert_ne!(finished.code, Some(120), "{}", finished.stderr);
    let mut wrong = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let code = |whose: &str| {
            let code = std::fs::read_to_string(dir.join(format!("{at}.{whose}.code"))).unwrap();
            code.trim().to_owned()
        };
        let text = |whose: &str| std::fs::read(dir.join(format!("{at}.{whose}"))).unwrap();
        let got = (code("there"), code("here"), text("there") == text("here"));
        if got != (row.there.clone(), row.here.clone(), row.same) {
            wrong.push(format!("{program} {}: {got:?}", row.words));
        }
    }
    assert!(wrong.is_empty(), "{} rows of doc/options.md:\n{}", wrong.len(), wrong.join("\n"));
}

/// Our executable by that name.
fn link(dir: &TempDir, program: &str) -> PathBuf {
    let path = dir.join(program);
    std::os::unix::fs::symlink(nssbox(), &path).unwrap();
    path
}

#[test]
fn getent_takes_the_options_of_glibcs() {
    hold("getent_takes_the_options_of_glibcs", "getent", "GLIBC");
}

#[test]
fn nscd_takes_the_options_of_glibcs() {
    let test = "nscd_takes_the_options_of_glibcs";
    let Some(nscd) = peer(test, "nscd", "usr/sbin/nscd") else { return };
    let mut command = Command::new(&nscd);
    command.arg("--help").env("LC_ALL", "C");
    let help = String::from_utf8_lossy(&run_to_end(command).stdout).into_owned();
    let mut options = explained(&help);
    // Its page has more, and one otherwise: `.It Fl g , Fl -statistic`.
    let mut page = Command::new("gzip");
    page.arg("-dc").arg(nscd.ancestors().nth(2).unwrap().join("share/man/man8/nscd.8.gz"));
    let page = String::from_utf8_lossy(&run_to_end(page).stdout).into_owned();
    let words = page.lines().filter_map(|line| line.strip_prefix(".It ")).flat_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let names = words.windows(2).filter(|pair| pair[0] == "Fl");
        names.map(|pair| format!("-{}", pair[1])).collect::<Vec<_>>()
    });
    let before = options.len();
    options.extend(words);
    assert!(options.len() > before, "no manual page: {page}");
    hold_rows(test, "nscd", nscd.to_str().unwrap(), &options);
}

#[test]
fn ipcserver_takes_the_options_of_s6_ipcserver() {
    let test = "ipcserver_takes_the_options_of_s6_ipcserver";
    if !have_program("s6-ipcserver") {
        return skip(test, "no s6-ipcserver");
    }
    // `usage: s6-ipcserver [ -q | -Q | -v ] … path prog...`
    let mut command = Command::new("s6-ipcserver");
    command.arg("-h");
    let usage = run_to_end(command).stderr;
    let is_option = |word: &&str| word.starts_with('-') && word.len() == 2;
    let options = usage.split_whitespace().filter(is_option).map(str::to_owned).collect();
    hold_rows(test, "ipcserver", "s6-ipcserver", &options);
}

#[test]
fn id_takes_the_options_of_coreutils() {
    hold("id_takes_the_options_of_coreutils", "id", "coreutils");
}

#[test]
fn groups_takes_the_options_of_coreutils() {
    hold("groups_takes_the_options_of_coreutils", "groups", "coreutils");
}

#[test]
fn whoami_takes_the_options_of_coreutils() {
    hold("whoami_takes_the_options_of_coreutils", "whoami", "coreutils");
}
