//! The recorded runs of Google's nsscache: same files, byte for byte, and same exit codes. Each difference
//! is named here (doc/nsscache.md says why).

use crate::support::assert_same_bytes;
use crate::support::directory::{ALLOW, Machine, no_machine};
use crate::support::http::Http;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of the vectors.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/nsscache").join(name)
}

/// The commands of a case: words, and the exit code.
pub fn runs(case: &str) -> Vec<(Vec<String>, i32)> {
    let text = fs::read_to_string(folder(case).join("runs.json")).unwrap();
    let runs: Vec<Value> = serde_json::from_str(&text).unwrap();
    let words = |run: &Value| {
        let words = run["argv"].as_array().unwrap().iter();
        words.skip(1).map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    runs.iter().map(|run| (words(run), run["exit"].as_i64().unwrap() as i32)).collect()
}

/// What is otherwise than in the vector.
#[derive(Default)]
struct Differs {
    /// Exit codes in order, of those that differ: number of the command, and ours.
    exits: &'static [(usize, i32)],
    /// Files whose content is another, or that are not there at all in the vector.
    files: &'static [(&'static str, &'static [u8])],
    /// The vector whose files these have to be, instead of its own.
    as_case: Option<&'static str>,
}

/// Runs the commands of a case, and compares exit codes and files.
#[track_caller]
fn hold(case: &str, differs: &Differs) {
    let test = format!("directory::vectors {case}");
    if no_machine(&test) {
        return;
    }
    let server = Http::files(folder("http/www"));
    let path = format!("http/{case}");
    let config = fs::read_to_string(folder(&path).join("nsscache.conf")).unwrap();
    let config = config.replace(":8390", &format!(":{}", server.port()));
    let machine = Machine::with(&config.replacen('\n', &format!("\n{ALLOW}"), 1));
    for (at, (words, exit)) in runs(&path).iter().enumerate() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ours = differs.exits.iter().find(|(number, _)| *number == at);
        let exit = ours.map_or(*exit, |(_, exit)| *exit);
        let finished = machine.nsscache(&words);
        assert_eq!(finished.code, Some(exit), "{case} {words:?}: {}", finished.stderr);
    }

    let from = differs.as_case.unwrap_or(case);
    compare(
        &machine,
        case,
        &format!("http/{from}"),
        &format!("http/{from}/expect"),
        differs.files,
        &[],
    );
}

/// Compares the files of a machine with those of a vector, of which `files` differ and `absent` are not
/// made; and modes, owners and time stamps with what the vector lists.
#[track_caller]
pub fn compare(
    machine: &Machine,
    case: &str,
    from: &str,
    expect: &str,
    files: &[(&str, &[u8])],
    absent: &[&str],
) {
    let mut want = BTreeMap::new();
    if let Ok(names) = fs::read_dir(folder(expect)) {
        for name in names {
            let name = name.unwrap();
            want.insert(name.file_name().into_string().unwrap(), fs::read(name.path()).unwrap());
        }
    }
    for (name, text) in files {
        want.insert((*name).to_owned(), text.to_vec());
    }
    want.retain(|name, _| !absent.contains(&name.as_str()));
    // Indexes of our own have no counterpart.
    let mut made = machine.made();
    made.retain(|name| !name.contains(".hash") && !name.contains(".ixmember"));
    assert_eq!(made, want.keys().cloned().collect::<Vec<_>>(), "{case}: files");
    for (name, bytes) in &want {
        assert_same_bytes(&format!("{case}/{name}"), &machine.read(name).unwrap(), bytes);
    }

    // Modes and owners, and what the time stamps say.
    let listing = fs::read_to_string(folder(from).join("listing.txt")).unwrap();
    for line in listing.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if absent.iter().any(|name| words[4].ends_with(name)) {
            continue;
        }
        let path = words[4].replace("/etc/", "etc/").replace("/var/lib/nsscache/", "lib/");
        let mode = u32::from_str_radix(words[0], 8).unwrap();
        let want = (mode, words[1].parse().unwrap(), words[2].parse().unwrap());
        assert_eq!(machine.mode(&path), want, "{case}: {path}");
        if let Some(content) = words.get(5).and_then(|w| w.strip_prefix("content=2")) {
            let text = fs::read_to_string(machine.dir.join(&path)).unwrap();
            assert_eq!(text, format!("2{content}\n"), "{case}: {path}");
        }
    }
}

macro_rules! cases {
    ($($(#[$why:meta])* $name:ident: $case:literal, $differs:expr;)*) => {
        $($(#[$why])* #[test] fn $name() { hold($case, &$differs); })*

        /// No case is left out.
        #[test]
        fn all_cases_are_tried() {
            let mut there: Vec<String> = fs::read_dir(folder("http")).unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name != "www").collect();
            there.sort();
            let mut known = vec![$($case),*];
            known.sort_unstable();
            assert_eq!(there, known);
        }
    };
}

/// As they are, but for an exit code.
const fn exits(exits: &'static [(usize, i32)]) -> Differs {
    Differs { exits, files: &[], as_case: None }
}

const SAME: Differs = exits(&[]);

cases! {
    bzip2: "bzip2", if cfg!(feature = "bzip2") { SAME } else {
        // Without the feature such a body is refused.
        Differs { exits: &[(0, 1)], files: &[], as_case: Some("gzip") }
    };
    /// The index leads to the name that all readers of the line see, without the blanks in front.
    comments_and_blanks: "comments-and-blanks", Differs {
        exits: &[],
        files: &[("passwd.cache.ixname", b"alice\x000\0\0\nbob\x0023\0\0\0\ndave\x0046\0\0\n")],
        as_case: None,
    };
    duplicates: "duplicates", SAME;
    no_final_newline: "no-final-newline", SAME;
    nothing_is_refused: "fail-empty", SAME;
    malformed_ids_are_refused_where_they_are_many: "fail-nonnumeric-uid", SAME;
    short_lines_are_refused_where_they_are_many: "fail-short-line", SAME;
    /// D.4: as a source that is away, with retries.
    refused_connections_exit_75: "fail-refused", exits(&[(0, 75)]);
    /// D.4: later maps are tried.
    one_map_that_is_not_there_holds_up_no_other: "fail-404", Differs {
        exits: &[],
        files: &[
            ("group.cache", GROUP),
            ("group.cache.ixgid", GROUP_IXGID),
            ("group.cache.ixname", GROUP_IXNAME),
        ],
        as_case: None,
    };
    /// E.2: a gzip file that is handed out as it is.
    gzip_is_seen_by_its_first_bytes: "gzip", Differs {
        exits: &[(0, 0)],
        files: &[],
        as_case: Some("bzip2"),
    };
    /// D.4: bytes are kept as they are.
    bytes_that_are_no_utf8: "fail-latin1", Differs {
        exits: &[(0, 0)],
        files: &[
            ("passwd.cache", b"alice:x:1:1:J\xf6rg:/:/bin/sh\n"),
            ("passwd.cache.ixname", b"alice\x000\0\n"),
            ("passwd.cache.ixuid", b"1\x000\0\n"),
        ],
        as_case: None,
    };
    /// E.2: CR is taken off.
    crlf: "crlf", Differs {
        exits: &[],
        files: &[
            ("passwd.cache", b"alice:x:1:1::/:/bin/sh\nbob:x:2:2::/:/bin/sh\n"),
            ("passwd.cache.ixname", b"alice\x000\0\0\nbob\x0023\0\0\0\n"),
            ("passwd.cache.ixuid", b"1\x000\0\0\n2\x0023\0\n"),
        ],
        as_case: None,
    };
    /// E.2: a third column is options.
    a_master_of_three_columns: "automount-three-column-master", Differs {
        exits: &[(0, 0)],
        files: &[
            ("auto.master", b"/home /etc/auto.home\n/usr/proj /etc/auto.usr_proj\n"),
            ("auto.usr_proj", b"src -ro nfs1:/src\n"),
        ],
        as_case: None,
    };
    /// A.2: negative numbers are empty fields; E.2's sshkey is cut at its first colon.
    plain: "plain", Differs {
        // verify and repair are possible with http: the former finds that nsswitch.conf lists no
        // cache, and that getent does not see it.
        exits: &[(2, 2), (3, 0)],
        files: &[
            ("shadow.cache", PLAIN_SHADOW),
            ("shadow.cache.ixname", PLAIN_SHADOW_IXNAME),
            ("sshkey.cache", PLAIN_SSHKEY),
        ],
        as_case: None,
    };
    three_maps: "plain-three-maps", Differs {
        exits: &[],
        files: &[
            ("shadow.cache", PLAIN_SHADOW),
            ("shadow.cache.ixname", PLAIN_SHADOW_IXNAME),
        ],
        as_case: None,
    };
}

const GROUP: &[u8] = include_bytes!("../../vectors/nsscache/http/plain/expect/group.cache");
const GROUP_IXGID: &[u8] =
    include_bytes!("../../vectors/nsscache/http/plain/expect/group.cache.ixgid");
const GROUP_IXNAME: &[u8] =
    include_bytes!("../../vectors/nsscache/http/plain/expect/group.cache.ixname");
const PLAIN_SHADOW: &[u8] = b"alice:$6$abc$def:19000::99999:7:::\nbob:!::::::19999:\n\
    carol:*:19001:1:90:14:30:21000:5\nnofields:!!:::::::\nneg:x:::::::\n";
const PLAIN_SHADOW_IXNAME: &[u8] =
    include_bytes!("../../vectors/nsscache/http/plain/expect/shadow.cache.ixname");
const PLAIN_SSHKEY: &[u8] = b"alice:ssh-ed25519 AAAAalice alice@example.org\n\
    bob:['ssh-ed25519 AAAAbob1 b1', 'ssh-rsa AAAAbob2 b2']\n\
    carol:from=\"2001:db8::1\" ssh-ed25519 AAAAcarol c\n";
