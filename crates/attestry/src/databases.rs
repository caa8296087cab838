//! The databases that are watched row by row: a thread for each watch, how they follow the configuration, and what the server shows of them.

mod copies;
mod rules;
mod running;
mod snapshots;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use attestry_db::watch::Handle;
use attestry_event::Clock;
use attestry_server::databases::{
    Among, Databases, Found, History, RowVersion, SignOff, Unreadable, Violation, Wanted, WatchError,
    WatchStatus,
};
use parking_lot::Mutex;

use crate::config::Config;
use crate::flow::{Changes, Ground};
use copies::Place;
use running::{Running, Settings};
pub(crate) use snapshots::Answer;

/// How long a watch that is told to end may take: a batch that is being written, a snapshot that is given up.
const END_MAX: Duration = Duration::from_secs(20);

/// The watches of this node, and how they are changed while they run.
pub(crate) struct Watches {
    ground: Arc<Ground>,
    clock: Arc<dyn Clock>,
    /// Only one at a time changes what runs.
    changing: Mutex<()>,
    running: Mutex<BTreeMap<String, Running>>,
}

impl Watches {
    /// Starts all that the configuration names. Whether their databases answer is for later.
    pub(crate) fn start(
        config: &Config,
        ground: &Arc<Ground>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Watches>> {
        let watches = Watches {
            ground: Arc::clone(ground),
            clock: Arc::clone(clock),
            changing: Mutex::default(),
            running: Mutex::default(),
        };
        watches.change(config).whole()?;
        Ok(Arc::new(watches))
    }

    /// Brings what is watched to what is configured: only what differs is stopped and started, each from where it was. Blocks, for at most
    /// [`END_MAX`] and what opening takes. Where a watch does not end or cannot be started, the others are as configured all the same.
    pub(crate) fn change(&self, config: &Config) -> Changes {
        let _alone = self.changing.lock();
        let mut changes = Changes::default();
        let mut wanted = BTreeMap::new();
        for (name, watch) in &config.written.audit {
            let settings = Settings::of(config, name, watch);
            let settings = match self.ground.has(settings.ledger()) {
                true => settings,
                // Nothing would take its events.
                false => {
                    let ledger = settings.ledger();
                    changes.failed.push(anyhow!(
                        "the watch {name} stays as it is: its ledger {ledger} is opened at the next start"
                    ));
                    let running = self.running.lock();
                    let Some(running) = running.get(name) else { continue };
                    running.settings().clone()
                }
            };
            wanted.insert(name.clone(), settings);
        }
        let mut copies: BTreeMap<String, PathBuf> = BTreeMap::new();
        for (name, running) in self.running.lock().iter().filter(|(name, of)| !of.stays(wanted.get(*name))) {
            copies.insert(name.clone(), running.settings().copy().clone());
            running.signal();
        }
        if !self.wait_for(copies.keys()) {
            let late = anyhow!("not every watch has ended within {END_MAX:?}; the next reload looks again");
            changes.failed.push(late);
        }
        for name in copies.keys() {
            let mut running = self.running.lock();
            // One that goes on still writes its copy: none may begin beside it.
            if running.get(name).is_some_and(Running::has_ended) {
                if let Some(ended) = running.remove(name)
                    && !wanted.contains_key(name)
                {
                    ended.tell_what_stays();
                }
                changes.stopped.push(name.clone());
            }
        }
        for (name, settings) in wanted {
            if self.running.lock().contains_key(&name) {
                continue;
            }
            let goes_on = copies.get(&name) == Some(settings.copy());
            match Running::start(&name, settings, goes_on, &self.ground, &self.clock) {
                Ok(started) => {
                    changes.started.push(name.clone());
                    self.running.lock().insert(name, started);
                }
                Err(error) => {
                    changes.failed.push(error.context(format!("the watch {name} cannot be started")));
                }
            }
        }
        changes
    }

    /// Waits for watches that were told to end, for at most [`END_MAX`]; whether they did.
    fn wait_for<'a>(&self, names: impl Iterator<Item = &'a String> + Clone) -> bool {
        let begun = Instant::now();
        let ended = |name: &String| self.running.lock().get(name).is_none_or(Running::has_ended);
        while !names.clone().all(ended) {
            if begun.elapsed() > END_MAX {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// What is wrong with the rules that changed, held against the tables as the copies know them: of a table that was never watched nothing can be
    /// told without the database. Blocks.
    pub(crate) fn mistakes(&self, config: &Config) -> Vec<String> {
        let mut changed = Vec::new();
        for (name, running) in self.running.lock().iter() {
            let Some(watch) = config.written.audit.get(name) else { continue };
            if *running.settings() != Settings::of(config, name, watch) {
                changed.push((running.place(), watch));
            }
        }
        changed.into_iter().flat_map(|(place, watch)| rules::mistakes(&place, watch)).collect()
    }

    /// Asks for a snapshot of a watch, or for all that it has; the answers come as they are made.
    pub(crate) fn snapshot(
        &self,
        watch: &str,
        name: Option<&str>,
        by: &str,
    ) -> Result<mpsc::Receiver<Answer>> {
        let running = self.running.lock();
        let running = running.get(watch).with_context(|| format!("there is no watch {watch:?}"))?;
        running
            .snapshots()
            .with_context(|| {
                format!("the watch {watch} has no snapshots; name some under audit: {watch}: snapshots:")
            })?
            .ask(name, by)
    }

    /// Where the copies of these watches are.
    fn places(&self, among: Option<&Among>) -> Vec<Place> {
        let places: Vec<Place> = self.running.lock().values().map(Running::place).collect();
        places.into_iter().filter(|place| among.is_none_or(|among| among.contains(&place.watch))).collect()
    }

    /// A watch that runs, or why it does not.
    fn handle(&self, watch: &str) -> Result<Handle, String> {
        let running = self.running.lock();
        running.get(watch).map_or_else(|| Err("it is watched no longer".to_owned()), Running::handle)
    }

    /// Ends them all; each goes on at the next start exactly where it was.
    pub(crate) fn stop(&self) {
        let _alone = self.changing.lock();
        let all = std::mem::take(&mut *self.running.lock());
        all.values().for_each(Running::signal);
        while !all.values().all(Running::has_ended) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Databases for Watches {
    fn watches(&self) -> Vec<WatchStatus> {
        self.running.lock().values().map(Running::status).collect()
    }

    fn violations(&self, wanted: &Wanted) -> Result<Found<Violation>, WatchError> {
        copies::violations(&self.places(wanted.among.as_ref()), wanted)
    }

    fn matching(&self, wanted: &Wanted) -> Result<Found<String>, WatchError> {
        let all = self.places(wanted.among.as_ref());
        let (mut places, mut unreadable) = (Vec::new(), Vec::new());
        for place in copies::wanted(&all, wanted)? {
            // A copy that can be read may be one that cannot be written.
            match self.handle(&place.watch) {
                Ok(_) => places.push(place.clone()),
                Err(why) => unreadable.push(Unreadable { watch: place.watch.clone(), why }),
            }
        }
        let mut found = copies::matching(&places, wanted);
        found.unreadable.extend(unreadable);
        Ok(found)
    }

    fn history(&self, of: &History) -> Result<(Vec<RowVersion>, bool), WatchError> {
        copies::history(&self.places(of.among.as_ref()), &of.fingerprint, of.before)
    }

    fn sign_off(&self, sign_off: &SignOff) -> Result<(), WatchError> {
        let places = self.places(None);
        let mut ready = Vec::new();
        // All of them before the first is signed off.
        for (place, fingerprints) in copies::by_watch(&places, &sign_off.fingerprints)? {
            let watch = self.handle(&place.watch);
            let watch = watch
                .map_err(|why| WatchError::Unavailable(format!("the copy of {}: {why}", place.watch)))?;
            ready.push((place, watch, fingerprints));
        }
        let mut signed_off = 0;
        for (place, watch, fingerprints) in ready {
            let count = fingerprints.len();
            let done = watch.sign_off(
                fingerprints,
                sign_off.by.clone(),
                sign_off.address.clone(),
                sign_off.reason.clone(),
            );
            let handle = tokio::runtime::Handle::try_current()
                .map_err(|error| WatchError::Unavailable(error.to_string()))?;
            if let Err(error) = handle.block_on(done) {
                let why = place.failed(error);
                return Err(match signed_off {
                    0 => why,
                    _ => WatchError::Partly { signed_off, why: Box::new(why) },
                });
            }
            signed_off += count;
        }
        Ok(())
    }
}
