//! TLS on a connection to a directory.

use crate::directory::config::MapConfig;
use crate::directory::failure::{Done, Failure, shown};
use crate::directory::log::Log;
use crate::directory::source::tls::{self, Files};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

/// TCP with TLS.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands with the server of this name.
pub fn over(tcp: TcpStream, host: &str, config: &MapConfig<'_>, log: &Log) -> Done<TlsStream> {
    let name = ServerName::try_from(host.to_owned());
    let name = name
        .map_err(|_| Failure::refused(format!("no server's name: {}", shown(host.as_bytes()))))?;
    let refused = |error: rustls::Error| Failure::refused(format!("TLS: {error}"));
    let client =
        ClientConnection::new(Arc::new(client_config(config, log)?), name).map_err(refused)?;
    let mut stream = StreamOwned::new(client, tcp);
    while stream.conn.is_handshaking() {
        if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
            return Err(
                refusal(&error).unwrap_or_else(|| Failure::unavailable(format!("no TLS: {error}")))
            );
        }
    }
    Ok(stream)
}

fn client_config(config: &MapConfig<'_>, log: &Log) -> Done<ClientConfig> {
    let refused = |error: rustls::Error| Failure::refused(format!("TLS: {error}"));
    let Files { unchecked, roots, client } = tls::files(config, "ldap", log)?;
    let provider = Arc::new(tls::provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
    let builder = if unchecked {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots);
        builder.with_root_certificates(store)
    };
    match client {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(refused),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// What an error means if TLS refused the server, or the server us.
pub fn refusal(error: &io::Error) -> Option<Failure> {
    let found = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(tls::refusal_of(found))
}

/// Believes anybody, as `never` and `allow` have it: with a warning at each run.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
