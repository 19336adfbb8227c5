//! The command line: exit codes as the original's.

use crate::support::{nssbox, run_to_end};
use std::process::Command;

#[test]
fn a_wrong_command_line_exits_as_the_original() {
    for (words, code) in [
        (&[][..], 64),
        (&["list-maps"], 70),
        (&["index", "-x"], 2),
        (&["index", "-d"], 2),
        (&["index", "-s", "../x"], 2),
        (&["sshkey"], 2),
        (&["sshkey", "a", "b"], 2),
        (&["automount", "a"], 2),
        (&["automount", "../../etc", "b"], 2),
        (&["automount", ".hidden", "b"], 2),
        (&["automount", "", "b"], 2),
        (&["index", "-d", "/nonexistent"], 1),
        (&["sshkey", "-d", "/nonexistent", "a"], 1),
        (&["--help"], 0),
        (&["index", "--help"], 0),
        (&["--version"], 0),
    ] {
        let mut command = Command::new(nssbox());
        command.arg("nsscache").args(words);
        let done = run_to_end(command);
        assert_eq!(done.code, Some(code), "{words:?}: {}", done.stderr);
        // Without a command, and for an unknown one, the original prints its help.
        let prints = matches!(code, 0 | 64 | 70);
        assert_eq!(done.stdout.is_empty(), !prints, "{words:?}");
    }
}
