//! Checks of whole tables, when they are due: sums that must be nothing.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use tokio::time::Instant;

use super::act::found_by_comparing;
use super::events::micros;
use super::{Database, Outlet, Trouble, Watch};
use crate::copy::{NO_TABLE, Opening};
use crate::database::{DbError, Reader};
use crate::rules::{Breach, CHECK_ROWS, Check};
use crate::table::{Name, Table};

/// How often is looked for a check that is due, at least: the clock may be set.
const LOOK: Duration = Duration::from_secs(60);

/// What every database answers.
const ANYTHING: &str = "SELECT 1";

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Runs the checks that the configuration names, on a connection of their own, until it ends.
    pub(super) async fn check_for_ever(&self) -> Result<(), Trouble> {
        let mut checks = Vec::new();
        for (name, written) in &self.options.config.checks {
            let check = Check::new(name, written);
            checks.push(check.map_err(|wrong| DbError::Refused(format!("checks: {name}: {wrong}")))?);
        }
        if checks.is_empty() {
            return std::future::pending().await;
        }
        let mut reader = self.database.reader().await?;
        loop {
            let mut wait = LOOK;
            for check in &checks {
                let now = self.options.clock.now();
                // A time to come, of a clock that was wrong, would put it off until then.
                let last = self.last_run(check).await?.filter(|last| *last <= now);
                let mut due = last.and_then(|last| check.next(last)).unwrap_or(now);
                if due <= now {
                    self.run_check(&mut reader, check, now).await?;
                    // One whose schedule has no next time is asked again after a while.
                    due = check.next(now).unwrap_or(Nanos(i64::MAX));
                }
                wait =
                    wait.min(Duration::from_nanos(u64::try_from(due.0.saturating_sub(now.0)).unwrap_or(0)));
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn last_run(&self, check: &Check) -> Result<Option<Nanos>, Trouble> {
        let mark = mark(check);
        let last = self.shared.with(move |store| store.copy.mark(&mark)).await?;
        Ok(last
            .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())
            .map(|bytes| Nanos(i64::from_be_bytes(bytes))))
    }

    /// What a check finds; that it cannot be run is a finding, too. Only a database that is away is an error: the watch waits for it.
    async fn breach_of(&self, reader: &mut D::Reader, check: &Check) -> Result<Option<Breach>, Trouble> {
        let mut tried_before = false;
        loop {
            let begun = Instant::now();
            let error = match reader.query(&check.sql, check.timeout, CHECK_ROWS).await {
                Ok(rows) => return Ok(check.look(&rows)),
                // What the database says may hold data.
                Err(DbError::Refused(_)) => {
                    return Ok(Some(check.failed("the database refuses the statement")));
                }
                Err(_) if begun.elapsed() >= check.timeout => {
                    return Ok(Some(check.failed("the statement takes longer than it may")));
                }
                Err(error) => error,
            };
            // It may have been the connection. What fails again on a server that answers other statements is the statement's own.
            reader.query(ANYTHING, check.timeout, 1).await?;
            if tried_before {
                return Ok(Some(check.failed(&format!("the database cannot run the statement: {error}"))));
            }
            tried_before = true;
        }
    }

    async fn run_check(&self, reader: &mut D::Reader, check: &Check, now: Nanos) -> Result<(), Trouble> {
        let breach = self.breach_of(reader, check).await?;
        let (mark, watch, name) = (mark(check), self.options.name.clone(), check.name.clone());
        self.shared
            .with(move |store| {
                let time = micros(now);
                store.copy.begin()?;
                if let Some(Breach { rule, description, .. }) = breach {
                    let about = Name { schema: watch, table: name };
                    let about = Arc::new(Table { name: about, columns: Vec::new(), key: Vec::new() });
                    let layout = store.copy.layout_of(NO_TABLE, &about)?;
                    let opening = Opening::of_table(NO_TABLE, layout, &rule, &description, time);
                    let event =
                        store.breach(&about, &Vec::new(), &opening, &found_by_comparing(time, false))?;
                    store.copy.tell(&event)?;
                }
                store.copy.set_mark(&mark, &now.0.to_be_bytes())?;
                store.copy.commit()
            })
            .await?;
        self.tell().await
    }
}

fn mark(check: &Check) -> String {
    format!("check.{}", check.name)
}
