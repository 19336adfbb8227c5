//! dt: which hosts are meant, what is run for each, how it is run, and what is printed of it.
//!
//! One of the tools: it allocates as it likes. Nothing of it is evaluated by a shell here.

pub mod client;
pub mod complaint;
pub mod database;
pub mod escape;
pub mod expression;
pub mod filter;
pub mod host;
pub mod input;
pub mod line;
pub mod names;
pub mod pattern;
pub mod progress;
pub mod reason;
pub mod report;
pub mod rewrite;
pub mod runner;
pub mod screen;
pub mod spool;
pub mod stdio;
pub mod task;
