//! Which attributes of an entry are a map's fields (rfc2307, rfc2307bis, Active Directory).

use super::super::expression::Expression;
use super::Raw;
use crate::directory::config::MapConfig;
use crate::directory::failure::Done;
use crate::directory::fields::Fields;
use crate::directory::maps::Map;
use nssproto::bytes::decimal_u64;

/// What of an attribute is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The first value.
    First,
    /// All, in the order in which they came.
    All,
    /// All, sorted: members.
    Sorted,
}

/// Why an entry is none of its map. Told by number where it is kept in a file.
pub const FAULTS: [&str; 9] = [
    "no name (ldap_uidattr, uid or cn)",
    "no uidNumber, or none that is a number",
    "no gidNumber, or none that is a number",
    "no sambaSID, or none with a number",
    "no objectSid, or none with a number",
    "neither gecos nor cn nor fullName",
    "no automountInformation",
    "no pwdLastSet, or none that is a number",
    "a public key that is none",
];
const NO_NAME: usize = 0;
const NO_UID: usize = 1;
const NO_GID: usize = 2;
const NO_SAMBA_SID: usize = 3;
const NO_OBJECT_SID: usize = 4;
const NO_GECOS: usize = 5;
const NO_LOCATION: usize = 6;
const NO_PASSWORD_TIME: usize = 7;
const BAD_KEY: usize = 8;

/// How members of groups are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// `memberUid`: names.
    Names,
    /// `member`: DNs.
    Dns,
    /// `uniqueMember`: DNs, of which all values of `uid` count.
    Unique,
}

/// The schema of a map.
pub struct Schema {
    map: Map,
    /// Active Directory.
    pub ad: bool,
    /// By what users are called.
    pub uid: String,
    use_rid: bool,
    offset: i64,
    shell: Option<String>,
    home_dir: bool,
    uid_regex: Option<Expression>,
    /// What of a member's name counts.
    pub group_regex: Option<Expression>,
    /// What members are.
    pub members: Members,
    /// What is asked for.
    pub attributes: Vec<(String, Keep)>,
    suffix: Option<(Expression, String)>,
}

impl Schema {
    /// What the configuration says.
    pub fn read(config: &MapConfig<'_>) -> Done<Schema> {
        let ad = config.flag("ldap_ad", false)?;
        let default = if ad { "sAMAccountName" } else { "uid" };
        let uid = match config.text("ldap_uidattr")? {
            // Its own default does not undo ldap_ad.
            Some(uid) if !(ad && uid == "uid") => uid,
            _ => default.to_owned(),
        };
        let members = if config.flag("ldap_rfc2307bis", false)? || ad {
            Members::Dns
        } else if config.flag("ldap_rfc2307bis_alt", false)? {
            Members::Unique
        } else {
            Members::Names
        };
        let regex = |name: &str| match config.text(name)? {
            Some(text) => {
                Expression::new(&text).map(Some).map_err(|what| config.wrong(name, &what))
            }
            None => Ok(None),
        };
        let mut schema = Schema {
            map: config.map,
            ad,
            uid,
            use_rid: config.flag("ldap_use_rid", false)?,
            offset: config.number("ldap_offset", 0)?,
            shell: config.text("ldap_override_shell")?,
            home_dir: config.flag("ldap_home_dir", false)?,
            uid_regex: regex("ldap_uidregex")?,
            group_regex: regex("ldap_groupregex")?,
            members,
            attributes: Vec::new(),
            suffix: suffix(config)?,
        };
        schema.attributes = schema.wanted();
        Ok(schema)
    }

    /// The attribute in which a group's members are.
    pub fn member_attribute(&self) -> &'static str {
        match self.members {
            Members::Names => "memberUid",
            Members::Dns => "member",
            Members::Unique => "uniqueMember",
        }
    }

    /// By which entries tell when they changed.
    pub fn modified_attribute(&self) -> &'static str {
        if self.ad { "whenChanged" } else { "modifyTimestamp" }
    }

    fn wanted(&self) -> Vec<(String, Keep)> {
        let firsts: &[&str] = match (self.map, self.ad) {
            (Map::Passwd, true) => &["objectSid", "displayName", "unixHomeDirectory", "loginShell"],
            (Map::Passwd, false) => &[
                "uidNumber",
                "gidNumber",
                "gecos",
                "cn",
                "fullName",
                "homeDirectory",
                "loginShell",
            ],
            (Map::Group, true) => &["objectSid"],
            (Map::Group, false) => &["uid", "cn", "gidNumber"],
            (Map::Shadow, true) => &[
                "pwdLastSet",
                "shadowMin",
                "shadowMax",
                "shadowWarning",
                "shadowInactive",
                "shadowExpire",
                "shadowFlag",
            ],
            (Map::Shadow, false) => &[
                "userPassword",
                "shadowLastChange",
                "shadowMin",
                "shadowMax",
                "shadowWarning",
                "shadowInactive",
                "shadowExpire",
                "shadowFlag",
            ],
            (Map::Netgroup, _) => &["cn"],
            (Map::Automount, _) => &["cn", "automountInformation"],
            (Map::Sshkey, _) => &[],
        };
        let mut wanted: Vec<(String, Keep)> =
            firsts.iter().map(|name| ((*name).to_owned(), Keep::First)).collect();
        let has_user = !matches!(self.map, Map::Netgroup | Map::Automount);
        if has_user && !wanted.iter().any(|(name, _)| name.eq_ignore_ascii_case(&self.uid)) {
            wanted.push((self.uid.clone(), Keep::First));
        }
        if self.use_rid && matches!(self.map, Map::Passwd | Map::Group) {
            wanted.push(("sambaSID".to_owned(), Keep::First));
        }
        match self.map {
            Map::Group => wanted.push((self.member_attribute().to_owned(), Keep::Sorted)),
            Map::Netgroup => {
                for name in ["memberNisNetgroup", "nisNetgroupTriple"] {
                    wanted.push((name.to_owned(), Keep::Sorted));
                }
            }
            Map::Sshkey => wanted.push(("sshPublicKey".to_owned(), Keep::All)),
            _ => {}
        }
        wanted
    }

    /// The fields of an entry; of group and netgroup without the last one, which is its members. The
    /// error is the number of one of [`FAULTS`].
    pub fn fields(&self, raw: &Raw, fields: &mut Fields) -> Result<(), usize> {
        fields.clear();
        match self.map {
            Map::Passwd => self.passwd(raw, fields),
            Map::Group => {
                let names: &[&str] = if self.ad { &[] } else { &["uid", "cn"] };
                let name = raw.first(&self.uid).or_else(|| names.iter().find_map(|n| raw.first(n)));
                fields.push(name.ok_or(NO_NAME)?);
                fields.push(b"*");
                let gid = self.id(raw, "gidNumber", NO_GID)?;
                fields.push(gid.as_bytes());
                Ok(())
            }
            Map::Shadow => self.shadow(raw, fields),
            Map::Netgroup => {
                fields.push(raw.first("cn").ok_or(NO_NAME)?);
                Ok(())
            }
            Map::Automount => self.automount(raw, fields),
            Map::Sshkey => {
                fields.push(&self.user(raw)?);
                let text = fields.text();
                let list = nssproto::cache::sshkey::write_list(raw.all(), |byte| text.push(byte));
                fields.end();
                list.map_err(|_| BAD_KEY)
            }
        }
    }

    /// The name of a user.
    fn user(&self, raw: &Raw) -> Result<Vec<u8>, usize> {
        let name = raw.first(&self.uid).ok_or(NO_NAME)?;
        Ok(match &self.uid_regex {
            Some(expression) => expression.joined(name),
            None => name.to_vec(),
        })
    }

    fn passwd(&self, raw: &Raw, fields: &mut Fields) -> Result<(), usize> {
        let name = self.user(raw)?;
        let uid = self.id(raw, "uidNumber", NO_UID)?;
        let gid = self.id(raw, "gidNumber", NO_GID)?;
        fields.push(&name);
        fields.push(b"x");
        fields.push(uid.as_bytes());
        fields.push(gid.as_bytes());
        let gecos = match self.ad {
            true => raw.first("displayName").unwrap_or_default(),
            false => {
                let names = ["gecos", "cn", "fullName"];
                names.iter().find_map(|name| raw.first(name)).ok_or(NO_GECOS)?
            }
        };
        fields.text().extend(gecos.iter().filter(|byte| **byte != b'\n'));
        fields.end();
        let home = if self.ad { "unixHomeDirectory" } else { "homeDirectory" };
        match self.home_dir {
            true => fields.push(&[b"/home/", name.as_slice()].concat()),
            false => fields.push(raw.first(home).unwrap_or_default()),
        }
        let shell = self.shell.as_deref().map(str::as_bytes);
        fields.push(shell.or_else(|| raw.first("loginShell")).unwrap_or_default());
        Ok(())
    }

    /// A number, or what stands for it, with what is added.
    fn id(&self, raw: &Raw, attribute: &str, fault: usize) -> Result<String, usize> {
        let number = if self.ad {
            raw.first("objectSid").and_then(rid_of).ok_or(NO_OBJECT_SID)?
        } else if self.use_rid {
            raw.first("sambaSID").and_then(text_rid).ok_or(NO_SAMBA_SID)?
        } else {
            raw.first(attribute).and_then(decimal_u64).ok_or(fault)?
        };
        // Out of bounds is found out where the line is written.
        Ok(i128::from(number).saturating_add(self.offset.into()).to_string())
    }

    fn shadow(&self, raw: &Raw, fields: &mut Fields) -> Result<(), usize> {
        fields.push(&self.user(raw)?);
        const CRYPT: &[u8] = b"{crypt}";
        let password = raw.first("userPassword").and_then(|text| {
            let (front, rest) = text.split_at_checked(CRYPT.len())?;
            front.eq_ignore_ascii_case(CRYPT).then_some(rest)
        });
        fields.push(password.unwrap_or(b"*"));
        match self.ad {
            true => {
                let ticks =
                    raw.first("pwdLastSet").and_then(decimal_u64).ok_or(NO_PASSWORD_TIME)?;
                fields.push(days_of(ticks).to_string().as_bytes());
            }
            false => fields.push(raw.first("shadowLastChange").unwrap_or_default()),
        }
        for name in ["Min", "Max", "Warning", "Inactive", "Expire", "Flag"] {
            fields.push(raw.first(&format!("shadow{name}")).unwrap_or_default());
        }
        Ok(())
    }

    fn automount(&self, raw: &Raw, fields: &mut Fields) -> Result<(), usize> {
        fields.push(raw.first("cn").ok_or(NO_NAME)?);
        let told = raw.first("automountInformation").ok_or(NO_LOCATION)?;
        let mut words = told.split(|byte| *byte == b' ');
        let first = words.next().unwrap_or_default();
        let text = fields.text();
        text.extend_from_slice(first);
        // One word is a location without options.
        if let Some(location) = words.next() {
            text.push(b' ');
            match &self.suffix {
                Some((prefix, suffix)) => text.extend(prefix.replaced(location, suffix)),
                None => text.extend_from_slice(location),
            }
        }
        fields.end();
        Ok(())
    }
}

/// `[suffix]`: an expression, and what stands in its place.
fn suffix(config: &MapConfig<'_>) -> Done<Option<(Expression, String)>> {
    if config.map != Map::Automount {
        return Ok(None);
    }
    let Some(prefix) = config.of_suffix("prefix")? else { return Ok(None) };
    let suffix = config.of_suffix("suffix")?.unwrap_or_default();
    let expression = Expression::new(&prefix).map_err(|what| config.wrong("prefix", &what))?;
    Ok(Some((expression, suffix)))
}

/// The last part of a SID: binary, its last 32 bits, or text.
fn rid_of(sid: &[u8]) -> Option<u64> {
    if sid.starts_with(b"S-") {
        return text_rid(sid);
    }
    let last: [u8; 4] = *sid.last_chunk()?;
    (sid.len() >= 12).then_some(u32::from_le_bytes(last).into())
}

/// What is behind the last `-`.
fn text_rid(sid: &[u8]) -> Option<u64> {
    decimal_u64(sid.rsplit(|byte| *byte == b'-').next()?)
}

/// The day since 1970 of a time of Windows, in 100 ns since 1601. None, "change it now", is day 0.
fn days_of(ticks: u64) -> u64 {
    (ticks / 10_000_000).saturating_sub(11_644_473_600) / 86_400
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_out_of_sids() {
        let sid = [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 0xf4, 1, 0, 0];
        assert_eq!(rid_of(&sid), Some(500));
        assert_eq!(rid_of(b"S-1-5-21-1-2-3-1104"), Some(1104));
        assert_eq!(rid_of(b"S-1-5-21-"), None);
        assert_eq!(rid_of(b"abc"), None);
        assert_eq!(rid_of(b""), None);
    }

    #[test]
    fn times_of_windows_become_days() {
        assert_eq!(days_of(133_485_408_000_000_000), 19_723);
        assert_eq!(days_of(0), 0);
        assert_eq!(days_of(u64::MAX), 21_215_624);
    }
}
