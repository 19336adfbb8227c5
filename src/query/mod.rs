//! What getent, id, groups and whoami share: whom to ask, and how answers are printed.

pub mod ask;
#[cfg(feature = "getent")]
pub mod etcdb;
#[cfg(feature = "getent")]
pub mod explain;
pub mod identity;
pub mod names;
