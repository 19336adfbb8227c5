//! The words of a database: `[USER@]HOST[:PORT][|[USER@]PROXY[:PORT]]`.

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The user, if the word names one.
    pub user: Option<String>,
    /// A name or an address; of IPv6 without brackets.
    pub name: String,
    /// The port, if the word names one.
    pub port: Option<u16>,
}

/// What a word says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whom to reach.
    pub host: Host,
    /// By way of whom.
    pub proxy: Option<Host>,
}

/// Longest word: two names of DNS with users and ports.
const LONGEST: usize = 1024;

impl Address {
    /// Reads a word. The error says what is wrong with it.
    pub fn parse(word: &str) -> Result<Address, &'static str> {
        if word.len() > LONGEST {
            return Err("too long");
        }
        let may = |c: char| c.is_ascii_alphanumeric() || "._:%@|[]-".contains(c);
        if !word.chars().all(may) {
            return Err("a character that no host name has");
        }
        match word.split_once('|') {
            None => Ok(Address { host: Host::parse(word)?, proxy: None }),
            Some((_, proxy)) if proxy.contains('|') => Err("two proxies"),
            Some((host, proxy)) => {
                Ok(Address { host: Host::parse(host)?, proxy: Some(Host::parse(proxy)?) })
            }
        }
    }
}

impl Host {
    /// Reads `[USER@]HOST[:PORT]`.
    fn parse(text: &str) -> Result<Host, &'static str> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (name, port) = match rest.strip_prefix('[') {
            Some(inside) => {
                let (name, behind) =
                    inside.split_once(']').ok_or("a bracket that is not closed")?;
                match behind.strip_prefix(':') {
                    Some(port) => (name, Some(port)),
                    None if behind.is_empty() => (name, None),
                    None => return Err("something behind its bracket"),
                }
            }
            None => match rest.split_once(':') {
                // An address of IPv6 that has no port.
                Some((_, port)) if port.contains(':') => (rest, None),
                Some((name, port)) => (name, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            None => None,
            Some(port) => Some(port_of(port).ok_or("no port")?),
        };
        if name.contains(['[', ']', '@']) {
            return Err("a bracket in the middle");
        }
        if user.is_some_and(|user| user.is_empty() || user.contains(['[', ']', ':'])) {
            return Err("no user");
        }
        // ssh would take it for an option; `..` would be a folder of ours.
        if name.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
            return Err("it begins with -");
        }
        if !name.contains(|c: char| c.is_ascii_alphanumeric()) && name != "::" {
            return Err("no name");
        }
        let user = user.map(str::to_owned);
        Ok(Host { user, name: name.to_owned(), port })
    }

    /// `[USER@]HOST[:PORT]`, as ssh's -J takes it.
    pub fn jump(&self, user: Option<&str>) -> String {
        let mut text = String::new();
        if let Some(user) = user.or(self.user.as_deref()) {
            text.push_str(user);
            text.push('@');
        }
        text.push_str(&self.bracketed());
        if let Some(port) = self.port {
            text.push_str(&format!(":{port}"));
        }
        text
    }

    /// The name, in brackets if it has colons.
    pub fn bracketed(&self) -> String {
        match self.name.contains(':') {
            true => format!("[{}]", self.name),
            false => self.name.clone(),
        }
    }
}

/// A port: 1 to 65535, in decimal.
pub fn port_of(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// The word as a field of a line: `%` and `:`, which would end it, are `%25` and `%3a`.
pub fn field(word: &str) -> String {
    word.replace('%', "%25").replace(':', "%3a")
}

/// The word that [`field`] was made of.
pub fn unfield(field: &str) -> String {
    field.replace("%3a", ":").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(user: Option<&str>, name: &str, port: Option<u16>) -> Host {
        Host { user: user.map(str::to_owned), name: name.to_owned(), port }
    }

    #[test]
    fn words_are_read() {
        for (word, wanted) in [
            ("web1", host(None, "web1", None)),
            ("root@web1:22", host(Some("root"), "web1", Some(22))),
            ("[::1]:2222", host(None, "::1", Some(2222))),
            ("fe80::1%eth0", host(None, "fe80::1%eth0", None)),
            ("a@b@c", host(Some("a@b"), "c", None)),
            ("[db1]:22", host(None, "db1", Some(22))),
        ] {
            assert_eq!(Address::parse(word), Ok(Address { host: wanted, proxy: None }), "{word}");
        }
        let far = Address::parse("root@db1:2222|deploy@web2:22").unwrap();
        assert_eq!(far.host, host(Some("root"), "db1", Some(2222)));
        assert_eq!(far.proxy.unwrap().jump(None), "deploy@web2:22");
    }

    #[test]
    fn what_would_be_an_option_or_a_path_or_shell_text_is_refused() {
        for word in [
            "",
            "-oProxyCommand=x",
            "-oA",
            "root@-x",
            "-x@web1",
            "web1|-x",
            "..",
            ".",
            "a/b",
            "a;b",
            "$(a)",
            "a b",
            "a:",
            "a:x",
            "a:0",
            "a:70000",
            "a|b|c",
            "@a",
            "[a",
            "[a]b",
            "a]",
            "ä",
        ] {
            assert!(Address::parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_field_has_no_colon_and_can_be_undone() {
        for word in ["root@db1:22|x", "h%41", "%3a:%25", "[::1]:22"] {
            assert!(!field(word).contains(':'));
            assert_eq!(unfield(&field(word)), word);
        }
    }
}
