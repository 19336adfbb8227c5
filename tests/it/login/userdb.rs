//! Accounts that only systemd's user database has, served by userdb: there is no nscd.

use super::machine::{Machine, SHADOWED, passwd, shadow};
use crate::support::peer;

/// With libnss_systemd, and users of a second directory.
fn with_userdb(test: &'static str) -> Option<Machine> {
    let library = format!("usr/lib/{}-linux-gnu/libnss_systemd.so.2", std::env::consts::ARCH);
    let module = peer(test, "libnss-systemd", &library)?;
    let mut machine = Machine::new(test)?;
    machine.second("d2", 2000, &[]);
    let x = SHADOWED.map(|(name, _)| (name, "x"));
    let users = [&x[..], &[("no-line", "x"), ("in-passwd", "HASH"), ("empty", "")]].concat();
    machine.dir.write("mnt/d2/passwd", passwd(2000, &users));
    machine.dir.write("mnt/d2/shadow", shadow(&SHADOWED));
    machine.switch("passwd: files systemd\ngroup: files systemd\nshadow: files systemd\n");
    // By the linker's cache: a set-uid program takes no LD_LIBRARY_PATH.
    let dir = module.parent().unwrap().display();
    machine.start(&format!("echo {dir} >>/etc/ld.so.conf\nldconfig -X"));
    machine.start("up userdb -1 -t 4000 3 nsssd-unix '' 0 nsssd-unix -d /mnt/d2 ''");
    Some(machine)
}

/// Those with a line in shadow come in as if it were the machine's own (own.rs). What stands in passwd is
/// told to nobody, so that whoever has no line is locked.
#[test]
fn accounts_of_userdb_alone() {
    let Some(machine) = with_userdb("accounts_of_userdb_alone") else { return };
    machine.expect(
        "
    root       +   +  -     +  +      + +               + +           +     + + +           P   x      x
    in-shadow  +   +  -     +  +      + +               + +           +     + + +           P   x      x
    s-bang     +   -  -     +  -      + -               - -           +     + + -           L   x      x
    s-star     +   -  -     +  -      + -               + -           +     + + -           L   x      x
    s-empty    +   +  +     +  +      + -               + -           +     + + +           NP  x      x
    expired    -   -  -     -  -      - -               - -           -     + - -           P   x      x
    no-line    +   -  -     +  -      + -               - -           +     + + -           L   x      x
    in-passwd  +   -  -     +  -      + -               - -           +     + + -           L   x      x
    empty      +   -  -     +  -      + -               - -           +     + + -           L   x      x
    unknown    -   -  -     -  -      - -               - -           -     - - -           none none  none
",
    );
}

/// chage looks into /etc/passwd itself, whatever nsswitch.conf says; so does it with any other service.
#[test]
fn chage_knows_accounts_of_the_files_alone() {
    let Some(machine) = with_userdb("chage_knows_accounts_of_the_files_alone") else { return };
    machine.expect_columns(
        &["passwd-S", "chage-l"],
        "
    root       P    yes
    in-shadow  P    no
    unknown    none no
",
    );
}
