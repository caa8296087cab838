//! What a dump does not say as a copy does: values that are the same although they are written otherwise, and values of which that cannot be told.
//!
//! A copy has texts in their column's character set, a dump has them in UTF-8. Latin-1 and the Unicode ones are [converted](super::value::Form); of
//! all others only ASCII is the same in both. PostgreSQL writes `money` as `lc_monetary` says, which a dump does not say.

use std::collections::BTreeMap;

use crate::cell::Cell;
use crate::table::{Column, Kind};

/// How many values and rows were not compared, by the place of their column.
#[derive(Debug, Default)]
pub(super) struct Unclear {
    values: BTreeMap<usize, u64>,
    keys: BTreeMap<usize, u64>,
}

impl Unclear {
    /// Takes values for the same of which a dump does not tell that they are not.
    pub(super) fn same(&mut self, columns: &[Column], before: &mut [Cell], after: &[Cell]) {
        for (place, ((column, one), two)) in columns.iter().zip(before).zip(after).enumerate() {
            if one == two {
                continue;
            }
            let unclear = Doubt::of(column).is_some_and(|doubt| doubt.of_both(one, two));
            if unclear {
                *self.values.entry(place).or_default() += 1;
            }
            if unclear || same_float(column, one, two) {
                one.clone_from(two);
            }
        }
    }

    /// Whether a row without another one may have it all the same: its key is not known to be what it was.
    pub(super) fn alone(&mut self, columns: &[Column], key: &[usize], row: &[Cell]) -> bool {
        let unclear = |place: &usize| match (columns.get(*place).and_then(Doubt::of), row.get(*place)) {
            (Some(doubt), Some(cell)) => doubt.of_one(cell),
            _ => false,
        };
        let found = key.iter().copied().find(unclear);
        if let Some(place) = found {
            *self.keys.entry(place).or_default() += 1;
        }
        found.is_some()
    }

    /// What is said of it.
    pub(super) fn told(&self, columns: &[Column]) -> Vec<String> {
        let why =
            |place: &usize| columns.get(*place).and_then(|column| Some((&column.name, Doubt::of(column)?)));
        let values = self.values.iter().filter_map(|(place, count)| {
            let (name, doubt) = why(place)?;
            Some(format!("{count} values of the column {name} were not compared: {}", doubt.why()))
        });
        let keys = self.keys.iter().filter_map(|(place, count)| {
            let (name, doubt) = why(place)?;
            Some(format!(
                "{count} rows of either side, whose key has the column {name}, were not compared: {}",
                doubt.why()
            ))
        });
        values.chain(keys).collect()
    }
}

/// Character sets that have something else in the place of these characters of ASCII.
const OTHERS: [(&str, &[u8]); 2] = [("sjis", br"\"), ("swe7", br"@[\]^`{|}~")];

/// Why values of a column may be the same although they are written otherwise.
enum Doubt<'c> {
    /// They are in this character set.
    Charset(&'c str),
    Money,
}

impl Doubt<'_> {
    fn of(column: &Column) -> Option<Doubt<'_>> {
        match &column.kind {
            Kind::TextIn(set) if !["latin1", "ucs2", "utf16", "utf16le", "utf32"].contains(&set.as_str()) => {
                Some(Doubt::Charset(set))
            }
            Kind::Other if column.sql_type.starts_with("money") => Some(Doubt::Money),
            _ => None,
        }
    }

    /// Whether two values that are written otherwise may be the same.
    fn of_both(&self, one: &Cell, two: &Cell) -> bool {
        match (self, one, two) {
            (_, Cell::Null, _) | (_, _, Cell::Null) => false,
            // Of the two sides only the copy's is sure to be written as in C.
            (Doubt::Money, ..) => !(in_c(one) && in_c(two)),
            (Doubt::Charset(_), ..) => self.of_one(one) && self.of_one(two),
        }
    }

    /// Whether another value may be the same as this one.
    fn of_one(&self, cell: &Cell) -> bool {
        match (self, cell) {
            (_, Cell::Null) => false,
            (_, Cell::Masked(_)) | (Doubt::Money, _) => true,
            (Doubt::Charset(set), Cell::Value(bytes)) => {
                let others = OTHERS.iter().find_map(|(of, others)| (of == set).then_some(*others));
                !bytes.is_ascii()
                    || others.is_some_and(|others| bytes.iter().any(|byte| others.contains(byte)))
            }
        }
    }

    fn why(&self) -> String {
        match self {
            Doubt::Charset(set) => {
                format!("of the character set {set} only ASCII is compared, and nothing that is masked")
            }
            Doubt::Money => "the dump has money as its server's lc_monetary says".to_owned(),
        }
    }
}

/// Whether it is money as the locale C has it: `-$1,234.50`.
fn in_c(cell: &Cell) -> bool {
    let Some(text) = cell.text() else { return false };
    let digits = |text: &str, length: std::ops::RangeInclusive<usize>| {
        length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let number = text.strip_prefix('-').unwrap_or(text).strip_prefix('$');
    number.and_then(|number| number.split_once('.')).is_some_and(|(whole, cents)| {
        let mut groups = whole.split(',');
        groups.next().is_some_and(|first| digits(first, 1..=3))
            && groups.all(|group| digits(group, 3..=3))
            && digits(cents, 2..=2)
    })
}

/// Whether two values are the same as far as a dump tells: MySQL writes a FLOAT into it with six digits, a `DOUBLE(10,2)` with two places, and a copy
/// knows all of them.
fn same_float(column: &Column, one: &Cell, two: &Cell) -> bool {
    if !matches!(column.kind, Kind::Float | Kind::Double) {
        return false;
    }
    let arguments = column.sql_type.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let places = arguments
        .and_then(|(inner, _)| inner.split_once(','))
        .and_then(|(_, places)| places.trim().parse().ok());
    let written = |cell: &Cell| {
        let number = cell.text()?.parse::<f64>().ok()?;
        Some(match places {
            Some::<usize>(places) if places <= 30 => format!("{number:.places$}"),
            _ if column.kind == Kind::Float => format!("{number:.5e}"),
            _ => return None,
        })
    };
    written(one).is_some() && written(one) == written(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, sql_type: &str) -> Column {
        Column {
            name: "c".to_owned(),
            kind,
            sql_type: sql_type.to_owned(),
            nullable: true,
            generated: false,
            binary_order: false,
            masked: false,
        }
    }

    #[test]
    fn only_what_can_be_told_is_compared() {
        let text = |set: &str| column(Kind::TextIn(set.to_owned()), "text");
        let money = column(Kind::Other, "money");
        let masked = |byte| Cell::Masked([byte; 32]);
        for (column, one, two, same) in [
            (text("latin2"), Cell::of(b"\xb1"), Cell::of("ą"), true),
            (text("latin2"), Cell::of(b"\xb1"), Cell::of("a"), false),
            (text("latin2"), Cell::of("a"), Cell::of("ą"), false),
            (text("latin2"), Cell::of("a"), Cell::of("b"), false),
            (text("latin2"), Cell::Null, Cell::of("ą"), false),
            (text("latin2"), masked(1), masked(2), true),
            (text("latin2"), masked(1), Cell::Null, false),
            (text("swe7"), Cell::of("{"), Cell::of("ä"), true),
            (text("swe7"), Cell::of("a"), Cell::of("ä"), false),
            (text("sjis"), Cell::of(b"\x81\x5f"), Cell::of("\\"), true),
            (text("latin1"), Cell::of(b"\xe9"), Cell::of(b"\xe8"), false),
            (text("utf32"), masked(1), masked(2), false),
            (money.clone(), Cell::of("-$1,234.50"), Cell::of("-1.234,50 €"), true),
            (money.clone(), Cell::of("-$1,234.50"), Cell::of("-$1,234.51"), false),
            (money.clone(), Cell::of("$1.50"), Cell::of("$ 1.50"), true),
            (money.clone(), Cell::of("$1.50"), Cell::Null, false),
            (money, masked(1), masked(2), true),
            (column(Kind::Float, "float"), Cell::of("16777217"), Cell::of("16777200"), true),
            (column(Kind::Double, "double(10,2)"), Cell::of("0.125"), Cell::of("0.12"), true),
            (column(Kind::Double, "double"), Cell::of("0.125"), Cell::of("0.12"), false),
        ] {
            let mut unclear = Unclear::default();
            let mut before = [one.clone()];
            unclear.same(std::slice::from_ref(&column), &mut before, std::slice::from_ref(&two));
            assert_eq!(before[0] == two, same, "{column:?}: {one:?} {two:?}");
            let told = same && !matches!(column.kind, Kind::Float | Kind::Double);
            assert_eq!(unclear.told(std::slice::from_ref(&column)).len(), usize::from(told));
        }
    }

    #[test]
    fn a_row_whose_key_is_unclear_may_be_there() {
        let columns = [column(Kind::TextIn("greek".to_owned()), "varchar(9)"), column(Kind::Int, "int")];
        let mut unclear = Unclear::default();
        assert!(!unclear.alone(&columns, &[0, 1], &[Cell::of("a"), Cell::of("1")]));
        assert!(!unclear.alone(&columns, &[1], &[Cell::of(b"\xe1"), Cell::of("1")]));
        assert!(unclear.alone(&columns, &[0, 1], &[Cell::of(b"\xe1"), Cell::of("1")]));
        assert!(unclear.alone(&columns, &[0, 1], &[Cell::of("α"), Cell::of("1")]));
        let told = unclear.told(&columns).join("");
        assert!(told.starts_with("2 rows of either side, whose key has the column c,"), "{told}");
    }
}
