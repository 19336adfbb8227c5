//! URLs of a configuration: the parts that we need, and what must not be shown.

use crate::directory::failure::{Done, Failure, shown};

/// An http or https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub secure: bool,
    /// User and password as they are, decoded.
    pub credentials: Option<(Vec<u8>, Vec<u8>)>,
    /// `HOST[:PORT]`
    authority: String,
    /// From the slash on; `/` at least.
    path: String,
}

impl Url {
    /// The parts of `text`.
    pub fn parse(text: &str) -> Done<Url> {
        let bad = |what: &str| {
            // Its password, if it has one, is not told.
            let url = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
            Failure::refused(format!("{what}: {}", shown(url.as_bytes())))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("no URL"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(bad("a URL that is neither http nor https")),
        };
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(bad("a URL with a blank in it"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        if authority.is_empty() {
            return Err(bad("a URL without a host"));
        }
        let credentials = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (decoded(name), decoded(password))
        });
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{path}");
        Ok(Url { secure, credentials, authority: authority.to_owned(), path })
    }

    /// Without user and password.
    pub fn bare(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    /// `SCHEME://HOST[:PORT]`
    pub fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// `HOST[:PORT]`, as it goes into a request.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path, and behind it the query.
    pub fn path_and_query(&self) -> (&str, &str) {
        self.path.split_once('?').unwrap_or((&self.path, ""))
    }

    /// With one more parameter of the query. A name alone has no value.
    pub fn with(&self, name: &str, value: Option<&str>) -> Url {
        let separator = match self.path.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        let value = value.map_or(String::new(), |value| format!("={}", encoded(value)));
        Url { path: format!("{}{separator}{}{value}", self.path, encoded(name)), ..self.clone() }
    }

    /// What lies under it: names with slashes between them.
    pub fn under(&self, path: &str) -> Url {
        let (front, _) = self.path_and_query();
        let front = front.trim_end_matches('/');
        let names: Vec<String> = path.split('/').map(encoded).collect();
        Url { path: format!("{front}/{}", names.join("/")), ..self.clone() }
    }

    /// The host, without a port and without brackets.
    pub fn host(&self) -> &str {
        match self.authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether what is sent to it leaves this machine.
    pub fn is_far(&self) -> bool {
        let host = self.host();
        !(host == "localhost" || host == "::1" || host.starts_with("127."))
    }

    /// The file `name` beside it, as a browser follows a link: what is behind the last slash is replaced.
    pub fn beside(&self, name: &str) -> Url {
        let path = self.path.split('?').next().unwrap_or_default();
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        Url { path: format!("{dir}/{}", encoded(name)), ..self.clone() }
    }
}

/// `%40` is `@`; what is no such escape stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(escaped) if *byte == b'%' => {
                out.push(escaped);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

/// A name as a part of a path or a query: all but unreserved characters as `%XX` (RFC 3986).
pub fn encoded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("https://u%40x:p%3Aw@host.example:8443/a/b?q#f").unwrap();
        assert!(url.secure && url.is_far());
        assert_eq!(url.credentials, Some((b"u@x".to_vec(), b"p:w".to_vec())));
        assert_eq!(url.bare(), "https://host.example:8443/a/b?q");
        assert_eq!(url.host(), "host.example");
        assert_eq!(url.beside("auto.x y").bare(), "https://host.example:8443/a/auto.x%20y");
        let url = Url::parse("http://[::1]:80").unwrap();
        assert_eq!((url.bare().as_str(), url.host()), ("http://[::1]:80/", "::1"));
        assert!(!url.is_far() && url.credentials.is_none());
        assert_eq!(url.beside("auto.master").bare(), "http://[::1]:80/auto.master");
        let url = Url::parse("http://h/dir/").unwrap();
        assert_eq!(url.beside("a").bare(), "http://h/dir/a");
    }

    #[test]
    fn paths_and_queries_are_put_together() {
        let url = Url::parse("https://h:1/v1/kv/org").unwrap();
        let asked = url.with("recurse", None).with("dc", Some("a&b c"));
        assert_eq!(asked.bare(), "https://h:1/v1/kv/org?recurse&dc=a%26b%20c");
        assert_eq!(asked.path_and_query(), ("/v1/kv/org", "recurse&dc=a%26b%20c"));
        assert_eq!(asked.origin(), "https://h:1");
        let url = Url::parse("http://h/?").unwrap();
        assert_eq!(url.with("a", Some("b")).bare(), "http://h/?a=b");
        assert_eq!(url.under("b/x y/../z").bare(), "http://h/b/x%20y/../z");
        assert_eq!(Url::parse("http://h/v2/").unwrap().under("U").bare(), "http://h/v2/U");
    }

    #[test]
    fn what_is_none_is_refused_and_its_password_not_told() {
        for text in [
            "file:///etc/shadow",
            "ftp://u:secret@h/",
            "h/passwd",
            "http://",
            "http://u:secret@/x",
            "http://u:secret@h/a b",
        ] {
            let failure = Url::parse(text).unwrap_err();
            assert!(!failure.text.contains("secret"), "{}", failure.text);
        }
    }
}
