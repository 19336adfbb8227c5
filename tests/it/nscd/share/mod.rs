//! `nscd` and the shared map: what glibc's programs are told without asking, and until when.

mod answers;
mod attack;
mod changes;
mod faults;
mod house;
