//! The rule for what nscd sends of a password field (doc/nscd.md, "The password field"): pure, and
//! told what is to be looked at, one thing at a time.

use crate::backend::Teller;
use nssproto::entry::Db;
use nssproto::nscd::Password;

/// What a field is by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Empty, `*`, or `!` and what is behind it: it says all, and no hash.
    Plain,
    /// `x`: ask shadow.
    X,
    /// Anything else, a hash above all.
    Text,
}

impl Field {
    /// Of these bytes; of a long field the beginning does.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            b"" | b"*" | [b'!', ..] => Field::Plain,
            b"x" => Field::X,
            _ => Field::Text,
        }
    }
}

/// A record's field, who told it, and who asks.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Whether it is a user's or a group's.
    pub db: Db,
    /// The field.
    pub field: Field,
    /// Who told it.
    pub teller: Teller,
    /// Root asks.
    pub by_root: bool,
    /// What its teller has in shadow is told by our userdb, to those who ask glibc's service `systemd`.
    pub by_userdb: bool,
}

/// What has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Whether the asker could read the file that told it.
    Readable,
    /// Whether own /etc/passwd has the name.
    OwnPasswd,
    /// Whether nsswitch.conf lists the teller's own service for shadow, or the one by which our userdb
    /// tells it.
    Listed,
    /// Whether own /etc/shadow has a line of the name.
    ShadowLine,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// See [`Look::Readable`].
    pub readable: Option<bool>,
    /// See [`Look::OwnPasswd`].
    pub own: Option<OwnPasswd>,
    /// See [`Look::Listed`].
    pub listed: Option<bool>,
    /// See [`Look::ShadowLine`].
    pub line: Option<ShadowLine>,
}

/// What own /etc/passwd has of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnPasswd {
    /// Nothing.
    NoName,
    /// The name, with another field.
    Name,
    /// The name with that very field.
    SameField,
}

/// Whether own /etc/shadow has a line of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowLine {
    /// It has.
    Yes,
    /// It has none, or is not there.
    No,
    /// It is there, and cannot be read.
    Unknown,
}

/// What is sent; or what must be looked at before that is known.
pub fn shown(case: Case, facts: &Facts) -> Result<Password, Look> {
    let Case { db, field, teller, by_root, by_userdb } = case;
    let if_so = |holds| if holds { Password::AsItStands } else { Password::Star };
    let is_user = db == Db::Passwd;
    match field {
        Field::Plain => return Ok(Password::AsItStands),
        Field::X if !is_user => return Ok(Password::AsItStands),
        Field::X => {}
        Field::Text => {
            return Ok(if_so(match teller {
                Teller::Own | Teller::Directory | Teller::Extrausers | Teller::Cache => {
                    by_root || facts.readable.ok_or(Look::Readable)?
                }
                Teller::Nslcd => by_root && is_user,
                Teller::Other if is_user => {
                    facts.own.ok_or(Look::OwnPasswd)? == OwnPasswd::SameField
                }
                Teller::Other | Teller::Map => false,
            }));
        }
    }
    match teller {
        Teller::Own => return Ok(Password::AsItStands),
        Teller::Other if facts.own.ok_or(Look::OwnPasswd)? != OwnPasswd::NoName => {
            return Ok(Password::AsItStands);
        }
        _ => {}
    }
    // A map has no service of its own.
    let has_service = by_userdb || !matches!(teller, Teller::Map | Teller::Directory);
    if has_service && facts.listed.ok_or(Look::Listed)? {
        return Ok(Password::AsItStands);
    }
    Ok(match facts.line.ok_or(Look::ShadowLine)? {
        ShadowLine::Yes => Password::AsItStands,
        ShadowLine::No => Password::Star,
        // As if each name had a line, where files are: there are more who have one than in a map.
        ShadowLine::Unknown => if_so(matches!(teller, Teller::Directory | Teller::Extrausers)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Password::{AsItStands, Star};

    const HASHES: [&[u8]; 5] = [b"$6$salt$hash", b"*NP*", b"*LK*", b"##u", b"xx"];
    const TELLERS: [Teller; 7] = [
        Teller::Own,
        Teller::Directory,
        Teller::Extrausers,
        Teller::Cache,
        Teller::Map,
        Teller::Nslcd,
        Teller::Other,
    ];

    fn case(db: Db, field: &[u8], teller: Teller, by_root: bool) -> Case {
        Case { db, field: Field::of(field), teller, by_root, by_userdb: false }
    }

    fn user(field: &[u8], teller: Teller, by_root: bool) -> Case {
        case(Db::Passwd, field, teller, by_root)
    }

    #[test]
    fn what_says_all_by_itself_stands_without_a_look() {
        for field in [&b""[..], b"*", b"!", b"!!", b"!$6$salt$hash", b"!*"] {
            for teller in TELLERS {
                for db in [Db::Passwd, Db::Group] {
                    let case = case(db, field, teller, false);
                    assert_eq!(shown(case, &Facts::default()), Ok(AsItStands), "{case:?}");
                }
            }
        }
    }

    #[test]
    fn an_x_stays_where_shadow_can_be_asked_for_it() {
        use OwnPasswd::{Name, NoName, SameField};
        use ShadowLine::{No, Unknown, Yes};
        let nothing = Facts::default();
        let facts = |own, listed, line| Facts { readable: None, own, listed, line };
        assert_eq!(shown(user(b"x", Teller::Own, false), &nothing), Ok(AsItStands));
        let lines = [Yes, No, Unknown];
        for (teller, wanted) in [
            (Teller::Directory, [AsItStands, Star, AsItStands]),
            (Teller::Extrausers, [AsItStands, Star, AsItStands]),
            (Teller::Cache, [AsItStands, Star, Star]),
            (Teller::Map, [AsItStands, Star, Star]),
            (Teller::Nslcd, [AsItStands, Star, Star]),
            (Teller::Other, [AsItStands, Star, Star]),
        ] {
            for by_root in [true, false] {
                let case = user(b"x", teller, by_root);
                for (line, wanted) in lines.into_iter().zip(wanted) {
                    let facts = facts(Some(NoName), Some(false), Some(line));
                    assert_eq!(shown(case, &facts), Ok(wanted), "{case:?} {line:?}");
                }
                let listed = facts(Some(NoName), Some(true), Some(No));
                let has_service = !matches!(teller, Teller::Map | Teller::Directory);
                let wanted = if has_service { AsItStands } else { Star };
                assert_eq!(shown(case, &listed), Ok(wanted), "{case:?}");
                // Nothing is looked at that is not needed.
                let first = match teller {
                    Teller::Other => Look::OwnPasswd,
                    Teller::Map | Teller::Directory => Look::ShadowLine,
                    _ => Look::Listed,
                };
                assert_eq!(shown(case, &nothing), Err(first), "{case:?}");
            }
        }
        for own in [Name, SameField] {
            let own = facts(Some(own), None, None);
            assert_eq!(shown(user(b"x", Teller::Other, false), &own), Ok(AsItStands));
        }
        for teller in [Teller::Map, Teller::Directory] {
            let case = Case { by_userdb: true, ..user(b"x", teller, false) };
            assert_eq!(shown(case, &nothing), Err(Look::Listed));
            assert_eq!(shown(case, &facts(None, Some(true), None)), Ok(AsItStands));
            assert_eq!(shown(case, &facts(None, Some(false), Some(No))), Ok(Star));
        }
        let unlisted = facts(Some(NoName), Some(false), None);
        assert_eq!(shown(user(b"x", Teller::Other, true), &unlisted), Err(Look::ShadowLine));
    }

    #[test]
    fn a_hash_is_for_those_who_could_read_it() {
        for hash in HASHES {
            for teller in [Teller::Own, Teller::Directory, Teller::Extrausers, Teller::Cache] {
                for db in [Db::Passwd, Db::Group] {
                    let by = |by_root| case(db, hash, teller, by_root);
                    assert_eq!(shown(by(true), &Facts::default()), Ok(AsItStands));
                    assert_eq!(shown(by(false), &Facts::default()), Err(Look::Readable));
                    for (readable, wanted) in [(true, AsItStands), (false, Star)] {
                        let facts = Facts { readable: Some(readable), ..Facts::default() };
                        assert_eq!(shown(by(false), &facts), Ok(wanted));
                    }
                }
            }
            for by_root in [true, false] {
                let told = user(hash, Teller::Other, by_root);
                assert_eq!(shown(told, &Facts::default()), Err(Look::OwnPasswd));
                for (own, wanted) in [
                    (OwnPasswd::NoName, Star),
                    (OwnPasswd::Name, Star),
                    (OwnPasswd::SameField, AsItStands),
                ] {
                    let facts = Facts { own: Some(own), ..Facts::default() };
                    assert_eq!(shown(told, &facts), Ok(wanted));
                }
                let nothing = Facts::default();
                assert_eq!(shown(user(hash, Teller::Map, by_root), &nothing), Ok(Star));
                let by_nslcd = if by_root { AsItStands } else { Star };
                assert_eq!(shown(user(hash, Teller::Nslcd, by_root), &nothing), Ok(by_nslcd));
                for teller in [Teller::Map, Teller::Nslcd, Teller::Other] {
                    let group = case(Db::Group, hash, teller, by_root);
                    assert_eq!(shown(group, &nothing), Ok(Star), "{group:?}");
                }
            }
        }
    }

    #[test]
    fn gshadow_is_never_looked_at() {
        for teller in TELLERS {
            let case = case(Db::Group, b"x", teller, false);
            assert_eq!(shown(case, &Facts::default()), Ok(AsItStands));
        }
    }
}
