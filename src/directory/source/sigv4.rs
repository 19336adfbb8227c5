//! AWS Signature Version 4, of requests without a body: as "Authenticating Requests: Using the
//! Authorization Header" of the S3 reference describes it, whose examples are the tests here.

use super::url::Url;
use crate::directory::stamp::{Time, iso};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// AWS_ACCESS_KEY_ID
    pub id: String,
    /// AWS_SECRET_ACCESS_KEY
    pub secret: String,
    /// AWS_SESSION_TOKEN, of keys for a while.
    pub token: Option<String>,
}

/// What a signature is for.
pub struct Scope<'a> {
    /// `us-east-1`
    pub region: &'a str,
    /// `s3`
    pub service: &'a str,
    /// When it is made. Fifteen minutes off, it is refused.
    pub time: Time,
}

/// The headers that make a request with this URL and these headers (lower case) a signed one.
pub fn sign(
    method: &str,
    url: &Url,
    headers: &[(&'static str, String)],
    keys: &Keys,
    scope: &Scope<'_>,
) -> Vec<(&'static str, String)> {
    // 2013-05-24T00:00:00Z without what stands between its numbers.
    let time: String = iso(scope.time).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let date = time.split('T').next().unwrap_or_default();
    let mut added = vec![("x-amz-date", time.clone())];
    if scope.service == "s3" {
        added.push(("x-amz-content-sha256", EMPTY.to_owned()));
    }
    if let Some(token) = &keys.token {
        added.push(("x-amz-security-token", token.clone()));
    }
    let host = url.authority().to_ascii_lowercase();
    let mut signed: Vec<(&str, &str)> =
        headers.iter().chain(&added).map(|(n, v)| (*n, v.trim())).collect();
    signed.push(("host", &host));
    signed.sort_unstable();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();

    let (path, query) = url.path_and_query();
    let query = canonical_query(query);
    let request = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{EMPTY}");
    let Scope { region, service, .. } = scope;
    let credential = format!("{date}/{region}/{service}/aws4_request");
    let digest = hex(&Sha256::digest(request));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{credential}\n{digest}");
    let key = [date, region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{}", keys.secret).into_bytes(), |key, part| mac(&key, part.as_bytes()));
    let signature = hex(&mac(&key, text.as_bytes()));
    let id = &keys.id;
    added.push((
        "authorization",
        format!(
            "AWS4-HMAC-SHA256 Credential={id}/{credential},SignedHeaders={names},Signature={signature}"
        ),
    ));
    added
}

/// The parameters of a query, which are encoded already, sorted and each with a value.
fn canonical_query(query: &str) -> String {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<(&str, &str)> =
        parameters.map(|one| one.split_once('=').unwrap_or((one, ""))).collect();
    parameters.sort_unstable();
    let parameters: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    parameters.join("&")
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Keys of any length are keys of HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::stamp::parse_iso;

    fn signature(
        url: &str,
        headers: &[(&'static str, String)],
        keys: (&str, &str),
        (service, time): (&str, &str),
    ) -> String {
        let keys = Keys { id: keys.0.to_owned(), secret: keys.1.to_owned(), token: None };
        let time = parse_iso(time).unwrap();
        let scope = Scope { region: "us-east-1", service, time };
        let signed = sign("GET", &Url::parse(url).unwrap(), headers, &keys, &scope);
        signed.last().unwrap().1.clone()
    }

    /// "Authenticating Requests: Using the Authorization Header", S3 API reference.
    #[test]
    fn signatures_are_those_of_the_reference() {
        let keys = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let at = ("s3", "2013-05-24T00:00:00Z");
        let range = [("range", "bytes=0-9".to_owned())];
        assert_eq!(
            signature("https://examplebucket.s3.amazonaws.com/test.txt", &range, keys, at),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        for (query, wanted) in [
            ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (
                "prefix=J&max-keys=2",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = format!("https://examplebucket.s3.amazonaws.com/?{query}");
            let signed = signature(&url, &[], keys, at);
            assert!(signed.ends_with(&format!("Signature={wanted}")), "{query}: {signed}");
        }
    }

    /// Of the test suite that AWS publishes for all services: requests without a body, with their names.
    #[test]
    fn signatures_are_those_of_the_suite() {
        let keys = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let header = |value: &str| vec![("my-header1", value.to_owned())];
        for (name, path, headers, names, wanted) in [
            (
                "get-vanilla",
                "",
                vec![],
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                "?Param2=value2&Param1=value1",
                vec![],
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-utf8",
                "%E1%88%B4",
                vec![],
                "host;x-amz-date",
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            (
                "get-unreserved",
                "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                vec![],
                "host;x-amz-date",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                "get-header-key-duplicate",
                "",
                header("value2,value2,value1"),
                "host;my-header1;x-amz-date",
                "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            ),
            (
                "get-header-value-multiline",
                "",
                header("value1,value2,value3"),
                "host;my-header1;x-amz-date",
                "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790",
            ),
        ] {
            let url = format!("https://example.amazonaws.com/{path}");
            let signed = signature(&url, &headers, keys, ("service", "2015-08-30T12:36:00Z"));
            let wanted = format!(",SignedHeaders={names},Signature={wanted}");
            assert!(signed.ends_with(&wanted), "{name}: {signed}");
        }
    }
}
