//! What libnss_systemd asks a user database of systemd, and what that answers: a user and a membership.

use nssproto::entry::{Gid, Passwd, Shadow, Uid};
use nssproto::json::Text;
use nssproto::userdb::record::{Privileged, UserCheck, encode_membership, encode_user_end, end};
use nssproto::userdb::{Error as NotTold, Keys, Question, Told};
use nssproto::varlink::{CALL_MAX, Call, Reply};
use std::error::Error;

const SERVICE: &str = "org.example.Users";
const ADA: Passwd<'static> = Passwd {
    name: b"ada",
    password: b"x",
    uid: Uid(1001),
    gid: Gid(1000),
    gecos: b"Ada",
    home: b"/home/ada",
    shell: b"/bin/sh",
};

/// The reply about a user, from the strings of her record.
fn tell(
    user: &Passwd<'_>,
    shadow: Privileged<'_>,
    out: &mut [u8],
) -> Result<usize, Box<dyn Error>> {
    let strings = [user.name, user.password, user.gecos, user.home, user.shell];
    // Once to see what may be told, once to tell it; here they are one piece.
    let strings = strings.map(|text| [text, b"\0"].concat()).concat();
    let mut check = UserCheck::default();
    check.feed(&strings);
    let mut writer = check.finish(user.uid, user.gid).ok_or("nobody who may be told")?;
    let (_, written) = writer.feed(&strings, out);
    let room = out.get_mut(written..).unwrap_or_default();
    let len = encode_user_end(SERVICE, &shadow, room)?;
    finish(written + len, out)
}

/// There is one reply to each call here.
fn finish(len: usize, out: &mut [u8]) -> Result<usize, Box<dyn Error>> {
    let end = end(false);
    out.get_mut(len..len + end.len()).ok_or("no room")?.copy_from_slice(end);
    Ok(len + end.len())
}

fn answer(question: &Question<'_>, out: &mut [u8]) -> Result<usize, Box<dyn Error>> {
    let locked = Shadow { name: ADA.name, password: b"!", numbers: [Shadow::EMPTY; 7] };
    Ok(match *question {
        Question::User(Keys { name: Some(name), .. }) if name.is("ada") => {
            tell(&ADA, Privileged::Shadow(locked), out)?
        }
        Question::Memberships { user: Some(name), .. } if name.is("ada") => {
            let len = encode_membership(b"ada", b"staff", out)?;
            finish(len, out)?
        }
        _ => NotTold::NoRecordFound.encode(out)?,
    })
}

#[cfg_attr(test, test)]
fn main() -> Result<(), Box<dyn Error>> {
    let [ada, bob] = [&b"\"ada\""[..], b"\"bob\""].map(Text::of);
    let (ada, bob) = (ada?, bob?);
    for question in [
        Question::User(Keys { name: Some(ada), id: None }),
        Question::Memberships { user: Some(ada), group: None },
        Question::User(Keys { name: Some(bob), id: None }),
    ] {
        // A connection carries many calls; here both ends are at hand.
        let (mut call, mut reply) = ([0; CALL_MAX], [0; 4096]);
        let len = question.encode(SERVICE, true, &mut call)?;
        let call = Call::decode(call.get(..len).unwrap_or_default())?.value;
        let asked = Question::decode(&call, SERVICE).map_err(|refusal| format!("{refusal:?}"))?;
        let len = answer(&asked, &mut reply)?;
        let reply = Reply::decode(reply.get(..len).unwrap_or_default(), len)?.value;
        match Told::decode(&reply)? {
            Told::User(user) => println!("uid {:?}, locked {}", user.uid, user.hash.is_some()),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}
