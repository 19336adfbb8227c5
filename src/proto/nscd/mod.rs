//! The nscd protocol, version 2: what unmodified glibc and musl programs ask at
//! /var/run/nscd/socket, one request a connection. All integers are 32 bits in the machine's
//! own byte order, without padding.
//!
//! | request | bytes |
//! |---|---|
//! | version | 4, the number 2 |
//! | type | 4 |
//! | key_len | 4, the NUL included |
//! | key | key_len |
//!
//! | reply | bytes after version 2 and found |
//! |---|---|
//! | passwd | name_len, passwd_len, uid, gid, gecos_len, dir_len, shell_len, then five strings |
//! | group | name_len, passwd_len, gid, mem_cnt, then mem_cnt lengths, two strings, the members |
//! | initgroups | ngrps, then so many gids |
//!
//! Every length counts a NUL, so that none is 0. Source: glibc's nscd-client.h, musl's
//! nscd_query.c, and what both programs were seen to send and to accept.
//!
//! ```
//! use nssproto::entry::Db;
//! use nssproto::line;
//! use nssproto::nscd::{self, Password, REQUEST_MAX, Reply, ReplyKind, Request};
//!
//! // What a C library sends.
//! let request = Request::PasswdByName(b"ada");
//! let mut wire = [0; REQUEST_MAX];
//! let len = request.encode(&mut wire)?;
//!
//! // What a server makes of it and answers. Who asks may not know the hash.
//! assert_eq!(Request::decode(&wire[..len])?.value, request);
//! let record = line::parse(Db::Passwd, b"ada:$6$salt$hash:1001:1000:Ada:/home/ada:/bin/sh")?;
//! let mut reply = [0; 128];
//! let len = nscd::encode(&record, Password::Star, &mut reply)?;
//!
//! // What the C library makes of that.
//! let decoded = Reply::decode(ReplyKind::Passwd, &reply[..len])?;
//! let shown = line::parse(Db::Passwd, b"ada:*:1001:1000:Ada:/home/ada:/bin/sh")?;
//! assert_eq!(decoded.value, Reply::Found(shown));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod map;
mod reply;
mod request;
pub mod stream;

pub use reply::{
    Gids, Password, Reply, ReplyKind, encode, encode_initgroups, encode_invalidated,
    encode_not_found, encode_unserved,
};
pub use request::{DATABASES, KEY_MAX, REQUEST_MAX, Request};

/// Where both C libraries ask; it cannot be changed there.
pub const SOCKET: &str = "/var/run/nscd/socket";

const VERSION: u32 = 2;
