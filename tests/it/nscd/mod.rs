//! `nscd` and `with-nscd`.

mod clients;
mod container;
mod control;
mod doc;
mod machine;
mod map;
mod nsss;
mod service;
mod slow;
mod wire;
