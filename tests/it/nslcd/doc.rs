//! Runs the worked example of doc/nsssd-nslcd.md, with Debian's slapd and nslcd.

use crate::support::page;
use crate::support::{have_program, is_root, skip};

#[test]
fn the_worked_example_of_nslcd_does_what_the_page_says() {
    let test = "the_worked_example_of_nslcd_does_what_the_page_says";
    let Some(unpacked) = std::env::var_os("NSSBOX_TEST_LDAP") else {
        return skip(test, "NSSBOX_TEST_LDAP names no folder made by tests/peers");
    };
    if !is_root() || !have_program("unshare") {
        return skip(test, "needs root and unshare");
    }
    // As if the packages were installed.
    let unpacked = unpacked.to_string_lossy();
    let before = format!(
        "mkdir /etc/ldap && cp -R '{unpacked}/etc/ldap/schema' /etc/ldap\n\
         mount -t overlay -o 'lowerdir={unpacked}/usr:/usr' private /usr\n"
    );
    let names = ["nscd", "nsssd-unix", "nsssd-nslcd"];
    page::run_examples_after("doc/nsssd-nslcd.md", 1, &names, &before);
}
