//! sv, svstat and vsv.

mod extras;
pub mod folder;
mod hostile;
mod live;
mod random;
mod real;
mod recorded;
mod sent;
mod serve;
mod vsv;
