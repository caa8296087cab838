//! The certificate: the user's own, or one that signs itself.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestry_event::hex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};

use crate::config::{Config, Tls};

/// Why there is no encryption although it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the certificate cannot be read or written.
    #[error("cannot access {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The self-signed certificate could not be made.
    #[error("cannot make a self-signed certificate")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not work together.
    #[error("certificate and key cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// The files of a self-signed certificate.
const CERT_FILE: &str = "tls.cert";
const KEY_FILE: &str = "tls.key";

/// SHA-256 of the server's certificate, hexadecimal, by which an agent recognises it the first time; none without TLS. The certificate
/// is made where it makes itself and is not there yet.
///
/// # Errors
/// When it cannot be read or made.
pub fn fingerprint(config: &Config) -> Result<Option<String>, TlsError> {
    let Some((cert, _)) = files(config)? else { return Ok(None) };
    let first = certificates(&cert)?.into_iter().next();
    Ok(first.map(|first| hex(Sha256::digest(first))))
}

/// Where certificate and key are. A self-signed one is made at the first start.
fn files(config: &Config) -> Result<Option<(PathBuf, PathBuf)>, TlsError> {
    Ok(Some(match &config.tls {
        None => return Ok(None),
        Some(Tls::Files { cert, key }) => (cert.clone(), key.clone()),
        Some(Tls::SelfSigned { dir }) => {
            let (cert, key) = (dir.join(CERT_FILE), dir.join(KEY_FILE));
            if !cert.exists() || !key.exists() {
                self_sign(config, &cert, &key)?;
            }
            (cert, key)
        }
    }))
}

fn wrong_pem(path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> TlsError {
    let path = path.to_owned();
    move |error| TlsError::Pem { path: path.clone(), reason: error.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path).map_err(wrong_pem(path))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(wrong_pem(path))?;
    if chain.is_empty() {
        return Err(TlsError::Pem { path: path.to_owned(), reason: "no certificate in it".to_owned() });
    }
    Ok(chain)
}

/// How connections are encrypted, and which clients' certificates are believed; a client need not show any.
pub(crate) fn server_config(
    config: &Config,
    clients: impl FnOnce() -> Result<Arc<dyn ClientCertVerifier>, TlsError>,
) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let Some((cert, key)) = files(config)? else { return Ok(None) };
    let chain = certificates(&cert)?;
    let secret = PrivateKeyDer::from_pem_file(&key).map_err(wrong_pem(&key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut made = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients()?)
        .with_single_cert(chain, secret)?;
    made.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(made)))
}

fn self_sign(config: &Config, cert: &Path, key: &Path) -> Result<(), TlsError> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let listen: IpAddr = config.listen.ip();
    if !listen.is_unspecified() && !listen.is_loopback() {
        names.push(listen.to_string());
    }
    names.extend(config.names().ok().and_then(|names| names.host));
    let made = rcgen::generate_simple_self_signed(names)?;
    write(key, 0o600, &made.signing_key.serialize_pem())?;
    write(cert, 0o644, &made.cert.pem())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let io = |source| TlsError::Io { path: path.to_owned(), source };
    // Under another name first: whoever looks finds the whole file or none. One left by an interrupted start may have other rights than a new
    // one gets.
    let new = path.with_added_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&new, path).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with(tls: Tls) -> Config {
        Config { tls: Some(tls), ..Config::default() }
    }

    fn server_config(config: &Config) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        super::server_config(config, || Ok(rustls::server::WebPkiClientVerifier::no_client_auth()))
    }

    #[test]
    fn a_self_signed_certificate_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = with(Tls::SelfSigned { dir: dir.path().to_owned() });
        assert!(server_config(&config).unwrap().is_some());
        let first = fs::read(dir.path().join(CERT_FILE)).unwrap();
        assert!(server_config(&config).unwrap().is_some());
        assert_eq!(fs::read(dir.path().join(CERT_FILE)).unwrap(), first);
        let mode = dir.path().join(KEY_FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn bad_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let good = with(Tls::SelfSigned { dir: dir.path().to_owned() });
        server_config(&good).unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("empty"), "").unwrap();
        for (cert, key, blamed) in [
            ("missing", KEY_FILE, "missing"),
            ("empty", KEY_FILE, "empty"),
            (CERT_FILE, "empty", "empty"),
            (CERT_FILE, CERT_FILE, CERT_FILE),
        ] {
            let error = server_config(&with(Tls::Files { cert: path(cert), key: path(key) })).unwrap_err();
            assert!(error.to_string().contains(blamed), "{error}");
        }
    }
}
