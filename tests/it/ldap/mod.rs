//! `nsscache` and a directory: Debian's slapd, and servers that are none.

mod changes;
mod codec;
mod hostile;
mod slapd;
mod vectors;
mod watch;
