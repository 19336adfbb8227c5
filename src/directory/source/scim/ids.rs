//! Numbers for entries that have none: derived from their names by the keyed hash of nsssd-map, so that
//! hosts with one key agree.

use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure};
use crate::directory::fields::Fields;
use crate::directory::maps::Map;
use crate::directory::source::json::Wrong;

#[cfg(feature = "nsssd-map")]
pub use self::derived::Ids;

#[cfg(feature = "nsssd-map")]
mod derived {
    use super::{Done, Failure, MapConfig};
    use crate::backend::map::key::{Key, KeyError};
    use crate::backend::map::template;

    /// What numbers are derived by.
    pub struct Ids {
        key: Key,
        from: u32,
        size: u32,
    }

    impl Ids {
        /// `scim_derive_key` and `scim_derive_range`; `None`: numbers are not derived.
        pub fn read(config: &MapConfig<'_>) -> Done<Option<Ids>> {
            let Some(path) = config.text("scim_derive_key")? else { return Ok(None) };
            let range = config.required("scim_derive_range")?;
            let wrong = |what: &str| config.wrong("scim_derive_range", what);
            let (from, size) = match template::ids(range.as_bytes(), template::LOWEST) {
                Ok(template::Ids::Range { lo, size }) => (lo, size),
                Ok(_) => return Err(wrong("no range")),
                Err(what) => return Err(wrong(what)),
            };
            let key = Key::read(path.as_bytes()).map_err(|error| match error {
                KeyError::System(errno) => Failure::system("open", path.as_bytes(), errno),
                KeyError::Bad(what) => Failure::refused(format!("{what} {path}")),
            })?;
            Ok(Some(Ids { key, from, size }))
        }

        /// That of a name.
        pub fn of(&self, name: &[u8]) -> Option<u32> {
            Some(self.key.derive(name, self.from, self.size))
        }
    }
}

/// What numbers would be derived by: this build cannot.
#[cfg(not(feature = "nsssd-map"))]
pub struct Ids;

#[cfg(not(feature = "nsssd-map"))]
impl Ids {
    /// None, or a failure where they were to be derived.
    pub fn read(config: &MapConfig<'_>) -> Done<Option<Ids>> {
        match config.text("scim_derive_key")? {
            Some(_) => Err(Failure::refused("this build derives no ids (feature nsssd-map)")),
            None => Ok(None),
        }
    }

    /// None.
    pub fn of(&self, _: &[u8]) -> Option<u32> {
        None
    }
}

/// Copies an entry, with numbers where they are missing. Without another one a user's gid is its uid.
pub fn fill(
    fields: &Fields,
    map: Map,
    ids: Option<&Ids>,
    whole: &mut Fields,
    mut put: impl FnMut(usize, &[u8], &mut Vec<u8>),
) -> Result<(), Wrong> {
    whole.clear();
    let mut uid = Vec::new();
    for at in 0..fields.len() {
        let given = fields.get(at);
        let number = match (map, at) {
            (Map::Passwd | Map::Group, 2) if given.is_empty() => {
                let id = ids.and_then(|ids| ids.of(fields.name())).ok_or(Wrong::Missing)?;
                uid = id.to_string().into_bytes();
                Some(uid.as_slice())
            }
            (Map::Passwd, 3) if given.is_empty() => Some(uid.as_slice()),
            _ => None,
        };
        if at == 2 && !given.is_empty() {
            uid = given.to_vec();
            whole.push(given);
            continue;
        }
        match number {
            Some(number) => whole.push(number),
            None => {
                put(at, given, whole.text());
                whole.end();
            }
        }
    }
    Ok(())
}
