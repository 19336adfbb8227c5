//! Where maps come from: a source is a file here, and a row.

pub mod body;
mod client;
mod command;
mod consul;
mod etcd;
mod files;
mod gcs;
mod gunzip;
pub mod http;
mod json;
mod ldap;
mod records;
#[cfg(feature = "s3")]
mod s3;
mod scim;
#[cfg(feature = "s3")]
mod sigv4;
#[cfg(feature = "tls")]
mod tls;
mod told;
pub mod url;
mod wait;

use super::config::MapConfig;
use super::failure::Done;
use super::intake::Entries;
use super::log::Log;
use super::stamp::Time;
use super::state::Validators;
use std::os::fd::BorrowedFd;

/// A source.
pub struct Row {
    /// The word of `source` in nsscache.conf.
    pub name: &'static str,
    /// Reads what the configuration says for a map. Nothing is asked yet.
    pub open: for<'a> fn(&'a MapConfig<'a>, &'a Log) -> Done<Box<dyn Source + 'a>>,
}

/// The sources of this build.
pub const SOURCES: &[Row] = &[
    Row { name: "consul", open: |config, log| Ok(Box::new(consul::Consul::new(config, log)?)) },
    Row { name: "etcd", open: |config, log| Ok(Box::new(etcd::Etcd::new(config, log)?)) },
    Row { name: "files", open: |config, log| Ok(Box::new(files::Files::new(config, log)?)) },
    Row { name: "gcs", open: |config, log| Ok(Box::new(gcs::Gcs::new(config, log)?)) },
    Row { name: "http", open: |config, log| Ok(Box::new(http::Http::new(config, log)?)) },
    Row { name: "ldap", open: |config, log| Ok(Box::new(ldap::Ldap::new(config, log)?)) },
    #[cfg(feature = "s3")]
    Row { name: "s3", open: |config, log| Ok(Box::new(s3::S3::new(config, log)?)) },
    Row { name: "scim", open: |config, log| Ok(Box::new(scim::Scim::new(config, log)?)) },
];

/// What of a map is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// The map itself.
    Map,
    /// Automount's master: entries of a mount point and a location.
    Master,
    /// A map that the master lists, by the name that stands there.
    Automount(&'a str),
}

/// What we have; nothing: all is asked for.
#[derive(Clone, Debug, Default)]
pub struct Since {
    /// What the source called it.
    pub validators: Validators,
    /// When it changed there.
    pub modified: Option<Time>,
}

/// How a fetch ended.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// There is nothing newer than [`Since`].
    Unchanged,
    /// All entries of the map were handed over.
    Whole {
        /// When it changed there, if the source tells.
        modified: Option<Time>,
        /// What the source calls it.
        validators: Validators,
        /// How many it sent.
        bytes: u64,
    },
}

/// A source of one map.
pub trait Source {
    /// What an object is fetched from, without secrets: for the log, and to tell one from another.
    fn origin(&self, object: Object<'_>) -> Done<String>;

    /// Hands all entries of an object over, unless there is nothing newer. What it handed over counts
    /// only if it ends well.
    fn fetch(&mut self, object: Object<'_>, since: &Since, into: &mut dyn Entries)
    -> Done<Fetched>;

    /// Whether an object is there, without its content.
    fn probe(&mut self, object: Object<'_>) -> Done;

    /// Attempts in all, and seconds between them.
    fn retries(&self) -> (u32, u32);

    /// The set that was handed over last is in its place. `as_handed`: each entry that was kept has its
    /// line, in that order.
    fn stands(&mut self, object: Object<'_>, as_handed: bool) -> Done {
        let _ = (object, as_handed);
        Ok(())
    }

    /// There was nothing newer, and nobody else has written since that was asked.
    fn stays(&mut self) -> Done {
        Ok(())
    }

    /// Nothing is asked for a while: connections that wait for a question are closed.
    fn rest(&mut self) {}

    /// What tells of changes by itself; `None`: it has to be asked.
    fn follow(&mut self) -> Option<&mut dyn Follow> {
        None
    }
}

/// A source that tells when something changes.
pub trait Follow {
    /// Begins to be told; what changed since the set that is in place counts. False: it has to be asked.
    fn begin(&mut self) -> Done<bool>;

    /// What is readable when there is something to be told.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// Whether there is more to be read that the descriptor does not tell of.
    fn has_more(&mut self) -> bool;

    /// Reads what is there; whether something is to be fetched.
    fn read(&mut self) -> Done<bool>;

    /// Whether something is to be fetched.
    fn is_changed(&self) -> bool;

    /// What was told is in its place. False: it has to begin anew.
    fn taken(&mut self) -> Done<bool>;

    /// Whether it tells of all changes. Otherwise it is asked now and then as well.
    fn tells_all(&self) -> bool {
        true
    }
}

/// `PREFIX_retry_max` and `PREFIX_retry_delay`, as nsscache has them.
fn retries(config: &MapConfig<'_>, prefix: &str) -> Done<(u32, u32)> {
    let max: u32 = config.number(&format!("{prefix}_retry_max"), 3)?;
    let delay = config.number(&format!("{prefix}_retry_delay"), 5)?;
    Ok((max.max(1), delay))
}

/// Runs a command by the shell; what it prints. An error at the end: it did not end well.
pub fn run_command(command: &str, seconds: u64) -> Done<impl std::io::Read + use<>> {
    command::Output::of(command, seconds)
}
