//! TLS to a directory: Debian's slapd with certificates good and bad, and servers that only begin.

use super::hostile::{GOOD, encoded, machine, requests, serve};
use super::slapd::{Slapd, Sync, no_ldapmodify};
use super::watch::{Running, config};
use crate::support::directory::{Machine, no_machine};
use crate::support::{TempDir, certificates, wait_until};
use nssproto::ldap::{Credentials, Outcome, Request, Response};
use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::mpsc::channel;

/// Whether there is nothing to be tried.
fn no_tls(test: &str) -> bool {
    !cfg!(feature = "tls") || no_machine(test)
}

/// slapd with the certificate of this name, and `more` in its slapd.conf.
fn start(test: &str, name: &str, more: &str) -> Option<(Slapd, TempDir)> {
    let made = TempDir::new();
    if !certificates::make(test, &made) {
        return None;
    }
    let dir = made.as_str();
    let tls = format!(
        "TLSCACertificateFile {dir}/ca.pem\nTLSCertificateFile {dir}/{name}.pem\n\
         TLSCertificateKeyFile {dir}/{name}.key\nTLSVerifyClient try\n"
    );
    let slapd = Slapd::with(test, Sync::SessionLog, "", TempDir::new(), |_, conf| {
        conf.replace("loglevel none\n", &format!("loglevel none\n{tls}")) + more
    })?;
    Some((slapd, made))
}

/// How it is asked: TLS from the start, or on an open connection.
const WAYS: [&str; 2] = ["ldaps", "StartTLS"];

/// A machine that asks so, its authority in /etc/ca.pem.
fn asks(slapd: &Slapd, made: &TempDir, way: &str, more: &str) -> Machine {
    let (uri, start) = match way {
        "ldaps" => (format!("ldaps://127.0.0.1:{}", slapd.secure_port), "no"),
        _ => (slapd.uri(), "yes"),
    };
    let more = format!("ldap_tls_starttls = {start}\nldap_tls_cacertfile = /etc/ca.pem\n{more}");
    let machine = Machine::with(&config(slapd, &more).replace(&slapd.uri(), &uri));
    for name in ["ca.pem", "client.pem", "client.key"] {
        fs::copy(made.join(name), machine.etc(name)).unwrap();
    }
    machine
}

/// The same maps as without TLS, and changes as they come.
#[test]
fn maps_come_over_tls() {
    let test = "maps_come_over_tls";
    if no_tls(test) || no_ldapmodify(test) {
        return;
    }
    let Some((slapd, made)) = start(test, "good", "") else { return };
    let plain = Machine::with(&config(&slapd, ""));
    plain.expect(0, &["update"]);
    for way in WAYS {
        let machine = asks(&slapd, &made, way, "");
        let finished = machine.expect(0, &["update"]);
        assert!(!finished.stderr.contains("warning"), "{way}: {}", finished.stderr);
        for name in ["passwd.cache", "group.cache"] {
            assert_eq!(machine.text(name), plain.text(name), "{way}");
        }
        let _watch = Running::start(&machine);
        slapd.change(&format!(
            "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: loginShell\n\
             loginShell: /bin/{way}\n"
        ));
        let shell = format!(":/bin/{way}\n");
        wait_until("bob's shell is another", || machine.text("passwd.cache").contains(&shell));
        plain.expect(0, &["update"]);
    }
    // A name instead of an address.
    let machine = asks(&slapd, &made, "ldaps", "");
    let text = fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    machine.config(&text.replace("//127.0.0.1:", "//localhost:"));
    machine.expect(0, &["update"]);
}

/// Certificates for another host, of nobody, of another time, of a leaf: nothing is asked.
#[test]
fn other_certificates_are_refused() {
    let test = "other_certificates_are_refused";
    if no_tls(test) {
        return;
    }
    for (name, why) in [
        ("other", "is for another name"),
        ("self", "is of an authority that is not known here"),
        ("expired", "if this machine's clock is right"),
        ("future", "if this machine's clock is right"),
        ("leaf", "certificate"),
    ] {
        let Some((slapd, made)) = start(test, name, "") else { return };
        for way in WAYS {
            let machine = asks(&slapd, &made, way, "");
            let finished = machine.expect(1, &["update"]);
            assert!(finished.stderr.contains(why), "{name} by {way}: {}", finished.stderr);
            assert!(machine.made().iter().all(|made| !made.contains("cache")), "{name} by {way}");
        }
        // Whoever wants that is told each time.
        let machine = asks(&slapd, &made, "ldaps", "ldap_tls_require_cert = never");
        let finished = machine.expect(0, &["update"]);
        assert!(finished.stderr.contains("anybody may answer"), "{name}: {}", finished.stderr);
    }
}

/// An authority that is not there is named; that of the machine is not taken instead.
#[test]
fn an_authority_that_is_missing_is_named() {
    let test = "an_authority_that_is_missing_is_named";
    if no_tls(test) {
        return;
    }
    let Some((slapd, made)) = start(test, "good", "") else { return };
    let machine = asks(&slapd, &made, "ldaps", "");
    fs::remove_file(machine.etc("ca.pem")).unwrap();
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("/etc/ca.pem"), "{}", finished.stderr);
}

/// A real slapd that has no TLS: the password is not sent.
#[test]
fn a_server_without_tls_is_refused() {
    let test = "a_server_without_tls_is_refused";
    if no_tls(test) {
        return;
    }
    let Some(slapd) = Slapd::start(test, Sync::No, "") else { return };
    let more = "ldap_tls_starttls = yes\nldap_bind_dn = cn=a\nldap_bind_password = secret\n";
    let machine = Machine::with(&config(&slapd, more));
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("StartTLS is refused"), "{}", finished.stderr);
    assert!(machine.made().is_empty());
}

/// Who we are is what our certificate says, or whose our process is.
#[test]
fn we_are_who_our_certificate_says() {
    let test = "we_are_who_our_certificate_says";
    if no_tls(test) {
        return;
    }
    let access = "access to * by dn.exact=\"cn=host17\" read \
        by dn.exact=\"gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth\" read by * none\n";
    let Some((slapd, made)) = start(test, "good", access) else { return };
    let external = "ldap_use_sasl = yes\nldap_sasl_mech = EXTERNAL\n";
    let key = "ldap_tls_certfile = /etc/client.pem\nldap_tls_keyfile = /etc/client.key\n";
    for way in WAYS {
        asks(&slapd, &made, way, &format!("{external}{key}")).expect(0, &["update"]);
        // Nobody sees nothing.
        asks(&slapd, &made, way, key).expect(1, &["update"]);
    }
    let machine = asks(&slapd, &made, "ldaps", external);
    let text = fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    let uri = format!("ldaps://127.0.0.1:{}", slapd.secure_port);
    machine.config(&text.replace(&uri, &slapd.socket_uri()));
    machine.expect(0, &["update"]);
}

/// Whoever accepts and says nothing holds up nobody, before TLS and behind it.
#[test]
fn silence_instead_of_tls_ends() {
    let test = "silence_instead_of_tls_ends";
    if no_tls(test) {
        return;
    }
    let silent = serve(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    // What comes behind the first request is none, and is not answered.
    let starts = serve(|stream| {
        requests(stream, |id, _| {
            Some(encoded(id, &Response::Extended { outcome: GOOD, name: None, value: None }))
        });
    });
    let made = TempDir::new();
    if !certificates::make(test, &made) {
        return;
    }
    for (port, scheme, more) in [
        (silent, "ldaps", ""),
        (silent, "ldap", "ldap_tls_starttls = yes\n"),
        (starts, "ldap", "ldap_tls_starttls = yes\n"),
    ] {
        let machine = machine(port, &format!("ldap_tls_cacertfile = /etc/ca.pem\n{more}"));
        fs::copy(made.join("ca.pem"), machine.etc("ca.pem")).unwrap();
        let text = fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
        machine.config(&text.replace("ldap://", &format!("{scheme}://")));
        let finished = machine.expect(75, &["update"]);
        assert!(!finished.stderr.is_empty(), "{scheme} {more}");
    }
}

/// What comes in plain text behind the answer to StartTLS is not taken for what comes over TLS.
#[test]
fn plain_text_behind_starttls_is_refused() {
    let test = "plain_text_behind_starttls_is_refused";
    if no_tls(test) {
        return;
    }
    let (tell, told) = channel();
    let port = serve(move |stream| {
        let mut out = stream.try_clone().unwrap();
        requests(stream, |id, request| {
            if let Request::Bind { credentials: Credentials::Simple(password), .. } = request {
                tell.send(password.to_vec()).unwrap();
            }
            let good = Response::Extended { outcome: GOOD, name: None, value: None };
            let bind = Response::Bind(Outcome { code: 0, ..GOOD }, None);
            let _ = out.write_all(&[encoded(id, &good), encoded(id + 1, &bind)].concat());
            Some(Vec::new())
        });
    });
    let more = "ldap_tls_starttls = yes\nldap_bind_dn = cn=a\nldap_bind_password = secret\n\
                ldap_tls_require_cert = never\n";
    let finished = machine(port, more).expect(1, &["update"]);
    assert!(finished.stderr.contains("in plain text behind its StartTLS"), "{}", finished.stderr);
    assert!(told.try_recv().is_err());
}
