//! Users of maps.

use super::machine::{HASH, Machine, PROGRAMS, shadow};
use std::fmt::Write as _;

/// Without an own line in shadow a mapped user has no password; with one, that one.
#[test]
fn users_of_a_map() {
    let Some(mut machine) = Machine::new("users_of_a_map") else { return };
    machine.dir.write(
        "etc/nssmap.conf",
        "nssmap 2\nkey /etc/nssmap.key\nmap *\n  \
         template virtual:x:1879048192+134217728:=:mapped:/home/%u:/etc/welcome\n  require home\n",
    );
    machine.dir.write("etc/nssmap.key", "000102030405060708090a0b0c0d0e0f\n");
    machine.dir.chmod("etc/nssmap.key", 0o400);
    let lines = [("root", "HASH"), ("m-line", "HASH"), ("m-locked", "!HASH")];
    machine.dir.write("etc/shadow", shadow(&lines));
    machine.start("for user in m-no-line m-line m-locked; do mkdir /home/$user; done");
    machine.ours("3 nsssd-unix '' 0 nsssd-map ''");
    machine.expect(
        "
    m-no-line  +   -  -   +  -    + -    + -   +   + + -   L    *     *
    m-line     +   +  -   +  +    + +    + +   +   + + +   P    x     x
    m-locked   +   -  -   +  -    + -    - -   +   + + -   L    x     x
    m-no-home  -   -  -   -  -    - -    - -   -   - - -   none none  none
",
    );
}

/// What stands in the password field of a template is nobody's.
#[test]
fn a_template_with_a_password() {
    let mut wrong = String::new();
    for field in [HASH, "", "!", "*"] {
        let Some(mut machine) = Machine::new("a_template_with_a_password") else { return };
        let template = format!("virtual:{field}:15000:100:mapped:/home:/etc/welcome\n");
        machine.dir.write("etc/nssmap.conf", &template);
        machine.start("mkdir /home/zoe");
        machine.ours("3 nsssd-unix '' 0 nsssd-map -r home ''");
        let table = "zoe  +   -  -   .  .    + -    + -   +   . . .   L   *   *";
        let (differences, _) = machine.differences(&PROGRAMS, table);
        if !differences.is_empty() {
            let _ = writeln!(wrong, "{template:?}:\n{differences}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
