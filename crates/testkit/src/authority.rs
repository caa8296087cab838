//! An authority that signs certificates, for tests of TLS.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// The names and addresses that a server of the testkit has.
pub const OWN_HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// An authority with a key of its own, and the folder that everything lies in which it signed.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, PEM files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, whom nobody knows yet.
    pub fn new() -> Authority {
        let dir = TempDir::with_prefix("attestry-authority-").expect("a temporary folder can be made");
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = params(&dir.path().display().to_string(), &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).expect("it can sign its own certificate");
        write(&dir.path().join("ca.pem"), &own.pem());
        Authority { dir, issuer: Issuer::new(params, key) }
    }

    /// Its certificate, a PEM file.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Signs a certificate with this common name, for a server with these names and addresses, or for a client without any. Its files are
    /// named by the common name.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> Issued {
        let key = KeyPair::generate().expect("a key can be made");
        let signed = params(name, hosts).signed_by(&key, &self.issuer).expect("it can sign");
        let file = |ending: &str| self.dir.path().join(format!("{name}.{ending}"));
        let issued = Issued { cert: file("pem"), key: file("key") };
        write(&issued.cert, &signed.pem());
        write(&issued.key, &key.serialize_pem());
        issued
    }

    /// The certificate of a server on this host.
    pub fn server(&self) -> Issued {
        self.issue("server", &OWN_HOSTS)
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("these are names and addresses");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn write(path: &Path, pem: &str) {
    std::fs::write(path, pem).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
