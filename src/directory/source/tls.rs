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

/// A chain of certificates, and the key that belongs to it.
type Identity = (Vec<pki_types::CertificateDer<'static>>, pki_types::PrivateKeyDer<'static>);

/// What the keys `PREFIX_tls_…` name, for whoever speaks TLS without HTTP.
pub struct Files {
    /// Whether anybody is believed.
    pub unchecked: bool,
    /// The authorities that are believed otherwise.
    pub roots: Vec<pki_types::CertificateDer<'static>>,
    /// Who we are.
    pub client: Option<Identity>,
}

/// Reads them.
pub fn files(config: &MapConfig<'_>, prefix: &str, log: &Log) -> Done<Files> {
    let key = |name: &str| format!("{prefix}_tls_{name}");
    let unchecked = unchecked(config, prefix, log)?;
    let roots = roots(config, prefix, unchecked)?;
    let roots = roots.iter().map(|one| pki_types::CertificateDer::from(one.der().to_vec()));
    let client = match config.text(&key("certfile"))? {
        Some(file) => {
            let keyfile = config.text(&key("keyfile"))?.unwrap_or_else(|| file.clone());
            let (chain, key) = client_files(&file, &keyfile, &provider())?;
            let chain = chain
                .iter()
                .map(|one| pki_types::CertificateDer::from(one.der().to_vec()))
                .collect();
            Some((chain, private_key(&key, &keyfile)?))
        }
        None => None,
    };
    Ok(Files { unchecked, roots: roots.collect(), client })
}

/// Whether anybody is believed, which is said each time.
fn unchecked(config: &MapConfig<'_>, prefix: &str, log: &Log) -> Done<bool> {
    let key = format!("{prefix}_tls_require_cert");
    let demand = config.one_of(&key, &["demand", "hard", "try", "never", "allow"])?;
    let mut unchecked = matches!(demand, "never" | "allow");
    if unchecked {
        log.warning("tls", format!("{key} = {demand}: anybody may answer as the server"));
    }
    if prefix == "scim" && !config.flag("scim_verify_ssl", true)? {
        unchecked = true;
        log.warning("tls", "scim_verify_ssl = false: anybody may answer as the server");
    }
    Ok(unchecked)
}

/// The authorities.
fn roots(config: &MapConfig<'_>, prefix: &str, unchecked: bool) -> Done<Vec<Certificate<'static>>> {
    let file = config.text(&format!("{prefix}_tls_cacertfile"))?;
    match (unchecked, file, config.text(&format!("{prefix}_tls_cacertdir"))?) {
        (true, _, _) => Ok(Vec::new()),
        (_, Some(file), _) => certificates(file.as_bytes()),
        (_, None, Some(dir)) => folder(&dir),
        (_, None, None) => certificates(SYSTEM.as_bytes()),
    }
}

/// TLS as the keys `PREFIX_tls_…` want it.
pub fn config(config: &MapConfig<'_>, prefix: &str, log: &Log) -> Done<TlsConfig> {
    let key = |name: &str| format!("{prefix}_tls_{name}");
    let unchecked = unchecked(config, prefix, log)?;
    let provider = Arc::new(provider());
    let builder = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::clone(&provider))
        .disable_verification(unchecked);
    let roots = roots(config, prefix, unchecked)?;
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
pub fn provider() -> CryptoProvider {
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
    let (chain, key) = client_files(file, keyfile, provider)?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn private_key(key: &PrivateKey<'_>, file: &str) -> Done<pki_types::PrivateKeyDer<'static>> {
    pki_types::PrivateKeyDer::try_from(key.der().to_vec())
        .map_err(|_| Failure::refused(format!("no private key in {file}")))
}

/// The same, as it stands in the files.
fn client_files(
    file: &str,
    keyfile: &str,
    provider: &CryptoProvider,
) -> Done<(Vec<Certificate<'static>>, PrivateKey<'static>)> {
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
    CertifiedKey::from_der(der, private_key(&key, keyfile)?, provider).map_err(|error| {
        Failure::refused(format!("the key in {keyfile} does not fit {file}: {error}"))
    })?;
    Ok((chain, key))
}

/// What an error means if TLS refused the server, or the server us: trying again does not help.
pub fn refusal(error: &ureq::Error) -> Option<Failure> {
    let found = match error {
        ureq::Error::Rustls(found) => found,
        ureq::Error::Io(io) => io.get_ref()?.downcast_ref::<rustls::Error>()?,
        other => other.source()?.downcast_ref::<rustls::Error>()?,
    };
    Some(refusal_of(found))
}

/// The same, of TLS's own error.
pub fn refusal_of(found: &rustls::Error) -> Failure {
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
    Failure::refused(text)
}
