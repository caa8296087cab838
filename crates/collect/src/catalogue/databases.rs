//! What watched databases tell.

use super::Entry;

const SCHEMA: (&str, &str) = ("schema", "the table's schema; with MySQL the database");
const TABLE: (&str, &str) = ("table", "the table");
const KEY: (&str, &str) = ("key", "the row's key, by column");
const TRANSACTION: (&str, &str) =
    ("transaction", "the transaction: a GTID, or PostgreSQL's number; also the request_id");
const UNEXPLAINED: (&str, &str) = ("unexplained", "true when the change stream does not say so");
const UNAPPLIED: (&str, &str) = (
    "unapplied",
    "true of a change that is not in the copy: its table is gone, or was taken anew while the change waited for a sign-off",
);
const SEEN_BY: (&str, &str) =
    ("seen_by", "comparison, when it was found by comparing: who did it and when is not known");
const FINGERPRINT: (&str, &str) = ("fingerprint", "what the violation is called when it is signed off");
const SNAPSHOT: (&str, &str) = ("snapshot", "the snapshot's name in the configuration");
const WHAT: (&str, &str) = ("what", "watched, the database itself, or copy");
const SHOWN_IN: (&str, &str) = ("schema", "the schema of the watched server that shows the copy");
const WATCH: (&str, &str) = ("watch", "the watch's name");
const RULE: (&str, &str) = (
    "rule",
    "the rule's name; unexplained, schema, truncated, duplicate_key and unapplied are rules of the watch itself",
);

const VIOLATION: &[(&str, &str)] = &[
    SCHEMA,
    TABLE,
    KEY,
    TRANSACTION,
    SEEN_BY,
    FINGERPRINT,
    RULE,
    ("description", "what the rule says"),
    ("field", "the column, when it is a rule of a column"),
    ("event", "the event_id of the change"),
    ("repeated", "how often it was seen again"),
];

const DIFFERENCE: &[(&str, &str)] = &[
    SCHEMA,
    TABLE,
    FINGERPRINT,
    ("added", "columns that are new"),
    ("dropped", "columns that are gone"),
    ("changed", "columns of another type, each with old and new"),
    ("key_changed", "whether other columns tell the rows apart"),
    ("rows", "of a table that is gone: how many rows it had"),
];

const WHO: &str = "username is the account where the server tells it, resource schema and table";

/// All of them, by name.
pub const DATABASES: &[Entry] = &[
    Entry {
        name: "gap.baseline",
        sources: "a watch",
        meaning: "a baseline was interrupted: of the rows that it had not taken yet, what changed until it went on is in the copy, but has no events",
        who: "",
        fields: &[
            SCHEMA,
            TABLE,
            ("from", "the position of the snapshot before"),
            ("to", "and of the next one"),
        ],
        example: r#"{"event_name":"gap.baseline","username":"-","resource":"bank.accounts","severity":4,"message":"the baseline of bank.accounts was interrupted","event_data":{"schema":"bank","table":"accounts","from":"0/16B3740","to":"0/16B9A10"}}"#,
    },
    Entry {
        name: "gap.polling",
        sources: "a watch",
        meaning: "a watch without the change stream began: what comes and goes between two looks is not seen, nor who did it",
        who: "resource is the watch",
        fields: &[WATCH],
        example: r#"{"event_name":"gap.polling","username":"-","resource":"bank","severity":5,"message":"bank is watched without the change stream","event_data":{"watch":"bank"}}"#,
    },
    Entry {
        name: "gap.stream",
        sources: "a watch",
        meaning: "the change stream cannot be taken up where it was, or something was committed of which it does not say what it changed; all tables are compared, and what differs is unexplained",
        who: "resource is the watch",
        fields: &[
            WATCH,
            ("reason", "why"),
            ("position", "up to where it was followed, or the place after what is not known"),
        ],
        example: r#"{"event_name":"gap.stream","username":"-","resource":"bank","severity":3,"message":"the change stream of bank cannot be taken up where it was","event_data":{"watch":"bank","reason":"the slot attestry_bank is gone","position":"0/16B3740"}}"#,
    },
    Entry {
        name: "gap.table",
        sources: "a watch",
        meaning: "the change stream does not carry a table: it is only compared. What is found there counts as unexplained if the stream carried it before",
        who: "resource is schema and table",
        fields: &[
            WATCH,
            SCHEMA,
            TABLE,
            ("reason", "why"),
            ("carried_before", "whether the stream carried it before: then somebody took it out"),
        ],
        example: r#"{"event_name":"gap.table","username":"-","resource":"public.accounts","severity":5,"message":"the change stream does not carry public.accounts, which is only compared: an unlogged table is not in the server's log","event_data":{"watch":"bank","schema":"public","table":"accounts","reason":"an unlogged table is not in the server's log","carried_before":false}}"#,
    },
    Entry {
        name: "gap.table_end",
        sources: "a watch",
        meaning: "the change stream carries the table now",
        who: "resource is schema and table",
        fields: &[WATCH, SCHEMA, TABLE],
        example: r#"{"event_name":"gap.table_end","username":"-","resource":"public.accounts","severity":6,"message":"the change stream carries public.accounts","event_data":{"watch":"bank","schema":"public","table":"accounts"}}"#,
    },
    Entry {
        name: "gap.watch",
        sources: "a watch",
        meaning: "for five minutes the database was away, or did not let the watch in; told once until it is watched again",
        who: "resource is the watch",
        fields: &[WATCH, ("since", "since when"), ("reason", "what the server or the network said last")],
        example: r#"{"event_name":"gap.watch","username":"-","resource":"bank","severity":3,"message":"bank is not watched since 2026-11-21T10:00:00.000000000Z: 127.0.0.1:5432: role \"auditor\" is not permitted to log in (28000)","event_data":{"watch":"bank","since":"2026-11-21T10:00:00.000000000Z","reason":"127.0.0.1:5432: role \"auditor\" is not permitted to log in (28000)"}}"#,
    },
    Entry {
        name: "gap.watch_end",
        sources: "a watch",
        meaning: "the database is watched again, from where it was",
        who: "resource is the watch",
        fields: &[WATCH, ("since", "since when it was not")],
        example: r#"{"event_name":"gap.watch_end","username":"-","resource":"bank","severity":5,"message":"bank is watched again; it was not since 2026-11-21T10:00:00.000000000Z","event_data":{"watch":"bank","since":"2026-11-21T10:00:00.000000000Z"}}"#,
    },
    Entry {
        name: "projection.refuse",
        sources: "a watch",
        meaning: "the server refuses to have the copy shown in its schema; told once until it is, and tried again each minute",
        who: "resource is the watch",
        fields: &[WATCH, SHOWN_IN, ("reason", "why")],
        example: r#"{"event_name":"projection.refuse","username":"-","resource":"bank","outcome":"failure","severity":4,"message":"the server refuses to show the copy of bank in the schema audit: INSERT command denied to user (1142)","event_data":{"watch":"bank","schema":"audit","reason":"INSERT command denied to user (1142)"}}"#,
    },
    Entry {
        name: "projection.resume",
        sources: "a watch",
        meaning: "the copy is shown in the schema again, or is not to be shown there any more",
        who: "resource is the watch",
        fields: &[WATCH, SHOWN_IN, ("refused_at", "since when it was refused")],
        example: r#"{"event_name":"projection.resume","username":"-","resource":"bank","outcome":"success","severity":5,"message":"the schema audit shows the copy of bank again","event_data":{"watch":"bank","schema":"audit","refused_at":"2026-11-21T10:00:00.000000000Z"}}"#,
    },
    Entry {
        name: "reconcile.pass",
        sources: "a watch",
        meaning: "the rows of a table were compared with the copy",
        who: "",
        fields: &[
            SCHEMA,
            TABLE,
            ("pass", "which pass over all tables, counted from 1"),
            (
                "rows",
                "rows of the copy, the leaves of the tree; with `undecided` rows neither this, `root` nor `position`",
            ),
            ("compared_rows", "rows that the database counted, without those left undecided"),
            ("different", "rows that were different and that nothing explains"),
            (
                "undecided",
                "rows of which nothing can be told, because too much changed meanwhile; the next pass tries again",
            ),
            (
                "root",
                "root of the Merkle tree (RFC 6962) of the copy's row hashes in the order of the keys, or of SHA-256 of the keys where the database's order is its own; Base64",
            ),
            ("position", "where in the stream the copy is then"),
            ("took_ms", "how long this table took"),
            ("pass_took_s", "how long the pass takes so far"),
        ],
        example: r#"{"event_name":"reconcile.pass","username":"-","resource":"bank.accounts","read_only":true,"severity":6,"message":"bank.accounts was compared: 5000 rows, 0 different","event_data":{"schema":"bank","table":"accounts","pass":7,"rows":5000,"compared_rows":5000,"different":0,"undecided":0,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=","position":"0/16B3740","took_ms":210,"pass_took_s":1}}"#,
    },
    Entry {
        name: "row.delete",
        sources: "a watch",
        meaning: "a row is gone",
        who: WHO,
        fields: &[
            SCHEMA,
            TABLE,
            KEY,
            ("row", "what it was, by column"),
            TRANSACTION,
            UNEXPLAINED,
            UNAPPLIED,
            SEEN_BY,
        ],
        example: r#"{"event_name":"row.delete","username":"alice","resource":"bank.accounts","request_id":"0-1-42","severity":6,"message":"a row of bank.accounts was deleted","event_data":{"schema":"bank","table":"accounts","transaction":"0-1-42","key":{"id":2},"row":{"id":2,"name":"Bob","balance":"100.00"}}}"#,
    },
    Entry {
        name: "row.insert",
        sources: "a watch",
        meaning: "a row is new",
        who: WHO,
        fields: &[
            SCHEMA,
            TABLE,
            KEY,
            ("row", "what it is, by column"),
            TRANSACTION,
            UNEXPLAINED,
            UNAPPLIED,
            SEEN_BY,
        ],
        example: r#"{"event_name":"row.insert","username":"alice","resource":"bank.accounts","request_id":"0-1-42","severity":6,"message":"bank.accounts has a new row","event_data":{"schema":"bank","table":"accounts","transaction":"0-1-42","key":{"id":2},"row":{"id":2,"name":"Bob","balance":"100.00"}}}"#,
    },
    Entry {
        name: "row.truncate",
        sources: "a watch",
        meaning: "a table was emptied at once",
        who: WHO,
        fields: &[SCHEMA, TABLE, ("rows", "how many rows the copy had"), TRANSACTION, UNAPPLIED],
        example: r#"{"event_name":"row.truncate","username":"alice","resource":"bank.accounts","request_id":"751","severity":4,"message":"bank.accounts was emptied: 5000 rows","event_data":{"schema":"bank","table":"accounts","transaction":"751","rows":5000}}"#,
    },
    Entry {
        name: "row.update",
        sources: "a watch",
        meaning: "a row is another one",
        who: WHO,
        fields: &[
            SCHEMA,
            TABLE,
            ("key", "the row's key before, by column"),
            ("new_key", "and after, where it changed"),
            (
                "changes",
                "the columns that changed, each with old and new; of a masked one only that it did. Long values by their start, bytes and sha256",
            ),
            ("row", "what it is, by column, when the stream does not say what it was"),
            TRANSACTION,
            UNEXPLAINED,
            UNAPPLIED,
            SEEN_BY,
        ],
        example: r#"{"event_name":"row.update","username":"-","resource":"bank.accounts","severity":3,"message":"a row of bank.accounts changed: balance, and the change stream does not say so","event_data":{"schema":"bank","table":"accounts","seen_by":"comparison","key":{"id":2},"changes":{"balance":{"old":"100.00","new":"900.00"}},"unexplained":true}}"#,
    },
    Entry {
        name: "schema.accept",
        sources: "a watch",
        meaning: "a change of a table's definition was signed off, and the table is watched again",
        who: "",
        fields: DIFFERENCE,
        example: r#"{"event_name":"schema.accept","username":"-","resource":"bank.accounts","severity":5,"message":"bank.accounts is watched as it is now","event_data":{"schema":"bank","table":"accounts","fingerprint":"0123456789abcdef0123","added":["colour"],"dropped":[],"changed":{},"key_changed":false}}"#,
    },
    Entry {
        name: "schema.change",
        sources: "a watch",
        meaning: "the change stream says that the definition of tables changed",
        who: "username is the account where the server tells it, resource the watch",
        fields: &[
            ("position", "where in the stream"),
            ("tables", "which ones, as far as the server tells"),
            (
                "statement",
                "the statement, as far as the server tells; its first 2000 bytes. Where columns are masked, without values and comments",
            ),
        ],
        example: r#"{"event_name":"schema.change","username":"-","resource":"bank","severity":5,"message":"the definition of tables changed","event_data":{"position":"mariadb-bin.000003:4711","tables":["bank.accounts"],"statement":"ALTER TABLE accounts ADD colour TEXT"}}"#,
    },
    Entry {
        name: "schema.drop",
        sources: "a watch",
        meaning: "a watched table is no longer there; its rows stay in the copy until that is signed off",
        who: "",
        fields: DIFFERENCE,
        example: r#"{"event_name":"schema.drop","username":"-","resource":"bank.accounts","severity":3,"message":"bank.accounts is paused: the table is no longer there","event_data":{"schema":"bank","table":"accounts","rows":5000,"fingerprint":"0123456789abcdef0123"}}"#,
    },
    Entry {
        name: "schema.pause",
        sources: "a watch",
        meaning: "a table's definition changed: what happens to it is kept, and applied when that is signed off",
        who: "",
        fields: DIFFERENCE,
        example: r#"{"event_name":"schema.pause","username":"-","resource":"bank.accounts","severity":3,"message":"bank.accounts is paused: the table's definition changed: added colour","event_data":{"schema":"bank","table":"accounts","added":["colour"],"dropped":[],"changed":{},"key_changed":false,"fingerprint":"0123456789abcdef0123"}}"#,
    },
    Entry {
        name: "snapshot.failed",
        sources: "a watch",
        meaning: "a snapshot could not be made; nothing is left of it, and it is tried again",
        who: "resource is the watch and the snapshot",
        fields: &[WATCH, SNAPSHOT, WHAT, ("reason", "why")],
        example: r#"{"event_name":"snapshot.failed","username":"-","resource":"bank@nightly","outcome":"failure","severity":3,"message":"the snapshot bank@nightly was not made: pg_dump failed","event_data":{"watch":"bank","snapshot":"nightly","what":"watched","reason":"pg_dump failed"}}"#,
    },
    Entry {
        name: "snapshot.made",
        sources: "a watch",
        meaning: "a snapshot is complete and on the disk",
        who: "resource is the watch and the snapshot, username whoever asked for it, or - when it was due",
        fields: &[
            WATCH,
            SNAPSHOT,
            WHAT,
            ("folder", "where it is"),
            ("file", "its name there"),
            ("bytes", "its length"),
            ("sha256", "SHA-256 of it, hexadecimal"),
            ("dump_bytes", "the length of what was packed and encrypted"),
            ("dump_sha256", "SHA-256 of that"),
            ("compression", "zst or none"),
            ("signed_with", "the fingerprint of the key that signed it"),
            ("encrypted_to", "the fingerprints of the keys that can read it"),
            ("position", "where in the stream the copy was when it began; of the copy, where it is"),
            ("position_after", "of the database: where the copy was when the dump had ended"),
            ("took_ms", "how long it took"),
            ("removed", "older files that were removed"),
            (
                "not_removed",
                "older files that could not be removed, and why; tried again with the next snapshot",
            ),
            ("not_synced", "why the folder could not be synced: after a power cut the file may not be there"),
        ],
        example: r#"{"event_name":"snapshot.made","username":"-","resource":"bank@nightly","outcome":"success","severity":6,"message":"the snapshot bank@nightly was made: 52311 bytes","event_data":{"watch":"bank","snapshot":"nightly","what":"watched","folder":"/srv/snapshots","file":"bank@nightly-20261121T030000Z.sql.zst.gpg","bytes":52311,"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","dump_bytes":410233,"dump_sha256":"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752","compression":"zst","signed_with":"5A694BB76B6C08C9AFEBF74ACE693478CF3C742B","encrypted_to":["7E2DC4884D0ECB80C2B7D587110236CCC0AB5646"],"position":"0/16B3740","position_after":"0/16B9A10","took_ms":2100,"removed":[]}}"#,
    },
    Entry {
        name: "table.baseline",
        sources: "a watch",
        meaning: "the rows that a table had when watching began are in the copy; from there on every change is an event",
        who: "",
        fields: &[SCHEMA, TABLE, ("rows", "how many"), ("position", "where in the stream the snapshot lies")],
        example: r#"{"event_name":"table.baseline","username":"-","resource":"bank.accounts","severity":5,"message":"bank.accounts is watched from now on: 5000 rows","event_data":{"schema":"bank","table":"accounts","rows":5000,"position":"0/16B3740"}}"#,
    },
    Entry {
        name: "violation.open",
        sources: "a watch",
        meaning: "something happened to a row, or to a table, that a rule does not allow",
        who: WHO,
        fields: VIOLATION,
        example: r#"{"event_name":"violation.open","username":"alice","resource":"bank.accounts","request_id":"0-1-42","severity":4,"message":"bank.accounts: Field balance is different (100.00 -- 900.00)","event_data":{"schema":"bank","table":"accounts","transaction":"0-1-42","fingerprint":"0123456789abcdef0123","rule":"different","description":"Field balance is different (100.00 -- 900.00)","key":{"id":2},"field":"balance","event":"9f86d081884c7d659a2feaa0c55ad015"}}"#,
    },
    Entry {
        name: "violation.repeat",
        sources: "a watch",
        meaning: "the same happened again while nobody has signed it off",
        who: WHO,
        fields: VIOLATION,
        example: r#"{"event_name":"violation.repeat","username":"alice","resource":"bank.accounts","request_id":"0-1-43","severity":4,"message":"bank.accounts: Field balance is different (900.00 -- 950.00)","event_data":{"schema":"bank","table":"accounts","transaction":"0-1-43","fingerprint":"0123456789abcdef0123","rule":"different","description":"Field balance is different (900.00 -- 950.00)","key":{"id":2},"field":"balance","event":"2feaa0c55ad0159f86d081884c7d659a","repeated":1}}"#,
    },
    Entry {
        name: "violation.sign_off",
        sources: "a watch",
        meaning: "somebody has looked at a violation, or a change of a schema, and says why it is all right",
        who: "username is who, resource schema and table",
        fields: &[
            SCHEMA,
            TABLE,
            KEY,
            FINGERPRINT,
            RULE,
            ("field", "the column"),
            ("reason", "why it is all right"),
        ],
        example: r#"{"event_name":"violation.sign_off","username":"dora","resource":"bank.accounts","source_ip_address":"192.0.2.1","outcome":"success","severity":5,"message":"dora signed off: bank.accounts: Row was deleted","event_data":{"schema":"bank","table":"accounts","fingerprint":"0123456789abcdef0123","rule":"deleted","reason":"asked for in ticket 7","key":{"id":2}}}"#,
    },
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use attestry_event::{Batch, Border, Nanos};
    use serde_json::Value;

    use super::DATABASES;

    #[test]
    fn names_are_given_somewhere_and_examples_are_events() {
        assert!(DATABASES.is_sorted_by(|one, other| one.name < other.name));
        let db = Path::new(env!("CARGO_MANIFEST_DIR")).join("../db/src");
        let folders = ["watch", "snapshot"].map(|folder| std::fs::read_dir(db.join(folder)).unwrap());
        let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
        let code: String =
            files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let border = Border {
            event_source: "bank",
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: false,
            now: Nanos(0),
        };
        for entry in DATABASES {
            assert!(code.contains(&format!("\"{}\"", entry.name)), "{} is given nowhere", entry.name);
            Batch::new().push_json(entry.example.as_bytes(), &border).unwrap_or_else(|problems| {
                panic!("the example of {} is no event: {problems:?}", entry.name);
            });
            let value: Value = serde_json::from_str(entry.example).unwrap();
            assert_eq!(value["event_name"], entry.name);
            for (name, _) in value["event_data"].as_object().unwrap() {
                assert!(entry.fields.iter().any(|(known, _)| known == name), "{} has no {name}", entry.name);
            }
        }
    }
}
