//! Whether a configuration is right as a whole, and what it is once it is.

use std::collections::BTreeMap;
use std::path::Path;

use attestry_event::{Period, hex};
use attestry_script::Input;
use attestry_server::{ConfigError, Tls};
use attestry_wire::tls::ClientTls;
use sha2::{Digest, Sha256};

use super::lines::Lines;
use super::mistakes::Mistake;
use super::written::{Server, Written};
use super::{Config, LedgerConfig, Sink, filters, some_time};
use crate::enrolment::{Enrolment, Folder};

/// The sink of an agent that is told nothing else.
const AGENT_SINK: &str = "server";
impl Written {
    pub(super) fn check(mut self, file: &str, text: &str) -> Result<Config, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let lines = Lines { file: file.to_owned(), text: text.to_owned() };
        let folder = Folder::of(&self.data_dir);
        let enrolment = folder.load().unwrap_or_else(|error| {
            mistakes.push(Mistake::new(self.data_dir.display().to_string(), format!("{error:#}")));
            None
        });
        let serves = self.server.enabled.unwrap_or(enrolment.is_none());
        self.become_agent(enrolment.as_ref().filter(|_| !serves), &folder);
        let mut wrong = |path: &[&str], what: String| mistakes.push(Mistake::new(lines.place(path), what));
        if !serves && self.sinks.is_empty() {
            let what =
                "a node without ledgers needs a sink: name one, or enroll this host (attestry agent enroll)";
            wrong(&["server", "enabled"], what.to_owned());
        }
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
            let retention = ledger.retention.as_deref().map(some_time).transpose().unwrap_or_else(|what| {
                wrong(&["ledgers", name, "retention"], what);
                None
            });
            ledgers.push(LedgerConfig { name: name.clone(), public: ledger.public, retention });
        }
        let mut checked: Vec<([&str; 2], filters::Written<'_>, Input)> = Vec::new();
        for (name, source) in &self.sources {
            if let Some(what) = self.no_ledger(serves, source.ledger()) {
                wrong(&["sources", name, "ledger"], what);
            }
            named(&["sources", name], name, &source.checked(), &mut wrong);
            checked.push((["sources", name], source.filters(), Input::Event));
        }
        if !serves && !self.audit.is_empty() {
            let what = "databases are watched by a server, which keeps the copies and shows what broke a rule; this node is none";
            wrong(&["audit"], what.to_owned());
        }
        for (name, watch) in &self.audit {
            if let Some(what) = self.no_ledger(serves, watch.ledger.as_deref().unwrap_or("audit")) {
                wrong(&["audit", name, "ledger"], what);
            }
            is_name(&["audit", name], name, &mut wrong);
            for (item, what) in watch.check(name) {
                let place: Vec<&str> = ["audit", name].into_iter().chain(item.iter().copied()).collect();
                wrong(&place, format!("{}: {what}", item.join(".")));
            }
        }
        if !serves && self.rules != attestry_rules::Options::default() {
            wrong(&["rules"], "rules run where the ledgers are; this node has none".to_owned());
        }
        // A rule that is wrong keeps no server from starting; `attestry check` tells of it.
        for folder in self.rules.folders.iter().filter(|folder| !folder.is_dir()) {
            wrong(&["rules", "folders"], format!("there is no folder {}", folder.display()));
        }
        let sinks: Vec<&str> = self.sinks.keys().map(String::as_str).collect();
        for (item, what) in self.reports.check(&sinks) {
            let place: Vec<&str> = ["reports"].into_iter().chain(item.iter().map(String::as_str)).collect();
            wrong(&place, what);
        }
        for (name, receiver) in &self.receivers {
            if let Some(what) = self.no_ledger(serves, receiver.ledger()) {
                wrong(&["receivers", name, "ledger"], what);
            }
            named(&["receivers", name], name, &receiver.protocols(), &mut wrong);
            checked.push((["receivers", name], receiver.filters(), receiver.script_input()));
        }
        for (name, sink) in &self.sinks {
            for ledger in &sink.ledgers {
                if let Some(what) = self.no_ledger(serves, ledger) {
                    wrong(&["sinks", name, "ledgers"], what);
                }
            }
            named(&["sinks", name], name, &sink.protocols(), &mut wrong);
            checked.push((["sinks", name], sink.filters(), Input::Event));
        }
        if !serves && self.control.is_open() {
            let what = "messages are for a server, which has the violations and reports; this node is none";
            wrong(&["control"], what.to_owned());
        }
        for (item, what) in self.control.check() {
            let place: Vec<&str> = ["control"].into_iter().chain(item.iter().copied()).collect();
            wrong(&place, format!("{}: {what}", item.join(".")));
        }
        for name in self.control.queues.keys() {
            is_name(&["control", "queues"], name, &mut wrong);
        }
        for (item, what) in self.openpgp.check() {
            wrong(&["openpgp", item], format!("{item}: {what}"));
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
        let mut filters = BTreeMap::new();
        for ([section, name], written, input) in checked {
            let (compiled, found) = written.compile(input);
            for (item, line, what) in found {
                let place = lines.place_within(&[section, name, item], line);
                mistakes.push(Mistake::new(place, format!("{item}: {what}")));
            }
            filters.insert((section.to_owned(), name.to_owned()), compiled);
        }
        let mut of = |section: &str, name: &str| {
            filters.remove(&(section.to_owned(), name.to_owned())).unwrap_or_default()
        };
        let sources = self.sources.iter();
        let sources =
            sources.map(|(name, config)| (name.clone(), (config.clone(), of("sources", name)))).collect();
        let receivers = self.receivers.iter();
        let receivers =
            receivers.map(|(name, config)| (name.clone(), (config.clone(), of("receivers", name)))).collect();
        let sinks = self.sinks.iter();
        let sinks = sinks.map(|(name, config)| (name.clone(), (config.clone(), of("sinks", name)))).collect();
        let hash = hex(Sha256::digest(text));
        match (server, mistakes.is_empty()) {
            (Some(server), true) => Ok(Config {
                server,
                ledgers,
                sources,
                receivers,
                sinks,
                serves,
                enrolment,
                hash,
                lines,
                written: self,
            }),
            _ => Err(mistakes),
        }
    }

    /// An agent that is told no sink sends to the server it is enrolled with.
    fn become_agent(&mut self, enrolment: Option<&Enrolment>, folder: &Folder) {
        let Some(enrolment) = enrolment.filter(|_| self.sinks.is_empty()) else { return };
        let attestry = attestry_wire::attestry::SinkConfig {
            url: enrolment.url.clone(),
            key: None,
            tls: ClientTls {
                ca: enrolment.pinned_server.then(|| folder.server()),
                cert: Some(folder.certificate()),
                key: Some(folder.key()),
                server_name: None,
            },
            timeout: Period::seconds(60),
        };
        self.sinks.insert(AGENT_SINK.to_owned(), Sink { attestry: Some(attestry), ..Sink::default() });
    }

    /// What is wrong with a ledger's name. A node without ledgers cannot know those of its server.
    fn no_ledger(&self, serves: bool, name: &str) -> Option<String> {
        if !serves || self.ledgers.contains_key(name) {
            return None;
        }
        let known = self.ledgers.keys().cloned().collect::<Vec<_>>().join(", ");
        Some(format!("there is no ledger {name:?}, there are {known}"))
    }
}

/// Checks what is a name in the configuration and often one of a file, too.
fn is_name(path: &[&str; 2], name: &str, wrong: &mut dyn FnMut(&[&str], String)) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || name.starts_with('.') {
        wrong(path, format!("{name:?} is no name, expected 1 to 64 of A-Z, a-z, 0-9, -, _ and ."));
    }
}

/// Checks the name of a source, receiver or sink, and that it has exactly one kind or protocol, whose settings are right.
fn named(
    path: &[&str; 2],
    name: &str,
    given: &[(&'static str, Vec<(&'static str, String)>)],
    wrong: &mut dyn FnMut(&[&str], String),
) {
    is_name(path, name, wrong);
    let (what, such_as) = match path[0] {
        "sources" => ("kind", "follow or command"),
        _ => ("protocol", "syslog or nats"),
    };
    match given {
        [(kind, mistakes)] => {
            for (field, mistake) in mistakes {
                let mut place = vec![path[0], path[1], *kind];
                place.extend(field.split('.'));
                wrong(&place, format!("{field}: {mistake}"));
            }
        }
        [] => wrong(path, format!("it has no {what}, expected one such as {such_as}")),
        several => {
            let names: Vec<&str> = several.iter().map(|(kind, _)| *kind).collect();
            wrong(path, format!("it has {}, expected one {what}", names.join(" and ")));
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
