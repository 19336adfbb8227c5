//! Made-up states of runit, told by runit's own sv and by ours.

use super::folder::{Folder, now, same_line};
use crate::support::{have_program, run_to_end, skip, tool};
use std::fs;
use std::path::Path;

/// A small generator of numbers; the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn status(&mut self) -> Vec<u8> {
        let pid = self.one_of(&[0, 1, 4242, 4_194_303, i32::MAX as u32, u32::MAX, 1 << 31]);
        let age = self.one_of(&[0, 1, 100, 86_400, 2_000_000_000]);
        let want = self.one_of(b"uud\0x");
        let state = self.one_of(&[0, 1, 1, 2, 3, 255]);
        // What encore alone writes is told as encore's.
        let term = if state == 0 { 0 } else { self.one_of(&[0, 0, 1]) };
        let mut file = super::folder::runit_status(age, pid, want, term, state);
        file[16] = self.one_of(&[0, 0, 1, 7]);
        if self.below(8) == 0 {
            file.truncate(self.below(21) as usize);
            // Sizes of other families, of which runit's sv knows none.
            if matches!(file.len(), 18 | 19) {
                file.truncate(5);
            }
        }
        file
    }
}

#[test]
fn states_are_told_as_runits_sv_tells_them() {
    let test = "sv::random::states_are_told_as_runits_sv_tells_them";
    if !have_program("runsv") || !Path::new("/usr/bin/sv").exists() {
        return skip(test, "no runit");
    }
    let mut numbers = Numbers(20_091_121);
    for round in 0..300 {
        let folder = Folder::new();
        let status = numbers.status();
        let mut held = vec![folder.runit("svc", &status)];
        if numbers.below(3) == 0 {
            fs::write(folder.path("svc/down"), "").unwrap();
        }
        match numbers.below(6) {
            0 | 1 => held.push(folder.runit("svc/log", &numbers.status())),
            2 => fs::write(folder.path("svc/log"), "").unwrap(),
            _ => {}
        }
        if numbers.below(12) == 0 {
            // Its supervisor is gone.
            held.clear();
        }
        let made = now();
        let mut theirs = tool(Path::new("/nonexistent"), "/usr/bin/sv");
        theirs.args(["status", "svc"]).env("SVDIR", folder.services());
        let theirs = run_to_end(theirs);
        let theirs_told = String::from_utf8(theirs.stdout).unwrap();
        let ours = folder.run("sv", &["status", "svc"]);
        let ours_told = String::from_utf8(ours.stdout).unwrap();
        let what = format!("{round}: {status:?}");
        // Behind a log service that it cannot read, runit's sv prints the state of the service once
        // more, as the log's; ours ends the line there.
        let theirs_told = match theirs_told.split_once("bad format\n") {
            Some((first, again)) if first.contains("; warning: ") => {
                assert!(again.contains("log: "), "{again}");
                format!("{first}bad format\n")
            }
            _ => theirs_told,
        };
        same_line(&what, &ours_told, &theirs_told, made);
        assert_eq!(ours.code, theirs.code, "{what}: {ours_told}");
    }
}
