//! `getent` for the databases that are read from /etc alone, against glibc's own getent.
//!
//! Both run in one private mount namespace, where a directory of the test covers /etc. That takes
//! root or unprivileged user namespaces; without, these tests are skipped. src/etcdb has tests
//! that need neither.
#![cfg(feature = "getent")]

use crate::support::{TempDir, have_program, is_root, nssbox, run_to_end, skip};
use std::fs;
use std::process::Command;

const DATABASES: [&str; 8] =
    ["aliases", "ethers", "gshadow", "hosts", "networks", "protocols", "rpc", "services"];

/// What the tests' /etc holds: all that these databases may look like in good order, and some
/// lines that are none.
const FILES: [(&str, &str); 9] = [
    (
        "aliases",
        "# mail\npostmaster: root\nRoot:\tadmin, ops@example.com,\n\tnight,\n # nobody\n  day: x\n\
         mailer-daemon : postmaster\nnobody: /dev/null\nprog: \"|/bin/x y\"\nempty:\nno colon\n\
         a-name-of-more-than-16-bytes:x\nlist: :include:/etc/list, :include:/none , end\n\
         root: shadowed\ncrlf: a\r\n",
    ),
    ("list", "one, two # c\n\n# c\nthree four\n"),
    (
        "ethers",
        "# cards\n08:00:20:00:61:CA  Pal\n1:2:3:4:5:6\tshort alias # c\n1:2:3:4:5:6 later\n\
         1:2:3:4:5 few\n1:2:3:4:5:1ff big\na:b:c:d:e:f\n  0A:b:C:d:E:f blank\n0:0:0:0:0:0 end",
    ),
    (
        "gshadow",
        "root:*::\nadm:*::syslog,admin\nsudo:!:root,a:u1,u2,,u3\n\nempty::::\nshort\ntwo:x\n\
         +nis\n-:x::\nspace:x: a, b:c ,d\nadm:*::second\n",
    ),
    (
        "hosts",
        "127.0.0.1\tlocalhost lo4\n::1 localhost ip6-localhost ip6-loopback\n\n# c\n\
         10.0.0.1  web.example.com web www\t# c\n10.0.0.2 Web www\n2001:db8::1 web\n\
         2001:DB8:0:0::2 www web.example.com\n::ffff:10.9.9.9 mapped\n::10.1.2.3 compatible\n\
         255.255.255.255 broadcasthost-with-a-name\n10.0.0.300 bad\n10.0.1 bad\n10.0.0.9\n\
         fe00::0 ip6-localnet\n1:0:0:2:0:0:0:3 zeros\n1.1.1.1 dot. a:b 9front 0x10\n\
         ::3 a:b ab:cx ab:cd.\n:: any\n10.1.0.1 Mail smtp\n10.1.0.2 mail imap smtp\n\
         10.1.0.3 smtp\n1.1.1.2 1.2. ab:cd",
    ),
    (
        "networks",
        "default\t0.0.0.0\nloopback 127.0.0.0 lo\nlink-local 169.254\nlan 10.1 Home # c\n\
         octal 010.1.2.3\nhex 0xac.0x10\nbad 1.2.3.4.5\nnone\n",
    ),
    (
        "protocols",
        "# protocols\nip\t0\tIP\t\t# internet\nhopopt 0 HOPOPT\ntcp 6 TCP\nudp\t17 UDP a b\n\
         noalias 99\nbad 6x\nnonumber\ntcp 77\nhigh 255 \n0name 5\n",
    ),
    (
        "rpc",
        "portmapper 100000 portmap sunrpc rpcbind\nrstatd\t100001\trstat rup\nnfs 100003\n\
         a-name-of-more-than-15 100004 x\n",
    ),
    (
        "services",
        "tcpmux 1/tcp # c\necho\t7/tcp\necho\t7/udp\nssh 22/tcp SSH sshd\ndomain 53/tcp\n\
         domain 53/udp nameserver\n22x 23/tcp\n80 8080/tcp\nnoproto 99\nbad x/tcp\nbad\n\
         octal 010/tcp\nhex 0x1F//tcp\nhuge 65546/tcp\n\
         a-name-of-more-than-21-bytes 65535/udp alias\n# end\nlast 100/sctp",
    ),
];

/// Keys to look up, each group in one call. An empty group enumerates.
const CASES: [(&str, &[&[&str]]); 8] = [
    (
        "aliases",
        &[
            &[],
            &["postmaster"],
            &["root"],
            &["ROOT", "nope", "prog"],
            &["mailer-daemon"],
            &["mailer-daemon "],
            &["list"],
            &["empty"],
            &["crlf"],
            &["no colon", "day", ""],
        ],
    ),
    (
        "ethers",
        &[
            &[],
            &["pal"],
            &["PAL", "short", "nope"],
            &["8:0:20:0:61:ca"],
            &["08:00:20:00:61:CA"],
            &["1:2:3:4:5:6"],
            &["1:2:3:4:5:6 x", "1:2:3:4:5:6x"],
            &["0a:0b:0c:0d:0e:0fz"],
            &["a:b:c:d:e:f"],
            &["1:2:3:4:5"],
            &["blank", "end", "few", "big", "alias", ""],
        ],
    ),
    (
        "gshadow",
        &[
            &[],
            &["root"],
            &["adm", "sudo"],
            &["nope", "short", "two"],
            &["+nis"],
            &["-"],
            &["ADM"],
            &["space", "empty", ""],
        ],
    ),
    (
        "hosts",
        &[
            &[],
            &["localhost"],
            &["LOCALHOST", "lo4"],
            &["web"],
            &["www"],
            &["web.example.com"],
            &["nope", "zeros"],
            &["127.0.0.1", "::1"],
            &["0:0:0:0:0:0:0:1"],
            &["10.0.0.2", "10.0.0.9"],
            &["2001:db8::2"],
            &["10.9.9.9", "::ffff:10.9.9.9", "mapped"],
            &["::10.1.2.3", "::a01:203"],
            &["compatible", "ip6-localnet", "broadcasthost-with-a-name"],
            &["smtp"],
            &["mail", "imap"],
            &["1.16777215", "1.16777216", "1.2.65535", "1.2.65536", "4294967295"],
            &["4294967296", "1.2.3.256", "1.256.1", "1.2.", "ab:cd", "ab:cd."],
            &["127.1", "127", "010.1", "08.1", "1.2.3.4.5", "1..2", "256.1.1.1"],
            &["10.0.1", "bad", "dot.", "dot", "1.1.1.", "::", "0.0.0.0"],
            &["a:b", "ab:cx", "any", "9front", "0x10", ":x", "fe00::0%lo", "fe00::zz", ""],
        ],
    ),
    (
        "networks",
        &[
            &[],
            &["loopback", "LOOPBACK", "LO", "home"],
            &["127.0.0.0"],
            &["127.0"],
            &["127"],
            &["0x7f.0.0.0", "0177.0.0.0"],
            &["127.0.0.0 x", "127.0.0.0x"],
            &["10.1.0.0", "10.1", "8.1.2.3", "172.16.0.0"],
            &["0", "0.0.0.0", "1.2.3.4.5", "bad", "none", ""],
        ],
    ),
    (
        "protocols",
        &[
            &[],
            &["tcp", "TCP", "Tcp"],
            &["6"],
            &["6x", "06", "0x6"],
            &["0", "77", "78"],
            &["udp", "b", "noalias", "high"],
            &["bad", "nonumber", "0name", "5", " 6", "+6", "-6", ""],
            &["99999999999999999999", "4294967302"],
        ],
    ),
    (
        "rpc",
        &[
            &[],
            &["100000"],
            &["portmapper", "rup", "nfs"],
            &["NFS", "100003x", "100002"],
            &["a-name-of-more-than-15", "x"],
        ],
    ),
    (
        "services",
        &[
            &[],
            &["ssh", "sshd", "SSH", "Ssh"],
            &["22"],
            &["22/tcp", "22/udp", "22/"],
            &["22x", "22x/tcp", "80", "80/tcp", "8080"],
            &["echo", "echo/udp", "echo/tcp", "echo/UDP"],
            &["53/udp", "nameserver/udp", "nameserver/tcp"],
            &["022", "65535", "65536", "131071", "-1", "+22", " 22"],
            &["noproto", "noproto/", "99", "99/"],
            &["a-name-of-more-than-21-bytes", "alias", "100/sctp", "last"],
            &["octal", "8", "010", "31", "hex", "huge", "10", "65546"],
            &["bad", "", "/", "/tcp", "22/tcp/x"],
        ],
    ),
];

/// What a program made of a call: its exit code and its standard output.
type Answer = (String, Vec<u8>);

/// Our getent, as the shell script names it.
const OURS: &str = "\"$1\" getent";

/// Runs each call, database first, with each program, with `etc` in place of /etc; the answers of
/// a program stand together. `None`, and said so, where that cannot be.
fn answers(
    test: &str,
    etc: &TempDir,
    programs: &[&str],
    calls: &[Vec<String>],
) -> Option<Vec<Vec<Answer>>> {
    if !have_program("unshare") {
        skip(test, "no unshare");
        return None;
    }
    let out = private();
    let (etc, dir) = (etc.as_str(), out.as_str());
    // The mark tells a mount that was refused from a failure after it.
    let mut script = format!("mount --bind {etc} /etc || exit\n: >{dir}/mounted\n");
    for (p, program) in programs.iter().enumerate() {
        for (c, call) in calls.iter().enumerate() {
            let call: String = call.iter().map(|word| quoted(word)).collect();
            let file = format!("{dir}/{p}.{c}");
            script += &format!("{program}{call} >{file} 2>/dev/null; echo $? >{file}.code\n");
        }
    }
    let script = out.write("script", script);
    let mut command = Command::new("unshare");
    command
        .arg(if is_root() { "-m" } else { "-rm" })
        .arg("sh")
        .args([script.as_path(), nssbox()])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C.UTF-8");
    let finished = run_to_end(command);
    if !out.join("mounted").exists() {
        skip(test, &format!("no private mounts: {}", finished.stderr));
        return None;
    }
    let read = |name: String| fs::read(out.join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let answer = |p: usize, c: usize| {
        let code = String::from_utf8_lossy(&read(format!("{p}.{c}.code"))).into_owned();
        (code.trim().to_owned(), read(format!("{p}.{c}")))
    };
    let of = |p| (0..calls.len()).map(|c| answer(p, c)).collect();
    Some((0..programs.len()).map(of).collect())
}

/// A word for the shell, with a blank before it.
fn quoted(word: &str) -> String {
    format!(" '{}'", word.replace('\'', "'\\''"))
}

/// A directory that others may not look into: it may hold a copy of the machine's gshadow.
fn private() -> TempDir {
    let dir = TempDir::new();
    dir.chmod("", 0o700);
    dir
}

/// An /etc in which files answer everything.
fn etc(files: &[(&str, &str)]) -> TempDir {
    let etc = private();
    let nsswitch: String = DATABASES.iter().map(|name| format!("{name}: files\n")).collect();
    etc.write("nsswitch.conf", nsswitch);
    for (name, content) in files {
        etc.write(name, content);
    }
    etc
}

fn call(database: &str, keys: &[&str]) -> Vec<String> {
    // As an operand after --, a key may begin with a dash.
    let words = ["--", database].into_iter().chain(keys.iter().copied());
    words.map(str::to_owned).collect()
}

/// Our getent must say to every call what glibc's says.
fn compare(test: &str, etc: &TempDir, calls: &[Vec<String>]) {
    if !have_program("getent") {
        return skip(test, "no getent");
    }
    let mut version = Command::new("getent");
    version.arg("--version");
    let version = String::from_utf8_lossy(&run_to_end(version).stdout).into_owned();
    let is_glibc = ["GLIBC", "GNU libc"].iter().any(|libc| version.contains(libc));
    if !is_glibc {
        return skip(test, "getent is not glibc's");
    }
    let Some(answers) = answers(test, etc, &["getent", OURS], calls) else {
        return;
    };
    let [theirs, ours] = answers.as_slice() else {
        panic!("two programs, {} answers", answers.len());
    };
    for ((call, theirs), ours) in calls.iter().zip(theirs).zip(ours) {
        let [theirs, ours] =
            [theirs, ours].map(|(code, text)| (code, String::from_utf8_lossy(text)));
        assert_eq!(ours, theirs, "getent {call:?}: ours is left, glibc's right");
    }
}

fn all_cases() -> Vec<Vec<String>> {
    let of = |(database, groups): &(&str, &[&[&str]])| -> Vec<Vec<String>> {
        groups.iter().map(|keys| call(database, keys)).collect()
    };
    CASES.iter().flat_map(of).collect()
}

#[test]
fn answers_are_those_of_glibc() {
    compare("answers_are_those_of_glibc", &etc(&FILES), &all_cases());
}

#[test]
fn hosts_follows_multi_in_host_conf() {
    let etc = etc(&FILES);
    let calls = all_cases();
    for conf in ["multi on\n", "order hosts\n multi\tOn # c\nmulti off\n", "#multi on\n"] {
        etc.write("host.conf", conf);
        compare("hosts_follows_multi_in_host_conf", &etc, &calls);
    }
}

#[test]
fn missing_files_are_empty_ones() {
    compare("missing_files_are_empty_ones", &etc(&[]), &all_cases());
}

#[test]
fn empty_files_and_blank_lines_hold_nothing() {
    let files = DATABASES.map(|name| (name, "\n \t\n#\n  # c\n"));
    compare("empty_files_and_blank_lines_hold_nothing", &etc(&files), &all_cases());
}

#[test]
fn the_machines_own_files_read_the_same() {
    let test = "the_machines_own_files_read_the_same";
    let own = etc(&[]);
    let mut calls = Vec::new();
    for name in DATABASES.iter().chain(&["host.conf"]) {
        let Ok(content) = fs::read(format!("/etc/{name}")) else {
            continue;
        };
        own.write(name, &content);
        if *name == "host.conf" {
            continue;
        }
        calls.push(call(name, &[]));
        // Every word is a key: names, aliases, numbers, addresses, and what is none of these.
        let text = String::from_utf8_lossy(&content).into_owned();
        let words = text.split([' ', '\t', '\n', ',']);
        let mut keys: Vec<&str> =
            words.flat_map(|word| [word, word.split(':').next().unwrap_or_default()]).collect();
        keys.sort_unstable();
        keys.dedup();
        calls.extend(keys.chunks(200).map(|keys| call(name, keys)));
    }
    compare(test, &own, &calls);
}

#[test]
fn known_answers_come_without_a_reference() {
    let cases: [(Vec<String>, &str, &str); 4] = [
        (call("services", &["sshd"]), "0", "ssh                   22/tcp SSH sshd\n"),
        (call("hosts", &["web", "nope"]), "2", "2001:db8::1     web\n"),
        (call("aliases", &["NOBODY"]), "0", "nobody:         /dev/null\n"),
        (call("ethers", &[]), "3", ""),
    ];
    let test = "known_answers_come_without_a_reference";
    let calls = cases.each_ref().map(|(call, ..)| call.clone());
    let Some(answers) = answers(test, &etc(&FILES), &[OURS], &calls) else {
        return;
    };
    for ((call, code, text), answer) in cases.iter().zip(answers.iter().flatten()) {
        assert_eq!(*answer, ((*code).to_owned(), text.as_bytes().to_vec()), "{call:?}");
    }
}
