//! What S3 does with a signed request: it makes the signature once more, of what came over the wire.

use crate::support::http::Request;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// Whose requests are taken.
pub const ID: &str = "AKIDEXAMPLE";
/// What they are signed with.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a request is not taken, as S3 calls it.
pub fn fault(request: &Request, region: &str) -> Option<&'static str> {
    let Some(authorization) = request.headers.get("authorization") else {
        return Some("AccessDenied");
    };
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}="))?;
        rest.split([',', ' ']).next()
    };
    let (credential, names, signature) =
        (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let words: Vec<&str> = credential.split('/').collect();
    let [id, date, in_region, service, end] = words[..] else { return Some("Malformed") };
    if id != ID {
        return Some("InvalidAccessKeyId");
    }
    let time = &request.headers["x-amz-date"];
    let right =
        in_region == region && service == "s3" && end == "aws4_request" && time.starts_with(date);
    let names: Vec<&str> = names.split(';').collect();
    // Whatever begins so must be signed.
    let unsigned = |name: &&String| {
        (name.starts_with("x-amz-") || *name == "host") && !names.contains(&name.as_str())
    };
    if !right || request.headers.keys().find(unsigned).is_some() {
        return Some("AuthorizationHeaderMalformed");
    }
    let lines: String =
        names.iter().map(|name| format!("{name}:{}\n", request.headers[*name].trim())).collect();
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let payload = &request.headers["x-amz-content-sha256"];
    let canonical =
        format!("{}\n{path}\n{query}\n{lines}\n{}\n{payload}", request.method, names.join(";"));
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{date}/{region}/s3/aws4_request\n{}",
        hex(&Sha256::digest(canonical))
    );
    let mut key = mac(format!("AWS4{SECRET}").as_bytes(), date);
    for part in [region, "s3", "aws4_request"] {
        key = mac(&key, part);
    }
    (hex(&mac(&key, &text)) != signature).then_some("SignatureDoesNotMatch")
}
