//! The table of doc/security.md.
#![cfg(all(
    // With a sandbox its directories are opened besides, as paths.
    not(feature = "sandbox"),
    feature = "getent",
    feature = "groups",
    feature = "id",
    feature = "ipcserver",
    feature = "nscd",
    feature = "sv",
    feature = "svstat",
    feature = "userdb",
    feature = "nsscache",
    feature = "nsssd-cache",
    feature = "vsv",
    feature = "nsssd-map",
    feature = "nsssd-nslcd",
    feature = "nsssd-switch",
    feature = "nsssd-unix",
    feature = "whoami",
    feature = "with-nscd"
))]

mod descriptors;
mod page;
mod trace;
mod traces;
mod watch;
