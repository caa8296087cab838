//! The configuration as it stands in the file, with the defaults of all that is not in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Control, Receiver, Reports, Sink, Source, sources};

/// The configuration as it stands in the file. Every item has a default, so an empty file is a configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Written {
    /// The data directory. Default: `./attestry-data`.
    pub(crate) data_dir: PathBuf,
    /// How people and programs reach the server.
    pub(crate) server: Server,
    /// The ledgers, by name (a-z, 0-9, `-`, `_`). `audit` and `logs` exist without being named.
    pub(crate) ledgers: BTreeMap<String, Ledger>,
    /// What is collected on this host, by name. The built-in ones run where they can without being named.
    pub(crate) sources: BTreeMap<String, Source>,
    /// Databases that are watched row by row, by name.
    pub(crate) audit: BTreeMap<String, attestry_db::WatchConfig>,
    /// What deserves attention.
    pub(crate) rules: attestry_rules::Options,
    /// Reports: what is handed over, when, and to whom.
    pub(crate) reports: Reports,
    /// Where events come in from others, by name.
    pub(crate) receivers: BTreeMap<String, Receiver>,
    /// Where events go besides the ledgers, by name. On a node without ledgers: all there is.
    pub(crate) sinks: BTreeMap<String, Sink>,
    /// Messages that tell Attestry to do something, signed by OpenPGP.
    pub(crate) control: Control,
    /// The user's GnuPG, for what is signed, encrypted and verified.
    pub(crate) openpgp: attestry_openpgp::OpenpgpConfig,
    /// What a node without ledgers keeps until its sinks have it.
    pub(crate) spool: Spool,
    /// The program's own log, on standard error.
    pub(crate) log: Log,
}

/// What a node without ledgers keeps until its sinks have it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spool {
    /// How many bytes it may take on the disk. Default: 10737418240 (10 GiB); at least 100663296 (96 MiB).
    pub(crate) max_bytes: u64,
    /// What gives way when it is full: `block` makes sources wait, `drop_oldest` loses the oldest events and says how many. Default: block.
    pub(crate) when_full: WhenFull,
}

/// What gives way when the spool is full.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenFull {
    /// Sources wait.
    #[default]
    Block,
    /// The oldest events go, and a `gap.spool` event says how many.
    DropOldest,
}

impl Default for Spool {
    fn default() -> Self {
        Spool { max_bytes: 10 << 30, when_full: WhenFull::default() }
    }
}

/// How people and programs reach the server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Whether this node has ledgers and answers requests. Default: true, and false on a host that is enrolled as an agent.
    pub(crate) enabled: Option<bool>,
    /// Address and port to listen on. Any but a loopback address needs TLS or a trusted proxy. Default: `127.0.0.1:7984`.
    pub(crate) listen: String,
    /// Certificate chain, a PEM file. With `tls_key` it switches TLS on.
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of the certificate, a PEM file.
    pub(crate) tls_key: Option<PathBuf>,
    /// Makes a self-signed certificate at the first start and uses it. Not together with `tls_cert`.
    pub(crate) tls_self_signed: bool,
    /// The address people use, such as `https://audit.example.org`: for links and the check of the `Host` header.
    pub(crate) public_url: Option<String>,
    /// Addresses or networks of the proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<String>,
}

/// How one ledger is kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ledger {
    /// Whether anybody may read the log (`/log/<ledger>/`) without a key.
    pub(crate) public: bool,
    /// How long entries are kept after they came in, such as `365d`. Default: for ever.
    pub(crate) retention: Option<String>,
}

/// The program's own log.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`. Default: `info`.
    pub(crate) level: String,
    /// `text` or `json`. Default: `text`.
    pub(crate) format: String,
}

impl Default for Written {
    fn default() -> Self {
        Written {
            data_dir: "attestry-data".into(),
            server: Server::default(),
            ledgers: ["audit", "logs"].map(|name| (name.to_owned(), Ledger::default())).into(),
            sources: {
                let mut built_in = BTreeMap::new();
                sources::complete(&mut built_in);
                built_in
            },
            audit: BTreeMap::new(),
            rules: attestry_rules::Options::default(),
            reports: Reports::default(),
            openpgp: attestry_openpgp::OpenpgpConfig::default(),
            receivers: BTreeMap::new(),
            sinks: BTreeMap::new(),
            control: Control::default(),
            spool: Spool::default(),
            log: Log::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Server {
            enabled: None,
            listen: "127.0.0.1:7984".to_owned(),
            tls_cert: None,
            tls_key: None,
            tls_self_signed: false,
            public_url: None,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_owned(), format: "text".to_owned() }
    }
}
