//! Attestry on a database, and what its copy says.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use attestry_db::copy::{Copy, Filter, Pass};
use attestry_db::decode_row;

use super::Setting;
use crate::flows::node::{Node, server};
use crate::process::Process;

/// The longest that anything may take: a first copy of ten million rows.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// How often the copy is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The table whose only row says when it was written, in microseconds since 1970.
pub(super) const BEAT: &str =
    "CREATE TABLE beat (id INT PRIMARY KEY, at BIGINT NOT NULL); INSERT INTO beat VALUES (1, 0)";

pub(super) struct Watch {
    node: Node,
    port: u16,
    url: String,
}

impl Watch {
    /// Of everything, with nothing but that allowed. It does not run yet.
    pub(super) fn new(setting: &Setting<'_>, url: &str, every: &str) -> Result<Watch> {
        let watch = Watch { node: Node::new(setting.binary, "")?, port: setting.port, url: url.to_owned() };
        watch.configure(every)?;
        Ok(watch)
    }

    /// Has everything compared so often, as fast as it can be.
    pub(super) fn configure(&self, every: &str) -> Result<()> {
        self.node.configure(&server(
            self.port,
            &format!(
                "audit:\n  bank:\n    url: {}\n    reconcile: {{every: {every}, rows_per_second: 4000000000}}\n    tables: {{'*': {{allow: all_updates, on_delete: {{fine: 'null'}}}}}}\n",
                self.url
            ),
        ))
    }

    pub(super) fn start(&mut self) -> Result<()> {
        self.node.start()
    }

    /// As a power cut would.
    pub(super) fn kill(&mut self) {
        self.node.kill();
    }

    pub(super) fn process(&self) -> Result<&Process> {
        self.node.process()
    }

    /// The copy, once the first one was taken of all tables.
    pub(super) fn copied(&self) -> Result<Copy> {
        let path = self.node.path("data/databases/bank.sqlite");
        let begun = Instant::now();
        loop {
            if path.exists()
                && let Ok(mut copy) = Copy::open_to_read(&path)
                && let Ok(watched) = copy.watched()
                && !watched.is_empty()
                && watched.iter().all(|table| table.done)
            {
                return Ok(copy);
            }
            if begun.elapsed() > PATIENCE {
                bail!("the first copy is not taken");
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Microseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// When what the copy has last of the beat was written.
pub(super) fn beat(copy: &mut Copy) -> Result<i64> {
    let watched = copy.watched()?.into_iter().find(|table| table.name().table == "beat");
    let rows = copy.rows_from(watched.context("no beat")?.id, &[], 1)?;
    let row = decode_row(&rows.first().context("no beat")?.image)?;
    let at = row.get(1).and_then(|cell| cell.text()).context("no beat")?;
    Ok(at.parse()?)
}

/// Waits until the copy has a beat that was written at or after a time.
pub(super) fn caught_up(copy: &mut Copy, at: i64) -> Result<()> {
    let begun = Instant::now();
    while beat(copy)? < at {
        if begun.elapsed() > PATIENCE {
            bail!("the copy stays behind");
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The first comparison of all tables after this number, once it has ended.
pub(super) fn passed(copy: &Copy, after: u64) -> Result<Pass> {
    let begun = Instant::now();
    loop {
        if let Some(pass) = copy.pass()?.filter(|pass| pass.ended && pass.number > after) {
            return Ok(pass);
        }
        if begun.elapsed() > PATIENCE {
            bail!("a comparison does not end");
        }
        std::thread::sleep(LOOK);
    }
}

/// Violations that wait.
pub(super) fn pending(copy: &mut Copy) -> Result<usize> {
    Ok(copy.violations(&Filter { pending: Some(true), ..Filter::default() }, 1_000)?.len())
}
