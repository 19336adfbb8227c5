//! Makes the indexes of data files that are there, whoever has put them there.

use super::folder::{Folder, Version};
use super::index::{self, Indexes};
use super::maps::Map;
use super::model::Model;
use super::progress::Progress;
use super::report::Report;
use super::set::{finish, put_in_place, remove_shared};
use crate::limits::INDEX_TRIES;
use crate::sys::error::Error;
use crate::sys::stat::fstat;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Makes the indexes of the file `name` of a map, in place of those that are there, of which nothing
/// is believed. The data is not touched. Where it is replaced meanwhile, it begins anew: no index of
/// other data stays.
pub fn rebuild(folder: &Folder, map: Map, name: &[u8]) -> Result<Report, Error> {
    for _ in 0..INDEX_TRIES {
        if let Some(report) = try_rebuild(folder, map, name)? {
            report.warn(folder, name);
            return Ok(report);
        }
    }
    let error = Error::refused("the file changes while it is being indexed:");
    Err(error.about(OsStr::from_bytes(&folder.path_of(name))))
}

/// `None`: the data was replaced.
fn try_rebuild(folder: &Folder, map: Map, name: &[u8]) -> Result<Option<Report>, Error> {
    let unread = |errno| folder.error("unable to read", name, errno);
    let data = folder.open_data(name).map_err(unread)?;
    let there = fstat(&data).map_err(unread)?;
    let version = Version::of(&data).map_err(unread)?;
    let mut progress = Progress::new(folder, name);
    let built = index::build(folder, map, name, &data, &version, &mut progress)?;
    drop(progress);
    let Indexes { mut files, report } = built;
    let model = Model::like(&there, map == Map::Shadow);
    for (_, file) in &mut files {
        // The second of the data: what is written into it later makes them old.
        finish(folder, file, &model, version.mtime.0)?;
    }
    let is_still = || -> Result<bool, Error> {
        let now = folder.stat(name).map_err(unread)?;
        // What was read may have been written to meanwhile.
        let open = Version::of(&data).map_err(unread)?;
        Ok(open == version && now.is_some_and(|now| Version::from(&now) == version))
    };
    if !is_still()? {
        return Ok(None);
    }
    put_in_place(folder, map, name, files)?;
    if !is_still()? {
        remove_shared(folder, map, name)?;
        return Ok(None);
    }
    folder.sync().map_err(|errno| folder.error("unable to write in", b"", errno))?;
    Ok(Some(report))
}
