//! genders(5): `NODES ATTRIBUTE[=VALUE][,ATTRIBUTE[=VALUE]]...`, with ranges in the nodes.

use super::Found;
use crate::fleet::database::Entry;
use crate::fleet::names::expand;

/// The nodes, in order; an attribute is a tag, one with a value two: `os` and `os=debian`.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut nodes: Vec<Found> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(names) = words.next() else { continue };
        // A range that is none names no host that could be asked: it is told as such.
        let names = expand(names).unwrap_or_else(|_| vec![names.to_owned()]);
        let attributes: Vec<&str> = words.flat_map(|word| word.split(',')).collect();
        for name in names {
            let place = *places.entry(name.clone()).or_insert(nodes.len());
            if place == nodes.len() {
                nodes.push(Found { name, ..Found::default() });
            }
            let Some(node) = nodes.get_mut(place) else { continue };
            for attribute in attributes.iter().filter(|attribute| !attribute.is_empty()) {
                let attribute = attribute.replace("%n", &node.name).replace("%%", "%");
                if let Some((key, _)) = attribute.split_once('=') {
                    add(&mut node.tags, key.to_owned());
                }
                add(&mut node.tags, attribute);
            }
        }
    }
    nodes.into_iter().map(Found::entry).collect()
}

fn add(tags: &mut Vec<String>, tag: String) {
    if !tags.contains(&tag) {
        tags.push(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::shown;

    #[test]
    fn nodes_have_their_attributes_as_tags() {
        let text = "# cluster\nn[1-2] compute,os=debian # both\nn1 mgmt\nlogin\n";
        assert_eq!(
            shown(Format::Genders, text),
            ["n1 compute os os=debian mgmt", "n2 compute os os=debian", "login"]
        );
    }
}
