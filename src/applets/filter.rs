//! What the filters of dt's lines share: one of them, over standard input.

use crate::fleet::filter::Filter;
use crate::fleet::stdio;
use crate::options::{Options, Spec};
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// The options of one that has none of its own.
pub const SPEC: Spec = Spec {
    flags: "N",
    alias: &[("--help", b'?'), ("--version", b'V'), ("--no-color", b'N')],
    ..Spec::NONE
};

/// Reads the command line, and filters.
pub fn run(
    spec: &Spec,
    args: &[OsString],
    filter: &dyn Fn(&Options<'_>) -> Box<dyn Filter>,
) -> Result<Exit, Error> {
    let options = spec.split(args)?;
    if let Some(word) = options.rest.first() {
        return Err(Error::options("no file is taken:").about(word));
    }
    stdio::run(filter(&options).as_mut())
}
