//! `nsscache` and a directory: Debian's slapd, and servers that are none.

mod changes;
mod codec;
mod flow;
mod hostile;
mod kills;
mod page;
mod site;
pub mod slapd;
mod tls;
mod vectors;
pub mod watch;
