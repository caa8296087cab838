//! Configuration: one YAML file, each item of it overridable from the environment, all of it optional.
//!
//! In two steps. [`Written`] is what may stand in the file; its docs are the manual, and the JSON Schema for
//! editors is made from it. What the program uses is checked and made ready from it once, at the start.

mod environment;
mod mistakes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestry_server::{ConfigError, Tls};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use mistakes::Mistake;

/// The file that is read when none is named.
pub(crate) const DEFAULT_FILE: &str = "attestry.yaml";

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
    /// What is collected on this host, by source.
    pub(crate) sources: Sources,
    /// The program's own log, on standard error.
    pub(crate) log: Log,
}

/// How people and programs reach the server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
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

/// What is collected on this host.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sources {
    /// Package history: dpkg's log, rotated ones too.
    pub(crate) packages: Source,
    /// Log-ins from wtmp and btmp.
    pub(crate) logins: Source,
    /// The auth log, or journald where there is none.
    pub(crate) auth: Source,
    /// File systems, load, memory and uptime, every 60 s.
    pub(crate) host: Source,
}

/// One source.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Source {
    /// Whether it runs, where it can. Default: true.
    pub(crate) enabled: bool,
    /// The ledger its events go to. Default: `audit`.
    pub(crate) ledger: String,
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
            sources: Sources::default(),
            log: Log::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: "127.0.0.1:7984".to_owned(),
            tls_cert: None,
            tls_key: None,
            tls_self_signed: false,
            public_url: None,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Source { enabled: true, ledger: "audit".to_owned() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".to_owned(), format: "text".to_owned() }
    }
}

/// How one ledger is kept, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LedgerConfig {
    pub(crate) name: String,
    pub(crate) public: bool,
    pub(crate) retention: Option<Duration>,
}

/// The configuration, checked and ready to use.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) written: Written,
    pub(crate) server: attestry_server::Config,
    pub(crate) ledgers: Vec<LedgerConfig>,
}

impl Config {
    /// Reads the file, lets the environment and then the command line override it, and checks the whole.
    ///
    /// `file` none: `attestry.yaml` if it is there, else no file. All mistakes are reported, not only the first.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        override_with: impl FnOnce(&mut Written),
    ) -> Result<Config, Vec<Mistake>> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(vec![Mistake::new(path.display().to_string(), error.to_string())]),
        };
        let name = path.display().to_string();
        let (mut written, mut mistakes) = mistakes::parse(&name, &text);
        for ledger in ["audit", "logs"] {
            written.ledgers.entry(ledger.to_owned()).or_default();
        }
        mistakes.extend(environment::apply(&mut written, environment));
        override_with(&mut written);
        match written.check(&name, &text) {
            Ok(config) if mistakes.is_empty() => Ok(config),
            Ok(_) => Err(mistakes),
            Err(more) => {
                mistakes.extend(more);
                Err(mistakes)
            }
        }
    }

    /// The JSON Schema of the file, for editors.
    pub(crate) fn schema() -> serde_json::Value {
        schemars::schema_for!(Written).to_value()
    }
}

impl Written {
    fn check(self, file: &str, text: &str) -> Result<Config, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut wrong = |path: &[&str], what: String| {
            let place = match mistakes::line_of(text, path) {
                Some(line) => format!("{file}:{line}"),
                None => path.join("."),
            };
            mistakes.push(Mistake::new(place, what));
        };
        let server = self.server.ready(&self.data_dir, &mut wrong);
        let mut ledgers = Vec::new();
        for (name, ledger) in &self.ledgers {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
                wrong(
                    &["ledgers", name],
                    format!("{name:?} is no ledger's name, expected 1 to 32 of a-z, 0-9, - and _"),
                );
            }
            let retention = ledger.retention.as_deref().map(parse_duration);
            if let Some(None) = retention {
                wrong(
                    &["ledgers", name, "retention"],
                    format!(
                        "{:?} is no duration, expected one such as 365d, 12h or 2w",
                        ledger.retention.as_deref().unwrap_or("")
                    ),
                );
            }
            ledgers.push(LedgerConfig {
                name: name.clone(),
                public: ledger.public,
                retention: retention.flatten(),
            });
        }
        let sources = &self.sources;
        for (name, source) in [
            ("packages", &sources.packages),
            ("logins", &sources.logins),
            ("auth", &sources.auth),
            ("host", &sources.host),
        ] {
            if !self.ledgers.contains_key(&source.ledger) {
                let known = self.ledgers.keys().cloned().collect::<Vec<_>>().join(", ");
                wrong(
                    &["sources", name, "ledger"],
                    format!("there is no ledger {:?}, there are {known}", source.ledger),
                );
            }
        }
        if !["error", "warn", "info", "debug", "trace"].contains(&self.log.level.as_str()) {
            wrong(
                &["log", "level"],
                format!("{:?} is no level, expected error, warn, info, debug or trace", self.log.level),
            );
        }
        if !["text", "json"].contains(&self.log.format.as_str()) {
            wrong(&["log", "format"], format!("{:?} is no format, expected text or json", self.log.format));
        }
        match (server, mistakes.is_empty()) {
            (Some(server), true) => Ok(Config { server, ledgers, written: self }),
            _ => Err(mistakes),
        }
    }
}

impl Server {
    /// What the server is started with; none when something is wrong.
    fn ready(
        &self,
        data_dir: &Path,
        wrong: &mut dyn FnMut(&[&str], String),
    ) -> Option<attestry_server::Config> {
        let tls = match (&self.tls_cert, &self.tls_key, self.tls_self_signed) {
            (Some(cert), Some(key), false) => Some(Tls::Files { cert: cert.clone(), key: key.clone() }),
            (None, None, true) => Some(Tls::SelfSigned { dir: data_dir.to_owned() }),
            (None, None, false) => None,
            (Some(_), Some(_), true) => {
                wrong(&["server", "tls_self_signed"], "a certificate is given, so none is made".to_owned());
                return None;
            }
            _ => {
                wrong(&["server"], "tls_cert and tls_key go together, one of them is missing".to_owned());
                return None;
            }
        };
        let Ok(listen) = self.listen.parse() else {
            let what = format!("{:?} is no address, expected one such as 127.0.0.1:7984", self.listen);
            wrong(&["server", "listen"], what);
            return None;
        };
        let mut trusted_proxies = Vec::new();
        for proxy in &self.trusted_proxies {
            match proxy.parse() {
                Ok(network) => trusted_proxies.push(network),
                Err(error) => wrong(&["server", "trusted_proxies"], format!("{proxy:?}: {error}")),
            }
        }
        let config =
            attestry_server::Config { listen, tls, public_url: self.public_url.clone(), trusted_proxies };
        let item = |error: &ConfigError| match error {
            ConfigError::PublicUrl(_) => "public_url",
            ConfigError::Exposed(_) => "listen",
        };
        config.check().map_err(|error| wrong(&["server", item(&error)], error.to_string())).ok()?;
        Some(config)
    }
}

/// A number and a unit: `s`, `m`, `h`, `d` or `w`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        std::fs::write(&path, text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(Some(&path), environment, |_| {}).map_err(|mistakes| {
            let place = format!("{}/", dir.path().display());
            mistakes.iter().map(|mistake| mistake.to_string().replace(&place, "")).collect()
        })
    }

    #[test]
    fn nothing_is_a_configuration() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:7984");
        assert_eq!(
            config.ledgers.iter().map(|ledger| ledger.name.as_str()).collect::<Vec<_>>(),
            ["audit", "logs"]
        );
        assert_eq!(config.written, Written::default());
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "\
data_dir: /srv/audit
server:
  listn: 127.0.0.1:1
  tls_self_signed: perhaps
ledgers:
  audit:
    retention: 12 moons
  Big Ledger: {}
sources:
  auth:
    ledger: nowhere
log:
  level: loud
";
        let mistakes = load(text, &[]).unwrap_err();
        let lines: Vec<&str> = mistakes.iter().map(|mistake| mistake.split(": ").next().unwrap()).collect();
        assert_eq!(
            lines,
            ["a.yaml:3", "a.yaml:4", "a.yaml:8", "a.yaml:7", "a.yaml:11", "a.yaml:13"],
            "{mistakes:#?}"
        );
        assert!(mistakes[0].contains("listn") && mistakes[0].contains("listen"), "{}", mistakes[0]);
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let text = "server:\n  listen: 127.0.0.1:1\n";
        let environment = [
            ("ATTESTRY_SERVER_LISTEN", "[::1]:8000"),
            ("ATTESTRY_SERVER_TLS_SELF_SIGNED", "true"),
            ("ATTESTRY_LEDGERS_AUDIT_RETENTION", "90d"),
            ("ATTESTRY_LEDGERS_LOGS_PUBLIC", "true"),
            ("ATTESTRY_SERVER_TRUSTED_PROXIES", "[127.0.0.1]"),
            ("ATTESTRY_DATA_DIR", "7"),
            ("PATH", "/bin"),
        ];
        let config = load(text, &environment).unwrap();
        assert_eq!(config.server.listen.to_string(), "[::1]:8000");
        assert!(config.written.server.tls_self_signed && config.ledgers[1].public);
        assert_eq!(config.ledgers[0].retention, Some(Duration::from_secs(90 * 86_400)));
        assert_eq!(config.server.trusted_proxies.len(), 1);
        assert_eq!(config.written.data_dir, Path::new("7"));
        let mistakes = load("", &[("ATTESTRY_SERVER_LISTN", "x"), ("ATTESTRY_LOG_LEVEL", "[]")]).unwrap_err();
        assert!(
            mistakes[1].starts_with("ATTESTRY_SERVER_LISTN: ")
                && mistakes[1].contains("ATTESTRY_SERVER_LISTEN"),
            "{mistakes:?}"
        );
        assert!(mistakes[0].starts_with("ATTESTRY_LOG_LEVEL: "), "{mistakes:?}");
    }

    #[test]
    fn refuses_to_be_exposed_without_tls() {
        let mistakes = load("server: {listen: '0.0.0.0:7984'}", &[]).unwrap_err();
        assert!(mistakes[0].contains("without encryption"), "{mistakes:?}");
        load("server: {listen: '0.0.0.0:7984', tls_self_signed: true}", &[]).unwrap();
        load("server: {listen: '0.0.0.0:7984', trusted_proxies: [10.0.0.1]}", &[]).unwrap();
    }

    #[test]
    fn durations() {
        for (text, expected) in
            [("90s", Some(90)), ("2w", Some(1_209_600)), ("0d", None), ("d", None), ("3", None), ("1y", None)]
        {
            assert_eq!(parse_duration(text).map(|time| time.as_secs()), expected, "{text}");
        }
    }
}
