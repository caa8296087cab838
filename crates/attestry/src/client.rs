//! The commands' way to a running server.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use crate::config::{Config, DEFAULT_FILE};
use crate::enrolment::Folder;

/// The key to show to the server; it goes before the local server's own.
pub(crate) const KEY_VARIABLE: &str = "ATTESTRY_KEY";
/// Where the running server leaves the key of whoever may read its data directory.
pub(crate) const LOCAL_KEY_FILE: &str = "local-key";
/// Where the server keeps the certificate it made for itself.
pub(crate) const SELF_SIGNED_CERT: &str = "tls.cert";

/// Below the command's own options in its help: these are the same everywhere.
const HEADING: &str = "Which server";

/// How a command reaches the server.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connection {
    /// The server's address. Default: that of the server which runs on the data directory, else the one the configuration gives.
    #[arg(long, env = "ATTESTRY_URL", global = true, help_heading = HEADING)]
    url: Option<String>,
    /// A file with the key. Without it, the variable ATTESTRY_KEY, or the local server's own key, which its owner can read.
    #[arg(long, env = "ATTESTRY_KEY_FILE", global = true, help_heading = HEADING, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A PEM file with the certificate to trust, when it is not one of a public authority.
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The local server's data directory. Default: the configuration's.
    #[arg(long, global = true, help_heading = HEADING, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The local server's configuration file.
    #[arg(short, long, env = "ATTESTRY_CONFIG", global = true, help_heading = HEADING, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Connection {
    /// The local configuration, with what the command line overrides.
    pub(crate) fn config(&self) -> Result<Config> {
        let data_dir = self.data_dir.clone();
        Config::load(self.config.as_deref(), std::env::vars(), |written| {
            if let Some(data_dir) = data_dir {
                written.data_dir = data_dir;
            }
        })
        .map_err(|mistakes| {
            let list: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the configuration has mistakes:\n  {}", list.join("\n  "))
        })
    }

    /// Whether the command line names a server, rather than the data directory of this host.
    pub(crate) fn names_server(&self) -> bool {
        self.url.is_some()
    }

    /// How other hosts reach the server: as it says itself when it runs, else as the configuration says.
    pub(crate) fn public_url(&self, config: &Config) -> String {
        match crate::control::address(&config.written.data_dir) {
            Some(address) => address.public,
            None => crate::run::base_url(config),
        }
    }

    /// A client, ready to ask.
    pub(crate) fn client(&self) -> Result<Client> {
        self.client_with(Connection::key)
    }

    /// A client for what only the owner of the server's data directory may do: whatever the environment's key is for, it is not for that.
    pub(crate) fn owner_client(&self) -> Result<Client> {
        self.client_with(|connection, data_dir| match (&connection.key_file, local_key(data_dir)) {
            (None, Some(key)) => Ok(Some(key)),
            _ => connection.key(data_dir),
        })
    }

    fn client_with(
        &self,
        key: impl FnOnce(&Self, Option<&Path>) -> Result<Option<String>>,
    ) -> Result<Client> {
        let (base, data_dir) = match &self.url {
            Some(url) => (url.trim_end_matches('/').to_owned(), self.data_dir.clone()),
            None => {
                let config = self.config()?;
                let data_dir = config.written.data_dir;
                // The server that runs may have been told another address than the one that is configured here and now.
                let base = crate::control::address(&data_dir).map_or_else(
                    || {
                        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
                        format!("{scheme}://{}", config.server.listen)
                    },
                    |address| address.here,
                );
                (base, Some(data_dir))
            }
        };
        let scheme = base.parse::<Uri>().ok().and_then(|uri| uri.scheme_str().map(str::to_owned));
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            bail!("{base:?} is no address of a server, expected one such as https://audit.example.org:7984");
        }
        let key = key(self, data_dir.as_deref())?;
        let ca_file = self.ca_file.clone().or_else(|| self_signed(data_dir.as_deref()));
        let agent = agent(ca_file.as_deref().map(certificates).transpose()?)?;
        Ok(Client { agent, base, key })
    }

    /// A client without a key for another server, believed by `roots` (PEM), by `--ca-file`, or as the public web is.
    pub(crate) fn unkeyed(&self, url: &str, roots: Option<&str>) -> Result<Client> {
        let roots = match (roots, &self.ca_file) {
            (_, Some(file)) => Some(certificates(file)?),
            (Some(pem), None) => Some(pem.to_owned()),
            (None, None) => None,
        };
        Ok(Client { agent: agent(roots)?, base: url.to_owned(), key: None })
    }

    /// The key is never an argument: those are seen by everybody on the host.
    fn key(&self, data_dir: Option<&Path>) -> Result<Option<String>> {
        if let Some(file) = &self.key_file {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the key in {}", file.display()))?;
            return Ok(Some(text.trim().to_owned()));
        }
        if let Ok(key) = std::env::var(KEY_VARIABLE) {
            return Ok(Some(key.trim().to_owned()));
        }
        Ok(local_key(data_dir))
    }
}

fn local_key(data_dir: Option<&Path>) -> Option<String> {
    let key = std::fs::read_to_string(data_dir?.join(LOCAL_KEY_FILE)).ok()?;
    Some(key.trim().to_owned())
}

fn self_signed(data_dir: Option<&Path>) -> Option<PathBuf> {
    data_dir.map(|dir| dir.join(SELF_SIGNED_CERT)).filter(|cert| cert.exists())
}

fn certificates(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// What makes requests; `roots` are the certificates to believe, PEM, those of the public web when there are none.
fn agent(roots: Option<String>) -> Result<Agent> {
    agent_with(roots, None)
}

/// As [`agent`], showing itself by a certificate and its key, PEM.
fn agent_with(roots: Option<String>, own: Option<(String, String)>) -> Result<Agent> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls =
        TlsConfig::builder().provider(TlsProvider::Rustls).unversioned_rustls_crypto_provider(provider);
    if let Some(pem) = roots {
        let found = ureq::tls::parse_pem(pem.as_bytes()).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        let found: Vec<Certificate<'static>> =
            found.collect::<Result<_, _>>().context("not certificates in PEM")?;
        if found.is_empty() {
            bail!("there is no certificate in what the server is to be believed by");
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&found));
    }
    if let Some((chain, key)) = own {
        let chain = ureq::tls::parse_pem(chain.as_bytes()).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let chain: Vec<Certificate<'static>> = chain.collect();
        let key = PrivateKey::from_pem(key.as_bytes()).context("the agent's key is not PEM")?;
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
    }
    Ok(Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(10)))
        .build()
        .into())
}

/// A server, and the key to ask it with.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client that shows an agent's certificate.
    pub(crate) fn as_agent(url: &str, folder: &Folder, pinned: bool) -> Result<Client> {
        let roots = pinned.then(|| certificates(&folder.server())).transpose()?;
        let own = (certificates(&folder.certificate())?, certificates(&folder.key())?);
        Ok(Client { agent: agent_with(roots, Some(own))?, base: url.to_owned(), key: None })
    }

    /// Asks for a path below the server's address; `parameters` that are none are left out.
    pub(crate) fn get(&self, path: &str, parameters: &[(&str, Option<&str>)]) -> Result<Response<Body>> {
        self.get_as(path, parameters, "application/json")
    }

    /// As [`Client::get`], in the wanted media type.
    pub(crate) fn get_as(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        accept: &str,
    ) -> Result<Response<Body>> {
        let mut request = self.agent.get(format!("{}{path}", self.base)).header("accept", accept);
        for (name, value) in parameters {
            if let Some(value) = value {
                request = request.query(*name, *value);
            }
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        succeeded(request.call().with_context(|| self.unreachable())?)
    }

    /// Asks for JSON.
    pub(crate) fn json(&self, path: &str, parameters: &[(&str, Option<&str>)]) -> Result<Value> {
        parse(self.get(path, parameters)?)
    }

    /// Posts a body and gives the answer whatever its status; none when the connection broke before one came.
    pub(crate) fn post(
        &self,
        path: &str,
        content_type: &str,
        encoding: Option<&str>,
        body: &[u8],
    ) -> Result<(u16, Value), ureq::Error> {
        let mut request =
            self.agent.post(format!("{}{path}", self.base)).header("content-type", content_type);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(body)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Posts JSON and gives the answer, or the error that the server's problem document tells.
    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Result<Value> {
        let posted = self.post(path, "application/json", None, body.to_string().as_bytes());
        let (status, answer) = posted.with_context(|| self.unreachable())?;
        if !(200..300).contains(&status) {
            bail!("{}", problem(status, &answer));
        }
        Ok(answer)
    }

    /// Deletes what is at a path.
    pub(crate) fn delete(&self, path: &str, parameters: &[(&str, Option<&str>)]) -> Result<()> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        for (name, value) in parameters {
            if let Some(value) = value {
                request = request.query(*name, *value);
            }
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        succeeded(request.call().with_context(|| self.unreachable())?).map(drop)
    }

    fn unreachable(&self) -> String {
        format!(
            "cannot reach the server at {} (is it running? `attestry run` starts one; --url names another)",
            self.base
        )
    }
}

/// The answer, or the error that the server's problem document tells.
fn succeeded(response: Response<Body>) -> Result<Response<Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut text = String::new();
    response.into_body().into_reader().take(1 << 20).read_to_string(&mut text).unwrap_or(0);
    bail!("{}", problem(status.as_u16(), &serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// What a problem document says, for a person.
pub(crate) fn problem(status: u16, body: &Value) -> String {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let mut told = match (text("title"), text("detail")) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        (Some(title), None) => title.to_owned(),
        _ => format!("the server answered {status}"),
    };
    // Where a query is wrong: the same words as for a filter that is read here.
    if let (Some(position), Some(expected)) = (body["position"].as_u64(), text("expected")) {
        told.push_str(&format!(" (at byte {position}; expected {expected})"));
    }
    if matches!(status, 401 | 403) && std::env::var_os(KEY_VARIABLE).is_some() {
        told.push_str(&format!(
            " (the variable {KEY_VARIABLE} is set: without --key-file it is that key which counts)"
        ));
    } else if status == 401 {
        told.push_str(&format!(" (give a key with --key-file or ATTESTRY_KEY; without {DEFAULT_FILE}, run this where the server's data directory is)"));
    }
    told
}

fn parse(mut response: Response<Body>) -> Result<Value> {
    let text = response
        .body_mut()
        .with_config()
        .limit(256 << 20)
        .read_to_string()
        .context("the answer broke off")?;
    serde_json::from_str(&text).context("the answer is not JSON: is this address an Attestry server?")
}
