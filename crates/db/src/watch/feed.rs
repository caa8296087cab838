//! The stream, read ahead while what came before is applied.

use tokio::sync::{mpsc, watch};

use crate::change::{Position, Prepared, Step};
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

/// Where a stream that has just begun is, once it has nothing to give, and what is prepared there if that is something else than before.
pub(super) async fn first_reached<C: Changes>(
    changes: &mut C,
) -> Result<(Position, Option<Vec<Prepared>>), DbError> {
    loop {
        match changes.next().await? {
            Step::Transaction(transaction) => {
                if let Some(end) = transaction.ends {
                    return Ok((end, None));
                }
            }
            Step::Reached(position) | Step::Schema { position, .. } | Step::Gap { position, .. } => {
                return Ok((position, None));
            }
            Step::Prepared { position, prepared } => return Ok((position, Some(prepared))),
        }
    }
}
