//! The script of the switch, against the grammar of doc/protocols/nsss.md, section 7.

use super::number;
use nssbox::backend::script;
use nssbox::sys::error::Exit;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

type Blocks = Vec<(u8, Vec<Vec<u8>>)>;

/// The words, each closed by NUL.
pub fn switch_script(data: &[u8]) {
    let mut words: Vec<&[u8]> = data.split(|b| *b == 0).collect();
    // Behind the last NUL there is no word.
    words.pop_if(|last| last.is_empty());
    let given: Vec<OsString> = words.iter().map(|w| OsString::from_vec(w.to_vec())).collect();
    match (script::parse(&given), naive(&words)) {
        (Ok(blocks), Some(want)) => {
            let bytes = |w: &OsString| w.as_bytes().to_vec();
            let got: Blocks =
                blocks.iter().map(|b| (b.bits, b.command.iter().map(bytes).collect())).collect();
            assert_eq!(got, want, "{words:?}");
        }
        (Err(error), None) => assert_eq!(error.exit, Exit::USAGE),
        (Ok(_), None) => panic!("{words:?} was taken"),
        (Err(error), Some(_)) => panic!("{words:?} was refused: {error:?}"),
    }
}

/// `None`: a usage error.
fn naive(words: &[&[u8]]) -> Option<Blocks> {
    let mut blocks = Blocks::new();
    let mut at = 0;
    while at < words.len() {
        let bits = number(words[at], u64::from(u32::MAX))?;
        let end = (at + 1..words.len()).find(|end| words[*end].is_empty())?;
        let block = &words[at + 1..end];
        if block.is_empty() {
            return None;
        }
        let word = |w: &&[u8]| if w.starts_with(b" ") { w[1..].to_vec() } else { w.to_vec() };
        blocks.push(((bits % 8) as u8, block.iter().map(word).collect()));
        at = end + 1;
    }
    (1..=8).contains(&blocks.len()).then_some(blocks)
}
