//! Home directories and shells, which the clients refuse unless they are absolute and plain: with `//`,
//! with `.` or `..` for a component, with a colon or a control character they take another path
//! instead, and a shell that lets nobody in becomes one that does.

use core::str::from_utf8;

/// The longest path, and the longest component of one, in bytes.
const PATH_MAX: usize = 4096;
const COMPONENT_MAX: usize = 255;

/// What is told of a path that cannot be told as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Home,
    Shell,
}

/// Whether a path can be told, found from its pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Check {
    len: usize,
    /// Bytes of the component so far, and whether they are dots.
    component: usize,
    dots: bool,
    /// Components that are left when it is mended.
    components: usize,
    bad: bool,
    /// It is told in another way than it stands.
    mends: bool,
    /// The front of a character.
    held: [u8; 4],
    holds: usize,
}

/// Whether a path is told as it stands, as most are: short, of usual letters, nothing to be left out.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    path.len() <= COMPONENT_MAX
        && path.first() == Some(&b'/')
        && path.iter().all(|byte| {
            let behind_slash = core::mem::replace(&mut before, *byte) == b'/';
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'_' | b'-')
                || matches!(byte, b'/' | b'.') && !behind_slash
        })
        && before != b'/'
}

/// What is told of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The path as it stands.
    Plain,
    /// The path, mended.
    Mended,
    /// This in its place.
    Instead(&'static str),
}

impl Check {
    /// Takes the next bytes.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some((byte, behind)) = rest.split_first() {
            // Most of a path needs no look of its own.
            let is_other = |byte: &u8| !byte.is_ascii_alphanumeric();
            let plain = rest.iter().position(is_other).unwrap_or(rest.len());
            if plain > 0 && self.len > 0 && self.holds == 0 {
                (self.len, self.component) = (self.len + plain, self.component + plain);
                self.dots = false;
                rest = rest.get(plain..).unwrap_or_default();
            } else {
                self.push(*byte);
                rest = behind;
            }
        }
    }

    fn push(&mut self, byte: u8) {
        self.bad |= self.len == 0 && byte != b'/';
        self.bad |= byte == b':' || byte.is_ascii_control();
        self.len += 1;
        if byte == b'/' {
            self.mends |= self.component == 0 && self.len > 1;
            self.end_component();
        } else {
            self.dots = byte == b'.' && (self.component == 0 || self.dots);
            self.component += 1;
        }
        self.character(byte);
    }

    fn end_component(&mut self) {
        self.bad |= self.component > COMPONENT_MAX || (self.dots && self.component == 2);
        let left = self.component > 0 && !(self.dots && self.component == 1);
        self.components += usize::from(left);
        self.mends |= self.dots && self.component == 1;
        (self.component, self.dots) = (0, false);
    }

    /// It has to be UTF-8, of characters that Unicode has a use for.
    fn character(&mut self, byte: u8) {
        if self.holds == 0 && byte < 0x80 {
            return;
        }
        let Some(place) = self.held.get_mut(self.holds) else {
            self.bad = true;
            return;
        };
        *place = byte;
        self.holds += 1;
        match from_utf8(self.held.get(..self.holds).unwrap_or_default()) {
            Ok(text) => {
                self.bad |= !text.chars().all(crate::json::is_character);
                self.holds = 0;
            }
            Err(error) => self.bad |= error.error_len().is_some(),
        }
    }

    /// The path ends: what is told of it.
    pub fn finish(mut self, kind: Kind) -> Told {
        self.mends |= self.component == 0;
        self.end_component();
        let bad = self.bad || self.holds > 0 || self.len > PATH_MAX;
        match kind {
            Kind::Home if bad || self.len == 0 => Told::Instead("/"),
            Kind::Shell if self.len == 0 => Told::Instead("/bin/sh"),
            Kind::Shell if bad || self.components == 0 => Told::Instead("/usr/sbin/nologin"),
            _ if self.mends => Told::Mended,
            _ => Told::Plain,
        }
    }
}

/// Mends a path that [`Check`] found good, byte by byte: `//` and `/./` become `/`, and a `/` or `/.` at
/// its end is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mender {
    /// A slash was not written yet.
    slash: bool,
    /// Nor was a dot behind it.
    dot: bool,
    any: bool,
}

impl Mender {
    /// Takes one byte; what is written for it: at most three bytes.
    pub fn push(&mut self, byte: u8) -> Mended {
        let mut mended = Mended::default();
        match byte {
            b'/' => (self.slash, self.dot) = (true, false),
            b'.' if self.slash && !self.dot => self.dot = true,
            _ => {
                if self.slash {
                    mended.push(b'/');
                }
                if self.dot {
                    mended.push(b'.');
                }
                mended.push(byte);
                *self = Mender { any: true, ..Mender::default() };
            }
        }
        mended
    }

    /// The path ends; what is written for that.
    pub fn finish(self) -> Mended {
        let mut mended = Mended::default();
        if !self.any {
            mended.push(b'/');
        }
        mended
    }
}

/// Up to three bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mended {
    bytes: [u8; 3],
    len: usize,
}

impl Mended {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a path.
    fn told<'a>(path: &[u8], kind: Kind, room: &'a mut [u8; 512]) -> &'a [u8] {
        let mut check = Check::default();
        check.feed(path);
        let mut len = 0;
        let mut add = |bytes: &[u8]| {
            room[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        };
        match check.finish(kind) {
            Told::Instead(path) => add(path.as_bytes()),
            Told::Plain => add(path),
            Told::Mended => {
                let mut mender = Mender::default();
                path.iter().for_each(|byte| add(mender.push(*byte).bytes()));
                add(mender.finish().bytes());
            }
        }
        &room[..len]
    }

    fn assert_told(path: &str, kind: Kind, want: &str) {
        let mut room = [0; 512];
        assert_eq!(told(path.as_bytes(), kind, &mut room), want.as_bytes(), "{path:?}");
        // What needs no closer look is told as it stands.
        assert!(!is_plain(path.as_bytes()) || path == want, "{path:?}");
    }

    #[test]
    fn a_path_is_plain_if_nothing_of_it_is_left_out() {
        for (path, plain) in [
            ("/", false),
            ("/a", true),
            ("/a/.b/..c/d.", true),
            ("//a", false),
            ("/a//b", false),
            ("/./a", false),
            ("/a/", false),
            ("/a/.", false),
        ] {
            let mut check = Check::default();
            check.feed(path.as_bytes());
            let told = if plain { Told::Plain } else { Told::Mended };
            assert_eq!(check.finish(Kind::Home), told, "{path:?}");
        }
    }

    #[test]
    fn most_paths_need_no_closer_look() {
        for path in ["/home/ada", "/a", "/srv/x_1-2/b.c", "/bin/sh", "/usr/sbin/nologin"] {
            assert!(is_plain(path.as_bytes()), "{path}");
        }
        for path in ["", "/", "a", "/a/", "/.", "/..", "/a//b", "/a/./b", "/a:", "/a\u{7f}", "/ü"]
        {
            assert!(!is_plain(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn homes_are_mended_or_replaced() {
        for (home, want) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/..", "/"),
            ("relative", "/"),
            ("/home/a", "/home/a"),
            ("/home//a/./b/.", "/home/a/b"),
            ("/home/a/", "/home/a"),
            ("/h/./", "/h"),
            ("/home/.hidden", "/home/.hidden"),
            ("/home/...", "/home/..."),
            ("/home/..a/b", "/home/..a/b"),
            ("/a/../b", "/"),
            ("/a:b", "/"),
            ("/a\u{7f}", "/"),
            ("/a\tb", "/"),
            ("/Größe", "/Größe"),
            ("/a\u{fffe}", "/"),
            ("/a.b/c.", "/a.b/c."),
            ("/a/..", "/"),
            ("/a/.b", "/a/.b"),
            ("/a b", "/a b"),
            ("/a\"b\\c", "/a\"b\\c"),
        ] {
            assert_told(home, Kind::Home, want);
        }
    }

    #[test]
    fn paths_have_a_longest_component_and_a_length() {
        let mut room = [0; 512];
        let mut long = [b'c'; COMPONENT_MAX + 2];
        long[0] = b'/';
        assert_eq!(told(&long[..=COMPONENT_MAX], Kind::Home, &mut room), &long[..=COMPONENT_MAX]);
        assert_eq!(told(&long, Kind::Home, &mut room), b"/");
        let mut deep = [b'c'; PATH_MAX + 2];
        deep.iter_mut().step_by(2).for_each(|byte| *byte = b'/');
        let verdict = |path: &[u8]| {
            let mut check = Check::default();
            check.feed(path);
            check.finish(Kind::Home)
        };
        assert_eq!(verdict(&deep[..PATH_MAX]), Told::Plain);
        assert_eq!(verdict(&deep), Told::Instead("/"));
    }

    #[test]
    fn shells_are_mended_or_let_nobody_in() {
        const NONE: &str = "/usr/sbin/nologin";
        for (shell, want) in [
            ("", "/bin/sh"),
            ("/bin//dash", "/bin/dash"),
            ("/bin/sh/", "/bin/sh"),
            ("/bin/sh/.", "/bin/sh"),
            ("/", NONE),
            ("/.", NONE),
            ("bash", NONE),
            ("/bin/../sh", NONE),
            ("/bin/s\u{1}h", NONE),
        ] {
            assert_told(shell, Kind::Shell, want);
        }
    }

    #[test]
    fn a_path_that_is_no_utf_8_cannot_be_told() {
        for path in [&b"/a\xff"[..], b"/a\xc3", b"/\xe2\x82/", b"/\xed\xa0\x80"] {
            let mut check = Check::default();
            check.feed(path);
            assert_eq!(check.finish(Kind::Home), Told::Instead("/"), "{path:?}");
        }
    }
}
