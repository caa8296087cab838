//! Plain GET requests to a log, without following redirects: the token goes to the server that was named and no other.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::{CannotCheck, Options};

/// The longest answer there is: a bundle of 256 entries of the longest kind.
const MAX_BODY_BYTES: u64 = 256 * (2 + 65_535);

pub(crate) struct Client {
    agent: ureq::Agent,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(options: &Options<'_>) -> Result<Self, CannotCheck> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        if let Some(path) = &options.authorities {
            let pem = std::fs::read(path).map_err(CannotCheck::io(path))?;
            let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        let agent = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_global(Some(Duration::from_secs(120)))
            .user_agent(concat!("attestry-verify/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, token: options.token.clone() })
    }

    /// What is at a URL; `None` when the server says that nothing is.
    pub(crate) fn get(&self, url: &str) -> Result<Option<Vec<u8>>, CannotCheck> {
        let fail = |reason: String| CannotCheck::Server { url: url.to_owned(), reason };
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut answer = request.call().map_err(|error| fail(error.to_string()))?;
        match answer.status().as_u16() {
            200 => {
                let body = answer.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec();
                body.map(Some).map_err(|error| fail(error.to_string()))
            }
            404 | 410 => Ok(None),
            401 | 403 => Err(fail("the server wants a key that may read the whole ledger (a token)".into())),
            status => Err(fail(format!("the server answered with status {status}"))),
        }
    }

    /// A short text that must be there.
    pub(crate) fn text(&self, url: &str) -> Result<String, CannotCheck> {
        let missing = || CannotCheck::Server { url: url.to_owned(), reason: "there is nothing here".into() };
        Ok(String::from_utf8_lossy(&self.get(url)?.ok_or_else(missing)?).into_owned())
    }
}
