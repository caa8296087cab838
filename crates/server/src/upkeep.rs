//! What the server does by itself: the accounts' outbox, the keys' last use, an old set-up link, who has fallen silent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::accounts::SETUP_FILE;
use crate::app::App;
use crate::audit::drain_outbox;
use crate::problem::chain;
use crate::silence;

/// How often the outbox is looked at: well below the second in which a change shall be in the ledger.
const OUTBOX: Duration = Duration::from_millis(250);

/// How often everything else is looked at, in rounds of [`OUTBOX`]: once a minute.
const MINUTE_ROUNDS: u32 = 240;

/// Runs until the server stops; the last round is after that.
pub(crate) async fn run(app: Arc<App>) {
    let mut stopping = app.stopping.subscribe();
    let mut tick = tokio::time::interval(OUTBOX);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0_u32;
    loop {
        let last = *stopping.borrow_and_update();
        drain_outbox(&app).await;
        if last || round.is_multiple_of(MINUTE_ROUNDS) {
            note_keys(&app).await;
            expire_setup_link(&app);
        }
        if !last && round.is_multiple_of(MINUTE_ROUNDS) {
            silence::look(&app).await;
        }
        if last {
            return;
        }
        round = round.wrapping_add(1);
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopping.changed() => {}
        }
    }
}

async fn note_keys(app: &Arc<App>) {
    let used = std::mem::take(&mut *app.keys_used.lock());
    if used.is_empty() {
        return;
    }
    let working = Arc::clone(app);
    let noted = tokio::task::spawn_blocking(move || working.accounts.keys_used(&used)).await;
    if let Ok(Err(error)) = noted {
        tracing::warn!(error = chain(&error), "the keys' last use could not be written down");
    }
}

/// The token in an old file is void, but nobody should have to know that to feel safe.
fn expire_setup_link(app: &App) {
    let file = app.data_dir.join(SETUP_FILE);
    let old = |modified: std::time::SystemTime| {
        modified.elapsed().is_ok_and(|age| age > crate::accounts::SETUP_LIFE)
    };
    if file.metadata().and_then(|data| data.modified()).is_ok_and(old)
        && let Err(error) = std::fs::remove_file(&file)
    {
        tracing::warn!(%error, "the old set-up link's file could not be removed");
    }
}
