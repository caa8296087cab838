//! What a real MySQL 8.0.46 wrote to its log (`recorded/`), read, and compared with what it said its rows were. The server is not in Debian, so it was
//! run once, by `recorded/record`.

use std::collections::HashMap;
use std::sync::Arc;

use super::column_type::ColumnType;
use super::decoder::Decoder;
use crate::cell::{Cell, MaskKey};
use crate::change::{Op, Sent, Step};
use crate::table::{Column, Name, Table};

const LOG: &[u8] = include_bytes!("recorded/mysql-8.0.46.binlog.zst");
const ROWS: &[u8] = include_bytes!("recorded/mysql-8.0.46.rows.zst");

/// The columns of `types.sql`, with their types as `information_schema` has them.
const COLUMNS: [(&str, &str); 26] = [
    ("id", "bigint unsigned"),
    ("a", "tinyint"),
    ("b", "smallint unsigned"),
    ("c", "mediumint"),
    ("d", "int unsigned"),
    ("e", "bigint"),
    ("f", "float"),
    ("g", "double"),
    ("h", "decimal(38,10)"),
    ("i", "bit(13)"),
    ("j", "year"),
    ("k", "date"),
    ("l", "time(4)"),
    ("m", "datetime(6)"),
    ("n", "timestamp(3)"),
    ("o", "char(10) character set latin1 collate latin1_swedish_ci"),
    ("p", "varchar(300) character set utf8mb4 collate utf8mb4_0900_ai_ci"),
    ("q", "binary(5)"),
    ("r", "varbinary(9)"),
    ("s", "text character set utf8mb4 collate utf8mb4_0900_ai_ci"),
    ("t", "longblob"),
    ("u", "enum('x','ü') character set utf8mb4 collate utf8mb4_0900_ai_ci"),
    ("v", "set('p','q','r') character set utf8mb4 collate utf8mb4_0900_ai_ci"),
    ("w", "json"),
    ("y", "bigint"),
    ("z", "point"),
];

fn table(name: &str, columns: &[(&str, &str)]) -> Arc<Table> {
    let columns = columns.iter().map(|(name, sql_type)| {
        let known = ColumnType::of(sql_type).unwrap();
        Column {
            name: (*name).to_owned(),
            kind: known.kind(false),
            sql_type: (*sql_type).to_owned(),
            nullable: *name != "id",
            generated: *name == "y",
            binary_order: known.binary_order(),
            masked: false,
        }
    });
    let name = Name { schema: "recorded".to_owned(), table: name.to_owned() };
    Arc::new(Table { name, columns: columns.collect(), key: vec![0] })
}

/// The events of a log's file: each says its own length.
fn events(mut log: &[u8]) -> Vec<&[u8]> {
    log = log.strip_prefix(b"\xfebin").unwrap();
    let mut events = Vec::new();
    while !log.is_empty() {
        let length = u32::from_le_bytes(log[9..13].try_into().unwrap());
        let (event, rest) = log.split_at(length as usize);
        events.push(event);
        log = rest;
    }
    events
}

fn cells(sent: Vec<Sent>, before: Option<&Vec<Cell>>) -> Vec<Cell> {
    let place = |(at, sent): (usize, Sent)| match sent {
        Sent::Cell(cell) => cell,
        Sent::AsBefore => before.unwrap()[at].clone(),
    };
    sent.into_iter().enumerate().map(place).collect()
}

#[test]
fn rows_that_a_real_mysql_8_logged_are_what_it_says_they_are() {
    let config = serde_saphyr::from_str("url: mysql://a@b/recorded").unwrap();
    let mask = MaskKey([0; 32]);
    let mut decoder = Decoder::new(config, "recorded".to_owned(), mask, "log.000002".to_owned(), 4);
    let every = table("every", &COLUMNS);
    decoder.set_tables(vec![Arc::clone(&every), table("other", &[("id", "int")])]);

    let log = zstd::decode_all(LOG).unwrap();
    let (mut rows, mut comments, mut others) = (HashMap::new(), Vec::new(), Vec::new());
    for event in events(&log) {
        decoder.event(event).unwrap();
        while let Some(step) = decoder.step() {
            let Step::Transaction(transaction) = step else { continue };
            comments.extend(transaction.comment);
            for change in transaction.changes {
                if change.table.name.table == "other" {
                    others.push(change.op);
                    continue;
                }
                match change.op {
                    Op::Insert { new } => {
                        let new = cells(new, None);
                        assert_eq!(rows.insert(new[0].clone(), new), None);
                    }
                    Op::Update { key, before, new } => {
                        let known = rows.remove(&key[0]).unwrap();
                        assert_eq!(before.as_ref(), Some(&known));
                        let new = cells(new, Some(&known));
                        rows.insert(new[0].clone(), new);
                    }
                    Op::Delete { key, .. } => assert!(rows.remove(&key[0]).is_some()),
                    Op::Truncate => panic!("every was not emptied"),
                }
            }
        }
    }
    assert_eq!(comments, ["user=ada"]);
    assert!(matches!(others[..], [Op::Insert { .. }, Op::Truncate]), "{others:?}");

    let said = String::from_utf8(zstd::decode_all(ROWS).unwrap()).unwrap();
    assert_eq!(said.lines().count(), rows.len());
    for line in said.lines() {
        let said: Vec<Cell> = line
            .split('\t')
            .map(|cell| if cell == "-" { Cell::Null } else { Cell::Value(unhex(cell)) })
            .collect();
        for (at, (name, _)) in COLUMNS.iter().enumerate() {
            assert_eq!(rows[&said[0]][at], said[at], "{name} of {:?}", said[0]);
        }
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
