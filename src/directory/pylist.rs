//! Python's notation of a list of strings, `['a', "b's"]`, in which nsscache writes a user's keys.

/// Adds the list to `out`, each string as repr() has it: in single quotes, or in double ones if there
/// is a single and no double one inside. Bytes that are no UTF-8 are kept.
pub fn write<'a>(items: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        let quote = if item.contains(&b'\'') && !item.contains(&b'"') { b'"' } else { b'\'' };
        out.push(quote);
        for byte in item {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 | 0x7f => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                _ if *byte == quote => out.extend_from_slice(&[b'\\', quote]),
                _ => out.push(*byte),
            }
        }
        out.push(quote);
    }
    out.push(b']');
}

/// The strings of such a list; `None`: it is none.
pub fn parse(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = text.strip_prefix(b"[")?;
    let mut items = Vec::new();
    if rest == b"]" {
        return Some(items);
    }
    loop {
        let (quote, behind) = rest.split_first()?;
        if !matches!(quote, b'\'' | b'"') {
            return None;
        }
        let (item, behind) = string(behind, *quote)?;
        items.push(item);
        if behind == b"]" {
            return Some(items);
        }
        rest = behind.strip_prefix(b", ")?;
    }
}

/// What stands up to the quote, and what is behind that.
fn string(text: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut item = Vec::new();
    let mut rest = text;
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match byte {
            byte if *byte == quote => return Some((item, rest)),
            b'\\' => {
                let (escaped, behind) = rest.split_first()?;
                rest = behind;
                item.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'\\' | b'\'' | b'"' => *escaped,
                    b'x' => {
                        let (digits, behind) = rest.split_at_checked(2)?;
                        rest = behind;
                        u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
                    }
                    _ => return None,
                });
            }
            _ => item.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(items: &[&str]) -> String {
        let mut out = Vec::new();
        write(items.iter().map(|item| item.as_bytes()), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_quoted_as_python_quotes_them() {
        for (items, text) in [
            (&["k1", "k2"][..], "['k1', 'k2']"),
            (&["it's"], "[\"it's\"]"),
            (&["a\"b"], "['a\"b']"),
            (&["a\"b'c"], "['a\"b\\'c']"),
            (&["a\\b"], "['a\\\\b']"),
            (&["a\nb\x01"], "['a\\nb\\x01']"),
            (&[], "[]"),
        ] {
            assert_eq!(written(items), text);
            let want: Vec<Vec<u8>> = items.iter().map(|item| item.as_bytes().to_vec()).collect();
            assert_eq!(parse(text.as_bytes()), Some(want));
        }
    }

    #[test]
    fn what_is_no_list_is_none() {
        for text in ["", "k", "[", "['a'", "['a',]", "['a' 'b']", "['a'] ", "[a]", "['\\q']"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
