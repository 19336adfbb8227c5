//! LDAP: messages both ways, and entries item by item.

use nssproto::DecodeError;
use nssproto::ldap::control::{Paged, SyncDone, SyncInfo, SyncRequest, SyncState};
use nssproto::ldap::stream::Entry;
use nssproto::ldap::{Filter, Request, Response, dn};

/// One message, or the value of a control, or the text of a filter, or a DN.
pub fn ldap(data: &[u8]) {
    let mut out = vec![0; 2 * data.len() + 64];
    if let Ok(request) = Request::decode(data) {
        let message = request.value;
        let len = message.operation.encode(message.id, message.controls, &mut out).unwrap();
        let again = Request::decode(&out[..len]).unwrap();
        assert_eq!((again.value, again.len), (message, len));
    }
    let whole = Response::decode(data);
    if let Ok(response) = &whole {
        let message = response.value;
        let len = message.operation.encode(message.id, message.controls, &mut out).unwrap();
        let again = Response::decode(&out[..len]).unwrap();
        assert_eq!((again.value, again.len), (message, len));
    }
    if let Ok(begun) = Entry::begin(data) {
        let (mut entry, mut at) = (begun.value, begun.len);
        let ended = loop {
            match entry.next(&data[at..]) {
                Ok(Some(item)) => at += item.len,
                Ok(None) => break Ok(at),
                Err(error) => break Err(error),
            }
        };
        match (ended, whole) {
            (Ok(at), whole) => assert_eq!(whole.map(|whole| whole.len), Ok(at)),
            // What is missing is found out at another place.
            (Err(DecodeError::Incomplete(_)), whole) => assert!(whole.is_err()),
            (Err(_), whole) => assert!(whole.is_err()),
        }
    }
    if let Ok(value) = Paged::decode(data) {
        let len = value.encode(&mut out).unwrap();
        assert_eq!(Paged::decode(&out[..len]), Ok(value));
    }
    if let Ok(value) = SyncRequest::decode(data) {
        let len = value.encode(&mut out).unwrap();
        assert_eq!(SyncRequest::decode(&out[..len]), Ok(value));
    }
    if let Ok(value) = SyncState::decode(data) {
        let len = value.encode(&mut out).unwrap();
        assert_eq!(SyncState::decode(&out[..len]), Ok(value));
    }
    if let Ok(value) = SyncDone::decode(data) {
        let len = value.encode(&mut out).unwrap();
        assert_eq!(SyncDone::decode(&out[..len]), Ok(value));
    }
    if let Ok(value) = SyncInfo::decode(data) {
        let len = value.encode(&mut out).unwrap();
        assert_eq!(SyncInfo::decode(&out[..len]), Ok(value));
    }
    let mut room = vec![0; 8 * data.len() + 64];
    if let Ok(filter) = Filter::parse(data, &mut room) {
        assert_eq!(Filter::decode(filter.bytes()), Ok(filter));
    }
    let parts = dn::parts(data).map(|(name, value)| name.len() + dn::unescape(value).count() + 2);
    assert!(dn::plain(data).count() <= parts.sum::<usize>());
}
