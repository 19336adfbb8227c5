//! enable, disable: the file `down`, which keeps a supervisor from starting its service by itself.
//! Nothing is started or stopped by it.

use super::find::Service;
use super::look::Trouble;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// The service is started with its supervisor from now on, or not; it may be so already.
pub fn set(service: &Service, normally_up: bool) -> Result<(), Trouble> {
    if let Some(errno) = service.unreachable() {
        return Err(Trouble::failure("unable to change to service directory", errno));
    }
    // Of a directory that is none, nothing is changed.
    if service.kind("run").is_err() && service.kind("supervise").is_err() {
        return Err(Trouble::refusal("no service", "neither run nor supervise is there"));
    }
    if normally_up {
        return match service.unlink("down") {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Trouble::failure("unable to remove down", errno)),
        };
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    match service.open("down", flags, mode) {
        Ok(_) => Ok(()),
        Err(Errno::EXIST) => match service.kind("down") {
            Ok(_) => Ok(()),
            // A link to nothing: supervisors take it for none.
            Err(errno) => Err(Trouble::failure("unable to stat down", errno)),
        },
        Err(errno) => Err(Trouble::failure("unable to make down", errno)),
    }
}
