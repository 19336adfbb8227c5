//! The machine's own files.

use super::machine::Machine;

/// Accounts of /etc with a shadow file; seen without any nscd.
//             su  pw wrong login pw  sshd+PAM: key pw  sshd: key pw  cron  sudo -u own pw  state root nobody
const OWN: &str = "
    root       +   +  -     +  +      + +               + +           +     + + +           P   x      x
    in-passwd  +   +  -     +  +      + +               + +           +     + + +           P   hash   hash
    in-shadow  +   +  -     +  +      + +               + +           +     + + +           P   x      x
    bang       +   -  -     +  -      + -               - -           +     + + -           L   !      !
    bang-hash  +   -  -     +  -      + -               - -           +     + + -           L   !hash  !hash
    star       +   -  -     +  -      + -               + -           +     + + -           L   *      *
    empty      +   +  +     +  +      + -               + -           +     + + +           NP  empty  empty
    s-bang     +   -  -     +  -      + -               - -           +     + + -           L   x      x
    s-star     +   -  -     +  -      + -               + -           +     + + -           L   x      x
    s-empty    +   +  +     +  +      + -               + -           +     + + +           NP  x      x
    no-line    -   -  -     -  -      - -               + -           -     + - -           P   x      x
    expired    -   -  -     -  -      - -               - -           -     + - -           P   x      x
    in-both    +   +  -     +  +      + +               + -           +     + + +           L   hash   hash
    unknown    -   -  -     -  -      - -               - -           -     - - -           none none  none
";

/// The same without a shadow file.
const NO_SHADOW: &str = "
    root       +   +  -     +  +      + +               + +           +     + + +           P   hash   hash
    in-passwd  +   +  -     +  +      + +               + +           +     + + +           P   hash   hash
    bang       +   -  -     +  -      + -               - -           +     + + -           L   !      !
    bang-hash  +   -  -     +  -      + -               - -           +     + + -           L   !hash  !hash
    star       +   -  -     +  -      + -               + -           +     + + -           L   *      *
    empty      +   +  +     +  +      + -               + -           +     + + +           NP  empty  empty
    no-line    -   -  -     -  -      - -               + -           -     + - -           P   x      x
    unknown    -   -  -     -  -      - -               - -           -     - - -           none none  none
";

#[test]
fn own_files_with_shadow_and_no_nscd() {
    let Some(machine) = Machine::with_shadow("own_files_with_shadow_and_no_nscd") else { return };
    machine.expect(OWN);
}

#[test]
fn own_files_with_shadow_and_glibcs_nscd() {
    let Some(mut machine) = Machine::with_shadow("own_files_with_shadow_and_glibcs_nscd") else {
        return;
    };
    let Some(()) = machine.glibcs() else { return };
    machine.expect(OWN);
}

#[test]
fn own_files_with_shadow() {
    let Some(mut machine) = Machine::with_shadow("own_files_with_shadow") else { return };
    machine.ours("");
    machine.expect(OWN);
}

#[test]
fn own_files_without_shadow_and_no_nscd() {
    let Some(machine) = Machine::without_shadow("own_files_without_shadow_and_no_nscd") else {
        return;
    };
    machine.expect(NO_SHADOW);
}

#[test]
fn own_files_without_shadow_and_glibcs_nscd() {
    let test = "own_files_without_shadow_and_glibcs_nscd";
    let Some(mut machine) = Machine::without_shadow(test) else { return };
    let Some(()) = machine.glibcs() else { return };
    machine.expect(NO_SHADOW);
}

#[test]
fn own_files_without_shadow() {
    let Some(mut machine) = Machine::without_shadow("own_files_without_shadow") else { return };
    machine.ours("");
    machine.expect(NO_SHADOW);
}

/// A server and a program that tell what stands in /etc: nothing is another truth by that.
#[test]
fn own_files_told_by_a_server() {
    let Some(mut machine) = Machine::with_shadow("own_files_told_by_a_server") else { return };
    machine.start("up ipcserver -1 /run/nsssd nsssd-unix");
    machine.ours("-s /run/nsssd");
    machine.expect(OWN);
}

#[test]
fn own_files_without_shadow_told_by_a_program() {
    let test = "own_files_without_shadow_told_by_a_program";
    let Some(mut machine) = Machine::without_shadow(test) else { return };
    machine.dir.write("etc/backend", "#!/bin/sh\nexec nsssd-unix\n");
    machine.dir.chmod("etc/backend", 0o755);
    machine.ours("0 /etc/backend ''");
    machine.expect(NO_SHADOW);
}
