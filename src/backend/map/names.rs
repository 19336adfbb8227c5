//! Which names may be mapped: the rule for their letters, those that are reserved, globs.

use crate::backend::text::Words;
use crate::backend::unix::search::Needle;

/// Longest name that is mapped, as useradd(8) has it. Also what an entry of the registry holds.
pub const NAME_MAX: usize = 32;

/// How wide the rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Letters {
    /// `[a-z_][a-z0-9_.-]*`
    #[default]
    Lower,
    /// Upper case, too. Case is not folded: two spellings would be two users.
    Mixed,
}

/// Names that belong to the system, so that whoever probes for one hears "no". With
/// one blank in front of each and behind it, so that one can be searched for: to go through the words
/// took most of what a lookup cost.
const RESERVED: &[u8] =
    b" root bin daemon sys sync adm tty disk lp mail news uucp man proxy kmem dialout fax voice \
    cdrom floppy tape sudo audio dip www-data backup operator list irc src gnats shadow utmp \
    video sasl plugdev staff games users nogroup nobody wheel input kvm render crontab halt \
    shutdown sshd ssh messagebus dbus polkitd mysql postgres mongodb redis memcache apache \
    http nginx ftp named bind ntp chrony postfix postdrop exim dovecot dovenull avahi \
    avahi-autoipd colord cups docker dnsmasq git lpadmin libvirt libvirt-qemu nslcd nscd \
    ntpsec openldap openvpn pulse rtkit saned statd rpc rpcuser syslog tcpdump tss usbmux \
    uuidd vboxadd netdev bluetooth scanner lightdm gdm sddm zabbix prometheus grafana \
    rabbitmq tomcat jenkins haproxy varnish squid unbound radvd telnetd telegraf influxdb \
    amavis clamav spamd ";

/// What such names begin with.
const RESERVED_FRONTS: &[&[u8]] = &[b"systemd-", b"_", b"debian-", b"Debian-"];

/// Whether `name` fits the rule: ASCII, at most 32 bytes, no digit, dash or dot in front, no dot
/// at the end.
pub fn fits(name: &[u8], letters: Letters) -> bool {
    let letter = |b: u8| {
        b.is_ascii_lowercase() || b == b'_' || (letters == Letters::Mixed && b.is_ascii_uppercase())
    };
    let Some((first, rest)) = name.split_first() else { return false };
    let inside = |b: &u8| letter(*b) || b.is_ascii_digit() || *b == b'.' || *b == b'-';
    name.len() <= NAME_MAX && letter(*first) && rest.iter().all(inside) && !name.ends_with(b".")
}

/// Whether `name` belongs to the system.
pub fn is_reserved(name: &[u8]) -> bool {
    Needle::new(&[b" ", name, b" "]).search(RESERVED, 0).is_some()
        || RESERVED_FRONTS.iter().any(|front| name.starts_with(front))
}

/// Whether `name` fits one of `globs`.
pub fn any_matches(mut globs: Words, name: &[u8]) -> bool {
    globs.any(|glob| matches(glob, name))
}

/// Whether `name` fits `glob`: `*`, `?`, and sets like `[a-z0]` of single bytes.
///
/// A `*` takes as little as it can; only the last one is ever gone back to, so that no glob
/// takes longer than its length times that of the name.
pub fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut text) = (glob, name);
    let mut back: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(behind) = pattern.strip_prefix(b"*") {
            back = Some((behind, text));
            pattern = behind;
            continue;
        }
        match (one(pattern, text.first().copied()), text) {
            (Some(rest), [_, behind @ ..]) => (pattern, text) = (rest, behind),
            (None, []) if pattern.is_empty() => return true,
            _ => match back {
                Some((behind, [_, later @ ..])) => {
                    back = Some((behind, later));
                    (pattern, text) = (behind, later);
                }
                _ => return false,
            },
        }
    }
}

/// What of `pattern` is left when its first element takes `byte`.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<&[u8]> {
    let byte = byte?;
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', set @ ..] => {
            let end = set.iter().position(|b| *b == b']')?;
            let (inside, rest) = set.split_at_checked(end)?;
            holds(inside, byte).then_some(rest.get(1..)?)
        }
        [first, rest @ ..] if *first == byte => Some(rest),
        _ => None,
    }
}

fn holds(mut set: &[u8], byte: u8) -> bool {
    loop {
        match set {
            [low, b'-', high, rest @ ..] => {
                if (*low..=*high).contains(&byte) {
                    return true;
                }
                set = rest;
            }
            [only, rest @ ..] => {
                if *only == byte {
                    return true;
                }
                set = rest;
            }
            [] => return false,
        }
    }
}

/// What is wrong with a glob, if anything is.
pub fn glob_fault(glob: &[u8]) -> Option<&'static str> {
    let mut rest = glob;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'[' => match behind.iter().position(|b| *b == b']') {
                Some(0) | None => return Some("a set without an end in"),
                Some(end) => rest = behind.get(end + 1..).unwrap_or_default(),
            },
            b'*' | b'?' | b'_' | b'.' | b'-' => {}
            b if b.is_ascii_alphanumeric() => {}
            _ => return Some("a character that no name has in"),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_fit() {
        for good in ["a", "_x", "alice", "a.b-c_d9", "abcdefghijklmnopqrstuvwxyz012345"] {
            assert!(fits(good.as_bytes(), Letters::Lower), "{good}");
        }
        let bad =
            ["", ".", "..", "a/b", "../x", "a:b", "a b", "a\nb", "-rf", "0", "0a", "a.", ".a"];
        let long = "abcdefghijklmnopqrstuvwxyz0123456";
        for bad in bad.into_iter().chain([long, "Ünï", "a\u{7f}", "Alice"]) {
            assert!(!fits(bad.as_bytes(), Letters::Lower), "{bad:?}");
        }
        assert!(fits(b"Alice", Letters::Mixed) && !fits(b"9", Letters::Mixed));
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        let cases = [
            ("*", "", true),
            ("ops-*", "ops-a", true),
            ("ops-*", "ops", false),
            ("*a*b*", "xaxxbx", true),
            ("*ab", "aab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[ac-]*", "-", true),
            ("abc", "abcd", false),
            ("", "", true),
            ("", "a", false),
        ];
        for (glob, name, want) in cases {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), want, "{glob} {name}");
        }
        assert!(glob_fault(b"[a-").is_some() && glob_fault(b"a/b").is_some());
        assert!(glob_fault(b"[a-z]*?").is_none());
    }

    #[test]
    fn service_names_are_reserved() {
        for name in ["root", "mysql", "_apt", "systemd-network", "www-data"] {
            assert!(is_reserved(name.as_bytes()), "{name}");
        }
        for name in ["alice", "oot", "ma", "spam", "a", "x"] {
            assert!(!is_reserved(name.as_bytes()), "{name}");
        }
        let words: Vec<_> = Words(RESERVED).collect();
        assert_eq!(RESERVED.len(), words.iter().map(|word| word.len() + 1).sum::<usize>() + 1);
        assert!(words.len() > 100 && words.into_iter().all(is_reserved));
    }
}
