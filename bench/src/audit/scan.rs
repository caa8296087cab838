//! A large table: its first copy, a comparison that finds nothing, and one that finds ten rows which somebody changed behind the stream.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use attestry_db::Engine;

use super::Setting;
use super::database::Database;
use super::relay::Relay;
use super::watch::{Watch, passed, pending};

/// Rows that are changed.
const CHANGED: u64 = 10;

/// What was used between two moments.
struct Used {
    wall: Duration,
    own: Duration,
    database: Duration,
    bytes: [u64; 2],
}

pub(super) fn run(setting: &Setting<'_>, engine: Engine, out: &mut dyn Write) -> Result<()> {
    let rows = setting.rows;
    let database = Database::start(engine);
    database.query(&format!(
        "CREATE TABLE entries (id BIGINT PRIMARY KEY, account INT NOT NULL, amount DECIMAL(14, 2) NOT NULL, booked TIMESTAMP NOT NULL, note VARCHAR(60));
         INSERT INTO entries SELECT n, n % 100000, n % 1000 - 500, '2026-11-21 12:00:00', concat('transfer number ', n) FROM {}",
        database.numbers(rows)
    ));
    let relay = Relay::to(&database.url())?;
    let mut watch = Watch::new(setting, &relay.url(&database.url()), "1h")?;
    let print = |out: &mut dyn Write, what: &str, used: &Used| -> Result<()> {
        writeln!(
            out,
            "{what:34} {:.1} s; CPU {:.1} s here, {:.1} s of the database ({:.0} rows per CPU-second of it); {:.2} MB to it, {:.2} MB from it",
            used.wall.as_secs_f64(),
            used.own.as_secs_f64(),
            used.database.as_secs_f64(),
            rows as f64 / used.database.as_secs_f64(),
            used.bytes[0] as f64 / 1e6,
            used.bytes[1] as f64 / 1e6,
        )?;
        Ok(out.flush()?)
    };
    watch.start()?;
    let measured = |watch: &Watch, wait: &mut dyn FnMut() -> Result<()>| -> Result<Used> {
        let before = (Instant::now(), watch.process()?.cpu()?, database.cpu()?, relay.bytes());
        wait()?;
        let bytes = relay.bytes();
        Ok(Used {
            wall: before.0.elapsed(),
            own: watch.process()?.cpu()? - before.1,
            database: database.cpu()? - before.2,
            bytes: [bytes[0] - before.3[0], bytes[1] - before.3[1]],
        })
    };
    let used = measured(&watch, &mut || watch.copied().map(drop))?;
    print(out, &format!("first copy of {rows} rows"), &used)?;
    let mut copy = watch.copied()?;
    let used = measured(&watch, &mut || passed(&copy, 0).map(drop))?;
    print(out, "comparing them", &used)?;

    watch.kill();
    let last = copy.pass()?.map_or(0, |pass| pass.number);
    let changed: Vec<String> = (0..CHANGED).map(|at| (1 + at * (rows / CHANGED)).to_string()).collect();
    database.behind(
        "entries",
        &format!("UPDATE entries SET amount = amount + 1 WHERE id IN ({})", changed.join(", ")),
    );
    // The next comparison is due at once.
    watch.configure("1s")?;
    watch.start()?;
    let used = measured(&watch, &mut || passed(&copy, last).map(drop))?;
    let found = pending(&mut copy)?;
    if found as u64 != CHANGED {
        bail!("{found} of {CHANGED} rows were found");
    }
    print(out, &format!("comparing them, {CHANGED} are different"), &used)
}
