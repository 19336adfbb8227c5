//! Means, ratios and the table.
#![allow(dead_code, reason = "two benches share it, and each uses a part")]

use std::io;
use std::time::{Duration, Instant};

/// How often to measure. A round starts its processes anew; in it, reference and subject take turns
/// in slices, so that a disturbance of the machine meets both.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Rounds in all.
    pub rounds: u32,
    /// Slices of each side in a round.
    pub slices: u32,
    /// Calls in a slice.
    pub calls: u32,
}

/// Time spent in a number of calls.
#[derive(Clone, Copy, Default)]
pub struct Mean {
    total: Duration,
    calls: u32,
}

impl Mean {
    /// Counts `calls` calls that took `time` together.
    pub fn add(&mut self, time: Duration, calls: u32) {
        self.total += time;
        self.calls += calls;
    }

    fn merge(&mut self, other: Mean) {
        self.add(other.total, other.calls);
    }

    /// Nanoseconds a call.
    fn nanos(self) -> f64 {
        self.total.as_nanos() as f64 / f64::from(self.calls.max(1))
    }
}

/// Both sides of a comparison.
#[derive(Clone, Copy, Default)]
pub struct Pair {
    /// What the subject is held against.
    pub reference: Mean,
    /// What is measured.
    pub subject: Mean,
}

impl Pair {
    /// The same, where each call was so many exchanges.
    pub fn of_exchanges(mut self, each: u32) -> Pair {
        self.reference.calls *= each;
        self.subject.calls *= each;
        self
    }

    fn ratio(&self) -> f64 {
        self.subject.nanos() / self.reference.nanos().max(1.0)
    }
}

/// What a row found.
pub enum Finding {
    /// A time against a time.
    Ratio {
        /// Over all rounds.
        all: Pair,
        /// The ratio of the best round.
        lowest: f64,
        /// The ratio of the worst round.
        highest: f64,
    },
    /// A size. There is nothing to hold it against but its limit.
    Bytes(u64),
    /// Seconds, or how often.
    Number(f64),
    /// What would be measured is not there, and why.
    Absent(String),
}

/// What a finding may be at most.
#[derive(Clone, Copy)]
pub enum Limit {
    /// This row shows how much equal things differ.
    None,
    /// Subject to reference.
    Ratio(f64),
    /// Bytes.
    Bytes(u64),
    /// Seconds, or how often.
    Number(f64),
}

impl Finding {
    /// Whether the finding keeps to the limit.
    pub fn within(&self, limit: Limit) -> bool {
        match (self, limit) {
            (Finding::Ratio { all, .. }, Limit::Ratio(most)) => all.ratio() <= most,
            (Finding::Bytes(bytes), Limit::Bytes(most)) => *bytes <= most,
            (Finding::Number(number), Limit::Number(most)) => *number <= most,
            _ => true,
        }
    }
}

/// Runs all rounds of a comparison.
pub fn rounds(plan: Plan, mut round: impl FnMut() -> io::Result<Pair>) -> io::Result<Finding> {
    let (mut all, mut lowest, mut highest) = (Pair::default(), f64::INFINITY, 0.0_f64);
    for _ in 0..plan.rounds {
        let pair = round()?;
        all.reference.merge(pair.reference);
        all.subject.merge(pair.subject);
        lowest = lowest.min(pair.ratio());
        highest = highest.max(pair.ratio());
    }
    Ok(Finding::Ratio { all, lowest, highest })
}

/// One round: the two sides in turns, after one slice of each that does not count.
pub fn turns(
    plan: Plan,
    mut reference: impl FnMut() -> io::Result<()>,
    mut subject: impl FnMut() -> io::Result<()>,
) -> io::Result<Pair> {
    time(plan.calls, &mut reference)?;
    time(plan.calls, &mut subject)?;
    let mut pair = Pair::default();
    for slice in 0..plan.slices {
        // Neither side always follows the other.
        if slice % 2 == 0 {
            pair.reference.add(time(plan.calls, &mut reference)?, plan.calls);
            pair.subject.add(time(plan.calls, &mut subject)?, plan.calls);
        } else {
            pair.subject.add(time(plan.calls, &mut subject)?, plan.calls);
            pair.reference.add(time(plan.calls, &mut reference)?, plan.calls);
        }
    }
    Ok(pair)
}

/// The time that `calls` calls take together.
pub fn time(calls: u32, call: &mut impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let start = Instant::now();
    for _ in 0..calls {
        call()?;
    }
    Ok(start.elapsed())
}

/// The first line of the table.
pub const HEADING: &str =
    "row                    reference       subject   ratio  (rounds)       limit     verdict";

/// One line of the table.
pub fn line(name: &str, finding: &Finding, limit: Limit) -> String {
    let most = match limit {
        Limit::None => "-".to_owned(),
        Limit::Ratio(most) => format!("{most:.2}"),
        Limit::Bytes(most) => format!("{most} B"),
        Limit::Number(most) => format!("{most:.2}"),
    };
    let verdict = if finding.within(limit) { "ok" } else { "OVER" };
    let found = match finding {
        Finding::Ratio { all, lowest, highest } => format!(
            "{:>10.0} ns {:>10.0} ns   {:>5.3}  {:<13}",
            all.reference.nanos(),
            all.subject.nanos(),
            all.ratio(),
            format!("({lowest:.2}..{highest:.2})"),
        ),
        Finding::Absent(why) => return format!("{name:<18} not measured: {why}"),
        Finding::Number(number) => {
            format!("{:>13} {number:>13.3}   {:>5}  {:<13}", "-", "-", "")
        }
        Finding::Bytes(bytes) => format!("{:>13} {bytes:>11} B   {:>5}  {:<13}", "-", "-", ""),
    };
    format!("{name:<18} {found}  {most:<8}  {verdict}")
}
