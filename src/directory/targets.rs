//! The files of a map, and what automount's master lists.

use super::config::MapConfig;
use super::failure::{Done, Failure, shown};
use super::fields::Fields;
use super::intake::Entries;
use super::maps::{Map, file_name};
use super::stamp::Stamps;
use crate::sys::file::{join, read_path};

/// A file of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The map's own.
    Map,
    /// Automount's master.
    Master,
    /// What the master has at a mount point.
    Automount(Listed),
}

/// A line of a master: what is mounted where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `/usr/local`
    pub mount: String,
    /// The last name of its location, by which a source has it.
    pub name: String,
}

/// Mount points of a master: autofs has tens of them.
const LISTED_MAX: usize = 10_000;

impl Listed {
    /// `usr_local`: what its files are called by.
    fn flat(&self) -> String {
        self.mount.trim_start_matches('/').replace('/', "_")
    }
}

impl Place {
    /// The first part of the file's name.
    pub fn base(&self, map: Map) -> String {
        match self {
            Place::Map => map.name().to_owned(),
            Place::Master => "auto.master".to_owned(),
            Place::Automount(listed) => format!("auto.{}", listed.flat()),
        }
    }

    /// The name of the file in the directory.
    pub fn file(&self, config: &MapConfig<'_>) -> Done<Vec<u8>> {
        let base = self.base(config.map);
        Ok(file_name(base.as_bytes(), config.suffix()?.as_bytes()))
    }

    /// The path of the file.
    pub fn path(&self, config: &MapConfig<'_>) -> Done<Vec<u8>> {
        Ok(join(config.dir()?.as_bytes(), &self.file(config)?))
    }

    /// The same, for people and for the master.
    pub fn shown_path(&self, config: &MapConfig<'_>) -> Done<String> {
        Ok(String::from_utf8_lossy(&self.path(config)?).into_owned())
    }

    /// Its timestamps.
    pub fn stamps(&self, config: &MapConfig<'_>) -> Done<Stamps> {
        let map = config.map.name();
        let name = match self {
            Place::Map | Place::Master => map.to_owned(),
            Place::Automount(listed) => format!("{map}-{}", listed.flat()),
        };
        Ok(Stamps::new(&config.required("timestamp_dir")?, &name))
    }

    /// Whether the master lists it.
    pub fn is_listed(&self) -> bool {
        matches!(self, Place::Automount(_))
    }

    /// For the log.
    pub fn shown(&self, map: Map) -> String {
        match self {
            Place::Automount(listed) => format!("{} {}", map.name(), listed.mount),
            _ => map.name().to_owned(),
        }
    }
}

/// Reads a master: lines of a mount point, the location of its map, and options.
#[derive(Debug, Default)]
pub struct Master {
    /// What it lists, in its order.
    pub listed: Vec<Listed>,
    /// Lines that list nothing that we could fetch.
    pub bad: Vec<String>,
}

impl Entries for Master {
    fn entry(&mut self, fields: &Fields, place: u64) -> Done {
        let rest = String::from_utf8_lossy(fields.get(1)).into_owned();
        let mount = String::from_utf8_lossy(fields.name()).into_owned();
        // What is behind the location is options, for the mount point.
        let location = rest.split_ascii_whitespace().next().unwrap_or_default();
        let name = location.rsplit('/').next().unwrap_or_default();
        let plain = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let good = mount.starts_with('/')
            && plain(&mount)
            && plain(name)
            && !matches!(name, "" | "." | "..")
            // Of another kind than a file.
            && !location.starts_with('-');
        if !good {
            self.bad.push(format!("line {place}: {}", shown(fields.name())));
            return Ok(());
        }
        let listed = Listed { mount, name: name.to_owned() };
        // Two mount points whose files would be one.
        if let Some(other) = self.listed.iter_mut().find(|other| other.flat() == listed.flat()) {
            self.bad.push(format!("line {place}: {} again", shown(other.mount.as_bytes())));
            if other.mount == listed.mount {
                *other = listed;
            }
            return Ok(());
        }
        if self.listed.len() == LISTED_MAX {
            return Err(Failure::refused(format!("a master of more than {LISTED_MAX} maps")));
        }
        self.listed.push(listed);
        Ok(())
    }

    fn malformed(&mut self, what: &'static str, _: &[u8], place: u64) -> Done {
        self.bad.push(format!("line {place}: {what}"));
        Ok(())
    }

    fn unsafe_entry(&mut self, what: &'static str, name: &[u8]) -> Done {
        self.bad.push(format!("{}: {what}", shown(name)));
        Ok(())
    }
}

/// The maps that the local master lists with exactly the path that is ours for them.
pub fn listed(config: &MapConfig<'_>) -> Done<Vec<Place>> {
    let text = read_path(&Place::Master.path(config)?).unwrap_or_default();
    let mut master = Master::default();
    let mut paths = Vec::new();
    let mut fields = Fields::default();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        super::lines::split(line, Map::Automount, &mut fields);
        let count = master.listed.len();
        master.entry(&fields, at as u64 + 1)?;
        if master.listed.len() > count {
            let rest = String::from_utf8_lossy(fields.get(1)).into_owned();
            paths.push(rest.split_ascii_whitespace().next().unwrap_or_default().to_owned());
        }
    }
    let mut found = Vec::new();
    for (listed, path) in master.listed.into_iter().zip(paths) {
        let place = Place::Automount(listed);
        if place.shown_path(config)? == path {
            found.push(place);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Master {
        let mut master = Master::default();
        super::super::lines::read(text.as_bytes(), Map::Automount, &mut master).unwrap();
        master
    }

    #[test]
    fn a_master_has_mount_points_and_perhaps_options() {
        let master =
            read("/home /etc/auto.home\n# x\n/usr/proj auto.proj -ro\n/a\tnfs:/b/auto.a  --x y\n");
        let found: Vec<_> =
            master.listed.iter().map(|l| (l.mount.as_str(), l.name.as_str(), l.flat())).collect();
        assert_eq!(
            found,
            [
                ("/home", "auto.home", "home".to_owned()),
                ("/usr/proj", "auto.proj", "usr_proj".to_owned()),
                ("/a", "auto.a", "a".to_owned()),
            ]
        );
        assert!(master.bad.is_empty());
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        for line in [
            "+auto.master",
            "home auto.home",
            "/home",
            "/home -hosts",
            "/home ..",
            "/home /",
            "/home /x/.",
        ] {
            let master = read(&format!("{line}\n"));
            assert_eq!((master.listed.len(), master.bad.len()), (0, 1), "{line}");
        }
        let master = read("/../../etc/passwd x\n");
        assert_eq!(master.listed[0].flat(), ".._.._etc_passwd");
        // Two mount points, one file.
        let master = read("/a/b x\n/a_b y\n");
        assert_eq!((master.listed.len(), master.bad.len()), (1, 1));
    }
}
