//! What the databases answer, by file and key. tests/it/getent/etc.rs compares more of it with glibc.

use super::address::{Family, parse, push_v6};
use super::{DATABASES, Status, answer, is_database};
use crate::sys::error::{Error, Exit};
use rustix::io::Errno;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of one test with the files it needs, removed when dropped.
struct Files(PathBuf);

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Files {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nssbox-etcdb.{}.{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        // Left by a killed run that had our process id.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        for (name, content) in files {
            fs::write(dir.join(name), content).unwrap();
        }
        Files(dir)
    }

    fn dir(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }

    /// The output for `database`, which must end that way.
    #[track_caller]
    fn ask(&self, database: &str, keys: &[&[u8]], end: Status) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        let outcome = answer(database.as_bytes(), self.dir(), keys, &mut put).unwrap();
        assert_eq!(outcome, end, "{database} {keys:?}");
        out
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const NAMES: [&str; 8] = {
    let [a, b, c, d, e, f, g, h] = DATABASES;
    [a.0, b.0, c.0, d.0, e.0, f.0, g.0, h.0]
};

/// Asks one file for keys of one word each; none of `found` may be missing, all of `missing` must.
#[track_caller]
fn check(database: &str, content: &str, found: &[(&str, &str)], missing: &[&str]) {
    let files = Files::new(&[(database, content.as_bytes())]);
    for (key, line) in found {
        let out = files.ask(database, &[key.as_bytes()], Status::Found);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, *line, "{database} {key}");
    }
    for key in missing {
        let out = files.ask(database, &[key.as_bytes()], Status::NotFound);
        assert_eq!(out, b"", "{database} {key}");
    }
}

#[test]
fn only_the_eight_names_are_databases() {
    assert_eq!(NAMES.len(), 8);
    assert!(NAMES.is_sorted());
    assert!(NAMES.iter().all(|name| is_database(name.as_bytes())));
    for name in ["passwd", "netgroup", "ahosts", "", "Hosts"] {
        assert!(!is_database(name.as_bytes()), "{name}");
    }
}

#[test]
fn missing_file_finds_nothing_and_is_enumerated_as_empty() {
    let files = Files::new(&[]);
    for name in NAMES.iter().filter(|name| **name != "ethers") {
        assert_eq!(files.ask(name, &[], Status::Found), b"");
    }
    for name in NAMES {
        assert_eq!(files.ask(name, &[b"x"], Status::NotFound), b"");
    }
}

fn failed(what: &'static str, errno: Errno) -> Error {
    Error::system(what, errno).with_exit(Exit::FAILURE)
}

/// All that an error says.
fn told(error: Error) -> String {
    format!("{error:?}")
}

#[test]
fn directory_in_place_of_a_file_is_a_failure() {
    let files = Files::new(&[]);
    for name in NAMES {
        let path = files.0.join(name);
        fs::create_dir(&path).unwrap();
        let error = answer(name.as_bytes(), files.dir(), &[b"x"], &mut |_| Ok(())).unwrap_err();
        assert_eq!(told(error), told(failed("unable to read", Errno::ISDIR).about(path)));
    }
}

#[test]
fn pipe_in_place_of_a_file_is_a_failure_and_no_wait() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let files = Files::new(&[]);
    let path = files.0.join("rpc");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let error = answer(b"rpc", files.dir(), &[], &mut |_| Ok(())).unwrap_err();
    assert_eq!(told(error), told(failed("unable to open", Errno::SPIPE).about(path)));
}

#[test]
fn answers_before_a_failure_are_written() {
    let files = Files::new(&[]);
    fs::create_dir(files.0.join("hosts")).unwrap();
    let mut out = Vec::new();
    let mut put = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        Ok(())
    };
    answer(b"hosts", files.dir(), &[b"127.1", b"x"], &mut put).unwrap_err();
    assert_eq!(out, b"127.0.0.1       127.1\n");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let files = Files::new(&[("rpc", b"nfs 100003\n")]);
    let full = || failed("unable to write", Errno::NOSPC);
    let error = answer(b"rpc", files.dir(), &[], &mut |_| Err(full())).unwrap_err();
    assert_eq!(told(error), told(full()));
}

#[test]
fn all_keys_are_asked_though_one_is_missing() {
    let files = Files::new(&[("rpc", b"a 1\nb 2\n")]);
    let out = files.ask("rpc", &[b"a", b"x", b"2"], Status::NotFound);
    assert_eq!(out, b"a               1\nb               2\n");
}

#[test]
fn bytes_need_not_be_text_and_nul_ends_a_line() {
    let files = Files::new(&[("rpc", b"\xff 1 \xfe\nb 2 c\0d e\nf\0 3\ng 4")]);
    let all = b"\xff               1  \xfe\nb               2  c\ng               4\n";
    assert_eq!(files.ask("rpc", &[], Status::Found), all);
    let out = files.ask("rpc", &[b"\xfe", b"c"], Status::Found);
    assert_eq!(out, &all[..all.len() - 18]);
    files.ask("rpc", &[b"d"], Status::NotFound);
}

#[test]
fn indented_last_line_without_newline_is_read_as_it_stands() {
    // glibc 2.36 makes `22/tcpcp` of it.
    let files = Files::new(&[("services", b"  abc 22/tcp")]);
    let out = files.ask("services", &[], Status::Found);
    assert_eq!(out, b"abc                   22/tcp\n");
}

#[test]
fn lines_longer_than_any_buffer_are_served() {
    let mut members = "alias0".to_owned();
    for i in 1..20_000 {
        members.push_str(&format!(", alias{i}"));
    }
    let file = format!("a: x\nlong: {members}\nz: y\n");
    let files = Files::new(&[("aliases", file.as_bytes())]);
    let out = files.ask("aliases", &[], Status::Found);
    let long = format!("long:           {members}\n");
    let expected = format!("a:              x\n{long}z:              y\n");
    assert!(out == expected.as_bytes());
    assert!(files.ask("aliases", &[b"LONG"], Status::Found) == long.as_bytes());
}

#[test]
fn long_enumeration_is_complete() {
    let mut file = String::new();
    let mut expected = String::new();
    for i in 0..10_000 {
        file.push_str(&format!("name{i} {i}\n"));
        expected.push_str(&format!("{:<15} {i}\n", format!("name{i}")));
    }
    let files = Files::new(&[("rpc", file.as_bytes())]);
    assert!(files.ask("rpc", &[], Status::Found) == expected.as_bytes());
}

#[test]
fn services_are_found_by_name_and_port_with_or_without_protocol() {
    let ssh = "ssh                   22/tcp SSH sshd\n";
    let udp = "ssh                   22/udp\n";
    let eight = "octal                 8/tcp\n";
    check(
        "services",
        "# c\n\tssh 22/tcp SSH sshd # c\nssh\t22/udp\noctal 010/tcp\n22x 1/tcp\nhuge 65558/tcp",
        &[
            ("ssh", ssh),
            ("sshd", ssh),
            ("22", ssh),
            ("ssh/udp", udp),
            ("22/udp", udp),
            ("022/tcp", ssh),
            ("8", eight),
            ("22x", "22x                   1/tcp\n"),
            ("huge", "huge                  22/tcp\n"),
        ],
        &["Ssh", "22/sctp", "22/", "sshd/udp", "010", "65558", "", "/"],
    );
}

#[test]
fn protocols_are_found_by_number_and_case_of_names_counts() {
    let tcp = "tcp                   6 TCP\n";
    check(
        "protocols",
        "ip 0 IP\ntcp 6 TCP\nbad 6x\nnone\nhuge 99999999999\nlast 4294967295\n",
        &[
            ("6", tcp),
            ("tcp", tcp),
            ("TCP", tcp),
            ("6x", tcp),
            ("06", tcp),
            ("0x6", "ip                    0 IP\n"),
            // A C int, as in glibc.
            ("last", "last                  -1\n"),
            ("4294967295", "last                  -1\n"),
        ],
        &["Tcp", " 6", "-1", "7", "bad", "none", "huge"],
    );
}

#[test]
fn rpc_has_two_blanks_before_its_aliases() {
    let mapper = "portmapper      100000  portmap sunrpc\n";
    check(
        "rpc",
        "portmapper\t100000\tportmap sunrpc\nnfs 100003\n",
        &[("100000", mapper), ("sunrpc", mapper), ("nfs", "nfs             100003\n")],
        &["100001", "NFS"],
    );
}

#[test]
fn networks_are_found_by_whole_address_and_by_name_in_any_case() {
    let loopback = "loopback              127.0.0.0 lo\n";
    let bad = "bad                   255.255.255.255\n";
    check(
        "networks",
        "loopback 127 lo\nlan 192.168.010\nhex x7f.1\nbad 1.2.3.4.5\n",
        &[
            ("127.0.0.0", loopback),
            ("127.0", loopback),
            ("0x7f.0.0.0", loopback),
            ("LO", loopback),
            ("192.168.8.0", "lan                   192.168.8.0\n"),
            ("127.1.0.0", "hex                   127.1.0.0\n"),
            ("bad", bad),
            // What is no address stands for the same one in keys.
            ("1.2.3.4.5", bad),
        ],
        &["127", "localnet", ""],
    );
}

#[test]
fn ethers_writes_names_as_the_key_spells_them() {
    check(
        "ethers",
        "08:00:20:00:61:CA Host\n1:2:3:4:5:6 short\n1:2:3:4:5:100 bad\n",
        &[
            ("hOST", "8:0:20:0:61:ca hOST\n"),
            ("08:0:20:00:61:ca", "8:0:20:0:61:ca Host\n"),
            ("1:2:3:4:5:6", "1:2:3:4:5:6 short\n"),
        ],
        &["bad", "1:2:3:4:5", "1:2:3:4:5:7", ""],
    );
    let files = Files::new(&[("ethers", b"1:2:3:4:5:6 a\n")]);
    assert_eq!(files.ask("ethers", &[], Status::NoEnumeration), b"");
}

#[test]
fn aliases_go_on_in_lines_that_begin_with_a_blank() {
    // A blank behind a member belongs to it, as in glibc.
    let root = "root:           admin, ops , night\n";
    check(
        "aliases",
        "Root: admin,ops # c\n\t# c\n night\nempty:\nq: \"a, b\"\n: x\nroot: second\ntwice: a,,b\n",
        &[
            ("ROOT", &root.replace("root", "Root")),
            ("q", "q:              \"a, b\"\n"),
            // glibc 2.36 never comes back from this one.
            ("twice", "twice:          a, b\n"),
        ],
        &["admin", "empty", ""],
    );
}

#[test]
fn included_aliases_stand_in_place_of_the_file() {
    let files = Files::new(&[("list", b"a, b # c\n\nc d\n")]);
    let path = files.0.to_str().unwrap();
    let text = format!("x: first, :include:{path}/list, :include:{path}/none, last\n");
    fs::write(files.0.join("aliases"), text).unwrap();
    let out = files.ask("aliases", &[b"x"], Status::Found);
    assert_eq!(out, b"x:              first, a, b , c d, last\n");
}

#[test]
fn gshadow_leaves_out_empty_members() {
    check(
        "gshadow",
        "adm:*::root,syslog\nodd:!:a,,b: c,\nshort\n+nis\ncolon:x:a:b:c\n",
        &[
            ("adm", "adm:*::root,syslog\n"),
            ("odd", "odd:!:a,b:c\n"),
            ("short", "short:::\n"),
            ("colon", ""),
        ],
        &["root", "+nis", "Adm"],
    );
}

const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n\
                     10.0.0.1 web.example WEB www # c\n10.0.0.2 www\n10.0.0.3 mail www web\n\
                     2001:db8::1 mail\n::10.0.0.9 old\n1.2.3 bad\n";

#[test]
fn hosts_prefers_ipv6_and_takes_the_first_line_of_a_name() {
    let web = "10.0.0.1        web.example WEB www\n";
    let v6 = "::1             localhost ip6-localhost\n";
    check(
        "hosts",
        HOSTS,
        &[
            ("localhost", v6),
            ("web", web),
            ("WWW", web),
            ("mail", "2001:db8::1     mail\n"),
            ("10.0.0.1", web),
            ("127.0.0.1", "127.0.0.1       localhost\n"),
            ("0:0::1", v6),
            ("old", "::10.0.0.9      old\n"),
            // No file is needed for these.
            ("127.1", "127.0.0.1       127.1\n"),
            ("010.1", "8.0.0.1         010.1\n"),
        ],
        &["bad", "1.2.3.", "10.0.0.9", "::", "::zz", "09.1", "ab:cd", ""],
    );
}

#[test]
fn hosts_puts_all_lines_of_a_name_together_if_host_conf_says_so() {
    let files = [("hosts", HOSTS.as_bytes()), ("host.conf", b"multi off\nMulti  on # c\n")];
    let out = Files::new(&files).ask("hosts", &[b"www"], Status::Found);
    // The name of a later line follows its aliases, unless it is the first line's name.
    let names = "web.example WEB www www www web mail";
    let expected =
        format!("10.0.0.1        {names}\n10.0.0.2        {names}\n10.0.0.3        {names}\n");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn hosts_enumerates_what_ipv4_can_express() {
    let files = Files::new(&[("hosts", HOSTS.as_bytes())]);
    let out = files.ask("hosts", &[], Status::Found);
    let expected = "127.0.0.1       localhost\n127.0.0.1       localhost ip6-localhost\n\
                    10.0.0.1        web.example WEB www\n10.0.0.2        www\n\
                    10.0.0.3        mail www web\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// Rust writes them alike, but for what has only zeros in front of an IPv4 address.
#[test]
fn addresses_of_all_patterns_of_zeros_are_written_as_by_the_c_library() {
    for pattern in 0..=u8::MAX {
        for group in [1, 0xabcd, 0xffff] {
            let groups = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| (pattern >> i & 1) as u16 * group);
            let address = Ipv6Addr::from(groups);
            let mut text = Vec::new();
            push_v6(&mut text, &groups);
            let dotted = matches!(groups, [0, 0, 0, 0, 0, 0, 1..=u16::MAX, _]);
            let [.., a, b, c, d] = address.octets();
            let expected = if dotted { format!("::{a}.{b}.{c}.{d}") } else { address.to_string() };
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}

/// Rust reads them as inet_pton() does, and so must we, right ones and wrong ones.
#[test]
fn addresses_are_read_as_by_rust() {
    let pieces = [":", "::", "0", "1", "ab", "FfFf", "12345", "1.2.3.4", "255", ".", "256", "010"];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        let longer = |text: &String| pieces.map(|piece| format!("{text}{piece}"));
        texts.extend(texts.iter().flat_map(longer).collect::<Vec<_>>());
        texts.sort();
        texts.dedup();
    }
    // Around the full number of groups.
    for front in ["1:2:3:4:5", "1:2:3:4:5:6", "::2:3:4:5:6", "1::3:4:5:6", "1:2:3:4:5:6:7:8"] {
        texts.extend(texts.clone().iter().take(3000).map(|text| format!("{front}{text}")));
    }
    for text in texts {
        let expected = text.parse().ok().map(|address| match address {
            IpAddr::V4(address) => (Family::V4, address.to_ipv6_mapped().segments()),
            IpAddr::V6(address) => (Family::V6, address.segments()),
        });
        assert_eq!(parse(text.as_bytes()), expected, "{text}");
    }
}
