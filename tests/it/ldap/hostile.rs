//! Servers that are slow, broken or lie.

use crate::support::directory::{Machine, no_machine};
use nssproto::ldap::control::{PAGED, Paged};
use nssproto::ldap::{
    Attribute, Attributes, Control, Controls, Credentials, Names, Outcome, Request, Response,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub const GOOD: Outcome<'static> =
    Outcome { code: 0, matched: b"", message: b"", referral: Names::NONE };

/// A server: what it does with each connection.
pub fn serve(work: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let work = std::sync::Arc::new(work);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let work = std::sync::Arc::clone(&work);
            thread::spawn(move || work(stream.unwrap()));
        }
    });
    port
}

/// Answers requests: `answer` is given the number of a request and what it is, and says what to send.
pub fn requests(
    mut stream: TcpStream,
    mut answer: impl FnMut(u32, &Request<'_>) -> Option<Vec<u8>>,
) {
    let mut received = Vec::new();
    loop {
        while let Ok(request) = Request::decode(&received) {
            let (len, id) = (request.len, request.value.id);
            let Some(bytes) = answer(id, &request.value.operation) else { return };
            if stream.write_all(&bytes).is_err() {
                return;
            }
            received.drain(..len);
        }
        let mut room = [0; 4096];
        match stream.read(&mut room) {
            Ok(0) | Err(_) => return,
            Ok(got) => received.extend_from_slice(&room[..got]),
        }
    }
}

pub fn encoded(id: u32, response: &Response<'_>) -> Vec<u8> {
    let mut out = vec![0; 65_536];
    let len = response.encode(id, Controls::NONE, &mut out).unwrap();
    out.truncate(len);
    out
}

pub fn user(id: u32, name: &str, uid: &str) -> Vec<u8> {
    let list: Vec<(&[u8], Vec<&[u8]>)> = vec![
        (b"uid", vec![name.as_bytes()]),
        (b"uidNumber", vec![uid.as_bytes(), b"0"]),
        (b"gidNumber", vec![b"1000"]),
        (b"cn", vec![b"x"]),
        (b"homeDirectory", vec![b"/home/x"]),
    ];
    let list: Vec<Attribute<'_>> =
        list.iter().map(|(name, values)| Attribute { name, values: Names::List(values) }).collect();
    let dn = format!("uid={name},dc=x");
    encoded(id, &Response::Entry { dn: dn.as_bytes(), attributes: Attributes::List(&list) })
}

pub fn machine(port: u16, more: &str) -> Machine {
    Machine::with(&format!(
        "[DEFAULT]\nsource = ldap\ncache = files\nmaps = passwd\ntimestamp_dir = /var/lib/nsscache\n\
         lockfile = /run/nsscache.lock\nfiles_dir = /etc\nldap_uri = ldap://127.0.0.1:{port}\nldap_base = dc=x\n\
         ldap_filter = (uid=*)\nldap_retry_max = 1\nldap_retry_delay = 0\n{more}\n"
    ))
}

/// Serves a search: first the root DSE, then `entries`.
pub fn serve_entries(entries: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    serve(move |stream| {
        requests(stream, |id, request| match request {
            Request::Search(search) if search.base.is_empty() => {
                Some(encoded(id, &Response::Done(GOOD)))
            }
            Request::Search(_) => Some(entries(id)),
            _ => None,
        });
    })
}

#[test]
fn a_small_server_will_do() {
    if no_machine("a_small_server_will_do") {
        return;
    }
    let port = serve_entries(|id| {
        let reference = encoded(id, &Response::Reference(Names::List(&[b"ldap://elsewhere/"])));
        [
            user(id, "ada", "1001"),
            reference,
            user(id, "bob", "1002"),
            encoded(id, &Response::Done(GOOD)),
        ]
        .concat()
    });
    let machine = machine(port, "");
    machine.expect(0, &["update"]);
    // Of two values the first counts.
    assert_eq!(
        machine.text("passwd.cache"),
        "ada:x:1001:1000:x:/home/x:\nbob:x:1002:1000:x:/home/x:\n"
    );
}

#[test]
fn what_is_broken_changes_nothing() {
    if no_machine("what_is_broken_changes_nothing") {
        return;
    }
    let length = |bytes: &[u8]| [&[0x30][..], bytes].concat();
    let broken: Vec<(&str, Vec<u8>, i32)> = vec![
        (
            "2^31 bytes",
            length(&[0x84, 0x7f, 0xff, 0xff, 0xff, 2, 1, 3, 0x64, 0x84, 0x7f, 0xff, 0xff, 0xf0]),
            1,
        ),
        ("a negative length", length(&[0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 3]), 1),
        ("an indefinite length", length(&[0x80, 2, 1, 3, 0x64, 0x80, 0, 0, 0, 0]), 1),
        (
            "a value longer than its entry",
            length(&[0x0c, 2, 1, 3, 0x64, 7, 4, 0x84, 0x0f, 0, 0, 0, 0, 0]),
            1,
        ),
        ("no LDAP at all", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), 1),
        ("another request's answer", encoded(4711, &Response::Done(GOOD)), 1),
        ("sequences within sequences", [[0x30, 0x84, 0, 0, 0xff, 0xff]; 4000].concat(), 1),
        (
            "values within values",
            {
                let deep = [[0x64, 0x84, 0, 0, 0xff, 0xf0]; 4000].concat();
                [&[0x30, 0x84, 0, 0, 0xff, 0xff, 2, 1, 3][..], &deep].concat()
            },
            1,
        ),
        ("the end", Vec::new(), 75),
    ];
    for (what, bytes, exit) in broken {
        let sent = bytes.clone();
        let port = serve(move |stream| {
            let mut end = stream.try_clone().unwrap();
            requests(stream, |id, request| match request {
                Request::Search(search) if search.base.is_empty() => {
                    Some(encoded(id, &Response::Done(GOOD)))
                }
                Request::Search(_) => {
                    let _ = end.write_all(&[user(id, "ada", "1001"), sent.clone()].concat());
                    None
                }
                _ => None,
            });
        });
        let machine = machine(port, "");
        let finished = machine.expect(exit, &["update"]);
        assert!(machine.made().is_empty(), "{what}: {}", finished.stderr);
    }
}

#[test]
fn a_silent_server_holds_up_nobody() {
    if no_machine("a_silent_server_holds_up_nobody") {
        return;
    }
    let port = serve(|mut stream| {
        // Until the other side is tired of it.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let machine = machine(port, "ldap_timelimit = 1\n");
    let finished = machine.expect(75, &["update"]);
    assert!(finished.stderr.contains("is silent for 1 s (ldap_timelimit)"), "{}", finished.stderr);
}

/// A second server is asked where the first is away.
#[test]
fn the_next_server_is_asked() {
    if no_machine("the_next_server_is_asked") {
        return;
    }
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port =
        serve_entries(|id| [user(id, "ada", "1001"), encoded(id, &Response::Done(GOOD))].concat());
    let machine = machine(port, "");
    let config = std::fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    machine.config(&config.replace("ldap_uri = ", &format!("ldap_uri = ldap://127.0.0.1:{away} ")));
    machine.expect(0, &["update"]);
    assert!(machine.text("passwd.cache").starts_with("ada:"));
}

/// Nothing is sent behind a StartTLS that was refused.
#[test]
fn a_stripped_starttls_gets_no_password() {
    if !cfg!(feature = "tls") || no_machine("a_stripped_starttls_gets_no_password") {
        return;
    }
    let (tell, told) = std::sync::mpsc::channel();
    let port = serve(move |stream| {
        requests(stream, |id, request| {
            if let Request::Bind { credentials: Credentials::Simple(password), .. } = request {
                tell.send(password.to_vec()).unwrap();
            }
            let outcome = Outcome { code: 2, ..GOOD };
            Some(encoded(id, &Response::Extended { outcome, name: None, value: None }))
        });
    });
    let machine = machine(
        port,
        "ldap_tls_starttls = yes\nldap_bind_dn = cn=a\nldap_bind_password = secret\n",
    );
    let finished = machine.expect(1, &["update"]);
    assert!(finished.stderr.contains("StartTLS is refused"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("secret"));
    assert!(told.try_recv().is_err());
}

/// Members come in pieces, as Active Directory sends them.
#[test]
fn members_in_pieces_are_put_together() {
    if no_machine("members_in_pieces_are_put_together") {
        return;
    }
    let port = serve(|stream| {
        requests(stream, |id, request| {
            let Request::Search(search) = request else { return None };
            if search.base.is_empty() {
                return Some(encoded(id, &Response::Done(GOOD)));
            }
            let mut asked =
                search.attributes.iter().map(|name| String::from_utf8(name.to_vec()).unwrap());
            let range = asked.find_map(|name| {
                let from = name.strip_prefix("member;range=")?;
                from.split('-').next()?.parse::<usize>().ok()
            });
            let from = range.unwrap_or(0);
            let to = (from + 1500).min(4000);
            let last = if to == 4000 { "*".to_owned() } else { (to - 1).to_string() };
            let name = format!("member;range={from}-{last}");
            let members: Vec<String> = (from..to).map(|n| format!("uid=m{n:04},dc=x")).collect();
            let members: Vec<&[u8]> = members.iter().map(String::as_bytes).collect();
            let list = [
                Attribute { name: b"cn", values: Names::List(&[b"many"]) },
                Attribute { name: b"gidNumber", values: Names::List(&[b"2000"]) },
                Attribute { name: name.as_bytes(), values: Names::List(&members) },
            ];
            let entry =
                Response::Entry { dn: b"cn=many,dc=x", attributes: Attributes::List(&list) };
            Some([encoded(id, &entry), encoded(id, &Response::Done(GOOD))].concat())
        });
    });
    let machine = machine(port, "ldap_rfc2307bis = yes\n");
    let config = std::fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    machine.config(&config.replace("maps = passwd", "maps = group"));
    machine.expect(0, &["update"]);
    let want: Vec<String> = (0..4000).map(|n| format!("m{n:04}")).collect();
    assert_eq!(machine.text("group.cache"), format!("many:*:2000:{}\n", want.join(",")));
}

/// The end of a page, behind which there are more.
fn page_end(id: u32, cookie: &[u8]) -> Vec<u8> {
    let mut value = [0; 64];
    let len = Paged { size: 0, cookie }.encode(&mut value).unwrap();
    let control = [Control { name: PAGED, critical: false, value: Some(&value[..len]) }];
    let mut out = vec![0; 1024];
    let len = Response::Done(GOOD).encode(id, Controls::List(&control), &mut out).unwrap();
    out.truncate(len);
    out
}

/// A server that ends in the middle of a page, or between two, is asked again from the beginning; one that
/// does not know its own cookie any more is refused.
#[test]
fn a_set_is_never_made_of_two_halves() {
    if no_machine("a_set_is_never_made_of_two_halves") {
        return;
    }
    #[derive(Clone, Copy, Debug)]
    enum Fault {
        InAnEntry,
        InAPage,
        BetweenPages,
        Cookie,
    }
    for fault in [Fault::InAnEntry, Fault::InAPage, Fault::BetweenPages, Fault::Cookie] {
        let met = Arc::new(AtomicBool::new(false));
        let once = Arc::clone(&met);
        let port = serve(move |stream| {
            let mut out = stream.try_clone().unwrap();
            let mut send = move |bytes: &[u8]| out.write_all(bytes);
            let mut page = 0;
            requests(stream, |id, request| {
                let Request::Search(search) = request else { return None };
                if search.base.is_empty() {
                    return Some(encoded(id, &Response::Done(GOOD)));
                }
                page += 1;
                let names = if page == 1 { ["ada", "bob"] } else { ["eve", "dan"] };
                let [one, other] = names.map(|name| user(id, name, "1001"));
                let end = match page {
                    1 => page_end(id, b"more"),
                    _ => page_end(id, b""),
                };
                if page == 2 && !once.swap(true, Ordering::Relaxed) {
                    match fault {
                        Fault::InAnEntry => {
                            let _ = send(&[&one, &other[..other.len() / 2]].concat());
                            return None;
                        }
                        Fault::InAPage => {
                            let _ = send(&one);
                            return None;
                        }
                        Fault::BetweenPages => return None,
                        Fault::Cookie => {
                            let outcome =
                                Outcome { code: 53, message: b"paged results cookie", ..GOOD };
                            return Some(encoded(id, &Response::Done(outcome)));
                        }
                    }
                }
                Some([one, other, end].concat())
            });
        });
        let machine = machine(port, "");
        let config = std::fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
        machine.config(&config.replace("ldap_retry_max = 1", "ldap_retry_max = 2"));
        if let Fault::Cookie = fault {
            let finished = machine.expect(1, &["update"]);
            assert!(finished.stderr.contains("cookie"), "{}", finished.stderr);
            assert!(machine.made().is_empty());
        }
        machine.expect(0, &["update"]);
        assert!(met.load(Ordering::Relaxed));
        let text = machine.text("passwd.cache");
        let names: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(names, ["ada", "bob", "eve", "dan"], "{fault:?}");
    }
}

/// What is no success is no end of a map.
#[test]
fn a_search_that_does_not_end_well_changes_nothing() {
    if no_machine("a_search_that_does_not_end_well_changes_nothing") {
        return;
    }
    let referral: &[&[u8]] = &[b"ldap://elsewhere.example/dc=x"];
    for (code, referral, exit, says) in [
        (10, Names::List(referral), 1, "another server is to be asked"),
        (4, Names::NONE, 1, "its size limit"),
        (11, Names::NONE, 1, "an administrator's limit"),
        (3, Names::NONE, 75, "its time limit"),
        (32, Names::NONE, 1, "there is no entry dc=x"),
        (50, Names::NONE, 1, "no rights"),
        (51, Names::NONE, 75, "busy"),
        (80, Names::NONE, 1, "(80)"),
    ] {
        let port = serve(move |stream| {
            requests(stream, |id, request| match request {
                Request::Search(search) if search.base.is_empty() => {
                    Some(encoded(id, &Response::Done(GOOD)))
                }
                Request::Search(_) => {
                    let outcome = Outcome { code, referral, ..GOOD };
                    Some([user(id, "ada", "1001"), encoded(id, &Response::Done(outcome))].concat())
                }
                _ => None,
            });
        });
        let machine = machine(port, "");
        let finished = machine.expect(exit, &["update"]);
        assert!(finished.stderr.contains(says), "{code}: {}", finished.stderr);
        assert!(machine.made().is_empty(), "{code}");
    }
}

/// A group of 100,000 members in one message, in no order and each of them twice.
#[test]
fn a_group_of_a_hundred_thousand_is_whole() {
    if no_machine("a_group_of_a_hundred_thousand_is_whole") {
        return;
    }
    const COUNT: usize = 100_000;
    let port = serve(|stream| {
        requests(stream, |id, request| {
            let Request::Search(search) = request else { return None };
            if search.base.is_empty() {
                return Some(encoded(id, &Response::Done(GOOD)));
            }
            let members: Vec<String> =
                (0..2 * COUNT).map(|n| format!("m{:06}", n * 7919 % COUNT)).collect();
            let members: Vec<&[u8]> = members.iter().map(String::as_bytes).collect();
            let list = [
                Attribute { name: b"memberUid", values: Names::List(&members) },
                Attribute { name: b"cn", values: Names::List(&[b"many"]) },
                Attribute { name: b"gidNumber", values: Names::List(&[b"2000"]) },
            ];
            let entry =
                Response::Entry { dn: b"cn=many,dc=x", attributes: Attributes::List(&list) };
            let mut out = vec![0; 4 << 20];
            let len = entry.encode(id, Controls::NONE, &mut out).unwrap();
            out.truncate(len);
            out.extend(encoded(id, &Response::Done(GOOD)));
            Some(out)
        });
    });
    let machine = machine(port, "");
    let config = std::fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    machine.config(&config.replace("maps = passwd", "maps = group"));
    machine.expect(0, &["update"]);
    let want: Vec<String> = (0..COUNT).map(|n| format!("m{n:06}")).collect();
    assert!(machine.text("group.cache") == format!("many:*:2000:{}\n", want.join(",")));
}

/// A filter of ten thousand levels is an error, and no end of the stack.
#[test]
fn a_filter_too_deep_is_refused() {
    if no_machine("a_filter_too_deep_is_refused") {
        return;
    }
    let machine = machine(9, "");
    let config = std::fs::read_to_string(machine.etc("nsscache.conf")).unwrap();
    let deep = format!("{}(uid=*){}", "(!".repeat(10_000), ")".repeat(10_000));
    machine.config(&config.replace("(uid=*)", &deep));
    let finished = machine.expect(1, &["check-config"]);
    assert!(String::from_utf8_lossy(&finished.stdout).contains("ldap_filter"));
}

/// The server says that it ends, as slapd does when it is stopped; a password is never told.
#[test]
fn a_server_that_says_that_it_ends_is_away() {
    if no_machine("a_server_that_says_that_it_ends_is_away") {
        return;
    }
    let port = serve(|stream| {
        requests(stream, |id, request| match request {
            Request::Bind { .. } => {
                let outcome = Outcome { code: 49, message: b"no such secret", ..GOOD };
                Some(encoded(id, &Response::Bind(outcome, None)))
            }
            _ => {
                let outcome = Outcome { code: 52, message: b"shutting down", ..GOOD };
                let name = Some(&b"1.3.6.1.4.1.1466.20036"[..]);
                Some(encoded(0, &Response::Extended { outcome, name, value: None }))
            }
        });
    });
    let finished = machine(port, "").expect(75, &["update"]);
    assert!(finished.stderr.contains("shutting down"), "{}", finished.stderr);
    let secret = "ldap_bind_dn = cn=a\nldap_bind_password = hunter2\n";
    let finished = machine(port, secret).expect(1, &["-d", "update"]);
    assert!(finished.stderr.contains("wrong name or password (49)"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("hunter2"));
}
