//! The source `s3`: a map is an object of JSON in a bucket of S3, or of what speaks its protocol.

use super::client::{Answer, Client, Headers, body, front, refused};
use super::http::{conditions, is_conditional, validators};
use super::json::stream::{Aside, elements, number};
use super::json::{Field, Many, Paths, object_of, text_at};
use super::records::fields_of;
use super::sigv4::{Keys, Scope, sign};
use super::url::{Url, encoded};
use super::{Fetched, Object, Since, Source, retries};
use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::fields::Fields;
use crate::directory::ini::Ini;
use crate::directory::intake::Entries;
use crate::directory::log::Log;
use crate::directory::maps::Map;
use crate::directory::secret;
use crate::directory::stamp::{iso, now, parse_http};
use crate::limits::DIRECTORY_CONFIG;
use crate::sys::file::read_all;
use nssproto::json::{Members, Value};
use std::os::fd::AsFd as _;
use ureq::http::StatusCode;

/// How a map is fetched.
pub struct S3<'a> {
    config: &'a MapConfig<'a>,
    retries: (u32, u32),
    client: Client<'a>,
    region: String,
}

impl<'a> S3<'a> {
    /// What the configuration says.
    pub fn new(config: &'a MapConfig<'a>, log: &'a Log) -> Done<Self> {
        if fields_of(config.map).is_none() {
            let map = config.map.name();
            return Err(config.wrong("source", &format!("s3 has no fields for {map}")));
        }
        let region = config.text("s3_region")?;
        let region = region.or_else(|| variable("AWS_REGION"));
        let region = region.or_else(|| variable("AWS_DEFAULT_REGION"));
        Ok(S3 {
            config,
            retries: retries(config, "s3")?,
            client: Client::new(config, "s3", log)?,
            region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        })
    }

    fn url(&self) -> Done<Url> {
        let bucket = self.config.required("s3_bucket")?;
        let object = self.config.required(&format!("s3_{}_object", self.config.map.name()))?;
        let endpoint = self.config.text("s3_endpoint_url")?;
        let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL_S3"));
        let endpoint = endpoint.or_else(|| variable("AWS_ENDPOINT_URL"));
        object_url(endpoint.as_deref(), &bucket, &self.region, &object)
    }

    fn ask(&mut self, head: bool, since: &Since) -> Done<Answer> {
        let (url, keys) = (self.url()?, keys()?);
        let method = if head { "HEAD" } else { "GET" };
        let scope = Scope { region: &self.region, service: "s3", time: now() };
        let mut headers: Headers = sign(method, &url, &[], &keys, &scope);
        headers.extend(conditions(since));
        // A signature is none: it is good for this object, and for a quarter of an hour.
        self.client.get(&url, head, headers, false)
    }
}

/// The URL of an object: under the host of its bucket, or, at an endpoint of its own and for a name that
/// no certificate covers, under the bucket's path.
fn object_url(endpoint: Option<&str>, bucket: &str, region: &str, object: &str) -> Done<Url> {
    let object = object.trim_start_matches('/');
    match endpoint {
        Some(endpoint) => Ok(Url::parse(endpoint)?.under(&format!("{bucket}/{object}"))),
        None if bucket.contains('.') => {
            let host = format!("https://s3.{region}.amazonaws.com");
            Ok(Url::parse(&host)?.under(&format!("{bucket}/{object}")))
        }
        None => {
            let host = format!("https://{}.s3.{region}.amazonaws.com", encoded(bucket));
            Ok(Url::parse(&host)?.under(object))
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Who we are: from the environment, or else from ~/.aws/credentials.
fn keys() -> Done<Keys> {
    if let (Some(id), Some(secret)) =
        (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
    {
        return Ok(Keys { id, secret, token: variable("AWS_SESSION_TOKEN") });
    }
    let path = variable("AWS_SHARED_CREDENTIALS_FILE");
    let path = path.or_else(|| Some(format!("{}/.aws/credentials", variable("HOME")?)));
    let none = || {
        Failure::refused(
            "no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and no ~/.aws/credentials \
             (the role of an instance is not asked)",
        )
    };
    let path = path.ok_or_else(none)?;
    let (file, stat) = secret::open(path.as_bytes()).map_err(|_| none())?;
    if let Some(fault) = secret::fault(path.as_bytes(), &stat) {
        return Err(Failure::refused(fault));
    }
    let text = read_all(file.as_fd(), DIRECTORY_CONFIG)
        .map_err(|errno| Failure::system("read", path.as_bytes(), errno))?;
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    of_profile(&text, &profile)
        .map_err(|what| Failure::refused(format!("{}: {what}", shown(path.as_bytes()))))
}

/// The keys of a profile in a file of credentials.
fn of_profile(text: &[u8], profile: &str) -> Result<Keys, String> {
    let ini = Ini::parse(text).map_err(|fault| fault.to_string())?;
    let key = |name: &str| ini.key(profile, name).map(|key| key.value.clone());
    match (key("aws_access_key_id"), key("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Keys { id, secret, token: key("aws_session_token") }),
        _ => Err(format!("no aws_access_key_id and aws_secret_access_key in [{profile}]")),
    }
}

/// Why there is no object: what S3 says of it.
pub fn failure(answer: Answer, bucket_key: &str) -> Failure {
    let status = answer.status();
    let region = super::client::text_of(answer.headers(), "x-amz-bucket-region");
    let of_status = refused(status, answer.headers());
    let says = front(answer);
    let part = |name: &str| element(&says, name);
    let (code, message) = (part("Code"), part("Message"));
    let code = code.as_deref().unwrap_or_default();
    let told = match message {
        _ if code == "RequestTimeTooSkewed" => {
            let theirs = part("ServerTime");
            let theirs = theirs.map_or(String::new(), |time| format!(", there {time}"));
            let ours = iso(now());
            // It is asked again: clocks are set, some time after the start.
            return Failure::unavailable(format!(
                "{code}: the clock is wrong, or the server's: here it is {ours}{theirs}"
            ));
        }
        Some(message) if !code.is_empty() => format!("{}: {code}: {message}", of_status.text),
        _ if !code.is_empty() => format!("{}: {code}", of_status.text),
        _ => of_status.text.clone(),
    };
    let told = match region {
        Some(region) if status.is_redirection() || status == StatusCode::BAD_REQUEST => {
            let region = shown(region.as_bytes());
            format!("{told} (the bucket is in {region}: {bucket_key})")
        }
        _ => told,
    };
    match status {
        // Rights do not come by asking again.
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Failure::refused(told),
        _ => of_status.reworded(told),
    }
}

/// The text of an element of XML that has nothing in it but text.
fn element(xml: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(xml);
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once('<')?;
    Some(shown(inside.as_bytes()))
}

/// Where an object has the fields of an entry.
fn paths(map: Map) -> Paths {
    let mut fields = vec![Field::at(&["Key"])];
    for (name, default) in fields_of(map).unwrap_or_default() {
        let field = Field::at(&[&format!("Value/{name}")]);
        let field = match default {
            Some(default) => field.or_of_name(*default),
            None => field,
        };
        fields.push(match *name {
            "members" => field.many(Many::Lines),
            "sshPublicKey" => field.many(Many::Array),
            _ => field,
        });
    }
    let mut paths = Paths::of(map, "", fields);
    paths.lenient = true;
    paths
}

/// Whether an element is passed over: without a key, or without a value.
fn is_empty(element: &[u8]) -> bool {
    let Ok(object) = object_of(element) else { return false };
    let Value::Object(raw) = object else { return false };
    let Ok(key) = text_at(object, &["Key".to_owned()]) else { return false };
    let value = Members::of(raw).ok().and_then(|members| {
        members.flatten().find(|(name, _)| name.is("Value")).map(|(_, value)| value)
    });
    let has_value = match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Object(raw)) => {
            Members::of(raw).is_ok_and(|mut members| members.next().is_some())
        }
        Some(Value::Text(text)) => text.bytes().next().is_some(),
        Some(value) => number(value) != Some(0),
    };
    key.is_none_or(|key| key.is_empty()) || !has_value
}

impl Source for S3<'_> {
    fn origin(&self, _: Object<'_>) -> Done<String> {
        Ok(self.url()?.bare())
    }

    fn fetch(&mut self, _: Object<'_>, since: &Since, into: &mut dyn Entries) -> Done<Fetched> {
        let answer = self.ask(false, since)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if is_conditional(since) => return Ok(Fetched::Unchanged),
            _ => return Err(failure(answer, "s3_region")),
        }
        let validators = validators(&answer);
        let modified = validators.modified.as_deref().and_then(parse_http);
        let broken = |failure| self.client.broken(failure);
        let mut body = body(answer).map_err(broken)?;
        let (paths, mut fields) = (paths(self.config.map), Fields::default());
        elements(&mut body, &[], &mut Aside::default(), &mut |element, number| {
            if is_empty(element) {
                return Ok(());
            }
            paths.hand(element, number, None, &mut fields, into)
        })
        .map_err(broken)?;
        Ok(Fetched::Whole { modified, validators, bytes: body.received() })
    }

    fn probe(&mut self, _: Object<'_>) -> Done {
        let answer = self.ask(true, &Since::default())?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            _ => Err(failure(answer, "s3_region")),
        }
    }

    fn retries(&self) -> (u32, u32) {
        self.retries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_lie_under_their_bucket() {
        let url = |endpoint, bucket| object_url(endpoint, bucket, "eu-west-1", "/a/b c").unwrap();
        assert_eq!(url(None, "b").bare(), "https://b.s3.eu-west-1.amazonaws.com/a/b%20c");
        assert_eq!(url(None, "b.c").bare(), "https://s3.eu-west-1.amazonaws.com/b.c/a/b%20c");
        assert_eq!(url(Some("http://h:9000/"), "b").bare(), "http://h:9000/b/a/b%20c");
    }

    #[test]
    fn keys_stand_in_profiles() {
        let text = b"[default]\naws_access_key_id = A\naws_secret_access_key = b%c/+=\n\
            [other]\naws_access_key_id=C\naws_secret_access_key=d\naws_session_token = t\n[half]\naws_access_key_id=E\n";
        let keys = of_profile(text, "default").unwrap();
        assert!(keys == Keys { id: "A".into(), secret: "b%c/+=".into(), token: None });
        assert_eq!(of_profile(text, "other").unwrap().token.as_deref(), Some("t"));
        for none in ["half", "missing"] {
            assert!(of_profile(text, none).is_err(), "{none}");
        }
    }

    #[test]
    fn what_has_no_key_or_value_is_no_entry() {
        for text in [
            r#"{}"#,
            r#"{"Key":"","Value":{"a":1}}"#,
            r#"{"Key":"a","Value":{}}"#,
            r#"{"Key":"a","Value":null}"#,
        ] {
            assert!(is_empty(text.as_bytes()), "{text}");
        }
        assert!(!is_empty(br#"{"Key":"a","Value":{"uid":1}}"#));
        // Those are told of.
        assert!(!is_empty(br#"{"Key":"a","Key":"b","Value":{"uid":1}}"#));
        assert!(!is_empty(b"broken"));
    }
}
