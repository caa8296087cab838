//! Tables, columns and keys, as the system catalogs say (PostgreSQL's documentation, chapter 53).

use std::collections::BTreeMap;

use super::session::{Session, value};
use crate::config::{Identify, WatchConfig};
use crate::database::DbError;
use crate::table::{Column, Kind, Name, Table};

/// What the stream says of a row that was changed or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Its primary key, if there is one.
    Default,
    /// The columns of one index.
    Index,
    /// All of it.
    Full,
    /// Nothing.
    Nothing,
}

/// A table with what else has to be known of it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) table: Table,
    pub(super) identity: Identity,
    /// Whether there is a primary key.
    pub(super) primary: bool,
    /// A unique key that could be its replica identity: the index's name.
    pub(super) unique: Option<String>,
    pub(super) unlogged: bool,
    /// Whether this session may read it.
    pub(super) readable: bool,
    /// Whether policies hide rows from this session.
    pub(super) hides_rows: bool,
    /// Columns that the database computes and the stream leaves out.
    pub(super) left_out: Vec<String>,
    /// The configuration's key does not fit the table: why.
    pub(super) wrong_key: Option<String>,
}

impl Known {
    /// Whether the stream carries updates and deletions of it, so that publishing them does not make them fail.
    pub(super) fn is_streamed(&self) -> bool {
        let identified = match self.identity {
            Identity::Default => self.primary,
            Identity::Index | Identity::Full => true,
            Identity::Nothing => false,
        };
        identified && !self.unlogged
    }
}

/// Ordinary tables and partitions with their columns, in the order of their names and places. A domain counts as what it is made of.
const COLUMNS: &str = "
    SELECT c.relname, c.relreplident::text, c.relpersistence = 'u',
           has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'), row_security_active(c.oid),
           a.attname, format_type(a.atttypid, a.atttypmod), base.typname, base.builtin, a.attnotnull, a.attgenerated <> '', a.attnum,
           CASE WHEN l.oid IS NULL THEN false
                WHEN l.collname = 'default' AND l.collnamespace = 'pg_catalog'::regnamespace THEN
                     (SELECT datcollate IN ('C', 'POSIX') FROM pg_database WHERE datname = current_database())
                ELSE l.collisdeterministic AND coalesce(l.collcollate IN ('C', 'POSIX'), false) END
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL (
        WITH RECURSIVE made AS (
            SELECT t.oid, t.typbasetype, t.typname, t.typnamespace FROM pg_type t WHERE t.oid = a.atttypid
            UNION ALL
            SELECT t.oid, t.typbasetype, t.typname, t.typnamespace FROM made JOIN pg_type t ON t.oid = made.typbasetype)
        SELECT typname, typnamespace = 'pg_catalog'::regnamespace AS builtin FROM made WHERE typbasetype = 0) base
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relpersistence <> 't'
    ORDER BY c.relname, a.attnum";

/// Unique indexes that could tell rows apart: of plain columns, over all rows, checked at once.
const KEYS: &str = "
    SELECT c.relname, i.relname, x.indisprimary, x.indisreplident, x.indkey::int2[], x.indnkeyatts::int4
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class c ON c.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind = 'r' AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL
    ORDER BY c.relname, i.oid";

struct Index {
    name: String,
    primary: bool,
    identity: bool,
    /// The numbers of its columns.
    columns: Vec<i16>,
}

/// The schema that the tables are in.
pub(super) fn schema(config: &WatchConfig) -> &str {
    config.schema.as_deref().unwrap_or("public")
}

/// The tables that the configuration names.
pub(super) async fn known(session: &mut Session, config: &WatchConfig) -> Result<Vec<Known>, DbError> {
    let schema = schema(config);
    let mut indexes: BTreeMap<String, Vec<Index>> = BTreeMap::new();
    for row in session.rows(KEYS, &[&schema]).await? {
        let mut columns: Vec<i16> = value(&row, 4)?;
        columns.truncate(usize::try_from(value::<i32>(&row, 5)?).unwrap_or(0));
        let index =
            Index { name: value(&row, 1)?, primary: value(&row, 2)?, identity: value(&row, 3)?, columns };
        indexes.entry(value(&row, 0)?).or_default().push(index);
    }
    let mut tables: Vec<(Known, Vec<i16>)> = Vec::new();
    for row in session.rows(COLUMNS, &[&schema]).await? {
        let name: String = value(&row, 0)?;
        if !config.watches(&name) {
            continue;
        }
        if tables.last().is_none_or(|(last, _)| last.table.name.table != name) {
            let identity = match value::<&str>(&row, 1)? {
                "f" => Identity::Full,
                "i" => Identity::Index,
                "n" => Identity::Nothing,
                _ => Identity::Default,
            };
            let name = Name { schema: schema.to_owned(), table: name.clone() };
            let known = Known {
                table: Table { name, columns: Vec::new(), key: Vec::new() },
                identity,
                primary: false,
                unique: None,
                unlogged: value(&row, 2)?,
                readable: value(&row, 3)?,
                hides_rows: value(&row, 4)?,
                left_out: Vec::new(),
                wrong_key: None,
            };
            tables.push((known, Vec::new()));
        }
        let Some((known, numbers)) = tables.last_mut() else { continue };
        let column: String = value(&row, 5)?;
        let generated: bool = value(&row, 10)?;
        if generated && config.stream {
            known.left_out.push(column);
            continue;
        }
        let (base, builtin): (&str, bool) = (value(&row, 7)?, value(&row, 8)?);
        let kind = if builtin { kind(base) } else { Kind::Other };
        known.table.columns.push(Column {
            masked: config.masks(&name, &column),
            name: column,
            sql_type: value(&row, 6)?,
            nullable: !value::<bool>(&row, 9)?,
            generated,
            // Blanks at the end of `character(n)` do not count when it is compared.
            binary_order: kind == Kind::Text && base != "bpchar" && value(&row, 12)?,
            kind,
        });
        numbers.push(value(&row, 11)?);
    }
    Ok(tables
        .into_iter()
        .map(|(mut known, numbers)| {
            let empty = Vec::new();
            let indexes = indexes.get(&known.table.name.table).unwrap_or(&empty);
            choose_key(&mut known, &numbers, indexes, config);
            known
        })
        .collect())
}

/// The columns that the stream names a row by, so that what it says of one can be found: the replica identity's, else the primary key's, else
/// a unique key's without NULLs, else those that the configuration names.
fn choose_key(known: &mut Known, numbers: &[i16], indexes: &[Index], config: &WatchConfig) {
    let columns = &known.table.columns;
    let places = |index: &Index| -> Option<Vec<usize>> {
        let place = |number: &i16| numbers.iter().position(|known| known == number);
        let places: Vec<usize> = index.columns.iter().map(place).collect::<Option<_>>()?;
        let nulls = places.iter().any(|place| columns.get(*place).is_none_or(|column| column.nullable));
        (!nulls && !places.is_empty()).then_some(places)
    };
    known.primary = indexes.iter().any(|index| index.primary);
    let usable = |wanted: fn(&Index) -> bool| {
        indexes.iter().filter(|index| wanted(index)).find_map(|index| Some((index, places(index)?)))
    };
    known.unique = usable(|index| !index.primary).map(|(index, _)| index.name.clone());
    let identity = (known.identity == Identity::Index).then(|| usable(|index| index.identity)).flatten();
    let found = identity.or_else(|| usable(|index| index.primary)).or_else(|| usable(|_| true));
    if let Some((_, places)) = found {
        known.table.key = places;
        return;
    }
    if let Some(Identify::Columns(names)) = config.identifies(&known.table.name.table) {
        let places: Result<Vec<usize>, &String> =
            names.iter().map(|name| known.table.place_of(name).ok_or(name)).collect();
        match places {
            Ok(places) => known.table.key = places,
            Err(name) => known.wrong_key = Some(format!("there is no column {name:?}")),
        }
    }
}

/// What a type's cells mean.
pub(super) fn kind(base: &str) -> Kind {
    match base {
        "int2" | "int4" | "int8" => Kind::Int,
        "oid" => Kind::Unsigned,
        "numeric" => Kind::Decimal,
        "float4" => Kind::Float,
        "float8" => Kind::Double,
        "bool" => Kind::Bool,
        "text" | "varchar" | "bpchar" | "name" => Kind::Text,
        "bytea" => Kind::Bytes,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "timestamp" => Kind::DateTime,
        "timestamptz" => Kind::Timestamp,
        "json" | "jsonb" => Kind::Json,
        "uuid" => Kind::Uuid,
        _ => Kind::Other,
    }
}
