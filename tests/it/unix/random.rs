//! `nsssd-unix` on odd files made by a generator, against tests/support/naive.rs: all requests, in
//! one daemon that sees a new version of its files each round.
#![cfg(feature = "nsssd-unix")]

use crate::support::naive::Naive;
use crate::support::stage::{Stage, settle};
use crate::support::{Daemon, assert_answers, by_id, by_name, grouplist, op};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestRunner};
use std::cell::RefCell;

/// Repeatable numbers.
struct Dice(u64);

impl Dice {
    /// 0 to `n` - 1.
    fn below(&mut self, n: usize) -> usize {
        // A linear congruential generator; its low bits are poor.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }
}

const NAMES: [&[u8]; 16] = [
    b"a",
    b"b",
    b"bob",
    b"bo",
    b"bobby",
    b"ob",
    b"root",
    b"",
    b"x",
    b"1",
    b"42",
    b"+",
    b"#bob",
    b" bob",
    b"b\xc3\xb6b",
    b"a-name-of-more-than-thirty-two-bytes-in-all",
];

const IDS: [u32; 9] = [0, 1, 4, 42, 142, 1000, 65_534, 429_496_729, u32::MAX];

const NUMBERS: [&[u8]; 22] = [
    b"0",
    b"1",
    b"4",
    b"42",
    b"142",
    b"1000",
    b"65534",
    b"00",
    b"01",
    b"0000000000000000000000042",
    b"4294967295",
    b"4294967296",
    b"18446744073709551615",
    b"18446744073709551616",
    b"99999999999999999999999",
    b"",
    b"-1",
    b"+1",
    b" 1",
    b"1 ",
    b"0x1",
    b"1\r",
];

/// Pieces of which no good line is made, or one by chance.
const SOUP: [&[u8]; 18] = [
    b":",
    b":",
    b"::",
    b":::",
    b"::::::",
    b",",
    b",,",
    b"\0",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"bob",
    b"bob:",
    b"x",
    b"42",
    b"42:",
    b"bob:x:42:42:::",
    b"\xff\xfe",
];

/// Which file a line is for.
#[derive(Clone, Copy)]
enum File {
    Passwd,
    Group,
    Shadow,
}

/// Text of one field; now and then it is long.
fn text(dice: &mut Dice, large: bool) -> Vec<u8> {
    if large && dice.one_in(200) {
        let length = [4000, 4096, 9000, 32_700, 32_768, 33_000, 70_000][dice.below(7)];
        let word = dice.pick(&[b"z", b"bob ", b"42", b"long,long,"]);
        return word.iter().copied().cycle().take(length + dice.below(100)).collect();
    }
    let words = dice.below(4);
    (0..words)
        .flat_map(|_| dice.pick(&[b"some", b" ", b",", b"text", b"42", b"\r", b"bob"]))
        .copied()
        .collect()
}

fn members(dice: &mut Dice, large: bool) -> Vec<u8> {
    let many = if large && dice.one_in(150) { 9000 } else { 5 };
    let members: Vec<&[u8]> = (0..dice.below(many)).map(|_| dice.pick(&NAMES)).collect();
    members.join(&b","[..])
}

/// A line, with its LF most of the time.
fn line(dice: &mut Dice, file: File, large: bool) -> Vec<u8> {
    if dice.one_in(8) {
        return (0..dice.below(9)).flat_map(|_| dice.pick(&SOUP)).copied().collect();
    }
    let name = dice.pick(&NAMES).to_vec();
    let number = |dice: &mut Dice| match dice.below(3) {
        0 => dice.pick(&NUMBERS).to_vec(),
        _ => IDS[dice.below(IDS.len())].to_string().into_bytes(),
    };
    let mut fields = vec![name, dice.pick(&[b"x", b"", b"*", b"secret"]).to_vec()];
    match file {
        File::Passwd => {
            fields.extend([number(dice), number(dice)]);
            fields.extend((0..3).map(|_| text(dice, large)));
        }
        File::Group => fields.extend([number(dice), members(dice, large)]),
        File::Shadow => {
            fields[1].extend(text(dice, large));
            fields.extend((0..7).map(|_| match dice.below(2) {
                0 => Vec::new(),
                _ => number(dice),
            }));
        }
    }
    if dice.one_in(12) {
        fields.pop();
    }
    if dice.one_in(12) {
        fields.push(text(dice, large));
    }
    let mut line = fields.join(&b":"[..]);
    if dice.one_in(30) {
        let at = dice.below(line.len() + 1);
        line.insert(at, 0);
    }
    if !dice.one_in(60) {
        line.push(b'\n');
    }
    line
}

fn file(dice: &mut Dice, file: File, large: bool) -> Vec<u8> {
    let lines = if large { 100 + dice.below(900) } else { dice.below(12) };
    (0..lines).flat_map(|_| line(dice, file, large)).collect()
}

fn request(dice: &mut Dice) -> Vec<u8> {
    let opcodes = [
        op::PWD_END,
        op::PWD_REWIND,
        op::PWD_GET,
        op::PWD_GETBYNAME,
        op::PWD_GETBYUID,
        op::GRP_END,
        op::GRP_REWIND,
        op::GRP_GET,
        op::GRP_GETBYNAME,
        op::GRP_GETBYGID,
        op::GRP_GETLIST,
        op::SHADOW_END,
        op::SHADOW_REWIND,
        op::SHADOW_GET,
        op::SHADOW_GETBYNAME,
    ];
    match opcodes[dice.below(opcodes.len())] {
        opcode @ (op::PWD_GETBYNAME | op::GRP_GETBYNAME | op::SHADOW_GETBYNAME) => {
            by_name(opcode, dice.pick(&NAMES))
        }
        opcode @ (op::PWD_GETBYUID | op::GRP_GETBYGID) => by_id(opcode, IDS[dice.below(IDS.len())]),
        op::GRP_GETLIST => {
            let n = [0, 1, 2, 5, 1019, 5000, u64::MAX][dice.below(7)];
            grouplist(n, dice.pick(&NAMES))
        }
        // An END or a REWIND ends what is being enumerated: more often a step.
        opcode if dice.one_in(4) => vec![opcode],
        opcode => vec![opcode & 0o70 | op::PWD_GET & 0o7],
    }
}

/// Shows a daemon so many versions of its files, and asks so many things about each.
#[track_caller]
fn compare(
    start: impl Fn(&Stage) -> Daemon,
    seed: u64,
    rounds: usize,
    questions: usize,
    large: bool,
) {
    let mut dice = Dice(seed);
    let stage = Stage::new();
    let mut daemon = start(&stage);
    let (mut found, mut records) = (0, 0);
    for round in 0..rounds {
        let files =
            [File::Passwd, File::Group, File::Shadow].map(|which| file(&mut dice, which, large));
        for (name, content) in ["passwd", "group", "shadow"].iter().zip(&files) {
            // An edit and a replacement must come to the same.
            if dice.one_in(2) || round == 0 {
                stage.dir.replace(name, content);
            } else {
                stage.dir.write(name, content);
            }
        }
        if round % 25 == 0 {
            // What is found in this version may be remembered.
            for name in ["passwd", "group", "shadow"] {
                settle(&stage.dir.join(name));
            }
        }
        let mut naive = Naive::new(&files[0], &files[1], &files[2]);
        records += naive.sizes().iter().sum::<usize>();
        println!("seed {seed}, round {round}, records {:?}", naive.sizes());
        for end in [op::PWD_END, op::GRP_END, op::SHADOW_END] {
            assert_answers(&daemon, &[end], &[0]);
        }
        for _ in 0..questions {
            let request = request(&mut dice);
            let want = naive.answer(&request);
            found += usize::from(want.len() > 17);
            assert_answers(&daemon, &request, &want);
        }
    }
    // Or it would prove little.
    assert!(records > rounds, "{records} good lines in {rounds} rounds");
    assert!(found > rounds * questions / 10, "{found} answers in {rounds} rounds");
    assert_eq!(daemon.finish(), Some(0));
}

#[test]
fn small_odd_files_are_read_as_the_naive_reader_does() {
    compare(Stage::unix, 1, 300, 60, false);
}

#[test]
fn large_odd_files_are_read_as_the_naive_reader_does() {
    compare(Stage::unix, 2, 60, 60, true);
}

#[test]
#[cfg(feature = "nsssd-switch")]
fn a_switch_passes_on_what_is_in_odd_files() {
    for (seed, options) in [(4, &[][..]), (5, &["--spawn"])] {
        let start = |stage: &Stage| {
            stage.switch(options, &[(0, &["nsssd-unix", "-d", stage.dir.as_str()])])
        };
        compare(start, seed, 40, 60, false);
        compare(start, seed, 10, 60, true);
    }
}

#[test]
fn enumerations_of_odd_files_give_all_good_lines() {
    let mut dice = Dice(3);
    let stage = Stage::new();
    let daemon = stage.unix();
    for round in 0..60 {
        let large = round % 10 == 0;
        let files =
            [File::Passwd, File::Group, File::Shadow].map(|which| file(&mut dice, which, large));
        for (name, content) in ["passwd", "group", "shadow"].iter().zip(&files) {
            stage.dir.replace(name, content);
        }
        let mut naive = Naive::new(&files[0], &files[1], &files[2]);
        println!("round {round}, records {:?}", naive.sizes());
        let opcodes = [
            (op::PWD_GET, op::PWD_END),
            (op::GRP_GET, op::GRP_END),
            (op::SHADOW_GET, op::SHADOW_END),
        ];
        for ((get, end), size) in opcodes.into_iter().zip(naive.sizes()) {
            for _ in 0..size + 2 {
                assert_answers(&daemon, &[get], &naive.answer(&[get]));
            }
            assert_answers(&daemon, &[end], &naive.answer(&[end]));
        }
    }
}

/// A line of a file, mostly one with the right number of fields.
fn line_of(file: File) -> BoxedStrategy<Vec<u8>> {
    let of = |pieces: &'static [&'static [u8]]| select(pieces).prop_map(<[u8]>::to_vec);
    let number = || {
        let plain = select(&IDS[..]).prop_map(|id| id.to_string().into_bytes());
        prop_oneof![3 => plain, 1 => of(&NUMBERS)].boxed()
    };
    let name = || of(&NAMES).boxed();
    // Around what fits a piece of a reply.
    let long = (0..9usize).prop_map(|more| vec![b'z'; 4040 + 8 * more]);
    let text = || prop_oneof![12 => of(&NAMES), 1 => long.clone(), 1 => vec(any::<u8>(), 0..3)];
    let members = vec(name(), 0..4).prop_map(|names| names.join(&b","[..])).boxed();
    let empty = || prop_oneof![1 => Just(Vec::new()), 1 => number()].boxed();
    let good: Vec<BoxedStrategy<Vec<u8>>> = match file {
        File::Passwd => {
            let texts = [text().boxed(), text().boxed(), text().boxed()];
            [name(), name(), number(), number()].into_iter().chain(texts).collect()
        }
        File::Group => Vec::from([name(), name(), number(), members]),
        File::Shadow => {
            [name(), text().boxed()].into_iter().chain((0..7).map(|_| empty())).collect()
        }
    };
    let soup = vec(of(&SOUP), 0..9).prop_map(|pieces| pieces.concat());
    prop_oneof![5 => good.prop_map(|fields| fields.join(&b":"[..])), 1 => soup].boxed()
}

/// A whole file; its last line may lack its LF.
fn file_of(file: File) -> impl Strategy<Value = Vec<u8>> {
    (vec(line_of(file), 0..9), any::<bool>()).prop_map(|(lines, ended)| {
        [lines.join(&b"\n"[..]), vec![b'\n'; usize::from(ended)]].concat()
    })
}

/// Files and questions that, if they fail, shrink to the smallest that does.
#[test]
fn any_files_are_read_as_the_naive_reader_does() {
    let saved = FileFailurePersistence::Direct("tests/it/unix/failures.txt");
    let config = ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(5),
        failure_persistence: Some(Box::new(saved)),
        ..ProptestConfig::default()
    };
    let files = (file_of(File::Passwd), file_of(File::Group), file_of(File::Shadow));
    let cases = (files, vec(any::<u64>(), 1..30));
    let stage = Stage::new();
    let daemon = RefCell::new(None);
    let result = TestRunner::new(config).run(&cases, |((passwd, group, shadow), seeds)| {
        let mut naive = Naive::new(&passwd, &group, &shadow);
        for (name, content) in [("passwd", passwd), ("group", group), ("shadow", shadow)] {
            stage.dir.replace(name, content);
        }
        // One that failed is not asked again.
        let one = daemon.take().unwrap_or_else(|| stage.unix());
        for end in [op::PWD_END, op::GRP_END, op::SHADOW_END] {
            assert_answers(&one, &[end], &[0]);
        }
        for request in seeds.into_iter().map(|seed| request(&mut Dice(seed))) {
            assert_answers(&one, &request, &naive.answer(&request));
        }
        daemon.replace(Some(one));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
