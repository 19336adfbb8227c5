//! Programs that let people in, on machines where `nscd` is the only new thing: whoever came in
//! without it comes in with it, and nobody else does; an account that only our sources have passes
//! su, cron, sudo and ssh keys, and a password where its hash can be reached.
//!
//! Programs are the real ones: su, login, sshd, cron, sudo, passwd. `machine.py` makes the
//! machine, in namespaces of its own, and says what came of each. The tables say what is to come
//! of it: `+` in, `-` not, `.` is not tried; then the state that `passwd -S` tells, and the password
//! field as root and as nobody sees it.
#![cfg(all(feature = "nsssd-map", feature = "nsssd-nslcd"))]

mod fields;
mod ldap;
mod machine;
mod map;
mod own;
mod second;
#[cfg(feature = "userdb")]
mod userdb;
