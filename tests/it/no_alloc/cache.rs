//! nsssd-cache, by each way that leads to a line.

use crate::cache::bench::{Bench, Told};

#[test]
fn nsssd_cache_does_not_allocate_by_any_index() {
    let mut bench = Bench::new();
    let line = |n: u32| format!("user{n}:x:{}:100:User {n}:/home/user{n}:/bin/sh", 5000 + n);
    bench.write("passwd.cache", (0..3000).map(|n| line(n) + "\n").collect::<String>());
    bench.write(
        "group.cache",
        (0..500).map(|n| format!("g{n}:*:{n}:user{n},all\n")).collect::<String>(),
    );
    bench.write("shadow.cache", "user7:*:1::::::\n");
    bench.index();
    for way in ["hash", "ix", "lines"] {
        for n in [0, 7, 2999] {
            assert_eq!(bench.call("getpwnam", &format!("user{n}")), Told::Line(line(n)), "{way}");
            assert_eq!(
                bench.call("getpwuid", &(5000 + n).to_string()),
                Told::Line(line(n)),
                "{way}"
            );
        }
        assert_eq!(bench.call("getpwnam", "nobody"), Told::NotFound);
        assert_eq!(bench.call("getspnam", "user7"), Told::Line("user7:*:1::::::".into()));
        assert_eq!(bench.groups("all").len(), 500, "{way}");
        assert_eq!(bench.groups("user7"), [7], "{way}");
        assert_eq!(bench.names(crate::support::op::GRP_GET).len(), 500);
        bench.end();
        match way {
            "hash" => ["passwd.cache.hashname", "passwd.cache.hashuid", "group.cache.hashmember"]
                .iter()
                .for_each(|name| bench.remove(name)),
            _ => bench.remove_indexes(),
        }
        bench.restart();
    }
}
