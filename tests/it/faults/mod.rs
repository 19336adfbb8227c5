//! Faults of files, clients, backends, system calls and resources, each in the fault table of
//! doc/reliability.md.

mod backends;
mod calls;
mod clients;
mod files;
mod inherited;
mod map;
mod renewal;
mod resources;
mod restart;
mod table;
