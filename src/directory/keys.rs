//! The keys of nsscache.conf: those of Google's nsscache, and ours.

use super::maps::Map;

/// What a key's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Text,
    /// A password or a token; also as a file of its own, by the key with `_file` behind it.
    Secret,
    /// The same, of what is a secret only if it has a password in it.
    Url,
    /// yes, no, true, false, on, off, 1, 0.
    Bool,
    /// An integer.
    Number,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// An expression, of the feature `regex`.
    Expression,
}

/// A key of nsscache.conf.
#[derive(Debug)]
pub struct Known {
    /// In lower case, with the prefix of its source or cache.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
}

/// How far a server's certificate is checked.
const VERIFY: Kind = Kind::OneOf(&["never", "hard", "demand", "allow", "try"]);

const fn key(name: &'static str, kind: Kind) -> Known {
    Known { name, kind }
}

/// Keys without a prefix.
pub const COMMON: &[Known] = &[
    key("source", Kind::Text),
    key("cache", Kind::OneOf(&["files"])),
    key("maps", Kind::Text),
    key("timestamp_dir", Kind::Text),
    key("lockfile", Kind::Text),
    // Ours.
    key("allow_uid0", Kind::Bool),
    key("allow_local_names", Kind::Bool),
    key("allow_odd_names", Kind::Bool),
    key("allow_duplicate_ids", Kind::Bool),
    key("min_uid", Kind::Number),
    key("on_bad_entry", Kind::OneOf(&["drop", "refuse"])),
    key("max_shrink", Kind::Number),
    key("index_grace_ms", Kind::Number),
    key("post_update", Kind::Text),
    key("watch_interval", Kind::Number),
    key("watch_min_interval", Kind::Number),
    key("watch_full_hours", Kind::Number),
];

/// Keys of the cache `files`.
pub const FILES_CACHE: &[Known] = &[
    key("files_dir", Kind::Text),
    key("files_cache_filename_suffix", Kind::Text),
    key("files_local_automount_master", Kind::Bool),
    key("files_shadow_zero", Kind::OneOf(&["zero", "empty"])),
    key("files_sshkey_format", Kind::OneOf(&["list", "lines"])),
];

/// Keys of the section `[suffix]`.
pub const SUFFIX: &[Known] = &[key("prefix", Kind::Expression), key("suffix", Kind::Text)];

/// Keys of the source `files`; each map has two of its own besides, see [`is_files_of_map`].
pub const FILES: &[Known] = &[
    key("files_automount_base_path", Kind::Text),
    key("files_retry_max", Kind::Number),
    key("files_retry_delay", Kind::Number),
    key("files_timelimit", Kind::Number),
];

/// Whether a key is `files_MAP_path` or `files_MAP_command`; automount, which is several files, has
/// `files_automount_base_path`.
pub fn is_files_of_map(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("files_") else { return false };
    let map = rest.strip_suffix("_path").or_else(|| rest.strip_suffix("_command"));
    map.and_then(|name| Map::by_name(name.as_bytes())).is_some_and(|map| map != Map::Automount)
}

/// Keys of the source `http`.
pub const HTTP: &[Known] = &[
    key("http_passwd_url", Kind::Url),
    key("http_group_url", Kind::Url),
    key("http_shadow_url", Kind::Url),
    key("http_netgroup_url", Kind::Url),
    key("http_sshkey_url", Kind::Url),
    key("http_automount_base_url", Kind::Url),
    key("http_retry_max", Kind::Number),
    key("http_retry_delay", Kind::Number),
    key("http_tls_cacertfile", Kind::Text),
    key("http_http_proxy", Kind::Url),
    // Ours.
    key("http_tls_cacertdir", Kind::Text),
    key("http_tls_certfile", Kind::Text),
    key("http_tls_keyfile", Kind::Text),
    key("http_tls_require_cert", Kind::OneOf(&["never", "hard", "demand", "allow", "try"])),
    key("http_timelimit", Kind::Number),
    key("http_snapshot_url", Kind::Url),
    key("http_signed_by", Kind::Text),
    key("http_signed_max_age", Kind::Number),
    key("http_format", Kind::OneOf(&["lines", "json"])),
    key("http_path_list", Kind::Text),
    key("http_path_username", Kind::Text),
    key("http_path_groupname", Kind::Text),
    key("http_path_password", Kind::Text),
    key("http_path_uid", Kind::Text),
    key("http_path_gid", Kind::Text),
    key("http_path_gecos", Kind::Text),
    key("http_path_home_directory", Kind::Text),
    key("http_path_login_shell", Kind::Text),
    key("http_path_members", Kind::Text),
    key("http_path_ssh_keys", Kind::Text),
    key("http_path_entries", Kind::Text),
    key("http_path_lstchg", Kind::Text),
    key("http_path_min", Kind::Text),
    key("http_path_max", Kind::Text),
    key("http_path_warn", Kind::Text),
    key("http_path_inact", Kind::Text),
    key("http_path_expire", Kind::Text),
    key("http_path_flag", Kind::Text),
    key("http_default_shell", Kind::Text),
];

/// Keys of the source `ldap`.
pub const LDAP: &[Known] = &[
    key("ldap_uri", Kind::Text),
    key("ldap_base", Kind::Text),
    key("ldap_filter", Kind::Text),
    key("ldap_scope", Kind::OneOf(&["base", "one", "onelevel", "sub", "subtree"])),
    key("ldap_bind_dn", Kind::Text),
    key("ldap_bind_password", Kind::Secret),
    key("ldap_use_sasl", Kind::Bool),
    key("ldap_sasl_mech", Kind::Text),
    key("ldap_sasl_authzid", Kind::Text),
    key("ldap_timelimit", Kind::Number),
    key("ldap_retry_max", Kind::Number),
    key("ldap_retry_delay", Kind::Number),
    key("ldap_tls_require_cert", Kind::OneOf(&["never", "hard", "demand", "allow", "try"])),
    key("ldap_tls_cacertdir", Kind::Text),
    key("ldap_tls_cacertfile", Kind::Text),
    key("ldap_tls_certfile", Kind::Text),
    key("ldap_tls_keyfile", Kind::Text),
    key("ldap_tls_starttls", Kind::Bool),
    key("ldap_uidattr", Kind::Text),
    key("ldap_uidregex", Kind::Expression),
    key("ldap_groupregex", Kind::Expression),
    key("ldap_offset", Kind::Number),
    key("ldap_override_shell", Kind::Text),
    key("ldap_home_dir", Kind::Bool),
    key("ldap_use_rid", Kind::Bool),
    key("ldap_ad", Kind::Bool),
    key("ldap_rfc2307bis", Kind::Bool),
    key("ldap_rfc2307bis_alt", Kind::Bool),
    key("ldap_nested_groups", Kind::Text),
    key("ldap_resolve_members", Kind::Bool),
    key("ldap_ldap_debug", Kind::Number),
    // What its manual says, without effect there.
    key("ldap_debug", Kind::Number),
];

/// Keys of the source `consul`.
pub const CONSUL: &[Known] = &[
    key("consul_passwd_url", Kind::Url),
    key("consul_group_url", Kind::Url),
    key("consul_shadow_url", Kind::Url),
    key("consul_token", Kind::Secret),
    key("consul_datacenter", Kind::Text),
    key("consul_retry_max", Kind::Number),
    key("consul_retry_delay", Kind::Number),
    key("consul_tls_cacertfile", Kind::Text),
    key("consul_http_proxy", Kind::Url),
    // Ours.
    key("consul_sshkey_url", Kind::Url),
    key("consul_timelimit", Kind::Number),
    key("consul_tls_cacertdir", Kind::Text),
    key("consul_tls_certfile", Kind::Text),
    key("consul_tls_keyfile", Kind::Text),
    key("consul_tls_require_cert", VERIFY),
];

/// Keys of the sources `s3` and `gcs`.
pub const S3: &[Known] = &[
    key("s3_bucket", Kind::Text),
    key("s3_passwd_object", Kind::Text),
    key("s3_group_object", Kind::Text),
    key("s3_shadow_object", Kind::Text),
    key("s3_sshkey_object", Kind::Text),
    // Ours.
    key("s3_endpoint_url", Kind::Url),
    key("s3_region", Kind::Text),
    key("s3_retry_max", Kind::Number),
    key("s3_retry_delay", Kind::Number),
    key("s3_timelimit", Kind::Number),
    key("s3_http_proxy", Kind::Url),
    key("s3_tls_cacertfile", Kind::Text),
    key("s3_tls_cacertdir", Kind::Text),
    key("s3_tls_require_cert", VERIFY),
];

/// Keys of the source `gcs`.
pub const GCS: &[Known] = &[
    key("gcs_bucket", Kind::Text),
    key("gcs_passwd_object", Kind::Text),
    key("gcs_group_object", Kind::Text),
    key("gcs_shadow_object", Kind::Text),
    // Ours.
    key("gcs_netgroup_object", Kind::Text),
    key("gcs_sshkey_object", Kind::Text),
    key("gcs_token", Kind::Secret),
    key("gcs_hmac_key_id", Kind::Text),
    key("gcs_hmac_secret", Kind::Secret),
    key("gcs_endpoint_url", Kind::Url),
    key("gcs_retry_max", Kind::Number),
    key("gcs_retry_delay", Kind::Number),
    key("gcs_timelimit", Kind::Number),
    key("gcs_http_proxy", Kind::Url),
    key("gcs_tls_cacertfile", Kind::Text),
    key("gcs_tls_cacertdir", Kind::Text),
    key("gcs_tls_require_cert", VERIFY),
];

/// Keys of the source `scim`: those of CoreWeave's fork of nsscache, and ours.
pub const SCIM: &[Known] = &[
    key("scim_base_url", Kind::Url),
    key("scim_auth_token", Kind::Secret),
    key("scim_users_endpoint", Kind::Text),
    key("scim_groups_endpoint", Kind::Text),
    key("scim_users_parameters", Kind::Text),
    key("scim_groups_parameters", Kind::Text),
    key("scim_timeout", Kind::Number),
    key("scim_verify_ssl", Kind::Bool),
    key("scim_retry_max", Kind::Number),
    key("scim_retry_delay", Kind::Number),
    key("scim_default_shell", Kind::Text),
    key("scim_override_home_directory", Kind::Text),
    key("scim_path_username", Kind::Text),
    key("scim_path_uid", Kind::Text),
    key("scim_path_gid", Kind::Text),
    key("scim_path_home_directory", Kind::Text),
    key("scim_path_login_shell", Kind::Text),
    key("scim_path_ssh_keys", Kind::Text),
    key("scim_shadow_default_lstchg", Kind::Text),
    key("scim_shadow_default_min", Kind::Text),
    key("scim_shadow_default_max", Kind::Text),
    key("scim_shadow_default_warn", Kind::Text),
    key("scim_shadow_default_inact", Kind::Text),
    key("scim_shadow_default_expire", Kind::Text),
    key("scim_shadow_default_flag", Kind::Text),
    // Ours.
    key("scim_paging", Kind::OneOf(&["index", "cursor"])),
    key("scim_page_size", Kind::Number),
    key("scim_path_gecos", Kind::Text),
    key("scim_path_groupname", Kind::Text),
    key("scim_path_members", Kind::Text),
    key("scim_resolve_members", Kind::Bool),
    key("scim_keep_inactive", Kind::Bool),
    key("scim_derive_key", Kind::Text),
    key("scim_derive_range", Kind::Text),
    key("scim_http_proxy", Kind::Url),
    key("scim_tls_cacertfile", Kind::Text),
    key("scim_tls_cacertdir", Kind::Text),
    key("scim_tls_certfile", Kind::Text),
    key("scim_tls_keyfile", Kind::Text),
    key("scim_tls_require_cert", VERIFY),
];

/// Keys of the source `etcd`, all of them ours.
pub const ETCD: &[Known] = &[
    key("etcd_endpoints", Kind::Url),
    key("etcd_prefix", Kind::Text),
    key("etcd_user", Kind::Text),
    key("etcd_password", Kind::Secret),
    key("etcd_page_size", Kind::Number),
    key("etcd_timelimit", Kind::Number),
    key("etcd_retry_max", Kind::Number),
    key("etcd_retry_delay", Kind::Number),
    key("etcd_http_proxy", Kind::Url),
    key("etcd_tls_cacertfile", Kind::Text),
    key("etcd_tls_cacertdir", Kind::Text),
    key("etcd_tls_certfile", Kind::Text),
    key("etcd_tls_keyfile", Kind::Text),
    key("etcd_tls_require_cert", VERIFY),
];

/// Each table, and the word of `source` that it belongs to; empty: always read.
pub const TABLES: &[(&str, &[Known])] = &[
    ("", COMMON),
    ("", FILES_CACHE),
    ("files", FILES),
    ("http", HTTP),
    ("ldap", LDAP),
    ("consul", CONSUL),
    ("s3", S3),
    ("gcs", GCS),
    ("scim", SCIM),
    ("etcd", ETCD),
];

/// The source that a key belongs to (empty: none), and its kind; `None`: nobody reads such a key.
pub fn find(name: &str) -> Option<(&'static str, Kind)> {
    if is_files_of_map(name) {
        return Some(("files", Kind::Text));
    }
    let exact = |name: &str| {
        TABLES.iter().find_map(|(source, table)| {
            let known = table.iter().find(|known| known.name == name)?;
            Some((*source, known.kind))
        })
    };
    let of_file = || {
        let (source, kind) = exact(name.strip_suffix("_file")?)?;
        matches!(kind, Kind::Secret | Kind::Url).then_some((source, Kind::Text))
    };
    exact(name).or_else(of_file)
}

/// A known key that was perhaps meant: the same with a prefix, or one that ends alike.
pub fn meant(name: &str) -> Option<&'static str> {
    let all = TABLES.iter().flat_map(|(_, table)| *table).map(|known| known.name);
    all.into_iter().find(|known| {
        known.split_once('_').is_some_and(|(_, rest)| rest == name)
            || (known.len() == name.len() && differ(known, name) <= 2)
            || (known.len().abs_diff(name.len()) == 1 && is_one_off(known, name))
    })
}

/// How many bytes differ; a transposition is two.
fn differ(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).filter(|(a, b)| a != b).count()
}

/// Whether one of them is the other with a byte more.
fn is_one_off(one: &str, other: &str) -> bool {
    let (long, short) = if one.len() > other.len() { (one, other) } else { (other, one) };
    let same = long.bytes().zip(short.bytes()).take_while(|(a, b)| a == b).count();
    long.as_bytes().get(same + 1..) == short.as_bytes().get(same..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_with_their_source() {
        assert_eq!(find("files_dir"), Some(("", Kind::Text)));
        assert_eq!(find("files_passwd_command"), Some(("files", Kind::Text)));
        assert_eq!(find("ldap_bind_password_file"), Some(("ldap", Kind::Text)));
        assert_eq!(find("http_passwd_url_file"), Some(("http", Kind::Text)));
        for unknown in ["rfc2307bis", "files_dir_file", "files_nosuch_path", "https_passwd_url"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_misspelt_key_leads_to_the_right_one() {
        assert_eq!(meant("rfc2307bis"), Some("ldap_rfc2307bis"));
        assert_eq!(meant("files_dri"), Some("files_dir"));
        assert_eq!(meant("http_paswd_url"), Some("http_passwd_url"));
        assert_eq!(meant("timestamp_dirs"), Some("timestamp_dir"));
        assert_eq!(meant("quite_another"), None);
    }

    #[test]
    fn no_key_is_in_two_tables() {
        let mut names: Vec<&str> =
            TABLES.iter().flat_map(|(_, table)| *table).map(|known| known.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
