//! The tables of a projection, and how values stand in statements: all that MySQL and PostgreSQL do differently.

use sha2::{Digest as _, Sha256};

use crate::cell::Cell;
use crate::config::Engine;
use crate::copy::Layout;
use crate::mysql;
use crate::table::{Column, Kind, Table};

/// The violations.
pub(super) const VIOLATIONS: &str = "_rule_violations";

/// What the projection knows of itself.
pub(super) const MARKS: &str = "_attestry";

/// Columns of an audited table beside its own.
pub(super) const AUDIT: [&str; 6] =
    ["_copied_at", "_has_delta", "_last_version", "_has_violation", "_deleted_at", "_row_id"];

/// Columns of its versions.
pub(super) const VERSION: [&str; 3] = ["_row_version", "_versioned_at", "_row_id"];

/// Columns of the violations, without the number that the server gives.
pub(super) const VIOLATION: [&str; 11] = [
    "fingerprint",
    "audited_table",
    "field",
    "name",
    "stamp",
    "description",
    "item",
    "pkey",
    "row_version",
    "state",
    "signed_off_at",
];

/// The longest name of a table on MySQL and MariaDB, in characters.
const MYSQL_NAME_CHARS: usize = 64;

/// And on PostgreSQL, in bytes: what is longer it cuts off.
const POSTGRES_NAME_BYTES: usize = 63;

/// How much of a hash stands in a name that is shortened.
const NAME_HASH_DIGITS: usize = 10;

/// How a server writes things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect(pub(super) Engine);

impl Dialect {
    /// A name.
    pub(super) fn quoted(self, name: &str) -> String {
        match self.0 {
            Engine::Mysql => mysql::quoted(name),
            Engine::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// A table of a schema.
    pub(super) fn name(self, schema: &str, table: &str) -> String {
        format!("{}.{}", self.quoted(schema), self.quoted(table))
    }

    /// The table of a table's versions. Where the server takes no name that long, the end of it is a part of its hash.
    pub(super) fn versions_of(self, table: &str) -> String {
        let fits = |name: &str| match self.0 {
            Engine::Mysql => name.chars().count() <= MYSQL_NAME_CHARS,
            Engine::Postgres => name.len() <= POSTGRES_NAME_BYTES,
        };
        let mut name = format!("_v_{table}");
        if fits(&name) {
            return name;
        }
        let mut hash = crate::hex(&Sha256::digest(table));
        hash.truncate(NAME_HASH_DIGITS);
        loop {
            name.pop();
            let shorter = format!("{name}_{hash}");
            if fits(&shorter) {
                return shorter;
            }
        }
    }

    /// A text.
    pub(super) fn text(self, text: &str) -> String {
        match self.0 {
            Engine::Mysql => mysql::text_literal(text),
            // The server's texts have no zeros; of what is ours they are left out.
            Engine::Postgres => format!("'{}'", text.replace('\'', "''").replace('\0', "")),
        }
    }

    /// Bytes.
    pub(super) fn bytes(self, bytes: &[u8]) -> String {
        match self.0 {
            Engine::Mysql => mysql::hex(bytes),
            Engine::Postgres => format!("'\\x{}'", crate::hex(bytes)),
        }
    }

    /// A moment, given in microseconds since 1970.
    pub(super) fn moment(self, micros: i64) -> String {
        let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
        let written = time.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
        match self.0 {
            Engine::Mysql => format!("'{written}'"),
            Engine::Postgres => format!("'{written}+00'"),
        }
    }

    /// A value of a column, to be put into a column of [the same type](Dialect::type_of).
    pub(super) fn value(self, column: &Column, cell: &Cell) -> String {
        let none = || "NULL".to_owned();
        match (cell, self.0) {
            (Cell::Null, _) => none(),
            (Cell::Masked(hash), _) => self.bytes(hash),
            (Cell::Value(_), Engine::Mysql) => mysql::value_literal(column, cell).unwrap_or_else(none),
            (Cell::Value(bytes), Engine::Postgres) if column.kind == Kind::Bytes => self.bytes(bytes),
            (Cell::Value(bytes), Engine::Postgres) => self.text(&String::from_utf8_lossy(bytes)),
        }
    }

    /// The type that a column has here: its own. Types that somebody made are shown as text: a column of one would keep its owner from
    /// dropping it.
    pub(super) fn type_of(self, column: &Column) -> String {
        match self.0 {
            Engine::Mysql if column.masked => "varbinary(32)".to_owned(),
            Engine::Postgres if column.masked => "bytea".to_owned(),
            Engine::Postgres if column.sql_type.contains('.') => "text".to_owned(),
            _ => column.sql_type.clone(),
        }
    }

    /// A type that every value's text fits in.
    fn any_text(self) -> &'static str {
        match self.0 {
            Engine::Mysql => "longtext character set utf8mb4 collate utf8mb4_bin",
            Engine::Postgres => "text",
        }
    }

    /// What stands after the values so that rows which are there are replaced.
    pub(super) fn replacing(self, key: &str, columns: &[String]) -> String {
        let set = |with: &dyn Fn(&String) -> String| columns.iter().map(with).collect::<Vec<_>>().join(", ");
        match self.0 {
            Engine::Mysql => {
                format!(" ON DUPLICATE KEY UPDATE {}", set(&|column| format!("{column} = VALUES({column})")))
            }
            Engine::Postgres => format!(
                " ON CONFLICT ({key}) DO UPDATE SET {}",
                set(&|column| format!("{column} = EXCLUDED.{column}"))
            ),
        }
    }

    fn own(self) -> Own {
        match self.0 {
            Engine::Mysql => Own {
                number: "bigint(20) NULL",
                flag: "tinyint NOT NULL DEFAULT 0",
                moment: "timestamp(6) NULL DEFAULT NULL",
                id: "binary(32) NOT NULL",
                after: " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            },
            Engine::Postgres => Own {
                number: "bigint NULL",
                flag: "smallint NOT NULL DEFAULT 0",
                moment: "timestamp(6) with time zone NULL",
                id: "bytea NOT NULL",
                after: "",
            },
        }
    }

    /// The statement that makes the table of marks.
    pub(super) fn marks(self, schema: &str) -> String {
        let (name, after) = (self.name(schema, MARKS), self.own().after);
        format!(
            "CREATE TABLE {name} (name varchar(190) NOT NULL PRIMARY KEY, value varchar(190) NOT NULL){after}"
        )
    }

    /// The statement that makes the table of violations.
    pub(super) fn violations(self, schema: &str) -> Definition {
        let name = self.name(schema, VIOLATIONS);
        let (id, long) = match self.0 {
            Engine::Mysql => ("bigint NOT NULL AUTO_INCREMENT", "longtext"),
            Engine::Postgres => ("bigint NOT NULL GENERATED ALWAYS AS IDENTITY", "text"),
        };
        let after = self.own().after;
        let create = format!(
            "CREATE TABLE {name} (id {id}, fingerprint varchar(64) NOT NULL, audited_table varchar(255) NOT NULL, field varchar(255) NULL, \
             name varchar(255) NOT NULL, stamp bigint NOT NULL, description {long} NOT NULL, item {long} NOT NULL, pkey {long} NULL, \
             row_version bigint NOT NULL, state varchar(10) NOT NULL DEFAULT 'PENDING', signed_off_at bigint NULL, PRIMARY KEY (id), \
             UNIQUE (fingerprint)){after}"
        );
        Definition { tables: vec![VIOLATIONS.to_owned()], columns: Vec::new(), create: vec![create] }
    }

    /// The two tables of a watched one: with the columns that it has now, and for the versions those that it ever had. `indexed` when its key can be
    /// looked up by.
    pub(super) fn tables(self, schema: &str, table: &Table, layouts: &[Layout], indexed: bool) -> Definition {
        let own = self.own();
        let columns = ever(table, layouts, self);
        let versions = self.versions_of(&table.name.table);
        let written = |columns: &mut dyn Iterator<Item = (&str, String)>| {
            let nullable = |(name, kind): (&str, String)| {
                // MySQL makes a TIMESTAMP that says nothing of NULL one that changes by itself.
                let null = if self.0 == Engine::Mysql { " NULL DEFAULT NULL" } else { "" };
                format!("{} {kind}{null}, ", self.quoted(name))
            };
            columns.map(nullable).collect::<String>()
        };
        let now =
            written(&mut table.columns.iter().map(|column| (column.name.as_str(), self.type_of(column))));
        let then = written(&mut columns.iter().map(|column| (column.name.as_str(), column.sql_type.clone())));
        let mut create = vec![
            format!(
                "CREATE TABLE {} ({now}_copied_at {}, _has_delta {}, _last_version {}, _has_violation {}, _deleted_at {}, \
                 _row_id {}, PRIMARY KEY (_row_id)){}",
                self.name(schema, &table.name.table),
                own.moment,
                own.flag,
                own.number,
                own.flag,
                own.number,
                own.id,
                own.after
            ),
            format!(
                "CREATE TABLE {} ({then}_row_version bigint NOT NULL, _versioned_at {}, _row_id {}, PRIMARY KEY (_row_id, _row_version)){}",
                self.name(schema, &versions),
                own.moment,
                own.id,
                own.after
            ),
        ];
        let key: Vec<&Column> = table.key.iter().filter_map(|place| table.columns.get(*place)).collect();
        if indexed && key.iter().all(|column| self.can_be_indexed(column)) {
            let key: Vec<String> = key.iter().map(|column| self.quoted(&column.name)).collect();
            for (at, name) in [table.name.table.as_str(), versions.as_str()].into_iter().enumerate() {
                let index = if self.0 == Engine::Mysql { format!("_key{at}") } else { String::new() };
                create.push(format!(
                    "CREATE INDEX {index} ON {} ({})",
                    self.name(schema, name),
                    key.join(", ")
                ));
            }
        }
        Definition { tables: vec![table.name.table.clone(), versions], columns, create }
    }

    /// Whether an index over the whole column can be made, which MySQL's long types have none of.
    fn can_be_indexed(self, column: &Column) -> bool {
        let long = ["tiny", "text", "medium", "long", "blob", "json", "geometry", "point", "poly", "line"];
        self.0 == Engine::Postgres
            || column.masked
            || !long.iter().any(|long| column.sql_type.starts_with(long))
            || column.sql_type.starts_with("tinyint")
            || column.sql_type.starts_with("mediumint")
    }
}

/// The types of what is not the table's.
struct Own {
    number: &'static str,
    flag: &'static str,
    moment: &'static str,
    id: &'static str,
    after: &'static str,
}

/// Tables that are made together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Their names.
    pub(super) tables: Vec<String>,
    /// The columns of versions, with the types that they have there.
    pub(super) columns: Vec<Column>,
    /// The statements that make them.
    pub(super) create: Vec<String>,
}

impl Definition {
    /// What tells one from another.
    pub(super) fn signature(&self) -> String {
        crate::hex(&Sha256::digest(self.create.join(";")))
    }
}

/// All columns that a table has and had. One that had several types is a text there.
fn ever(table: &Table, layouts: &[Layout], dialect: Dialect) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let tables = std::iter::once(table).chain(layouts.iter().map(|layout| &*layout.table));
    for column in tables.flat_map(|table| &table.columns) {
        let kind = dialect.type_of(column);
        match columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) if known.sql_type != kind => {
                known.sql_type = dialect.any_text().to_owned();
                known.kind = Kind::Text;
            }
            Some(_) => {}
            None => columns.push(Column { sql_type: kind, ..column.clone() }),
        }
    }
    columns
}

/// Whether a column holds every text: see [`ever`].
pub(super) fn holds_texts(column: &Column, dialect: Dialect) -> bool {
    column.sql_type == dialect.any_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Name;

    fn column(name: &str, kind: Kind, sql_type: &str, masked: bool) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            sql_type: sql_type.to_owned(),
            nullable: false,
            generated: false,
            binary_order: false,
            masked,
        }
    }

    #[test]
    fn columns_keep_their_types_unless_they_had_several() {
        let name = Name { schema: "bank".to_owned(), table: "a".to_owned() };
        let table = |columns: Vec<Column>| Table { name: name.clone(), columns, key: vec![0] };
        let now = table(vec![
            column("id", Kind::Int, "integer", false),
            column("v", Kind::Text, "text", false),
            column("mood", Kind::Other, "bank.mood", false),
            column("pin", Kind::Text, "text", true),
        ]);
        let before = table(vec![
            column("id", Kind::Int, "integer", false),
            column("v", Kind::Int, "integer", false),
            column("gone", Kind::Date, "date", false),
        ]);
        let layouts = [Layout { id: 1, table: std::sync::Arc::new(before) }];
        let dialect = Dialect(Engine::Postgres);
        let made = dialect.tables("audit", &now, &layouts, true);
        assert_eq!(made.tables, ["a", "_v_a"]);
        assert!(
            made.create[0].contains("(\"id\" integer, \"v\" text, \"mood\" text, \"pin\" bytea, _copied_at "),
            "{}",
            made.create[0]
        );
        assert!(
            made.create[1]
                .contains("(\"id\" integer, \"v\" text, \"mood\" text, \"pin\" bytea, \"gone\" date, _row"),
            "{}",
            made.create[1]
        );
        assert_eq!(made.create.len(), 4);
    }

    #[test]
    fn tables_of_versions_have_names_that_the_server_takes() {
        for (engine, table, expected) in [
            (Engine::Mysql, "a".repeat(61), format!("_v_{}", "a".repeat(61))),
            (Engine::Mysql, "a".repeat(62), format!("_v_{}_f506898cc7", "a".repeat(50))),
            (Engine::Mysql, "ä".repeat(64), format!("_v_{}_2dd2100f48", "ä".repeat(50))),
            (Engine::Postgres, "a".repeat(60), format!("_v_{}", "a".repeat(60))),
            (Engine::Postgres, "a".repeat(61), format!("_v_{}_35d5fc17cf", "a".repeat(49))),
            (Engine::Postgres, "ä".repeat(31), format!("_v_{}_af5af88292", "ä".repeat(24))),
        ] {
            assert_eq!(Dialect(engine).versions_of(&table), expected);
        }
    }

    #[test]
    fn values_stand_in_statements_so_that_they_can_be_nothing_else() {
        let postgres = Dialect(Engine::Postgres);
        let mysql = Dialect(Engine::Mysql);
        let latin = "varchar(9) character set latin1 collate latin1_bin";
        for (dialect, kind, sql_type, cell, expected) in [
            (postgres, Kind::Text, "text", Cell::of("it's \\ 'fine'"), "'it''s \\ ''fine'''"),
            (postgres, Kind::Bytes, "bytea", Cell::of([0, 255]), "'\\x00ff'"),
            (postgres, Kind::Int, "integer", Cell::Null, "NULL"),
            (mysql, Kind::Text, latin, Cell::of([0xe9]), "_latin1 X'E9'"),
            (
                mysql,
                Kind::Unsigned,
                "bigint(20) unsigned",
                Cell::of("18446744073709551615"),
                "18446744073709551615",
            ),
            (mysql, Kind::Int, "int(11)", Cell::of("1); DROP TABLE a"), "NULL"),
            (mysql, Kind::Bytes, "blob", Cell::of("a'b"), "X'612762'"),
            (
                mysql,
                Kind::Text,
                "enum('a','b') character set latin1 collate latin1_bin",
                Cell::of("a"),
                "_utf8mb4 X'61'",
            ),
        ] {
            assert_eq!(dialect.value(&column("c", kind, sql_type, false), &cell), expected);
        }
        assert_eq!(postgres.moment(1_500_000), "'1970-01-01 00:00:01.500000+00'");
    }
}
