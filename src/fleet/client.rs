//! The ssh client: OpenSSH's ssh, or dropbear's dbclient; and how each is told whom to reach.

use super::complaint::Complaint;
use super::host::{Address, Host};
use crate::sys::file::base;
use crate::sys::program::find;
use rustix::fs::readlink;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Whose command line it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ssh, or whatever takes its options.
    OpenSsh,
    /// dbclient: it neither limits the time for connecting nor knows BatchMode, so that is done here.
    Dropbear,
}

/// What is asked of every connection.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Over every user of the database.
    pub user: Option<String>,
    /// Seconds for connecting.
    pub timeout: u64,
    /// It may ask for passwords.
    pub interactive: bool,
}

/// A client that was found.
pub struct Client {
    /// Whose command line it has.
    pub kind: Kind,
    program: CString,
    options: Vec<Vec<u8>>,
    wishes: Wishes,
}

/// Options of ssh or dbclient that take a value.
const SSH_VALUES: &[u8] = b"BbcDEeFIiJKLlmOopQRSWw";

/// Those of scp.
pub const SCP_VALUES: &[u8] = b"cDFiJloPSX";

impl Client {
    /// DTOOLS_SSH, else ssh, else dbclient; SSHOPTS are options for it, cut at blanks.
    pub fn new(wishes: Wishes) -> Result<Client, Complaint> {
        let chosen = std::env::var_os("DTOOLS_SSH").filter(|name| !name.is_empty());
        let names = match &chosen {
            Some(name) => vec![name.as_bytes()],
            None => vec![&b"ssh"[..], b"dbclient"],
        };
        let found = names.iter().find_map(|name| find(name).ok());
        let Some(program) = found else {
            let name = String::from_utf8_lossy(names.first().copied().unwrap_or_default());
            return Err(Complaint::module(format!("cannot find required program {name}")));
        };
        let variable = std::env::var_os("SSHOPTS").unwrap_or_default();
        let options = options(&variable)?;
        Ok(Client { kind: kind_of(&program), program, options, wishes })
    }

    fn user<'a>(&'a self, host: &'a Host) -> Option<&'a str> {
        self.wishes.user.as_deref().or(host.user.as_deref())
    }

    /// What OpenSSH's programs have in common. The first of two settings counts, so the user's come
    /// before these.
    fn settings(&self, address: &Address, words: &mut Vec<Vec<u8>>) {
        if let Some(proxy) = &address.proxy {
            words.push(b"-J".to_vec());
            words.push(proxy.jump(self.wishes.user.as_deref()).into_bytes());
        }
        words.extend(self.options.iter().cloned());
        if !self.wishes.interactive {
            words.push(b"-oBatchMode=yes".to_vec());
            words.push(b"-oLogLevel=ERROR".to_vec());
        }
        words.push(b"-oStrictHostKeyChecking=accept-new".to_vec());
        if self.wishes.timeout > 0 {
            words.push(format!("-oConnectTimeout={}", self.wishes.timeout).into_bytes());
        }
    }

    /// The words that run `command` on a host.
    pub fn remote(&self, address: &Address, command: &[u8]) -> Vec<Vec<u8>> {
        let host = &address.host;
        let mut words = vec![self.program.as_bytes().to_vec()];
        if self.kind == Kind::Dropbear {
            words.push(b"-y".to_vec());
            words.extend(self.options.iter().cloned());
            if address.proxy.is_some() {
                words.push(self.dropbear_hops(address).into_bytes());
                words.push(command.to_vec());
                return words;
            }
        }
        if let Some(port) = host.port {
            words.push(b"-p".to_vec());
            words.push(port.to_string().into_bytes());
        }
        if let Some(user) = self.user(host) {
            words.push(b"-l".to_vec());
            words.push(user.as_bytes().to_vec());
        }
        if self.kind == Kind::Dropbear {
            words.push(host.name.clone().into_bytes());
            words.push(command.to_vec());
            return words;
        }
        self.settings(address, &mut words);
        words.push(b"--".to_vec());
        words.push(host.name.clone().into_bytes());
        words.push(command.to_vec());
        words
    }

    /// `[USER@]HOST[/PORT]`, the proxy's in front of it.
    fn dropbear_hops(&self, address: &Address) -> String {
        let one = |host: &Host| {
            let user = self.user(host).map(|user| format!("{user}@")).unwrap_or_default();
            let port = host.port.map(|port| format!("/{port}")).unwrap_or_default();
            format!("{user}{}{port}", host.name)
        };
        match &address.proxy {
            Some(proxy) => format!("{},{}", one(proxy), one(&address.host)),
            None => one(&address.host),
        }
    }

    /// The words of scp up to the files, and what stands in front of a remote file's name.
    pub fn copy(
        &self,
        scp: &CString,
        address: &Address,
        given: &[Vec<u8>],
    ) -> (Vec<Vec<u8>>, Vec<u8>) {
        let host = &address.host;
        let mut words = vec![scp.as_bytes().to_vec(), b"-q".to_vec()];
        words.extend(given.iter().cloned());
        if let Some(port) = host.port {
            words.push(b"-P".to_vec());
            words.push(port.to_string().into_bytes());
        }
        self.settings(address, &mut words);
        words.push(b"--".to_vec());
        let user = self.user(host).map(|user| format!("{user}@")).unwrap_or_default();
        (words, format!("{user}{}:", host.bracketed()).into_bytes())
    }
}

/// By the names of the file: OpenWrt's ssh is a link to dropbear.
fn kind_of(program: &CString) -> Kind {
    let mut path = program.as_bytes().to_vec();
    for _ in 0..8 {
        let name = base(&path);
        if [&b"dbclient"[..], b"dropbear", b"dropbearmulti"].contains(&name) {
            return Kind::Dropbear;
        }
        let Ok(target) = readlink(path.as_slice(), Vec::new()) else { break };
        path = target.into_bytes();
    }
    Kind::OpenSsh
}

/// Options for the client, with their values; anything else would be taken for the host.
fn options(text: &OsStr) -> Result<Vec<Vec<u8>>, Complaint> {
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let words = text.as_bytes().split(blank).filter(|word| !word.is_empty());
    let words = words.map(<[u8]>::to_vec).collect();
    let (options, files) = split_options(words, SSH_VALUES);
    match files.first() {
        None => Ok(options),
        Some(word) => {
            let word = String::from_utf8_lossy(word).into_owned();
            Err(Complaint::usage(format!("SSHOPTS: no option: {word}")))
        }
    }
}

/// Options, with the values of those that take some, wherever they stand; and the other words. `--`
/// ends the options.
pub fn split_options(words: Vec<Vec<u8>>, values: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut options, mut others) = (Vec::new(), Vec::new());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == b"--" {
            others.extend(words);
            break;
        }
        let Some(letters) = word.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
            others.push(word);
            continue;
        };
        let valued = letters.iter().position(|letter| values.contains(letter));
        let value_follows = valued.is_some_and(|at| at + 1 == letters.len());
        options.push(word);
        if value_follows {
            options.extend(words.next());
        }
    }
    (options, others)
}

/// A program that a command needs.
pub fn required(name: &str) -> Result<CString, Complaint> {
    find(name.as_bytes())
        .map_err(|_| Complaint::module(format!("cannot find required program {name}")))
}

/// The words as bytes.
pub fn bytes(words: &[OsString]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.clone().into_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: Vec<Vec<u8>>) -> String {
        let words: Vec<String> =
            words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect();
        words.join(" ")
    }

    fn client(kind: Kind, user: Option<&str>) -> Client {
        let wishes = Wishes { user: user.map(str::to_owned), timeout: 5, interactive: false };
        Client { kind, program: c"ssh".to_owned(), options: vec![b"-v".to_vec()], wishes }
    }

    #[test]
    fn each_client_is_told_in_its_own_words() {
        let address = Address::parse("root@db1:2222|deploy@web2:22").unwrap();
        assert_eq!(
            shown(client(Kind::OpenSsh, None).remote(&address, b"date")),
            "ssh -p 2222 -l root -J deploy@web2:22 -v -oBatchMode=yes -oLogLevel=ERROR \
             -oStrictHostKeyChecking=accept-new -oConnectTimeout=5 -- db1 date"
        );
        assert_eq!(
            shown(client(Kind::Dropbear, Some("me")).remote(&address, b"date")),
            "ssh -y -v me@web2/22,me@db1/2222 date"
        );
        assert_eq!(
            shown(client(Kind::Dropbear, None).remote(&Address::parse("u@a:7").unwrap(), b"x y")),
            "ssh -y -v -p 7 -l u a x y"
        );
        let (words, front) = client(Kind::OpenSsh, None).copy(
            &c"scp".to_owned(),
            &Address::parse("[::1]:22").unwrap(),
            &[b"-r".to_vec()],
        );
        assert!(shown(words).starts_with("scp -q -r -P 22 "));
        assert_eq!(front, b"[::1]:");
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for good in ["", "-p 2222", "-4 -oA=b -i key", "-vp22"] {
            assert!(options(OsStr::new(good)).is_ok(), "{good}");
        }
        for bad in ["-p 22 $(touch", "host", "-p 22 host", "-- x"] {
            assert!(options(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
