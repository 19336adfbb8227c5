//! The protocol of systemd's user database, the varlink interface `io.systemd.UserDatabase`: what
//! libnss_systemd and `userdbctl` ask, and what they take.
//!
//! A client connects to each socket below `/run/systemd/userdb`, whose name is the `service` that it
//! asks for, and calls one of three methods:
//!
//! | method | keys | reply |
//! |---|---|---|
//! | `GetUserRecord` | `userName`, `uid`; none: all | `record`, `incomplete` |
//! | `GetGroupRecord` | `groupName`, `gid`; none: all | `record`, `incomplete` |
//! | `GetMemberships` | `userName`, `groupName`; one or none: all | `userName`, `groupName` |
//!
//! The clients hold nothing against what they asked, so that what may be told is decided here:
//! [`is_name`], [`is_id`], and the paths that [`record`] mends.
//!
//! Source: systemd's USER_GROUP_API, USER_RECORD, USER_NAMES; observed with systemd 252, 257 and 262.
//!
//! ```
//! use nssproto::userdb::{Keys, Question};
//! use nssproto::varlink::Call;
//!
//! let call = b"{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\
//!     \"parameters\":{\"uid\":1000,\"service\":\"org.nssbox.Users\"}}\0";
//! let call = Call::decode(call).unwrap().value;
//! let question = Question::decode(&call, "org.nssbox.Users").unwrap();
//! assert_eq!(question, Question::User(Keys { name: None, id: Some(1000) }));
//! ```

pub mod keys;
mod path;
mod read;
pub mod record;

pub use read::{Told, User};

use crate::EncodeError;
use crate::json::{Members, Message, Text, Value};
use crate::varlink::{self, Call};

/// The interface of the user database.
pub const INTERFACE: &str = "io.systemd.UserDatabase";

/// The interface that every service has.
pub const SERVICE_INTERFACE: &str = "org.varlink.service";

/// What describes [`INTERFACE`], in varlink's language.
pub const DESCRIPTION: &str = include_str!("userdatabase.varlink");

/// What describes [`SERVICE_INTERFACE`].
pub const SERVICE_DESCRIPTION: &str = include_str!("service.varlink");

/// Whom a call asks for. None of them: for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys<'a> {
    /// By name. It may be one that nobody can have.
    pub name: Option<Text<'a>>,
    /// By number.
    pub id: Option<u32>,
}

/// What a call asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question<'a> {
    /// GetUserRecord
    User(Keys<'a>),
    /// GetGroupRecord
    Group(Keys<'a>),
    /// GetMemberships
    Memberships {
        /// Of this user.
        user: Option<Text<'a>>,
        /// In this group.
        group: Option<Text<'a>>,
    },
    /// GetInfo
    Info,
    /// GetInterfaceDescription, of an interface that there is.
    Description(&'static str),
}

/// Why a call has no record for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<'a> {
    /// The call is none that can be answered.
    Varlink(varlink::Error<'a>),
    /// The service has another name.
    BadService,
    /// There is none, or none that may be told.
    NoRecordFound,
    /// Both keys were given, and are not of the same record.
    ConflictingRecordFound,
    /// A source failed, and no other knows.
    ServiceNotAvailable,
}

impl<'a> From<varlink::Error<'a>> for Error<'a> {
    fn from(error: varlink::Error<'a>) -> Self {
        Error::Varlink(error)
    }
}

impl Error<'_> {
    /// Writes the reply, its NUL included: the number of bytes.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let name = match self {
            Error::Varlink(error) => return error.encode(out),
            Error::BadService => "BadService",
            Error::NoRecordFound => "NoRecordFound",
            Error::ConflictingRecordFound => "ConflictingRecordFound",
            Error::ServiceNotAvailable => "ServiceNotAvailable",
        };
        let mut message = Message::new(out);
        message.put(b"{\"error\":\"io.systemd.UserDatabase.").put(name.as_bytes());
        message.put(b"\",\"parameters\":{}}\0").finish()
    }
}

/// A parameter that a method takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parameter {
    Service,
    UserName,
    GroupName,
    Id,
    Interface,
}

impl Parameter {
    const COUNT: usize = Parameter::Interface as usize + 1;
}

/// The parameters of a call, each at most once.
#[derive(Default)]
struct Parameters<'a> {
    texts: [Option<Text<'a>>; Parameter::COUNT],
    id: Option<u32>,
}

impl<'a> Parameters<'a> {
    /// Those of `call`, which may be `known`, by their names.
    fn of(call: &Call<'a>, known: &[(&str, Parameter)]) -> Result<Self, varlink::Error<'a>> {
        let mut parameters = Parameters::default();
        // Its syntax was checked with the call's.
        let Some(Ok(members)) = call.parameters.map(Members::of) else { return Ok(parameters) };
        for (name, value) in members.flatten() {
            let invalid = varlink::Error::InvalidParameter(name);
            let Some((_, parameter)) = known.iter().find(|(known, _)| name.is(known)) else {
                return Err(invalid);
            };
            let twice = match (parameter, value) {
                (_, Value::Null) => false,
                (Parameter::Id, Value::Number(number)) => {
                    let id =
                        number.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or(invalid)?;
                    parameters.id.replace(id).is_some()
                }
                (Parameter::Id, _) => return Err(invalid),
                (_, Value::Text(text)) => match parameters.texts.get_mut(*parameter as usize) {
                    Some(place) => place.replace(text).is_some(),
                    None => return Err(invalid),
                },
                _ => return Err(invalid),
            };
            if twice {
                return Err(invalid);
            }
        }
        Ok(parameters)
    }

    fn text(&self, parameter: Parameter) -> Option<Text<'a>> {
        self.texts.get(parameter as usize).copied().flatten()
    }
}

impl Question<'_> {
    /// Writes the call that asks this of a service, its NUL included: the number of bytes. `more`:
    /// several replies are welcome.
    pub fn encode(&self, service: &str, more: bool, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (method, texts, id) = match *self {
            Question::User(keys) => {
                (".GetUserRecord", [("userName", keys.name), NO_TEXT], ("uid", keys.id))
            }
            Question::Group(keys) => {
                (".GetGroupRecord", [("groupName", keys.name), NO_TEXT], ("gid", keys.id))
            }
            Question::Memberships { user, group } => {
                (".GetMemberships", [("userName", user), ("groupName", group)], ("", None))
            }
            Question::Info | Question::Description(_) => {
                return Err(EncodeError::Unrepresentable("a question of another interface"));
            }
        };
        let mut message = Message::new(out);
        message.put(b"{\"method\":\"").put(INTERFACE.as_bytes()).put(method.as_bytes());
        message.put(b"\",\"parameters\":{");
        for (name, text) in texts {
            if let Some(text) = text {
                message.text(name.bytes()).put(b":").text(text.bytes()).put(b",");
            }
        }
        if let (name, Some(id)) = id {
            message.text(name.bytes()).put(b":").number(id.into()).put(b",");
        }
        message.put(b"\"service\":").text(service.bytes()).put(b"}");
        message.put(if more { b",\"more\":true" } else { b"" }).put(b"}\0").finish()
    }
}

const NO_TEXT: (&str, Option<Text<'static>>) = ("", None);

/// The methods that there are, and their parameters.
type Method = (&'static str, &'static str, &'static [(&'static str, Parameter)]);

const METHODS: &[Method] = &[
    (INTERFACE, ".GetUserRecord", &[USER, ("uid", Parameter::Id), SERVICE]),
    (INTERFACE, ".GetGroupRecord", &[GROUP, ("gid", Parameter::Id), SERVICE]),
    (INTERFACE, ".GetMemberships", &[USER, GROUP, SERVICE]),
    (SERVICE_INTERFACE, ".GetInfo", &[]),
    (SERVICE_INTERFACE, ".GetInterfaceDescription", &[("interface", Parameter::Interface)]),
];
const USER: (&str, Parameter) = ("userName", Parameter::UserName);
const GROUP: (&str, Parameter) = ("groupName", Parameter::GroupName);
const SERVICE: (&str, Parameter) = ("service", Parameter::Service);

/// The method of this name.
fn method(name: Text<'_>) -> Result<&'static Method, varlink::Error<'_>> {
    let mut interface_found = false;
    for method in METHODS {
        let (interface, own, _) = method;
        if name.bytes().eq(interface.bytes().chain(own.bytes())) {
            return Ok(method);
        }
        let mut bytes = name.bytes();
        interface_found |= interface.bytes().all(|byte| bytes.next() == Some(byte))
            && bytes.next() == Some(b'.')
            && !bytes.any(|byte| byte == b'.');
    }
    Err(match interface_found {
        true => varlink::Error::MethodNotFound(name),
        false => varlink::Error::InterfaceNotFound(name),
    })
}

impl<'a> Question<'a> {
    /// What `call` asks of a service of this name.
    pub fn decode(call: &Call<'a>, service: &str) -> Result<Self, Error<'a>> {
        let (interface, own, known) = method(call.method)?;
        let parameters = match *own {
            // Some clients send parameters, and nobody looks at them.
            ".GetInfo" => return Ok(Question::Info),
            _ => Parameters::of(call, known)?,
        };
        if *interface == SERVICE_INTERFACE {
            return described(parameters.text(Parameter::Interface));
        }
        if !parameters.text(Parameter::Service).is_some_and(|name| name.is(service)) {
            return Err(Error::BadService);
        }
        let user = parameters.text(Parameter::UserName);
        let group = parameters.text(Parameter::GroupName);
        let id = parameters.id;
        let (question, one) = match *own {
            ".GetUserRecord" => {
                (Question::User(Keys { name: user, id }), user.is_some() || id.is_some())
            }
            ".GetGroupRecord" => {
                (Question::Group(Keys { name: group, id }), group.is_some() || id.is_some())
            }
            _ => (Question::Memberships { user, group }, user.is_some() && group.is_some()),
        };
        if !one && !call.more {
            return Err(varlink::Error::ExpectedMore.into());
        }
        Ok(question)
    }
}

fn described(interface: Option<Text<'_>>) -> Result<Question<'_>, Error<'_>> {
    let Some(name) = interface else {
        return Err(varlink::Error::InvalidParameter(Text::plain("interface")).into());
    };
    for (interface, description) in
        [(INTERFACE, DESCRIPTION), (SERVICE_INTERFACE, SERVICE_DESCRIPTION)]
    {
        if name.is(interface) {
            return Ok(Question::Description(description));
        }
    }
    Err(varlink::Error::NoSuchInterface(name).into())
}

/// Writes the reply to [`Question::Description`]: the number of bytes; [`record::end`] follows.
pub fn encode_description(description: &str, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut message = Message::new(out);
    message.put(b"{\"parameters\":{\"description\":").text(description.bytes());
    message.put(b"}").finish()
}

/// Writes the reply to [`Question::Info`], of a program and its version: the number of bytes;
/// [`record::end`] follows.
pub fn encode_info(
    vendor: &str,
    product: &str,
    version: &str,
    out: &mut [u8],
) -> Result<usize, EncodeError> {
    let mut message = Message::new(out);
    message.put(b"{\"parameters\":{\"vendor\":").text(vendor.bytes());
    message.put(b",\"product\":").text(product.bytes());
    message.put(b",\"version\":").text(version.bytes());
    message.put(b",\"url\":\"\",\"interfaces\":[").text(INTERFACE.bytes());
    message.put(b",").text(SERVICE_INTERFACE.bytes()).put(b"]}").finish()
}

/// The longest name that is told: what the sources can be asked for.
const NAME_MAX: usize = 254;

/// Whether a user or group of this name may be told. The clients refuse a record with another name, and
/// all that follow it: names that are empty, numbers, paths, with blanks around them, colons or
/// control characters, or no UTF-8. root and nobody are theirs to know.
pub fn is_name(name: &[u8]) -> bool {
    let digits = name.strip_prefix(b"-").unwrap_or(name);
    let Ok(text) = core::str::from_utf8(name) else { return false };
    !(digits.iter().all(u8::is_ascii_digit)
        || name.len() > NAME_MAX
        || name.starts_with(b" ")
        || name.ends_with(b" ")
        || matches!(name, b"." | b".." | b"root" | b"nobody")
        || text.contains(|c: char| matches!(c, ':' | '/') || c.is_ascii_control())
        || !text.chars().all(crate::json::is_character))
}

/// Whether it is a name that may be told, of letters, digits, `_`, `-` and `.`, as most are.
fn is_plain_name(name: &[u8]) -> bool {
    let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.len() <= NAME_MAX
        && name.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && name.iter().all(is_usual)
        && !matches!(name, b"root" | b"nobody")
}

/// Whether a user or group of this number may be told: not root's, not those of nobody, and none that
/// stands for "no number" in 16 or 32 bits.
pub fn is_id(id: u32) -> bool {
    id != 0 && id != 65534 && is_primary_gid(id)
}

/// Whether this may be told as a user's primary group, which may be root's.
pub fn is_primary_gid(gid: u32) -> bool {
    gid != 65535 && gid != u32::MAX
}
