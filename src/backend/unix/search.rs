//! Finds lines: in a block of whole lines, and in a file that is read block by block.

use super::recent::Key;
use super::source::fill;
use crate::backend::gids::Gids;
use crate::limits::{ONE_LINE, WINDOW};
#[cfg(target_arch = "aarch64")]
use memchr::arch::aarch64::neon::packedpair::Finder as Pair;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use memchr::arch::all::packedpair::Finder as Pair;
#[cfg(target_arch = "x86_64")]
use memchr::arch::x86_64::sse2::packedpair::Finder as Pair;
use memchr::{memchr, memrchr};
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use nssproto::entry::{Db, Name, Record};
use nssproto::line;
use nssproto::stream::{Measured, Meter, lists};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Which lines are looked for.
#[derive(Clone, Copy)]
pub enum Want<'a> {
    /// The first with this name or number.
    Key(Key<'a>),
    /// The next one.
    Any,
    /// All groups that list the user; their gids are collected.
    Member(Name<'a>),
}

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

/// What is searched for, prepared once for many blocks.
pub struct Finder<'a> {
    db: Db,
    want: Want<'a>,
    /// Bytes that a line must hold to be worth a closer look.
    needle: &'a [u8],
    /// Finds where its two rarest bytes stand; `None`: it has not two.
    pair: Option<Pair>,
}

/// Room for the needle of the longest name.
pub struct Needle([u8; Name::MAX + 2]);

impl Needle {
    /// Empty room.
    pub fn default_room() -> Self {
        Needle([0; Name::MAX + 2])
    }
}

impl<'a> Finder<'a> {
    /// `room` holds the needle.
    pub fn new(db: Db, want: Want<'a>, room: &'a mut Needle) -> Self {
        let mut len = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(place) = room.0.get_mut(len..len + bytes.len()) {
                place.copy_from_slice(bytes);
                len += bytes.len();
            }
        };
        match want {
            // A name stands between the LF in front of its line and a colon.
            Want::Key(Key::Name(name)) => {
                put(b"\n");
                put(name);
                put(b":");
            }
            // A number may have zeros in front; a colon always follows it.
            Want::Key(Key::Id(id)) => {
                put(write_decimal(u64::from(id), &mut [0; DECIMAL_MAX]));
                put(b":");
            }
            Want::Member(user) => put(user.bytes()),
            Want::Any => {}
        }
        let needle = room.0.get(..len).unwrap_or_default();
        Finder { db, want, needle, pair: Pair::new(needle) }
    }

    /// The bytes that a streamed line is compared with.
    fn key(&self) -> &'a [u8] {
        match self.want {
            Want::Key(Key::Name(name)) => name,
            Want::Member(user) => user.bytes(),
            _ => &[],
        }
    }

    /// The first good line in `block[from..]` that is wanted. Members are collected, and the
    /// search goes on to the end of the block.
    pub fn find(&self, block: &[u8], mut from: usize, gids: &mut Gids) -> Option<Span> {
        while from < block.len() {
            let span = span_at(block, self.candidate(block, from)?);
            from = span.next;
            let Ok(record) = line::parse(self.db, block.get(span.start..span.end)?) else {
                continue;
            };
            match (self.want, record) {
                (Want::Any, _) => return Some(span),
                (Want::Key(Key::Name(name)), r) if r.name() == name => return Some(span),
                (Want::Key(Key::Id(id)), r) if r.id() == Some(id) => return Some(span),
                (Want::Member(user), Record::Group(g)) if lists(g.members, user) => {
                    gids.add(g.gid.0);
                }
                _ => {}
            }
        }
        None
    }

    /// A byte of the next line that may be wanted.
    fn candidate(&self, block: &[u8], from: usize) -> Option<usize> {
        let rest = block.get(from..)?;
        match self.want {
            Want::Any => Some(from),
            Want::Key(Key::Name(_)) => {
                // Nothing stands in front of the first line of a block.
                if self.needle.get(1..).is_some_and(|n| rest.starts_with(n)) {
                    return Some(from);
                }
                self.search(block, from).map(|at| at + 1)
            }
            _ => self.search(block, from),
        }
    }

    /// Where the needle stands next. memchr's memmem does the same with the same parts, and has
    /// others besides for needles that are long and periodic: 5 KB of code.
    fn search(&self, block: &[u8], mut from: usize) -> Option<usize> {
        loop {
            let rest = block.get(from..)?;
            from += match (&self.pair, self.needle.first()) {
                // What the pair's search reads at a time has to fit behind the needle.
                (Some(pair), _) if rest.len() >= self.needle.len() + PAIR_READS => {
                    at_pair(pair, rest, self.needle)?
                }
                (_, Some(first)) => memchr(*first, rest)?,
                (_, None) => 0,
            };
            if block.get(from..)?.starts_with(self.needle) {
                return Some(from);
            }
            from += 1;
        }
    }
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
    let before = block.get(..at).and_then(|b| memrchr(b'\n', b));
    let start = before.map_or(0, |lf| lf + 1);
    match block.get(at..).and_then(|b| memchr(b'\n', b)) {
        Some(lf) => Span { start, end: at + lf, next: at + lf + 1 },
        None => Span { start, end: block.len(), next: block.len() },
    }
}

/// The line of `block` that starts at `at`, if it is the one with this key.
pub fn line_at(db: Db, block: &[u8], at: usize, key: Key<'_>) -> Option<Span> {
    let span = span_at(block, at);
    let record = line::parse(db, block.get(span.start..span.end)?).ok()?;
    let same = match key {
        Key::Name(name) => record.name() == name,
        Key::Id(id) => record.id() == Some(id),
    };
    (same && span.start == at).then_some(span)
}

/// Where a search in a file stands; enough to go on after others had their turn.
#[derive(Clone, Copy, Default)]
pub struct Walk {
    /// Offset of the next byte to read.
    pub at: u64,
    /// A line longer than the window is being measured; where it began.
    long: Option<(u64, Meter)>,
}

impl Walk {
    /// A search from the line that starts at `at`.
    pub fn from(at: u64) -> Self {
        Walk { at, long: None }
    }

    /// Whether it is between two lines, and not inside a long one.
    pub fn is_between_lines(&self) -> bool {
        self.long.is_none()
    }
}

/// How a walk ended.
pub enum Walked {
    /// A whole line in the window: its range there, its offset in the file.
    Line(Span, u64),
    /// A line longer than the window, with its offset.
    Long(Measured, u64),
    /// The file ended.
    End,
    /// The turn is over.
    Pending,
}

/// Reads `file` on from where `walk` stands until a line that is wanted, and leaves `walk`
/// behind it. `turn` is what may be read yet. With `near`, the first read is a short one: the
/// line is expected right there.
pub fn walk(
    file: impl AsFd,
    window: &mut [u8],
    walk: &mut Walk,
    finder: &Finder<'_>,
    near: bool,
    turn: &mut u64,
    gids: &mut Gids,
) -> Result<Walked, Errno> {
    let mut size = if near { ONE_LINE } else { WINDOW };
    loop {
        if *turn == 0 {
            return Ok(Walked::Pending);
        }
        let room = window.get_mut(..size).ok_or(Errno::NOBUFS)?;
        let len = fill(&file, room, walk.at)?;
        *turn = turn.saturating_sub(len as u64 + 1);
        let ended = len < size;
        let block = room.get(..len).unwrap_or_default();

        if let Some((start, meter)) = &mut walk.long {
            let end = memchr(b'\n', block);
            meter.feed(block.get(..end.unwrap_or(len)).unwrap_or_default(), finder.key());
            walk.at += end.map_or(len, |e| e + 1) as u64;
            if end.is_none() && !ended {
                continue;
            }
            let (start, measured) = (*start, meter.finish(finder.key()));
            walk.long = None;
            if let Some(found) = measured.ok().and_then(|m| finder.wants_long(m, gids)) {
                return Ok(Walked::Long(found, start));
            }
            continue;
        }

        let lines = match memrchr(b'\n', block) {
            // The last line may lack its LF.
            _ if ended => block,
            Some(lf) => block.get(..lf + 1).unwrap_or_default(),
            None if size < WINDOW => {
                size = WINDOW;
                continue;
            }
            None => {
                walk.long = Some((walk.at, Meter::new(finder.db)));
                continue;
            }
        };
        if lines.is_empty() {
            return Ok(Walked::End);
        }
        let base = walk.at;
        if let Some(span) = finder.find(lines, 0, gids) {
            walk.at = base + span.next as u64;
            return Ok(Walked::Line(span, base + span.start as u64));
        }
        walk.at += lines.len() as u64;
        size = WINDOW;
    }
}

impl Finder<'_> {
    /// Whether a line that was measured is wanted.
    fn wants_long(&self, line: Measured, gids: &mut Gids) -> Option<Measured> {
        use nssproto::nsss::Head;
        let id = match line.head {
            Head::Passwd { uid, .. } => Some(uid.0),
            Head::Group { gid, .. } => Some(gid.0),
            Head::Shadow { .. } => None,
        };
        let wanted = match self.want {
            Want::Any => true,
            Want::Key(Key::Name(_)) => line.named,
            Want::Key(Key::Id(wanted)) => id == Some(wanted),
            Want::Member(_) => {
                if let (true, Some(gid)) = (line.listed, id) {
                    gids.add(gid);
                }
                false
            }
        };
        wanted.then_some(line)
    }
}
