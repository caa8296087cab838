//! The copy shown in a schema of the watched server, as long as the watch runs, whatever becomes of the stream.

use std::collections::BTreeSet;

use attestry_event::{Event, Outcome};

use super::events::{id, micros, time_of};
use super::store::Store;
use super::{Database, Outlet, Phase, Trouble, WAIT_FIRST, WAIT_MAX, Watch, WatchError};
use crate::copy::{CopyError, RefusedSchema};
use crate::database::DbError;
use crate::projection::{self, LOOK, Settings, Turn, Writer};

/// So often in a row the server must have refused before that is said: what somebody dropped is made again at the second attempt.
const REFUSALS: u32 = 2;

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Writes what changes; does nothing where no schema is configured.
    pub(super) async fn project(&self) -> Result<(), WatchError> {
        let config = &self.options.config;
        let Some(schema) = config.copy_schema() else {
            self.note_refusal(None, None).await.map_err(of_the_copy)?;
            return std::future::pending().await;
        };
        let mut settings = Settings {
            watch: self.options.name.clone(),
            config: config.clone(),
            copy: self.options.copy.clone(),
            schema: schema.to_owned(),
            left_out: Vec::new(),
        };
        let (mut wait, mut refusals) = (WAIT_FIRST, 0);
        // Tables that the server refused since all was well.
        let mut accused = BTreeSet::new();
        self.handle.projected(schema, Phase::Starting, None);
        loop {
            let begun = tokio::time::Instant::now();
            let ended = self.project_on(&settings).await;
            if begun.elapsed() > WAIT_MAX {
                wait = WAIT_FIRST;
            }
            if self.handle.is_projected() {
                refusals = 0;
                accused.clear();
            }
            let error = match ended {
                Ok(()) => {
                    settings.left_out.clear();
                    continue;
                }
                Err(projection::Trouble::Table(table)) if accused.contains(&table.watched) => {
                    settings.left_out.push(table);
                    continue;
                }
                Err(projection::Trouble::Table(table)) => {
                    accused.insert(table.watched);
                    DbError::Again(table.to_string())
                }
                Err(projection::Trouble::Database(error)) => error,
                Err(projection::Trouble::Copy(error)) => return Err(WatchError::Copy(error)),
            };
            let why = error.to_string();
            let mut phase = Phase::Waiting;
            if matches!(error, DbError::Refused(_)) {
                refusals += 1;
                if refusals >= REFUSALS {
                    (wait, phase) = (WAIT_MAX, Phase::Refused);
                    self.note_refusal(Some(schema), Some(&why)).await.map_err(of_the_copy)?;
                }
            }
            self.handle.projected(schema, phase, Some(why));
            let watch = &self.options.name;
            tracing::warn!(watch, schema, %error, ?wait, "the copy cannot be shown in its schema, which is tried again after a while");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Ends well only when tables that are left out are to be tried again.
    async fn project_on(&self, settings: &Settings) -> Result<(), projection::Trouble> {
        let begun = tokio::time::Instant::now();
        let (mut well, mut caught_up) = (false, false);
        let (mut writer, mut turn) = Writer::open(settings.clone()).await?;
        let whole = settings.left_out.is_empty();
        if !whole {
            let tables: Vec<String> = settings.left_out.iter().map(ToString::to_string).collect();
            let why = format!("not shown: {}; all other tables are", tables.join("; "));
            self.note_refusal(Some(&settings.schema), Some(&why)).await?;
            let watch = &self.options.name;
            tracing::warn!(
                watch,
                schema = settings.schema,
                why,
                "tables are left out of the schema that shows the copy, and tried again after a while"
            );
            self.handle.projected(&settings.schema, Phase::Refused, Some(why));
        }
        loop {
            if !whole && begun.elapsed() > WAIT_MAX {
                return Ok(());
            }
            // What opens may still be refused when it is written to, and a busy one never catches up.
            if whole && !well && (caught_up || begun.elapsed() > WAIT_MAX) {
                well = true;
                self.note_refusal(Some(&settings.schema), None).await?;
                self.handle.projected(&settings.schema, Phase::Following, None);
            }
            let now = match turn {
                Turn::Nothing => {
                    tokio::time::sleep(LOOK).await;
                    micros(self.options.clock.now())
                }
                Turn::Wrote(written) => {
                    let noted = self.shared.with(move |store| {
                        store.copy.begin()?;
                        store.copy.caught_up(&written)?;
                        store.copy.commit()?;
                        Ok(micros(store.clock.now()))
                    });
                    noted.await.map_err(copy_only)?
                }
                Turn::Made(watched) => {
                    let noted = self.shared.with(move |store| {
                        store.copy.begin()?;
                        store.copy.note_all(watched)?;
                        store.copy.commit()?;
                        Ok(micros(store.clock.now()))
                    });
                    let now = noted.await.map_err(copy_only)?;
                    writer.noted(&turn).await?;
                    now
                }
            };
            turn = writer.turn(now).await?;
            caught_up = turn == Turn::Nothing;
        }
    }

    /// Notes whether the server refuses the schema, and why.
    async fn note_refusal(
        &self,
        schema: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(), projection::Trouble> {
        let (watch, schema) = (self.options.name.clone(), schema.map(str::to_owned));
        let reason = reason.map(str::to_owned);
        let noted = self
            .shared
            .with(move |store| store.note_refusal(&watch, schema.as_deref(), reason.as_deref()))
            .await;
        noted.map_err(copy_only)
    }
}

impl Store {
    /// Keeps whether a schema is refused, and tells it once when that begins and once when it is over, whatever is killed in between.
    fn note_refusal(
        &mut self,
        watch: &str,
        schema: Option<&str>,
        reason: Option<&str>,
    ) -> Result<(), CopyError> {
        let known = self.copy.refused_schema()?;
        let refused = schema.zip(reason);
        let same = match (&known, refused) {
            (None, None) => true,
            (Some(known), Some((schema, _))) => known.schema == schema,
            _ => false,
        };
        if same {
            return Ok(());
        }
        let now = micros(self.clock.now());
        self.copy.begin()?;
        if let Some(known) = &known {
            let again = schema == Some(known.schema.as_str());
            self.copy.tell(&resumed(watch, known, again, now))?;
        }
        let refused =
            refused.map(|(schema, reason)| (RefusedSchema { schema: schema.to_owned(), since: now }, reason));
        if let Some((refused, reason)) = &refused {
            self.copy.tell(&refusal(watch, refused, reason))?;
        }
        self.copy.set_refused_schema(refused.map(|(refused, _)| refused).as_ref())?;
        self.copy.commit()
    }
}

fn event(name: &str, watch: &str, schema: &str, time: i64) -> Event {
    Event::new(name, "-")
        .id(id(watch, &[name.as_bytes(), schema.as_bytes(), &time.to_be_bytes()]))
        .time(time_of(time))
        .resource(watch)
        .data("watch", watch)
        .data("schema", schema)
}

fn refusal(watch: &str, refused: &RefusedSchema, reason: &str) -> Event {
    let schema = refused.schema.as_str();
    event("projection.refuse", watch, schema, refused.since)
        .outcome(Outcome::Failure)
        .severity(4)
        .message(format!("the server refuses to show the copy of {watch} in the schema {schema}: {reason}"))
        .data("reason", reason)
}

/// `again` when it is shown, and not only no longer to be shown.
fn resumed(watch: &str, refused: &RefusedSchema, again: bool, time: i64) -> Event {
    let schema = refused.schema.as_str();
    let message = match again {
        true => format!("the schema {schema} shows the copy of {watch} again"),
        false => format!("the copy of {watch} is not to be shown in the schema {schema} any more"),
    };
    event("projection.resume", watch, schema, time)
        .outcome(Outcome::Success)
        .severity(5)
        .message(message)
        .data("refused_at", time_of(refused.since).to_string())
}

/// A projection's trouble where no database is asked.
fn of_the_copy(trouble: projection::Trouble) -> WatchError {
    match trouble {
        projection::Trouble::Copy(error) => WatchError::Copy(error),
        projection::Trouble::Table(table) => WatchError::Copy(CopyError::damaged(table.to_string())),
        projection::Trouble::Database(error) => WatchError::Copy(CopyError::damaged(error.to_string())),
    }
}

/// What goes wrong with the store is never the database's.
fn copy_only(trouble: Trouble) -> projection::Trouble {
    match trouble {
        Trouble::Stop(WatchError::Copy(error)) => projection::Trouble::Copy(error),
        Trouble::Stop(error) => projection::Trouble::Copy(CopyError::damaged(error.to_string())),
        Trouble::Database(error) => projection::Trouble::Database(error),
        Trouble::Begin => projection::Trouble::Database(DbError::Again("the watch begins again".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use attestry_event::SystemClock;

    use super::*;
    use crate::copy::Copy;

    #[test]
    fn a_refusal_is_told_once_and_so_is_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let config = serde_saphyr::from_str("url: mysql://a@b/bank").unwrap();
        let copy = Copy::open(&dir.path().join("copy")).unwrap();
        let mut store = Store::new("bank", copy, Arc::new(SystemClock), Arc::new(config));
        for (schema, reason, expected) in [
            (Some("audit"), None, &[][..]),
            (Some("audit"), Some("denied"), &["projection.refuse audit"]),
            (Some("audit"), Some("denied, too"), &[]),
            (Some("audit"), None, &["projection.resume audit"]),
            (Some("audit"), None, &[]),
            (Some("audit"), Some("denied"), &["projection.refuse audit"]),
            (Some("other"), Some("denied"), &["projection.resume audit", "projection.refuse other"]),
            (None, None, &["projection.resume other"]),
            (None, None, &[]),
        ] {
            store.note_refusal("bank", schema, reason).unwrap();
            let (events, last) = store.copy.untold(10).unwrap();
            store.copy.set_told(last).unwrap();
            let told = events.iter().map(|event| {
                let data = event.event_data.as_ref().unwrap();
                format!("{} {}", event.event_name, data["schema"].as_str().unwrap())
            });
            assert_eq!(told.collect::<Vec<_>>(), expected, "{schema:?} {reason:?}");
        }
    }
}
