//! Who may read what of etcd, and members that fail.

use super::{Etcd, Running, encoded, fails, has, house, line};
use crate::engines::{is_known, secret};
use crate::support::directory::no_machine;
use crate::support::wait_until;
use serde_json::json;
#[cfg(feature = "tls")]
use std::net::TcpListener;
#[cfg(feature = "tls")]
use std::process::Command;

/// Rights of another user, tokens that are not taken any more, and a member without the others.
#[test]
fn users_have_passwords_and_rights() {
    let test = "engines::etcd::access::users_have_passwords_and_rights";
    let Some(mut etcd) = Etcd::start(test, 20) else { return };
    let grant = |role: &str, prefix: &str| {
        etcd.call("auth/role/add", &json!({"name": role}), None);
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let perm = json!({"permType": "READ", "key": encoded(prefix), "range_end": encoded(&end)});
        etcd.call("auth/role/grant", &json!({"name": role, "perm": perm}), None);
    };
    grant("reader", "/accounts/");
    grant("stranger", "/elsewhere/");
    for (user, role) in [("root", "root"), ("nss", "reader"), ("other", "stranger")] {
        if user == "root" {
            etcd.call("auth/role/add", &json!({"name": "root"}), None);
        }
        etcd.call("auth/user/add", &json!({"name": user, "password": "pass\"word"}), None);
        etcd.call("auth/user/grant", &json!({"user": user, "role": role}), None);
    }
    etcd.call("auth/enable", &json!({}), None);
    let root = |etcd: &Etcd| {
        let who = json!({"name": "root", "password": "pass\"word"});
        etcd.call("auth/authenticate", &who, None)["token"].as_str().unwrap().to_owned()
    };
    let machine = house(
        &etcd.url(),
        "etcd_user = nss\netcd_password_file = /etc/etcd.secret\nwatch_interval = 3\n",
    );
    secret(&machine, "etcd.secret", "pass\"word\n");
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache").lines().count(), 20);
    let good = machine.text("nsscache.conf");
    machine.config(&good.replace("etcd_user = nss", "etcd_user = other"));
    fails(&machine, 1, "permission denied", &[]);
    machine.config(&good.replace("etcd_user = nss\n", ""));
    fails(&machine, 1, "user name is empty (etcd_user)", &[]);
    machine.config(&good);
    secret(&machine, "etcd.secret", "wrong");
    fails(&machine, 1, "authentication failed", &[]);
    secret(&machine, "etcd.secret", "pass\"word");
    is_known(&machine);

    let watch = Running::start(&machine);
    let put = |etcd: &Etcd, name: &str| {
        let (key, value) = (format!("/accounts/passwd/{name}"), line(name, 30_000, ""));
        let put = json!({"key": encoded(&key), "value": encoded(&value)});
        etcd.call("kv/put", &put, Some(&root(etcd)));
    };
    let has = |name: &str| has(&machine, name);
    put(&etcd, "one");
    wait_until("one is there", || has("one"));
    // Its token is old each time that it is renewed.
    let before = etcd.watches();
    wait_until("the watch was renewed", || etcd.watches() > before + 3);
    put(&etcd, "old");
    wait_until("old is there", || has("old"));
    assert!(!watch.log().contains("ERROR"), "{}", watch.log());
    // With a restart all tokens are gone.
    etcd.stop();
    etcd.resume();
    etcd.wait();
    put(&etcd, "two");
    watch.wake();
    wait_until("two is there", || has("two"));
    // Rights that are taken away, while it watches: the last good set stays.
    let revoke = json!({"name": "nss", "role": "reader"});
    etcd.call("auth/user/revoke", &revoke, Some(&root(&etcd)));
    watch.says("permission denied");
    assert!(has("two"));
    assert!(!watch.log().contains("pass\"word"));
}

/// Of two members one is left: it has no quorum, answers late that it has none, and nothing is lost.
#[test]
fn a_member_without_quorum_is_a_failure() {
    let test = "engines::etcd::access::a_member_without_quorum_is_a_failure";
    if no_machine(test) {
        return;
    }
    let (Some(mut one), Some(mut other)) = (Etcd::prepare(test), Etcd::prepare(test)) else {
        return;
    };
    let peers =
        format!("one=http://127.0.0.1:{},other=http://127.0.0.1:{}", one.ports.1, other.ports.1);
    for (etcd, name) in [(&mut one, "one"), (&mut other, "other")] {
        etcd.more = vec!["--name".into(), name.into(), "--initial-cluster".into(), peers.clone()];
        etcd.resume();
    }
    one.wait();
    one.fill(20);
    // A first endpoint where nobody is does not matter.
    let machine = house(&format!("http://127.0.0.1:1, {}", one.url()), "watch_interval = 60\n");
    let watch = Running::start(&machine);
    assert_eq!(machine.text("passwd.cache").lines().count(), 20);
    other.stop();
    // It has no leader, or did not get an answer of the others in time.
    watch.says("ERROR:watch:passwd: etcdserver: ");
    fails(&machine, 75, "etcdserver: ", &[]);
    other.resume();
    one.wait();
    one.put_user("new", 30_000, "");
    watch.wake();
    wait_until("it goes on", || machine.text("passwd.cache").contains("\nnew:"));
}

/// A client certificate lets us in, the user comes by password.
#[cfg(feature = "tls")]
#[test]
fn certificates_are_shown() {
    let test = "engines::etcd::access::certificates_are_shown";
    if no_machine(test) || !crate::support::have_program("openssl") {
        return;
    }
    let Some(mut etcd) = Etcd::prepare(test) else { return };
    // The gateway is a client of its own server, with the server's certificate.
    let script = r#"set -e; cd "$0"
req() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj "$2" 2>/dev/null; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=ca 2>/dev/null
printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >ext
req server /CN=server; req client /O=hosts; req named /CN=host17
for name in server client named; do openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out $name.pem 2>/dev/null; done
chmod 600 *.key"#;
    let mut openssl = Command::new("sh");
    openssl.args(["-c", script]).arg(etcd.dir.path());
    let made = crate::support::run_to_end(openssl);
    assert_eq!(made.code, Some(0), "certificates: {}", made.stderr);
    let secure = format!("https://127.0.0.1:{}", etcd.ports.0);
    // A plain port to fill it by.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = etcd.dir.as_str().to_owned();
    let file = |name: &str| format!("{dir}/{name}");
    let words = [
        "--name",
        "tls",
        "--initial-cluster",
        &format!("tls=http://127.0.0.1:{}", etcd.ports.1),
        "--listen-client-urls",
        &format!("{secure},http://127.0.0.1:{plain}"),
        "--advertise-client-urls",
        &secure,
        "--client-cert-auth",
        "--trusted-ca-file",
        &file("ca.pem"),
        "--cert-file",
        &file("server.pem"),
        "--key-file",
        &file("server.key"),
    ];
    etcd.more = words.iter().map(|word| (*word).to_owned()).collect();
    etcd.resume();
    etcd.ports.0 = plain;
    etcd.wait();
    etcd.fill(20);
    for (user, role) in [("root", "root"), ("nss", "reader")] {
        etcd.call("auth/role/add", &json!({"name": role}), None);
        etcd.call("auth/user/add", &json!({"name": user, "password": "secret"}), None);
        etcd.call("auth/user/grant", &json!({"user": user, "role": role}), None);
    }
    let perm = json!({"permType": "READ", "key": encoded("/accounts/"), "range_end": encoded("/accounts0")});
    etcd.call("auth/role/grant", &json!({"name": "reader", "perm": perm}), None);
    etcd.call("auth/enable", &json!({}), None);
    let keys = format!(
        "etcd_tls_cacertfile = {}\netcd_tls_certfile = {}\netcd_tls_keyfile = {}\n",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    let machine = house(
        &secure,
        &(keys.clone() + "etcd_user = nss\netcd_password = secret\nwatch_interval = 5\n"),
    );
    machine.expect(0, &["update"]);
    let watch = Running::start(&machine);
    assert_eq!(machine.text("passwd.cache").lines().count(), 20, "{}", watch.log());
    let who = json!({"name": "root", "password": "secret"});
    let token = etcd.call("auth/authenticate", &who, None)["token"].as_str().unwrap().to_owned();
    let put =
        json!({"key": encoded("/accounts/passwd/new"), "value": encoded(&line("new", 30_000, ""))});
    etcd.call("kv/put", &put, Some(&token));
    wait_until("the change is there", || machine.text("passwd.cache").contains("\nnew:"));
    drop(watch);
    is_known(&machine);
    // Where etcd has users, its gateway wants no certificate that names another one.
    let good = machine.text("nsscache.conf");
    machine.config(&good.replace("client.", "named."));
    fails(&machine, 1, "HTTP status 400: CommonName of client", &[]);
    let without: String = good
        .lines()
        .filter(|line| !line.contains("client."))
        .map(|line| format!("{line}\n"))
        .collect();
    machine.config(&without);
    // The server's alert may come after it has closed the connection, and then it is not heard.
    let finished = machine.nsscache(&["update", "--full"]);
    let told = ["unable to ask", "TLS: received fatal alert"];
    assert!(told.iter().any(|text| finished.stderr.contains(text)), "{}", finished.stderr);
    assert!(matches!(finished.code, Some(1 | 75)), "{}", finished.stderr);
    machine.config(&good.replace("etcd_tls_cacertfile", "#"));
    fails(&machine, 1, "certificate", &[]);
}
