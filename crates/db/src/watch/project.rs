//! The copy shown in a schema of the watched server, as long as the watch runs, whatever becomes of the stream.

use super::events::micros;
use super::{Database, Outlet, Trouble, WAIT_FIRST, WAIT_MAX, Watch, WatchError};
use crate::copy::CopyError;
use crate::database::DbError;
use crate::projection::{self, LOOK, Settings, Turn, Writer};

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Writes what changes; does nothing where no schema is configured.
    pub(super) async fn project(&self) -> Result<(), WatchError> {
        let config = &self.options.config;
        let Some(schema) = config.copy_schema() else { return std::future::pending().await };
        let settings = Settings {
            watch: self.options.name.clone(),
            config: config.clone(),
            copy: self.options.copy.clone(),
            schema: schema.to_owned(),
        };
        let mut wait = WAIT_FIRST;
        loop {
            let begun = tokio::time::Instant::now();
            let error = match self.project_on(&settings).await {
                Ok(never) => match never {},
                Err(projection::Trouble::Copy(error)) => return Err(WatchError::Copy(error)),
                Err(projection::Trouble::Database(error)) => error,
            };
            if begun.elapsed() > WAIT_MAX {
                wait = WAIT_FIRST;
            }
            if matches!(error, DbError::Refused(_)) && wait > WAIT_FIRST {
                wait = WAIT_MAX;
            }
            let watch = &self.options.name;
            tracing::warn!(watch, schema, %error, ?wait, "the copy cannot be shown in its schema, which is tried again after a while");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    async fn project_on(&self, settings: &Settings) -> Result<std::convert::Infallible, projection::Trouble> {
        let (mut writer, mut turn) = Writer::open(settings.clone()).await?;
        loop {
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
        }
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
