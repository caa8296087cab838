//! Against the real `gpg`, each test with keyrings of its own.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod keys;
mod opening;
mod signing;

use attestry_openpgp::{Gpg, OpenpgpConfig};
use attestry_outbound::Secret;
use attestry_testkit::GnuPg;

/// The crate's view of somebody's keyring.
fn gpg(of: &GnuPg) -> Gpg {
    gpg_with(of, None)
}

fn gpg_with(of: &GnuPg, passphrase: Option<&str>) -> Gpg {
    let passphrase = passphrase.map(|text| Secret::Plain(text.to_owned()));
    Gpg::new(&OpenpgpConfig { home: Some(of.home()), passphrase, ..OpenpgpConfig::default() })
}
