//! Ansible's inventory of sections: `[group]`, `[group:children]`, `[group:vars]`, `web[01:50]`.

use super::Found;
use crate::fleet::database::Entry;
use std::collections::HashMap;

/// The variables that are read, by what they say; the newer name first.
const ADDRESS: [&str; 2] = ["ansible_host", "ansible_ssh_host"];
const USER: [&str; 2] = ["ansible_user", "ansible_ssh_user"];
const PORT: [&str; 2] = ["ansible_port", "ansible_ssh_port"];

/// Most hosts of one pattern.
const MOST: usize = 100_000;

type Variables = HashMap<String, String>;

#[derive(Default)]
struct Group {
    children: Vec<String>,
    variables: Variables,
}

#[derive(Default)]
struct Host {
    groups: Vec<String>,
    variables: Variables,
}

#[derive(Default)]
struct Inventory {
    order: Vec<String>,
    hosts: HashMap<String, Host>,
    groups: HashMap<String, Group>,
}

/// The hosts, in order. Their groups are tags, those above them included.
pub fn parse(text: &str) -> Vec<Entry> {
    let inventory = read(text);
    let mut found = Vec::new();
    for name in &inventory.order {
        let Some(host) = inventory.hosts.get(name) else { continue };
        let tags = inventory.above(&host.groups);
        let said = |names: [&str; 2]| {
            let of_groups = tags.iter().filter_map(|tag| inventory.groups.get(tag));
            let all = inventory.groups.get("all");
            let mut places = std::iter::once(&host.variables)
                .chain(of_groups.map(|group| &group.variables))
                .chain(all.map(|group| &group.variables));
            places.find_map(|place| names.iter().find_map(|name| place.get(*name))).cloned()
        };
        let (address, user, port) = (said(ADDRESS), said(USER), said(PORT));
        found.push(Found { name: name.clone(), address, user, port, tags }.entry());
    }
    found
}

impl Inventory {
    /// These groups and all that have them as children, the nearest first.
    fn above(&self, groups: &[String]) -> Vec<String> {
        let mut all: Vec<String> = groups.to_vec();
        let mut at = 0;
        // A group that contains itself comes once.
        while let Some(child) = all.get(at).cloned() {
            let mut parents: Vec<&String> = self
                .groups
                .iter()
                .filter(|(name, group)| group.children.contains(&child) && !all.contains(name))
                .map(|(name, _)| name)
                .collect();
            parents.sort();
            all.extend(parents.into_iter().cloned().collect::<Vec<String>>());
            at += 1;
        }
        all
    }
}

/// What a section lists.
enum Section {
    Hosts,
    Children,
    Variables,
    Other,
}

fn read(text: &str) -> Inventory {
    let mut inventory = Inventory::default();
    let (mut group, mut section) = (String::from("ungrouped"), Section::Hosts);
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let (name, kind) = title.0.split_once(':').unwrap_or((title.0, ""));
            group = name.trim().to_owned();
            inventory.groups.entry(group.clone()).or_default();
            section = match kind {
                "" => Section::Hosts,
                "children" => Section::Children,
                "vars" => Section::Variables,
                _ => Section::Other,
            };
            continue;
        }
        let line = line.split(" #").next().unwrap_or_default().trim();
        match section {
            Section::Hosts => hosts(&mut inventory, &group, line),
            Section::Children => {
                let child = line.to_owned();
                inventory.groups.entry(group.clone()).or_default().children.push(child);
            }
            Section::Variables => {
                if let Some((key, value)) = line.split_once('=') {
                    let (key, value) = (key.trim().to_owned(), unquoted(value));
                    inventory.groups.entry(group.clone()).or_default().variables.insert(key, value);
                }
            }
            Section::Other => {}
        }
    }
    inventory
}

/// A line of hosts: `NAME[:PORT] [KEY=VALUE]...`.
fn hosts(inventory: &mut Inventory, group: &str, line: &str) {
    let words = words(line);
    let Some((name, variables)) = words.split_first() else { return };
    let (name, port) = match name.rsplit_once(':') {
        Some((name, port))
            if !name.contains(':') && crate::fleet::host::port_of(port).is_some() =>
        {
            (name, Some(port))
        }
        _ => (name.as_str(), None),
    };
    for name in ranges(name) {
        if !inventory.hosts.contains_key(&name) {
            inventory.order.push(name.clone());
        }
        let host = inventory.hosts.entry(name).or_default();
        if group != "ungrouped" && group != "all" && !host.groups.iter().any(|g| g == group) {
            host.groups.push(group.to_owned());
        }
        if let Some(port) = port {
            host.variables.insert(PORT[0].to_owned(), port.to_owned());
        }
        for (key, value) in variables.iter().filter_map(|word| word.split_once('=')) {
            host.variables.insert(key.to_owned(), unquoted(value));
        }
    }
}

/// Words between blanks; a blank in quotes is none.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn unquoted(value: &str) -> String {
    value.trim().trim_matches(['"', '\'']).to_owned()
}

/// `web[01:50]`, `db-[a:f]`, `n[1:9:2]`; what is no range stands for itself, and is refused later.
fn ranges(text: &str) -> Vec<String> {
    let Some((front, rest)) = text.split_once('[') else { return vec![text.to_owned()] };
    let Some((inside, behind)) = rest.split_once(']') else { return vec![text.to_owned()] };
    let Some(middle) = sequence(inside) else { return vec![text.to_owned()] };
    let ends = ranges(behind);
    if middle.len().saturating_mul(ends.len()) > MOST {
        return vec![text.to_owned()];
    }
    let join = |middle: &String| {
        let ends = ends.iter().map(|end| format!("{front}{middle}{end}"));
        ends.collect::<Vec<String>>()
    };
    middle.iter().flat_map(join).collect()
}

fn sequence(text: &str) -> Option<Vec<String>> {
    let mut words = text.split(':');
    let (from, to) = (words.next()?, words.next()?);
    let step = words.next().map_or(Some(1), |step| step.parse().ok()).filter(|step| *step > 0)?;
    if let ([first @ b'a'..=b'z'], [last @ b'a'..=b'z']) = (from.as_bytes(), to.as_bytes()) {
        return Some((*first..=*last).step_by(step).map(|b| char::from(b).to_string()).collect());
    }
    let (first, last): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
    if last.saturating_sub(first) as usize > MOST {
        return None;
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    Some((first..=last).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::shown;

    #[test]
    fn groups_are_tags_and_addresses_words() {
        let text = "lone ansible_host=10.0.0.9\n\
                    [web]\nweb[01:02] ansible_port=2222 # both\ndb-[a:b].example:2200\n\
                    [site:children]\nweb\nsite\n\
                    [web:vars]\nansible_user = deploy\nansible_ssh_common_args='-o ProxyCommand=x'\n\
                    [all:vars]\nansible_user=root\n";
        assert_eq!(
            shown(Format::AnsibleIni, text),
            [
                "root@10.0.0.9 lone",
                "deploy@web01:2222 web site",
                "deploy@web02:2222 web site",
                "deploy@db-a.example:2200 web site",
                "deploy@db-b.example:2200 web site",
            ]
        );
    }

    #[test]
    fn an_address_of_ipv6_has_brackets_where_a_port_follows() {
        let text = "six ansible_host=fe80::1 ansible_port=22\nten ansible_host='::1'\n";
        assert_eq!(shown(Format::AnsibleIni, text), ["[fe80::1]:22 six", "::1 ten"]);
    }
}
