//! The files of nsssd-map: its configuration in both formats, and the registry.

use super::stage::Dir;
use super::{first, number};
use nssbox::backend::map::config::{Config, Section, SectionKind};
use nssbox::backend::map::names::{Letters, fits, glob_fault, is_reserved, matches};
use nssbox::backend::map::pairs::Pairs;
use nssbox::backend::map::problem::Problem;
use nssbox::backend::map::registry::Registry;
use nssbox::backend::map::template::{GidOf, Ids, Pattern, Template};
use nssbox::backend::map::{sections, single};
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

/// A byte that says which format, and the file.
pub fn nssmap_conf(data: &[u8]) {
    let (format, text) = first(data);
    match format % 3 {
        0 => second_format(&[sections::FIRST, b"\n", text].concat()),
        1 => first_format(text),
        _ => as_libnss_map(text),
    }
    // Globs are compared with a name, the one behind the other.
    let mut words = text.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
    while let (Some(glob), Some(name)) = (words.next(), words.next()) {
        let (glob, name) = (&glob[..glob.len().min(40)], &name[..name.len().min(40)]);
        if glob_fault(glob).is_none() {
            assert_eq!(matches(glob, name), naive_match(glob, name), "{glob:?} {name:?}");
        }
        assert_eq!(fits(name, Letters::Lower), naive_fits(name, false), "{name:?}");
        assert_eq!(fits(name, Letters::Mixed), naive_fits(name, true), "{name:?}");
        let _ = is_reserved(name);
    }
}

fn is_good(problems: &[Problem]) -> bool {
    problems.iter().all(|p| p.warning)
}

fn second_format(text: &[u8]) {
    let read = |text: &[u8]| {
        let (mut config, mut problems) = (Config::default(), Vec::new());
        sections::read(text, &mut config, &mut problems);
        format!("{config:?} {problems:?}")
    };
    let shown = read(text);
    let (mut config, mut problems) = (Config::default(), Vec::new());
    sections::read(text, &mut config, &mut problems);
    let lines = text.split(|b| *b == b'\n').count() as u64;
    assert!(problems.iter().all(|p| (1..=lines).contains(&p.line)), "{problems:?}");
    // Neither a comment at the end nor the line ends of DOS change anything.
    assert_eq!(read(&[text, b"\n # end\n\n"].concat()), shown);
    if !text.contains(&b'\r') {
        let dos = text.split(|b| *b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
        let long = |l: &[u8]| l.len() >= nssbox::backend::map::template::LINE_MAX;
        if !text.split(|b| *b == b'\n').any(long) {
            assert_eq!(read(&dos), shown);
        }
    }
    if is_good(&problems) {
        check(&config);
    }
}

/// What a configuration without errors promises.
fn check(config: &Config) {
    let range = |lo: u32, hi: u32| {
        assert!(500 <= lo && lo <= hi && hi <= i32::MAX as u32, "{lo}-{hi}");
        assert!(hi < 65534 || lo > 65535, "{lo}-{hi}");
    };
    let one = |id: u32| assert!(id >= 500 && ![65534, 65535, u32::MAX].contains(&id), "{id}");
    let mut uids = Vec::new();
    for section in config.sections.iter().filter(|s| s.kind == SectionKind::Map) {
        template(&section.template);
        assert!(section.globs.count() > 0);
        assert!({ section.globs }.all(|g| glob_fault(g).is_none()));
        assert!(section.template.home.after.is_some(), "everybody has the same home");
        match section.template.ids {
            Ids::One(id) => one(id),
            Ids::Range { .. } => {
                let (lo, hi) = section.template.ids.bounds().unwrap();
                range(lo, hi);
                assert!(config.key.is_some(), "derived without a key");
            }
            Ids::Asked => panic!("a name has no number to ask for"),
        }
        let whole = section.template.ids.bounds().unwrap();
        uids.push((whole, whole.0 == whole.1));
        match section.template.gid {
            GidOf::One(id) => one(id),
            GidOf::Uid => assert!(matches!(section.template.ids, Ids::Range { .. })),
        }
        for file in &section.require.files {
            assert!(file.before.starts_with(b"/") && file.after.is_some());
        }
        assert!(section.require.home || !section.require.owned);
    }
    let numbers: Vec<&Section> =
        config.sections.iter().filter(|s| s.kind != SectionKind::Map).collect();
    assert!(numbers.len() <= 8);
    for section in numbers {
        template(&section.template);
        range(section.numbers.0, section.numbers.1);
        let top = section.numbers.1.to_string();
        let name = section.template.name.pieces(top.as_bytes()).concat();
        assert!(naive_fits(&name, true), "{name:?}");
        if section.kind == SectionKind::Uids {
            uids.push((section.numbers, false));
        }
    }
    for (at, (a, one)) in uids.iter().enumerate() {
        for (b, _) in &uids[at + 1..] {
            assert!(a.1 < b.0 || b.1 < a.0 || (*one && a == b), "{a:?} and {b:?} overlap");
        }
    }
    for (at, pin) in config.pins.iter().enumerate() {
        assert!(naive_fits(pin.name, config.letters == Letters::Mixed));
        let others = &config.pins[at + 1..];
        assert!(others.iter().all(|o| o.name != pin.name && o.uid != pin.uid));
        let section = config.section_of(pin.name).expect("a pin without a section");
        let (lo, hi) = section.template.ids.bounds().unwrap();
        assert!((lo..=hi).contains(&pin.uid));
    }
    let paths = config.key.iter().chain(&config.registry).map(|(_, path)| path);
    paths.chain(&config.deny_files).for_each(|path| assert!(path.starts_with(b"/")));
}

fn template(template: &Template) {
    let Template { name, gecos, home, shell, .. } = template;
    for text in [name.before, gecos, home.before, shell] {
        assert!(text.iter().all(|b| *b >= 0x20 && *b != 0x7f && *b != b':'), "{text:?}");
    }
    assert!(home.pieces(b"").concat().starts_with(b"/"));
}

fn first_format(text: &[u8]) {
    let (mut config, mut problems) = (Config::default(), Vec::new());
    single::safe(text, &mut config, &mut problems);
    assert!(config.sections.len() <= 1);
    let plain = |l: &&[u8]| !l.is_empty() && *l != b"\r" && !l.starts_with(b"#");
    let line = text.split(|b| *b == b'\n').find(plain);
    if !is_good(&problems) || line.is_none() {
        return assert!(config.sections.is_empty());
    }
    let line = line.unwrap();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let [Section { globs, template: made, .. }] = &config.sections[..] else {
        panic!("neither a template nor an error: {text:?}");
    };
    assert_eq!(globs.0, b"*");
    template(made);
    let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
    assert_eq!(fields.len(), 7);
    let id = |at: usize| (number(fields[at], u64::from(u32::MAX)).unwrap() as u32).max(500);
    let (uid, gid) = (id(2), id(3));
    assert_eq!((made.ids, made.gid), (Ids::One(uid), GidOf::One(gid)));
    assert!([uid, gid].iter().all(|id| ![65534, 65535, u32::MAX].contains(id)));
    texts(made, &fields);
}

/// The strings of a template that was made of these fields.
fn texts(made: &Template, fields: &[&[u8]]) {
    assert_eq!(made.name, Pattern { before: fields[0], slash: false, after: None });
    assert_eq!(made.gecos, fields[4]);
    assert_eq!(made.home, Pattern { before: fields[5], slash: true, after: Some(b"") });
    assert_eq!(made.shell, fields[6]);
}

fn as_libnss_map(text: &[u8]) {
    let mut config = Config::default();
    single::compat(text, &mut config);
    let line = text.split(|b| *b == b'\n' || *b == 0).next().unwrap();
    let fields: Vec<&[u8]> = line.splitn(7, |b| *b == b':').collect();
    if line.len() > 2048 || fields.len() < 7 {
        return assert!(config.compat && config.sections.is_empty());
    }
    let made = &config.sections[0].template;
    assert_eq!(config.sections.len(), 1);
    let ids = (Ids::One(atoi(fields[2])), GidOf::One(atoi(fields[3])));
    assert_eq!((made.ids, made.gid), ids);
    texts(made, &fields);
}

/// As a C library reads a long of 64 bits, and libnss_map takes it.
fn atoi(text: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1i128, &text.as_bytes()[1..]),
        Some(b'+') => (1, &text.as_bytes()[1..]),
        _ => (1, text.as_bytes()),
    };
    let mut value = 0i128;
    for digit in digits.iter().take_while(|b| b.is_ascii_digit()) {
        value = (value * 10 + i128::from(digit - b'0')).min(1 << 70);
    }
    let value = (sign * value).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    (value as u32).max(500)
}

fn naive_fits(name: &[u8], mixed: bool) -> bool {
    let letter = |b: u8| matches!(b, b'a'..=b'z' | b'_') || (mixed && b.is_ascii_uppercase());
    let inside = |b: &u8| letter(*b) || matches!(b, b'0'..=b'9' | b'.' | b'-');
    (1..=32).contains(&name.len())
        && letter(name[0])
        && name[1..].iter().all(inside)
        && name[name.len() - 1] != b'.'
}

/// Whether `name` fits: for each of its ends, by trying all of them.
fn naive_match(glob: &[u8], name: &[u8]) -> bool {
    // Which ends of `name` the front of the glob can reach.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < glob.len() {
        let mut next = vec![false; name.len() + 1];
        let (element, behind): (Box<dyn Fn(u8) -> bool>, usize) = match glob[at] {
            b'*' => {
                let from = reached.iter().position(|r| *r).unwrap_or(reached.len());
                reached.iter_mut().skip(from).for_each(|r| *r = true);
                at += 1;
                continue;
            }
            b'?' => (Box::new(|_| true), at + 1),
            b'[' => {
                let end = at + glob[at..].iter().position(|b| *b == b']').unwrap();
                let set = &glob[at + 1..end];
                (Box::new(|byte| in_set(set, byte)), end + 1)
            }
            only => (Box::new(move |byte| byte == only), at + 1),
        };
        for (i, byte) in name.iter().enumerate() {
            next[i + 1] = reached[i] && element(*byte);
        }
        reached = next;
        at = behind;
    }
    reached[name.len()]
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set.get(at + 1) == Some(&b'-') && at + 2 < set.len() {
            if set[at] <= byte && byte <= set[at + 2] {
                return true;
            }
            at += 3;
        } else if set[at] == byte {
            return true;
        } else {
            at += 1;
        }
    }
    false
}

/// Bytes that say how large the window is, where the file ends at first and at last, and whether
/// a pair is appended; then the file.
pub fn registry(data: &[u8]) {
    let (window, data) = first(data);
    let (begun, data) = first(data);
    let (left, data) = first(data);
    let (pair, text) = first(data);
    let text = &text[..text.len().min(4096)];
    let mut window = vec![0; 128 << (window % 6)];
    let part = |of: &[u8], byte: u8| of.len() * usize::from(byte) / 255;
    let (start, rest) = text.split_at(part(text, begun));
    let path = Dir::with(|dir| dir.join("registry"));
    fs::write(&path, start).expect("a file");
    let mut known = Pairs::new(true);
    let open = || Registry::open(path.as_os_str().as_bytes(), false).unwrap().expect("a registry");
    let mut registry = open();
    let comparable = text.split(|b| *b == b'\n').all(|line| line.len() < window.len());
    registry.refresh(&mut known, &mut window).unwrap();
    same_pairs(&known, start, text, comparable);
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("a file");
    file.write_all(rest).expect("room");
    registry.refresh(&mut known, &mut window).unwrap();
    same_pairs(&known, text, text, comparable);
    let text = &text[..part(text, left)];
    file.set_len(text.len() as u64).expect("a file");
    registry.refresh(&mut known, &mut window).unwrap();
    same_pairs(&known, text, text, comparable);
    if pair == 0 {
        return;
    }
    let (name, uid) = (&b"added"[..], 20_000 + u32::from(pair));
    registry.append(name, uid, &mut known, &mut window).unwrap();
    let now = fs::read(&path).expect("a file");
    assert!(now.starts_with(text));
    same_pairs(&known, &now, &now, comparable);
    let held = known.with_uid(uid).next().is_some();
    assert!(known.uid_of(name).is_some() || held);
    if comparable {
        // Another reader, who sees all at once.
        let mut other = Pairs::new(true);
        open().refresh(&mut other, &mut [0; 8192]).unwrap();
        same_pairs(&other, &now, &now, true);
    }
}

/// `known` has the pairs of `text`, and none of the others that stand in `all`.
fn same_pairs(known: &Pairs, text: &[u8], all: &[u8], comparable: bool) {
    if !comparable {
        return;
    }
    let mut pairs: Vec<(u32, &[u8])> = Vec::new();
    for (uid, name) in naive_lines(text) {
        if pairs.iter().all(|(u, n)| *u != uid && *n != name) {
            pairs.push((uid, name));
        }
    }
    let all = [all, b"\n"].concat();
    for (uid, name) in naive_lines(&all) {
        let uid_of = pairs.iter().find(|p| p.1 == name).map(|p| p.0);
        assert_eq!(known.uid_of(name), uid_of, "{name:?}");
        let held: Vec<&[u8]> = known.with_uid(uid).map(|p| p.name()).collect();
        let want: Vec<&[u8]> = pairs.iter().filter(|p| p.0 == uid).map(|p| p.1).collect();
        assert_eq!(held, want, "{uid}");
    }
}

/// The whole lines, as far as they are in order.
fn naive_lines(text: &[u8]) -> Vec<(u32, &[u8])> {
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    text[..whole].split(|b| *b == b'\n').filter_map(naive_pair).collect()
}

fn naive_pair(line: &[u8]) -> Option<(u32, &[u8])> {
    let words: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [uid, name, epoch] = words[..] else { return None };
    number(epoch, u64::MAX)?;
    let uid = number(uid, u64::from(u32::MAX))? as u32;
    naive_fits(name, true).then_some((uid, name))
}
