//! `getent`.

mod asking;
mod databases;
mod etc;
mod glibc;
mod hostile;
mod lines;
mod sources;
