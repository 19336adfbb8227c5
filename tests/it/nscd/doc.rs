//! Runs the worked examples of doc/nscd.md, where getent, id and whoami are those of the system.

use crate::support::page;
use crate::support::{have_program, is_root, skip};

#[test]
fn the_worked_examples_of_nscd_do_what_the_page_says() {
    let test = "the_worked_examples_of_nscd_do_what_the_page_says";
    if !is_root() {
        return skip(test, "mount namespaces need root");
    }
    for program in ["unshare", "setpriv", "strace"] {
        if !have_program(program) {
            return skip(test, &format!("no {program}"));
        }
    }
    page::run_examples("doc/nscd.md", 3, &["nscd", "with-nscd", "nsssd-unix", "nsssd-map"]);
}
