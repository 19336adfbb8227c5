//! Expressions over words: POSIX basic ones (`exp:`) and globs (tags), both as regex-lite takes them.

use super::complaint::Complaint;
use regex_lite::Regex;

fn made(pattern: &str, of: &str) -> Result<Regex, Complaint> {
    Regex::new(pattern).map_err(|why| Complaint::usage(format!("bad expression {of}: {why}")))
}

/// A basic expression that matches from a word's start, as `expr WORD : RE` has it.
pub struct Basic(Regex);

impl Basic {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Basic, Complaint> {
        let pattern = format!("^(?:{})", basic(text)?);
        Ok(Basic(made(&pattern, text)?))
    }

    /// Whether it matches at the start of `word`, and not nothing.
    pub fn matches(&self, word: &str) -> bool {
        self.0.find(word).is_some_and(|found| !found.is_empty())
    }
}

/// A glob over a whole word: `*`, `?`, `[a-z]`, `[!a]`, and a backslash in front of what stands for
/// itself.
pub struct Glob(Regex);

impl Glob {
    /// Reads one. A bracket that is not closed stands for itself.
    pub fn parse(text: &str) -> Result<Glob, Complaint> {
        let mut pattern = String::from("^(?s:");
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (_, behind) = rest.split_at(c.len_utf8());
            rest = behind;
            match c {
                '*' => pattern.push_str(".*"),
                '?' => pattern.push('.'),
                '\\' => {
                    let next = rest.chars().next().unwrap_or('\\');
                    literal(next, &mut pattern);
                    rest = rest.get(next.len_utf8()..).unwrap_or_default();
                }
                '[' => match bracket(rest) {
                    Some((class, behind)) => {
                        pattern.push_str(&class);
                        rest = behind;
                    }
                    None => literal('[', &mut pattern),
                },
                _ => literal(c, &mut pattern),
            }
        }
        pattern.push_str(")$");
        Ok(Glob(made(&pattern, text)?))
    }

    /// Whether it matches all of `word`.
    pub fn matches(&self, word: &str) -> bool {
        self.0.is_match(word)
    }
}

/// A character that stands for itself.
fn literal(c: char, out: &mut String) {
    out.push_str(&regex_lite::escape(c.encode_utf8(&mut [0; 4])));
}

/// The class behind a `[`, for regex-lite, and what follows it. `None`: it is not closed.
fn bracket(text: &str) -> Option<(String, &str)> {
    let mut class = String::from("[");
    let mut rest = text;
    if let Some(behind) = rest.strip_prefix(['^', '!']) {
        class.push('^');
        rest = behind;
    }
    let mut first = true;
    loop {
        let c = rest.chars().next()?;
        let (_, behind) = rest.split_at(c.len_utf8());
        match c {
            ']' if !first => {
                class.push(']');
                return Some((class, behind));
            }
            '[' if behind.starts_with(':') => {
                let (name, after) = behind.get(1..)?.split_once(":]")?;
                class.push_str(&format!("[:{name}:]"));
                rest = after;
                first = false;
                continue;
            }
            // Between two characters it makes a range; elsewhere it is one.
            '-' if !first && !behind.starts_with(']') => class.push('-'),
            _ => literal(c, &mut class),
        }
        rest = behind;
        first = false;
    }
}

/// A basic expression in regex-lite's words.
fn basic(text: &str) -> Result<String, Complaint> {
    let wrong = |what: &str| Err(Complaint::usage(format!("bad expression {text}: {what}")));
    let mut out = String::new();
    let mut rest = text;
    // Where a star or a caret is what it is elsewhere.
    let mut begins = true;
    while let Some(c) = rest.chars().next() {
        let (_, behind) = rest.split_at(c.len_utf8());
        rest = behind;
        let was_begin = std::mem::replace(&mut begins, false);
        match c {
            '\\' => {
                let Some(next) = rest.chars().next() else {
                    return wrong("a backslash at its end");
                };
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
                match next {
                    '(' | '|' => {
                        out.push(next);
                        begins = true;
                    }
                    ')' => out.push(')'),
                    '{' => {
                        let Some((times, behind)) = rest.split_once("\\}") else {
                            return wrong("\\{ without \\}");
                        };
                        if times.is_empty()
                            || !times.bytes().all(|b| b.is_ascii_digit() || b == b',')
                        {
                            return wrong("no number in \\{ \\}");
                        }
                        out.push_str(&format!("{{{times}}}"));
                        rest = behind;
                    }
                    '+' | '?' if !was_begin => out.push(next),
                    'w' | 'W' | 's' | 'S' | 'b' | 'B' => out.extend(['\\', next]),
                    _ if next.is_ascii_alphanumeric() => {
                        return wrong("an escape that is not known");
                    }
                    _ => literal(next, &mut out),
                }
            }
            '*' if !was_begin => out.push('*'),
            '.' => out.push('.'),
            '^' if was_begin => {
                out.push('^');
                begins = true;
            }
            '$' if rest.is_empty() || rest.starts_with("\\)") || rest.starts_with("\\|") => {
                out.push('$');
            }
            '[' => match bracket(rest) {
                Some((class, behind)) => {
                    out.push_str(&class);
                    rest = behind;
                }
                None => return wrong("a bracket that is not closed"),
            },
            _ => literal(c, &mut out),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_expressions_are_those_of_expr() {
        for (expression, word, wanted) in [
            ("web", "web1", true),
            ("eb1", "web1", false),
            (".*b1", "web1", true),
            (".*1$", "web12", false),
            ("web[12]", "web2", true),
            ("we+b", "web1", false),
            ("we\\+b", "web1", true),
            ("web1?", "web1", false),
            ("web1\\|db", "db7", true),
            ("we\\{1\\}b1", "web1", true),
            ("\\(web\\)[12]", "web2", true),
            ("x*", "web1", false),
            ("", "web1", false),
            ("*a", "*a", true),
            ("web[[:digit:]]", "web1", true),
            ("[]a]", "]", true),
            ("[^w]", "web", false),
            ("a{2}", "a{2}", true),
            ("a.b", "axb", true),
            ("a\\.b", "axb", false),
        ] {
            let basic = Basic::parse(expression).unwrap();
            assert_eq!(basic.matches(word), wanted, "{expression} {word}");
        }
        for bad in ["a\\", "[a", "a\\{1", "a\\{x\\}", "\\(a", "a\\1"] {
            assert!(Basic::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn globs_are_those_of_a_shell() {
        for (glob, word, wanted) in [
            ("web", "web", true),
            ("web", "webweb", false),
            ("w*", "web", true),
            ("[dw]*", "db", true),
            ("[!d]*", "db", false),
            ("d?", "db", true),
            ("a.b", "axb", false),
            ("$(touch x)", "$(touch x)", true),
            ("[a", "[a", true),
            ("web\\*", "webx", false),
            ("[a-c]1", "b1", true),
            ("[a&&b]", "&", true),
        ] {
            assert_eq!(Glob::parse(glob).unwrap().matches(word), wanted, "{glob} {word}");
        }
    }
}
