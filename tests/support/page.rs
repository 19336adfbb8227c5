//! What the tests of documentation pages share: the worked examples of a page, and a machine of
//! its own for each section: private /etc, /home, /run and /var/lib.

use crate::support::{TempDir, link, nssbox, run_to_end, tool};
use std::fs;
use std::path::Path;

/// A command of the page, and what it prints there.
#[derive(Default)]
struct Step {
    command: String,
    output: String,
}

/// The steps of each `###` section of the worked examples.
fn examples(page: &str) -> Vec<(String, Vec<Step>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let page = fs::read_to_string(page).unwrap();
    let (_, page) = page.split_once("## Worked examples\n").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let mut sections: Vec<(String, Vec<Step>)> = Vec::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            sections.push((title.to_owned(), Vec::new()));
            continue;
        }
        let Some(text) = line.strip_prefix("    ") else { continue };
        let steps = &mut sections.last_mut().unwrap().1;
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), output: String::new() });
        } else if let Some(more) = text.strip_prefix("> ").or((text == ">").then_some("")) {
            let step = steps.last_mut().unwrap();
            step.command = format!("{}\n{more}", step.command);
        } else {
            let step = steps.last_mut().unwrap();
            step.output += &format!("{text}\n");
        }
    }
    sections
}

/// Runs the worked examples of `page`, of which there are `count`, as root, with the executable
/// under these names and `nssbox`. What each command prints must be what the page says.
#[track_caller]
pub fn run_examples(page: &str, count: usize, names: &[&str]) {
    run_examples_after(page, count, names, "");
}

/// The same after a script that readies the machine.
#[track_caller]
pub fn run_examples_after(page: &str, count: usize, names: &[&str], before: &str) {
    let examples = examples(page);
    assert_eq!(examples.len(), count);
    for (title, steps) in examples {
        assert!(steps.len() > 3, "{title}");
        let dir = TempDir::new();
        // A copy, which other users can reach.
        let bin = dir.subdirectory("bin");
        fs::copy(nssbox(), bin.join("nssbox")).unwrap();
        for name in names {
            link(Path::new("nssbox"), &bin, name);
        }
        dir.subdirectory("etc");
        dir.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        dir.write("etc/group", "root:x:0:\n");
        let mut script = format!("mount --bind {}/etc /etc\n", dir.as_str());
        for place in ["/home", "/run", "/var/lib"] {
            script += &format!("mount -t tmpfs -o mode=755 private {place}\n");
        }
        script += before;
        let mark = "=== ";
        script += "exec 2>&1\n";
        for (number, step) in steps.iter().enumerate() {
            script += &format!("echo '{mark}{number}'\n{}\n", step.command);
        }
        let script = dir.write("script", script);
        let mut command = tool(&bin, "unshare");
        // What a failed example has left running ends with its machine.
        command.args(["-mpf", "--mount-proc", "sh"]).arg(script);
        let run = run_to_end(command);
        let printed = String::from_utf8(run.stdout).unwrap();
        let mut pieces = printed.split(mark).skip(1);
        for (number, step) in steps.iter().enumerate() {
            let piece = pieces.next().unwrap_or_default();
            let output = piece.strip_prefix(&format!("{number}\n")).unwrap_or("(nothing ran)");
            assert_eq!(output, step.output, "{title}: {}", step.command);
        }
    }
}
