//! The tables that are written to, and the statements that do it.

use attestry_db::Engine;
use attestry_testkit::values::{mariadb, postgres};
use serde_json::Value;

use super::model::Row;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// A column of every type; a number is the key.
    Every,
    /// By a text whose order only the database knows.
    Words,
    /// Many small rows, for transactions that come in parts.
    Bulk,
}

impl Shape {
    pub(super) const ALL: [Shape; 3] = [Shape::Every, Shape::Words, Shape::Bulk];

    /// All tables, empty, and `samples`, which has a row of every variant of [`Shape::Every`].
    pub(super) fn create(engine: Engine, writers: i64) -> String {
        let (every, text, like) = match engine {
            Engine::Mysql => {
                let every = mariadb::create();
                (
                    every.replace("TABLE t (id", "TABLE every (id"),
                    "VARCHAR(60) CHARACTER SET utf8mb4",
                    "LIKE every",
                )
            }
            Engine::Postgres => {
                (postgres::schema(), "TEXT COLLATE \"en-x-icu\"", "(LIKE every INCLUDING ALL)")
            }
        };
        let marks = ["id bigint PRIMARY KEY,", "id BIGINT PRIMARY KEY,"];
        let mark = marks.into_iter().find(|mark| every.contains(mark)).unwrap();
        let every = every.replace(mark, &format!("{mark} serial BIGINT NOT NULL, variant INT NOT NULL,"));
        let samples: Vec<String> = (0..Shape::Every.variants(engine))
            .map(|variant| {
                let row = Row { variant, serial: 0 };
                let number = i64::try_from(variant).unwrap();
                Shape::Every.insert(engine, &[(number, row)]).replace("INTO every", "INTO samples")
            })
            .collect();
        let steps: Vec<String> = (0..writers).map(|writer| format!("({writer}, 0)")).collect();
        format!(
            "{every}; CREATE TABLE samples {like}; {};
             CREATE TABLE words (word {text} PRIMARY KEY, serial BIGINT NOT NULL UNIQUE, variant INT NOT NULL);
             CREATE TABLE bulk (id BIGINT PRIMARY KEY, serial BIGINT NOT NULL, variant INT NOT NULL);
             CREATE TABLE steps (writer INT PRIMARY KEY, n BIGINT NOT NULL); INSERT INTO steps VALUES {}",
            samples.join("; "),
            steps.join(", ")
        )
    }

    pub(super) fn table(self) -> &'static str {
        match self {
            Shape::Every => "every",
            Shape::Words => "words",
            Shape::Bulk => "bulk",
        }
    }

    pub(super) fn of_table(table: &str) -> Option<Shape> {
        Shape::ALL.into_iter().find(|shape| shape.table() == table)
    }

    pub(super) fn key_column(self) -> &'static str {
        if self == Shape::Words { "word" } else { "id" }
    }

    /// A key as the database has it: of words it ends with its number.
    pub(super) fn key(self, number: i64) -> String {
        match self {
            Shape::Words if number % 2 == 0 => format!("Straße {number}"),
            Shape::Words => format!("strasse {number}"),
            _ => number.to_string(),
        }
    }

    fn key_in_sql(self, number: i64) -> String {
        match self {
            Shape::Words => format!("'{}'", self.key(number)),
            _ => number.to_string(),
        }
    }

    /// The number of a key that an event shows.
    pub(super) fn number(self, shown: &Value) -> i64 {
        match &shown[self.key_column()] {
            Value::String(text) => text.rsplit(' ').next().unwrap().parse().unwrap(),
            number => number.as_i64().unwrap(),
        }
    }

    /// How many different rows there are.
    pub(super) fn variants(self, engine: Engine) -> usize {
        match (self, engine) {
            (Shape::Every, Engine::Mysql) => mariadb::most(),
            (Shape::Every, Engine::Postgres) => {
                postgres::TYPES.iter().map(|(_, values)| values.len()).max().unwrap() + 1
            }
            _ => 5,
        }
    }

    /// Columns and values of a variant, as SQL.
    fn values(self, engine: Engine, variant: usize) -> Vec<(String, &'static str)> {
        let value = |values: &'static [&'static str]| {
            values.get(variant % (values.len() + 1)).copied().unwrap_or("NULL")
        };
        let all: Vec<&'static str> = match (self, engine) {
            (Shape::Every, Engine::Mysql) => {
                mariadb::COLUMNS.iter().map(|(_, values)| value(values)).collect()
            }
            (Shape::Every, Engine::Postgres) => {
                postgres::TYPES.iter().map(|(_, values)| value(values)).collect()
            }
            _ => Vec::new(),
        };
        all.into_iter().enumerate().map(|(at, value)| (format!("c{at}"), value)).collect()
    }

    pub(super) fn insert(self, engine: Engine, rows: &[(i64, Row)]) -> String {
        let mut names = vec![self.key_column().to_owned(), "serial".to_owned(), "variant".to_owned()];
        let mut all = Vec::new();
        for (number, row) in rows {
            let values = self.values(engine, row.variant);
            let mut sql = vec![self.key_in_sql(*number), row.serial.to_string(), row.variant.to_string()];
            sql.extend(values.iter().map(|(_, value)| (*value).to_owned()));
            names.truncate(3);
            names.extend(values.into_iter().map(|(name, _)| name));
            all.push(format!("({})", sql.join(", ")));
        }
        format!("INSERT INTO {} ({}) VALUES {}", self.table(), names.join(", "), all.join(", "))
    }

    /// Changes a row: its key, and its values where the variant is another one.
    pub(super) fn update(self, engine: Engine, keys: [i64; 2], old: Row, new: Row) -> String {
        let [key, new_key] = keys;
        let mut sets = vec![format!("serial = {}", new.serial), format!("variant = {}", new.variant)];
        if key != new_key {
            sets.push(format!("{} = {}", self.key_column(), self.key_in_sql(new_key)));
        }
        if old.variant != new.variant {
            let values = self.values(engine, new.variant).into_iter();
            sets.extend(values.map(|(name, value)| format!("{name} = {value}")));
        }
        let place = format!("{} = {}", self.key_column(), self.key_in_sql(key));
        format!("UPDATE {} SET {} WHERE {place}", self.table(), sets.join(", "))
    }

    pub(super) fn delete(self, key: i64) -> String {
        format!("DELETE FROM {} WHERE {} = {}", self.table(), self.key_column(), self.key_in_sql(key))
    }
}
