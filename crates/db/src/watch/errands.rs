//! What a watch does beside the stream: telling what is durable in the copy only.

use std::time::Duration;

use attestry_event::{Event, Outcome};

use super::Phase;
use super::events::{Shown, time_of};
use super::schema::SCHEMA;
use super::store::run;
use super::{Database, Outlet, Trouble, Watch, WatchError};
use crate::copy::Violation;

/// How often is looked for what another process signed off.
const LOOK: Duration = Duration::from_secs(1);

/// Events that are told at once.
const EVENTS_AT_ONCE: u32 = 500;

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Tells sign-offs for as long as the watch runs, connected or not.
    pub(super) async fn errands(&self) -> Result<(), WatchError> {
        loop {
            // What the database refuses is for the session to say.
            if let Err(Trouble::Stop(error)) = self.tell().await {
                return Err(error);
            }
            if self.handle.news() {
                let refreshed = self.handle.refresh(&self.shared).await;
                if let Err(Trouble::Stop(error)) = refreshed {
                    return Err(error);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.handle.woken() => {}
            }
        }
    }

    /// Looks after what the server keeps for this watch, also while nothing is read: during the first copy, while the watch is refused, or while
    /// its events are not taken. It must never fill the server's disk.
    pub(super) async fn tend(&self) -> Result<(), WatchError> {
        if !self.options.config.stream {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(self.options.patience.tend).await;
            // A server that is away is for the session to say.
            if self.database.keeps_too_much().await != Ok(true) {
                continue;
            }
            let watch = self.options.name.as_str();
            tracing::warn!(
                watch,
                "the server keeps more of its log than slot_mib allows: the slot is given up"
            );
            // The first copy goes on: it does not read from the stream, and would only begin anew.
            if self.handle.status().phase != Phase::Baseline {
                self.handle.restart();
            }
            if let Err(error) = self.database.let_go().await {
                tracing::warn!(watch, %error, "the slot could not be given up; it is tried again");
            }
        }
    }

    /// Tells all events that wait in the copy.
    pub(super) async fn tell(&self) -> Result<(), Trouble> {
        loop {
            let guard = self.shared.lock().await;
            let (guard, (events, last)) = run(guard, |store| store.copy.untold(EVENTS_AT_ONCE)).await?;
            if events.is_empty() {
                break;
            }
            self.outlet.send(events).await?;
            run(guard, move |store| {
                store.copy.begin()?;
                store.copy.set_told(last)?;
                store.copy.commit()
            })
            .await?;
        }
        let mut accepted = false;
        loop {
            let guard = self.shared.lock().await;
            let (guard, signed) = run(guard, |store| store.copy.untold_sign_offs(EVENTS_AT_ONCE)).await?;
            if signed.is_empty() {
                break;
            }
            accepted |= signed.iter().any(|violation| violation.rule == SCHEMA);
            self.outlet.send(signed.iter().map(sign_off_event).collect()).await?;
            run(guard, move |store| {
                store.copy.begin()?;
                for violation in &signed {
                    store.copy.set_sign_off_told(&violation.fingerprint)?;
                }
                store.copy.commit()
            })
            .await?;
            self.handle.refresh(&self.shared).await?;
            self.handle.told();
        }
        if accepted {
            self.handle.restart();
        }
        Ok(())
    }
}

fn sign_off_event(violation: &Violation) -> Event {
    let table = &violation.layout.table;
    let (by, from, why, at) = match &violation.signed {
        Some(signed) => (signed.by.as_str(), signed.from.as_str(), signed.why.as_str(), signed.at),
        None => ("-", "-", "", violation.last_seen),
    };
    let mut event = Event::new("violation.sign_off", by)
        .id(format!("vs-{}", violation.fingerprint))
        .time(time_of(at))
        .resource(table.name.to_string())
        .source_ip_address(from)
        .outcome(Outcome::Success)
        .severity(5)
        .message(format!("{by} signed off: {}: {}", table.name, violation.description))
        .data("schema", table.name.schema.as_str())
        .data("table", table.name.table.as_str())
        .data("fingerprint", violation.fingerprint.as_str())
        .data("rule", violation.rule.as_str())
        .data("reason", why);
    if let Some(field) = &violation.field {
        event = event.data("field", field.as_str());
    }
    if !violation.key.is_empty() {
        event = event.data("key", Shown::default().key(table, &violation.key));
    }
    event
}
