//! A real web server: nginx, unpacked by tests/peers, with TLS, client certificates, gzip and 304.

use crate::support::certificates;
use crate::support::directory::{Machine, http_config, no_machine};
use crate::support::{TempDir, peer, wait_until};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

const USERS: &str =
    "alice:x:10001:20000:Alice:/home/alice:/bin/sh\nbob:x:10002:20000::/home/bob:\n";

/// The servers, a port each.
const SERVERS: [&str; 7] = ["plain", "good", "other", "self", "expired", "future", "leaf"];

/// nginx, which ends with the test.
struct Nginx {
    dir: TempDir,
    ports: Vec<u16>,
    child: Child,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// Starts it; `None`: it cannot be had, which was said.
    #[track_caller]
    fn start(test: &str) -> Option<Nginx> {
        let program = peer(test, "nginx", "usr/sbin/nginx")?;
        let dir = TempDir::new();
        if !certificates::make(test, &dir) {
            return None;
        }
        dir.subdirectory("www");
        dir.subdirectory("temp");
        dir.write("www/passwd", USERS);
        // All are held until all are known.
        let held: Vec<TcpListener> =
            SERVERS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|l| l.local_addr().unwrap().port()).collect();
        drop(held);
        let base = dir.as_str();
        let mut servers = String::new();
        for (name, port) in SERVERS.iter().zip(&ports) {
            let tls = match *name {
                "plain" => String::new(),
                name => format!(
                    "ssl_certificate {base}/{name}.pem; ssl_certificate_key {base}/{name}.key;\n\
                     ssl_client_certificate {base}/ca.pem; ssl_verify_client {};\n",
                    if name == "good" { "on" } else { "off" }
                ),
            };
            let ssl = if tls.is_empty() { "" } else { " ssl" };
            servers +=
                &format!("server {{ listen 127.0.0.1:{port}{ssl};\n{tls}root {base}/www; }}\n");
        }
        let mut temp = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            temp += &format!("{kind}_temp_path {base}/temp/{kind};\n");
        }
        let config = format!(
            "daemon off; master_process off; pid {base}/pid; error_log {base}/error.log;\nevents {{}}\n\
             http {{ {temp} default_type text/plain; gzip on; gzip_types *; gzip_min_length 0;\n\
             log_format seen '$status $request_method $sent_http_content_encoding $ssl_client_s_dn';\n\
             access_log {base}/seen seen;\n{servers} }}\n"
        );
        let config = dir.write("nginx.conf", config);
        let mut command = Command::new(program);
        command
            .arg("-p")
            .arg(dir.path())
            .arg("-e")
            .arg(dir.join("error.log"))
            .arg("-c")
            .arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let nginx = Nginx { dir, ports, child };
        wait_until("nginx listens", || {
            nginx.ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
        });
        Some(nginx)
    }

    fn port(&self, name: &str) -> u16 {
        self.ports[SERVERS.iter().position(|server| *server == name).unwrap()]
    }

    /// What was asked so far: status, method, packing, client.
    fn seen(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("seen")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The same, once there are so many lines: one is written behind its answer.
    #[track_caller]
    fn seen_after(&self, count: usize) -> Vec<String> {
        wait_until("nginx has written its log", || self.seen().len() >= count);
        self.seen()
    }
}

#[test]
fn nginx_is_asked_for_what_is_new_only() {
    let test = "nginx_is_asked_for_what_is_new_only";
    if no_machine(test) {
        return;
    }
    let Some(nginx) = Nginx::start(test) else { return };
    let url = format!("http://127.0.0.1:{}", nginx.port("plain"));
    let machine = Machine::with(&http_config("passwd", &url, ""));
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), USERS);
    machine.expect(0, &["update"]);
    machine.expect(0, &["update", "--full"]);
    assert_eq!(nginx.seen_after(3), ["200 GET gzip -", "304 GET - -", "200 GET gzip -"]);
    // Another version within the same second: its ETag tells, by its size.
    let modified = fs::metadata(nginx.dir.join("www/passwd")).unwrap().modified().unwrap();
    let more = format!("{USERS}carol:x:10003:20000::/:\n");
    nginx.dir.write("www/passwd", &more);
    let file = fs::File::options().append(true).open(nginx.dir.join("www/passwd")).unwrap();
    file.set_modified(modified).unwrap();
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), more);
    // An older file is another one, too.
    nginx.dir.write("www/passwd", USERS);
    let file = fs::File::options().append(true).open(nginx.dir.join("www/passwd")).unwrap();
    file.set_modified(modified - std::time::Duration::from_secs(1000)).unwrap();
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), USERS);
    // verify asks for the head.
    machine.nsscache(&["verify"]);
    assert_eq!(nginx.seen_after(6).last().unwrap().get(..8), Some("200 HEAD"));
    // Where the set is not what was fetched, all is asked for.
    fs::remove_file(machine.etc("passwd.cache")).unwrap();
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), USERS);
    // Missing indexes are made, though nothing is new.
    fs::remove_file(machine.etc("passwd.cache.ixuid")).unwrap();
    let told = machine.expect(0, &["-v", "update"]).stderr;
    assert!(told.contains("nothing new"), "{told}");
    assert!(machine.etc("passwd.cache.ixuid").exists());
}

#[cfg(feature = "tls")]
mod tls {
    use super::*;
    use crate::support::run_to_end;

    const CLIENT: &str =
        "http_tls_certfile = /run/pki/client.pem\nhttp_tls_keyfile = /run/pki/client.key\n";
    const AUTHORITY: &str = "http_tls_cacertfile = /run/pki/ca.pem\n";

    /// A machine with the certificates in /run/pki, and the servers.
    fn house(test: &str) -> Option<(Machine, Nginx)> {
        if no_machine(test) {
            return None;
        }
        let nginx = Nginx::start(test)?;
        let machine = Machine::new();
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(nginx.dir.path()).arg(machine.dir.join("run/pki"));
        assert_eq!(run_to_end(copy).code, Some(0));
        Some((machine, nginx))
    }

    fn configure(machine: &Machine, nginx: &Nginx, server: &str, more: &str) {
        let url = format!("https://127.0.0.1:{}", nginx.port(server));
        machine.config(&http_config("passwd", &url, more));
    }

    #[test]
    fn both_sides_show_their_certificates() {
        let Some((machine, nginx)) = house("both_sides_show_their_certificates") else { return };
        configure(&machine, &nginx, "good", &format!("{AUTHORITY}{CLIENT}"));
        machine.expect(0, &["update"]);
        assert_eq!(machine.text("passwd.cache"), USERS);
        machine.expect(0, &["update"]);
        assert_eq!(nginx.seen_after(2), ["200 GET gzip CN=host17", "304 GET - CN=host17"]);
        // By name, and with a folder of authorities.
        machine.dir.subdirectory("run/authorities");
        fs::copy(machine.dir.join("run/pki/ca.pem"), machine.dir.join("run/authorities/one.pem"))
            .unwrap();
        machine.dir.write("run/authorities/readme", "no certificate\n");
        let url = format!("https://localhost:{}", nginx.port("good"));
        let more = format!("http_tls_cacertdir = /run/authorities\n{CLIENT}");
        machine.config(&http_config("passwd", &url, &more));
        machine.expect(0, &["update", "--full"]);
        // Without one, the server refuses.
        configure(&machine, &nginx, "good", AUTHORITY);
        let finished = machine.expect(75, &["update", "--full"]);
        assert!(finished.stderr.contains("HTTP status 400"), "{}", finished.stderr);
        // A key is a secret, and belongs to its certificate.
        configure(&machine, &nginx, "good", &format!("{AUTHORITY}{CLIENT}"));
        machine.dir.chmod("run/pki/client.key", 0o640);
        let finished = machine.expect(1, &["update", "--full"]);
        assert!(finished.stderr.contains("chmod 600 /run/pki/client.key"), "{}", finished.stderr);
        machine.dir.chmod("run/pki/client.key", 0o600);
        fs::copy(machine.dir.join("run/pki/other.key"), machine.dir.join("run/pki/client.key"))
            .unwrap();
        let finished = machine.expect(1, &["update", "--full"]);
        assert!(
            finished.stderr.contains("does not fit /run/pki/client.pem"),
            "{}",
            finished.stderr
        );
        assert_eq!(machine.text("passwd.cache"), USERS);
    }

    #[test]
    fn servers_that_are_somebody_else_are_refused() {
        let Some((machine, nginx)) = house("servers_that_are_somebody_else_are_refused") else {
            return;
        };
        for (server, told) in [
            ("other", "the server's certificate is for another name"),
            ("self", "the server's certificate is of an authority that is not known here"),
            (
                "expired",
                "the server's certificate has expired, if this machine's clock is right: 20",
            ),
            (
                "future",
                "the server's certificate is not valid yet, if this machine's clock is right: 20",
            ),
            ("leaf", "ERROR:update:passwd: "),
        ] {
            configure(&machine, &nginx, server, AUTHORITY);
            let finished = machine.expect(1, &["update"]);
            assert!(finished.stderr.contains(told), "{server}: {}", finished.stderr);
            assert!(machine.made().is_empty(), "{server}");
        }
        // No other authorities are built in.
        configure(&machine, &nginx, "good", "");
        let finished = machine.expect(1, &["update"]);
        let named = finished.stderr.contains("/etc/ssl/certs/ca-certificates.crt");
        assert!(named, "{}", finished.stderr);
        configure(&machine, &nginx, "good", "http_tls_cacertfile = /etc/hosts\n");
        let finished = machine.expect(1, &["update"]);
        assert!(finished.stderr.contains("no certificate in /etc/hosts"), "{}", finished.stderr);
        // Who insists gets it, and is told each time.
        configure(&machine, &nginx, "self", "http_tls_require_cert = never\n");
        let finished = machine.expect(0, &["update"]);
        assert!(finished.stderr.contains("WARNING:tls:"), "{}", finished.stderr);
        assert_eq!(machine.text("passwd.cache"), USERS);
        // A server without TLS is none.
        let url = format!("https://127.0.0.1:{}", nginx.port("plain"));
        machine.config(&http_config("passwd", &url, AUTHORITY));
        machine.nsscache(&["update", "--full"]).code.filter(|code| *code != 0).unwrap();
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_so() {
    if no_machine("a_build_without_tls_says_so") {
        return;
    }
    let machine = Machine::with(&http_config("passwd", "https://127.0.0.1:1", ""));
    let finished = machine.expect(1, &["update"]);
    assert!(
        finished.stderr.contains("this build has no https (feature tls)"),
        "{}",
        finished.stderr
    );
}
