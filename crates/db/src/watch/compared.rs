//! What the ledger hears of comparisons: for each table what was found, with the root of its rows; and what a watch without the stream cannot see.

use std::path::Path;
use std::sync::Arc;

use attestry_event::Event;
use attestry_tlog::{EMPTY_ROOT, Frontier, leaf_hash};

use super::act::table_event;
use super::events::{id, micros, time_of};
use super::reconcile::{TablePass, whole_table};
use super::status::POLLING;
use super::store::Tracked;
use super::{Database, Outlet, Trouble, Watch, WatchError};
use crate::change::Position;
use crate::copy::{Copy, CopyError, Pass};

impl<D: Database, O: Outlet> Watch<D, O> {
    /// A table is done: the root of its rows goes into the ledger, unless rows of it were left undecided. Then the root would say more than is
    /// known.
    pub(super) async fn end_table(
        &self,
        tracked: &Arc<Tracked>,
        pass: &Pass,
        table: &TablePass<'_>,
        begun: i64,
        carried: bool,
    ) -> Result<(), Trouble> {
        let (path, id) = (self.options.copy.clone(), tracked.id());
        let decided = table.undecided == 0;
        let rooted = if decided {
            // A view of its own: the stream goes on while every row is hashed.
            let rooted = tokio::task::spawn_blocking(move || root(&path, id)).await;
            Some(rooted.map_err(|error| Trouble::Stop(WatchError::Panicked(error.to_string())))??)
        } else {
            None
        };
        let name = tracked.watched.name().clone();
        let time = micros(self.options.clock.now());
        let took_ms = (time - begun) / 1_000;
        let period_s = (time - pass.started) / 1_000_000;
        let number = pass.number.to_be_bytes();
        let compared = table.rows.saturating_sub(table.undecided);
        let mut message = format!("{name} was compared: {compared} rows, {} different", table.unexplained);
        if !decided {
            let (watch, undecided) = (self.options.name.as_str(), table.undecided);
            tracing::warn!(watch, table = %name, undecided, "rows were left undecided; the next pass tries again");
            message = format!("{message}, {undecided} undecided");
        }
        let mut event = table_event(&self.options.name, "reconcile.pass", &name, time, &[&number])
            .read_only(true)
            .severity(if table.unexplained > 0 || !decided { 4 } else { 6 })
            .message(message)
            .data("pass", pass.number)
            .data("compared_rows", compared)
            .data("different", table.unexplained)
            .data("undecided", table.undecided)
            .data("took_ms", took_ms)
            .data("pass_took_s", period_s);
        if let Some((root, rows, position)) = rooted {
            event = event.data("rows", rows).data("root", root);
            if let Some(position) = position {
                event = event.data("position", position.to_string());
            }
        }
        let pass = Pass { table: None, after: None, ..pass.clone() };
        self.shared
            .with(move |store| {
                store.copy.begin()?;
                store.copy.tell(&event)?;
                store.copy.set_pass(&pass)?;
                if carried && decided {
                    store.carries(&name)?;
                }
                store.copy.commit()
            })
            .await?;
        if decided {
            self.handle.table_compared(tracked.watched.name());
        }
        self.tell().await
    }

    /// What a watch without the stream cannot see, once per start.
    pub(super) async fn say_what_is_not_seen(&self) -> Result<(), Trouble> {
        if !self.handle.first_polling() {
            return Ok(());
        }
        let name = self.options.name.clone();
        self.shared
            .with(move |store| {
                let time = micros(store.clock.now());
                let event = Event::new("gap.polling", "-")
                    .id(id(&name, &[b"gap.polling", &time.to_be_bytes()]))
                    .time(time_of(time))
                    .resource(name.as_str())
                    .severity(5)
                    .message(format!("{name} is watched {POLLING}"))
                    .data("watch", name);
                store.copy.begin()?;
                store.copy.tell(&event)?;
                store.copy.commit()
            })
            .await?;
        self.tell().await
    }
}

/// The Merkle tree hash (RFC 6962) of a table's row hashes in the order of their places: of the keys where their order is known, else of SHA-256
/// of the keys.
fn root(path: &Path, watched: i64) -> Result<(String, u64, Option<Position>), CopyError> {
    let mut copy = Copy::open_to_read(path)?;
    copy.begin_view()?;
    let position = copy.position()?;
    let mut tree = Frontier::new();
    copy.each_hash(watched, &whole_table(), |_, hash| {
        tree.push(leaf_hash(&hash));
        Ok(())
    })?;
    let root = if tree.size() == 0 { EMPTY_ROOT } else { tree.root() };
    Ok((root.to_string(), tree.size(), position))
}
