//! The corpus of each fuzz target, run through that target: what a fuzzer has found stays found.
//! See tests/fuzz/README.md.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/naive.rs"]
#[allow(dead_code, reason = "the targets take what they need")]
mod naive;
#[path = "fuzz/src/targets/mod.rs"]
mod targets;
#[path = "support/wire.rs"]
#[allow(dead_code, reason = "the targets take what they need")]
mod wire;

use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};
use targets::{TARGETS, Target};

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::from_args();
    if !arguments.list {
        // Messages about odd files belong to what is tested; failures are told on standard output.
        rustix::stdio::dup2_stderr(fs::File::create("/dev/null")?)?;
    }
    let mut trials: Vec<Trial> = TARGETS.iter().map(|target| trial(*target)).collect();
    trials.push(Trial::test("every_target_has_a_corpus_and_every_corpus_a_target", corpora));
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    // Threads that end with the process do not remove theirs.
    for number in 0..64 {
        let name = format!("nssbox-fuzz.{}.{number}", std::process::id());
        for place in [Path::new("/dev/shm"), &std::env::temp_dir()] {
            let _ = fs::remove_dir_all(place.join(&name));
        }
    }
    Ok(code)
}

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus"))
}

fn trial((name, target): Target) -> Trial {
    Trial::test(format!("{name}_takes_its_corpus"), move || {
        let mut files = 0;
        for file in fs::read_dir(corpus().join(name))? {
            let path = file?.path();
            let data = fs::read(&path)?;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&data))) {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let file = path.file_name().unwrap_or_default().display();
                return Err(format!("{name}/{file}: {}", text.unwrap_or("panicked")).into());
            }
            files += 1;
        }
        if files < 10 { Err(format!("only {files} files").into()) } else { Ok(()) }
    })
}

fn corpora() -> Result<(), Failed> {
    let mut found: Vec<_> = fs::read_dir(corpus())?.collect::<Result<Vec<_>, _>>()?;
    found.sort_by_key(|entry| entry.file_name());
    let names: Vec<String> =
        found.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    if names == targets { Ok(()) } else { Err(format!("{names:?}, but {targets:?}").into()) }
}
