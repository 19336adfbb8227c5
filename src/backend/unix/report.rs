//! Names the lines that are skipped (`nsssd-unix -v`).

use crate::sys::file::pread_full;
use crate::sys::message::Message;
use nssproto::entry::Db;
use nssproto::line::Rules;
use nssproto::line::stream::LineScanner;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Reads all of `file` and names each bad line on standard error: file, number, what is wrong.
/// Empty lines are not named. A read error ends it: the lookup will meet the same one.
// Its room is not for the stack of every lookup.
#[inline(never)]
pub fn bad_lines(db: Db, path: &CStr, file: &OwnedFd) {
    let mut room = [0; 4096];
    let (mut at, mut number) = (0, 1);
    let (mut meter, mut empty) = (LineScanner::new(Rules::Nsss, db), true);
    loop {
        let Ok(len) = pread_full(file, &mut room, at) else { return };
        at += len as u64;
        for byte in room.iter().take(len) {
            if *byte != b'\n' {
                meter.feed(&[*byte], b"");
                empty = false;
                continue;
            }
            end_line(path, number, &mut meter, empty);
            number += 1;
            (meter, empty) = (LineScanner::new(Rules::Nsss, db), true);
        }
        if len < room.len() {
            return end_line(path, number, &mut meter, empty);
        }
    }
}

fn end_line(path: &CStr, number: u64, meter: &mut LineScanner, empty: bool) {
    if let (Err(malformed), false) = (meter.finish(b""), empty) {
        let why = malformed.reason();
        let mut message = Message::warning("nsssd-unix");
        message.path(path.to_bytes());
        message.text(" line ").number(number).text(": ").text(why).text(", skipped").send();
    }
}
