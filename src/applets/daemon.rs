//! What the daemons of a single backend do.

use crate::backend::script::registry;
use crate::backend::switch::Switch;
use crate::server::signals::settle;
use crate::server::stdio;
use crate::sys::error::{Error, Exit};
use crate::sys::no_huge_pages;
use crate::sys::privilege;
use std::ffi::OsString;

/// Serves one client from the backend of this short name.
pub fn serve(name: &str, args: &[OsString]) -> Result<Exit, Error> {
    settle();
    no_huge_pages();
    let mut backend = registry::make(name, args)?;
    privilege::become_client(privilege::client()?)?;
    let timeout = privilege::exchange_timeout()?;
    backend.serve_one_client(None);
    stdio::serve(&mut Switch::of(backend), timeout)?;
    Ok(Exit::SUCCESS)
}
