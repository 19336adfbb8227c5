//! The source `s3`: the recorded run of Google's nsscache, and a stand-in that checks signatures as S3
//! does and refuses with its documents.

use super::signature::{ID, SECRET, fault};
use super::{config, fails, is_known, run};
use crate::directory::vectors::{compare, folder};
use crate::support::directory::{ALLOW, Machine, no_machine};
use crate::support::http::{Http, MODIFIED, send};
use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const USERS: &str =
    r#"[{"Key": "ada", "Value": {"uid": 20001, "gid": "20000", "comment": "Ada Lovelace"}}]"#;
const LINE: &str = "ada:x:20001:20000:Ada Lovelace:/home/ada:/bin/bash\n";

/// An error as S3 has it ("Error Responses", S3 API reference).
fn refuse(stream: &mut TcpStream, status: &str, code: &str, more: &str) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>The request is not \
         taken.</Message>{more}<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    );
    send(stream, status, &[("Content-Type", "application/xml")], body.as_bytes());
}

/// S3 with one object, and how often it was sent.
fn bucket() -> (Http, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Http::new(move |request, stream| match fault(request, "eu-west-1") {
        Some(code) => refuse(stream, "403 Forbidden", code, ""),
        None if request.path != "/maps/site%20a/passwd.json" => {
            refuse(stream, "404 Not Found", "NoSuchKey", "");
        }
        None if request.headers.get("if-none-match").is_some_and(|tag| tag == "\"e1\"") => {
            let _ = std::io::Write::write_all(stream, b"HTTP/1.1 304 Not Modified\r\n\r\n");
        }
        None => {
            count.fetch_add(1, Ordering::Relaxed);
            let headers = [("Last-Modified", MODIFIED), ("ETag", "\"e1\"")];
            send(stream, "200 OK", &headers, USERS.as_bytes());
        }
    });
    (server, sent)
}

fn house(server: &Http) -> Machine {
    let more = format!(
        "s3_bucket = maps\ns3_passwd_object = site a/passwd.json\ns3_region = eu-west-1\ns3_endpoint_url = {}\n",
        server.url()
    );
    Machine::with(&config("s3", "passwd", &more))
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ID), ("AWS_SECRET_ACCESS_KEY", SECRET)];

#[test]
fn the_recorded_run_has_the_same_files() {
    if no_machine("the_recorded_run_has_the_same_files") {
        return;
    }
    let server = Http::files(folder("http/www"));
    let text = fs::read_to_string(folder("s3/json/nsscache.conf")).unwrap();
    let machine = Machine::with(&text.replacen('\n', &format!("\n{ALLOW}"), 1));
    let url = server.url();
    let env = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "made"),
        ("AWS_SECRET_ACCESS_KEY", "up"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ];
    let finished = run(&machine, &["update", "--full"], &env);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("1 dropped: a field is missing: nouid"),
        "{}",
        finished.stderr
    );
    compare(&machine, "s3/json", "s3/json", "s3/json/expect", &[], &[]);
    is_known(&machine);
}

#[test]
fn requests_are_signed_and_conditional() {
    if no_machine("requests_are_signed_and_conditional") {
        return;
    }
    let (server, sent) = bucket();
    let machine = house(&server);
    for _ in 0..2 {
        let finished = run(&machine, &["update"], &KEYS);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(machine.text("passwd.cache"), LINE);
    }
    assert_eq!(sent.load(Ordering::Relaxed), 1);
    let finished = run(&machine, &["-v", "repair"], &KEYS);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(server.requests().iter().any(|request| request.method == "HEAD"));
    // A token for a while is signed, too.
    let token = [KEYS[0], KEYS[1], ("AWS_SESSION_TOKEN", "for a while")];
    let finished = run(&machine, &["update", "--full"], &token);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(server.requests().last().unwrap().headers["x-amz-security-token"], "for a while");
    assert!(!finished.stderr.contains(SECRET));
    is_known(&machine);
}

#[test]
fn keys_may_stand_in_a_file_of_their_own() {
    if no_machine("keys_may_stand_in_a_file_of_their_own") {
        return;
    }
    let (server, _) = bucket();
    let machine = house(&server);
    fails(&machine, 1, "no AWS_ACCESS_KEY_ID", &[("HOME", "/etc/nowhere")]);
    let text = format!("[site]\naws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n");
    machine.dir.write("etc/credentials", text);
    machine.dir.chmod("etc/credentials", 0o644);
    let env = [("AWS_SHARED_CREDENTIALS_FILE", "/etc/credentials"), ("AWS_PROFILE", "site")];
    fails(&machine, 1, "chmod 600 /etc/credentials", &env);
    machine.dir.chmod("etc/credentials", 0o600);
    fails(&machine, 1, "in [default]", &env[..1]);
    let finished = run(&machine, &["update"], &env);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    fs::remove_file(machine.etc("credentials")).unwrap();
    assert_eq!(machine.text("passwd.cache"), LINE);
}

#[test]
fn what_s3_refuses_is_told() {
    if no_machine("what_s3_refuses_is_told") {
        return;
    }
    let (server, _) = bucket();
    let machine = house(&server);
    assert_eq!(run(&machine, &["update"], &KEYS).code, Some(0));
    let other =
        |key: &'static str| [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", "other")];
    fails(&machine, 1, "HTTP status 403: InvalidAccessKeyId: The request", &other("OTHER"));
    fails(&machine, 1, "HTTP status 403: SignatureDoesNotMatch", &other(ID));
    machine.config(&machine.text("nsscache.conf").replace("passwd.json", "none.json"));
    fails(&machine, 75, "HTTP status 404: NoSuchKey", &KEYS);
    server.answer(|_, stream| {
        let times = "<RequestTime>20200101T000000Z</RequestTime><ServerTime>2026-11-30T12:00:00Z</ServerTime>";
        refuse(stream, "403 Forbidden", "RequestTimeTooSkewed", times);
    });
    fails(
        &machine,
        75,
        "RequestTimeTooSkewed: the clock is wrong, or the server's: here it is 2",
        &KEYS,
    );
    fails(&machine, 75, "there 2026-11-30T12:00:00Z", &KEYS);
    server.answer(|_, stream| {
        let headers = [("x-amz-bucket-region", "eu-north-1"), ("Location", "http://127.0.0.1:1/")];
        send(
            stream,
            "301 Moved Permanently",
            &headers,
            b"<Error><Code>PermanentRedirect</Code></Error>",
        );
    });
    fails(&machine, 75, "the bucket is in eu-north-1: s3_region", &KEYS);
    server.answer(|_, stream| refuse(stream, "503 Service Unavailable", "SlowDown", ""));
    fails(&machine, 75, "HTTP status 503: SlowDown", &KEYS);
    // Slow: it begins, and does not go on.
    server.answer(|_, stream| {
        let _ =
            std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[");
        let _ = std::io::Read::read(stream, &mut [0; 1]);
    });
    machine.config(&(machine.text("nsscache.conf") + "s3_timelimit = 1\n"));
    fails(&machine, 75, "not done within 1 s (s3_timelimit)", &KEYS);
    // What is no map.
    server.answer(|_, stream| send(stream, "200 OK", &[], b"{\"Key\":\"ada\"}"));
    fails(&machine, 1, "JSON without the array of entries", &KEYS);
    let twice = br#"[{"Key":"ada","Key":"root","Value":{"uid":20001,"gid":1}}]"#;
    server.answer(move |_, stream| send(stream, "200 OK", &[], twice));
    fails(&machine, 1, "a name that comes twice in an object", &KEYS);
}
