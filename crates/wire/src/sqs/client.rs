//! The client of a queue.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::Queue;
use crate::broker::CONNECT_MAX;
use crate::queue::Failed;

/// How long an answer may take: longer than the longest wait for messages, 20 seconds.
const ANSWER_MAX: Duration = Duration::from_secs(40);

impl Queue {
    /// A client that connects when it is first used. Keys and certificates are read now.
    pub(super) fn client(&self) -> Result<Client, Failed> {
        let keys =
            self.credentials.keys(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
        let mut credentials = Credentials::builder()
            .access_key_id(keys.access_key)
            .secret_access_key(keys.secret_key)
            .provider_name("attestry");
        credentials.set_session_token(keys.session_token);
        let mut http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        if let Some(path) = &self.ca {
            let wrong = |reason: String| Failed(format!("{}: {reason}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            // The client panics at its first connection where these are no certificates.
            crate::tls::certificates(path)?;
            let store = TrustStore::empty().with_pem_certificate(pem);
            let context = TlsContext::builder().with_trust_store(store).build();
            http = http.tls_context(context.map_err(|error| wrong(error.to_string()))?);
        }
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region().unwrap_or("us-east-1").to_owned()))
            .endpoint_url(self.endpoint())
            .credentials_provider(credentials.build())
            .http_client(http.build_https())
            // Whoever feeds a sink tries again by itself, and so does the consumer.
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_MAX)
                    .operation_attempt_timeout(ANSWER_MAX)
                    .build(),
            );
        Ok(Client::from_conf(config.build()))
    }
}
