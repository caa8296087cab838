//! What `information_schema` says of tables, columns and keys.

use std::collections::{BTreeMap, BTreeSet};

use super::column_type::ColumnType;
use super::expression::text_literal;
use super::session::{Row, Session};
use crate::config::{Identify, WatchConfig};
use crate::database::DbError;
use crate::table::{Column, Kind, Name, Table};

/// A table as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) table: Table,
    /// `InnoDB`.
    pub(super) engine: String,
    /// Why it cannot be watched, whatever its key.
    pub(super) unfit: Vec<String>,
}

/// The tables that the configuration names.
pub(super) async fn find(session: &mut Session, config: &WatchConfig) -> Result<Vec<Found>, DbError> {
    let schema = config.schema.clone().unwrap_or_else(|| session.database().to_owned());
    let of_schema = format!("table_schema = {}", text_literal(&schema));
    let tables = session
        .rows(&format!(
            "SELECT table_name, table_type, engine FROM information_schema.tables WHERE {of_schema} ORDER BY table_name"
        ))
        .await?;
    let mut columns = by_table(
        session
            .rows(&format!(
                "SELECT table_name, column_name, column_type, character_set_name, collation_name, is_nullable, extra \
                 FROM information_schema.columns WHERE {of_schema} ORDER BY table_name, ordinal_position"
            ))
            .await?,
    );
    let keys = by_table(
        session
            .rows(&format!(
                "SELECT table_name, index_name, column_name FROM information_schema.statistics \
                 WHERE {of_schema} AND non_unique = 0 ORDER BY table_name, index_name <> 'PRIMARY', index_name, seq_in_index"
            ))
            .await?,
    );
    let json = checked_json(session, &schema).await?;
    let mut found = Vec::new();
    for row in tables {
        let (name, kind, engine) = (text(&row, 0), text(&row, 1), text(&row, 2));
        let versioned = kind == "SYSTEM VERSIONED";
        if !(kind == "BASE TABLE" || versioned) || !config.watches(&name) {
            continue;
        }
        let name = Name { schema: schema.clone(), table: name };
        let mut unfit = Vec::new();
        if versioned {
            unfit.push("the log says of a system versioned table what its history has, too".to_owned());
        }
        let rows = columns.remove(&name.table).unwrap_or_default();
        let columns = rows.iter().map(|row| column(row, &name, config, &json, &mut unfit)).collect();
        let mut table = Table { name, columns, key: Vec::new() };
        if unfit.is_empty() {
            table.key = key(&table, keys.get(&table.name.table).map_or(&[], Vec::as_slice));
            if table.key.is_empty() {
                identify(&mut table, config, &mut unfit);
            }
        }
        found.push(Found { table, engine, unfit });
    }
    Ok(found)
}

fn column(
    row: &Row,
    table: &Name,
    config: &WatchConfig,
    json: &BTreeSet<(String, String)>,
    unfit: &mut Vec<String>,
) -> Column {
    let (name, written, extra) = (text(row, 0), text(row, 1), text(row, 5));
    let sql_type = match (text(row, 2), text(row, 3)) {
        (charset, collation) if !charset.is_empty() => {
            format!("{written} character set {charset} collate {collation}")
        }
        _ => written,
    };
    let known = ColumnType::of(&sql_type);
    if let Err(reason) = &known {
        unfit.push(format!("{name}: {reason}"));
    }
    let is_json = json.contains(&(table.table.clone(), name.clone()));
    Column {
        kind: known.as_ref().map_or(Kind::Other, |known| known.kind(is_json)),
        binary_order: known.as_ref().is_ok_and(ColumnType::binary_order),
        nullable: text(row, 4) == "YES",
        generated: extra.contains("GENERATED") && !extra.contains("DEFAULT_GENERATED"),
        masked: config.masks(&table.table, &name),
        sql_type,
        name,
    }
}

/// The primary key, else the first unique key without NULLs.
fn key(table: &Table, rows: &[Row]) -> Vec<usize> {
    let mut indexes: Vec<(String, Vec<Option<usize>>)> = Vec::new();
    for row in rows {
        let index = text(row, 0);
        // An index over an expression has no column.
        let place =
            row.get(1).cloned().flatten().and_then(|name| table.place_of(&String::from_utf8_lossy(&name)));
        match indexes.last_mut() {
            Some((last, places)) if *last == index => places.push(place),
            _ => indexes.push((index, vec![place])),
        }
    }
    let certain = |place: &Option<usize>| -> Option<usize> {
        place.filter(|place| table.columns.get(*place).is_some_and(|column| !column.nullable))
    };
    let found = indexes.into_iter().find_map(|(_, places)| places.iter().map(certain).collect());
    found.unwrap_or_default()
}

fn identify(table: &mut Table, config: &WatchConfig, unfit: &mut Vec<String>) {
    let Some(Identify::Columns(names)) = config.identifies(&table.name.table) else {
        return;
    };
    for name in names {
        match table.place_of(name) {
            Some(place) => table.key.push(place),
            None => unfit.push(format!("it has no column {name}, by which its rows were to be identified")),
        }
    }
    if !unfit.is_empty() {
        table.key.clear();
    }
}

/// The columns that MariaDB checks to be JSON: its JSON is a text with that check.
async fn checked_json(session: &mut Session, schema: &str) -> Result<BTreeSet<(String, String)>, DbError> {
    if !session.server().await?.mariadb {
        return Ok(BTreeSet::new());
    }
    let rows = session
        .rows(&format!(
            "SELECT table_name, check_clause FROM information_schema.check_constraints \
             WHERE constraint_schema = {} AND check_clause LIKE 'json_valid(`%`)'",
            text_literal(schema)
        ))
        .await?;
    let column = |clause: String| -> Option<String> {
        Some(clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?.replace("``", "`"))
    };
    Ok(rows.iter().filter_map(|row| Some((text(row, 0), column(text(row, 1))?))).collect())
}

/// The rest of each row, by the table in its first place.
fn by_table(rows: Vec<Row>) -> BTreeMap<String, Vec<Row>> {
    let mut tables: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for mut row in rows {
        if row.is_empty() {
            continue;
        }
        let rest = row.split_off(1);
        tables.entry(text(&row, 0)).or_default().push(rest);
    }
    tables
}

/// A value as text; NULL is empty.
pub(super) fn text(row: &Row, at: usize) -> String {
    row.get(at)
        .and_then(Option::as_ref)
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .unwrap_or_default()
}
