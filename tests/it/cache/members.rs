//! The groups of a user: by their own index, and by a pass over the lines, the same.
#![cfg(feature = "nsscache")]

use super::bench::Bench;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[test]
fn groups_by_index_are_those_of_the_lines() {
    let mut groups = String::new();
    let mut want: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for group in 0..2000_u32 {
        let mut members: Vec<String> =
            (0..group % 7).map(|n| format!("u{}", (group * 31 + n * 97) % 400)).collect();
        if group % 10 == 0 {
            members.push("everywhere".into());
        }
        if group == 77 {
            // Twice in one group, with a blank in front, and an empty one.
            members.extend(["u1", " u1", "", "u1"].map(str::to_owned));
        }
        writeln!(groups, "g{group}:*:{}:{}", 70_000 + group, members.join(",")).unwrap();
        let mut names: Vec<&str> =
            members.iter().map(|m| m.trim()).filter(|m| !m.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            want.entry(name.to_owned()).or_default().push(70_000 + group);
        }
    }
    groups += "# c:*:1:u1\n+nis:*:2:u1\n:*:3:u1\nbad:*:x:u1\n  front:*:4:u1\nsame:*:70077:u1";
    want.get_mut("u1").unwrap().extend([4, 70_077]);
    let mut bench = Bench::new();
    bench.write("passwd.cache", "u1:x:1:1:::\n");
    bench.write("group.cache", &groups);
    bench.index();
    for way in ["index", "lines"] {
        for (name, gids) in &want {
            assert_eq!(&bench.groups(name), gids, "{name} by {way}");
        }
        for nobody in ["u400", "", "g1", "u", "+nis"] {
            assert!(bench.groups(nobody).is_empty(), "{nobody} by {way}");
        }
        bench.remove("group.cache.hashmember");
        bench.restart();
    }
}

/// Who is in more groups than a record has room for is looked for in the lines.
#[test]
fn a_user_in_thousands_of_groups_has_them_all() {
    let mut bench = Bench::new();
    let groups: String = (0..12_000)
        .map(|n| format!("g{n}:*:{}:all,few{}\n", 4_000_000_000_u32 + n, n % 2000))
        .collect();
    bench.write("passwd.cache", "");
    bench.write("group.cache", &groups);
    bench.index();
    let all = bench.groups("all");
    assert_eq!(all, (0..5000).map(|n| 4_000_000_000 + n).collect::<Vec<u32>>());
    assert_eq!(
        bench.groups("few1999"),
        [1999, 3999, 5999, 7999, 9999, 11_999].map(|n| 4_000_000_000_u32 + n)
    );
}
