//! What nsscache.conf says of a directory.

use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::maps::Map;
use crate::limits::{LDAP_FILTER, LDAP_SECONDS};
use nssproto::ldap::{Filter, Scope};
use std::time::Duration;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// `ldap://` and `ldaps://`: whether TLS comes first, the host, the port.
    Host {
        /// ldaps
        secure: bool,
        /// A name or an address, without brackets.
        host: String,
        /// 389, 636 or another.
        port: u16,
    },
    /// `ldapi://`: the path of a socket.
    Socket(Vec<u8>),
}

/// Who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody.
    Anonymous,
    /// A DN and its password.
    Simple(String, String),
    /// Who the connection says: TLS by its certificate, a socket by its owner. Perhaps as another.
    External(String),
}

/// Where and how is asked.
pub struct Settings {
    /// The servers, in the order in which they are tried.
    pub uris: Vec<Uri>,
    /// Who we are.
    pub identity: Identity,
    /// The entry under which the map is.
    pub base: String,
    /// Which entries are in it, as text.
    pub filter: String,
    /// How far under it they are.
    pub scope: Scope,
    /// How long a server may be silent.
    pub silence: Duration,
    /// Whether TLS is asked for on an open connection.
    pub start_tls: bool,
}

/// Words of `ldap_scope`.
const SCOPES: [(&str, Scope); 5] = [
    ("one", Scope::One),
    ("onelevel", Scope::One),
    ("base", Scope::Base),
    ("sub", Scope::Subtree),
    ("subtree", Scope::Subtree),
];

impl Settings {
    /// What the configuration says for a map.
    pub fn read(config: &MapConfig<'_>) -> Done<Settings> {
        let text = config.required("ldap_uri")?;
        let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
        let uris: Done<Vec<Uri>> = words
            .map(|word| Uri::parse(word).map_err(|what| config.wrong("ldap_uri", &what)))
            .collect();
        let word = config.one_of("ldap_scope", &SCOPES.map(|(word, _)| word))?;
        let scope = SCOPES.iter().find(|(name, _)| *name == word).map_or(Scope::One, |(_, s)| *s);
        // Python's nsscache waits for ever; a server that is silent is to hold up nobody.
        let seconds: i64 = config.number("ldap_timelimit", 0)?;
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        let filter = match config.map {
            Map::Automount => AUTOMOUNT.to_owned(),
            _ => config.required("ldap_filter")?,
        };
        check_filter(config, &filter)?;
        Ok(Settings {
            uris: uris?,
            identity: identity(config)?,
            base: config.required("ldap_base")?,
            filter,
            scope,
            silence: Duration::from_secs(seconds.unwrap_or(LDAP_SECONDS)),
            start_tls: config.flag("ldap_tls_starttls", false)?,
        })
    }

    /// What it is called in the log, and told from another by.
    pub fn origin(&self, base: &str) -> String {
        let uris: Vec<String> = self.uris.iter().map(Uri::shown).collect();
        let scope = match self.scope {
            Scope::Base => "base",
            Scope::One => "one",
            Scope::Subtree => "sub",
        };
        format!("{} {base} {scope} {}", uris.join(","), self.filter)
    }
}

/// The entries of an automount map.
const AUTOMOUNT: &str = "(objectclass=automount)";

fn check_filter(config: &MapConfig<'_>, filter: &str) -> Done {
    let mut room = vec![0; LDAP_FILTER];
    match Filter::parse(filter.as_bytes(), &mut room) {
        Ok(_) => Ok(()),
        Err(error) => Err(config.wrong("ldap_filter", &error.to_string())),
    }
}

fn identity(config: &MapConfig<'_>) -> Done<Identity> {
    if config.flag("ldap_use_sasl", false)? {
        let mechanism = config.text("ldap_sasl_mech")?.unwrap_or_else(|| "gssapi".to_owned());
        return match mechanism.eq_ignore_ascii_case("external") {
            true => Ok(Identity::External(config.text("ldap_sasl_authzid")?.unwrap_or_default())),
            false => {
                let text = format!("{} is not there; EXTERNAL is", shown(mechanism.as_bytes()));
                Err(config.wrong("ldap_sasl_mech", &text))
            }
        };
    }
    let password = config.secret("ldap_bind_password")?;
    match (config.text("ldap_bind_dn")?, password) {
        (None, _) => Ok(Identity::Anonymous),
        (Some(dn), Some(password)) => Ok(Identity::Simple(dn, password)),
        // A server takes a DN without a password for nobody, and tells nothing of it.
        (Some(_), None) => Err(Failure::refused(
            "ldap_bind_dn without ldap_bind_password or ldap_bind_password_file",
        )),
    }
}

impl Uri {
    /// The error says what is wrong.
    fn parse(text: &str) -> Result<Uri, String> {
        let bad = || format!("{} is no URI of LDAP", shown(text.as_bytes()));
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        if scheme.eq_ignore_ascii_case("ldapi") {
            let path = percent_decoded(rest.trim_end_matches(['/', '?'])).ok_or_else(bad)?;
            return match path.first() {
                Some(b'/') => Ok(Uri::Socket(path)),
                _ => Err(bad()),
            };
        }
        let secure = scheme.eq_ignore_ascii_case("ldaps");
        if !secure && !scheme.eq_ignore_ascii_case("ldap") {
            return Err(bad());
        }
        let (authority, behind) = match rest.split_once('/') {
            Some((authority, behind)) => (authority, behind),
            None => (rest, ""),
        };
        if !behind.is_empty() {
            return Err(format!(
                "{}: base, scope and filter have keys of their own",
                shown(text.as_bytes())
            ));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inside) => {
                let (host, behind) = inside.split_once(']').ok_or_else(bad)?;
                (host, behind.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| bad())?,
            None if secure => 636,
            None => 389,
        };
        let plain =
            |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '@' | '%' | '?');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(bad());
        }
        Ok(Uri::Host { secure, host: host.to_owned(), port })
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Uri::Socket(path) => format!("ldapi://{}", shown(path)),
            Uri::Host { secure, host, port } => {
                let scheme = if *secure { "ldaps" } else { "ldap" };
                let brackets = host.contains(':');
                let (open, close) = if brackets { ("[", "]") } else { ("", "") };
                format!("{scheme}://{open}{host}{close}:{port}")
            }
        }
    }

    /// Whether what goes there leaves this machine.
    pub fn is_far(&self) -> bool {
        let Uri::Host { host, .. } = self else { return false };
        let address = host.parse::<std::net::IpAddr>();
        !(host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|one| one.is_loopback()))
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    (!out.contains(&0)).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read() {
        let of = |text: &str| Uri::parse(text).map(|uri| uri.shown()).unwrap_or_default();
        assert_eq!(of("ldap://host"), "ldap://host:389");
        assert_eq!(of("LDAPS://host/"), "ldaps://host:636");
        assert_eq!(of("ldap://[::1]:3890"), "ldap://[::1]:3890");
        assert_eq!(of("ldapi://%2Frun%2Fslapd%2Fldapi"), "ldapi:///run/slapd/ldapi");
        assert_eq!(of("ldapi:///run/slapd/ldapi"), "ldapi:///run/slapd/ldapi");
        for bad in [
            "",
            "host",
            "http://host",
            "ldap://",
            "ldapi://",
            "ldapi://x",
            "ldap://h:x",
            "ldap://u:p@host",
            "ldap://host/dc=example",
            "ldap://h:99999",
            "ldapi://%zz",
        ] {
            assert_eq!(of(bad), "", "{bad}");
        }
    }

    #[test]
    fn loopback_is_not_far() {
        let far = |text: &str| Uri::parse(text).unwrap().is_far();
        assert!(!far("ldap://127.0.0.1") && !far("ldap://[::1]") && !far("ldap://localhost"));
        assert!(!far("ldapi:///run/ldapi"));
        assert!(far("ldap://127.0.0.1.example.org") && far("ldap://192.0.2.1"));
    }
}
