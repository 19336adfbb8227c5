//! `nsssd-switch`.

mod belief;
mod children;
mod hostile;
mod merge;
mod options;
mod own;
