//! The table, on each database, and how an older one becomes it.

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Mysql,
    Sqlite,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Text of at most so many characters, by which rows are found.
    Key(u16),
    Text,
    LongText,
    Time,
    Bool,
    Small,
    Big,
    Json,
}

/// The columns that are filled from an event: name, what it holds, whether it may be null.
pub(super) const COLUMNS: [(&str, Holds, bool); super::row::COLUMN_COUNT] = [
    ("ledger", Holds::Key(64), false),
    ("event_source", Holds::Key(255), false),
    ("event_id", Holds::Key(64), false),
    ("event_time", Holds::Time, false),
    ("received_at", Holds::Time, false),
    ("event_name", Holds::Text, false),
    ("username", Holds::Text, false),
    ("resource", Holds::Text, true),
    ("via", Holds::Json, true),
    ("source_ip_address", Holds::Text, false),
    ("request_id", Holds::Text, true),
    ("read_only", Holds::Bool, false),
    ("outcome", Holds::Text, true),
    ("severity", Holds::Small, true),
    ("message", Holds::LongText, true),
    ("host", Holds::Text, true),
    ("agent", Holds::Text, true),
    ("agent_epoch", Holds::Big, true),
    ("agent_seq", Holds::Big, true),
    ("event_data", Holds::Json, true),
];

/// The version of the table's form that this program writes to.
pub(super) const VERSION: i32 = 2;

/// The table, and where its version stands, with a schema in front: `audit.events` has `audit.events_schema`.
pub(super) fn is_table_name(name: &str) -> bool {
    let plain = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && part.len() <= 48
    };
    match name.split_once('.') {
        Some((schema, table)) => plain(schema) && plain(table),
        None => plain(name),
    }
}

/// The statements that make a table of one version from one of the version before; nothing is version 0.
pub(super) fn migration(dialect: Dialect, table: &str, to: i32) -> Vec<String> {
    // An index has its table's name, without the schema.
    let bare = table.rsplit('.').next().unwrap_or(table);
    match to {
        1 => {
            let columns: Vec<String> = COLUMNS
                .iter()
                .map(|(name, holds, null)| {
                    let null = if *null { "" } else { " NOT NULL" };
                    format!("{name} {}{null}", type_of(dialect, *holds))
                })
                .collect();
            let loaded = match dialect {
                Dialect::Postgres => "timestamptz NOT NULL DEFAULT now()",
                Dialect::Mysql => "DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
                Dialect::Sqlite => "TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))",
            };
            let end = match dialect {
                Dialect::Mysql => " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
                Dialect::Postgres | Dialect::Sqlite => "",
            };
            vec![format!(
                "CREATE TABLE IF NOT EXISTS {table} ({}, loaded_at {loaded}, PRIMARY KEY (ledger, event_source, event_id)){end}",
                columns.join(", ")
            )]
        }
        // Events are looked for by time, and by name and time.
        2 => {
            let name = if dialect == Dialect::Mysql { "event_name(100)" } else { "event_name" };
            let unless_there = if dialect == Dialect::Mysql { "" } else { "IF NOT EXISTS " };
            match dialect {
                Dialect::Mysql => vec![format!(
                    "ALTER TABLE {table} ADD INDEX {bare}_time (event_time), ADD INDEX {bare}_name ({name}, event_time)"
                )],
                Dialect::Postgres | Dialect::Sqlite => vec![
                    format!("CREATE INDEX {unless_there}{bare}_time ON {table} (event_time)"),
                    format!("CREATE INDEX {unless_there}{bare}_name ON {table} ({name}, event_time)"),
                ],
            }
        }
        _ => Vec::new(),
    }
}

/// What is said when the table is of a version that this program does not know.
pub(super) fn too_new(table: &str, found: i32) -> String {
    format!(
        "the table {table} has version {found}, this program writes version {VERSION}: use a newer program, or another table"
    )
}

fn type_of(dialect: Dialect, holds: Holds) -> String {
    let (postgres, mysql, sqlite) = match holds {
        Holds::Key(length) => ("text", format!("VARCHAR({length})"), "TEXT"),
        Holds::Text => ("text", "TEXT".to_owned(), "TEXT"),
        Holds::LongText => ("text", "LONGTEXT".to_owned(), "TEXT"),
        Holds::Time => ("timestamptz", "DATETIME(6)".to_owned(), "TEXT"),
        Holds::Bool => ("boolean", "BOOLEAN".to_owned(), "INTEGER"),
        Holds::Small => ("smallint", "SMALLINT".to_owned(), "INTEGER"),
        // Numbers go beyond what 63 bits hold.
        Holds::Big => ("numeric(20)", "BIGINT UNSIGNED".to_owned(), "INTEGER"),
        Holds::Json => ("jsonb", "JSON".to_owned(), "TEXT"),
    };
    match dialect {
        Dialect::Postgres => postgres.to_owned(),
        Dialect::Mysql => mysql,
        Dialect::Sqlite => sqlite.to_owned(),
    }
}

/// What the columns are called, with commas between.
pub(super) fn column_names() -> String {
    COLUMNS.map(|(name, _, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables() {
        for (name, good) in [
            ("attestry_events", true),
            ("audit.events", true),
            ("_x9", true),
            ("", false),
            ("9x", false),
            ("a b", false),
            ("a;drop table x", false),
            ("a.b.c", false),
            ("a.", false),
            ("a`b", false),
            ("é", false),
            (&"x".repeat(49), false),
        ] {
            assert_eq!(is_table_name(name), good, "{name:?}");
        }
    }

    #[test]
    fn every_version_can_be_reached() {
        for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
            assert!((1..=VERSION).all(|version| !migration(dialect, "t", version).is_empty()));
            assert!(migration(dialect, "t", VERSION + 1).is_empty());
        }
    }
}
