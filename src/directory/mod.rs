//! Writes the local files that libnss-cache and nsssd-cache read, and their indexes: what nsscache
//! does with what it fetched, and with what others have put there.
//!
//! A new set is written beside the old one and flushed; then the old indexes are removed, the data is
//! renamed into its place, and the indexes after it ([`set`]). So whoever reads meanwhile, and whatever
//! ends this process, finds the old data or the new, whole, at worst without indexes. What is sorted
//! goes through temporary files beside the target, so that memory does not grow with the map.

pub mod folder;
pub mod index;
pub mod look;
pub mod maps;
pub mod members;
pub mod model;
pub mod progress;
pub mod rebuild;
pub mod report;
pub mod set;
pub mod sort;
pub mod table;
pub mod temporary;
pub mod text;

// What fills them. `config` is nsscache.conf, `source` where maps come from; `intake` judges the entries
// of a source and makes them lines. `update` is one run; `status` and `verify` only look.
pub mod attempts;
pub mod config;
pub mod diff;
pub mod failure;
pub mod fields;
pub mod hook;
pub mod ini;
pub mod intake;
pub mod job;
pub mod judge;
pub mod keys;
pub mod lines;
pub mod lock;
pub mod log;
pub mod secret;
pub mod signed;
pub mod snapshot;
pub mod source;
pub mod stamp;
pub mod state;
pub mod status;
pub mod targets;
pub mod turns;
pub mod update;
pub mod verify;
pub mod watch;
pub mod write;
