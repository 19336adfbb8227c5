//! A real sshd, whose AuthorizedKeysCommand is `nsscache sshkey`.

use crate::support::directory::{Machine, http_config, no_machine};
use crate::support::http::Http;
use crate::support::{have_program, run_to_end, skip};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Starts sshd, logs in as alice by the key `$1`, and ends it; what the login printed.
const LOGIN: &str = r#"
rm -f /run/sshd.log; mkdir -p /run/sshd && cp "$0" /var/lib/nssbox && chmod 755 /var/lib/nssbox
cat >/run/sshd_config <<EOF
ListenAddress 127.0.0.1
Port $2
HostKey /run/host
PidFile none
UsePAM no
PasswordAuthentication no
AuthorizedKeysFile none
AuthorizedKeysCommand /var/lib/nssbox nsscache sshkey %u
AuthorizedKeysCommandUser nobody
LogLevel VERBOSE
EOF
/usr/sbin/sshd -D -e -f /run/sshd_config 2>/run/sshd.log &
sshd=$!
tries=0
until grep -q 'Server listening' /run/sshd.log; do
    kill -0 $sshd || { cat /run/sshd.log >&2; exit 121; }
    tries=$((tries + 1)); [ $tries -lt 4000 ] || exit 122
    sleep 0.01
done
ssh -F none -i "$1" -p "$2" -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$3@127.0.0.1" 'echo in as $(id -u)' 2>&1
code=$?
kill $sshd; wait $sshd
exit $code
"#;

#[test]
fn sshd_lets_in_by_the_keys_of_the_directory_alone() {
    let test = "sshd_lets_in_by_the_keys_of_the_directory_alone";
    if no_machine(test) {
        return;
    }
    for program in ["ssh", "ssh-keygen"] {
        if !have_program(program) || !Path::new("/usr/sbin/sshd").exists() {
            return skip(test, "no OpenSSH");
        }
    }
    let server = Http::body("");
    let machine = Machine::with(&http_config("sshkey", &server.url(), ""));
    let passwd = machine.text("passwd");
    machine.dir.write(
        "etc/passwd",
        format!(
            "{passwd}nobody:x:65534:65534::/:/bin/false\nsshd:x:106:65534::/run/sshd:/bin/false\n\
             alice:x:10001:20000::/:/bin/sh\n"
        ),
    );
    // Its names are those of /etc/passwd here, since the machine has no other way to know them.
    let more = "allow_local_names = yes\n";
    machine.config(&http_config("sshkey", &server.url(), more));
    let mut public = Vec::new();
    for name in ["host", "one", "two", "mallory"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
        keygen.arg(machine.dir.join("run").join(name));
        assert_eq!(run_to_end(keygen).code, Some(0));
        let key = std::fs::read_to_string(machine.dir.join(format!("run/{name}.pub"))).unwrap();
        public.push(key.trim_end().to_owned());
    }
    let login = |key: &str, user: &str| {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        drop(held);
        let mut command = machine.shell(LOGIN);
        command.args([&format!("/run/{key}"), &port.to_string(), user]);
        let finished = run_to_end(command);
        assert!(finished.code < Some(120) || finished.code > Some(122), "{}", finished.stderr);
        (finished.code, String::from_utf8(finished.stdout).unwrap())
    };
    let (one, two) = (&public[1], &public[2]);
    // A list with options, as a JSON source and LDAP give it, and another user's.
    server.set_body(format!(
        "alicia:{}\nalice:['from=\"127.0.0.1,::1\" {one}', '{two}']\nali:{}\n",
        public[3], public[3]
    ));
    machine.expect(0, &["update"]);
    let inside = (Some(0), "in as 10001\n".to_owned());
    assert_eq!(login("one", "alice"), inside);
    assert_eq!(login("two", "alice"), inside);
    let (code, told) = login("mallory", "alice");
    assert_eq!(code, Some(255), "{told}");
    assert!(told.contains("Permission denied"), "{told}");
    // What is gone from the directory is gone here.
    server.set_body(format!("alice:{two}\n"));
    machine.expect(0, &["update"]);
    assert_eq!(login("one", "alice").0, Some(255));
    assert_eq!(login("two", "alice"), inside);
    // A line for each key.
    machine.config(&http_config(
        "sshkey",
        &server.url(),
        &format!("{more}files_sshkey_format = lines\n"),
    ));
    server.set_body(format!("alice:['{one}', '{two}']\nbob:{}\n", public[3]));
    machine.expect(0, &["update"]);
    assert_eq!(login("one", "alice"), inside);
    assert_eq!(login("two", "alice"), inside);
    assert_eq!(login("mallory", "alice").0, Some(255));
}
