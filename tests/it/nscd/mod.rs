//! `nscd` and `with-nscd`.

mod clients;
mod doc;
mod machine;
mod map;
mod service;
mod slow;
mod wire;
