//! A new configuration while the program runs: checked whole and swapped, or refused and the old one kept. Either is an event.

use std::sync::Arc;

use anyhow::{Result, bail};
use attestry_event::{Event, Outcome};
use parking_lot::Mutex;

use crate::alerts::Watching;
use crate::config::{Config, Mistake};
use crate::databases::Watches;
use crate::flow::{Changes, Flow};
use crate::logging::Level;
use crate::reports::Desk;
use crate::sources::Sources;

/// Reads the configuration again, the same way as at the start.
type Load = Box<dyn Fn() -> Result<Config, Vec<Mistake>> + Send + Sync>;

/// What follows a new configuration while it runs.
pub(crate) struct Parts {
    pub(crate) flow: Arc<Flow>,
    pub(crate) sources: Arc<Sources>,
    /// None on a node without ledgers.
    pub(crate) rules: Option<Arc<Watching>>,
    /// None on a node without ledgers.
    pub(crate) watches: Option<Arc<Watches>>,
    /// None on a node without ledgers.
    pub(crate) reports: Option<Arc<Desk>>,
    pub(crate) log: Level,
}

/// What reloads.
pub(crate) struct Reloader {
    parts: Parts,
    load: Load,
    current: Mutex<Config>,
}

impl Reloader {
    pub(crate) fn new(parts: Parts, current: Config, load: Load) -> Reloader {
        Reloader { parts, load, current: Mutex::new(current) }
    }

    /// What follows a new configuration: the sources among it.
    pub(crate) fn sources(&self) -> &Arc<Sources> {
        &self.parts.sources
    }

    /// Reads, checks, swaps.
    pub(crate) async fn reload(&self) -> Result<Changes> {
        let new = match self.read().await? {
            Ok(new) => new,
            Err(list) => {
                tracing::error!(mistakes = ?list, "the new configuration has mistakes: the old one stays in force");
                let event = Event::new("config.refuse", "-")
                    .outcome(Outcome::Failure)
                    .severity(4)
                    .message(format!(
                        "a new configuration was refused for {} mistakes: {}",
                        list.len(),
                        list.first().map_or("", String::as_str)
                    ))
                    .data("mistakes", list.clone());
                self.parts.flow.ground().declare(event);
                bail!(
                    "the configuration has mistakes, and the old one stays in force:\n  {}",
                    list.join("\n  ")
                );
            }
        };
        let waiting = self.waiting(&new);
        let changes = self.change(&new).await;
        let failed: Vec<String> = changes.failed.iter().map(|error| format!("{error:#}")).collect();
        let mut told = format!(
            "the configuration was read again: {} started, {} stopped",
            changes.started.len(),
            changes.stopped.len()
        );
        if !waiting.is_empty() {
            told = format!(
                "the configuration was read again; {} take effect at the next start",
                waiting.join(", ")
            );
        }
        let (outcome, severity) = match failed.as_slice() {
            [] => (Outcome::Success, 5),
            [first, ..] => {
                told = format!("{told}; {} failed: {first}", failed.len());
                (Outcome::Failure, 4)
            }
        };
        let event = Event::new("config.reload", "-")
            .outcome(outcome)
            .severity(severity)
            .message(told)
            .data("sha256", new.hash.as_str())
            .data("started", changes.started.clone())
            .data("stopped", changes.stopped.clone())
            .data("failed", failed.clone())
            .data("at_next_start", waiting.clone());
        self.parts.flow.ground().declare(event);
        tracing::info!(started = ?changes.started, stopped = ?changes.stopped, ?failed, at_next_start = ?waiting, "the configuration was read again");
        *self.current.lock() = new;
        if !failed.is_empty() {
            bail!("the configuration is in force but for what failed:\n  {}", failed.join("\n  "));
        }
        Ok(changes)
    }

    /// Reads and checks: a configuration, or all that is wrong with it.
    async fn read(&self) -> Result<Result<Config, Vec<String>>> {
        let new = match (self.load)() {
            Ok(new) => new,
            Err(mistakes) => return Ok(Err(mistakes.iter().map(ToString::to_string).collect())),
        };
        let Some(watches) = self.parts.watches.clone() else { return Ok(Ok(new)) };
        let (new, mistakes) = tokio::task::spawn_blocking(move || {
            let mistakes = watches.mistakes(&new);
            (new, mistakes)
        })
        .await?;
        Ok(if mistakes.is_empty() { Ok(new) } else { Err(mistakes) })
    }

    /// Swaps. Where one part fails, the others are as configured all the same.
    async fn change(&self, new: &Config) -> Changes {
        let Parts { flow, sources, rules, watches, reports, log } = &self.parts;
        let mut changes = Changes::default();
        if let Err(error) = log.set(&new.written.log) {
            changes.failed.push(error);
        }
        let part = |result: Result<Changes, tokio::task::JoinError>| {
            result.unwrap_or_else(|error| Changes { failed: vec![error.into()], ..Changes::default() })
        };
        let (collecting, wanted) = (Arc::clone(sources), new.clone());
        let collected = part(tokio::task::spawn_blocking(move || collecting.change(&wanted)).await);
        let mut parts = vec![collected];
        if let Some(rules) = rules.clone() {
            // Also when the section is as it was: the files may be others.
            let wanted = new.written.rules.clone();
            let changed = tokio::task::spawn_blocking(move || rules.change(&wanted)).await;
            parts.push(part(changed.map(|()| Changes::default())));
        }
        if let Some(watches) = watches.clone() {
            let wanted = new.clone();
            parts.push(part(tokio::task::spawn_blocking(move || watches.change(&wanted)).await));
        }
        if let Some(reports) = reports.clone() {
            let wanted = new.clone();
            let changed = tokio::task::spawn_blocking(move || reports.change(&wanted)).await;
            parts.push(part(changed.map(|()| Changes::default())));
        }
        parts.insert(0, flow.change(new).await);
        for part in parts {
            changes.started.extend(part.started);
            changes.stopped.extend(part.stopped);
            changes.failed.extend(part.failed);
        }
        changes
    }

    /// What of the changes a running program does not follow.
    fn waiting(&self, new: &Config) -> Vec<&'static str> {
        let old = self.current.lock();
        let (old, new) = (&old.written, &new.written);
        let differs = [
            ("data_dir", old.data_dir != new.data_dir),
            ("server", old.server != new.server),
            ("control", old.control != new.control),
            // Reports and snapshots follow; what checks messages does not.
            ("openpgp", old.openpgp != new.openpgp && new.control.is_open()),
            ("ledgers", old.ledgers != new.ledgers),
            ("spool", old.spool != new.spool),
            ("log.format", old.log.format != new.log.format),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }
}
