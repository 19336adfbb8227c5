//! The formats of a list of hosts. Only names, groups, ports, users and addresses are read: nothing
//! that another tool would run, and nothing that it would give to ssh.

mod ansible;
mod genders;
mod ssh;

use super::Entry;

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// dtools' own: a word and its tags.
    Dt,
    /// ssh's configuration.
    SshConfig,
    /// ssh's host keys.
    KnownHosts,
    /// Ansible's inventory, the one of sections.
    AnsibleIni,
    /// LLNL's genders.
    Genders,
}

/// The words in front of a file's name.
pub const FORMATS: &[(&str, Format)] = &[
    ("dt", Format::Dt),
    ("ssh-config", Format::SshConfig),
    ("known_hosts", Format::KnownHosts),
    ("ansible-ini", Format::AnsibleIni),
    ("genders", Format::Genders),
];

/// The hosts of a text, in order; words are not checked yet.
pub fn parse(format: Format, text: &str) -> Vec<Entry> {
    match format {
        Format::Dt => text.lines().filter_map(line).collect(),
        Format::SshConfig => ssh::config(text),
        Format::KnownHosts => ssh::known_hosts(text),
        Format::AnsibleIni => ansible::parse(text),
        Format::Genders => genders::parse(text),
    }
}

/// A line of dtools' database; `None` for one that is empty or a comment.
pub fn line(line: &str) -> Option<Entry> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    // Marked lines of known_hosts lost their @ there.
    let word = words.next()?;
    let word = word.strip_prefix('@').unwrap_or(word);
    Some(Entry { word: word.to_owned(), tags: words.map(str::to_owned).collect() })
}

/// What an inventory says of one host.
#[derive(Debug, Default)]
struct Found {
    name: String,
    address: Option<String>,
    user: Option<String>,
    port: Option<String>,
    tags: Vec<String>,
}

impl Found {
    /// The word for it. A name that is not the address is a tag.
    fn entry(mut self) -> Entry {
        let host = match self.address {
            Some(address) if address != self.name => {
                self.tags.insert(0, self.name);
                address
            }
            _ => self.name,
        };
        let mut word = String::new();
        if let Some(user) = &self.user {
            word.push_str(user);
            word.push('@');
        }
        match (&self.port, host.contains(':') && !host.starts_with('[')) {
            (Some(_), true) => word.push_str(&format!("[{host}]")),
            _ => word.push_str(&host),
        }
        if let Some(port) = &self.port {
            word.push(':');
            word.push_str(port);
        }
        Entry { word, tags: self.tags }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As lines of dtools' database.
    pub fn shown(format: Format, text: &str) -> Vec<String> {
        let line = |entry: Entry| {
            let words = std::iter::once(entry.word).chain(entry.tags);
            words.collect::<Vec<String>>().join(" ")
        };
        parse(format, text).into_iter().map(line).collect()
    }

    #[test]
    fn own_lines_have_blanks_comments_and_crlf() {
        let text = "# c\r\n  web1   a b\r\n\r\n\tweb2\tb\n  # no host\n@h1 k\nlast";
        assert_eq!(shown(Format::Dt, text), ["web1 a b", "web2 b", "h1 k", "last"]);
    }
}
