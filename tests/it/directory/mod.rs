//! `nsscache`: maps of a directory as local files.

mod bad;
mod cli;
mod safety;
mod vectors;
