//! `ipcserver`.

mod access;
mod namespaces;
mod options;
mod serve;
mod service;
mod spawned;
