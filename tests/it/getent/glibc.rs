//! glibc's getent and ours, asked the same in one private mount namespace, where files of the
//! test cover those of the machine.

use crate::support::{Finished, TempDir, have_program, is_root, nssbox, run_to_end, skip};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

/// The words of a command line behind `getent`. Bytes: names need not be UTF-8.
pub type Call = Vec<Vec<u8>>;

/// A command line of words.
pub fn call<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Call {
    words.into_iter().map(|word| word.as_ref().to_vec()).collect()
}

/// What a program made of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
}

impl Answer {
    /// An exit code and a text.
    pub fn new(code: i32, stdout: impl AsRef<[u8]>) -> Answer {
        Answer { code, stdout: stdout.as_ref().to_vec() }
    }
}

impl From<Finished> for Answer {
    fn from(finished: Finished) -> Answer {
        Answer::new(finished.code.unwrap_or(-1), finished.stdout)
    }
}

/// Whose getent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The C library's.
    Glibc,
    /// The applet.
    Ours,
}

/// The passwd, group and shadow of a directory in place of the machine's.
pub fn accounts(dir: &Path) -> Vec<(std::path::PathBuf, &'static str)> {
    let pair = |name: &str, place| (dir.join(name), place);
    vec![pair("passwd", "/etc/passwd"), pair("group", "/etc/group"), pair("shadow", "/etc/shadow")]
}

/// The version of glibc's getent; `None` if there is none in PATH, or another one.
pub fn version() -> Option<String> {
    if !have_program("getent") {
        return None;
    }
    let mut command = Command::new("getent");
    command.arg("--version");
    let text = String::from_utf8_lossy(&run_to_end(command).stdout).into_owned();
    let first = text.lines().next()?;
    let is_glibc = ["GLIBC", "GNU libc"].iter().any(|libc| first.contains(libc));
    is_glibc.then(|| first.rsplit(' ').next().unwrap_or_default().to_owned())
}

/// Calls of one script. Each is a process, and a script has the deadline of a program.
const BATCH: usize = 60;

/// Makes each call and gives the answers. With something to cover that needs root or
/// unprivileged user namespaces: `None`, and said so, where neither is to be had.
#[track_caller]
pub fn ask(
    test: &str,
    whose: Whose,
    covers: &[(impl AsRef<Path>, &str)],
    calls: &[Call],
) -> Option<Vec<Answer>> {
    let mut answers = Vec::new();
    for batch in calls.chunks(BATCH) {
        answers.extend(ask_batch(test, whose, covers, batch)?);
    }
    Some(answers)
}

fn ask_batch(
    test: &str,
    whose: Whose,
    covers: &[(impl AsRef<Path>, &str)],
    calls: &[Call],
) -> Option<Vec<Answer>> {
    // What comes out may be a copy of the machine's shadow.
    let out = TempDir::new();
    out.chmod("", 0o700);
    let dir = out.as_str();
    let mut script = Vec::new();
    for (file, place) in covers {
        let file = file.as_ref().to_str().expect("plain names");
        script.extend(format!("mount --bind '{file}' {place} || exit\n").into_bytes());
    }
    // The mark tells a mount that was refused from a failure after it.
    script.extend(format!(": >{dir}/mounted\n").into_bytes());
    for (at, call) in calls.iter().enumerate() {
        script.extend_from_slice(match whose {
            Whose::Glibc => b"getent",
            Whose::Ours => b"\"$1\" getent",
        });
        call.iter().for_each(|word| script.extend(quoted(word)));
        script.extend(format!(" >{dir}/{at} 2>/dev/null; echo $? >{dir}/{at}.code\n").bytes());
    }
    let script = out.write("script", script);
    let mut command = if covers.is_empty() {
        Command::new("sh")
    } else if have_program("unshare") {
        let mut unshare = Command::new("unshare");
        unshare.arg(if is_root() { "-m" } else { "-rm" }).arg("sh");
        unshare
    } else {
        skip(test, "no unshare");
        return None;
    };
    command
        .args([script.as_path(), nssbox()])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C");
    let finished = run_to_end(command);
    if !out.join("mounted").exists() {
        skip(test, &format!("no private mounts: {}", finished.stderr));
        return None;
    }
    let read = |name: String| fs::read(out.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let answer = |at: usize| {
        let code = String::from_utf8_lossy(&read(format!("{at}.code"))).into_owned();
        Answer::new(code.trim().parse().expect("an exit code"), read(at.to_string()))
    };
    Some((0..calls.len()).map(answer).collect())
}

/// Our getent must say to every call what glibc's says, with `files` alone for both.
#[track_caller]
pub fn compare(test: &str, covers: &[(impl AsRef<Path>, &str)], calls: &[Call]) {
    if version().is_none() {
        return skip(test, "no getent of glibc");
    }
    let Some(theirs) = ask(test, Whose::Glibc, covers, calls) else { return };
    let Some(ours) = ask(test, Whose::Ours, covers, calls) else { return };
    assert_eq!(theirs.len(), ours.len());
    let mut wrong = Vec::new();
    for ((call, theirs), ours) in calls.iter().zip(&theirs).zip(&ours) {
        if theirs != ours {
            let call = call.iter().map(|w| quoted(w)).collect::<Vec<_>>().concat();
            let call = String::from_utf8_lossy(&call).into_owned();
            wrong.push(format!("getent{call}\n   ours {}\n  glibc {}", shown(ours), shown(theirs)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} calls:\n{}", wrong.len(), calls.len(), wrong.join("\n"));
}

/// Code and output in one line of bearable length.
fn shown(answer: &Answer) -> String {
    let text = answer.stdout.escape_ascii().to_string();
    let cut = text.get(..2000).map_or_else(|| text.clone(), |head| format!("{head}…"));
    format!("{}: {cut}", answer.code)
}

/// A word for the shell, with a blank before it.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut text = b" '".to_vec();
    for byte in word {
        match byte {
            b'\'' => text.extend(br"'\''"),
            _ => text.push(*byte),
        }
    }
    text.push(b'\'');
    text
}

/// Our getent, run by itself with no environment but PATH.
pub fn ours<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Command {
    let mut command = Command::new(nssbox());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).arg("getent");
    for word in words {
        command.arg(std::ffi::OsStr::from_bytes(word.as_ref()));
    }
    command
}
