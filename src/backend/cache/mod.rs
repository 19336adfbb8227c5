//! Local files with indexes beside them, as nsscache keeps them and libnss-cache reads them: the
//! lines are those of [`super::unix`], read by glibc's rules, and what leads to them is here.
//!
//! An index only says where to look; the line decides. Its own files (hash tables, with checksums)
//! are bound to the data file by its size and time, so that what they do not have is not there. An
//! index of libnss-cache is believed as libnss-cache does, if it is not older and is sound as far as
//! it was looked at; without a good one, and where any of them is wrong, the lines are searched.

#[cfg(feature = "nsssd-cache")]
pub mod hash;
pub mod ix;
#[cfg(feature = "nsssd-cache")]
mod places;
#[cfg(feature = "nsssd-cache")]
mod start;

#[cfg(feature = "nsssd-cache")]
pub use start::{SPEC, make};
