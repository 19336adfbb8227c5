//! What is made of OMNI lines for people: dthost, dtstatus, dtcompact, and `dt -f`.

use super::host::unfield;
use super::line::{Head, Message, Sink};
use super::names::fold;
use super::spool::Spool;
use crate::sys::clock::millis;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Takes lines as they come.
pub trait Filter {
    /// A line.
    fn line(&mut self, head: &Head<'_>, message: &dyn Message, sink: &mut dyn Sink);

    /// No more of them.
    fn end(&mut self, sink: &mut dyn Sink);
}

/// The filter of a name.
pub fn by_name(name: &[u8]) -> Option<Box<dyn Filter>> {
    Some(match name {
        b"host" => Box::new(ByHost),
        b"status" => Box::new(ByStatus::default()),
        b"compact" => Box::new(Compact::new(true)),
        b"group" => Box::new(Group::default()),
        _ => return None,
    })
}

/// Undoes the escapes of line ends, which pieces of a message may have between them.
pub struct Lines<'a> {
    /// What stands in front of each line.
    indent: &'a [u8],
    /// Backslashes are doubled.
    coded: bool,
    /// The piece ended with a carriage return.
    held: bool,
}

impl<'a> Lines<'a> {
    /// With this in front of each line but the first.
    pub fn new(indent: &'a [u8], coded: bool) -> Self {
        Lines { indent, coded, held: false }
    }

    /// Takes a piece of the message.
    pub fn feed(&mut self, mut piece: &[u8], to: &mut dyn FnMut(&[u8])) {
        while let Some(at) = memchr::memchr(b'\\', piece) {
            let (front, rest) = piece.split_at(at);
            if !front.is_empty() {
                self.release(to);
                to(front);
            }
            let (escape, behind) = rest.split_at(rest.len().min(2));
            piece = behind;
            match escape {
                b"\\n" => {
                    self.held = false;
                    to(b"\n");
                    to(self.indent);
                }
                b"\\r" => {
                    self.release(to);
                    self.held = true;
                }
                b"\\\\" if self.coded => {
                    self.release(to);
                    to(b"\\");
                }
                // What follows may begin an escape.
                [_, next] if *next == b'\\' => {
                    self.release(to);
                    to(b"\\");
                    piece = rest.get(1..).unwrap_or_default();
                }
                _ => {
                    self.release(to);
                    to(escape);
                }
            }
        }
        if !piece.is_empty() {
            self.release(to);
            to(piece);
        }
    }

    /// A carriage return that no newline followed was a line end of its own.
    fn release(&mut self, to: &mut dyn FnMut(&[u8])) {
        if std::mem::take(&mut self.held) {
            to(b"\n");
            to(self.indent);
        }
    }
}

fn is_coded(head: &Head<'_>) -> bool {
    head.encoding.starts_with(b"c")
}

/// A heading for each line, its message under it.
pub struct ByHost;

impl Filter for ByHost {
    fn line(&mut self, head: &Head<'_>, message: &dyn Message, sink: &mut dyn Sink) {
        head.write(false, sink);
        sink.put(b"\n\t");
        let mut lines = Lines::new(b"\t", is_coded(head));
        message.each(&mut |piece| lines.feed(piece, &mut |bytes| sink.put(bytes)));
        sink.put(b"\n\n");
    }

    fn end(&mut self, _sink: &mut dyn Sink) {}
}

/// All that went well, then all that did not.
#[derive(Default)]
pub struct ByStatus {
    okay: Spool,
    fail: Spool,
}

impl Filter for ByStatus {
    fn line(&mut self, head: &Head<'_>, message: &dyn Message, _sink: &mut dyn Sink) {
        let list = match head.status {
            b"okay" => &mut self.okay,
            b"fail" => &mut self.fail,
            _ => return,
        };
        list.push(b"\t");
        if head.host.is_empty() {
            // dt's own word has no host.
            list.push(head.command);
        } else {
            list.push(head.host);
            list.push(b":");
        }
        message.each(&mut |piece| list.push(piece));
        list.push(b"\n");
    }

    fn end(&mut self, sink: &mut dyn Sink) {
        for (title, list) in [(&b"okay:\n"[..], &self.okay), (b"fail:\n", &self.fail)] {
            if !list.is_empty() {
                sink.put(title);
                list.each(&mut |bytes| sink.put(bytes));
                sink.put(b"\n");
            }
        }
    }
}

/// A mark for each line, then figures, then the lines that failed.
pub struct Compact {
    statistics: bool,
    began: u64,
    okay: u64,
    fail: u64,
    other: u64,
    failed: Spool,
}

impl Compact {
    /// With or without what follows the marks.
    pub fn new(statistics: bool) -> Self {
        let began = millis();
        Compact { statistics, began, okay: 0, fail: 0, other: 0, failed: Spool::default() }
    }
}

impl Filter for Compact {
    fn line(&mut self, head: &Head<'_>, message: &dyn Message, sink: &mut dyn Sink) {
        let (mark, count): (&[u8], _) = match head.status {
            b"okay" => (b".", &mut self.okay),
            b"fail" => (b"!", &mut self.fail),
            _ => (b"?", &mut self.other),
        };
        *count += 1;
        sink.put(mark);
        if head.status == b"fail" && self.statistics {
            let mut line = Vec::new();
            head.write(false, &mut line);
            // dtools' own word has fewer fields.
            while head.host.is_empty() && line.ends_with(b"::") {
                line.pop();
            }
            self.failed.push(&line);
            message.each(&mut |piece| self.failed.push(piece));
            self.failed.push(b"\n");
        }
    }

    fn end(&mut self, sink: &mut dyn Sink) {
        let total = self.okay + self.fail + self.other;
        if total == 0 {
            let text: &[u8] =
                if self.statistics { b"\nTotal:                  0\n" } else { b"\n" };
            return sink.put(text);
        }
        sink.put(b"\n");
        if !self.statistics {
            return;
        }
        let seconds = millis().saturating_sub(self.began) / 1000;
        let mut text = format!("\nTotal:              {total} in {seconds}s\n");
        for (title, count) in [("Okay:", self.okay), ("Fail:", self.fail), ("Unknown:", self.other)]
        {
            let percent = count * 100 / total;
            let width = 25 - title.len();
            text.push_str(&format!("{title}{count:width$}     [{percent:3}%]\n"));
        }
        sink.put(text.as_bytes());
        sink.put(b"\n");
        if self.fail > 0 {
            sink.put(b"Failed errors:      \n");
            self.failed.each(&mut |bytes| sink.put(bytes));
            sink.put(b"\n");
        }
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Hosts whose status and message are the same.
struct Family {
    status: Vec<u8>,
    hosts: Vec<String>,
    text: Spool,
}

/// Each message once, under the hosts that had it.
#[derive(Default)]
struct Group {
    families: Vec<Family>,
    places: HashMap<u64, Vec<usize>>,
    keys: RandomState,
}

impl Filter for Group {
    fn line(&mut self, head: &Head<'_>, message: &dyn Message, _sink: &mut dyn Sink) {
        let mut lines = Lines::new(b"\t", is_coded(head));
        let (mut hasher, mut text) = (self.keys.build_hasher(), Spool::default());
        hasher.write(head.status);
        message.each(&mut |piece| {
            lines.feed(piece, &mut |bytes| {
                hasher.write(bytes);
                text.push(bytes);
            });
        });
        let host = unfield(&String::from_utf8_lossy(head.host));
        let places = self.places.entry(hasher.finish()).or_default();
        for place in places.iter() {
            let family = self.families.get_mut(*place);
            let alike =
                |family: &&mut Family| family.status == head.status && same(&family.text, &text);
            if let Some(family) = family.filter(alike) {
                family.hosts.push(host);
                return;
            }
        }
        places.push(self.families.len());
        self.families.push(Family { status: head.status.to_vec(), hosts: vec![host], text });
    }

    fn end(&mut self, sink: &mut dyn Sink) {
        // What went well first, and of that what most had.
        self.families.sort_by_key(|family| {
            (family.status != b"okay", std::cmp::Reverse(family.hosts.len()))
        });
        for family in &self.families {
            let hosts = fold(&family.hosts);
            let status = match family.status.as_slice() {
                b"okay" => String::new(),
                other => format!(" {}", String::from_utf8_lossy(other)),
            };
            let title = format!("{hosts} ({}){status}\n\t", family.hosts.len());
            sink.put(title.as_bytes());
            family.text.each(&mut |bytes| sink.put(bytes));
            sink.put(b"\n\n");
        }
    }
}

fn same(one: &Spool, other: &Spool) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // Both are read in pieces that begin at the same places only if they are in memory.
    let (mut left, mut right) = (Vec::new(), Vec::new());
    one.each(&mut |bytes| left.extend_from_slice(bytes));
    other.each(&mut |bytes| right.extend_from_slice(bytes));
    left == right
}
