//! `nsssd-switch`.

mod children;
mod hostile;
mod merge;
mod options;
mod own;
