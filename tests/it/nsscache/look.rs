//! `nsscache sshkey` and `nsscache automount`.

use crate::support::{TempDir, nssbox, run_to_end};
use std::fs;
use std::process::Command;

fn run(dir: &TempDir, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(nssbox());
    command.arg("nsscache").arg(words[0]).args(["-d", dir.as_str()]).args(&words[1..]);
    let done = run_to_end(command);
    (done.code, String::from_utf8(done.stdout).unwrap(), done.stderr)
}

const KEYS: &str = "\
ada:['ssh-ed25519 AAAA ada@one', \"from=\\\"2001:db8::1\\\" it's\"]
bob:ssh-rsa BBBB bob: with a colon
nokey:
carol:ssh-rsa C1
carol:ssh-rsa C2
bad:['ssh-rsa D1', 'no\\nroot']
adam:ssh-rsa E
";

#[test]
fn the_keys_of_a_user_are_printed_a_line_each() {
    let dir = TempDir::new();
    dir.write("sshkey.cache", KEYS);
    for way in ["lines", "index", "an old index"] {
        let keys = |user: &str| {
            let (code, out, _) = run(&dir, &["sshkey", user]);
            (code, out)
        };
        let found = |text: &str| (Some(0), text.to_owned());
        let absent = (Some(1), String::new());
        // Double quotes hold an apostrophe, and are escaped there.
        assert_eq!(
            keys("ada"),
            found("ssh-ed25519 AAAA ada@one\nfrom=\"2001:db8::1\" it's\n"),
            "{way}"
        );
        assert_eq!(keys("bob"), found("ssh-rsa BBBB bob: with a colon\n"), "{way}");
        assert_eq!(keys("carol"), found("ssh-rsa C1\nssh-rsa C2\n"), "{way}");
        assert_eq!(keys("adam"), found("ssh-rsa E\n"), "{way}");
        for nobody in ["ad", "nokey", "nosuch", "", "ada:", "x\nada", "../../root"] {
            assert_eq!(keys(nobody), absent, "{way}: {nobody:?}");
        }
        let (code, out, err) = run(&dir, &["sshkey", "bad"]);
        assert_eq!((code, out.as_str()), (Some(0), "ssh-rsa D1\n"), "{way}");
        assert!(err.contains("a key of bad is left out"), "{err}");
        match way {
            "lines" => assert_eq!(run(&dir, &["index"]).0, Some(0)),
            _ => {
                // Other data, and an index that is not older.
                dir.write("sshkey.cache", format!("zoe:ssh-rsa Z\n{KEYS}"));
                let old = rustix::fs::Timespec { tv_sec: 1000, tv_nsec: 0 };
                let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
                let data = fs::File::open(dir.join("sshkey.cache")).unwrap();
                rustix::fs::futimens(&data, &times).unwrap();
            }
        }
    }
}

#[test]
fn sshkey_reads_the_files_alone() {
    let dir = TempDir::new();
    assert_eq!(run(&dir, &["sshkey", "ada"]).0, Some(1));
    dir.write("keys.x", "no");
    dir.write("sshkey", "ada:ssh-rsa A\n");
    assert_eq!(
        run(&dir, &["sshkey", "-s", "", "ada"]),
        (Some(0), "ssh-rsa A\n".into(), String::new())
    );
    dir.write("sshkey.x", "ada:ssh-rsa X\n");
    assert_eq!(run(&dir, &["sshkey", "-s", "x", "ada"]).1, "ssh-rsa X\n");
}

#[test]
fn an_automount_entry_is_printed_as_autofs_takes_it() {
    let dir = TempDir::new();
    dir.write("auto.home.cache", "# c\nada -rw,hard server:/home/ada\nbob server:/home/bob\n* -ro server:/home/&\nbob other:/x\n");
    dir.write("auto.none", "ada server:/home/ada");
    let get = |words: &[&str]| {
        let (code, out, _) = run(&dir, &[&["automount"], words].concat());
        (code, out)
    };
    let found = |text: &str| (Some(0), text.to_owned());
    assert_eq!(get(&["auto.home", "ada"]), found("-rw,hard server:/home/ada\n"));
    assert_eq!(get(&["auto.home", "bob"]), found("server:/home/bob\n"));
    assert_eq!(get(&["auto.home", "carol"]), found("-ro server:/home/&\n"));
    assert_eq!(get(&["-s", "", "auto.none", "ada"]), found("server:/home/ada\n"));
    for words in [&["-s", "", "auto.none", "ad"][..], &["auto.nosuch", "ada"]] {
        assert_eq!(get(words), (Some(1), String::new()), "{words:?}");
    }
}
