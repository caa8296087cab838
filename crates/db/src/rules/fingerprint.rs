//! The name of a violation.

use sha2::{Digest as _, Sha256};

use crate::cell::{Cell, encode_row};
use crate::table::{Key, Name};

/// The fingerprint of a breach: the same for the same watch, table, column, row's key and rule, whenever and however often it happens. At most
/// one violation of a fingerprint is pending.
///
/// It is the first 128 bits of SHA-256 over the row bytes (see [`encode_row`]) of watch, schema, table, column or NULL, row bytes of the key,
/// and rule, written as `5f2c81aa-90d3b7e4-61c00f52-8a7e3b19`. Whoever writes into the watched database chooses keys: with 64 bits he could
/// find, in minutes, two keys of one fingerprint, let one be looked at and signed off, and have the other taken for a repetition of it; with 128 he
/// needs 2⁶⁴ attempts. To type it, any beginning that only one violation has is enough: eight digits, among thousands.
pub fn fingerprint(watch: &str, table: &Name, field: Option<&str>, key: &Key, rule: &str) -> String {
    let bytes = encode_row(&[
        Cell::of(watch),
        Cell::of(table.schema.as_str()),
        Cell::of(table.table.as_str()),
        field.map_or(Cell::Null, Cell::of),
        Cell::of(encode_row(key)),
        Cell::of(rule),
    ]);
    let hash = Sha256::digest(bytes);
    let groups = hash.chunks(4).take(4).map(|group| group.iter().map(|byte| format!("{byte:02x}")).collect());
    groups.collect::<Vec<String>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_apart_what_is_not_the_same() {
        let name = |schema: &str, table: &str| Name { schema: schema.to_owned(), table: table.to_owned() };
        let key = vec![Cell::of("7")];
        let one = fingerprint("bank", &name("s", "t"), Some("balance"), &key, "different");
        assert_eq!(one, fingerprint("bank", &name("s", "t"), Some("balance"), &key, "different"));
        assert_eq!(one, "db62ffa0-8329b974-a691389e-b6c5ca29");
        let all = [
            one,
            fingerprint("ban", &name("ks", "t"), Some("balance"), &key, "different"),
            fingerprint("bank", &name("st", ""), Some("balance"), &key, "different"),
            fingerprint("bank", &name("s", "t"), None, &key, "different"),
            fingerprint("bank", &name("s", "t"), Some(""), &key, "different"),
            fingerprint("bank", &name("s", "t"), Some("balance"), &vec![Cell::Null], "different"),
            fingerprint(
                "bank",
                &name("s", "t"),
                Some("balance"),
                &vec![Cell::of("7"), Cell::Null],
                "different",
            ),
            fingerprint("bank", &name("s", "t"), Some("balance"), &vec![Cell::Masked([7; 32])], "different"),
            fingerprint("bank", &name("s", "t"), Some("balance"), &key, "different:failed"),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
