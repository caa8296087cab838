//! Configuration: one YAML file, each item of it overridable from the environment, all of it optional.
//!
//! In two steps. [`Written`] is what may stand in the file; its docs are the manual, and the JSON Schema for
//! editors is made from it. What the program uses is checked and made ready from it once, at the start.

mod check;
mod control;
mod environment;
mod filters;
mod lines;
mod methods;
mod mistakes;
mod receivers;
mod reports;
mod shown;
mod sinks;
mod sources;
mod written;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use control::{Control, ControlQueue};
pub(crate) use filters::Filters;
pub(crate) use lines::Lines;
pub(crate) use mistakes::Mistake;
pub(crate) use receivers::Receiver;
pub(crate) use reports::{Kind as ReportKind, Login as ReportLogin, Reports};
pub(crate) use sinks::Sink;
pub(crate) use sources::Source;
pub(crate) use written::{Log, WhenFull, Written};

use attestry_event::{NoPeriod, Period};

use crate::enrolment::Enrolment;

/// The file that is read when none is named.
pub(crate) const DEFAULT_FILE: &str = "attestry.yaml";

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
    pub(crate) sources: BTreeMap<String, (Source, Filters)>,
    pub(crate) receivers: BTreeMap<String, (Receiver, Filters)>,
    pub(crate) sinks: BTreeMap<String, (Sink, Filters)>,
    /// Whether this node has ledgers and answers requests.
    pub(crate) serves: bool,
    /// What makes this host an agent; none when it is none.
    pub(crate) enrolment: Option<Enrolment>,
    /// SHA-256 of the file, hexadecimal; that of nothing without one.
    pub(crate) hash: String,
    /// Where each item stands, for who has to say which line decided.
    pub(crate) lines: Lines,
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
        sources::complete(&mut written.sources);
        mistakes.extend(environment::apply(&mut written, environment));
        override_with(&mut written);
        match written.check(&name, &text) {
            Ok(config) if mistakes.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(more) => mistakes.extend(more),
        }
        mistakes.sort_by_key(|mistake| mistake.line(&name).unwrap_or(usize::MAX));
        Err(mistakes)
    }

    /// The file that a watch of a database keeps its copy in.
    pub(crate) fn copy_of(&self, name: &str, watch: &attestry_db::WatchConfig) -> PathBuf {
        let default = || self.written.data_dir.join("databases").join(format!("{name}.sqlite"));
        watch.copy_file().cloned().unwrap_or_else(default)
    }

    /// The JSON Schema of the file, for editors.
    pub(crate) fn schema() -> serde_json::Value {
        schemars::schema_for!(Written).to_value()
    }
}

/// A length of time that is not none, or what is wrong with the text.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    let period: Period = text.parse().map_err(|error: NoPeriod| error.to_string())?;
    period.at_least(Period::seconds(1)).map_or(Ok(period.0), Err)
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
audit:
  bank:
    url: oracle://db/bank
    reconcile: {chunk_rows: 0}
log:
  level: loud
";
        let mistakes = load(text, &[]).unwrap_err();
        let lines: Vec<&str> = mistakes.iter().map(|mistake| mistake.split(": ").next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "a.yaml:3",
                "a.yaml:4",
                "a.yaml:7",
                "a.yaml:8",
                "a.yaml:11",
                "a.yaml:14",
                "a.yaml:15",
                "a.yaml:17"
            ],
            "{mistakes:#?}"
        );
        assert!(mistakes[0].contains("listn") && mistakes[0].contains("listen"), "{}", mistakes[0]);
        assert!(mistakes[0].ends_with(" (column 3)"), "{}", mistakes[0]);
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
    fn no_time_is_told_from_some() {
        for (text, expected) in
            [("90s", Some(90)), ("2w", Some(1_209_600)), ("0d", None), ("d", None), ("1y", None)]
        {
            let found = some_time(text);
            assert_eq!(found.as_ref().ok().map(Duration::as_secs), expected, "{found:?}");
            assert!(found.is_ok() || found.is_err_and(|what| what.contains("expected")), "{text}");
        }
    }
}
