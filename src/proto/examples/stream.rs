//! Sends a group of 100,000 members as an nsss reply through buffers of 512 bytes: the line is
//! read twice, once to measure it and once for its strings, and never kept.
#![allow(clippy::indexing_slicing, reason = "the lengths are those of its own buffers")]

use nssproto::entry::Db;
use nssproto::line::Rules;
use nssproto::line::copy::LineCopier;
use nssproto::line::stream::LineScanner;
use nssproto::nsss::Head;
use nssproto::nsss::stream::AreaChecker;
use std::error::Error;
use std::io::{Cursor, Read, Seek};

#[cfg_attr(test, test)]
fn main() -> Result<(), Box<dyn Error>> {
    let members: Vec<String> = (0..100_000).map(|nth| format!("user{nth}")).collect();
    // In a program a file at the place of the line; without LF.
    let mut file = Cursor::new(format!("all:x:100:{}", members.join(",")).into_bytes());
    let (mut block, mut room) = ([0; 512], [0; 512]);

    // First pass: the numbers in front of the strings, and whether the user is listed.
    let key = b"user4711";
    let mut scanner = LineScanner::new(Rules::Nsss, Db::Group);
    loop {
        let len = file.read(&mut block)?;
        if len == 0 {
            break;
        }
        scanner.feed(&block[..len], key);
    }
    let summary = scanner.finish(key)?;
    println!("{:?}, user4711 is listed: {}", summary.head, summary.listed);

    // Second pass: the strings. Their last byte only comes if the line is still the same.
    file.rewind()?;
    let mut reply = vec![0; Head::MAX];
    let len = summary.head.encode(&mut reply)?;
    reply.truncate(len);
    let mut copier = LineCopier::new(Db::Group, summary);
    while !copier.done() {
        file.set_position(copier.taken());
        let len = file.read(&mut block)?;
        let (_, put) = copier.feed(&block[..len], &mut room)?;
        reply.extend_from_slice(&room[..put]);
    }

    // Who passes a peer's reply on checks it meanwhile.
    let mut check = AreaChecker::new(&summary.head);
    for piece in reply[len..].chunks(512) {
        check.feed(piece)?;
    }
    println!("a reply of {} bytes, {} to come", reply.len(), check.left());
    Ok(())
}
