//! A build with the feature `sandbox`: it answers as the others do, and opens nothing else.

mod answers;
mod limits;
