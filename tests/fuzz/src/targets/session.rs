//! A whole session of the nsss protocol, its bytes in any pieces, against the naive reader.

use super::stage::{Peer, Scene, serve};
use crate::naive::Naive;
use nssbox::server::conversation::Conversation as _;
use nssbox::server::conversation::nsss::Nsss;
use nssbox::sys::access::Rights;

/// EPROTO, which every architecture but Alpha, MIPS, PA-RISC and SPARC calls so.
const EPROTO: u8 = 71;

/// How the bytes come, three files, and the bytes: see [`Scene::read`]. Bit 2 of the flags: two
/// clients in turn, who send the same.
pub fn nsss_session(data: &[u8]) {
    let scene = Scene::read(data);
    let mut switch = scene.switch(false);
    let count = if scene.flags & 4 == 0 { 1 } else { 2 };
    let session = |number| Nsss::new(switch.new_client(Rights::Own, number));
    let mut peers: Vec<_> = (0..count).map(|n| Peer::new(session(n), &scene)).collect();
    serve(&mut peers, &mut switch);
    let (replies, closed) = naive(&scene);
    for peer in peers {
        crate::targets::same(&peer.replies, &replies);
        assert_eq!(peer.closed, closed);
    }
}

/// All replies to the requests, and whether the server closes then.
fn naive(scene: &Scene<'_>) -> (Vec<u8>, bool) {
    let [passwd, group, shadow] = &scene.files;
    let mut files = Naive::new(passwd, group, shadow);
    let mut replies = Vec::new();
    let mut rest = scene.requests;
    while let Some(opcode) = rest.first() {
        // The bytes in front of a name, or those of the whole request.
        let (front, named) = match opcode {
            0o010..=0o012 | 0o020..=0o022 | 0o040..=0o042 => (1, false),
            0o001 | 0o014 | 0o024 => (5, false),
            0o013 | 0o023 | 0o043 => (5, true),
            0o025 => (13, true),
            _ => return (replies, true),
        };
        if rest.len() < front {
            break;
        }
        let mut whole = front;
        if named {
            let len = u32::from_be_bytes(rest[front - 4..front].try_into().unwrap());
            if len > 255 {
                replies.push(EPROTO);
                return (replies, true);
            }
            whole += len as usize;
        }
        if rest.len() < whole {
            break;
        }
        let (request, behind) = rest.split_at(whole);
        rest = behind;
        if named && !matches!(request[front..].split_last(), Some((0, n)) if !n.contains(&0)) {
            replies.push(EPROTO);
        } else if *opcode == 0o001 {
            replies.push(0);
        } else {
            replies.extend(files.answer(request));
        }
    }
    (replies, false)
}
