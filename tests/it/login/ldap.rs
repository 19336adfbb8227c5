//! Users of nslcd.

use super::machine::{HASH, Machine, passwd, shadow};
use crate::support::ldap::Unpacked;
use std::env;
use std::fmt::Write as _;

/// Users of an nslcd that is not the real one, as lines of passwd.
pub fn with_nslcd(test: &'static str) -> Option<Machine> {
    let mut machine = Machine::new(test)?;
    let users = [
        ("l-hash", "HASH"),
        ("l-x", "x"),
        ("l-x-line", "x"),
        ("l-star", "*"),
        ("l-bang", "!"),
        ("l-empty", ""),
    ];
    machine.dir.write("mnt/users", passwd(5000, &users));
    machine.dir.write("etc/shadow", shadow(&[("root", "HASH"), ("l-x-line", "HASH")]));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/login/fakenslcd.py");
    // `up` runs it in the background, where the shell takes standard input away.
    machine.start(&format!("up sh -c 'exec python3 -B {script} /run/fake </mnt/users'"));
    Some(machine)
}

#[test]
fn ldap_users() {
    let Some(mut machine) = with_nslcd("ldap_users") else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/fake ''");
    machine.expect(
        "
    l-hash    +   +  -   +  +    + +    + +   +   + + +   P   hash   *
    l-x       +   -  -   +  -    + -    + -   +   + + -   L   *      *
    l-x-line  +   +  -   +  +    + +    + +   +   + + +   P   x      x
    l-star    +   -  -   +  -    + -    + -   +   + + -   L   *      *
    l-bang    +   -  -   +  -    + -    - -   +   + + -   L   !      !
    l-empty   +   +  +   +  +    + -    + -   +   + + +   NP  empty  empty
    unknown   -   -  -   -  -    - -    - -   -   - - -   none none  none
",
    );
}

/// What pam_unix asks for the time that it takes, once for each password. nslcd closes without a
/// word, since by its `validnames` nobody is called so. A close by nscd would send the program to
/// its own sources for its next 99 questions, and there the user is unknown.
const NOBODYS: &str = "pam_unix_non_existent: none";

#[test]
fn a_name_that_nslcd_refuses_is_nobodys() {
    let Some(mut machine) = with_nslcd("a_name_that_nslcd_refuses_is_nobodys") else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/fake ''");
    machine.expect_columns(&["answer"], NOBODYS);
}

#[test]
fn a_name_that_the_real_nslcd_refuses_is_nobodys() {
    let test = "a_name_that_the_real_nslcd_refuses_is_nobodys";
    let Some(mut machine) = with_ldap(test) else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/nslcd/socket ''");
    machine.expect_columns(&["answer"], NOBODYS);
}

const REAL: &str = "
    realx     +   +  -   +  +    + +    + +   +   + + +   P   x     x
    realhash  +   +  -   +  +    + +    + +   +   + + +   P   hash  *
    unknown   -   -  -   -  -    - -    - -   -   - - -   none none none
";

/// A machine whose users come from slapd by way of nslcd, with the module that asks it.
fn with_ldap(test: &'static str) -> Option<Machine> {
    let root = Unpacked::find(test)?.root().display().to_string();
    let mut machine = Machine::new(test)?;
    let mut ldif = "dn: dc=example\nobjectClass: domain\ndc: example\n\n".to_owned();
    for (uid, (name, class)) in
        (6000..).zip([("realx", "shadowAccount"), ("realhash", "simpleSecurityObject")])
    {
        let _ = writeln!(
            ldif,
            "dn: uid={name},dc=example\nobjectClass: account\nobjectClass: posixAccount\n\
             objectClass: {class}\nuid: {name}\ncn: {name}\nuidNumber: {uid}\ngidNumber: 100\n\
             homeDirectory: /\nloginShell: /etc/welcome\nuserPassword: {{CRYPT}}{HASH}\n"
        );
    }
    machine.dir.write("etc/ldif", ldif);
    let schemas = ["core", "cosine", "inetorgperson", "nis"]
        .map(|name| format!("include {root}/etc/ldap/schema/{name}.schema\n"));
    machine.dir.write(
        "etc/slapd.conf",
        format!(
            "modulepath {root}/usr/lib/ldap\nmoduleload back_mdb\n{}database mdb\n\
             suffix dc=example\ndirectory /run/db\nmaxsize 16777216\ndbnosync\n",
            schemas.concat()
        ),
    );
    // By default it gives no hash to anybody.
    let hashes = "map passwd userPassword userPassword\nmap shadow userPassword userPassword\n";
    let server = "uri ldapi://%2Frun%2Fldapi\nbase dc=example\n";
    machine.dir.write("etc/nslcd.conf", format!("{server}{hashes}"));
    machine.dir.chmod("etc/nslcd.conf", 0o600);
    let order = "files ldap\n";
    machine.switch(&format!("passwd: {order}group: {order}shadow: {order}"));
    // By the linker's cache: a set-uid program takes no LD_LIBRARY_PATH.
    machine.start(&format!(
        "for dir in {root}/usr/lib/*-linux-gnu {root}/lib/*-linux-gnu; do
           [ ! -d $dir ] || echo $dir >>/etc/ld.so.conf
         done
         ldconfig -X; mkdir /run/db /run/nslcd
         {root}/usr/sbin/slapadd -f /etc/slapd.conf -l /etc/ldif
         {root}/usr/sbin/slapd -d 0 -h ldapi://%2Frun%2Fldapi -f /etc/slapd.conf & await /run/ldapi
         {root}/usr/sbin/nslcd -n & await /run/nslcd/socket"
    ));
    Some(machine)
}

#[test]
fn real_ldap_users_by_their_module_and_no_nscd() {
    let Some(machine) = with_ldap("real_ldap_users_by_their_module_and_no_nscd") else { return };
    machine.expect(REAL);
}

/// It asks as root for everybody, and so tells everybody the hash: as root sees it, nobody does.
#[test]
fn real_ldap_users_by_their_module_and_glibcs_nscd() {
    let test = "real_ldap_users_by_their_module_and_glibcs_nscd";
    let Some(mut machine) = with_ldap(test) else { return };
    let Some(()) = machine.glibcs() else { return };
    machine.expect(&REAL.replace("hash  *", "hash  hash"));
}

#[test]
fn real_ldap_users_with_their_module_for_shadow() {
    let test = "real_ldap_users_with_their_module_for_shadow";
    let Some(mut machine) = with_ldap(test) else { return };
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/nslcd/socket ''");
    machine.expect(REAL);
}

/// Where shadow is not asked of ldap, the real nslcd gives root the hash of everybody.
#[test]
fn real_ldap_users_without_a_module() {
    let Some(mut machine) = with_ldap("real_ldap_users_without_a_module") else { return };
    machine.switch("passwd: files\ngroup: files\nshadow: files\n");
    machine.ours("3 nsssd-unix '' 0 nsssd-nslcd /run/nslcd/socket ''");
    machine.expect(
        "
    realx     +   +  -   +  +    + +    + +   +   + + +   P   hash  *
    realhash  +   +  -   +  +    + +    + +   +   + + +   P   hash  *
",
    );
}
