//! Services of supervisors, for people and programs: what `sv`, `svstat` and `vsv` share.
//!
//! A service is a directory that a supervisor of runit, daemontools, daemontools-encore or s6 runs a
//! program from. Its state is in `supervise/status` (nssproto::supervise), commands are bytes written
//! to the FIFO `supervise/control`. All of it may allocate, and none of it belongs to what serves
//! lookups.

pub mod age;
pub mod command;
pub mod control;
pub mod down;
pub mod find;
pub mod json;
pub mod lines;
pub mod log;
pub mod look;
pub mod process;
pub mod report;
pub mod run;
pub mod serve;
pub mod state;
pub mod svstat;
pub mod text;
pub mod vsv;
