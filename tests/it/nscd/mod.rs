//! `nscd` and `with-nscd`.

mod burst;
mod check;
mod clients;
mod container;
mod control;
mod machine;
mod map;
mod nsss;
mod password;
mod service;
mod share;
mod slow;
mod wire;
