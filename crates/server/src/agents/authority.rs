//! The authority that signs agents' certificates. It exists where the server speaks TLS, and signs nothing else.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};

use crate::tls::TlsError;

/// How long an agent's certificate is good; it renews itself when a third of this is left.
pub(crate) const CERTIFICATE_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long the authority's own certificate is good.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// How far back a certificate's beginning lies, so that an agent's clock may be a little slow.
const SLACK: Duration = Duration::from_secs(24 * 3600);

/// The folder in the data directory.
const FOLDER: &str = "agents";
const CERT_FILE: &str = "ca.cert";
const KEY_FILE: &str = "ca.key";

/// The agents' certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pem: String,
}

/// A certificate that was just signed.
pub(crate) struct Signed {
    pub(crate) pem: String,
    /// SHA-256 of the certificate, by which it is known.
    pub(crate) hash: [u8; 32],
    pub(crate) expires_at: Nanos,
}

/// Why a request for a certificate was not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("csr: expected a certificate signing request in PEM, signed with its own key")]
    Malformed(#[source] rcgen::Error),
    #[error("the certificate cannot be signed")]
    Failed(#[source] rcgen::Error),
}

impl Authority {
    /// Reads the authority, or makes it the first time.
    pub(crate) fn open(data_dir: &Path, now: Nanos) -> Result<Authority, TlsError> {
        let folder = data_dir.join(FOLDER);
        let (cert, key) = (folder.join(CERT_FILE), folder.join(KEY_FILE));
        if !cert.exists() || !key.exists() {
            make(&folder, &cert, &key, now)?;
        }
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|source| TlsError::Io { path: path.clone(), source })
        };
        let wrong = |path: &PathBuf| {
            let path = path.clone();
            move |error: rcgen::Error| TlsError::Pem { path, reason: error.to_string() }
        };
        let pem = read(&cert)?;
        let key = KeyPair::from_pem(&read(&key)?).map_err(wrong(&key))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(wrong(&cert))?;
        Ok(Authority { issuer, pem })
    }

    /// The authority's certificate, PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// What a listener believes clients by: a certificate of this authority, or none at all.
    pub(crate) fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let wrong = |reason: String| TlsError::Pem { path: Path::new(FOLDER).join(CERT_FILE), reason };
        let certificate =
            CertificateDer::from_pem_slice(self.pem.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| wrong(error.to_string()))
    }

    /// Signs the key of a request as an agent's. Nothing else of the request is taken over.
    pub(crate) fn sign(&self, csr: &str, name: &str, now: Nanos) -> Result<Signed, RequestError> {
        let mut request = CertificateSigningRequestParams::from_pem(csr).map_err(RequestError::Malformed)?;
        let expires_at = later(now, CERTIFICATE_LIFE);
        request.params = params(name, earlier(now, SLACK), expires_at);
        request.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let signed = request.signed_by(&self.issuer).map_err(RequestError::Failed)?;
        let hash = Sha256::digest(signed.der()).into();
        Ok(Signed { pem: signed.pem(), hash, expires_at })
    }
}

fn make(folder: &Path, cert: &Path, key: &Path, now: Nanos) -> Result<(), TlsError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Io { path, source }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io(folder))?;
    let pair = KeyPair::generate()?;
    let mut own = params("Attestry agents", earlier(now, SLACK), later(now, AUTHORITY_LIFE));
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    own.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let made = own.self_signed(&pair)?;
    for (path, mode, text) in [(key, 0o600, pair.serialize_pem()), (cert, 0o644, made.pem())] {
        // Whole or not at all: half of a pair would be taken for the authority at the next start.
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&new)
            .map_err(io(&new))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io(&new))?;
        fs::rename(&new, path).map_err(io(path))?;
    }
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

fn params(name: &str, from: Nanos, to: Nanos) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = certificate_time(from);
    params.not_after = certificate_time(to);
    params
}

/// A time as certificates have it, by the calendar day in UTC.
fn certificate_time(time: Nanos) -> time::OffsetDateTime {
    let seconds = time.0.div_euclid(1_000_000_000);
    // Only times beyond the year 9999 do not fit, which no certificate of ours reaches.
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

fn later(time: Nanos, by: Duration) -> Nanos {
    Nanos(time.0.saturating_add(by.as_nanos() as i64))
}

fn earlier(time: Nanos, by: Duration) -> Nanos {
    Nanos(time.0.saturating_sub(by.as_nanos() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::UnixTime;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Nanos = Nanos(1_790_000_000_000_000_000);

    fn request() -> String {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.is_ca = IsCa::NoCa;
        params.serialize_request(&pair).unwrap().pem().unwrap()
    }

    fn accepted(authority: &Authority, pem: &str, at: Nanos) -> bool {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_nanos(at.0 as u64));
        authority.verifier().unwrap().verify_client_cert(&der, &[], now).is_ok()
    }

    #[test]
    fn is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path(), NOW).unwrap();
        let again = Authority::open(dir.path(), NOW).unwrap();
        assert_eq!(first.pem(), again.pem());
        let mode =
            |name: &str| dir.path().join(FOLDER).join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(KEY_FILE), 0o600);
        // What one signed the other believes: the key is the same, too.
        assert!(accepted(&first, &again.sign(&request(), "web1", NOW).unwrap().pem, NOW));
    }

    #[test]
    fn signs_clients_for_a_year() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), NOW).unwrap();
        let signed = authority.sign(&request(), "web1", NOW).unwrap();
        let der = CertificateDer::from_pem_slice(signed.pem.as_bytes()).unwrap();
        assert_eq!(signed.hash, <[u8; 32]>::from(Sha256::digest(&der)));
        assert_eq!(signed.expires_at, later(NOW, CERTIFICATE_LIFE));
        for (at, good) in
            [(NOW, true), (later(NOW, CERTIFICATE_LIFE + SLACK), false), (earlier(NOW, SLACK * 2), false)]
        {
            assert_eq!(accepted(&authority, &signed.pem, at), good, "{at}");
        }
        // A name that was asked for is not a name that is given.
        assert!(!der.windows(12).any(|window| window == b"evil.example"));
        let other = tempfile::tempdir().unwrap();
        assert!(!accepted(&Authority::open(other.path(), NOW).unwrap(), &signed.pem, NOW));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), NOW).unwrap();
        let good = request();
        let mut lines: Vec<&str> = good.lines().collect();
        let middle = lines.len() / 2;
        lines.remove(middle);
        for csr in ["", "no PEM", &lines.join("\n"), authority.pem()] {
            assert!(matches!(authority.sign(csr, "web1", NOW), Err(RequestError::Malformed(_))), "{csr}");
        }
    }
}
