//! The source `scim`: users and groups of SCIM 2.0 (RFC 7643, 7644), with the option names of
//! CoreWeave's fork of nsscache.
//!
//! A list comes in pages, by index or by cursor (RFC 9865). Nothing keeps it still meanwhile: pages that
//! repeat an entry, or do not come to the number that the server tells, are a failure.

mod ids;
mod pages;

use self::ids::Ids;
use self::pages::Pages;
use super::client::Client;
use super::json::{Field, Many, Paths, Wrong, object_of, text_at};
use super::url::Url;
use super::{Fetched, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure};
use crate::directory::fields::Fields;
use crate::directory::intake::Entries;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::state::Validators;
use nssproto::json::{Members, Value};
use std::collections::HashMap;

/// How a map is fetched.
pub struct Scim<'a> {
    config: &'a MapConfig<'a>,
    retries: (u32, u32),
    client: Client<'a>,
}

/// A list of the server.
#[derive(Clone, Copy)]
enum List {
    Users,
    Groups,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            List::Users => "users",
            List::Groups => "groups",
        }
    }
}

impl<'a> Scim<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        if matches!(config.map, Map::Netgroup | Map::Automount) {
            let map = config.map.name();
            return Err(config.wrong("source", &format!("scim has no {map}")));
        }
        let client = Client::with_limit(config, "scim", "scim_timeout".to_owned(), log)?;
        Ok(Scim { config, retries: retries(config, "scim")?, client })
    }

    fn list(&self) -> List {
        if self.config.map == Map::Group { List::Groups } else { List::Users }
    }

    fn url(&self, list: List) -> Done<Url> {
        let base = self.config.secret("scim_base_url")?;
        let base = base.ok_or_else(|| Failure::refused("scim_base_url is missing"))?;
        let (key, default) = match list {
            List::Users => ("scim_users_endpoint", "Users"),
            List::Groups => ("scim_groups_endpoint", "Groups"),
        };
        let endpoint = self.config.text(key)?;
        let url = Url::parse(&base)?.under(endpoint.as_deref().unwrap_or(default));
        let more = self.config.text(&format!("scim_{}_parameters", list.name()))?;
        let more = more.unwrap_or_default();
        let parameters = more.split('&').filter(|parameter| !parameter.is_empty());
        Ok(parameters.fold(url, |url, parameter| match parameter.split_once('=') {
            Some((name, value)) => url.with(name, Some(value)),
            None => url.with(parameter, None),
        }))
    }

    /// The token, which others may renew in its file.
    fn token(&self) -> Done<String> {
        let token = self.config.secret("scim_auth_token")?;
        let token = token.or_else(|| std::env::var("NSSCACHE_SCIM_AUTH_TOKEN").ok());
        token.filter(|token| !token.is_empty()).ok_or_else(|| {
            Failure::refused(
                "no scim_auth_token, no scim_auth_token_file, and no NSSCACHE_SCIM_AUTH_TOKEN",
            )
        })
    }

    /// Hands each entry of a list over, as it stands.
    fn each(&mut self, list: List, each: &mut dyn FnMut(&[u8], u64) -> Done) -> Done<u64> {
        let cursor = self.config.one_of("scim_paging", &["index", "cursor"])? == "cursor";
        let size: u64 = self.config.number("scim_page_size", 0)?;
        let (url, token) = (self.url(list)?, self.token()?);
        let mut pages = Pages::new(url, token, cursor, size);
        while pages.fetch(&mut self.client, each)? {}
        Ok(pages.bytes)
    }

    /// What users are called, by the id that groups have for them.
    fn names(&mut self) -> Done<HashMap<Vec<u8>, Vec<u8>>> {
        let path = username(&self.config.of_map(Map::Passwd))?;
        let path: Vec<String> = path.split('/').map(str::to_owned).collect();
        let keeps = self.config.flag("scim_keep_inactive", false)?;
        let mut names = HashMap::new();
        self.each(List::Users, &mut |element, _| {
            let found = object_of(element).and_then(|user| {
                // As in passwd.
                let name = match text_at(user, &path)? {
                    None => text_at(user, &["userName".to_owned()])?,
                    name => name,
                };
                Ok((text_at(user, &["id".to_owned()])?, name))
            });
            if let Ok((Some(id), Some(name))) = found
                && (keeps || is_active(element))
            {
                names.insert(id, name);
            }
            Ok(())
        })?;
        Ok(names)
    }
}

/// Where a user's name stands.
fn username(config: &MapConfig<'_>) -> Done<String> {
    Ok(config.text("scim_path_username")?.unwrap_or_else(|| "userName".to_owned()))
}

/// Whether somebody may still come in.
fn is_active(element: &[u8]) -> bool {
    let Ok(Value::Object(raw)) = object_of(element) else { return true };
    let Ok(members) = Members::of(raw) else { return true };
    !members.flatten().any(|(name, value)| {
        name.is("active")
            && match value {
                Value::Bool(active) => !active,
                Value::Text(text) => text.bytes().eq_ignore_case(b"false"),
                _ => false,
            }
    })
}

/// Bytes that are the same but for capitals.
trait EqIgnoreCase {
    fn eq_ignore_case(self, other: &[u8]) -> bool;
}

impl<I: Iterator<Item = u8>> EqIgnoreCase for I {
    fn eq_ignore_case(self, other: &[u8]) -> bool {
        self.map(|byte| byte.to_ascii_lowercase()).eq(other.iter().copied())
    }
}

/// How groups name their members.
enum By {
    /// By names, which stand in them.
    Names,
    /// By the ids of users.
    Ids,
}

/// Where a map's fields stand, and how its groups name their members.
fn paths(config: &MapConfig<'_>, ids: Option<&Ids>) -> Done<(Paths, By)> {
    let map = config.map;
    let text = |name: &str| config.text(&format!("scim_{name}"));
    let name = Field::at(&[&username(config)?, "userName"]);
    let mut by = By::Names;
    // An id that is not there is filled in later.
    let id = |path: Option<String>, default: &str| match (path, ids) {
        (Some(path), Some(_)) => Field::at(&[&path]).or(""),
        (None, Some(_)) => Field::at(&[]).or(""),
        (Some(path), None) => Field::at(&[&path]),
        (None, None) => Field::at(&[default]),
    };
    let fields = match map {
        Map::Passwd => {
            let gecos = match text("path_gecos")? {
                Some(path) => Field::at(&[&path]),
                None => Field::at(&["name/formatted"])
                    .or_joined(&["name/givenName", "name/familyName"])
                    .or_joined(&["displayName"]),
            };
            let gid = match text("path_gid")? {
                Some(path) => Field::at(&[&path]),
                None => Field::at(&[]),
            };
            let home = match (text("override_home_directory")?, text("path_home_directory")?) {
                (Some(home), _) => Field::at(&[]).or_of_name(home),
                (None, Some(path)) => Field::at(&[&path]).or_of_name("/home/%u"),
                (None, None) => Field::at(&[]).or_of_name("/home/%u"),
            };
            let shell = text("path_login_shell")?;
            let shell = shell.as_deref().map_or(Field::at(&[]), |path| Field::at(&[path]));
            let default = text("default_shell")?.unwrap_or_else(|| "/bin/bash".to_owned());
            vec![
                name,
                Field::at(&[]).or("x"),
                id(text("path_uid")?, "id"),
                gid.or(""),
                gecos.or(""),
                home,
                shell.or(default),
            ]
        }
        Map::Group => {
            let name = match text("path_groupname")? {
                Some(path) => Field::at(&[&path]),
                None => Field::at(&["displayName", "name"]),
            };
            // The fork's way to say it: a path of the group, through its members.
            let user = text("path_username")?.filter(|path| path.starts_with("members/"));
            let by_names = text("path_members")?.or(user);
            let members = match by_names {
                _ if config.flag("scim_resolve_members", by_names.is_none())? => {
                    by = By::Ids;
                    Field::at(&["members/value"])
                }
                Some(path) => Field::at(&[&path]),
                None => Field::at(&["members/userName"]),
            };
            let gid = id(text("path_gid")?, "gid");
            vec![name, Field::at(&[]).or("x"), gid, members.or("").many(Many::Array)]
        }
        Map::Shadow => {
            let mut fields = vec![name, Field::at(&[]).or("*")];
            for day in ["lstchg", "min", "max", "warn", "inact", "expire", "flag"] {
                let default = text(&format!("shadow_default_{day}"))?.unwrap_or_default();
                fields.push(Field::at(&[]).or(default));
            }
            fields
        }
        _ => {
            let path = config.required("scim_path_ssh_keys")?;
            vec![name, Field::at(&[&path]).or("").many(Many::Array)]
        }
    };
    Ok((Paths::of(map, "", fields), by))
}

impl Source for Scim<'_> {
    fn origin(&self, _: Object<'_>) -> Done<String> {
        Ok(self.url(self.list())?.bare())
    }

    fn fetch(&mut self, _: Object<'_>, _: &Since, into: &mut dyn Entries) -> Done<Fetched> {
        let (map, ids) = (self.config.map, Ids::read(self.config)?);
        let (paths, by) = paths(self.config, ids.as_ref())?;
        let names = match by {
            By::Ids => self.names()?,
            By::Names => HashMap::new(),
        };
        let keeps = map == Map::Group || self.config.flag("scim_keep_inactive", false)?;
        let (mut fields, mut whole) = (Fields::default(), Fields::default());
        let bytes = self.each(self.list(), &mut |element, number| {
            if !keeps && !is_active(element) {
                return Ok(());
            }
            let taken = paths.entry(element, None, &mut fields);
            let taken = taken.and_then(|()| {
                ids::fill(&fields, map, ids.as_ref(), &mut whole, |at, text, out| match by {
                    By::Ids if at == MEMBERS => named(text, &names, out),
                    _ => out.extend_from_slice(text),
                })
            });
            match taken {
                Ok(()) => into.entry(&whole, number),
                Err(Wrong::Missing) => into.malformed("a field is missing", fields.name(), number),
                Err(Wrong::Malformed(what)) => into.malformed(what, fields.name(), number),
                Err(Wrong::Unsafe(what)) => into.unsafe_entry(what, fields.name()),
            }
        })?;
        Ok(Fetched::Whole { modified: None, validators: Validators::default(), bytes })
    }

    fn probe(&mut self, _: Object<'_>) -> Done {
        let mut pages = Pages::new(self.url(self.list())?, self.token()?, false, 1);
        pages.fetch(&mut self.client, &mut |_, _| Ok(())).map(drop)
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }
}

/// The field of a group's members.
const MEMBERS: usize = 3;

/// Puts names for ids. Those whom nobody knows (groups in groups, users who are gone) are left out.
fn named(ids: &[u8], names: &HashMap<Vec<u8>, Vec<u8>>, out: &mut Vec<u8>) {
    let start = out.len();
    for name in ids.split(|byte| *byte == b',').filter_map(|id| names.get(id)) {
        // A name that would be two is nobody's.
        if name.contains(&b',') || name.is_empty() {
            continue;
        }
        if out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(name);
    }
}
