//! TLS towards others: whom a client believes, and as whom it shows itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a client uses TLS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTls {
    /// Certificates of the authorities to believe, a PEM file. Default: those of the public web.
    pub ca: Option<PathBuf>,
    /// The client's own certificate chain, a PEM file.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`, a PEM file.
    pub key: Option<PathBuf>,
    /// The name the far side's certificate must have. Default: the host in the address.
    pub server_name: Option<String>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Only one of `cert` and `key` is given.
    #[error("tls.cert and tls.key go together, one of them is missing")]
    Half,
    /// Certificate and key do not work together.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

impl ClientTls {
    /// What a connection is made with. Reads the files anew, so that renewed certificates are used.
    ///
    /// # Errors
    /// When a file is missing or wrong.
    pub fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?
            }
            _ => return Err(TlsError::Half),
        };
        Ok(Arc::new(config))
    }
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// When the file is missing or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(found)
}

/// The private key of a PEM file.
///
/// # Errors
/// When the file is missing or holds none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| TlsError::File { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests;
