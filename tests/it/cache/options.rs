//! The command line.

use super::bench::{Told, told};
use crate::support::stage::Stage;
use crate::support::{Daemon, by_name, op, run_to_end};

fn cache(stage: &Stage, args: &[&str]) -> Daemon {
    let mut command = stage.applet("nsssd-cache");
    command.args(args);
    Daemon::start(command)
}

#[test]
fn the_suffix_is_that_of_the_option_and_may_be_empty() {
    let stage = Stage::new();
    stage.dir.write("passwd", "plain:x:1:1:::\n");
    stage.dir.write("passwd.cache", "usual:x:1:1:::\n");
    stage.dir.write("passwd.x.y", "other:x:1:1:::\n");
    let dir = stage.dir.as_str();
    for (args, name) in [
        (&["-d", dir][..], "usual"),
        (&["-d", dir, "-s", "cache"], "usual"),
        (&["-d", dir, "-s", ""], "plain"),
        (&["-s", "x.y", "-d", dir], "other"),
    ] {
        let daemon = cache(&stage, args);
        let got = told(&daemon, &by_name(op::PWD_GETBYNAME, name));
        assert_eq!(got, Told::Line(format!("{name}:x:1:1:::")), "{args:?}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    let stage = Stage::new();
    for args in [&["-x"][..], &["-d"], &["-s"], &["-s", "a/../b"], &["-s", "/etc/passwd"]] {
        let mut command = stage.applet("nsssd-cache");
        command.args(args);
        let done = run_to_end(command);
        assert_eq!(done.code, Some(100), "{args:?}: {}", done.stderr);
    }
}

#[test]
fn a_directory_that_is_missing_fails_each_lookup() {
    let stage = Stage::new();
    let daemon = cache(&stage, &["-d", "/nonexistent"]);
    assert_eq!(told(&daemon, &by_name(op::PWD_GETBYNAME, "a")), Told::Failed(2));
    // A link to one is one.
    stage.dir.subdirectory("real");
    stage.dir.write("real/passwd.cache", "a:x:1:1:::\n");
    std::os::unix::fs::symlink("real", stage.dir.join("link")).unwrap();
    let daemon = cache(&stage, &["-d", stage.dir.join("link").to_str().unwrap()]);
    assert_eq!(told(&daemon, &by_name(op::PWD_GETBYNAME, "a")), Told::Line("a:x:1:1:::".into()));
}
