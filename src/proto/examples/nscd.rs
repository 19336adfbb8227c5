//! What a C library asks nscd, and what a server answers: users, groups, and the groups of a user.

use nssproto::entry::{Db, Gid, Uid};
use nssproto::nscd::{self, Password, REQUEST_MAX, Reply, ReplyKind, Request};
use nssproto::{EncodeError, line};
use std::error::Error;

const PASSWD: &[u8] = b"ada:x:1001:1000:Ada:/home/ada:/bin/sh";
const GROUP: &[u8] = b"staff:x:50:ada,bob";

/// There is no hash in them.
const AS_IT_STANDS: Password = Password::AsItStands;

/// The whole reply to a request; `None`: to be closed without one.
fn answer(request: &Request<'_>, out: &mut [u8]) -> Result<Option<usize>, Box<dyn Error>> {
    let (user, group) = (line::parse(Db::Passwd, PASSWD)?, line::parse(Db::Group, GROUP)?);
    let len = match *request {
        Request::PasswdByName(name) if name == user.name() => {
            nscd::encode(&user, AS_IT_STANDS, out)
        }
        Request::PasswdByUid(Some(Uid(id))) if Some(id) == user.id() => {
            nscd::encode(&user, AS_IT_STANDS, out)
        }
        Request::GroupByName(name) if name == group.name() => {
            nscd::encode(&group, AS_IT_STANDS, out)
        }
        Request::GroupByGid(Some(Gid(id))) if Some(id) == group.id() => {
            nscd::encode(&group, AS_IT_STANDS, out)
        }
        Request::Initgroups(b"ada") => nscd::encode_initgroups(1, out).and_then(|len| {
            // The gids follow, in the machine's own order.
            let room = out.get_mut(len..len + 4).ok_or(EncodeError::NoSpace(len + 4))?;
            room.copy_from_slice(&50u32.to_ne_bytes());
            Ok(len + 4)
        }),
        Request::Unserved(size) => nscd::encode_unserved(size, out),
        _ => match request.reply_kind() {
            Some(kind) => nscd::encode_not_found(kind, out),
            None => return Ok(None),
        },
    };
    Ok(Some(len?))
}

#[cfg_attr(test, test)]
fn main() -> Result<(), Box<dyn Error>> {
    for asked in [
        Request::PasswdByName(b"ada"),
        Request::PasswdByUid(Some(Uid(0))),
        Request::GroupByGid(Some(Gid(50))),
        Request::Initgroups(b"ada"),
    ] {
        // A connection carries one request; here both ends are at hand.
        let (mut request, mut reply) = ([0; REQUEST_MAX], [0; 1024]);
        asked.encode(&mut request)?;
        let decoded = Request::decode(&request)?;
        let len = answer(&decoded.value, &mut reply)?.ok_or("closed without a reply")?;

        let kind = asked.reply_kind().unwrap_or(ReplyKind::Passwd);
        let reply = Reply::decode(kind, reply.get(..len).unwrap_or_default())?;
        match reply.value {
            Reply::Found(record) => {
                let mut text = Vec::new();
                line::write(&record, |piece| -> Result<(), Box<dyn Error>> {
                    text.extend_from_slice(piece);
                    Ok(())
                })?;
                println!("{}", String::from_utf8_lossy(&text));
            }
            Reply::Groups(gids) => println!("groups: {:?}", gids.collect::<Vec<_>>()),
            other => println!("{asked:?}: {other:?}"),
        }
    }
    Ok(())
}
