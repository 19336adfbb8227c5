//! `nsscache`: maps of a directory as local files.

mod bad;
mod cli;
#[cfg(feature = "signed")]
mod export;
#[cfg(feature = "signed")]
mod fleet;
mod kill;
mod nginx;
mod safety;
mod setups;
#[cfg(feature = "signed")]
mod snapshot;
mod sshd;
pub mod vectors;
mod watch;
