//! The codecs against recorded exchanges.

mod map;
mod nscd;
mod nsss;
mod supervise;
mod userdb;
