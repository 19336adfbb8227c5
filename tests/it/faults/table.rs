//! The fault table of doc/reliability.md: each test that it names is there, and each test of
//! tests/it/faults is in it. What it says of clocks is read from the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The section of the page.
fn section() -> String {
    let page = fs::read_to_string(root().join("doc/reliability.md")).expect("the page");
    let (_, behind) = page.split_once("\n## Faults\n").expect("a section of faults");
    behind.split("\n## ").next().unwrap().to_owned()
}

/// What stands between backticks and looks like `module::test`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.contains("::") && !word.contains(char::is_whitespace))
}

/// The tests of a module of this program, such as `faults::files`, as `faults::files::test`.
fn tests_of(module: &str) -> BTreeSet<String> {
    let path = root().join("tests/it").join(format!("{}.rs", module.replace("::", "/")));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let behind = text.split("#[test]\n").skip(1);
    let tests = behind.map(|text| {
        // Other attributes may follow.
        let (_, text) = text.split_once("fn ").expect("a function");
        format!("{module}::{}", text.split('(').next().unwrap())
    });
    tests.collect()
}

#[test]
fn each_test_of_the_fault_table_is_there() {
    let text = section();
    let mut count = 0;
    for word in named(&text) {
        let (module, _) = word.rsplit_once("::").unwrap();
        assert!(tests_of(module).contains(word), "there is no test {word}");
        count += 1;
    }
    assert!(count > 100, "only {count} names: the page is read wrongly");
}

#[test]
fn each_row_of_the_fault_table_names_a_test() {
    let text = section();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| fault |"));
    let headings = ["| what was wrong |", "| test |"];
    let rows = rows.filter(|row| headings.iter().all(|heading| !row.starts_with(heading)));
    for row in rows {
        assert!(named(row).next().is_some(), "no test: {row}");
    }
}

#[test]
fn each_test_of_faults_is_in_the_table() {
    let text = section();
    let (table, broken) = text.split_once("### How each test").expect("the second list");
    for entry in fs::read_dir(root().join("tests/it/faults")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap();
        if file == "mod" {
            continue;
        }
        for test in tests_of(&format!("faults::{file}")) {
            // These here are about the table.
            if test.starts_with("faults::table::each_") {
                continue;
            }
            assert!(named(table).any(|word| word == test), "{test} is in no row");
            assert!(named(broken).any(|word| word == test), "how was {test} seen to fail?");
        }
    }
}

/// The files below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let each = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    each.collect()
}

#[test]
fn no_deadline_depends_on_the_time_of_day() {
    // Who asks for the time of files: nobody who waits. The tools compare it with stamps of others.
    let of_maps = ["groups", "registry", "scan"].map(|module| format!("backend/map/{module}.rs"));
    let is_tool = |own: &str| {
        ["directory/", "fleet/", "supervise/"].iter().any(|folder| own.starts_with(folder))
    };
    let may = |own: &str| {
        ["backend/stamp.rs", "backend/unix/file.rs", "backend/password/mod.rs"].contains(&own)
            // By which glibc tells whether the server of a map is alive.
            || own == "server/share/file.rs"
            || of_maps.iter().any(|m| m == own)
            || is_tool(own)
    };
    let src = root().join("src");
    let clocks = src.join("sys/clock.rs");
    let text = fs::read_to_string(&clocks).unwrap();
    // Its function `now` is there for two kinds of machines; who calls it says which clock.
    assert_eq!(text.matches("now(").count() - 2, text.matches("now(ClockId::").count());
    // That of files, and that of `sv`'s stamps.
    assert_eq!(text.matches("ClockId::Realtime").count(), 2, "functions of the time of day");
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap();
        let own = path.strip_prefix(&src).unwrap().to_str().unwrap();
        for clock in ["ClockId", "clock_gettime", "SystemTime", "Instant::", "gettimeofday"] {
            // A timer that never goes by the time of day.
            let text = text.replace("TimerfdClockId", "");
            let is_stds = ["SystemTime", "Instant::"].contains(&clock);
            let is_known = path == clocks || is_stds && is_tool(own);
            assert!(is_known || !text.contains(clock), "{clock} in {}", path.display());
        }
        let asks = ["file_time()", "file_seconds()", "real_time()"];
        let asks = path != clocks && asks.iter().any(|ask| text.contains(ask));
        assert!(!asks || may(own), "{own} asks for the time of day");
    }
}
