//! ssh's own files: its configuration, and the keys of hosts.

use super::Found;
use crate::fleet::database::Entry;
use crate::fleet::expression::Glob;

/// A block that a `Host` line begins: whom it is for, and what it says.
#[derive(Default)]
struct Block {
    patterns: Vec<String>,
    settings: Vec<(String, String)>,
}

impl Block {
    /// Whether a name is meant: one of its patterns fits, and none with a `!`.
    fn is_for(&self, name: &str) -> bool {
        let fits = |pattern: &str| Glob::parse(pattern).is_ok_and(|glob| glob.matches(name));
        let mut found = false;
        for pattern in &self.patterns {
            match pattern.strip_prefix('!') {
                Some(not) if fits(not) => return false,
                Some(_) => {}
                None => found |= fits(pattern),
            }
        }
        found
    }
}

/// The hosts that a configuration calls by name. Of HostName, User and Port the first that is said for
/// a name counts, as for ssh; `Match` and `Include` are passed over.
pub fn config(text: &str) -> Vec<Entry> {
    let mut blocks = vec![Block { patterns: vec!["*".to_owned()], ..Block::default() }];
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some(at) = line.find(|c: char| c.is_whitespace() || c == '=') else { continue };
        let (keyword, rest) = line.split_at(at);
        let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
        let keyword = keyword.to_ascii_lowercase();
        match keyword.as_str() {
            "host" => {
                let patterns =
                    rest.split_whitespace().map(|word| word.trim_matches('"').to_owned());
                blocks.push(Block { patterns: patterns.collect(), ..Block::default() });
            }
            // It is for nobody.
            "match" => blocks.push(Block::default()),
            "hostname" | "user" | "port" => {
                let value = rest.trim().trim_matches('"').to_owned();
                if let Some(block) = blocks.last_mut() {
                    block.settings.push((keyword, value));
                }
            }
            _ => {}
        }
    }
    let mut hosts: Vec<Entry> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for name in blocks.iter().skip(1).flat_map(|block| &block.patterns) {
        if !name.contains(['*', '?', '!']) && seen.insert(name) {
            hosts.push(host(name, &blocks));
        }
    }
    hosts
}

fn host(name: &str, blocks: &[Block]) -> Entry {
    let said = |keyword: &str| {
        let settings = blocks.iter().filter(|block| block.is_for(name)).flat_map(|b| &b.settings);
        let mut values = settings.filter(|(key, _)| key == keyword).map(|(_, value)| value);
        values.next().cloned()
    };
    let address = said("hostname").map(|address| address.replace("%h", name).replace("%%", "%"));
    let (user, port) = (said("user"), said("port"));
    Found { name: name.to_owned(), address, user, port, tags: Vec::new() }.entry()
}

/// The first name of each line; hashed ones tell none, and marked ones (authorities, revoked keys) are
/// no hosts.
pub fn known_hosts(text: &str) -> Vec<Entry> {
    let mut hosts: Vec<Entry> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', '@', '|']) {
            continue;
        }
        let Some(names) = line.split_whitespace().next() else { continue };
        let plain = |name: &&str| !name.is_empty() && !name.contains(['*', '?', '!']);
        let Some(name) = names.split(',').find(plain) else { continue };
        // [HOST]:PORT needs its brackets only for IPv6.
        let word = match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) if !host.contains(':') => format!("{host}{port}"),
            _ => name.to_owned(),
        };
        hosts.push(Entry::bare(word));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::shown;

    #[test]
    fn names_of_a_configuration_have_its_addresses() {
        let text = "User all\nHost web1 web2\n  HostName %h.example\n  Port=2222\n\
                    Host \"db1\"\n hostname 10.0.0.7\n ProxyCommand touch /tmp/x\n\
                    Match exec \"touch /tmp/y\"\n HostName evil\n\
                    Host w* !web2\n User web\n Host *\n Port 9\n";
        // What stands in front of the first Host is for all, and comes first.
        assert_eq!(
            shown(Format::SshConfig, text),
            ["all@web1.example:2222 web1", "all@web2.example:2222 web2", "all@10.0.0.7:9 db1"]
        );
        let text = "Host a b\nUser x\nHost b\nUser y\n";
        assert_eq!(shown(Format::SshConfig, text), ["x@a", "x@b"]);
    }

    #[test]
    fn known_hosts_have_the_first_name_of_each_line() {
        let text = "web1,127.0.0.2 ssh-ed25519 A\n[db1]:2222 ssh-rsa B\n|1|abc=|d= ssh-rsa C\n\
                    @revoked bad ssh-rsa D\n*.example ssh-rsa E\nweb1 ssh-rsa F\n[::1]:22 ssh-rsa G\n";
        assert_eq!(shown(Format::KnownHosts, text), ["web1", "db1:2222", "web1", "[::1]:22"]);
    }
}
