//! The certificate a server shows: judged as rustls does, and kept to be told of, also when it is refused.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use attestry_event::Nanos;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::follow::to_hex;

const DAY_NANOS: i64 = 86_400 * 1_000_000_000;
/// Names in certificates are somebody else's: longer ones are cut, in characters.
const MAX_NAME_CHARS: usize = 512;

/// What is told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) not_after: Nanos,
    /// Of the whole certificate.
    pub(super) sha256: String,
}

impl Certificate {
    fn parse(der: &[u8]) -> Option<Certificate> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let cut = |name: String| name.chars().take(MAX_NAME_CHARS).collect();
        Some(Certificate {
            subject: cut(parsed.subject().to_string()),
            issuer: cut(parsed.issuer().to_string()),
            // Years beyond 2262 do not fit: such a certificate does not end.
            not_after: Nanos(parsed.validity().not_after.timestamp().saturating_mul(1_000_000_000)),
            sha256: to_hex(&Sha256::digest(der)),
        })
    }

    /// Whole days from `now` to its end, negative after that.
    pub(super) fn days_left(&self, now: Nanos) -> i64 {
        self.not_after.0.saturating_sub(now.0).div_euclid(DAY_NANOS)
    }
}

/// Whom to believe: the authorities of a file, or those of the public web.
#[derive(Debug)]
pub(super) struct Authorities {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Authorities {
    pub(super) fn read(ca: Option<&Path>) -> Result<Authorities, String> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
                for certificate in found {
                    let certificate = certificate.map_err(|error| wrong(&error))?;
                    roots.add(certificate).map_err(|error| wrong(&error))?;
                }
            }
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        Ok(Authorities { provider, verifier })
    }

    /// For one connection: what it is made with, and where the certificate will be.
    pub(super) fn client(&self) -> Result<(ClientConfig, Arc<Shown>), String> {
        let shown = Arc::new(Shown { verifier: Arc::clone(&self.verifier), certificate: Mutex::default() });
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&shown) as Arc<dyn ServerCertVerifier>);
        let mut config = config.with_no_client_auth();
        // A resumed session shows no certificate.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((config, shown))
    }
}

/// Decides as [`WebPkiServerVerifier`] does, and remembers what it was shown.
#[derive(Debug)]
pub(super) struct Shown {
    verifier: Arc<WebPkiServerVerifier>,
    certificate: Mutex<Option<Certificate>>,
}

impl Shown {
    pub(super) fn certificate(&self) -> Option<Certificate> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = Certificate::parse(end_entity);
        self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of() {
        let mut params = rcgen::CertificateParams::new(vec!["h.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "h.example");
        params.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let found = Certificate::parse(made.der()).unwrap();
        assert!(found.subject.contains("h.example") && found.subject == found.issuer, "{found:?}");
        let end = Nanos::parse("2030-01-02T00:00:00Z").unwrap();
        assert_eq!(found.not_after, end);
        for (before, days) in
            [(0, 0), (1, 0), (DAY_NANOS, 1), (14 * DAY_NANOS + 1, 14), (-1, -1), (-DAY_NANOS - 1, -2)]
        {
            assert_eq!(found.days_left(Nanos(end.0 - before)), days, "{before}");
        }
        assert_eq!(Certificate::parse(b"no certificate"), None);
    }

    #[test]
    fn authorities_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for text in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(Authorities::read(Some(&file)).is_err(), "{text:?}");
        }
        assert!(Authorities::read(Some(&folder.path().join("none"))).unwrap_err().contains("none"));
        assert!(Authorities::read(None).is_ok());
    }
}
