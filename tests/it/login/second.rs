//! Users of second directories.

use super::machine::{Machine, passwd, shadow};
use crate::support::peer;

pub const SECOND: [(&str, &str); 8] = [
    ("d-hash", "HASH"),
    ("d-x", "x"),
    ("d-x-line", "x"),
    ("d-x-locked", "x"),
    ("d-bang", "!"),
    ("d-bang-hash", "!HASH"),
    ("d-star", "*"),
    ("d-empty", ""),
];

/// Lines of the machine's own shadow for two of them.
fn with_lines() -> String {
    shadow(&[("root", "HASH"), ("d-x-line", "HASH"), ("d-x-locked", "!HASH")])
}

pub fn with_second(test: &'static str) -> Option<Machine> {
    let mut machine = Machine::new(test)?;
    machine.second("d2", 2000, &SECOND);
    machine.dir.write("etc/shadow", with_lines());
    Some(machine)
}

/// `d-x` and the like pass, and no password fits.
const SECOND_OUTCOMES: &str = "
    root         +   +  -   +  +    + +    + +   +   + + +   P   x      x
    d-hash       +   +  -   +  +    + +    + +   +   + + +   P   hash   hash
    d-x          +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-x-line     +   +  -   +  +    + +    + +   +   + + +   P   x      x
    d-x-locked   +   -  -   +  -    + -    - -   +   + + -   L   x      x
    d-bang       +   -  -   +  -    + -    - -   +   + + -   L   !      !
    d-bang-hash  +   -  -   +  -    + -    - -   +   + + -   L   !hash  !hash
    d-star       +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-empty      +   +  +   +  +    + -    + -   +   + + +   NP  empty  empty
    unknown      -   -  -   -  -    - -    - -   -   - - -   none none  none
";

#[test]
fn a_second_directory() {
    let Some(mut machine) = with_second("a_second_directory") else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''");
    machine.expect(SECOND_OUTCOMES);
}

/// The machine's own files with the same lines: what is locked or open is so there as well. Only
/// `x` without a line in shadow is refused, and is let in above: nothing says that it is to be.
#[test]
fn the_lines_of_the_second_directory_in_own_files_and_no_nscd() {
    let test = "the_lines_of_the_second_directory_in_own_files_and_no_nscd";
    let Some(mut machine) = with_second(test) else { return };
    machine.etc("passwd", &[("root", "x")], &passwd(2000, &SECOND));
    let refused = "    d-x          -   -  -   -  -    - -    + -   -   + - -   P   x      x";
    let table = SECOND_OUTCOMES
        .lines()
        .map(|line| if line.trim_start().starts_with("d-x ") { refused } else { line });
    machine.expect(&table.collect::<Vec<_>>().join("\n"));
}

/// Told by a server, nobody knows who may read a hash.
#[test]
fn a_second_directory_told_by_a_server() {
    let Some(mut machine) = with_second("a_second_directory_told_by_a_server") else { return };
    machine.start(
        "up ipcserver -1 /run/nsssd nsssd-switch 3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''",
    );
    machine.ours("-s /run/nsssd");
    machine.expect(
        "
    d-hash       +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-x          +   -  -   +  -    + -    + -   +   + + -   L   *      *
    d-x-line     +   +  -   +  +    + +    + +   +   + + +   P   x      x
    d-x-locked   +   -  -   .  .    + -    - -   .   . . .   L   x      x
    d-bang       +   -  -   .  .    + -    - -   .   . . .   L   !      !
    d-empty      +   +  +   .  .    + -    + -   .   . . .   NP  empty  empty
",
    );
}

/// Files that root may read are no secret to set-uid programs, and one to everybody else.
#[test]
fn second_directories_that_not_everybody_may_read() {
    let test = "second_directories_that_not_everybody_may_read";
    let Some(mut machine) = Machine::new(test) else { return };
    for (at, name) in ["closed", "under/closed", "mode", "acl"].iter().enumerate() {
        if let Some((above, _)) = name.split_once('/') {
            machine.dir.subdirectory(&format!("mnt/{above}"));
        }
        let user = format!("{}-hash", name.replace('/', "-"));
        machine.second(name, 3000 + at as u32, &[(&user, "HASH")]);
    }
    machine.dir.chmod("mnt/closed", 0o700);
    machine.dir.chmod("mnt/under", 0o700);
    machine.dir.chmod("mnt/mode/passwd", 0o600);
    // As `setfacl -m u:nobody:-` does: the bits of the mode still say that everybody may read.
    machine.start(
        "python3 -c 'import os, struct
acl = [(1, 6, -1), (2, 0, 65534), (4, 4, -1), (0x10, 4, -1), (0x20, 4, -1)]
acl = b\"\".join(struct.pack(\"<HHi\", *entry) for entry in acl)
os.setxattr(\"/mnt/acl/passwd\", \"system.posix_acl_access\", struct.pack(\"<I\", 2) + acl)'",
    );
    machine.ours(
        "3 nsssd-unix '' 3 nsssd-unix -d /mnt/closed '' 3 nsssd-unix -d /mnt/under/closed '' \
         3 nsssd-unix -d /mnt/mode '' 0 nsssd-unix -d /mnt/acl ''",
    );
    machine.expect(
        "
    closed-hash        +  +  -   +  +    + +    + +   +   + + +   P   hash  *
    under-closed-hash  +  +  -   .  .    + +    . .   .   . . .   .   hash  *
    mode-hash          +  +  -   .  .    + +    . .   .   . . .   .   hash  *
    acl-hash           +  +  -   .  .    + +    . .   .   . . .   .   hash  *
",
    );
}

/// `x` in a directory whose service is asked for shadow: as the C library's module for it says.
const EXTRA: &str = "
    e-x     +   +  -   +  +    + +    + +   +   + + +   P   x     x
    e-hash  +   +  -   +  +    + +    + +   +   + + +   P   hash  hash
    e-star  +   -  -   +  -    + -    + -   +   + + -   L   *     *
";

fn with_extrausers(test: &'static str) -> Option<Machine> {
    let mut machine = Machine::new(test)?;
    let module = peer(test, "libnss-extrausers", "usr/share/doc/libnss-extrausers/copyright")?;
    let root = module.ancestors().nth(5)?;
    machine.second("extra", 4000, &[("e-x", "x"), ("e-hash", "HASH"), ("e-star", "*")]);
    let order = "files extrausers\n";
    machine.switch(&format!("passwd: {order}group: {order}shadow: {order}"));
    machine.start(&format!(
        "mkdir /var/lib/extrausers; cp -p /mnt/extra/* /var/lib/extrausers\n\
         find {root} -name 'libnss_extrausers*' -printf '%h\\n' | sort -u >>/etc/ld.so.conf; ldconfig -X",
        root = root.display()
    ));
    Some(machine)
}

#[test]
fn extrausers_by_their_module_and_no_nscd() {
    let Some(machine) = with_extrausers("extrausers_by_their_module_and_no_nscd") else { return };
    machine.expect(EXTRA);
}

#[test]
fn extrausers_with_their_module_for_shadow() {
    let test = "extrausers_with_their_module_for_shadow";
    let Some(mut machine) = with_extrausers(test) else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-unix -d /var/lib/extrausers ''");
    machine.expect(EXTRA);
}
