//! `nsscache`: maps of a directory as local files.

mod bad;
mod cli;
mod kill;
mod nginx;
mod safety;
mod setups;
mod sshd;
pub mod vectors;
mod watch;
