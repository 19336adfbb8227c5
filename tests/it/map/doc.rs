//! Runs the worked examples of doc/nsssd-map.md.
#![cfg(feature = "nsssd-map")]

use crate::support::page;
use crate::support::{APPLETS, is_root, skip};

#[test]
fn the_worked_examples_do_what_the_page_says() {
    if !is_root() {
        return skip("the_worked_examples_do_what_the_page_says", "mount namespaces need root");
    }
    page::run_examples("doc/nsssd-map.md", 3, &APPLETS);
}
