//! The first connection to a server that a token speaks of: nothing is sent before its certificate is the one the token names.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use attestry_event::hex;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, Stream};
use sha2::{Digest, Sha256};
use ureq::http::Uri;

/// How long the first connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to believe that the server is itself.
#[derive(Debug)]
pub(crate) enum Trust {
    /// The authorities of the public web.
    Web,
    /// These certificates, PEM, which the server showed itself, the first of them named by the token.
    Pinned(String),
}

impl Trust {
    /// The certificates to believe beyond none, PEM.
    pub(crate) fn roots(&self) -> Option<&str> {
        match self {
            Trust::Web => None,
            Trust::Pinned(pem) => Some(pem),
        }
    }
}

/// Connects and looks at the server's certificate.
pub(crate) fn first_contact(url: &str, fingerprint: &str) -> Result<Trust> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is no address of a server"))?;
    let host = uri.host().context("the address has no host")?.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host.clone()).with_context(|| format!("{host:?} is no host's name"))?;
    let chain = shown(&host, uri.port_u16().unwrap_or(443), name.clone())
        .with_context(|| format!("cannot connect to {url} by TLS"))?;
    let leaf = chain.first().context("the server showed no certificate")?;
    let found = hex(Sha256::digest(leaf));
    if !found.eq_ignore_ascii_case(fingerprint) {
        bail!(
            "this is not the server that made the token: its certificate has the fingerprint {found}, expected {fingerprint}. \
             Nothing was sent"
        );
    }
    if known_to_the_web(&chain, &name)? {
        return Ok(Trust::Web);
    }
    Ok(Trust::Pinned(chain.iter().map(pem).collect()))
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The certificates of whoever answers there and holds the key of the first.
fn shown(host: &str, port: u16, name: ServerName<'static>) -> Result<Vec<CertificateDer<'static>>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let address = (host, port).to_socket_addrs()?.next().context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let chain =
        connection.peer_certificates().unwrap_or_default().iter().cloned().map(CertificateDer::into_owned);
    let chain = chain.collect();
    connection.send_close_notify();
    // The server may have gone already, which is as good.
    let _ = Stream::new(&mut connection, &mut stream).flush();
    let _ = stream.read(&mut [0; 1]);
    Ok(chain)
}

fn known_to_the_web(chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> Result<bool> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    let Some((leaf, others)) = chain.split_first() else { return Ok(false) };
    Ok(verifier.verify_server_cert(leaf, others, name, &[], UnixTime::now()).is_ok())
}

/// Lets anybody pass who holds the key of the certificate shown: the fingerprint is compared afterwards, before anything is sent.
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
