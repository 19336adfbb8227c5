//! `nsscache status`: when each map last changed, and was last looked for.

use super::config::MapConfig;
use super::failure::{Done, Failure};
use super::lock;
use super::log::Log;
use super::maps::Map;
use super::snapshot;
use super::stamp::{Stamps, Time, Which, asctime, iso, now};
use super::state::State;
use super::targets::{self, Place};
use nssproto::json::Escaper;

/// How it is printed.
pub struct Options {
    /// Seconds since 1970.
    pub epoch: bool,
    /// One object a map, with all that is known.
    pub json: bool,
    /// What is printed for each record; `%(map)s`, `%(key)s`, `%(value)s`.
    pub template: String,
    /// The same for a map that automount's master lists; `%(automount)s`, too.
    pub automount_template: String,
}

/// nsscache's.
pub const TEMPLATE: &str = "NSS map: %(map)s\n%(key)s: %(value)s";
/// nsscache's.
pub const AUTOMOUNT_TEMPLATE: &str =
    "NSS map: %(map)s\nAutomount map: %(automount)s\n%(key)s: %(value)s";

/// The text for these maps.
pub fn text(maps: &[MapConfig<'_>], options: &Options, log: &Log) -> Done<String> {
    let mut out = String::new();
    let mut objects = Vec::new();
    for config in maps {
        for place in places(config)? {
            let stamps = place.stamps(config)?;
            if options.json {
                objects.push(object(config, &place, &stamps, log));
                continue;
            }
            for (key, which) in
                [("last-modify-timestamp", Which::Modify), ("last-update-timestamp", Which::Update)]
            {
                let time = stamps.read(which, Some(log));
                let value = match (options.epoch, time) {
                    (true, time) => time.unwrap_or(0).to_string(),
                    (false, Some(time)) => asctime(local(time)),
                    (false, None) => "Unknown".to_owned(),
                };
                let path = place.shown_path(config)?;
                let mut fields =
                    vec![("map", config.map.name()), ("key", key), ("value", value.as_str())];
                let template = match place.is_listed() {
                    true => {
                        fields.push(("automount", path.as_str()));
                        &options.automount_template
                    }
                    false => &options.template,
                };
                out.push_str(&filled(template, &fields)?);
                out.push('\n');
            }
        }
    }
    if options.json {
        out = format!("[{}]\n", objects.join(",\n "));
    }
    Ok(out)
}

/// The files of a map: one, or of automount the master and what the local one lists.
fn places(config: &MapConfig<'_>) -> Done<Vec<Place>> {
    if config.map != Map::Automount {
        return Ok(vec![Place::Map]);
    }
    let mut all = vec![Place::Master];
    all.extend(targets::listed(config)?);
    Ok(all)
}

/// A time of this machine's zone, as seconds since 1970 there; UTC where the build knows no zones.
#[cfg(feature = "local-time")]
fn local(time: Time) -> Time {
    use tz::TimeZone;
    let zone = match std::env::var("TZ") {
        Ok(zone) if !zone.is_empty() => TimeZone::from_posix_tz(&zone).ok(),
        _ => TimeZone::local().ok(),
    };
    let offset = zone.and_then(|zone| {
        zone.find_local_time_type(time).ok().map(|kind| Time::from(kind.ut_offset()))
    });
    time + offset.unwrap_or(0)
}

#[cfg(not(feature = "local-time"))]
fn local(time: Time) -> Time {
    time
}

/// Python's `%` with a dictionary.
fn filled(template: &str, fields: &[(&str, &str)]) -> Done<String> {
    let bad = || Failure::refused(format!("a template that cannot be filled: {template}"));
    let mut out = String::new();
    let mut rest = template;
    while let Some((front, behind)) = rest.split_once('%') {
        out.push_str(front);
        if let Some(behind) = behind.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let (name, behind) =
            behind.strip_prefix('(').and_then(|b| b.split_once(")s")).ok_or_else(bad)?;
        let (_, value) = fields.iter().find(|(field, _)| *field == name).ok_or_else(bad)?;
        out.push_str(value);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// All that is known of a map, as a JSON object.
fn object(config: &MapConfig<'_>, place: &Place, stamps: &Stamps, log: &Log) -> String {
    let state = State::read(stamps);
    let text = |value: Option<String>| value.map_or("null".to_owned(), |value| quoted(&value));
    let number = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
    let checked = stamps.read(Which::Update, Some(log));
    let members = [
        ("map", quoted(config.map.name())),
        ("file", text(place.shown_path(config).ok())),
        ("source", text(config.text("source").ok().flatten())),
        ("origin", text(state.origin)),
        ("entries", number(state.entries.and_then(|count| count.try_into().ok()))),
        ("modified", text(stamps.read(Which::Modify, None).map(iso))),
        ("updated", text(checked.map(iso))),
        ("age", number(checked.map(|time| now() - time))),
        ("failed", text(state.failed.map(iso))),
        ("error", text(state.error)),
        ("watch", text(watched(config, stamps))),
        ("serial", number(snapshot::serial(config, log).and_then(|n| n.try_into().ok()))),
    ];
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

/// What `nsscache watch` does for a map, while it runs.
fn watched(config: &MapConfig<'_>, stamps: &Stamps) -> Option<String> {
    let lock = config.text("lockfile").ok()?.unwrap_or_else(|| lock::DEFAULT.to_owned());
    lock::is_held(&lock::of_watch(&lock)).then_some(())?;
    let text = crate::sys::file::read_path(&stamps.beside("watch")).ok()?;
    Some(String::from_utf8_lossy(&text).trim_end().to_owned())
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let (mut escaper, mut out) = (Escaper::default(), vec![b'"']);
    let mut room = [0; 256];
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let (taken, written) = escaper.feed(rest, &mut room);
        out.extend_from_slice(room.get(..written).unwrap_or_default());
        rest = rest.get(taken..).unwrap_or_default();
    }
    out.push(b'"');
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_as_python_fills_them() {
        let fields = [("map", "passwd"), ("key", "k"), ("value", "v")];
        assert_eq!(filled("%(map)s %(key)s 100%%", &fields).unwrap(), "passwd k 100%");
        assert_eq!(filled(TEMPLATE, &fields).unwrap(), "NSS map: passwd\nk: v");
        for template in ["%(nosuch)s", "%s", "%", "%(map"] {
            assert!(filled(template, &fields).is_err(), "{template}");
        }
    }
}
