//! One request for JSON, for whoever needs an answer rather than a way out for events: to the address that was checked, without redirects,
//! bounded in time and size.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::http::{AddressError, Http, HttpError, Reach, address, header, is_readable_on_the_way};
use crate::tls::ClientTls;

/// Where to ask, and how.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The address, `http://` or `https://`.
    pub url: &'a str,
    /// What is posted; without, the address is fetched.
    pub body: Option<&'a Value>,
    /// User and password (HTTP Basic, RFC 7617).
    pub login: Option<(&'a str, &'a str)>,
    /// How long it may take in all.
    pub timeout: Duration,
    /// Whether this host and private networks may be asked.
    pub private: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address cannot be used.
    #[error("the address: {0}")]
    Address(#[from] AddressError),
    /// The password would be seen on the way.
    #[error("a password goes to another host only over https://")]
    Readable,
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// The server refused.
    #[error("the server answered {status}: {said}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of what it said.
        said: String,
    },
    /// The answer is something else.
    #[error("the answer is not JSON: {0}")]
    NotJson(String),
}

/// Of what a server says with an error, so many characters are told.
const SAID_CHARS: usize = 300;

/// Asks, and gives the answer.
///
/// # Errors
/// See [`AskError`]; the body of an answer with an error's status that is JSON is given as the answer when `body` was posted, as JSON-RPC wants it.
pub async fn json(ask: &Ask<'_>) -> Result<Value, AskError> {
    let uri = address(ask.url)?;
    if ask.login.is_some() && is_readable_on_the_way(&uri) {
        return Err(AskError::Readable);
    }
    let connection = |error: HttpError| AskError::Connection(error.to_string());
    let reach = if ask.private { Reach::Private } else { Reach::Public };
    let mut headers = vec![header("accept", "application/json").map_err(connection)?];
    if let Some((user, password)) = ask.login {
        let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
        headers.push(header("authorization", &format!("Basic {basic}")).map_err(connection)?);
    }
    let tls = ClientTls::default();
    let answer = match ask.body {
        Some(body) => {
            headers.push(header("content-type", "application/json").map_err(connection)?);
            let mut http = Http::new(ask.url, tls, ask.timeout, reach)?;
            http.post(None, headers, body.to_string().into_bytes()).await
        }
        None => {
            let place = uri.authority().map(ToString::to_string).unwrap_or_default();
            let base = format!("{}://{place}", uri.scheme_str().unwrap_or("https"));
            let mut http = Http::new(&base, tls, ask.timeout, reach)?;
            http.get(uri.path_and_query().map_or("/", |path| path.as_str()), headers).await
        }
    };
    let answer = answer.map_err(connection)?;
    let json = serde_json::from_slice::<Value>(&answer.body);
    let good = (200..300).contains(&answer.status);
    match json {
        // bitcoind answers a call that failed with 500 and says why in JSON.
        Ok(value) if good || (ask.body.is_some() && value.get("error").is_some()) => Ok(value),
        Err(error) if good => Err(AskError::NotJson(error.to_string())),
        _ => {
            let said = String::from_utf8_lossy(&answer.body).chars().take(SAID_CHARS).collect();
            Err(AskError::Status { status: answer.status, said })
        }
    }
}
