//! `userdb`: the service of systemd's user database.

mod bench;
mod hostile;
mod options;
mod real;
mod sources;
mod vectors;
