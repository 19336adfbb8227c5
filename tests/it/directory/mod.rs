//! `nsscache`: maps of a directory as local files.

mod cli;
mod vectors;
