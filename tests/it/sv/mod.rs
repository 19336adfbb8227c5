//! sv, svstat and vsv.

mod folder;
mod hostile;
mod real;
mod recorded;
mod sent;
