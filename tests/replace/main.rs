//! Maps are replaced, and whoever replaces them is killed, while others read: no answer is one that
//! neither the old set nor the new one has.
//!
//! Readers are nsssd-cache and Debian's libnss-cache. `cargo test` replaces a hundred times and kills
//! twenty times, and at a sample of the calls; NSSBOX_REPLACE=N does so N times and N / 5 times, and from
//! 1000 on, as .ci/run does, at each call.
//!
//! The executable is its own writer: `replace --write DIR COUNT`, since no applet writes data yet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod kills;
mod reader;
mod readers;
mod sets;
#[path = "../support/mod.rs"]
mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A trial: its name, and what it does.
type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("readers_see_one_set_or_the_other_while_maps_are_replaced", readers::while_replaced),
    ("groups_are_those_of_one_set_or_the_other", readers::groups_while_replaced),
    ("readers_are_right_while_others_replace_and_index", readers::while_indexed),
    ("random_kills_leave_one_set_or_the_other", kills::at_random),
    ("a_kill_at_each_call_of_a_replacement_leaves_one_set", kills::at_each_call_of_writing),
    ("a_kill_at_each_call_of_indexing_leaves_the_set", kills::at_each_call_of_indexing),
    ("a_full_disk_leaves_the_old_set", kills::full_disk),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, dir, count] = args.as_slice() {
        if first == "--write" {
            return sets::write(dir, count.parse().expect("a number"));
        }
    }
    let mut arguments = Arguments::from_args();
    // Readers in a loop leave nothing for others.
    arguments.test_threads = Some(1);
    let trial = |(name, test): Test| {
        Trial::test(name, move || {
            catch_unwind(AssertUnwindSafe(test)).map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                Failed::from(text.unwrap_or_default())
            })
        })
    };
    libtest_mimic::run(&arguments, TESTS.iter().copied().map(trial).collect()).exit_code()
}

/// How often to replace.
fn rounds() -> usize {
    std::env::var("NSSBOX_REPLACE").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}
