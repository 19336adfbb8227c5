//! Requests and replies of the nsss protocol, put together by hand.
//!
//! On purpose without the library: the tests must not share a mistake with it.

/// The opcodes.
pub mod op {
    pub const SET_TIMEOUT: u8 = 0o001;
    pub const PWD_END: u8 = 0o010;
    pub const PWD_REWIND: u8 = 0o011;
    pub const PWD_GET: u8 = 0o012;
    pub const PWD_GETBYNAME: u8 = 0o013;
    pub const PWD_GETBYUID: u8 = 0o014;
    pub const GRP_END: u8 = 0o020;
    pub const GRP_REWIND: u8 = 0o021;
    pub const GRP_GET: u8 = 0o022;
    pub const GRP_GETBYNAME: u8 = 0o023;
    pub const GRP_GETBYGID: u8 = 0o024;
    pub const GRP_GETLIST: u8 = 0o025;
    pub const SHADOW_END: u8 = 0o040;
    pub const SHADOW_REWIND: u8 = 0o041;
    pub const SHADOW_GET: u8 = 0o042;
    pub const SHADOW_GETBYNAME: u8 = 0o043;
}

/// A lookup by name; the NUL is added.
pub fn by_name(op: u8, name: impl AsRef<[u8]>) -> Vec<u8> {
    let mut request = vec![op];
    put_name(&mut request, name.as_ref());
    request
}

/// A lookup by number.
pub fn by_id(op: u8, id: u32) -> Vec<u8> {
    let mut request = vec![op];
    request.extend(id.to_be_bytes());
    request
}

/// GRP_GETLIST with room for `n` gids; the NUL is added.
pub fn grouplist(n: u64, name: impl AsRef<[u8]>) -> Vec<u8> {
    let mut request = vec![op::GRP_GETLIST];
    request.extend(n.to_be_bytes());
    put_name(&mut request, name.as_ref());
    request
}

/// SET_TIMEOUT, in milliseconds, 0 = none.
pub fn set_timeout(millis: u32) -> Vec<u8> {
    by_id(op::SET_TIMEOUT, millis)
}

fn put_name(request: &mut Vec<u8>, name: &[u8]) {
    request.extend(length(name.len() + 1));
    request.extend(name);
    request.push(0);
}

/// The reply that holds this passwd entry, status byte included.
pub fn passwd_reply(
    [name, password]: [&str; 2],
    uid: u32,
    gid: u32,
    [gecos, home, shell]: [&str; 3],
) -> Vec<u8> {
    let text = strings(&[name, password, gecos, home, shell]);
    let mut reply = vec![0];
    reply.extend(uid.to_be_bytes());
    reply.extend(gid.to_be_bytes());
    reply.extend(length(text.len()));
    reply.extend(text);
    reply
}

/// The reply that holds this group, status byte included.
pub fn group_reply(name: &str, password: &str, gid: u32, members: &[&str]) -> Vec<u8> {
    let mut text = strings(&[name, password]);
    text.extend(strings(members));
    let mut reply = vec![0];
    reply.extend(gid.to_be_bytes());
    reply.extend(length(text.len()));
    reply.extend(length(members.len()));
    reply.extend(text);
    reply
}

/// The seven numbers of a shadow entry: last change, min, max, warn, inactive, expire, flag;
/// -1 = empty.
pub type Shadow = [i64; 7];

/// The reply that holds this shadow entry, status byte included.
pub fn shadow_reply(name: &str, password: &str, numbers: Shadow) -> Vec<u8> {
    let text = strings(&[name, password]);
    let mut reply = vec![0];
    for number in numbers {
        reply.extend(number.to_be_bytes());
    }
    reply.extend(length(text.len()));
    reply.extend(text);
    reply
}

/// The reply to [`grouplist`] with room for `n`, of which `gids` is the whole list, status byte
/// included.
pub fn grouplist_reply(n: u64, gids: &[u32]) -> Vec<u8> {
    let mut reply = vec![0];
    reply.extend(n.to_be_bytes());
    reply.extend((gids.len() as u64).to_be_bytes());
    let room = usize::try_from(n).unwrap_or(usize::MAX);
    for gid in gids.iter().take(room) {
        reply.extend(gid.to_be_bytes());
    }
    reply
}

fn strings(fields: &[&str]) -> Vec<u8> {
    let mut text = Vec::new();
    for field in fields {
        text.extend(field.as_bytes());
        text.push(0);
    }
    text
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("test data is small").to_be_bytes()
}
