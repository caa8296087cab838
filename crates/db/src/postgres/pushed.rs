//! Reading the stream as the server sends it.

use std::time::{Duration, Instant};

use super::changes::{Following, MAX_PAUSE, PAUSE, UNWRITTEN};
use super::replication::{Heard, Replication};
use super::slot::{self, Slot};
use super::snapshot::nudge;
use super::wire::Said;
use crate::change::Step;
use crate::database::DbError;

/// How often to see how much the slot keeps of the log, while changes come.
const LOOK: Duration = Duration::from_secs(1);

/// And while none come: the end of the log may lie unwritten.
const QUIET_LOOK: Duration = Duration::from_millis(250);

/// How long to wait for the next change before asking whether that is all.
const BREATH: Duration = Duration::from_millis(5);

/// How long whoever read from the slot before may take to be gone: a connection of ours that was given up.
const HANDED_ON: Duration = Duration::from_secs(5);

/// The stream, and what is known of it.
pub(super) struct Pushed {
    replication: Option<Replication>,
    looked: Instant,
    heard: Instant,
    /// Where the stream was, and since when, while the log's end is beyond.
    unwritten: Option<(u64, Instant)>,
}

impl Pushed {
    /// Begins to read.
    pub(super) async fn begin(following: &mut Following) -> Result<Pushed, Said> {
        let mut pushed =
            Pushed { replication: None, looked: Instant::now(), heard: Instant::now(), unwritten: None };
        pushed.replication = Some(Pushed::connect(following).await?);
        Ok(pushed)
    }

    async fn connect(following: &mut Following) -> Result<Replication, Said> {
        following.prepare().await?;
        let (begun, name) = (Instant::now(), following.name.clone());
        while Slot::read(following.session().await?, &name, None).await?.is_taken()
            && begun.elapsed() < HANDED_ON
        {
            tokio::time::sleep(PAUSE).await;
        }
        following.slot(None).await?;
        Replication::begin(&following.login, &name, following.assembly.given(), following.says).await
    }

    /// What was read and not given comes again, by another connection.
    pub(super) fn rewind(&mut self) {
        self.replication = None;
    }

    /// Everything that ends up to here is durable.
    pub(super) fn durable(&mut self, upto: u64) {
        if let Some(replication) = &mut self.replication {
            replication.durable(upto);
        }
    }

    pub(super) async fn step(&mut self, following: &mut Following) -> Result<Step, DbError> {
        let (begun, mut wait) = (Instant::now(), BREATH);
        loop {
            if let Some(step) = following.assembly.next() {
                return Ok(step);
            }
            let quiet = wait > BREATH;
            if self.looked.elapsed() >= if quiet { QUIET_LOOK } else { LOOK } {
                self.look(following).await?;
            }
            let replication = match &mut self.replication {
                Some(replication) => replication,
                none => {
                    self.heard = Instant::now();
                    let made = Pushed::connect(following).await.map_err(|said| said.error)?;
                    none.insert(made)
                }
            };
            let heard = match replication.heard()? {
                Some(heard) => Some(heard),
                None => tokio::time::timeout(wait, replication.hear()).await.ok().transpose()?,
            };
            let within = following.assembly.is_within();
            match heard {
                Some(Heard::Message(message)) => {
                    following.assembly.take(&message)?;
                    replication.received(following.assembly.given());
                    (self.heard, wait) = (Instant::now(), BREATH);
                }
                // What was sent of a transaction that is not at its end is not all of it.
                Some(Heard::Sent(_)) if within => self.heard = Instant::now(),
                Some(Heard::Sent(upto)) => {
                    self.heard = Instant::now();
                    following.assembly.reached(upto);
                    replication.received(following.assembly.given());
                    if following.assembly.news() {
                        return Ok(Step::Reached(following.position()));
                    }
                }
                None if self.heard.elapsed() >= slot::PATIENCE => {
                    return Err(DbError::Again("the server does not answer".to_owned()));
                }
                None => {
                    replication.ask();
                    wait = PAUSE;
                    if !within && begun.elapsed() >= MAX_PAUSE {
                        return Ok(Step::Reached(following.position()));
                    }
                }
            }
        }
    }

    /// Sees that the slot does not keep too much, and that the end of the log, which is no commit that somebody waits for, does not lie unwritten for
    /// long: the reader's position lies behind it.
    async fn look(&mut self, following: &mut Following) -> Result<(), DbError> {
        self.looked = Instant::now();
        let process = self.replication.as_ref().map(Replication::process);
        let slot = following.slot(process).await?;
        let given = following.assembly.given();
        match self.unwritten {
            _ if slot.inserted <= given => self.unwritten = None,
            Some((at, since)) if at == given => {
                if since.elapsed() >= UNWRITTEN {
                    self.unwritten = None;
                    nudge(following.session().await?).await?;
                }
            }
            _ => self.unwritten = Some((given, Instant::now())),
        }
        Ok(())
    }
}
