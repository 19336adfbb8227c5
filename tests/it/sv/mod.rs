//! sv, svstat and vsv.

mod extras;
mod folder;
mod hostile;
mod random;
mod real;
mod recorded;
mod sent;
mod serve;
mod vsv;
