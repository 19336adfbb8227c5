//! `nsscache export`: the maps as a signed snapshot.

use super::{LOCKED, Run, text_of};
use crate::directory::snapshot::export::{self, Exported};
use crate::limits::EXPORT_RENEW_HOURS;
use crate::sys::error::{Error, Exit};
use std::os::unix::ffi::OsStrExt as _;

/// Does the work.
pub fn run(run: &Run<'_>) -> Result<Exit, Error> {
    let Some(dir) = run.options.rest.first() else {
        return Err(Error::options("export takes a DIR"));
    };
    let Some(key) = text_of(&run.options, b'k')? else {
        return Err(Error::options("export takes a secret key: -k KEYFILE"));
    };
    let hours = run.options.number(b'r', EXPORT_RENEW_HOURS)?.unwrap_or(0);
    let options = export::Options {
        dir: dir.as_bytes().to_vec(),
        key: key.into_bytes(),
        shadow: run.options.flag(b'S'),
        accept_shrink: run.options.flag(b'A'),
        renew: i64::try_from(hours).unwrap_or(0) * 3600,
    };
    Ok(run.with_maps(|_, maps| {
        Ok(match export::run(maps, &options, &run.log)? {
            Exported::New | Exported::Unchanged => Exit::SUCCESS,
            Exported::Locked => {
                let dir = dir.to_string_lossy();
                run.log.error("nsscache", format!("another process exports to {dir}"));
                LOCKED
            }
        })
    }))
}
