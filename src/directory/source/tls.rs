//! TLS: whom we believe, and who we are.

use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::log::Log;
use crate::directory::secret;
use crate::directory::stamp::{iso, now};
use crate::limits::{DIRECTORY_CERTIFICATES, DIRECTORY_SECRET};
use crate::sys::file::{join, read_all};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, pki_types};
use std::error::Error as _;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use ureq::tls::{
    Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem,
};

/// Where distributions keep the certificates of public authorities.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// TLS as the keys `PREFIX_tls_…` want it.
pub fn config(config: &MapConfig<'_>, prefix: &str, log: &Log) -> Done<TlsConfig> {
    let key = |name: &str| format!("{prefix}_tls_{name}");
    let words = ["demand", "hard", "try", "never", "allow"];
    let demand = config.one_of(&key("require_cert"), &words)?;
    let unchecked = matches!(demand, "never" | "allow");
    if unchecked {
        let key = key("require_cert");
        log.warning("tls", format!("{key} = {demand}: anybody may answer as the server"));
    }
    let provider = Arc::new(provider());
    let builder = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::clone(&provider))
        .disable_verification(unchecked);
    let file = config.text(&key("cacertfile"))?;
    let roots = match (unchecked, file, config.text(&key("cacertdir"))?) {
        (true, _, _) => Vec::new(),
        (_, Some(file), _) => certificates(file.as_bytes())?,
        (_, None, Some(dir)) => folder(&dir)?,
        (_, None, None) => certificates(SYSTEM.as_bytes())?,
    };
    let builder = builder.root_certs(RootCerts::Specific(Arc::new(roots)));
    let client = match config.text(&key("certfile"))? {
        Some(file) => {
            let keyfile = config.text(&key("keyfile"))?.unwrap_or_else(|| file.clone());
            Some(client(&file, &keyfile, &provider)?)
        }
        None => None,
    };
    Ok(builder.client_cert(client).build())
}

/// ring. Where AES is slow, a server that leaves the choice to us is asked for ChaCha20 first.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    if cfg!(target_pointer_width = "32") {
        let rank = |name: String| match name {
            name if name.contains("CHACHA20") => 0,
            name if name.contains("AES_128") => 1,
            _ => 2,
        };
        provider.cipher_suites.sort_by_key(|suite| rank(format!("{:?}", suite.suite())));
    }
    provider
}

/// The certificates of a PEM file, one at least.
fn certificates(path: &[u8]) -> Done<Vec<Certificate<'static>>> {
    let (file, _) = secret::open(path)?;
    let text = read_all(file.as_fd(), DIRECTORY_CERTIFICATES)
        .map_err(|errno| Failure::system("read", path, errno))?;
    let found: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match found.is_empty() {
        true => Err(Failure::refused(format!("no certificate in {}", shown(path)))),
        false => Ok(found),
    }
}

/// Those of all files of a folder that have some.
fn folder(path: &str) -> Done<Vec<Certificate<'static>>> {
    let unable =
        |error: std::io::Error| Failure::refused(format!("unable to read {path}: {error}"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unable)? {
        let name = entry.map_err(unable)?.file_name();
        found.extend(certificates(&join(path.as_bytes(), name.as_bytes())).unwrap_or_default());
    }
    match found.is_empty() {
        true => Err(Failure::refused(format!("no certificate in {path}"))),
        false => Ok(found),
    }
}

/// Who we are: a chain, and the key that belongs to it.
fn client(file: &str, keyfile: &str, provider: &CryptoProvider) -> Done<ClientCert> {
    let chain = certificates(file.as_bytes())?;
    let (opened, stat) = secret::open(keyfile.as_bytes())?;
    if let Some(fault) = secret::fault(keyfile.as_bytes(), &stat) {
        return Err(Failure::refused(fault));
    }
    let text = read_all(opened.as_fd(), DIRECTORY_SECRET)
        .map_err(|errno| Failure::system("read", keyfile.as_bytes(), errno))?;
    let no_key = |_| Failure::refused(format!("no private key in {keyfile}"));
    let key = PrivateKey::from_pem(&text).map_err(no_key)?;
    // What does not fit would be found out in the middle of a handshake.
    let der: Vec<_> =
        chain.iter().map(|one| pki_types::CertificateDer::from(one.der().to_vec())).collect();
    let private = pki_types::PrivateKeyDer::try_from(key.der().to_vec())
        .map_err(|_| Failure::refused(format!("no private key in {keyfile}")))?;
    CertifiedKey::from_der(der, private, provider).map_err(|error| {
        Failure::refused(format!("the key in {keyfile} does not fit {file}: {error}"))
    })?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// What an error means if TLS refused the server, or the server us: trying again does not help.
pub fn refusal(error: &ureq::Error) -> Option<Failure> {
    let found = match error {
        ureq::Error::Rustls(found) => found,
        ureq::Error::Io(io) => io.get_ref()?.downcast_ref::<rustls::Error>()?,
        other => other.source()?.downcast_ref::<rustls::Error>()?,
    };
    use CertificateError as Cert;
    let text = match found {
        rustls::Error::InvalidCertificate(
            why @ (Cert::NotValidYet
            | Cert::NotValidYetContext { .. }
            | Cert::Expired
            | Cert::ExpiredContext { .. }),
        ) => {
            let now = iso(now());
            let state = match why {
                Cert::Expired | Cert::ExpiredContext { .. } => "has expired",
                _ => "is not valid yet",
            };
            format!("the server's certificate {state}, if this machine's clock is right: {now}")
        }
        rustls::Error::InvalidCertificate(Cert::UnknownIssuer) => {
            "the server's certificate is of an authority that is not known here".to_owned()
        }
        rustls::Error::InvalidCertificate(
            Cert::NotValidForName | Cert::NotValidForNameContext { .. },
        ) => "the server's certificate is for another name".to_owned(),
        other => format!("TLS: {other}"),
    };
    Some(Failure::refused(text))
}
