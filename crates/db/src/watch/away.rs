//! A watch that does not get to its database, or is refused there: said in the ledger, because nothing of that time is in it.

use attestry_event::Event;
use serde::{Deserialize, Serialize};

use super::events::{id, micros, time_of};
use super::store::Store;
use super::{Database, Outlet, Trouble, Watch};
use crate::copy::CopyError;

/// The name under which the copy keeps since when.
const AWAY: &str = "away";

/// Since when a watch does not work.
#[derive(Deserialize, Serialize)]
struct Away {
    /// In microseconds since 1970.
    since: i64,
    /// Whether that is in the ledger.
    told: bool,
}

impl<D: Database, O: Outlet> Watch<D, O> {
    /// It does not work. That is told once it has lasted, and only once until it does.
    pub(super) async fn is_away(&self, why: &str) -> Result<(), Trouble> {
        let (patience, why) = (self.options.patience.away, why.to_owned());
        let patience = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
        self.shared.with(move |store| store.is_away(patience, &why)).await?;
        self.tell().await
    }

    /// It works.
    pub(super) async fn is_back(&self) -> Result<(), Trouble> {
        self.shared.with(Store::is_back).await?;
        self.tell().await
    }
}

impl Store {
    fn is_away(&mut self, patience: i64, why: &str) -> Result<(), CopyError> {
        let now = micros(self.clock.now());
        let known = self.away()?;
        let mut away = match known {
            Some(Away { told: true, .. }) => return Ok(()),
            Some(away) => away,
            None => Away { since: now, told: false },
        };
        self.copy.begin()?;
        if now.saturating_sub(away.since) >= patience {
            away.told = true;
            let event = self.of_outage("gap.watch", now, &away).severity(3).data("reason", why);
            let message = format!("{} is not watched since {}: {why}", self.watch, time_of(away.since));
            self.copy.tell(&event.message(message))?;
        }
        let bytes = serde_json::to_vec(&away).map_err(|error| CopyError::damaged(error.to_string()))?;
        self.copy.set_mark(AWAY, &bytes)?;
        self.copy.commit()
    }

    fn is_back(&mut self) -> Result<(), CopyError> {
        let Some(away) = self.away()? else { return Ok(()) };
        let now = micros(self.clock.now());
        self.copy.begin()?;
        if away.told {
            let event = self.of_outage("gap.watch_end", now, &away).severity(5);
            let message =
                format!("{} is watched again; it was not since {}", self.watch, time_of(away.since));
            self.copy.tell(&event.message(message))?;
        }
        self.copy.remove_mark(AWAY)?;
        self.copy.commit()
    }

    fn away(&self) -> Result<Option<Away>, CopyError> {
        let away = self.copy.mark(AWAY)?.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        away.map_err(|error| CopyError::damaged(format!("{AWAY}: {error}")))
    }

    fn of_outage(&self, name: &str, now: i64, away: &Away) -> Event {
        Event::new(name, "-")
            .id(id(&self.watch, &[name.as_bytes(), &now.to_be_bytes()]))
            .time(time_of(now))
            .resource(&*self.watch)
            .data("watch", &*self.watch)
            .data("since", time_of(away.since).to_string())
    }
}
