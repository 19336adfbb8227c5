//! Times: the timestamp files of nsscache, and how times are written there, in HTTP and for people.

use super::failure::{Done, Failure, os};
use super::log::Log;
use crate::sys::clock::real_time;
use crate::sys::file::{join, open_path, read_path};
use rustix::fs::{Mode, OFlags, fchmod, rename, unlink};
use rustix::io::Errno;

/// Seconds since 1970, UTC.
pub type Time = i64;

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Which of a map's two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// When the source changed what we have.
    Modify,
    /// When we last looked, with success.
    Update,
}

/// Now. (Rust's own clock, as rustup has it for boards of 32 bits, ends the process after 2038.)
pub fn now() -> Time {
    real_time().0.try_into().unwrap_or(i64::MAX)
}

/// A date, and a time of day.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    seconds: i64,
    /// From Monday.
    weekday: i64,
}

/// The Gregorian calendar (days from civil, as Howard Hinnant gives it).
fn civil(time: Time) -> Civil {
    let (days, seconds) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let mp = (5 * of_year + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    Civil {
        year: year + era * 400 + i64::from(month <= 2),
        month,
        day: of_year - (153 * mp + 2) / 5 + 1,
        seconds,
        weekday: (days + 3).rem_euclid(7),
    }
}

fn time_of(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Option<Time> {
    let in_bounds = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && (1900..=9999).contains(&year);
    if !in_bounds {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let mp = (month + 9) % 12;
    let of_year = (153 * mp + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    Some(days * DAY + hour * 3600 + minute * 60 + second)
}

/// `2024-01-01T01:39:00Z`
pub fn iso(time: Time) -> String {
    let Civil { year, month, day, seconds, .. } = civil(time);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

/// The way back.
pub fn parse_iso(text: &str) -> Option<Time> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    time_of(year, month, day, hour, minute, second)
}

/// `Mon, 01 Jan 2024 01:39:00 GMT`
pub fn http(time: Time) -> String {
    let Civil { year, month, day, seconds, weekday } = civil(time);
    let (weekday, month) = (name(&DAYS, weekday), name(&MONTHS, month - 1));
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {day:02} {month} {year:04} {h:02}:{m:02}:{s:02} GMT")
}

/// The way back, of the one form that servers send.
pub fn parse_http(text: &str) -> Option<Time> {
    let (_, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year = words.next()?.parse().ok()?;
    let [hour, minute, second] = numbers(words.next()?, ':')?;
    if !matches!(words.next()?, "GMT" | "UTC") {
        return None;
    }
    time_of(year, month, day, hour, minute, second)
}

/// `Mon Jan  1 01:39:00 2024`, as asctime(3) has it, of a time that is local already.
pub fn asctime(time: Time) -> String {
    let Civil { year, month, day, seconds, weekday } = civil(time);
    let (weekday, month) = (name(&DAYS, weekday), name(&MONTHS, month - 1));
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday} {month} {day:2} {h:02}:{m:02}:{s:02} {year}")
}

fn name(names: &[&'static str], at: i64) -> &'static str {
    names.get(at as usize).copied().unwrap_or_default()
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut next = || {
        let digits = parts.next()?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        digits.parse().ok()
    };
    let found = [next()?, next()?, next()?];
    parts.next().is_none().then_some(found)
}

/// The timestamps of a map, or of one that automount's master lists.
#[derive(Clone, Debug)]
pub struct Stamps {
    dir: String,
    /// `passwd`, `automount-usr_local`
    name: String,
}

impl Stamps {
    /// Those called `name` in `dir`, which is made.
    pub fn new(dir: &str, name: &str) -> Stamps {
        Stamps { dir: dir.to_owned(), name: name.to_owned() }
    }

    /// A file of this map beside its timestamps.
    pub fn beside(&self, kind: &str) -> Vec<u8> {
        let name = format!("{kind}-{}", self.name);
        join(self.dir.as_bytes(), name.as_bytes())
    }

    fn path(&self, which: Which) -> Vec<u8> {
        let end = match which {
            Which::Modify => "modify",
            Which::Update => "update",
        };
        let name = format!("timestamp-{}-{end}", self.name);
        join(self.dir.as_bytes(), name.as_bytes())
    }

    /// A time, as it stands; `None`: never. What is ahead of our clock is named, if a log is there.
    pub fn read(&self, which: Which, log: Option<&Log>) -> Option<Time> {
        let path = self.path(which);
        let text = read_path(&path).ok()?;
        let found = parse_iso(std::str::from_utf8(&text).ok()?.trim_end())?;
        let ahead = found - now();
        if let Some(log) = log
            && ahead > 0
        {
            let path = String::from_utf8_lossy(&path).into_owned();
            log.warning("timestamps", format!("{path} is {ahead} s ahead of this machine's clock"));
        }
        Some(found)
    }

    /// Sets a time.
    pub fn write(&self, which: Which, time: Time) -> Done {
        self.write_file(&self.path(which), &format!("{}\n", iso(time)))
    }

    /// Replaces a small file beside the timestamps, mode 0644. It is not flushed: lost, or empty, it only
    /// makes the next update a full one.
    pub fn write_file(&self, path: &[u8], text: &str) -> Done {
        let failed = |errno| Failure::system("write", path, errno);
        if let Err(error) = std::fs::create_dir_all(&self.dir) {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            return Err(Failure::system("make", self.dir.as_bytes(), errno));
        }
        // The same name each time: what a killed run leaves is written over.
        let new = [path, b".tmp"].concat();
        let _ = unlink(os(&new));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = open_path(&new, flags, Mode::from_raw_mode(0o644)).map_err(failed)?;
        let written = fchmod(&file, Mode::from_raw_mode(0o644))
            .and_then(|()| crate::sys::stream::write_all(&file, text.as_bytes(), None))
            .and_then(|()| rename(os(&new), os(path)));
        if written.is_err() {
            let _ = unlink(os(&new));
        }
        written.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back() {
        for (time, written, in_http, for_people) in [
            (
                0,
                "1970-01-01T00:00:00Z",
                "Thu, 01 Jan 1970 00:00:00 GMT",
                "Thu Jan  1 00:00:00 1970",
            ),
            (
                1_714_979_289,
                "2024-05-06T07:08:09Z",
                "Mon, 06 May 2024 07:08:09 GMT",
                "Mon May  6 07:08:09 2024",
            ),
            (
                951_868_799,
                "2000-02-29T23:59:59Z",
                "Tue, 29 Feb 2000 23:59:59 GMT",
                "Tue Feb 29 23:59:59 2000",
            ),
            (
                4_102_444_800,
                "2100-01-01T00:00:00Z",
                "Fri, 01 Jan 2100 00:00:00 GMT",
                "Fri Jan  1 00:00:00 2100",
            ),
        ] {
            assert_eq!(iso(time), written);
            assert_eq!(parse_iso(written), Some(time));
            assert_eq!(http(time), in_http);
            assert_eq!(parse_http(in_http), Some(time));
            assert_eq!(asctime(time), for_people);
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2024",
            "2024-13-01T00:00:00Z",
            "2024-01-01T00:00:00",
            "x-01-01T00:00:00Z",
            "2024-01-01T+1:00:00Z",
        ] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
        for text in [
            "",
            "Mon, 06 Mai 2024 07:08:09 GMT",
            "Mon, 06 May 2024 07:08 GMT",
            "Monday, 06-May-24 07:08:09 GMT",
        ] {
            assert_eq!(parse_http(text), None, "{text}");
        }
    }
}
