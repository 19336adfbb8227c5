//! Which maps come out of a snapshot, by the configuration alone.

use super::config::MapConfig;
use super::failure::Done;

/// The keys of nsscache.conf that say where a snapshot is, and who signs it.
pub const URL: &str = "http_snapshot_url";
/// See there.
pub const SIGNED_BY: &str = "http_signed_by";

/// Whether a map comes out of a snapshot.
pub fn is_source(config: &MapConfig<'_>) -> bool {
    let is_http = matches!(config.text("source"), Ok(Some(source)) if source == "http");
    cfg!(feature = "signed") && is_http && url_is_given(config).unwrap_or(false)
}

/// Whether it says where a snapshot is.
pub fn url_is_given(config: &MapConfig<'_>) -> Done<bool> {
    Ok(config.text(URL)?.is_some() || config.text(&format!("{URL}_file"))?.is_some())
}

/// What makes a snapshot another one: where it is, and who signs it.
type Which = [Option<String>; 3];

/// Maps that are updated together: those of one snapshot. Every other one is alone.
pub fn groups<'a>(maps: &[MapConfig<'a>]) -> Vec<Vec<MapConfig<'a>>> {
    let mut groups: Vec<(Option<Which>, Vec<MapConfig<'a>>)> = Vec::new();
    for map in maps {
        let text = |name: &str| map.text(name).ok().flatten();
        let of = is_source(map).then(|| [text(URL), text(&format!("{URL}_file")), text(SIGNED_BY)]);
        match groups.iter_mut().find(|(other, _)| of.is_some() && *other == of) {
            Some((_, group)) => group.push(*map),
            None => groups.push((of, vec![*map])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
