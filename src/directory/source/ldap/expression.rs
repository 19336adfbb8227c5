//! Regular expressions of nsscache.conf, as Python's nsscache uses them.

#[cfg(feature = "regex")]
use regex_lite::Regex;

/// An expression.
pub struct Expression {
    #[cfg(feature = "regex")]
    regex: Regex,
}

#[cfg(feature = "regex")]
impl Expression {
    /// The error says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = Regex::new(text).map_err(|error| error.to_string())?;
        // The whole is the first.
        match regex.captures_len() {
            1 | 2 => Ok(Expression { regex }),
            _ => Err("an expression of more than one group".to_owned()),
        }
    }

    /// All matches, or the text of the group in each, one behind the other. What is no UTF-8 has none.
    pub fn joined(&self, text: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(text) else { return Vec::new() };
        let group = self.regex.captures_len() - 1;
        let found = self.regex.captures_iter(text);
        let texts = found.filter_map(|found| found.get(group).map(|found| found.as_str()));
        texts.collect::<String>().into_bytes()
    }

    /// If it matches at the start, each match replaced by `by`.
    pub fn replaced(&self, text: &[u8], by: &str) -> Vec<u8> {
        let Ok(known) = std::str::from_utf8(text) else { return text.to_vec() };
        match self.regex.find(known) {
            Some(found) if found.start() == 0 => {
                self.regex.replace_all(known, by).into_owned().into_bytes()
            }
            _ => text.to_vec(),
        }
    }
}

#[cfg(not(feature = "regex"))]
impl Expression {
    /// There are none.
    pub fn new(_: &str) -> Result<Self, String> {
        Err("this build has no expressions (feature regex)".to_owned())
    }

    /// As it is.
    pub fn joined(&self, text: &[u8]) -> Vec<u8> {
        text.to_vec()
    }

    /// As it is.
    pub fn replaced(&self, text: &[u8], _: &str) -> Vec<u8> {
        text.to_vec()
    }
}
