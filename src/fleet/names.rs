//! Many names in a word: `web[01-12]`, `web{1,3}`, `n{08..11}`, `a,b`; and many names folded into one.

use super::complaint::Complaint;

/// More hosts than this are a slip of the keyboard.
const MOST: usize = 100_000;

/// All names that a word with commas, braces and ranges stands for, in order.
pub fn expand(word: &str) -> Result<Vec<String>, Complaint> {
    let mut names = Vec::new();
    for piece in split_outside(word, ',').into_iter().filter(|piece| !piece.is_empty()) {
        for name in braces(piece)? {
            names.append(&mut ranges(&name)?);
            bounded(names.len())?;
        }
    }
    Ok(names)
}

/// Splits where `at` stands outside of braces and brackets.
pub fn split_outside(text: &str, at: char) -> Vec<&str> {
    let (mut pieces, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (here, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ if c == at && depth == 0 => {
                pieces.push(text.get(begin..here).unwrap_or_default());
                begin = here + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(text.get(begin..).unwrap_or_default());
    pieces
}

fn bounded(len: usize) -> Result<(), Complaint> {
    match len <= MOST {
        true => Ok(()),
        false => Err(Complaint::usage(format!("more than {MOST} hosts in one word"))),
    }
}

/// What stands in front of the first such pair, in it and behind it.
fn pair(text: &str, open: char, close: char) -> Option<(&str, &str, &str)> {
    let begin = text.find(open)?;
    let (front, rest) = text.split_at(begin);
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((front, rest.get(1..at)?, rest.get(at + 1..)?));
            }
        }
    }
    None
}

/// Brace expansion, as bash has it.
fn braces(text: &str) -> Result<Vec<String>, Complaint> {
    let Some((front, inside, behind)) = pair(text, '{', '}') else {
        return Ok(vec![text.to_owned()]);
    };
    let parts = split_outside(inside, ',');
    let mut middle = Vec::new();
    if parts.len() > 1 {
        for part in parts {
            middle.append(&mut braces(part)?);
        }
    } else if let Some(sequence) = sequence(inside)? {
        middle = sequence;
    } else {
        // No list: the braces are characters.
        middle.extend(braces(inside)?.into_iter().map(|inside| format!("{{{inside}}}")));
    }
    let ends = braces(behind)?;
    bounded(middle.len().saturating_mul(ends.len()))?;
    let mut all = Vec::new();
    for middle in &middle {
        all.extend(ends.iter().map(|end| format!("{front}{middle}{end}")));
    }
    Ok(all)
}

/// `1..9`, `08..11`, `a..e`, each perhaps with a step behind.
fn sequence(text: &str) -> Result<Option<Vec<String>>, Complaint> {
    let words: Vec<&str> = text.split("..").collect();
    let (from, to, step) = match words.as_slice() {
        [from, to] => (*from, *to, 1),
        [from, to, step] => match step.parse::<u32>() {
            Ok(step) if step > 0 => (*from, *to, step as usize),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let letter = |word: &str| match word.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(*byte),
        _ => None,
    };
    if let (Some(from), Some(to)) = (letter(from), letter(to)) {
        let letters = (from.min(to)..=from.max(to)).map(|byte| char::from(byte).to_string());
        let mut letters: Vec<String> = letters.collect();
        if from > to {
            letters.reverse();
        }
        return Ok(Some(letters.into_iter().step_by(step).collect()));
    }
    numbers(from, to, step)
}

/// The numbers from one to another; with a zero in front of either all have as many digits.
fn numbers(from: &str, to: &str, step: usize) -> Result<Option<Vec<String>>, Complaint> {
    let number = |word: &str| match word.bytes().all(|b| b.is_ascii_digit()) {
        true => word.parse::<u32>().ok(),
        false => None,
    };
    let (Some(first), Some(last)) = (number(from), number(to)) else { return Ok(None) };
    bounded(first.abs_diff(last) as usize)?;
    let padded = |word: &str| word.len() > 1 && word.starts_with('0');
    let width = if padded(from) || padded(to) { from.len().max(to.len()) } else { 0 };
    let mut all: Vec<u32> = (first.min(last)..=first.max(last)).collect();
    if first > last {
        all.reverse();
    }
    Ok(Some(all.into_iter().step_by(step).map(|n| format!("{n:0width$}")).collect()))
}

/// The ranges in brackets. Brackets with a colon are an address of IPv6.
fn ranges(text: &str) -> Result<Vec<String>, Complaint> {
    let Some((front, inside, behind)) = pair(text, '[', ']') else {
        return Ok(vec![text.to_owned()]);
    };
    let ends = ranges(behind)?;
    let mut middle = Vec::new();
    if inside.contains(':') {
        middle.push(format!("[{inside}]"));
    } else {
        for part in inside.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let some = numbers(from, to, 1)?.filter(|_| !from.is_empty() && !to.is_empty());
            let Some(mut some) = some else {
                return Err(Complaint::usage(format!("no range of numbers: [{inside}]")));
            };
            middle.append(&mut some);
            bounded(middle.len())?;
        }
    }
    bounded(middle.len().saturating_mul(ends.len()))?;
    let mut all = Vec::new();
    for middle in &middle {
        all.extend(ends.iter().map(|end| format!("{front}{middle}{end}")));
    }
    Ok(all)
}

/// A name, cut at the number that tells it from its neighbours.
struct Cut<'a> {
    front: &'a str,
    digits: &'a str,
    behind: &'a str,
}

impl<'a> Cut<'a> {
    /// That is the last number of the first label, or, of an address, the last of all.
    fn of(name: &'a str) -> Cut<'a> {
        let end = name.find([':', '|']).unwrap_or(name.len());
        let begin = name.find('@').map_or(0, |at| at + 1).min(end);
        let host = name.get(begin..end).unwrap_or_default();
        let is_address = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let label = if is_address { host.len() } else { host.find('.').unwrap_or(host.len()) };
        let label = host.get(..label).unwrap_or_default();
        let upto = label.rfind(|c: char| c.is_ascii_digit()).map_or(0, |at| at + 1);
        let head = label.get(..upto).unwrap_or_default();
        let from = head.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
        let (from, upto) = (begin + from, begin + upto);
        Cut {
            front: name.get(..from).unwrap_or_default(),
            digits: name.get(from..upto).unwrap_or_default(),
            behind: name.get(upto..).unwrap_or_default(),
        }
    }

    fn number(&self) -> u64 {
        self.digits.parse().unwrap_or(u64::MAX)
    }

    /// Whether it comes behind `before` in one range.
    fn follows(&self, before: &Cut<'_>) -> bool {
        let padded = |cut: &Cut<'_>| cut.digits.len() > 1 && cut.digits.starts_with('0');
        let alike = self.digits.len() == before.digits.len() || !(padded(self) || padded(before));
        alike && before.number().checked_add(1) == Some(self.number())
    }
}

/// Names in one word: `db1,web[1-3,07]`.
pub fn fold(names: &[String]) -> String {
    let mut cuts: Vec<Cut<'_>> = names.iter().map(|name| Cut::of(name)).collect();
    cuts.sort_by(|a, b| {
        let key = |cut: &Cut<'_>| (cut.number(), cut.digits.len());
        (a.front, a.behind).cmp(&(b.front, b.behind)).then(key(a).cmp(&key(b)))
    });
    let mut words: Vec<String> = Vec::new();
    for family in cuts.chunk_by(|a, b| (a.front, a.behind) == (b.front, b.behind)) {
        // The first and the last of each range. 08 and 8 may be hosts of their own.
        let mut runs: Vec<(&Cut<'_>, &Cut<'_>)> = Vec::new();
        for cut in family {
            if runs.iter().any(|(_, last)| last.digits == cut.digits) {
                continue;
            }
            let goes_on = |(_, last): &(&Cut<'_>, &Cut<'_>)| cut.follows(last);
            let alike =
                |run: &(&Cut<'_>, &Cut<'_>)| goes_on(run) && run.1.digits.len() == cut.digits.len();
            let place = runs.iter().position(alike).or_else(|| runs.iter().position(goes_on));
            match place.and_then(|place| runs.get_mut(place)) {
                Some((_, last)) => *last = cut,
                None => runs.push((cut, cut)),
            }
        }
        let range = |(first, last): &(&Cut<'_>, &Cut<'_>)| match first.digits == last.digits {
            true => first.digits.to_owned(),
            false => format!("{}-{}", first.digits, last.digits),
        };
        let ranges: Vec<String> = runs.iter().map(range).collect();
        let Some(Cut { front, behind, .. }) = family.first() else { continue };
        match (ranges.as_slice(), runs.as_slice()) {
            ([only], [(first, last)]) if first.digits == last.digits => {
                words.push(format!("{front}{only}{behind}"))
            }
            _ => words.push(format!("{front}[{}]{behind}", ranges.join(","))),
        }
    }
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_expand_as_bash_and_pdsh_have_it() {
        for (word, wanted) in [
            ("a,b", "a b"),
            ("web{1,2,9}.example", "web1.example web2.example web9.example"),
            ("n{08..11}", "n08 n09 n10 n11"),
            ("{a..c}{1..2}", "a1 a2 b1 b2 c1 c2"),
            ("n{1..7..3}", "n1 n4 n7"),
            ("n{3..1}", "n3 n2 n1"),
            ("{a,b{1,2}},c", "a b1 b2 c"),
            ("web[08-11]", "web08 web09 web10 web11"),
            ("web[1-2,9],db1", "web1 web2 web9 db1"),
            ("r[1-2]n[1-2]", "r1n1 r1n2 r2n1 r2n2"),
            ("[::1]", "[::1]"),
            ("{a}", "{a}"),
            ("a{b", "a{b"),
            ("", ""),
        ] {
            assert_eq!(expand(word).unwrap().join(" "), wanted, "{word}");
        }
    }

    #[test]
    fn what_would_never_end_is_refused() {
        for word in
            ["n[1-4000000000]", "{1..99999999}", "{1..999}{1..999}", "[0-9999][0-9999]", "a[x]"]
        {
            assert!(expand(word).is_err(), "{word}");
        }
    }

    #[test]
    fn names_fold_and_unfold() {
        let fold =
            |words: &str| fold(&words.split(' ').map(str::to_owned).collect::<Vec<String>>());
        assert_eq!(fold("web3 web1 db1 web2"), "db1,web[1-3]");
        assert_eq!(fold("web1 web2 web7"), "web[1-2,7]");
        assert_eq!(fold("n08 n09 n10 n8 n9"), "n[8-9,08-10]");
        assert_eq!(fold("web1.example web2.example"), "web[1-2].example");
        assert_eq!(fold("10.0.0.1 10.0.0.2"), "10.0.0.[1-2]");
        assert_eq!(fold("a"), "a");
        assert_eq!(fold("root@web1:22 root@web2:22"), "root@web[1-2]:22");
        for words in ["web1 web2 web7", "n08 n09 n10", "db1 x"] {
            // Names without a number come first.
            let mut again = expand(&fold(words)).unwrap();
            again.sort();
            let mut words: Vec<&str> = words.split(' ').collect();
            words.sort();
            assert_eq!(again, words);
        }
    }
}
