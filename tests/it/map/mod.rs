//! `nsssd-map`.

mod bad;
mod doc;
mod flaws;
mod numbers;
mod uids;
