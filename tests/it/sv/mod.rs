//! sv, svstat and vsv.

mod folder;
mod hostile;
mod recorded;
mod sent;
