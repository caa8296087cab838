//! What is collected on this host.

use std::collections::BTreeMap;

use attestry_collect::{
    auth, built_in, command, container_logs, docker, endpoint, files, host, logins, packages, services,
    tailed as follow, users,
};
use attestry_event::Period;
use attestry_script::{Case, Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filters::{MethodLists, Written};

/// One source. Those that run on every host have their kind by their name; any other says what it is, once.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Source {
    /// Whether it runs, where it can. Default: true.
    pub(crate) enabled: bool,
    /// Package history: dpkg's log, rotated ones too.
    pub(crate) packages: Option<packages::Config>,
    /// Log-ins from wtmp and btmp.
    pub(crate) logins: Option<logins::Config>,
    /// The auth log, or journald where there is none.
    pub(crate) auth: Option<auth::Config>,
    /// File systems, load, memory and uptime.
    pub(crate) host: Option<host::Config>,
    /// Accounts, groups, sudo's rules and SSH keys, compared with the last look.
    pub(crate) users: Option<users::Config>,
    /// Services: started, stopped, failed, enabled.
    pub(crate) services: Option<services::Config>,
    /// Watched files: content, owner, mode.
    pub(crate) files: Option<files::Config>,
    /// Checks of HTTP, HTTPS and TCP endpoints.
    pub(crate) endpoint: Option<endpoint::Config>,
    /// Log files, by patterns.
    pub(crate) follow: Option<follow::Config>,
    /// A program on a schedule, whose output is events or text.
    pub(crate) command: Option<command::Config>,
    /// What happens to containers, images, networks and volumes of Docker.
    pub(crate) docker: Option<docker::Config>,
    /// What containers of Docker write to their standard output and error.
    pub(crate) container_logs: Option<container_logs::Config>,
    /// The ledger its events go to. Default: `audit`; `logs` for followed files and what containers write.
    pub(crate) ledger: Option<String>,
    /// Which events, by name. Default: all.
    pub(crate) methods: Option<MethodLists>,
    /// A VRL program that takes out what must not be kept. It sees everything first; where it fails, nothing of the text is kept.
    pub(crate) redact: Option<String>,
    /// A parser for lines, by name: `apache`, `auditd`, `json`, `logfmt`, `mysql`, `nginx`, `postgresql` or `syslog`. Runs before `transform`; what
    /// it cannot read is kept with `event_data.unparsed`.
    pub(crate) parser: Option<String>,
    /// A VRL program that changes events before they are kept, or drops them by `abort`.
    pub(crate) transform: Option<String>,
    /// A VRL condition: only events for which it is true are kept.
    #[serde(rename = "where")]
    pub(crate) condition: Option<String>,
    /// Cases that show what `parser`, `transform` and `where` do; `attestry check --test` runs them.
    pub(crate) tests: Vec<Case>,
    /// How often something comes at least; a longer silence is an event. Default: for what is looked at regularly, that; the rest may be silent.
    pub(crate) expect: Option<Period>,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            enabled: true,
            packages: None,
            logins: None,
            auth: None,
            host: None,
            users: None,
            services: None,
            files: None,
            endpoint: None,
            follow: None,
            command: None,
            docker: None,
            container_logs: None,
            ledger: None,
            methods: None,
            redact: None,
            parser: None,
            transform: None,
            condition: None,
            tests: Vec::new(),
            expect: None,
        }
    }
}

/// Calls `$with` with every kind of source, named as its field.
macro_rules! kinds {
    ($with:ident) => {
        $with!(
            packages,
            logins,
            auth,
            host,
            users,
            files,
            services,
            endpoint,
            follow,
            command,
            docker,
            container_logs
        )
    };
}

impl Source {
    /// The kinds that are given: exactly one in a checked configuration.
    pub(crate) fn kinds(&self) -> Vec<Box<dyn attestry_collect::Source>> {
        let mut given: Vec<Box<dyn attestry_collect::Source>> = Vec::new();
        macro_rules! look {
            ($($kind:ident),*) => {$(
                if let Some(config) = &self.$kind {
                    given.push(Box::new(config.clone()));
                }
            )*};
        }
        kinds!(look);
        given
    }

    /// The kinds with what is wrong in their settings.
    pub(super) fn checked(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        self.kinds().iter().map(|kind| (kind.kind(), kind.check())).collect()
    }

    /// Makes it the kind of that name, with its defaults.
    fn become_kind(&mut self, name: &str) {
        macro_rules! choose {
            ($($kind:ident),*) => {
                match name {
                    $(stringify!($kind) => self.$kind = Some($kind::Config::default()),)*
                    _ => {}
                }
            };
        }
        kinds!(choose);
    }

    /// The ledger its events go to.
    pub(crate) fn ledger(&self) -> &str {
        let logs = self.follow.is_some() || self.container_logs.is_some();
        self.ledger.as_deref().unwrap_or(if logs { "logs" } else { "audit" })
    }

    pub(crate) fn filters(&self) -> Written<'_> {
        Written {
            methods: self.methods.as_ref(),
            redact: self.redact.as_deref(),
            parser: self.parser.as_deref(),
            // Programs of this host write in its zone.
            zone: Zone::Host,
            transform: self.transform.as_deref(),
            condition: self.condition.as_deref(),
            tests: &self.tests,
        }
    }
}

/// Adds the sources that run on every host and are not written, and gives those written without a kind theirs.
pub(super) fn complete(sources: &mut BTreeMap<String, Source>) {
    for kind in built_in() {
        let source = sources.entry(kind.kind().to_owned()).or_default();
        if source.kinds().is_empty() {
            source.become_kind(kind.kind());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_ones_have_their_kind_by_their_name() {
        let mut sources: BTreeMap<String, Source> =
            serde_saphyr::from_str("{auth: {enabled: false}, often: {host: {every: 5s}}, odd: {}}").unwrap();
        complete(&mut sources);
        let kinds: Vec<(&str, Vec<&str>)> = sources
            .iter()
            .map(|(name, source)| (name.as_str(), source.kinds().iter().map(|kind| kind.kind()).collect()))
            .collect();
        assert!(kinds.contains(&("auth", vec!["auth"])) && !sources["auth"].enabled, "{kinds:?}");
        assert!(kinds.contains(&("often", vec!["host"])), "{kinds:?}");
        assert!(kinds.contains(&("odd", vec![])), "{kinds:?}");
        assert_eq!(sources.len(), built_in().len() + 2);
    }
}
