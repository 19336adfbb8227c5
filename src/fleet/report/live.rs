//! `--live`: `HOST: line`, as lines come; standard output and standard error apart.

use super::{Done, Report};
use crate::fleet::database::Entry;
use crate::fleet::escape::escaped;
use crate::fleet::host::field;
use crate::fleet::line::Sink;
use crate::fleet::reason::Reason;
use crate::fleet::screen::Screen;
use std::collections::HashMap;

/// A line that is longer is told in pieces.
const LONGEST: usize = 64 * 1024;

/// What is told, and the lines that are not whole yet.
#[derive(Default)]
pub struct Live {
    begun: HashMap<String, [Vec<u8>; 2]>,
}

impl Report for Live {
    fn live(&mut self, entry: &Entry, stream: usize, bytes: &[u8], screen: &mut Screen) {
        if !self.begun.contains_key(&entry.word) {
            self.begun.insert(entry.word.clone(), Default::default());
        }
        let lines = self.begun.get_mut(&entry.word).and_then(|lines| lines.get_mut(stream));
        let Some(begun) = lines else { return };
        let host = field(&entry.word);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(piece);
            if begun.ends_with(b"\n") || begun.len() >= LONGEST {
                put(&host, stream, begun, screen);
                begun.clear();
            }
        }
    }

    fn done(&mut self, done: &Done<'_>, screen: &mut Screen) {
        let host = field(&done.entry.word);
        for (stream, begun) in self.begun.remove(&done.entry.word).into_iter().flatten().enumerate()
        {
            if !begun.is_empty() {
                put(&host, stream, &begun, screen);
            }
        }
        if done.reason != Reason::Exit(0) {
            // A program that could not be started has printed nothing.
            for output in done.outputs {
                output.spool.each(&mut |bytes| put(&host, 1, bytes, screen));
            }
            put(&host, 1, done.words().as_bytes(), screen);
        }
    }
}

fn put(host: &str, stream: usize, line: &[u8], screen: &mut Screen) {
    let line = [host.as_bytes(), b": ", &escaped(line, false), b"\n"].concat();
    match stream {
        0 => screen.put(&line),
        _ => screen.err(&line),
    }
}
