//! The stream, read ahead while what came before is applied.

use tokio::sync::{mpsc, watch};

use crate::change::{Position, Step};
use crate::database::{Changes, DbError};

/// Reads until the connection ends or nobody takes the steps any more.
pub(super) async fn feed<C: Changes>(
    mut changes: C,
    steps: mpsc::Sender<Step>,
    mut confirmed: watch::Receiver<Option<Position>>,
) -> Result<(), DbError> {
    loop {
        let step = changes.next().await?;
        if steps.send(step).await.is_err() {
            return Ok(());
        }
        // Not while a step is awaited: what was read of it so far would be lost. That is at most a second.
        let position = match confirmed.has_changed() {
            Ok(true) => confirmed.borrow_and_update().clone(),
            _ => None,
        };
        if let Some(position) = position {
            changes.confirm(&position).await?;
        }
    }
}

/// Where a stream that has just begun is, once it has nothing to give.
pub(super) async fn first_reached<C: Changes>(changes: &mut C) -> Result<Position, DbError> {
    loop {
        match changes.next().await? {
            Step::Reached(position) => return Ok(position),
            Step::Transaction(transaction) => {
                if let Some(end) = transaction.ends {
                    return Ok(end);
                }
            }
            Step::Schema { position, .. } => return Ok(position),
        }
    }
}
