//! The codec, held against rasn-ldap; and entries item by item against whole ones.

use nssproto::DecodeError;
use nssproto::ldap::control::{PAGED, Paged};
use nssproto::ldap::stream::{Entry, Item};
use nssproto::ldap::{
    Attribute, Attributes, Control, Controls, Credentials, Filter, Names, Outcome, Request,
    Response, Scope, Search,
};
use rasn_ldap::{LdapMessage, ProtocolOp};

fn theirs(bytes: &[u8]) -> LdapMessage {
    rasn::ber::decode(bytes).expect("rasn-ldap reads it")
}

#[test]
fn requests_are_what_another_codec_reads() {
    // Lists of filters are sets there, which have no order: one each.
    let texts = [
        "(&(objectClass=posixAccount))",
        "(|(uid=a*b*c))",
        "(!(uid>=x))",
        "(cn:dn:2.5.13.5:=\\2a)",
        "(mail=*)",
        "(uid=*b*)",
        "(uid<=\\00\\ff)",
        "(uid~=x)",
    ];
    let mut rooms = [[0; 128]; 8];
    let searches = texts.iter().zip(&mut rooms).map(|(text, room)| {
        Request::Search(Search {
            base: b"ou=people,dc=example,dc=org",
            scope: Scope::Subtree,
            size_limit: 500,
            time_limit: 300,
            filter: Filter::parse(text.as_bytes(), room).unwrap(),
            attributes: Names::List(&[b"uid", b"uidNumber"]),
        })
    });
    let mut value = [0; 32];
    let len = Paged { size: 1000, cookie: b"next" }.encode(&mut value).unwrap();
    let control = [Control { name: PAGED, critical: true, value: Some(&value[..len]) }];
    let all = [
        Request::Bind { name: b"cn=a", credentials: Credentials::Simple(b"secret") },
        Request::Bind { name: b"", credentials: Credentials::Sasl(b"EXTERNAL", Some(b"")) },
        Request::Unbind,
        Request::Abandon(300),
        Request::Extended { name: nssproto::ldap::START_TLS, value: None },
    ];
    for request in searches.chain(all) {
        let mut out = [0; 1024];
        let len = request.encode(7, Controls::List(&control), &mut out).unwrap();
        let message = theirs(&out[..len]);
        assert_eq!(message.message_id, 7);
        assert_eq!(message.controls.as_ref().map(|list| list.len()), Some(1));
        // The way back through the other codec is the same bytes.
        assert_eq!(rasn::ber::encode(&message).unwrap(), &out[..len], "{request:?}");
        let ours = Request::decode(&out[..len]).unwrap();
        assert_eq!((ours.value.operation, ours.len), (request, len));
    }
}

#[test]
fn responses_are_what_another_codec_reads() {
    let values: Vec<Vec<u8>> = (0..300).map(|n| format!("uid=m{n},dc=x").into_bytes()).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let list = [
        Attribute { name: b"cn", values: Names::List(&[b"a"]) },
        Attribute { name: b"member", values: Names::List(&values) },
        Attribute { name: b"empty", values: Names::NONE },
    ];
    let outcome = Outcome {
        code: 10,
        matched: b"dc=x",
        message: b"no",
        referral: Names::List(&[b"ldap://x/"]),
    };
    for response in [
        Response::Entry { dn: b"cn=a,dc=x", attributes: Attributes::List(&list) },
        Response::Done(outcome),
        Response::Reference(Names::List(&[b"ldap://x/", b"ldap://y/"])),
        Response::Bind(outcome, Some(b"x")),
        Response::Extended { outcome, name: Some(b"1.2"), value: Some(b"v") },
        Response::Intermediate { name: Some(b"1.2"), value: Some(b"v") },
    ] {
        let mut out = vec![0; 65_536];
        let len = response.encode(9, Controls::NONE, &mut out).unwrap();
        out.truncate(len);
        let message = theirs(&out);
        if !matches!(message.protocol_op, ProtocolOp::SearchResEntry(_)) {
            // A set has no order there.
            assert_eq!(rasn::ber::encode(&message).unwrap(), out, "{response:?}");
        }
        let ours = Response::decode(&out).unwrap();
        assert_eq!((ours.value.operation, ours.len), (response, len));
        for cut in 0..len {
            assert!(
                matches!(Response::decode(&out[..cut]), Err(DecodeError::Incomplete(_))),
                "{cut}"
            );
        }
    }
}

/// However a message is cut, its items are those of the whole one.
#[test]
fn items_are_those_of_a_whole_entry() {
    let list = [
        Attribute { name: b"cn", values: Names::List(&[b"a", b"b"]) },
        Attribute { name: b"none", values: Names::NONE },
        Attribute { name: b"member", values: Names::List(&[b"uid=x,dc=x", b""]) },
    ];
    let entry = Response::Entry { dn: b"cn=a", attributes: Attributes::List(&list) };
    let control = [Control { name: b"1.2.3", critical: false, value: Some(b"v") }];
    for controls in [Controls::NONE, Controls::List(&control)] {
        let mut out = [0; 256];
        let len = entry.encode(3, controls, &mut out).unwrap();
        let mut want = vec![Item::Dn(b"cn=a")];
        for attribute in &list {
            want.push(Item::Name(attribute.name));
            want.extend(attribute.values.iter().map(Item::Value));
        }
        want.extend(controls.iter().map(Item::Control));
        // A window that grows by a byte at a time.
        let (mut at, mut reader, mut found) = (0, None::<Entry>, Vec::new());
        for end in 0..=len {
            loop {
                let window = &out[at..end];
                match &mut reader {
                    None => match Entry::begin(window) {
                        Ok(begun) => {
                            at += begun.len;
                            reader = Some(begun.value);
                        }
                        Err(DecodeError::Incomplete(missing)) => {
                            assert!(missing > 0);
                            break;
                        }
                        Err(error) => panic!("{error}"),
                    },
                    Some(entry) => match entry.next(window) {
                        Ok(Some(item)) => {
                            at += item.len;
                            found.push(item.value);
                        }
                        Ok(None) => break,
                        Err(DecodeError::Incomplete(_)) => break,
                        Err(error) => panic!("{error}"),
                    },
                }
            }
        }
        assert_eq!((found, at), (want, len));
    }
}

/// A byte that is another makes no panic, and no item out of nothing.
#[test]
fn damaged_entries_end() {
    let list = [Attribute { name: b"cn", values: Names::List(&[b"a", b"b"]) }];
    let entry = Response::Entry { dn: b"cn=a", attributes: Attributes::List(&list) };
    let mut out = [0; 64];
    let len = entry.encode(3, Controls::NONE, &mut out).unwrap();
    for at in 0..len {
        for byte in 0..=255 {
            let mut damaged = out;
            damaged[at] = byte;
            let whole = Response::decode(&damaged[..len]).is_ok_and(|decoded| {
                decoded.len == len && matches!(decoded.value.operation, Response::Entry { .. })
            });
            let items = Entry::begin(&damaged[..len]).and_then(|begun| {
                let (mut entry, mut at) = (begun.value, begun.len);
                while let Some(item) = entry.next(&damaged[at..len])? {
                    at += item.len;
                }
                Ok(at)
            });
            assert_eq!(whole, items == Ok(len), "byte {at} is {byte}");
        }
    }
}
