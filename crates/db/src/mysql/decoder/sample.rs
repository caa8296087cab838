//! Events as a MySQL writes them, made by hand.

use std::sync::Arc;

use super::super::event::kind;
use super::Decoder;
use crate::cell::MaskKey;
use crate::change::Prepared;
use crate::table::{Column, Kind, Name, Table};

pub(super) fn event(kind: u8, end: u32, body: &[u8]) -> Vec<u8> {
    let mut event = 1_700_000_000_u32.to_le_bytes().to_vec();
    event.push(kind);
    event.extend_from_slice(&9_u32.to_le_bytes());
    event.extend_from_slice(&u32::try_from(19 + body.len() + 4).unwrap().to_le_bytes());
    event.extend_from_slice(&end.to_le_bytes());
    event.extend_from_slice(&[0, 0]);
    event.extend_from_slice(body);
    let mut crc = flate2::Crc::new();
    crc.update(&event);
    event.extend_from_slice(&crc.sum().to_le_bytes());
    event
}

pub(super) fn column(name: &str, sql_type: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        sql_type: sql_type.to_owned(),
        nullable: true,
        generated: false,
        binary_order: false,
        masked: false,
    }
}

pub(super) fn decoder() -> Decoder {
    decoder_at(4, &[])
}

pub(super) fn decoder_at(at: u64, prepared: &[Prepared]) -> Decoder {
    let config = serde_saphyr::from_str("url: mysql://a@b/bank").unwrap();
    let mut decoder =
        Decoder::new(config, "bank".to_owned(), MaskKey([0; 32]), "binlog.000001".to_owned(), at);
    decoder.set_tables(vec![Arc::new(Table {
        name: Name { schema: "bank".to_owned(), table: "a".to_owned() },
        columns: vec![
            column("id", "bigint unsigned", Kind::Unsigned),
            column("v", "varchar(20) character set utf8mb4 collate utf8mb4_0900_ai_ci", Kind::Text),
            column("t", "datetime(6)", Kind::DateTime),
        ],
        key: vec![0],
    })]);
    decoder.look_back(prepared);
    decoder
}

/// A format event with checksums, of which only the end is looked at.
pub(super) fn format() -> Vec<u8> {
    let mut body = vec![0; 60];
    body.push(1);
    event(kind::FORMAT, 100, &body)
}

pub(super) fn map() -> Vec<u8> {
    let mut body = vec![77, 0, 0, 0, 0, 0, 1, 0];
    body.extend_from_slice(b"\x04bank\0\x01a\0\x03\x08\x0f\x12\x03\x50\x00\x06\x06");
    // SIGNEDNESS, DEFAULT_CHARSET, COLUMN_NAME.
    body.extend_from_slice(b"\x01\x01\x80\x02\x03\xfc\xff\x00\x04\x07\x02id\x01v\x01t");
    event(kind::TABLE_MAP, 300, &body)
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    let mut body = 4_711_u32.to_le_bytes().to_vec();
    body.extend_from_slice(&[0, 0, 0, 0, 4, 0, 0, 0, 0]);
    body.extend_from_slice(b"bank\0");
    body.extend_from_slice(sql.as_bytes());
    event(kind::QUERY, 200, &body)
}

pub(super) fn gtid() -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&[0xab; 16]);
    body.extend_from_slice(&42_u64.to_le_bytes());
    body.push(2);
    body.extend_from_slice(&[0; 16]);
    body.extend_from_slice(&1_700_000_000_123_456_u64.to_le_bytes()[..7]);
    event(kind::GTID, 150, &body)
}

pub(super) fn rows() -> Vec<u8> {
    // No extra data; three columns, before and after.
    let mut body = vec![77, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 7, 7];
    body.push(0b100);
    body.extend_from_slice(&u64::MAX.to_le_bytes());
    body.extend_from_slice(b"\x02a ");
    body.push(0b010);
    body.extend_from_slice(&u64::MAX.to_le_bytes());
    let (date, time) = ((2016_u64 * 13 + 5) << 5 | 21, 12 << 12 | 30 << 6 | 30);
    body.extend_from_slice(&((1_u64 << 39) + (date << 17 | time)).to_be_bytes()[3..]);
    body.extend_from_slice(&[0, 0, 1]);
    event(kind::UPDATE_2, 400, &body)
}
