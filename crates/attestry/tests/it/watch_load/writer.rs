//! One of several that write at the same time, each its own rows, and know what they did, also over a server that is killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestry_db::Engine;

use super::client::{Client, Lost};
use super::model::{Draft, Model, Row};
use super::shape::Shape;
use crate::crash::Random;

/// The keys of a writer begin here, times its number.
pub(super) const KEYS: i64 = 1_000_000;

/// Keys that are free between two statements of a transaction.
const ASIDE: i64 = 900_000;

/// Rows that a writer keeps in a table.
const ROWS: u64 = 60;

/// Rows of a transaction that is too large for one part of the stream.
const MANY: i64 = 6_000;

pub(super) struct Writer {
    pub(super) number: i64,
    pub(super) models: BTreeMap<Shape, Model>,
    /// Transactions that were committed.
    pub(super) steps: i64,
    engine: Engine,
    url: String,
    random: Random,
    serial: i64,
    /// The longest pause after a transaction, in milliseconds.
    pause: u64,
    /// Between a transaction of many rows and the next, in transactions.
    many_every: u64,
}

/// What a transaction is going to do.
struct Plan {
    statements: Vec<String>,
    drafts: BTreeMap<Shape, Draft>,
    rolled_back: bool,
}

impl Writer {
    pub(super) fn new(
        number: i64,
        engine: Engine,
        url: &str,
        seed: u64,
        pause: u64,
        many_every: u64,
    ) -> Writer {
        Writer {
            number,
            models: Shape::ALL.map(|shape| (shape, Model::default())).into(),
            steps: 0,
            engine,
            url: url.to_owned(),
            random: Random(seed),
            serial: number * KEYS * 1_000,
            pause,
            many_every,
        }
    }

    /// Rows that are there before anybody watches, as statements.
    pub(super) fn seed(&mut self) -> String {
        let mut statements = Vec::new();
        for shape in [Shape::Every, Shape::Words] {
            for key in 0..20 {
                let (key, row) = (self.number * KEYS + key, self.row(shape));
                statements.push(shape.insert(self.engine, &[(key, row)]));
                self.models.get_mut(&shape).unwrap().seed(key, row);
            }
        }
        statements.join(";\n")
    }

    fn row(&mut self, shape: Shape) -> Row {
        self.serial += 1;
        let variants = shape.variants(self.engine) as u64;
        Row { variant: usize::try_from(self.random.below(variants)).unwrap(), serial: self.serial }
    }

    /// Writes until it is told to stop.
    pub(super) fn work(mut self, stop: &Arc<AtomicBool>) -> Writer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = self.connect().await;
            while !stop.load(Ordering::Relaxed) {
                let plan = self.plan();
                let done = match self.transact(&mut client, &plan).await {
                    Ok(()) => !plan.rolled_back,
                    Err(Lost) => {
                        client = self.connect().await;
                        self.reached(&mut client).await > self.steps
                    }
                };
                if done {
                    self.steps += 1;
                    for (shape, draft) in plan.drafts {
                        self.models.get_mut(&shape).unwrap().commit(draft);
                    }
                }
                let pause = self.random.below(self.pause + 1);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        });
        self
    }

    async fn connect(&self) -> Client {
        loop {
            if let Ok(client) = Client::open(self.engine, &self.url).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// How many transactions the database has of this writer.
    async fn reached(&self, client: &mut Client) -> i64 {
        loop {
            let sql = format!("SELECT n FROM steps WHERE writer = {}", self.number);
            match client.number(&sql).await {
                Ok(number) => return number,
                Err(Lost) => *client = self.connect().await,
            }
        }
    }

    async fn transact(&self, client: &mut Client, plan: &Plan) -> Result<(), Lost> {
        client.run("BEGIN").await?;
        for statement in &plan.statements {
            client.run(statement).await?;
        }
        if plan.rolled_back {
            return client.run("ROLLBACK").await;
        }
        let next = self.steps + 1;
        client.run(&format!("UPDATE steps SET n = {next} WHERE writer = {}", self.number)).await?;
        client.run("COMMIT").await
    }

    fn plan(&mut self) -> Plan {
        let drafts = self.models.iter().map(|(shape, model)| (*shape, Draft::of(model))).collect();
        let mut plan = Plan { statements: Vec::new(), drafts, rolled_back: self.random.below(12) == 0 };
        if self.random.below(self.many_every) == 0 {
            self.many(&mut plan);
        }
        for _ in 0..1 + self.random.below(6) {
            let shape = if self.random.below(3) == 0 { Shape::Every } else { Shape::Words };
            if self.random.below(10) == 0 {
                // What is undone within the transaction was never there.
                let kept = plan.drafts.clone();
                plan.statements.push("SAVEPOINT here".to_owned());
                self.one(shape, &mut plan);
                plan.statements.push("ROLLBACK TO SAVEPOINT here".to_owned());
                plan.drafts = kept;
            } else {
                self.one(shape, &mut plan);
            }
        }
        plan
    }

    /// Puts many rows in, or takes them all out, one after the other.
    fn many(&mut self, plan: &mut Plan) {
        let (engine, first) = (self.engine, self.number * KEYS);
        let draft = plan.drafts.get_mut(&Shape::Bulk).unwrap();
        if draft.rows.is_empty() {
            let rows: Vec<(i64, Row)> =
                (first..first + MANY).map(|key| (key, self.row(Shape::Bulk))).collect();
            plan.statements.push(Shape::Bulk.insert(engine, &rows));
            rows.into_iter().for_each(|(key, row)| draft.insert(key, row));
        } else {
            plan.statements.push(format!("DELETE FROM bulk WHERE id >= {first} AND id < {}", first + MANY));
            (first..first + MANY).for_each(|key| draft.delete(key));
        }
    }

    /// One thing that somebody does to a table.
    fn one(&mut self, shape: Shape, plan: &mut Plan) {
        let (engine, first) = (self.engine, self.number * KEYS);
        let known: Vec<i64> = plan.drafts[&shape].rows.keys().copied().collect();
        let any = |random: &mut Random| known[random.below(known.len() as u64) as usize];
        let kind = if known.len() < 5 { 0 } else { self.random.below(9) };
        let Plan { statements, drafts, .. } = plan;
        let draft = drafts.get_mut(&shape).unwrap();
        // A small range, so that keys come again.
        let free = loop {
            let key = first + self.random.below(ROWS * 2) as i64;
            if !draft.rows.contains_key(&key) {
                break key;
            }
        };
        let mut update = |draft: &mut Draft, keys: [i64; 2], new: Row| {
            let old = draft.rows[&keys[0]];
            statements.push(shape.update(engine, keys, old, new));
            draft.update(keys[0], keys[1], new);
        };
        match kind {
            0 | 1 if (known.len() as u64) < ROWS => {
                let row = self.row(shape);
                statements.push(shape.insert(engine, &[(free, row)]));
                draft.insert(free, row);
            }
            2 => {
                let key = any(&mut self.random);
                statements.push(shape.delete(key));
                draft.delete(key);
            }
            3 => {
                // The same key again, in the same transaction.
                let (key, row) = (any(&mut self.random), self.row(shape));
                statements.push(shape.delete(key));
                draft.delete(key);
                statements.push(shape.insert(engine, &[(key, row)]));
                draft.insert(key, row);
            }
            4 => {
                let (key, row) = (any(&mut self.random), self.row(shape));
                update(draft, [key, free], row);
            }
            5 => {
                let (one, other) = (any(&mut self.random), any(&mut self.random));
                let aside = first + ASIDE;
                if one != other {
                    for keys in [[one, aside], [other, one], [aside, other]] {
                        let row = self.row(shape);
                        update(draft, keys, row);
                    }
                }
            }
            6 => {
                // Only a number: large values beside it are not sent again by PostgreSQL.
                let key = any(&mut self.random);
                let row = Row { variant: draft.rows[&key].variant, ..self.row(shape) };
                update(draft, [key, key], row);
            }
            _ => {
                let (key, row) = (any(&mut self.random), self.row(shape));
                update(draft, [key, key], row);
            }
        }
    }
}
