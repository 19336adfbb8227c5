//! Columns as vsv 2.0.0 prints them.

use super::age::{Colour, in_words};
use super::find::{Directory, Service};
use super::look::{Look, is_normally_up, look};
use super::process::{Node, Processes, words};
use super::state::{Phase, State};
use super::text::push_shown;
use crate::sys::error::Error;
use crate::sys::message::errno_text;
use nssproto::supervise::Stamp;
use rustix::io::Errno;

/// What is shown.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Log services, too.
    pub log: bool,
    /// What they run.
    pub tree: bool,
    /// Only services with this in their names.
    pub filter: &'a [u8],
    /// With colours.
    pub colours: bool,
    /// The time that ages are counted to.
    pub now: Stamp,
}

/// The widths of the columns; the last one is as wide as it is.
const WIDTHS: [usize; 7] = [1, 20, 7, 9, 8, 17, 0];

const HEADING: [&str; 7] = ["", "SERVICE", "STATE", "ENABLED", "PID", "COMMAND", "TIME"];

/// A column, and its colour.
type Cell<'a> = (&'a [u8], Colour);

/// The table of a directory's services. Errors exit 1.
pub fn table(directory: &Directory, view: &View<'_>) -> Result<Vec<u8>, Error> {
    let names = directory.names().map_err(|e| e.with_exit(crate::sys::error::Exit::FAILURE))?;
    let processes = view.tree.then(Processes::now);
    let mut out = b"\n".to_vec();
    row(&mut out, HEADING.map(|title| (title.as_bytes(), Colour::BOLD)), view.colours);
    for name in names {
        let service = Service::within(&name, directory);
        if !contains(&name, view.filter) || service.unreachable().is_some() {
            continue;
        }
        line(&mut out, &name, &service, processes.as_ref(), view);
        if view.log {
            line(&mut out, b"- log", &service.log(), processes.as_ref(), view);
        }
    }
    if !view.tree {
        out.push(b'\n');
    }
    Ok(out)
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    part.is_empty() || name.windows(part.len()).any(|window| window == part)
}

/// What is known of a service; nothing where it is not supervised.
fn seen(service: &Service) -> Option<State> {
    match look(service) {
        Look::Seen(state, _) => Some(state),
        _ => None,
    }
}

fn line(
    out: &mut Vec<u8>,
    name: &[u8],
    service: &Service,
    processes: Option<&Processes>,
    view: &View<'_>,
) {
    let state = seen(service);
    let (sign, word, colour) = match state.map(|state| state.phase) {
        Some(Phase::Run) => ("✔", "run", Colour::GREEN),
        Some(Phase::Down) => ("X", "down", Colour::RED),
        Some(Phase::Finish) => ("X", "finish", Colour::YELLOW),
        Some(Phase::Unknown) | None => ("?", "n/a", Colour::YELLOW),
    };
    let enabled = is_normally_up(service).unwrap_or(false);
    let (enabled, enabled_colour) =
        if enabled { ("true", Colour::GREEN) } else { ("false", Colour::RED) };
    let process = state.map(|state| state.pid).filter(|pid| *pid != 0);
    let pid = process.map_or("---".to_owned(), |pid| pid.to_string());
    let command = process.and_then(words).and_then(|words| words.into_iter().next());
    let command = command.unwrap_or_else(|| b"---".to_vec());
    let (time, time_colour) = match state {
        Some(state) => {
            let age = state.age(view.now);
            (in_words(age).into_bytes(), Colour::of_age(age, Colour::DIM))
        }
        None => (unknown(service), Colour::RED),
    };
    let cells: [Cell<'_>; 7] = [
        (sign.as_bytes(), colour),
        (name, Colour::NONE),
        (word.as_bytes(), colour),
        (enabled.as_bytes(), enabled_colour),
        (pid.as_bytes(), Colour::MAGENTA),
        (&command, Colour::GREEN),
        (&time, time_colour),
    ];
    row(out, cells, view.colours);
    if let Some(processes) = processes {
        out.push(b'\n');
        let nodes = process.map(|pid| processes.tree(pid)).unwrap_or_default();
        tree(out, &nodes, view.colours);
        out.push(b'\n');
    }
}

/// Why the time is not known, as Rust's library says it.
fn unknown(service: &Service) -> Vec<u8> {
    let errno = service.kind("supervise/stat").err().unwrap_or(Errno::NOENT);
    let mut text = errno_text(errno);
    text.extend_from_slice(format!(" (os error {})", errno.raw_os_error()).as_bytes());
    text
}

/// Each column behind a blank, cut and filled up to its width.
fn row(out: &mut Vec<u8>, cells: [Cell<'_>; 7], colours: bool) {
    for ((text, colour), width) in cells.into_iter().zip(WIDTHS) {
        let mut shown = Vec::new();
        push_shown(&mut shown, text);
        let shown = String::from_utf8_lossy(&shown);
        // vsv compares bytes with the width, and cuts what is just as long; one wide is not cut.
        let is_long = width > 1 && shown.len() >= width;
        let cut: String = match is_long {
            true => shown.chars().take(width - 3).chain("...".chars()).collect(),
            false => shown.into_owned(),
        };
        out.push(b' ');
        colour.paint(out, colours, cut.as_bytes());
        let len = cut.chars().count();
        out.resize(out.len() + width.saturating_sub(len), b' ');
    }
    out.push(b'\n');
}

/// A tree in the manner of pstree -a: words behind the branches.
fn tree(out: &mut Vec<u8>, nodes: &[Node], colours: bool) {
    for node in nodes {
        let mut text = Vec::new();
        if node.depth > 0 {
            text.resize(2 * (node.depth - 1) + 2, b' ');
            text.extend_from_slice(b"`-");
        }
        text.extend_from_slice(&node.command);
        Colour::DIM.paint(out, colours, &text);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_cut_as_vsv_cuts_them() {
        let mut out = Vec::new();
        let cells: [&[u8]; 7] = [b"", b"a-name-of-twenty-byt", b"run", b"true", b"1", b"x", b"0"];
        row(&mut out, cells.map(|text| (text, Colour::NONE)), false);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "   a-name-of-twenty-... run     true      1        x                 0\n"
        );
    }
}
