//! An entry as a client would have sent it: for whoever passes an event on.

use crate::entry::{REF_HEAD, read_ref};
use crate::json::Reader;
use crate::text::Str;
use crate::{Entry, EntryError, Field, LargeValue};

/// Appends an entry as one line of JSON that [`Batch::push_json`](crate::Batch::push_json) takes: without `v` and `received_at`, and with
/// the large values back in their places. A value that is not among `values` (it was erased) leaves a note in its place.
///
/// # Errors
/// When the bytes are not an entry that this version reads; `out` is then as it was.
pub fn write_event(entry: &[u8], values: &[LargeValue], out: &mut Vec<u8>) -> Result<(), EntryError> {
    let parsed = Entry::parse(entry)?;
    let mut before = b'{';
    for field in Field::ALL {
        let (Some(raw), true) = (parsed.raw(field), field != Field::ReceivedAt) else { continue };
        out.push(before);
        before = b',';
        out.extend_from_slice(field.member().as_bytes().strip_prefix(b",").unwrap_or_default());
        put_back(raw, values, out);
    }
    if let Some(data) = parsed.event_data() {
        out.extend_from_slice(b",\"event_data\":");
        put_back(std::str::from_utf8(data).map_err(|_| EntryError::NotUtf8)?, values, out);
    }
    out.push(b'}');
    Ok(())
}

/// Copies canonical JSON and puts the values in place of what refers to them. In canonical JSON a quote within a string is escaped, so
/// the head of a reference stands nowhere else.
fn put_back(mut json: &str, values: &[LargeValue], out: &mut Vec<u8>) {
    while let Some(at) = json.find(REF_HEAD) {
        let (copied, rest) = json.split_at(at);
        out.extend_from_slice(copied.as_bytes());
        let mut reader = Reader::new(rest);
        let Ok((hash, bytes)) = read_ref(&mut reader) else {
            json = rest;
            break;
        };
        match values.iter().find(|value| value.hash == hash) {
            Some(value) => Str::plain(&String::from_utf8_lossy(&value.content)).write_quoted(out),
            None => Str::plain(&format!("(a value of {bytes} bytes that was erased)")).write_quoted(out),
        }
        json = reader.rest();
    }
    out.extend_from_slice(json.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Border, Nanos};

    fn border() -> Border<'static> {
        Border {
            event_source: "key",
            via: &[],
            lenient: false,
            reserved_names: false,
            agent: true,
            now: Nanos(1_700_000_000_000_000_000),
        }
    }

    #[test]
    fn comes_back_as_it_was_sent() {
        let long = "x\"\\\u{1}ü".repeat(2_000);
        let quoted = serde_json::to_string(&long).unwrap();
        for (sent, values) in [
            (r#"{"event_name":"a","username":"b"}"#.to_owned(), 0),
            (
                r#"{"event_name":"a","username":"b","resource":"r\"x","via":["one"],"severity":3,"agent":"web1","agent_epoch":7,"agent_seq":9,"event_data":{"n":1e5,"big":9007199254740993,"list":[{"$":1}]}}"#
                    .to_owned(),
                0,
            ),
            (format!(r#"{{"event_name":"a","username":"b","message":{quoted}}}"#), 1),
            (
                format!(
                    r#"{{"event_name":"a","username":"b","message":{quoted},"event_data":{{"a":{quoted},"b":[1,{quoted}],"s":"{{\"$ref\":\"sha256:"}}}}"#
                ),
                3,
            ),
        ] {
            let mut batch = Batch::with_seed([7; 32]);
            batch.push_json(sent.as_bytes(), &border()).unwrap();
            assert_eq!(batch.values.len(), values, "{sent:.80}");
            let mut out = b"kept".to_vec();
            write_event(batch.entry(0), &batch.values, &mut out).unwrap();
            let line = &out[4..];
            assert!(!line.contains(&b'\n'));
            let mut again = Batch::with_seed([8; 32]);
            again.push_json(line, &border()).unwrap();
            let salts = batch.values.clone();
            assert!(
                again.is_same(0, batch.entry(0), &mut |hash| salts
                    .iter()
                    .find(|value| value.hash == *hash)
                    .map(|value| value.salt)),
                "{}",
                String::from_utf8_lossy(line)
            );
            if values == 0 {
                assert_eq!(batch.entry(0), again.entry(0));
            }
        }
    }

    #[test]
    fn an_erased_value_leaves_a_note() {
        let mut batch = Batch::with_seed([7; 32]);
        let sent = format!(r#"{{"event_name":"a","username":"b","message":"{}"}}"#, "x".repeat(5_000));
        batch.push_json(sent.as_bytes(), &border()).unwrap();
        let mut out = Vec::new();
        write_event(batch.entry(0), &[], &mut out).unwrap();
        assert!(
            String::from_utf8(out)
                .unwrap()
                .contains(r#""message":"(a value of 5000 bytes that was erased)""#)
        );
    }

    #[test]
    fn what_is_no_entry_leaves_nothing() {
        let mut out = Vec::new();
        assert!(write_event(b"{\"v\":1}", &[], &mut out).is_err());
        assert!(write_event(b"{\"v\":2,\"x\":1}", &[], &mut out).is_err());
        assert!(out.is_empty());
    }
}
