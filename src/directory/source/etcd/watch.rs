//! A watch of etcd: an answer that does not end, a line of JSON for each thing that it tells.

use super::changes::Event;
use super::kv::{Pair, Refusal, member, refusal};
use crate::directory::failure::{Done, Failure};
use crate::directory::lines::Lines;
use crate::directory::source::client::Prepared;
use crate::directory::source::json::object_of;
use crate::directory::source::wait::Teller;
use nssproto::json::{Elements, Members, Value};

/// What it tells.
pub enum Told {
    /// Changes, and the revision up to which all were told.
    Events {
        /// That revision.
        revision: u64,
        /// In their order.
        events: Vec<Event>,
    },
    /// What it was to begin with is not kept any more.
    Compacted,
    /// Its time is over: it may begin anew from where it was.
    Renew,
    /// The token is not taken.
    Denied(Failure),
    /// It ended otherwise.
    Failed(Failure),
}

/// Asks, and tells what comes, until it ends or nobody listens.
pub fn run(ready: Prepared, prefix: &[u8], teller: &Teller<Told>) {
    let ended = match follow(ready, prefix, teller) {
        Ok(told) => told,
        Err(failure) if failure.text.contains("timeout") => Told::Renew,
        Err(failure) => Told::Failed(failure),
    };
    teller.tell(ended);
}

fn follow(ready: Prepared, prefix: &[u8], teller: &Teller<Told>) -> Done<Told> {
    let answer = match refusal(ready.ask()?)? {
        Ok(answer) => answer,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    let mut lines = Lines::new(answer.into_body().into_reader());
    while let Some(line) = lines.next_line()? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match told(line, prefix)? {
            Told::Events { revision, events } => {
                if !teller.tell(Told::Events { revision, events }) {
                    break;
                }
            }
            other => return Ok(other),
        }
    }
    Err(Failure::unavailable("etcd ended the watch"))
}

fn refused(refusal: &Refusal) -> Told {
    let failure = refusal.failure();
    if refusal.is_of_token() { Told::Denied(failure) } else { Told::Failed(failure) }
}

/// What a line tells.
fn told(line: &[u8], prefix: &[u8]) -> Done<Told> {
    let broken = || Failure::unavailable("a watch that is not etcd's");
    let Ok(Value::Object(object)) = object_of(line) else { return Err(broken()) };
    let (name, value) = Members::of(object)
        .ok()
        .and_then(|members| {
            members.flatten().find(|(name, _)| name.is("result") || name.is("error"))
        })
        .ok_or_else(broken)?;
    let Value::Object(result) = value else { return Err(broken()) };
    if name.is("error") {
        return Ok(refused(&Refusal::of(value)));
    }
    let members = Members::of(result).map_err(|_| broken())?;
    let (mut revision, mut events, mut canceled, mut compacted) = (0, Vec::new(), false, 0);
    let mut reason = String::new();
    for one in members {
        let (name, value) = one.map_err(|_| broken())?;
        match value {
            Value::Object(header) if name.is("header") => {
                revision = member(header, "revision").unwrap_or_default();
            }
            Value::Bool(value) if name.is("canceled") => canceled = value,
            Value::Text(text) if name.is("cancel_reason") => {
                reason = String::from_utf8_lossy(&text.bytes().collect::<Vec<u8>>()).into_owned();
            }
            value if name.is("compact_revision") => {
                compacted = super::super::json::stream::number(value).unwrap_or_default();
            }
            Value::Array(array) if name.is("events") => {
                for event in Elements::of(array).map_err(|_| broken())? {
                    events.push(
                        event.ok().and_then(|event| one_event(event, prefix)).ok_or_else(broken)?,
                    );
                }
            }
            _ => {}
        }
    }
    Ok(match canceled {
        true if compacted > 0 => Told::Compacted,
        true => refused(&Refusal::text(&reason)),
        false => {
            // One that was only just made stands before what it will tell of the past.
            let revision = events
                .last()
                .map_or(0, |event: &Event| event.modified)
                .max(if events.is_empty() && !is_created(result) { revision } else { 0 });
            Told::Events { revision, events }
        }
    })
}

fn is_created(result: &[u8]) -> bool {
    Members::of(result).is_ok_and(|members| {
        members.flatten().any(|(name, value)| name.is("created") && value == Value::Bool(true))
    })
}

fn one_event(event: Value<'_>, prefix: &[u8]) -> Option<Event> {
    let Value::Object(event) = event else { return None };
    let (mut deleted, mut pair) = (false, None);
    for member in Members::of(event).ok()? {
        let (name, value) = member.ok()?;
        match value {
            Value::Text(text) if name.is("type") => deleted = text.is("DELETE"),
            Value::Number(number) if name.is("type") => deleted = number.as_u64() == Some(1),
            value if name.is("kv") => pair = Some(Pair::of(value).ok()?),
            _ => {}
        }
    }
    let mut event = pair?.event(prefix);
    if deleted {
        event.value = None;
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Told {
        told(line.as_bytes(), b"/n/passwd/").unwrap()
    }

    #[test]
    fn lines_tell_of_changes() {
        let line = r#"{"result":{"header":{"revision":"9"},"events":[{"kv":{"key":"L24vcGFzc3dkL2E=",
            "create_revision":"7","mod_revision":"7","version":"1","value":"eA=="}},
            {"type":"DELETE","kv":{"key":"L24vcGFzc3dkL2I=","mod_revision":"8"}}]}}"#;
        let Told::Events { revision, events } = of(line) else { panic!() };
        assert_eq!(revision, 8);
        assert_eq!((&*events[0].name, events[0].value.as_deref()), (&b"a"[..], Some(&b"x"[..])));
        assert_eq!((&*events[1].name, events[1].value.as_deref()), (&b"b"[..], None));
    }

    #[test]
    fn lines_tell_of_progress_and_ends() {
        let header = r#""header":{"cluster_id":"1","revision":"9"}"#;
        let made = of(&format!(r#"{{"result":{{{header},"created":true}}}}"#));
        assert!(matches!(made, Told::Events { revision: 0, .. }));
        let on = of(&format!(r#"{{"result":{{{header}}}}}"#));
        assert!(matches!(on, Told::Events { revision: 9, .. }));
        let line = format!(r#"{{"result":{{{header},"canceled":true,"compact_revision":"8"}}}}"#);
        assert!(matches!(of(&line), Told::Compacted));
        let line = r#"{"error":{"grpc_code":16,"http_code":401,"message":"etcdserver: invalid auth token"}}"#;
        assert!(matches!(of(line), Told::Denied(_)));
        // As it comes when a token is not taken any more.
        let reason = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
        let line =
            format!(r#"{{"result":{{{header},"canceled":true,"cancel_reason":"{reason}"}}}}"#);
        assert!(matches!(of(&line), Told::Denied(_)));
        let line = r#"{"result":{"canceled":true,"cancel_reason":"etcdserver: no leader"}}"#;
        let Told::Failed(failure) = of(line) else { panic!() };
        assert_eq!(failure.text, "etcdserver: no leader");
        assert!(told(b"<html>", b"").is_err());
    }
}
