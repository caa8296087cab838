//! Offering dead letters once more.

use std::collections::BTreeSet;
use std::sync::Arc;

use attestry_event::Clock;
use attestry_journal::disk::Disk;

use super::{DeadLetters, Evicted, Letter, Refusal};
use crate::{Failure, Parcel, Sink};

/// How many letters are offered at a time, and with how many bytes.
const PAGE: (usize, u64) = (100, 1 << 20);

/// What became of the letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Delivered, and no dead letters any more.
    pub delivered: usize,
    /// Refused again, and dead letters again, with a new number and the new reason.
    pub refused: usize,
}

/// Why letters were not offered, or not all of them. What was delivered before is no dead letter any more.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The far side does not take them now.
    #[error("the far side does not take them now")]
    Sink(#[source] Failure),
    /// Their files cannot be read or written.
    #[error("the dead letters cannot be used")]
    Dead(#[source] attestry_journal::Error),
    /// The program stops, or the worker has ended.
    #[error("the worker of this sink has ended")]
    Ended,
}

/// Offers letters to their sink once more, oldest first: those of `ids`, or all that there are at the beginning. Each is offered once.
///
/// # Errors
/// At the first batch that is not delivered.
pub async fn replay<D: Disk>(
    dead: &Arc<DeadLetters<D>>,
    sink: &mut dyn Sink,
    ids: Option<&[u64]>,
    clock: &Arc<dyn Clock>,
    evict: &Arc<dyn Fn(Evicted) + Send + Sync>,
) -> Result<Replayed, ReplayError> {
    let wanted: BTreeSet<u64> = match ids {
        Some(ids) => ids.iter().copied().collect(),
        None => dead.ids().into_iter().collect(),
    };
    let mut replayed = Replayed::default();
    let mut from = 0;
    while let Some(first) = wanted.range(from..).next().copied() {
        let letters = blocking(dead, move |dead| dead.list(first, PAGE.0, PAGE.1)).await?;
        from = match letters.last() {
            Some(last) => last.id + 1,
            None => break,
        };
        let letters: Vec<Letter> = letters.into_iter().filter(|letter| wanted.contains(&letter.id)).collect();
        if letters.is_empty() {
            continue;
        }
        let parcels: Vec<Parcel> = letters.iter().map(|letter| letter.parcel.clone()).collect();
        let mut failed = None;
        let (done, refused) = match sink.deliver(&parcels).await {
            Ok(refused) => (letters.len(), refused),
            Err(failure) => {
                let delivered = match &failure {
                    Failure::Again { delivered, .. } => (*delivered).min(letters.len()),
                    Failure::Halt { .. } => 0,
                };
                failed = Some(failure);
                (delivered, Vec::new())
            }
        };
        let (clock, evict) = (Arc::clone(clock), Arc::clone(evict));
        let again = blocking(dead, move |dead| {
            let again: Vec<Refusal<'_>> = refused
                .iter()
                .filter_map(|refused| {
                    let letter = letters.get(refused.at)?;
                    let attempts = letter.attempts.saturating_add(1);
                    Some(Refusal { parcel: &letter.parcel, reason: &refused.reason, attempts })
                })
                .collect();
            // In this order a crash leaves one twice rather than none.
            if !again.is_empty() {
                dead.put(&again, clock.now(), &mut |evicted| evict(evicted))?;
            }
            let ids: Vec<u64> = letters.iter().take(done).map(|letter| letter.id).collect();
            dead.forget(&ids, &mut |evicted| evict(evicted))?;
            Ok(again.len())
        })
        .await?;
        replayed.refused += again;
        replayed.delivered += done - again;
        if let Some(failure) = failed {
            return Err(ReplayError::Sink(failure));
        }
    }
    Ok(replayed)
}

async fn blocking<D: Disk, T: Send + 'static>(
    dead: &Arc<DeadLetters<D>>,
    work: impl FnOnce(&DeadLetters<D>) -> Result<T, attestry_journal::Error> + Send + 'static,
) -> Result<T, ReplayError> {
    let dead = Arc::clone(dead);
    match tokio::task::spawn_blocking(move || work(&dead)).await {
        Ok(done) => done.map_err(ReplayError::Dead),
        Err(_) => Err(ReplayError::Ended),
    }
}
