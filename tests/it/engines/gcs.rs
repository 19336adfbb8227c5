//! The source `gcs`: a stand-in that answers as the JSON API of Google Cloud Storage is documented to.

use super::{config, fails, is_known, run, secret};
use crate::support::directory::{Machine, no_machine};
use crate::support::http::{Http, MODIFIED, send};
use std::io::Write as _;

const USERS: &str = "ada:x:20001:20000:Ada:/home/ada:/bin/sh\n";

/// One object, its generation 1700000000000001, for whoever has the token `good`.
fn storage() -> Http {
    Http::new(|request, stream| {
        let error = |text: &str| format!("{{\"error\":{{\"code\":1,\"message\":\"{text}\"}}}}");
        let json = [("Content-Type", "application/json; charset=UTF-8")];
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if request.headers.get("authorization").is_none_or(|token| token != "Bearer good") {
            send(stream, "401 Unauthorized", &json, error("Invalid Credentials").as_bytes());
        } else if path != "/storage/v1/b/maps/o/site%20a%2Fpasswd" {
            send(stream, "404 Not Found", &json, error("No such object").as_bytes());
        } else if query.contains("ifGenerationNotMatch=1700000000000001") {
            let _ = stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n");
        } else if query == "alt=media" || query.is_empty() {
            let headers = [("Last-Modified", MODIFIED), ("x-goog-generation", "1700000000000001")];
            send(stream, "200 OK", &headers, USERS.as_bytes());
        } else {
            send(stream, "400 Bad Request", &json, error(query).as_bytes());
        }
    })
}

fn house(server: &Http, more: &str) -> Machine {
    let more = format!(
        "gcs_bucket = maps\ngcs_passwd_object = site a/passwd\ngcs_endpoint_url = {}\n{more}",
        server.url()
    );
    Machine::with(&config("gcs", "passwd", &more))
}

#[test]
fn objects_are_fetched_with_a_token_that_may_be_renewed() {
    if no_machine("objects_are_fetched_with_a_token_that_may_be_renewed") {
        return;
    }
    let server = storage();
    let machine = house(&server, "gcs_token_file = /etc/token\n");
    secret(&machine, "token", "old");
    fails(
        &machine,
        1,
        "HTTP status 401: Invalid Credentials (is the token of gcs_token_file old?)",
        &[],
    );
    secret(&machine, "token", "good\n");
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), USERS);
    let again = machine.expect(0, &["-v", "update"]);
    assert!(again.stderr.contains("nothing new"), "{}", again.stderr);
    machine.expect(0, &["repair"]);
    is_known(&machine);
    machine.config(&machine.text("nsscache.conf").replace("a/passwd", "a/none"));
    fails(&machine, 75, "HTTP status 404: No such object", &[]);
    assert!(run(&machine, &["-d", "update"], &[]).stderr.contains("/o/site%20a%2Fnone"));
}

/// The XML API is S3's protocol, with HMAC keys.
#[cfg(feature = "s3")]
#[test]
fn objects_are_fetched_with_hmac_keys() {
    use super::signature::{ID, SECRET, fault};
    if no_machine("objects_are_fetched_with_hmac_keys") {
        return;
    }
    let server = Http::new(|request, stream| match fault(request, "auto") {
        Some(code) => {
            let body = format!("<?xml version='1.0'?><Error><Code>{code}</Code></Error>");
            send(stream, "403 Forbidden", &[("Content-Type", "application/xml")], body.as_bytes());
        }
        None if request.headers.contains_key("x-goog-if-generation-not-match") => {
            let _ = stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n");
        }
        None if request.path == "/maps/site%20a/passwd" => {
            send(stream, "200 OK", &[("x-goog-generation", "5")], USERS.as_bytes());
        }
        None => send(stream, "404 Not Found", &[], b""),
    });
    let keys = format!("gcs_hmac_key_id = {ID}\ngcs_hmac_secret = {SECRET}\n");
    let machine = house(&server, &keys);
    machine.expect(0, &["update"]);
    assert_eq!(machine.text("passwd.cache"), USERS);
    let again = machine.expect(0, &["-v", "update"]);
    assert!(again.stderr.contains("nothing new"), "{}", again.stderr);
    is_known(&machine);
    machine.config(&machine.text("nsscache.conf").replace("EXAMPLEKEY", "other"));
    fails(&machine, 1, "HTTP status 403: SignatureDoesNotMatch", &[]);
}
