//! Files of odd lines, the same in each run.

use nssproto::entry::Db;

/// Lines of one file, a good one in front.
const LINES: usize = 40;

/// In front of each file: what is found by every rule, and is none of the odd names and numbers.
pub const MARK: (&str, &str) = ("zz", "3999999999");

/// Repeatable numbers.
pub struct Dice(u64);

impl Dice {
    /// From this seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn below(&mut self, n: usize) -> usize {
        // A linear congruential generator; its low bits are poor.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// A file of one database.
pub struct File {
    pub db: Db,
    pub bytes: Vec<u8>,
}

impl File {
    /// Its lines.
    pub fn lines(&self) -> Vec<&[u8]> {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.split(|b| *b == b'\n').collect()
    }

    /// A file of odd lines.
    pub fn odd(db: Db, dice: &mut Dice) -> File {
        let mut bytes = good(db, MARK.0, MARK.1).into_bytes();
        for _ in 1..LINES {
            bytes.push(b'\n');
            let from = bytes.len();
            bytes.extend(line(db, dice));
            // Now and then among the bytes of a line that is hardly odd, too.
            while dice.one_in(6) {
                let at = from + dice.below(bytes.len() - from + 1);
                let bytes_of = ["\0", "\r", " ", "\t", ":", ",", "+", "#", "\u{e4}", "0", "\x0b"];
                let odd =
                    if dice.one_in(12) { &b"\xff"[..] } else { dice.pick(&bytes_of).as_bytes() };
                bytes.splice(at..at, odd.iter().copied());
            }
            // glibc garbles these: a few are enough.
            let blank = matches!(bytes.get(from), Some(b' ' | b'\t'..=b'\r'));
            if blank && !dice.one_in(20) {
                bytes[from..].iter_mut().filter(|b| **b == 0).for_each(|b| *b = b'0');
            }
        }
        if !dice.one_in(4) {
            bytes.push(b'\n');
        }
        File { db, bytes }
    }
}

/// A line as people write it.
pub fn good(db: Db, name: &str, number: &str) -> String {
    match db {
        Db::Passwd => format!("{name}:x:{number}:{number}:::"),
        Db::Group => format!("{name}:x:{number}:"),
        Db::Shadow => format!("{name}:*:1:2:3:4:5:6:"),
    }
}

const PLAIN: &[&str] = &["a", "b", "c", "dd", "e-f", "g.h", "ij", "kl", "m", "n", "o", "p", "q"];
const NAMES: &[&str] = &[
    "", "+", "-", "+a", "-b", "+@c", "#a", "A", "a b", "a ", "\u{e4}", "7", "+7", "a\r", "$", "~",
];
const SMALL: &[&str] = &["1", "2", "3", "5", "7", "10", "100", "1000", "65534", "0"];
const NUMBERS: &[&str] = &[
    "",
    " ",
    "007",
    "+5",
    "-5",
    "-0",
    " 5",
    "\t5",
    "5 ",
    "5\r",
    "0x5",
    "5x",
    "x",
    "--5",
    "+ 5",
    "5.0",
    "4294967295",
    "4294967294",
    "4294967296",
    "4294967301",
    "2147483648",
    "2147483647",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551621",
    "-18446744073709551611",
    "-18446744069414584321",
    "-4294967291",
    "-18446744073709551616",
    "00000000000000000000000000000005",
    "\x0b\x0c5",
];
const PASSWORDS: &[&str] =
    &["x", "x", "x", "*", "", "!", "!!", "!$6$a$b", "$6$a$b", "ab01", " x", "x "];
const TEXTS: &[&str] = &["", "g", "G, H", "/", "/h", " ", "\u{e4}\u{f6}", "s\r", "a,b", "#", "&"];

/// Mostly one of the plain ones.
fn one_of<'a>(dice: &mut Dice, plain: &[&'a str], odd: &[&'a str]) -> &'a str {
    let from = if dice.one_in(5) { odd } else { plain };
    dice.pick(from)
}

fn members(dice: &mut Dice) -> String {
    let mut list = String::new();
    for nth in 0..dice.below(5) {
        if nth > 0 {
            list.push_str(one_of(dice, &[","], &[",,", ", ", " ,", ",\t", ":", " "]));
        }
        list.push_str(one_of(dice, PLAIN, NAMES));
    }
    if dice.one_in(8) {
        list.push(',');
    }
    list
}

/// One line; its kind of oddness is left to chance, and some are good.
fn line(db: Db, dice: &mut Dice) -> Vec<u8> {
    if dice.one_in(12) {
        let whole =
            ["", " ", "\t\r", "\r", "#", "# a:x:1:1:::", "+", "-", "+::::::", "+:::", ":", "\0"];
        return dice.pick(&whole).as_bytes().to_vec();
    }
    let long = dice.one_in(150);
    let name =
        if long { "n".repeat(250 + dice.below(10)) } else { one_of(dice, PLAIN, NAMES).into() };
    let mut fields = vec![name, dice.pick(PASSWORDS).to_owned()];
    match db {
        Db::Passwd => {
            fields.extend([(); 2].map(|()| one_of(dice, SMALL, NUMBERS).to_owned()));
            fields.extend([(); 3].map(|()| dice.pick(TEXTS).to_owned()));
        }
        Db::Group => fields.extend([one_of(dice, SMALL, NUMBERS).to_owned(), members(dice)]),
        Db::Shadow => fields.extend([(); 7].map(|()| match dice.below(3) {
            0 => String::new(),
            _ => one_of(dice, SMALL, NUMBERS).to_owned(),
        })),
    }
    if dice.one_in(4) {
        fields.truncate(1 + dice.below(fields.len()));
    }
    if dice.one_in(8) {
        fields.push(dice.pick(&["", "more", "7", " "]).to_owned());
    }
    let mut text = fields.join(":");
    if dice.one_in(6) {
        text.insert_str(
            0,
            dice.pick(&[" ", "\t", "  ", "\r", "#", " #", "+", "-", " +", "\x0b", "\x0c "]),
        );
    }
    if dice.one_in(8) {
        text.push_str(dice.pick(&["\r", " ", "\0", "\0x", ":", ","]));
    }
    // One longer than any buffer that a reader may begin with.
    if dice.one_in(400) {
        text.push_str(&"y".repeat(1000 + dice.below(80_000)));
    }
    text.into_bytes()
}
