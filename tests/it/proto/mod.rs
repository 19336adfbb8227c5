//! The codecs against recorded exchanges.

mod nscd;
mod nsss;
mod supervise;
mod userdb;
