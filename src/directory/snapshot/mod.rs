//! Signed snapshots: one machine asks the directory, and whoever hands its files out need not be trusted.
//!
//! `nsscache export` writes each map under its SHA-256, and a list of them that is signed ([`list`]). A
//! client asks for the list, believes it only if a key that it knows has signed it ([`signers`]) and no
//! newer one was seen before ([`kept`]), fetches the maps that it lacks, and replaces all of them or none
//! ([`taken`]). So no server, proxy or store in between can forge, cut, mix or roll back anything; and it
//! cannot keep a client at an old list for longer than `http_signed_max_age`.

#[cfg(feature = "signed")]
pub mod export;
#[cfg(feature = "signed")]
mod kept;
#[cfg(feature = "signed")]
mod known;
#[cfg(feature = "signed")]
mod list;
#[cfg(feature = "signed")]
mod signers;
#[cfg(feature = "signed")]
mod source;
#[cfg(feature = "signed")]
mod sum;
#[cfg(feature = "signed")]
mod taken;

use super::config::MapConfig;
use super::failure::Done;
#[cfg(not(feature = "signed"))]
use super::failure::Failure;
use super::log::Log;
use super::signed::url_is_given;
pub use super::signed::{SIGNED_BY, URL, groups, is_source};
use super::turns::{Options, Turns};

/// What of the configuration of a map would make it less than it seems to be; whether it is of a snapshot.
pub fn check(config: &MapConfig<'_>) -> Done<bool> {
    let (is_given, signed_by) = (url_is_given(config)?, config.text(SIGNED_BY)?);
    match (is_given, signed_by) {
        (false, None) => Ok(false),
        (true, Some(path)) => read_keys(config, &path).map(|()| true),
        (true, None) => Err(config.wrong(URL, &format!("{SIGNED_BY} is missing"))),
        // Whoever wrote it takes the map for signed.
        (false, Some(_)) => Err(config.wrong(SIGNED_BY, &format!("{URL} is missing"))),
    }
}

#[cfg(feature = "signed")]
fn read_keys(_: &MapConfig<'_>, path: &str) -> Done {
    signers::Signers::read(path).map(drop)
}

#[cfg(not(feature = "signed"))]
fn read_keys(config: &MapConfig<'_>, _: &str) -> Done {
    Err(config.wrong(URL, "this build has no signed snapshots (feature signed)"))
}

/// Updates the maps of one snapshot, all of them or none; whether a file is new.
///
/// `turns`: others may write as long as it is asked; a turn is taken for what comes then.
pub fn update(
    maps: &[MapConfig<'_>],
    options: Options,
    log: &Log,
    turns: Option<&dyn Turns>,
) -> Done<bool> {
    #[cfg(feature = "signed")]
    return taken::update(maps, options, log, turns);
    #[cfg(not(feature = "signed"))]
    {
        let _ = (maps, options, log, turns);
        Err(Failure::refused("this build has no signed snapshots (feature signed)"))
    }
}

/// The serial of the snapshot that a map is of.
pub fn serial(config: &MapConfig<'_>, log: &Log) -> Option<u64> {
    #[cfg(feature = "signed")]
    return is_source(config).then(|| taken::serial(config, log)).flatten();
    #[cfg(not(feature = "signed"))]
    {
        let _ = (config, log);
        None
    }
}
