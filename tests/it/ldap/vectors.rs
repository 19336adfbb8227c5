//! The recorded runs of Google's nsscache against slapd: same files, byte for byte, and same exit codes.
//! Each difference is named here (doc/nsscache.md says why).

use super::slapd::{Slapd, Sync, no_ldapmodify};
use crate::directory::vectors::{compare, folder, runs};
use crate::support::directory::{ALLOW, Machine, no_machine};
use std::fs;

/// What is otherwise than in the vector.
#[derive(Default)]
struct Differs {
    /// Exit codes of those that differ: number of the command, and ours.
    exits: &'static [(usize, i32)],
    /// Files that are others.
    files: &'static [(&'static str, &'static [u8])],
    /// Files that we do not make.
    absent: &'static [&'static str],
    /// What is compared: all but these, which nothing stands for.
    not_compared: &'static [&'static str],
}

fn config_of(case: &str, slapd: &Slapd) -> String {
    let config = fs::read_to_string(folder(&format!("ldap/{case}")).join("nsscache.conf")).unwrap();
    let config = config.replace(":3899", &format!(":{}", slapd.port));
    config.replacen('\n', &format!("\n{ALLOW}"), 1)
}

#[track_caller]
fn hold(case: &str, differs: &Differs) {
    let test = format!("ldap::vectors {case}");
    if no_machine(&test) {
        return;
    }
    let Some(slapd) = Slapd::start(&test, Sync::Plain, "") else { return };
    let machine = Machine::with(&config_of(case, &slapd));
    if case == "automount-local-master" {
        machine.dir.write("etc/auto.master", "/home /etc/auto.home\n");
    }
    let path = format!("ldap/{case}");
    for (at, (words, exit)) in runs(&path).iter().enumerate() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ours = differs.exits.iter().find(|(number, _)| *number == at);
        let exit = ours.map_or(*exit, |(_, exit)| *exit);
        let finished = machine.nsscache(&words);
        assert_eq!(finished.code, Some(exit), "{case} {words:?}: {}", finished.stderr);
    }
    let mut files = differs.files.to_vec();
    // Those that differ from the vector in more than can be told here are only there.
    let made: Vec<(&str, Vec<u8>)> =
        differs.not_compared.iter().map(|name| (*name, machine.read(name).unwrap())).collect();
    files.extend(made.iter().map(|(name, bytes)| (*name, bytes.as_slice())));
    compare(&machine, case, &path, &format!("{path}/expect"), &files, differs.absent);
}

macro_rules! cases {
    ($($(#[$why:meta])* $name:ident: $case:literal, $differs:expr;)*) => {
        $($(#[$why])* #[test] fn $name() { hold($case, &$differs); })*

        /// No case is left out.
        #[test]
        fn all_cases_are_tried() {
            let mut there: Vec<String> = fs::read_dir(folder("ldap")).unwrap()
                .map(|entry| entry.unwrap()).filter(|entry| entry.file_type().unwrap().is_dir())
                .map(|entry| entry.file_name().into_string().unwrap()).collect();
            there.sort();
            // These have tests of their own below.
            let mut known = vec!["fail-server-down", "fail-size-limit-truncates", "incremental", $($case),*];
            known.sort_unstable();
            assert_eq!(there, known);
        }
    };
}

const fn exits(exits: &'static [(usize, i32)]) -> Differs {
    Differs { exits, files: &[], absent: &[], not_compared: &[] }
}

const fn others(not_compared: &'static [&'static str]) -> Differs {
    Differs { exits: &[], files: &[], absent: &[], not_compared }
}

const SAME: Differs = exits(&[]);
const PASSWD_INDEXES: &[&str] = &["passwd.cache.ixname", "passwd.cache.ixuid"];

/// Groups of rfc2307bis, of which one member is unescaped.
macro_rules! unescaped {
    ($case:literal) => {
        Differs {
            files: &[("group.cache", { include_bytes!(concat!("ldap-", $case, ".group")) })],
            not_compared: &["group.cache.ixgid", "group.cache.ixname"],
            ..SAME
        }
    };
}

const SHADOW: &[u8] = include_bytes!("ldap-rfc2307.shadow");

cases! {
    active_directory: "active-directory", Differs {
        // A password that has to be changed: no -134774.
        files: &[("shadow.cache", b"Administrator:*:19723::::::\naduser1:*:19739::::::\n\
            aduser2:*:::::::\nAd.User3:*:19855:1:42::::\n")],
        not_compared: &["shadow.cache.ixname"],
        ..SAME
    };
    active_directory_home: "active-directory-home", SAME;
    automount_local_master: "automount-local-master", SAME;
    automount_prefix: "automount-prefix", if cfg!(feature = "regex") { SAME } else { REFUSED_MASTER };
    empty_force_write: "empty-force-write", SAME;
    bad_filter: "fail-bad-filter", SAME;
    bad_password: "fail-bad-password", SAME;
    bad_scope: "fail-bad-scope", SAME;
    base_missing: "fail-base-missing", SAME;
    /// D.5: a map that failed is not forgotten for one that is good.
    empty_first_map: "fail-empty-first-map", exits(&[(0, 1)]);
    empty_last_map: "fail-empty-last-map", SAME;
    groups_of_names: "groups-memberuid", SAME;
    /// One word is a location without options.
    no_options: "hazard-automount-no-options", Differs {
        exits: &[(0, 0)],
        files: &[("auto.master", b"/x /etc/auto.x\n"), ("auto.x", b"k nfs1.example.org:/no-options\n")],
        ..SAME
    };
    /// D.3: an entry with a colon in a field is left out.
    colon: "hazard-colon", Differs {
        files: &[("passwd.cache", b"colon2:x:24002:23000:ok:/home/u24002:/bin/sh\n")],
        not_compared: PASSWD_INDEXES,
        ..SAME
    };
    /// D.3: so is one with a line break, which would be another's line with uid 0.
    inject: "hazard-inject", Differs {
        files: &[("passwd.cache", b"victim:x:24004:23000:victim:/home/u24004:/bin/sh\n")],
        not_compared: PASSWD_INDEXES,
        ..SAME
    };
    newline: "hazard-newline", SAME;
    newline_force: "hazard-newline-force", Differs {
        files: &[("passwd.cache", b"")],
        // Of no entries there is no newest one.
        absent: &["timestamp-passwd-modify"],
        not_compared: PASSWD_INDEXES,
        ..SAME
    };
    no_gid: "hazard-nogid", SAME;
    no_uid: "hazard-nouid", SAME;
    group_expression: "opt-groupregex", if cfg!(feature = "regex") { SAME } else { REFUSED_GROUP };
    scope_sub: "opt-scope-sub", SAME;
    uidattr: "opt-uidattr-mail", SAME;
    use_rid: "opt-use-rid", SAME;
    rfc2307: "rfc2307", Differs {
        // A.2: negative numbers are none.
        files: &[("shadow.cache", SHADOW)],
        not_compared: &["shadow.cache.ixname"],
        ..SAME
    };
    rfc2307bis: "rfc2307bis", unescaped!("rfc2307bis");
    rfc2307bis_alt: "rfc2307bis-alt", SAME;
    rfc2307bis_nested: "rfc2307bis-nested", unescaped!("rfc2307bis-nested");
    /// A.4: bytes are counted.
    utf8: "utf8", others(&["group.cache.ixgid", "group.cache.ixname", "passwd.cache.ixname", "passwd.cache.ixuid"]);
    verify_repair: "verify-repair", Differs {
        // Files that are not there are errors, too.
        exits: &[(0, 6)],
        files: &[("shadow.cache", SHADOW)],
        not_compared: &["shadow.cache.ixname"],
        ..SAME
    };
    /// E.1: expressions hold for members that are names, and for shadow and sshkey, as for passwd.
    group_expression_of_names: "opt-groupregex-memberuid", Differs {
        exits: if cfg!(feature = "regex") { &[(0, 0)] } else { &[] },
        not_compared: if cfg!(feature = "regex") {
            &["group.cache", "group.cache.ixgid", "group.cache.ixname"]
        } else { &[] },
        ..SAME
    };
    expression_of_shadow: "opt-uidregex-shadow", Differs {
        exits: if cfg!(feature = "regex") { &[(0, 0)] } else { &[] },
        files: if cfg!(feature = "regex") { &[("shadow.cache", b"u1:*:::::::\nu2:*:::::::\n")] } else { &[] },
        not_compared: if cfg!(feature = "regex") { &["shadow.cache.ixname"] } else { &[] },
        ..SAME
    };
    expression_of_sshkey: "opt-uidregex-sshkey", Differs {
        exits: if cfg!(feature = "regex") { &[(0, 0)] } else { &[] },
        not_compared: if cfg!(feature = "regex") { &["sshkey.cache", "sshkey.cache.ixname"] } else { &[] },
        ..SAME
    };
    /// D.3: no entry has an empty name.
    expression: "opt-uidregex", Differs {
        exits: if cfg!(feature = "regex") { &[] } else { &[(0, 1)] },
        files: if cfg!(feature = "regex") {
            &[("passwd.cache", b"u1:x:25001:25000:Loose:/home/u1:/bin/ksh\nu2:x:25002:25000:Loose:/home/u2:/bin/ksh\n")]
        } else { &[] },
        absent: if cfg!(feature = "regex") { &[] } else { &["passwd.cache", "passwd.cache.ixname", "passwd.cache.ixuid"] },
        not_compared: if cfg!(feature = "regex") { PASSWD_INDEXES } else { &[] },
    };
}

/// A build without expressions says so.
const REFUSED_MASTER: Differs = Differs {
    exits: &[(0, 1)],
    files: &[],
    not_compared: &[],
    absent: &["auto.home", "auto.master", "auto.usr_proj"],
};
const REFUSED_GROUP: Differs = Differs {
    exits: &[(0, 1)],
    absent: &["group.cache", "group.cache.ixgid", "group.cache.ixname"],
    ..SAME
};

/// D.4: the map fails, and the old file stays.
#[test]
fn a_size_limit_is_no_whole_map() {
    let test = "a_size_limit_is_no_whole_map";
    if no_machine(test) {
        return;
    }
    let Some(mut slapd) = Slapd::start(test, Sync::No, "") else { return };
    let machine = Machine::with(&config_of("rfc2307", &slapd));
    machine.expect(0, &["update", "--full", "-m", "passwd"]);
    let before = machine.text("passwd.cache");
    slapd.limit("size.soft=50 size.hard=50 size.prtotal=50");
    let finished = machine.expect(1, &["update", "--full", "-m", "passwd"]);
    assert!(finished.stderr.contains("stops after"), "{}", finished.stderr);
    assert_eq!(machine.text("passwd.cache"), before);
}

/// 75, after as many attempts as are configured.
#[test]
fn a_server_that_is_down() {
    let test = "a_server_that_is_down";
    if no_machine(test) {
        return;
    }
    let Some(mut slapd) = Slapd::start(test, Sync::No, "") else { return };
    slapd.stop();
    let machine = Machine::with(
        &config_of("fail-server-down", &slapd).replace(":3898", &format!(":{}", slapd.port)),
    );
    let finished = machine.expect(75, &["update", "--full"]);
    assert!(finished.stderr.contains("attempt 1 of 2"), "{}", finished.stderr);
    assert!(machine.made().is_empty());
}

/// The recorded changes, with each way to hear of them. carol is gone at once.
#[test]
fn incremental_updates_bring_what_changed_and_what_is_gone() {
    let test = "incremental_updates_bring_what_changed_and_what_is_gone";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    for sync in [Sync::No, Sync::Plain, Sync::SessionLog] {
        let Some(slapd) = Slapd::start(test, sync, "") else { return };
        let machine = Machine::with(&config_of("incremental", &slapd));
        let expect = |state: &str| {
            fs::read_to_string(folder("ldap/incremental").join(state).join("passwd.cache")).unwrap()
        };
        machine.expect(0, &["update"]);
        machine.expect(0, &["update"]);
        assert_eq!(machine.text("passwd.cache"), expect("1-first"), "{sync:?}");
        slapd.change(&fs::read_to_string(folder("ldap/incremental").join("changes.ldif")).unwrap());
        let finished = machine.expect(0, &["-v", "update"]);
        assert!(
            finished.stderr.contains("1 added, 1 changed, 1 removed"),
            "{sync:?}: {}",
            finished.stderr
        );
        let want: String = expect("2-after-incremental")
            .lines()
            .filter(|line| !line.starts_with("carol:"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(machine.text("passwd.cache"), want, "{sync:?}");
        machine.expect(0, &["update", "--full"]);
        assert_eq!(machine.text("passwd.cache"), expect("3-after-full"), "{sync:?}");
    }
}
