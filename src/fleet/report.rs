//! What is told of each host: lines, through a filter or not, lines as they come, JSON, a table.

mod json;
mod live;
mod table;

use super::database::Entry;
use super::escape::Escaper;
use super::filter::{self, Filter};
use super::host::field;
use super::line::{Head, Message, Sink};
use super::reason::Reason;
use super::screen::Screen;
use super::spool::Output;
use crate::sys::message::errno_text;

/// A host that is done.
pub struct Done<'a> {
    /// Which.
    pub entry: &'a Entry,
    /// Why.
    pub reason: Reason,
    /// How long it took.
    pub millis: u64,
    /// What it printed: all in the first, or standard output and standard error apart.
    pub outputs: &'a [Output],
}

/// Tells of hosts.
pub trait Report {
    /// What a host prints, as it comes; stream 1 is standard error.
    fn live(&mut self, entry: &Entry, stream: usize, bytes: &[u8], screen: &mut Screen) {
        let _ = (entry, stream, bytes, screen);
    }

    /// A host is done.
    fn done(&mut self, done: &Done<'_>, screen: &mut Screen);

    /// All are.
    fn end(&mut self, screen: &mut Screen) {
        let _ = screen;
    }
}

/// How lines look.
#[derive(Clone, Copy)]
pub struct Style {
    /// What was run.
    pub command: &'static str,
    /// Messages can be undone.
    pub coded: bool,
    /// The exit status stands in the line.
    pub status: bool,
    /// With colours.
    pub colours: bool,
}

/// The forms of `-f`, `--live` and `--json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// OMNI lines.
    Lines,
    /// Through a filter.
    Filter(Vec<u8>),
    /// `HOST: line`.
    Live,
    /// An object a host.
    Json,
    /// A row a host.
    Table,
}

impl Form {
    /// What `-f` names; `None`: nothing that there is.
    pub fn by_name(name: &[u8]) -> Option<Form> {
        match name {
            b"table" => Some(Form::Table),
            _ => filter::by_name(name).map(|_| Form::Filter(name.to_vec())),
        }
    }

    /// Whether standard error is told apart.
    pub fn is_apart(&self) -> bool {
        matches!(self, Form::Live | Form::Json | Form::Table)
    }

    /// What tells so.
    pub fn report(&self, style: Style) -> Box<dyn Report> {
        match self {
            Form::Lines => Box::new(Lines { style, filter: None }),
            Form::Filter(name) => Box::new(Lines { style, filter: filter::by_name(name) }),
            Form::Live => Box::new(live::Live::default()),
            Form::Json => Box::new(json::Json),
            Form::Table => Box::new(table::Table::default()),
        }
    }
}

impl Done<'_> {
    /// The status field of its line.
    pub fn status(&self) -> &'static str {
        match self.reason {
            Reason::Exit(0) => "okay",
            Reason::NotStarted => "info",
            _ => "fail",
        }
    }

    /// Why, in words.
    pub fn words(&self) -> String {
        match &self.reason {
            Reason::Exit(code) => format!("exit {code}"),
            Reason::Signal(signal) => format!("signal {signal}"),
            Reason::Timeout(seconds) => format!("timeout after {seconds} s"),
            Reason::Unreachable => "unreachable".to_owned(),
            Reason::Interrupted => "interrupted".to_owned(),
            Reason::NotStarted => "not started".to_owned(),
            Reason::Module(text) => format!("fail::dt:{text}"),
        }
    }

    /// Why, in a field: `x3`, `s9`, `t`, `u`, `i`, `n`, `m`.
    fn code(&self) -> String {
        match &self.reason {
            Reason::Exit(code) => format!("x{code}"),
            Reason::Signal(signal) => format!("s{signal}"),
            Reason::Timeout(_) => "t".to_owned(),
            Reason::Unreachable => "u".to_owned(),
            Reason::Interrupted => "i".to_owned(),
            Reason::NotStarted => "n".to_owned(),
            Reason::Module(_) => "m".to_owned(),
        }
    }

    /// What the exit code says of it, for `-S`.
    pub fn exit(&self) -> u8 {
        match &self.reason {
            Reason::Exit(code) => *code,
            Reason::Signal(signal) => signal.saturating_add(128),
            Reason::Timeout(_) => 124,
            Reason::Unreachable => 255,
            Reason::Interrupted => 130,
            Reason::NotStarted => 1,
            Reason::Module(_) => 3,
        }
    }
}

/// Its message: what it printed, and why it failed where that does not tell.
pub struct Told<'a> {
    done: &'a Done<'a>,
    coded: bool,
}

impl<'a> Told<'a> {
    /// The message of a host.
    pub fn new(done: &'a Done<'a>, coded: bool) -> Self {
        Told { done, coded }
    }
}

impl Message for Told<'_> {
    fn each(&self, to: &mut dyn FnMut(&[u8])) {
        let (mut piece, mut any) = (Vec::new(), false);
        for output in self.done.outputs {
            if any && output.total() > 0 {
                to(b"\\n");
            }
            let mut escaper = Escaper::new(self.coded);
            output.spool.each(&mut |bytes| {
                // In pieces, so that a large one needs no room.
                for bytes in bytes.chunks(8 * 1024) {
                    escaper.feed(bytes, &mut piece);
                    any |= !piece.is_empty();
                    to(&piece);
                    piece.clear();
                }
            });
            escaper.finish(output.is_cut(), &mut piece);
            if let Some(note) = cut_note(output) {
                piece.extend_from_slice(note.as_bytes());
            }
            any |= !piece.is_empty();
            to(&piece);
            piece.clear();
        }
        let words = match self.done.reason {
            Reason::Exit(0) => return,
            // The output of what ended by itself tells.
            Reason::Exit(_) | Reason::Unreachable if any => return,
            _ => self.done.words(),
        };
        if any {
            to(b"\\n");
        }
        to(words.as_bytes());
    }
}

/// What stands behind output that was cut.
pub fn cut_note(output: &Output) -> Option<String> {
    if !output.is_cut() {
        return None;
    }
    let total = output.total();
    Some(match output.spool.failure() {
        None => format!("… ({total} bytes, cut at {})", output.spool.len()),
        Some(errno) => {
            let why = String::from_utf8_lossy(&errno_text(errno)).into_owned();
            format!("… ({total} bytes, the rest lost: {why})")
        }
    })
}

/// OMNI lines, printed or filtered.
struct Lines {
    style: Style,
    filter: Option<Box<dyn Filter>>,
}

impl Report for Lines {
    fn done(&mut self, done: &Done<'_>, screen: &mut Screen) {
        let style = self.style;
        let mut encoding = String::from(if style.coded { "c" } else { "" });
        if style.status {
            encoding.push_str(&done.code());
        }
        let host = field(&done.entry.word);
        let head = Head {
            status: done.status().as_bytes(),
            encoding: encoding.as_bytes(),
            program: b"dt",
            command: style.command.as_bytes(),
            host: host.as_bytes(),
        };
        let told = Told::new(done, style.coded);
        match &mut self.filter {
            Some(filter) => filter.line(&head, &told, screen),
            None => {
                head.write(style.colours, screen);
                told.each(&mut |bytes| screen.put(bytes));
                screen.put(b"\n");
            }
        }
    }

    fn end(&mut self, screen: &mut Screen) {
        if let Some(filter) = &mut self.filter {
            filter.end(screen);
        }
    }
}
