//! Texts of configurations and lists: words, lines, and what a byte parts.

/// Words that blanks separate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words<'a>(pub &'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let blank = |b: &u8| matches!(b, b' ' | b'\t');
        let start = self.0.iter().position(|b| !blank(b))?;
        let text = self.0.get(start..)?;
        let end = text.iter().position(blank).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest;
        Some(word)
    }
}

/// What stands before the first `byte` of a text, and what behind it; `None` if it is not there.
pub fn cut(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|b| *b == byte) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// The lines of a text, without their LF. One with an LF at its end has no empty line behind it.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a>(pub &'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = cut(self.0, b'\n');
        self.0 = rest.unwrap_or_default();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_of_any_number_separate_words() {
        assert_eq!(Words(b" a\t b  ").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(Words(b" \t ").next(), None);
    }

    #[test]
    fn a_last_line_needs_no_newline_and_has_no_line_behind_it() {
        assert_eq!(Lines(b"a\n\nb").collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
        assert_eq!(Lines(b"a\n").collect::<Vec<_>>(), [b"a"]);
        assert_eq!(Lines(b"").next(), None);
    }

    #[test]
    fn a_text_is_cut_at_the_first_byte() {
        assert_eq!(cut(b"a:b:c", b':'), (&b"a"[..], Some(&b"b:c"[..])));
        assert_eq!(cut(b"a:", b':'), (&b"a"[..], Some(&b""[..])));
        assert_eq!(cut(b"a", b':'), (&b"a"[..], None));
    }
}
