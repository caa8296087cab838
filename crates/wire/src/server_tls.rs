//! TLS for those who connect to us.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tls::{TlsError, certificates, private_key};

/// How a receiver uses TLS.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// The server's certificate chain, a PEM file.
    pub cert: PathBuf,
    /// Its private key, a PEM file.
    pub key: PathBuf,
    /// Certificates of the authorities whose clients are let in, a PEM file. Default: anybody is let in.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// What connections are accepted with.
    ///
    /// # Errors
    /// When a file is missing or wrong.
    pub fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
                let wrong = |error: rustls::server::VerifierBuilderError| TlsError::File {
                    path: path.clone(),
                    reason: error.to_string(),
                };
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(wrong)?)
            }
        };
        Ok(Arc::new(builder.with_single_cert(certificates(&self.cert)?, private_key(&self.key)?)?))
    }
}
