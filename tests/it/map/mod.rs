//! `nsssd-map`.

mod bad;
mod flaws;
mod mounts;
mod numbers;
mod uids;
