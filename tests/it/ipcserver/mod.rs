//! `ipcserver`.

mod access;
mod options;
mod serve;
mod service;
mod spawned;
