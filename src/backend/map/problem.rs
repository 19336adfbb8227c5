//! What is wrong in a file, and how that is told.

use crate::sys::message::Message;

/// Something that is wrong in a file.
#[derive(Debug)]
pub struct Problem<'a> {
    /// Its line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: &'static str,
    /// With which word; may be empty.
    pub word: &'a [u8],
    /// It is only worth telling.
    pub warning: bool,
}

impl<'a> Problem<'a> {
    /// Adds an error.
    pub fn add(list: &mut Vec<Self>, line: u32, what: &'static str, word: &'a [u8]) {
        list.push(Problem { line: line.into(), what, word, warning: false });
    }

    /// Adds something that is only worth telling.
    pub fn warn(list: &mut Vec<Self>, line: u32, what: &'static str) {
        list.push(Problem { line: line.into(), what, word: b"", warning: true });
    }
}

/// How bad something in a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It is only worth telling.
    Warning,
    /// What cannot be used for it.
    Fatal,
}

/// `nsssd-map: fatal: FILE:LINE: WHAT WORD` on standard error. Does not allocate.
pub fn tell_line(file: &[u8], line: u32, level: Level, what: &str, word: &[u8]) {
    let kind = if level == Level::Fatal { "fatal" } else { "warning" };
    let mut message = Message::new("nsssd-map", kind);
    message.path(file).text(":").number(line.into()).text(": ");
    message.text(what);
    if !word.is_empty() {
        message.text(" ").quoted(word);
    }
    message.send();
}
