//! What getent, id, groups and whoami share: whom to ask, and how answers are printed.

pub mod ask;
pub mod etcdb;
pub mod explain;
pub mod identity;
mod line;
mod list;
mod nscd;
pub mod print;
