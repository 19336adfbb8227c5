//! The way to a server that answers, and knows who we are.

use super::connection::{Connection, Stream};
use super::settings::{Identity, Settings, Uri};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, Kind, os, shown};
use crate::directory::log::Log;
use crate::limits::LDAP_CONNECT_SECONDS;
use nssproto::ldap::{Controls, Credentials, Outcome, Request, Response, code};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connection to the first server that can be had.
pub fn connect(settings: &Settings, config: &MapConfig<'_>, log: &Log) -> Done<Connection> {
    let mut last = Failure::refused("ldap_uri names no server");
    for uri in &settings.uris {
        match try_one(uri, settings, config, log) {
            Ok(connection) => return Ok(connection),
            Err(failure) => {
                let told = format!("{}: {failure}", uri.shown());
                if failure.kind == Kind::Refused {
                    return Err(Failure::refused(told));
                }
                log.debug("ldap", &told);
                last = Failure::unavailable(told);
            }
        }
    }
    Err(last)
}

fn try_one(uri: &Uri, settings: &Settings, config: &MapConfig<'_>, log: &Log) -> Done<Connection> {
    let mut plain = matches!(uri, Uri::Host { .. });
    let stream = match uri {
        Uri::Socket(path) => {
            let unix = UnixStream::connect(os(path));
            Stream::Unix(unix.map_err(|error| Failure::unavailable(error.to_string()))?)
        }
        Uri::Host { host, port, .. } => Stream::Tcp(tcp(host, *port, settings.silence)?),
    };
    let stream = match (stream, uri) {
        (Stream::Tcp(tcp), Uri::Host { secure: true, host, .. }) => {
            plain = false;
            secured(tcp, host, config, log, settings)?
        }
        (stream, _) => stream,
    };
    let mut connection = Connection::new(stream, settings.silence)?;
    if let Uri::Host { secure: false, host, .. } = uri
        && settings.start_tls
    {
        connection = start_tls(connection, host, config, log, settings)?;
        plain = false;
    }
    bind(&mut connection, settings, plain && uri.is_far(), log)?;
    Ok(connection)
}

fn tcp(host: &str, port: u16, silence: Duration) -> Done<TcpStream> {
    let unknown = |error| Failure::unavailable(format!("{}: {error}", shown(host.as_bytes())));
    let mut last = Failure::unavailable(format!("{}: no address", shown(host.as_bytes())));
    let most = Duration::from_secs(LDAP_CONNECT_SECONDS).min(silence);
    for address in (host, port).to_socket_addrs().map_err(unknown)? {
        match TcpStream::connect_timeout(&address, most) {
            Ok(tcp) => {
                let _ = tcp.set_nodelay(true);
                // A server that is gone without a word is noticed by the kernel, not by us.
                let _ = rustix::net::sockopt::set_socket_keepalive(&tcp, true);
                let _ = rustix::net::sockopt::set_tcp_keepidle(&tcp, Duration::from_secs(60));
                let _ = rustix::net::sockopt::set_tcp_keepintvl(&tcp, Duration::from_secs(20));
                let _ = rustix::net::sockopt::set_tcp_keepcnt(&tcp, 3);
                return Ok(tcp);
            }
            Err(error) => last = Failure::unavailable(error.to_string()),
        }
    }
    Err(last)
}

#[cfg(feature = "tls")]
fn secured(
    tcp: TcpStream,
    host: &str,
    config: &MapConfig<'_>,
    log: &Log,
    settings: &Settings,
) -> Done<Stream> {
    // A handshake that hangs is a silent server.
    let unable = |error| Failure::unavailable(format!("unable to use a socket: {error}"));
    tcp.set_read_timeout(Some(settings.silence)).map_err(unable)?;
    tcp.set_write_timeout(Some(settings.silence)).map_err(unable)?;
    super::tls::over(tcp, host, config, log).map(|tls| Stream::Tls(Box::new(tls)))
}

#[cfg(not(feature = "tls"))]
fn secured(_: TcpStream, _: &str, _: &MapConfig<'_>, _: &Log, _: &Settings) -> Done<Stream> {
    Err(Failure::refused("this build has no ldaps (feature tls)"))
}

#[cfg(feature = "tls")]
fn start_tls(
    mut connection: Connection,
    host: &str,
    config: &MapConfig<'_>,
    log: &Log,
    settings: &Settings,
) -> Done<Connection> {
    let request = Request::Extended { name: nssproto::ldap::START_TLS, value: None };
    let id = connection.send(&request, Controls::NONE)?;
    let answer = connection.message()?;
    match answer.operation {
        Response::Extended { outcome, .. } if answer.id == id && outcome.code == code::SUCCESS => {}
        Response::Extended { outcome, .. } => {
            return Err(Failure::refused(format!("StartTLS is refused: {}", told(&outcome))));
        }
        _ => return Err(Failure::refused("StartTLS is answered by something else")),
    }
    match connection.into_stream()? {
        Stream::Tcp(tcp) => {
            Connection::new(secured(tcp, host, config, log, settings)?, settings.silence)
        }
        _ => Err(Failure::refused("StartTLS on something else than TCP")),
    }
}

#[cfg(not(feature = "tls"))]
fn start_tls(_: Connection, _: &str, _: &MapConfig<'_>, _: &Log, _: &Settings) -> Done<Connection> {
    Err(Failure::refused("this build has no StartTLS (feature tls)"))
}

fn bind(connection: &mut Connection, settings: &Settings, exposed: bool, log: &Log) -> Done {
    let (name, credentials) = match &settings.identity {
        // Version 3 has no need to say so.
        Identity::Anonymous => return Ok(()),
        Identity::Simple(dn, password) => {
            if exposed {
                log.warning("ldap", "the password goes over the network in plain text");
            }
            (dn.as_bytes(), Credentials::Simple(password.as_bytes()))
        }
        Identity::External(who) => (&b""[..], Credentials::Sasl(b"EXTERNAL", Some(who.as_bytes()))),
    };
    let id = connection.send(&Request::Bind { name, credentials }, Controls::NONE)?;
    let answer = connection.message()?;
    match answer.operation {
        Response::Bind(outcome, _) if answer.id == id && outcome.code == code::SUCCESS => Ok(()),
        Response::Bind(outcome, _) => Err(refusal("bind", &outcome)),
        Response::Extended { outcome, .. } => Err(refusal("connection", &outcome)),
        _ => Err(Failure::refused("a bind is answered by something else")),
    }
}

/// What a result says, for people.
pub fn told(outcome: &Outcome<'_>) -> String {
    let name = match outcome.code {
        code::TIME_LIMIT => "its time limit",
        code::SIZE_LIMIT => "its size limit",
        code::ADMIN_LIMIT => "an administrator's limit",
        code::REFERRAL => "another server is to be asked",
        code::UNAVAILABLE_EXTENSION => "it lacks an extension",
        code::NO_SUCH_OBJECT => "no such entry",
        code::INVALID_CREDENTIALS => "wrong name or password",
        code::BUSY => "busy",
        code::UNAVAILABLE => "unavailable",
        code::UNWILLING => "unwilling",
        50 => "no rights",
        _ => "",
    };
    let (number, message) = (outcome.code, shown(outcome.message));
    let colon = if message.is_empty() { "" } else { ": " };
    format!("{name} ({number}){colon}{message}").trim_start().to_owned()
}

/// A result that is none.
pub fn refusal(what: &str, outcome: &Outcome<'_>) -> Failure {
    let text = format!("{what} refused: {}", told(outcome));
    match outcome.code {
        code::BUSY | code::UNAVAILABLE => Failure::unavailable(text),
        _ => Failure::refused(text),
    }
}
