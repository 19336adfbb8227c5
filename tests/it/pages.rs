//! README.md and the pages of doc/ can be pasted, from top to bottom, and again.

use crate::support::ldap::Unpacked;
use crate::support::page::{Block, blocks, indented_commands, pages, paste_twice};
use crate::support::{have_program, is_root, peer, skip};

/// The pages with commands: the name of the test, the page, how many of its blocks run here, and how
/// many elsewhere.
macro_rules! pasted {
    ($($name:ident: $page:literal, $here:literal, $elsewhere:literal;)*) => {
        const PASTED: &[(&str, usize, usize)] = &[$(($page, $here, $elsewhere)),*];
        $(
            #[test]
            fn $name() {
                paste(concat!("pages::", stringify!($name)), $page);
            }
        )*
    };
}

pasted! {
    readme: "README.md", 4, 7;
    contributing: "CONTRIBUTING.md", 0, 2;
    boards: "doc/boards.md", 0, 7;
    dt: "doc/dt.md", 6, 5;
    examples: "doc/examples/README.md", 1, 10;
    fleet: "doc/fleet.md", 0, 3;
    getent: "doc/getent.md", 1, 0;
    id: "doc/id.md", 1, 0;
    ipcserver: "doc/ipcserver.md", 1, 0;
    nscd: "doc/nscd.md", 9, 0;
    nsscache: "doc/nsscache.md", 5, 0;
    nsssd_cache: "doc/nsssd-cache.md", 5, 0;
    nsssd_map: "doc/nsssd-map.md", 6, 0;
    nsssd_nslcd: "doc/nsssd-nslcd.md", 8, 0;
    nsssd_switch: "doc/nsssd-switch.md", 1, 0;
    nsssd_unix: "doc/nsssd-unix.md", 1, 0;
    reliability: "doc/reliability.md", 0, 1;
    speed: "doc/speed.md", 0, 1;
    sv: "doc/sv.md", 2, 0;
    userdb: "doc/userdb.md", 1, 0;
}

/// Where a block runs that needs this: here with what the tests unpack, or elsewhere (a build, a
/// board; what needs a supervisor is in `examples`, what needs sshd in `dt::real`, what needs nginx or many boards in
/// `directory::fleet`).
fn runs_here(block: &Block) -> bool {
    match block.needs.as_str() {
        "" | "slapd" | "libnss-systemd" | "runsv" | "python3" => true,
        "cargo" | "deb" | "packages" | "supervisor" | "s6" | "runit" | "openrc" | "procd"
        | "systemd" | "sshd" | "nginx" | "board" => false,
        needs => panic!("line {}: who knows what {needs} is?", block.line),
    }
}

fn paste(test: &str, page: &str) {
    let mut here = blocks(page);
    here.retain(runs_here);
    if here.is_empty() {
        return;
    }
    for program in ["unshare", "setpriv", "strace", "perl"] {
        if !is_root() || !have_program(program) {
            return skip(test, &format!("needs root and {program}"));
        }
    }
    if here.iter().any(|block| block.needs == "runsv") && !have_program("runsv") {
        return skip(test, "needs runsv");
    }
    if here.iter().any(|block| ["runsv", "python3"].contains(&block.needs.as_str()))
        && !have_program("python3")
    {
        return skip(test, "needs python3");
    }
    let mut before = String::new();
    if here.iter().any(|block| block.needs == "slapd") {
        let Some(unpacked) = Unpacked::find(test) else { return };
        let unpacked = unpacked.root().display();
        // As if the packages were installed.
        before = format!(
            "mkdir /etc/ldap && cp -R '{unpacked}/etc/ldap/schema' /etc/ldap\n\
             mount -t overlay -o 'lowerdir={unpacked}/usr:/usr' private /usr\n"
        );
    }
    if here.iter().any(|block| block.needs == "libnss-systemd") {
        let library = format!("usr/lib/{}-linux-gnu/libnss_systemd.so.2", std::env::consts::ARCH);
        let Some(library) = peer(test, "libnss-systemd", &library) else { return };
        let library = library.parent().expect("a file").display();
        before = format!("export LD_LIBRARY_PATH='{library}'\n");
    }
    if let Err(why) = paste_twice(page, &here, &before) {
        skip(test, &why);
    }
}

/// No page is forgotten, and none has fewer commands than are known.
#[test]
fn all_commands_of_all_pages_are_known() {
    let mut counted: Vec<(String, usize, usize)> = Vec::new();
    for page in pages() {
        assert_eq!(indented_commands(&page), [""; 0], "commands stand in ```sh blocks");
        let blocks = blocks(&page);
        let here = blocks.iter().filter(|block| runs_here(block)).count();
        if !blocks.is_empty() {
            counted.push((page, here, blocks.len() - here));
        }
    }
    let mut known: Vec<_> =
        PASTED.iter().map(|&(page, here, elsewhere)| (page.to_owned(), here, elsewhere)).collect();
    known.sort();
    assert_eq!(counted, known, "pages, blocks that run here, blocks that run elsewhere");
}
