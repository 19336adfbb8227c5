//! `post_update`: what is run once behind an update that changed a file, to flush nscd for example.

use super::failure::{Done, Failure};
use super::source::run_command;
use crate::limits::COMMAND_SECONDS;
use std::io::Read;

/// Runs a command by the shell; what it prints is not looked at.
pub fn run(command: &str) -> Done {
    let mut output = run_command(command, COMMAND_SECONDS)?;
    let mut room = [0; 4096];
    loop {
        match output.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let failure = Failure::of_reading(error);
                return Err(Failure::refused(format!("post_update: {failure}")));
            }
        }
    }
}
