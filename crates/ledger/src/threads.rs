//! Who does what when: one thread commits, one signs, one seals.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use attestry_journal::disk::Disk;

use crate::commit::Sequencer;
use crate::core::Core;
use crate::error::describe;
use crate::queue::Queue;

/// Bytes of batches that one group commit takes at most: the journal writes them in a few milliseconds.
const GROUP_BYTES: usize = 8 << 20;
/// When somebody waits for a checkpoint, one is signed at most this often.
const SIGN_PAUSE: Duration = Duration::from_millis(50);
/// How often the sealer looks for something due when nothing is in a hurry.
const SEAL_PAUSE: Duration = Duration::from_millis(100);
/// Unsealed segments' worth of entries at which commits wait for the sealer: what bounds the memory they take.
const MAX_UNSEALED_SEGMENTS: u64 = 4;

pub(crate) struct Threads {
    queue: Arc<Queue>,
    close: Box<dyn Fn() + Send + Sync>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start<D: Disk>(
        core: &Arc<Core<D>>,
        queue: &Arc<Queue>,
        sequencer: Sequencer,
    ) -> std::io::Result<Self> {
        let spawn = |role: &str, work: Box<dyn FnOnce() + Send>| {
            Builder::new().name(format!("{role}-{}", core.name)).spawn(work)
        };
        let of = || Arc::clone(core);
        let (commits, signs, seals) = (of(), of(), of());
        let work = Arc::clone(queue);
        let closes = of();
        Ok(Threads {
            queue: Arc::clone(queue),
            close: Box::new(move || closes.progress.close()),
            handles: vec![
                spawn("commit", Box::new(move || commit(&commits, &work, sequencer)))?,
                spawn("sign", Box::new(move || sign(&signs)))?,
                spawn("seal", Box::new(move || seal(&seals)))?,
            ],
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.close();
        // The sequencer is the first: it ends when the queue is empty, and then the others see the final size.
        for (nth, handle) in self.handles.drain(..).enumerate() {
            if handle.join().is_err() {
                tracing::error!("a thread of the ledger had ended by a panic");
            }
            if nth == 0 {
                (self.close)();
            }
        }
    }
}

fn commit<D: Disk>(core: &Core<D>, queue: &Queue, mut sequencer: Sequencer) {
    while let Some(group) = queue.pop(GROUP_BYTES) {
        while core.unsealed() >= MAX_UNSEALED_SEGMENTS * core.options.segment_entries
            && core.progress.sleep(Duration::from_millis(1))
        {}
        core.commit(&mut sequencer, group);
    }
}

fn sign<D: Disk>(core: &Core<D>) {
    let mut signed_at = Instant::now();
    loop {
        let open = core.progress.wait_wanted(core.options.sign_every.saturating_sub(signed_at.elapsed()));
        if let Err(error) = core.sign() {
            tracing::error!(
                ledger = core.name,
                error = describe(&error),
                "cannot write the checkpoint, trying again"
            );
        }
        signed_at = Instant::now();
        if !open || !core.progress.sleep(SIGN_PAUSE.min(core.options.sign_every)) {
            // One more for what came in since; the sequencer has ended.
            if let Err(error) = core.sign() {
                tracing::error!(
                    ledger = core.name,
                    error = describe(&error),
                    "cannot write the last checkpoint"
                );
            }
            return;
        }
    }
}

fn seal<D: Disk>(core: &Core<D>) {
    let mut pause = SEAL_PAUSE;
    while core.progress.sleep(pause) {
        pause = match core.seal_what_is_due(core.clock.now()) {
            Ok(()) => SEAL_PAUSE,
            Err(error) => {
                tracing::error!(
                    ledger = core.name,
                    error = describe(&error),
                    "cannot seal a segment, trying again"
                );
                (pause * 2).min(Duration::from_secs(10))
            }
        };
    }
}
