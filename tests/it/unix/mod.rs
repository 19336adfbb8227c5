//! `nsssd-unix`.

mod changes;
mod fresh;
mod large;
mod many;
mod odd;
mod random;
mod stdio;
mod streamed;
mod verbose;
