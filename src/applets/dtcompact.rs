//! dtcompact: dt's lines as marks, then figures and what failed.
//!
//! Follows dtools' dtcompact. Differs: no text of a host drives the terminal, a last line without its
//! newline counts.

use super::filter;
use crate::fleet::filter::Compact;
use crate::options::Spec;
use crate::sys::error::{Error, Exit};
use std::ffi::OsString;

/// What `--help` prints.
pub const USAGE: &[&str] = &["\
Usage: dtcompact [-S] [-N]

Reads dt's lines and prints a mark for each (. okay, ! fail, ? other), then how
many there were, and those that failed.

  -S, --no-stats  only the marks
  -N, --no-color  accepted and ignored: there are no colours

Exit codes: 0 end of input, 1 not read or not written, 2 usage.
"];

const SPEC: Spec = Spec {
    flags: "NS",
    alias: &[("--help", b'?'), ("--version", b'V'), ("--no-color", b'N'), ("--no-stats", b'S')],
    ..Spec::NONE
};

/// Does the work.
pub fn main(args: &[OsString]) -> Result<Exit, Error> {
    filter::run(&SPEC, args, &|options| Box::new(Compact::new(!options.flag(b'S'))))
}
