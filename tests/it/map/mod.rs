//! `nsssd-map`.

mod bad;
mod doc;
mod flaws;
mod mounts;
mod numbers;
mod uids;
