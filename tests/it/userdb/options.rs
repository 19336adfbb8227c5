//! The command line of userdb.

use super::bench::Bench;
use crate::support::run_to_end;

#[test]
fn a_script_with_something_to_tell_is_needed() {
    for (script, why) in [
        (&[][..], "a script is missing"),
        (&["0", "nsssd-unix", ""], "nothing but local files"),
        (&["0", "nosuch"], "unterminated block"),
    ] {
        let bench = Bench::new("", "", "");
        let done = run_to_end(bench.command(&[], script));
        assert_eq!(done.code, Some(100), "{script:?}: {}", done.stderr);
        assert!(
            done.stderr.starts_with("userdb: fatal: ") && done.stderr.contains(why),
            "{}",
            done.stderr
        );
        assert!(!bench.socket().exists(), "{script:?}");
    }
}

#[test]
fn the_sockets_name_is_that_of_the_service() {
    for name in ["", "/", "x/", ".hidden"] {
        let bench = Bench::new("", "", "");
        let mut command = bench.command(&["-S", name], &bench.unix());
        command.current_dir(bench.dir.path());
        let done = run_to_end(command);
        assert_eq!(done.code, Some(100), "{name:?}: {}", done.stderr);
        assert!(done.stderr.contains("no name of a service"), "{}", done.stderr);
    }
}

#[test]
fn check_tries_the_sources() {
    let bench = Bench::new("ada:x:72001:72001::/:/bin/sh\n", "", "");
    let done = run_to_end(bench.command(&["--check"], &bench.unix()));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(!bench.socket().exists());
}
