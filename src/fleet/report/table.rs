//! `-f table`: a row a host at the end, and a summary.

use super::{Done, Report, Told};
use crate::fleet::filter::Lines;
use crate::fleet::line::{Message, Sink};
use crate::fleet::names::fold;
use crate::fleet::reason::Reason;
use crate::fleet::screen::Screen;
use crate::fleet::spool::Spool;
use crate::sys::clock::millis;

struct Row {
    host: String,
    ended: String,
    millis: u64,
    reason: Reason,
}

/// What is told at the end.
pub struct Table {
    rows: Vec<Row>,
    /// What those said that failed.
    failed: Spool,
    began: u64,
}

impl Default for Table {
    fn default() -> Self {
        Table { rows: Vec::new(), failed: Spool::default(), began: millis() }
    }
}

impl Report for Table {
    fn done(&mut self, done: &Done<'_>, _screen: &mut Screen) {
        let ended = match &done.reason {
            Reason::Exit(code) => code.to_string(),
            Reason::Module(_) => "not run".to_owned(),
            Reason::Timeout(_) => "timeout".to_owned(),
            _ => done.words(),
        };
        if done.reason != Reason::Exit(0) && done.reason != Reason::NotStarted {
            self.failed.push(format!("{}:\n\t", done.entry.word).as_bytes());
            let mut lines = Lines::new(b"\t", false);
            let told = Told::new(done, false);
            told.each(&mut |piece| lines.feed(piece, &mut |bytes| self.failed.push(bytes)));
            self.failed.push(b"\n");
        }
        let host = done.entry.word.clone();
        self.rows.push(Row { host, ended, millis: done.millis, reason: done.reason.clone() });
    }

    fn end(&mut self, screen: &mut Screen) {
        self.rows.sort_by(|a, b| a.host.cmp(&b.host));
        let width =
            |of: fn(&Row) -> usize, least| self.rows.iter().map(of).max().unwrap_or(0).max(least);
        let host = width(|row| row.host.len(), 4);
        let ended = width(|row| row.ended.len(), 4);
        let mut text = format!("{:host$}  {:>ended$}  SECONDS\n", "HOST", "EXIT");
        for row in &self.rows {
            let (seconds, tenths) = (row.millis / 1000, row.millis % 1000 / 100);
            let time = format!("{seconds}.{tenths}");
            text.push_str(&format!("{:host$}  {:>ended$}  {time:>7}\n", row.host, row.ended));
        }
        screen.put(text.as_bytes());
        if !self.failed.is_empty() {
            screen.put(b"\n");
            self.failed.each(&mut |bytes| screen.put(bytes));
        }
        screen.put(self.summary().as_bytes());
    }
}

/// Whether a host ended so.
type Is = fn(&Reason) -> bool;

impl Table {
    /// How many of each kind, and who.
    fn summary(&self) -> String {
        let of = |is: Is| -> Vec<String> {
            self.rows.iter().filter(|row| is(&row.reason)).map(|row| row.host.clone()).collect()
        };
        let millis = millis().saturating_sub(self.began);
        let (seconds, tenths) = (millis / 1000, millis % 1000 / 100);
        let okay = of(|reason| *reason == Reason::Exit(0)).len();
        let mut text =
            format!("\n{} hosts in {seconds}.{tenths} s: {okay} okay\n", self.rows.len());
        let kinds: [(&str, Is); 5] = [
            ("failed", |r| matches!(r, Reason::Exit(1..) | Reason::Signal(_) | Reason::Module(_))),
            ("timeout", |r| matches!(r, Reason::Timeout(_))),
            ("unreachable", |r| *r == Reason::Unreachable),
            ("interrupted", |r| *r == Reason::Interrupted),
            ("not started", |r| *r == Reason::NotStarted),
        ];
        for (name, is) in kinds {
            let hosts = of(is);
            if !hosts.is_empty() {
                text.push_str(&format!("{} {name}: {}\n", hosts.len(), fold(&hosts)));
            }
        }
        text
    }
}
