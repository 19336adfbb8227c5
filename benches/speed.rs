//! Speed and memory, each held against a reference that is measured in the same run.
//!
//! `cargo bench [-- [--strict] [ROW…]]`. A ROW is a part of a row's name; with none, all rows run.
//! Everything runs on one CPU: children inherit the affinity of this process. The exit code is 1
//! when an answer was wrong or a row could not be measured, and with `--strict` also when a row is
//! over its limit. Without `--bench`, which `cargo bench` passes and `cargo test --benches` does
//! not, each row runs once and briefly, and only its answers are judged.
//!
//! `speed --serve pingpong` and `speed --serve accept SOCKET` are this executable as the other
//! process of a reference.

#[path = "speed/daemon.rs"]
mod daemon;
#[path = "speed/driver.rs"]
mod driver;
#[path = "speed/files.rs"]
mod files;
#[path = "speed/measure.rs"]
mod measure;
#[path = "speed/peers.rs"]
mod peers;
#[path = "speed/reference.rs"]
mod reference;
#[path = "speed/rows.rs"]
mod rows;
#[path = "speed/subjects.rs"]
mod subjects;

fn main() -> std::process::ExitCode {
    driver::main(rows::ROWS)
}
