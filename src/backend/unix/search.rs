//! Finds lines: in a block of whole lines, and in a file that is read block by block.

use super::recent::{Location, LookupKey};
use crate::backend::client::{Hit, Line, LongLine, ReadFrom, Streamed};
use crate::backend::gids::Gids;
use crate::backend::window::Of;
use crate::backend::{Step, spend};
use crate::limits::{CANDIDATE, ONE_LINE, WINDOW};
use crate::sys::file::pread_full;
#[cfg(target_arch = "aarch64")]
use memchr::arch::aarch64::neon::packedpair::Finder as Pair;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use memchr::arch::all::packedpair::Finder as Pair;
use memchr::arch::all::packedpair::Pair as Indices;
#[cfg(target_arch = "x86_64")]
use memchr::arch::x86_64::sse2::packedpair::Finder as Pair;
use memchr::memchr;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::entry::{Db, Name, Record};
use nssproto::line::glibc::has_key;
use nssproto::line::stream::{LineScanner, LineSummary};
use nssproto::line::{Parsed, Rules, parse_by};
use nssproto::nsss::Head;
use rustix::io::Errno;
use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd};

/// Which lines are looked for.
#[derive(Clone, Copy)]
pub enum Want<'a> {
    /// The first with this name or number.
    Key(LookupKey<'a>),
    /// The next one.
    Any,
    /// All groups that list the user; their gids are collected.
    Member(Name<'a>),
}

impl Want<'_> {
    /// What a whole line says, if it is wanted. Of a group that lists the member the gid is collected.
    fn takes(self, rules: Rules, db: Db, line: &[u8], gids: &mut Gids) -> Option<Parsed> {
        if let Want::Member(user) = self {
            if let Ok(Record::Group(group)) = parse_by(rules.for_members(), db, line) {
                if group.members.contains(user) {
                    gids.add(group.gid.0);
                }
            }
            return None;
        }
        let parsed = Parsed::new(rules, db, line).ok()?;
        let Want::Key(key) = self else { return Some(parsed) };
        let name = parsed.name(line)?;
        let is_wanted = match key {
            LookupKey::Name(wanted) => name == wanted,
            LookupKey::Id(id) => parsed.id() == Some(id),
        };
        (is_wanted && (rules == Rules::Nsss || has_key(name))).then_some(parsed)
    }

    /// The same of a line that was measured.
    fn takes_long(self, rules: Rules, line: &LineSummary, gids: &mut Gids) -> bool {
        let id = match line.head {
            Head::Passwd { uid, .. } => Some(uid.0),
            Head::Group { gid, .. } => Some(gid.0),
            Head::Shadow { .. } => None,
        };
        let has_key = rules == Rules::Nsss || line.has_key;
        match self {
            Want::Any => true,
            Want::Key(LookupKey::Name(_)) => line.named && has_key,
            Want::Key(LookupKey::Id(wanted)) => id == Some(wanted) && has_key,
            Want::Member(_) => {
                if let (true, Some(gid)) = (line.listed, id) {
                    gids.add(gid);
                }
                false
            }
        }
    }
}

/// What it costs to pass over a place that is not wanted, in bytes of a turn.
const PASSED_OVER: usize = 64;

/// Most bytes that the search for a pair looks at together.
const PAIR_READS: usize = 64;

/// A line in a block: the range without LF, and where the next line starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
    /// The first byte of the next line.
    pub next: usize,
}

impl Span {
    /// The line.
    fn of(self, block: &[u8]) -> &[u8] {
        block.get(self.start..self.end).unwrap_or_default()
    }
}

/// What is searched for, prepared once for many blocks.
pub struct Finder<'a> {
    rules: Rules,
    db: Db,
    want: Want<'a>,
    /// Bytes that a line must hold to be worth a closer look.
    needle: Needle,
    /// Or these, if there are any.
    other: Needle,
    /// What the lines cost that were parsed, in bytes of a turn.
    parsed: Cell<usize>,
}

impl<'a> Finder<'a> {
    /// One that only judges a line that is at hand, or any.
    pub fn for_guess(rules: Rules, db: Db, want: Want<'a>) -> Self {
        let (needle, other) = (Needle::default(), Needle::default());
        Finder { rules, db, want, needle, other, parsed: Cell::new(0) }
    }

    /// Prepares the search.
    pub fn new(rules: Rules, db: Db, want: Want<'a>) -> Self {
        let mut finder = Finder::for_guess(rules, db, want);
        let mut digits = [0; DECIMAL_MAX];
        let needle = &mut finder.needle;
        match want {
            // A name stands between the LF in front of its line and a colon; for glibc, blanks may
            // be between them.
            Want::Key(LookupKey::Name(name)) => {
                let lf: &[u8] = if rules == Rules::Nsss { b"\n" } else { b"" };
                needle.set(&[lf, name, b":"]);
            }
            // A number may have zeros in front; a colon follows it, but for glibc a group may end
            // with it.
            Want::Key(LookupKey::Id(id)) => {
                let colon: &[u8] = if rules != Rules::Nsss && db == Db::Group { b"" } else { b":" };
                needle.set(&[write_decimal(u64::from(id), &mut digits), colon]);
                if rules != Rules::Nsss && id != 0 {
                    // With a minus sign it is taken from 2^64. (-0 has the digits of 0.)
                    let minus = u64::from(id).wrapping_neg();
                    finder.other.set(&[write_decimal(minus, &mut digits)]);
                }
            }
            Want::Member(user) => needle.set(&[user.bytes()]),
            Want::Any => {}
        }
        finder
    }

    /// The bytes that a streamed line is compared with.
    fn key(&self) -> &'a [u8] {
        match self.want {
            Want::Key(LookupKey::Name(name)) => name,
            Want::Member(user) => user.bytes(),
            _ => &[],
        }
    }

    /// The first good line in `block` that is wanted. Members are collected, and the search goes on
    /// to the end of the block.
    pub fn find(&self, block: &[u8], gids: &mut Gids) -> Option<(Span, Parsed)> {
        let mut from = 0;
        let mut other = self.search_other(block, 0);
        while from < block.len() {
            if other.is_some_and(|at| at < from) {
                other = self.search_other(block, from);
            }
            let at = match (self.candidate(block, from), other) {
                (Some(at), Some(other)) => at.min(other),
                (at, other) => at.or(other)?,
            };
            let span = span_at(block, at);
            let line = span.of(block);
            self.parsed.set(self.parsed.get() + line.len() + CANDIDATE);
            if let Some(parsed) = self.want.takes(self.rules, self.db, line, gids) {
                return Some((span, parsed));
            }
            from = span.next;
        }
        None
    }

    /// What the lines cost that were parsed since the last call, in bytes of a turn.
    pub fn cost(&self) -> usize {
        self.parsed.take()
    }

    /// A byte of the next line that may be wanted.
    fn candidate(&self, block: &[u8], from: usize) -> Option<usize> {
        let rest = block.get(from..)?;
        match self.want {
            Want::Any => Some(from),
            Want::Key(LookupKey::Name(_)) if self.rules == Rules::Nsss => {
                // Nothing stands in front of the first line of a block.
                if self.needle.bytes.get(1..).is_some_and(|n| rest.starts_with(n)) {
                    return Some(from);
                }
                self.needle.search(block, from).map(|at| at + 1)
            }
            Want::Key(LookupKey::Id(_)) if self.rules != Rules::Nsss => {
                let mut at = self.needle.search(block, from)?;
                while self.is_in_number(block, at) {
                    self.parsed.set(self.parsed.get() + PASSED_OVER);
                    at = self.needle.search(block, at + 1)?;
                }
                Some(at)
            }
            Want::Member(_) => self.search_item(block, from),
            _ => self.needle.search(block, from),
        }
    }

    fn search_other(&self, block: &[u8], from: usize) -> Option<usize> {
        if self.other.bytes.is_empty() { None } else { self.other.search(block, from) }
    }

    /// Whether the digits there are a part of a larger number.
    fn is_in_number(&self, block: &[u8], at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| block.get(at));
        let behind = block.get(at + self.needle.bytes.len());
        matches!(before, Some(b'1'..=b'9'))
            || self.db == Db::Group && behind.is_some_and(u8::is_ascii_digit)
    }

    /// Where the needle stands next so that it may be an item of a list.
    fn search_item(&self, block: &[u8], mut from: usize) -> Option<usize> {
        // The rest of a long name is for the parse to see.
        let is_cut = self.needle.bytes.len() < self.key().len();
        loop {
            let at = self.needle.search(block, from)?;
            let before = block.get(..at).and_then(<[u8]>::last);
            let behind = block.get(at + self.needle.bytes.len());
            let begins = before.is_none_or(|b| matches!(b, b':' | b',') || !b.is_ascii_graphic());
            let ends = behind.is_none_or(|b| *b == b',' || !b.is_ascii_graphic());
            if begins && (ends || is_cut) {
                return Some(at);
            }
            self.parsed.set(self.parsed.get() + PASSED_OVER);
            from = at + 1;
        }
    }
}

/// Bytes to search for.
#[derive(Default)]
pub struct Needle {
    bytes: heapless::Vec<u8, { Name::MAX + 2 }>,
    /// Finds where two of them stand; `None`: there are not two.
    pair: Option<Pair>,
}

impl Needle {
    /// Of these, the one behind the other.
    pub fn new(parts: &[&[u8]]) -> Self {
        let mut needle = Needle::default();
        needle.set(parts);
        needle
    }

    fn set(&mut self, parts: &[&[u8]]) {
        for part in parts {
            // The beginning of a long name does.
            let room = self.bytes.capacity() - self.bytes.len();
            self.bytes.extend(part.iter().copied().take(room));
        }
        self.pair = pair(&self.bytes);
    }

    /// Where it stands next. memchr's memmem does the same with the same parts, and has others
    /// besides for needles that are long and periodic: 5 KB of code.
    pub fn search(&self, block: &[u8], mut from: usize) -> Option<usize> {
        loop {
            let rest = block.get(from..)?;
            from += match (&self.pair, self.bytes.first()) {
                // What the pair's search reads at a time has to fit behind the needle.
                (Some(pair), _) if rest.len() >= self.bytes.len() + PAIR_READS => {
                    at_pair(pair, rest, &self.bytes)?
                }
                (_, Some(first)) => memchr(*first, rest)?,
                (_, None) => 0,
            };
            if block.get(from..)?.starts_with(&self.bytes) {
                return Some(from);
            }
            from += 1;
        }
    }
}

/// Two bytes to search for. The first: a line has only one, if it is the LF in front of a name. One
/// behind the middle: what is numbered in order begins alike, and ends alike all over the file.
fn pair(needle: &[u8]) -> Option<Pair> {
    let other = u8::try_from(needle.len() * 2 / 3).ok()?;
    Pair::with_pair(needle, Indices::with_indices(needle, 0, other)?)
}

/// Where the needle stands in `block`, or on machines without such instructions may stand.
fn at_pair(pair: &Pair, block: &[u8], needle: &[u8]) -> Option<usize> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return pair.find(block, needle);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return pair.find_prefilter(block).filter(|_| !needle.is_empty());
}

/// The line in `block` that holds the byte `at`.
fn span_at(block: &[u8], at: usize) -> Span {
    let start = block.get(..at).map_or(0, behind_last_lf);
    match block.get(at..).and_then(|b| memchr(b'\n', b)) {
        Some(lf) => Span { start, end: at + lf, next: at + lf + 1 },
        None => Span { start, end: block.len(), next: block.len() },
    }
}

/// Where the last line of `block` starts, which has no LF yet; lines are short.
pub fn behind_last_lf(block: &[u8]) -> usize {
    block.iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1)
}

/// The line of `block` that starts at `at`, if it is wanted.
pub fn line_at(
    rules: Rules,
    db: Db,
    block: &[u8],
    at: usize,
    want: Want<'_>,
    gids: &mut Gids,
) -> Option<(Span, Parsed)> {
    let span = span_at(block, at);
    if span.start != at {
        return None;
    }
    want.takes(rules, db, span.of(block), gids).map(|parsed| (span, parsed))
}

/// Reads `file` on from where the search stands until a line that is wanted, and leaves the search
/// behind it; the hit tells the rest. `None`: the budget is used up. With `near`, the first read is a
/// short one: the line is expected right there. Where the search has a guess, only the line there is
/// looked at.
pub fn search(
    step: &mut Step<'_>,
    file: &OwnedFd,
    from: ReadFrom,
    finder: &Finder<'_>,
    near: bool,
) -> Result<Option<Location>, Errno> {
    let Finder { rules, db, want, .. } = *finder;
    let search = &mut *step.search;
    let gids = &mut step.shared.gids;
    let mut size = if near { ONE_LINE } else { WINDOW };
    loop {
        if *step.budget == 0 {
            return Ok(None);
        }
        let room = step.shared.window.room().get_mut(..size).ok_or(Errno::NOBUFS)?;
        let len = pread_full(file, room, search.at)?;
        spend(step.budget, len + 1);
        let ended = len < size;
        let block = room.get(..len).unwrap_or_default();

        if let Some(LongLine { start, meter }) = &mut search.long {
            let end = memchr(b'\n', block);
            meter.feed(block.get(..end.unwrap_or(len)).unwrap_or_default(), finder.key());
            search.at += end.map_or(len, |e| e + 1) as u64;
            if end.is_none() && !ended {
                continue;
            }
            let (start, measured) = (*start, meter.finish(finder.key()));
            search.long = None;
            if let Some(measured) = measured.ok().filter(|m| want.takes_long(rules, m, gids)) {
                *step.hit = Hit::Streamed(Streamed::new(db, from, start, measured));
                return Ok(Some(Location::At(start)));
            }
            if search.guess.is_some() {
                return Ok(Some(Location::Absent));
            }
            continue;
        }

        // The last line may lack its LF.
        let whole = if ended { len } else { behind_last_lf(block) };
        let lines = block.get(..whole).unwrap_or_default();
        if lines.is_empty() {
            if ended {
                return Ok(Some(Location::Absent));
            }
            if size == WINDOW {
                let rules = if let Want::Member(_) = want { rules.for_members() } else { rules };
                let meter = LineScanner::new(rules, db);
                search.long = Some(LongLine { start: search.at, meter });
            }
            size = WINDOW;
            continue;
        }
        let base = search.at;
        let found = match search.guess {
            Some(_) => line_at(rules, db, lines, 0, want, gids),
            None => finder.find(lines, gids),
        };
        spend(step.budget, finder.cost());
        if let Some((Span { start, end, next }, parsed)) = found {
            search.at = base + next as u64;
            let at = base + start as u64;
            let whole = lines.len();
            if from == ReadFrom::Enumeration && step.reads_ahead() {
                let (of, batch) = (Of::List(file.as_raw_fd()), step.shared.batch);
                step.shared.window.hold(of, batch, base, whole);
            }
            *step.hit = Hit::Line(Line { db, from, start, end, at, parsed });
            return Ok(Some(Location::At(at)));
        }
        if search.guess.is_some() {
            return Ok(Some(Location::Absent));
        }
        search.at += lines.len() as u64;
        size = WINDOW;
    }
}
