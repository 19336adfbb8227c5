//! The commands of documentation pages, and a fresh machine to paste them on.
//!
//! In a page, a fenced block ```` ```sh ```` is commands that run as they stand, as root, from the top
//! of the page to its end, and again; a line that begins with `#>` is what the commands above it
//! print. ```` ```sh needs SOMETHING ```` runs only where that is. An indented block is no commands.

use crate::support::stage::copy_executable;
use crate::support::{APPLETS, TempDir, link, nssbox, run_to_end, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// A fenced block of shell commands.
pub struct Block {
    /// The line of its first command.
    pub line: usize,
    /// What stands behind `needs`; empty: nothing.
    pub needs: String,
    /// The commands, with what they print.
    pub text: String,
}

/// Some commands, and what they print.
pub struct Step {
    /// Where they stand.
    pub line: usize,
    /// The commands.
    pub commands: String,
    /// What they print.
    pub output: String,
}

/// The path of a page of this tree.
pub fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(page)
}

/// All pages whose commands are held: those of the folder above and of doc/.
pub fn pages() -> Vec<String> {
    let mut found = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    let mut folders = vec!["doc".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(path(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else if name.ends_with(".md") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// The blocks of a page.
#[track_caller]
pub fn blocks(page: &str) -> Vec<Block> {
    let text = fs::read_to_string(path(page)).unwrap();
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let needs = match info {
            "sh" => "",
            _ => info.strip_prefix("sh needs ").unwrap_or_else(|| panic!("{page}: ```{info}")),
        };
        let text = body.iter().map(|line| format!("{line}\n")).collect();
        found.push(Block { line: at + 2, needs: needs.to_owned(), text });
    }
    found
}

/// The indented blocks that begin with a command, and not with the form of one.
pub fn indented_commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(path(page)).unwrap();
    let mut found = Vec::new();
    let mut before = "";
    for paragraph in text.split("\n\n") {
        let first = paragraph.split_whitespace().next().unwrap_or_default();
        let programs = ["$", "nssbox", "cargo", "printf", "echo", "mkdir", "apt-get", "strace"];
        let is_command = programs.contains(&first)
            || APPLETS.contains(&first)
            || first.starts_with("build/")
            || first.starts_with("tests/");
        let begins = paragraph.starts_with("    ") && !before.starts_with("    ");
        if begins && is_command && !paragraph.contains(['[', '…']) {
            found.push(format!("{page}: {paragraph}"));
        }
        before = paragraph;
    }
    found
}

/// The steps of a block: commands up to what they print.
pub fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in block.text.lines().enumerate() {
        let printed = line.strip_prefix("#> ").or((line == "#>").then_some(""));
        match (printed, steps.last_mut()) {
            (Some(printed), Some(step)) => step.output += &format!("{printed}\n"),
            (Some(printed), None) => panic!("line {}: nothing prints {printed}", block.line),
            (None, Some(step)) if step.output.is_empty() => {
                step.commands += &format!("{line}\n");
            }
            (None, _) => {
                let (commands, output) = (format!("{line}\n"), String::new());
                steps.push(Step { line: block.line + at, commands, output });
            }
        }
    }
    steps
}

/// Pastes those blocks of `page` twice in a row into a shell on a machine of its own, as root,
/// after the script `before` has readied it: private /etc, /home, /run, /tmp and /var, processes of
/// its own, and our links in front of PATH. The working directory has the executable where cargo
/// puts it, and what doc/examples has. What is printed must be what the page says.
///
/// The reason if there can be no such machine.
#[track_caller]
pub fn paste_twice(page: &str, blocks: &[Block], before: &str) -> Result<(), String> {
    const MARK: &str = "=== ";
    let steps: Vec<Step> = blocks.iter().flat_map(steps).collect();
    let dir = machine();
    // What a failed page has left running ends with its machine.
    let mut script = String::from(
        "mount --make-rprivate / && mount -t tmpfs none /mnt && cd /mnt || exit 120\n\
         mkdir machine usr.bin usr.bin.w && mount --bind \"$0\" machine && cd machine || exit 120\n\
         o=upperdir=/mnt/usr.bin,workdir=/mnt/usr.bin.w\n\
         mount -t overlay -o lowerdir=/usr/bin,$o none /usr/bin || exit 120\n\
         mount --bind etc /etc && cd work || exit 120\n\
         for place in /home /run /tmp /var; do\n\
         mount -t tmpfs -o mode=755 none $place || exit 120\n\
         done\n\
         chmod 1777 /tmp && ln -s /run /var/run && mkdir /var/lib /var/log || exit 120\n\
         export PATH=/mnt/machine/bin:$PATH\n\
         exec 2>&1\n",
    );
    script += before;
    for _ in 0..2 {
        for step in &steps {
            script += &format!("echo '{MARK}{}'\n{}", step.line, step.commands);
        }
    }
    dir.write("script", script);
    let mut command = tool(Path::new("/nonexistent"), "unshare");
    // Read as it would be typed, so that one command ends before the next is looked at.
    command.args(["-mpf", "--mount-proc", "sh", "-c", ". \"$0/script\""]).arg(dir.path());
    let run = run_to_end(command);
    if run.code == Some(120) {
        return Err(run.stderr);
    }
    let printed = String::from_utf8(run.stdout).unwrap();
    let mut pieces = printed.split(MARK);
    assert_eq!(pieces.next(), Some(""), "{page}: {}", run.stderr);
    for pass in ["once", "again"] {
        for step in &steps {
            let piece = pieces.next().unwrap_or("(the shell has ended)");
            let output = piece.strip_prefix(&format!("{}\n", step.line)).unwrap_or(piece);
            let (output, expected) = (without_times(output), without_times(&step.output));
            assert_eq!(output, expected, "{page}:{}, {pass}:\n{}", step.line, step.commands);
        }
    }
    Ok(())
}

/// A folder with what a fresh machine has.
fn machine() -> TempDir {
    let dir = TempDir::new();
    // A copy, which other users can reach.
    let bin = dir.subdirectory("bin");
    copy_executable(nssbox(), &bin.join("nssbox"));
    APPLETS.iter().for_each(|name| link(Path::new("nssbox"), &bin, name));
    dir.subdirectory("etc");
    dir.write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n",
    );
    dir.write("etc/group", "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\n");
    dir.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n");
    let mut copy = std::process::Command::new("cp");
    copy.arg("-R").arg(path("doc/examples")).arg(dir.join("work"));
    assert_eq!(run_to_end(copy).code, Some(0));
    fs::create_dir_all(dir.join("work/target/release")).unwrap();
    link(Path::new("../../../bin/nssbox"), &dir.join("work/target/release"), "nssbox");
    link(Path::new("../bin/nssbox"), &dir.join("work"), "nssbox");
    dir
}

/// What `--explain` prints, however long it took.
fn without_times(text: &str) -> String {
    let mut words = text.split('(');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let rest = match word.split_once(" ms)") {
            Some((time, rest)) if time.parse::<f64>().is_ok() => &format!("N ms){rest}"),
            _ => word,
        };
        out += &format!("({rest}");
    }
    out
}
