//! What is read is what there is, and what the database computes of it is what is computed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestry_db::postgres::PostgresReader;
use attestry_db::{Cell, Kind, Reader, Scan, Table, chunk_digest, encode_row, row_hash};
use attestry_testkit::Postgres;
use tokio_postgres::SimpleQueryMessage;

use super::{MASK, client, config, table, values};

/// The digests of a whole table, page by page and by buckets, are those of these rows.
async fn check_digests(reader: &mut PostgresReader, table: &Arc<Table>, rows: &[Vec<Cell>]) {
    if table.is_ordered() {
        let (mut after, mut seen) = (None, 0);
        loop {
            let digest = reader.digest_after(table, &MASK, after.as_ref(), 7).await.unwrap();
            let Scan::Range { upto, .. } = digest.scan.clone() else { panic!("{digest:?}") };
            let part = &rows[seen..seen + usize::try_from(digest.rows).unwrap()];
            let mut hashes: Vec<_> = part.iter().map(|row| row_hash(row)).collect();
            assert_eq!(digest.digest, chunk_digest(&mut hashes), "{} after {after:?}", table.name);
            let mut found = reader.rows(table, &MASK, &digest.scan).await.unwrap();
            found.sort_by_key(|row| part.iter().position(|known| known == row));
            assert_eq!(found, part);
            seen += part.len();
            after = upto;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, rows.len());
    }
    for bits in [0, 3, 32] {
        let mut buckets: BTreeMap<u32, Vec<Vec<Cell>>> = BTreeMap::new();
        for row in rows {
            let hash = row_hash(&table.key_of(row));
            let first = u32::from_be_bytes(hash[..4].try_into().unwrap());
            let bucket = first.checked_shr(32 - bits).unwrap_or(0);
            buckets.entry(bucket).or_default().push(row.clone());
        }
        let digests =
            reader.digest_buckets(table, &MASK, u8::try_from(bits).unwrap(), 0..=u32::MAX).await.unwrap();
        assert_eq!(digests.len(), buckets.len(), "{bits} bits");
        for digest in digests {
            let Scan::Bucket { bucket, .. } = digest.scan else { panic!("{digest:?}") };
            let rows = &buckets[&bucket];
            let mut hashes: Vec<_> = rows.iter().map(|row| row_hash(row)).collect();
            assert_eq!((digest.rows, digest.digest), (rows.len() as u64, chunk_digest(&mut hashes)));
            let mut found = reader.rows(table, &MASK, &digest.scan).await.unwrap();
            found.sort_by_key(|row| rows.iter().position(|known| known == row));
            assert_eq!(found, *rows);
        }
    }
}

/// All rows, in pages of a few.
async fn all(reader: &mut PostgresReader, table: &Arc<Table>, limit: u32) -> Vec<Vec<Cell>> {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    loop {
        let after = rows.last().map(|row| table.key_of(row));
        let page = reader.rows_after(table, &MASK, after.as_ref(), limit).await.unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

#[tokio::test]
async fn every_type_is_read_as_the_server_writes_it() {
    let server = Postgres::started();
    server.query(&values::schema());
    let rows: Vec<String> = (0..60_u8)
        .map(|at| {
            values::row(
                i64::from(at) - 9,
                &(0..44).map(|c| at.wrapping_add(c * (at / 12))).collect::<Vec<_>>(),
            )
        })
        .collect();
    server.query(&format!("INSERT INTO every VALUES {}", rows.join(", ")));
    let config = config(&server, "");
    let mut reader = PostgresReader::new("test", &config).unwrap();
    let table = table(&mut reader, &config, "every").await;
    assert!(table.columns.iter().all(|column| column.name != "twice"), "it is in no stream");
    let found = all(&mut reader, &table, 7).await;

    let client = client(&server).await;
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let answers =
        client.simple_query(&format!("SELECT {} FROM every ORDER BY id", columns.join(", "))).await.unwrap();
    let expected: Vec<Vec<Cell>> = answers
        .iter()
        .filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .map(|row| {
            let cells =
                table.columns.iter().enumerate().map(|(at, column)| match (row.get(at), &column.kind) {
                    (None, _) => Cell::Null,
                    (Some(text), Kind::Bytes) => {
                        let digits = text.strip_prefix("\\x").unwrap();
                        Cell::of(
                            (0..digits.len() / 2)
                                .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
                                .collect::<Vec<u8>>(),
                        )
                    }
                    (Some(text), _) => Cell::of(text),
                });
            cells.collect()
        })
        .collect();
    for (found, expected) in found.iter().zip(&expected) {
        for ((found, expected), column) in found.iter().zip(expected).zip(&table.columns) {
            assert_eq!(found, expected, "{} {}", column.name, column.sql_type);
        }
    }
    assert_eq!(found.len(), 60);
    check_digests(&mut reader, &table, &found).await;

    // The smallest change of one value is another digest.
    let whole =
        async |reader: &mut PostgresReader| reader.digest_buckets(&table, &MASK, 0, 0..=0).await.unwrap();
    let before = whole(&mut reader).await;
    for change in [
        "c8 = 'a'",
        "c8 = 'A'",
        "c8 = 'A '",
        "c10 = ' '",
        "c6 = 0.1",
        "c6 = 0.10000000000000002",
        "c6 = 0",
        "c6 = '-0'",
        "c3 = 1",
        "c3 = 1.0",
        "c21 = '{}'",
        "c21 = '{ }'",
        "c39 = '{}'",
        "c41 = NULL",
        "c41 = ROW(NULL, NULL)",
        "c13 = ''",
        "c13 = NULL",
    ] {
        let was = whole(&mut reader).await;
        server.query(&format!("UPDATE every SET {change} WHERE id = 5"));
        assert_ne!(whole(&mut reader).await, was, "{change}");
    }
    assert_ne!(whole(&mut reader).await, before);
}

#[tokio::test]
async fn masked_values_stay_in_the_database() {
    let server = Postgres::started();
    server.query("CREATE TABLE people (id integer, name text, pin text, photo bytea, PRIMARY KEY (id)); \
         INSERT INTO people VALUES (1, 'a', '1234', '\\x00ff'), (2, 'b', NULL, NULL), (3, 'c', '', ''); \
         CREATE TABLE secrets (name text PRIMARY KEY); INSERT INTO secrets VALUES ('swordfish'), ('b'), ('a')");
    let config = config(&server, "tables: {people: {mask: [pin, photo]}, secrets: {mask: [name]}}");
    let mut reader = PostgresReader::new("test", &config).unwrap();
    let people = table(&mut reader, &config, "people").await;
    let rows = all(&mut reader, &people, 2).await;
    let expected = [
        ("1", "a", Cell::of("1234"), Cell::of([0, 255])),
        ("2", "b", Cell::Null, Cell::Null),
        ("3", "c", Cell::of(""), Cell::of("")),
    ]
    .map(|(id, name, pin, photo)| vec![Cell::of(id), Cell::of(name), MASK.mask(&pin), MASK.mask(&photo)]);
    assert_eq!(rows, expected);
    check_digests(&mut reader, &people, &rows).await;

    let secrets = table(&mut reader, &config, "secrets").await;
    assert!(!secrets.is_ordered());
    let rows = all(&mut reader, &secrets, 1).await;
    let mut expected = ["swordfish", "a", "b"].map(|name| vec![MASK.mask(&Cell::of(name))]);
    expected.sort_by_key(|row| encode_row(row));
    assert_eq!(rows, expected);
    check_digests(&mut reader, &secrets, &rows).await;
}

#[tokio::test]
async fn keys_of_every_kind_are_gone_through_once() {
    let server = Postgres::started_logical(&[]);
    server.query(
        "CREATE TYPE mood AS ENUM ('b', 'a'); CREATE DOMAIN number AS bigint; CREATE EXTENSION citext; \
         CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);",
    );
    for (name, columns, values) in [
        (
            "two",
            "a integer, b text COLLATE \"C\", PRIMARY KEY (b, a)",
            "SELECT n, v FROM generate_series(-9, 9) n, unnest(ARRAY['', 'A', 'a', 'é', 'a ']) v",
        ),
        (
            "bytes",
            "a bytea PRIMARY KEY",
            "SELECT decode(v, 'hex') FROM unnest(ARRAY['', '00', '0000', 'ff', '00ff', '61']) v",
        ),
        (
            "times",
            "a timestamptz PRIMARY KEY",
            "SELECT '2026-11-21'::timestamptz + n * '1 microsecond'::interval FROM generate_series(1, 20) n UNION SELECT 'infinity' UNION SELECT '-infinity'",
        ),
        (
            "numbers",
            "a numeric PRIMARY KEY",
            "SELECT n / 7.0 FROM generate_series(1, 20) n UNION SELECT 'NaN'",
        ),
        (
            "floats",
            "a double precision PRIMARY KEY",
            "SELECT n / 7.0 FROM generate_series(-9, 9) n UNION SELECT 'NaN'",
        ),
        (
            "padded",
            "a character(4) PRIMARY KEY",
            "SELECT v FROM unnest(ARRAY['', 'a', 'ab', E'a\\t', 'A']) v",
        ),
        ("moods", "a mood PRIMARY KEY", "VALUES ('a'::mood), ('b')"),
        ("domains", "a number PRIMARY KEY", "SELECT n FROM generate_series(-9, 99, 9) n"),
        ("cased", "a public.citext PRIMARY KEY", "VALUES ('a'), ('B'), ('c'), ('D')"),
        ("loose", "a text COLLATE loose PRIMARY KEY", "VALUES ('a'), ('B'), ('c'), ('D'), ('dé')"),
        ("named", "a name PRIMARY KEY", "VALUES ('a'), ('B'), ('c')"),
        ("uuids", "a uuid PRIMARY KEY", "SELECT md5(n::text)::uuid FROM generate_series(1, 30) n"),
        ("nets", "a inet PRIMARY KEY", "VALUES ('10.0.0.1'), ('10.0.0.1/8'), ('::1')"),
        ("lists", "a integer[] PRIMARY KEY", "VALUES ('{1}'), ('{}'), ('{1,2}')"),
        (
            "unkeyed",
            "a integer, b text",
            "SELECT n / 3, CASE WHEN n % 2 = 0 THEN 'x' END FROM generate_series(1, 30) n",
        ),
        ("we\"ird. name", "\"a\"\"b\" integer PRIMARY KEY, \"SELECT\" text", "VALUES (1, 'a')"),
    ] {
        let table = name.replace('"', "\"\"");
        server.query(&format!("CREATE TABLE \"{table}\" ({columns}); INSERT INTO \"{table}\" {values}"));
    }
    let config = config(&server, "tables: {'*': {}, unkeyed: {identify: {columns: [a, b]}}}");
    let mut reader = PostgresReader::new("test", &config).unwrap();
    let tables = super::tables(&mut reader, &config).await;
    assert_eq!(tables.len(), 16);
    for table in tables {
        let rows = all(&mut reader, &table, 3).await;
        let name = table.name.table.replace('"', "\"\"");
        assert_eq!(
            rows.len().to_string(),
            server.query(&format!("SELECT count(*) FROM \"{name}\"")),
            "{name}"
        );
        if table.is_ordered() {
            let orders: Vec<_> = rows.iter().map(|row| table.order_of(&table.key_of(row)).unwrap()).collect();
            assert!(orders.is_sorted(), "{name}: {rows:?}");
        }
        check_digests(&mut reader, &table, &rows).await;
    }
}
