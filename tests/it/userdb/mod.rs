//! `userdb`: the service of systemd's user database.

mod activated;
mod bench;
mod hostile;
mod keys;
mod many;
mod multiplexer;
mod options;
mod real;
mod sources;
mod vectors;
