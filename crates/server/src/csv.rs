//! Events as CSV (RFC 4180) that a spreadsheet can be trusted with.

use attestry_event::{Entry, Field};

/// The columns before those of the fields.
const ADDRESS: [&str; 2] = ["ledger", "index"];

/// The column after them.
const DATA: &str = "event_data";

/// The first line.
pub(crate) fn header() -> String {
    let fields = Field::ALL.iter().map(|field| field.name());
    let mut line = ADDRESS.into_iter().chain(fields).chain([DATA]).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// Writes an event's line. Of a large `message` the reference is written.
pub(crate) fn write(out: &mut String, ledger: &str, index: u64, entry: &Entry<'_>) {
    cell(out, ledger);
    out.push(',');
    cell(out, &index.to_string());
    for field in Field::ALL {
        out.push(',');
        match entry.field(field) {
            Some(text) => cell(out, &text),
            None => cell(out, entry.raw(field).unwrap_or_default()),
        }
    }
    out.push(',');
    let data = entry.event_data().and_then(|data| std::str::from_utf8(data).ok());
    cell(out, data.unwrap_or_default());
    out.push_str("\r\n");
}

/// Writes one cell. What begins like a formula gets an apostrophe in front: a spreadsheet would run it, and a user name is
/// the attacker's to choose. A lone `-` is our own word for "nobody".
pub(crate) fn cell(out: &mut String, text: &str) {
    let formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) && text != "-";
    let quoted = formula || text.contains(['"', ',', '\r', '\n', ';', '\t']);
    if !quoted {
        out.push_str(text);
        return;
    }
    out.push('"');
    if formula {
        out.push('\'');
    }
    for char in text.chars() {
        if char == '"' {
            out.push('"');
        }
        out.push(char);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        for (text, expected) in [
            ("", ""),
            ("alice", "alice"),
            ("-", "-"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("＝1", "\"'＝1\""),
            ("a=1", "a=1"),
        ] {
            let mut out = String::new();
            cell(&mut out, text);
            assert_eq!(out, expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_has_as_many_cells_as_the_header() {
        let entry = br#"{"v":1,"event_id":"a","event_time":"2026-11-21T00:00:00.000000000Z","received_at":"2026-11-21T00:00:00.000000000Z","event_name":"x.y","username":"alice","event_source":"web","via":["r1","r2"],"source_ip_address":"-","read_only":false,"severity":3,"event_data":{"a":1}}"#;
        let mut out = String::new();
        write(&mut out, "audit", 7, &Entry::parse(entry).unwrap());
        assert!(out.starts_with("audit,7,a,2026-11-21T00:00:00.000000000Z,"), "{out}");
        assert!(out.ends_with("\"{\"\"a\"\":1}\"\r\n"), "{out}");
        let plain = out.replace("\"r1,r2\"", "via");
        assert_eq!(plain.matches(',').count(), header().matches(',').count(), "{plain}");
    }
}
