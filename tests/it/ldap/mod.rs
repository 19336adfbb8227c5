//! `nsscache` and a directory: Debian's slapd, and servers that are none.

mod changes;
mod codec;
mod flow;
mod hostile;
mod kills;
mod page;
mod site;
mod slapd;
mod tls;
mod vectors;
mod watch;
