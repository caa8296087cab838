//! An event on its way out, as sinks that print fields see it: large values in their places, paths found.

use std::borrow::Cow;
use std::fmt;

use attestry_event::{Entry, EntryError, Field, Text};
use attestry_pipeline::Parcel;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How a reference to a large value begins (docs/formats.md, section 1). In canonical JSON it stands nowhere else.
const REF_HEAD: &str = "{\"$ref\":\"sha256:";

/// The fields of a parcel.
pub(crate) struct Outgoing<'a> {
    parcel: &'a Parcel,
    entry: Entry<'a>,
    whole: Option<Whole>,
}

/// What large values are put back into.
#[derive(Deserialize)]
struct Whole {
    message: Option<String>,
    event_data: Option<Box<RawValue>>,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn new(parcel: &'a Parcel) -> Result<Outgoing<'a>, EntryError> {
        let entry = parcel.event()?;
        let data = entry.event_data().and_then(|data| std::str::from_utf8(data).ok());
        let refers = matches!(entry.message(), Some(Text::Ref { .. }))
            || data.is_some_and(|data| data.contains(REF_HEAD));
        let mut outgoing = Outgoing { parcel, entry, whole: None };
        if refers {
            let not_json = EntryError::Malformed { at: 0, expected: "an object" };
            outgoing.whole = Some(serde_json::from_slice(&outgoing.json()?).map_err(|_| not_json)?);
        }
        Ok(outgoing)
    }

    /// A field as text; none when it is absent.
    pub(crate) fn field(&self, field: Field) -> Option<Cow<'_, str>> {
        match (&self.whole, field) {
            (Some(whole), Field::Message) => whole.message.as_deref().map(Cow::Borrowed),
            _ => self.entry.field(field),
        }
    }

    pub(crate) fn entry(&self) -> &Entry<'a> {
        &self.entry
    }

    /// `event_data` as JSON, an object.
    pub(crate) fn data(&self) -> Option<&str> {
        match &self.whole {
            Some(whole) => whole.event_data.as_deref().map(RawValue::get),
            None => self.entry.event_data().and_then(|data| std::str::from_utf8(data).ok()),
        }
    }

    /// The JSON of what stands at a path of `event_data`.
    pub(crate) fn at(&self, path: &str) -> Option<&str> {
        at_path(self.data()?, path)
    }

    /// The whole event as a client would send it, one line.
    pub(crate) fn json(&self) -> Result<Vec<u8>, EntryError> {
        let mut out = Vec::with_capacity(self.parcel.bytes() + 64);
        self.parcel.write_json(&mut out)?;
        Ok(out)
    }
}

/// Finds a path with dots in JSON. Dots within names are tried as well, numbers count the elements of arrays from 0.
fn at_path<'a>(json: &'a str, path: &str) -> Option<&'a str> {
    if path.is_empty() {
        return Some(json);
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_any(Finder { path }).ok().flatten()
}

struct Finder<'p> {
    path: &'p str,
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            match self.path.strip_prefix(&*name) {
                Some("") => found = Some(value.get()),
                Some(rest) if found.is_none() => {
                    found = rest.strip_prefix('.').and_then(|rest| at_path(value.get(), rest));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (index, rest) = self.path.split_once('.').unwrap_or((self.path, ""));
        let index: Option<usize> = index.parse().ok();
        let (mut at, mut found) = (0, None);
        while let Some(value) = seq.next_element::<&'de RawValue>()? {
            if Some(at) == index {
                found = at_path(value.get(), rest);
            }
            at += 1;
        }
        Ok(found)
    }
}

/// A member's name, copied only where it holds escapes.
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use attestry_event::{Batch, Border, Nanos};
    use bytes::Bytes;

    use super::*;

    /// 2026-11-21T03:04:05Z.
    pub(crate) const NOW: Nanos = Nanos(1_795_230_245_000_000_000);

    /// The parcel of what a client sent.
    #[track_caller]
    pub(crate) fn parcel(json: &str) -> Parcel {
        let mut batch = Batch::with_seed([7; 32]);
        let border = Border {
            event_source: "web",
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: true,
            now: NOW,
        };
        batch.push_json(json.as_bytes(), &border).unwrap_or_else(|problems| panic!("{json}: {problems:?}"));
        batch.stamp(NOW);
        Parcel {
            ledger: Arc::from("audit"),
            number: 0,
            seq: None,
            entry: Bytes::copy_from_slice(batch.entry(0)),
            values: batch.values,
        }
    }

    #[test]
    fn paths_are_found() {
        let json = r#"{"a":{"b":1e5,"c.d":[0,{"e":"x"}]},"f.g":false,"f":{"g":true},"":2,"n":null,"q\"":3}"#;
        for (path, expected) in [
            ("a.b", Some("1e5")),
            ("a.c.d", Some(r#"[0,{"e":"x"}]"#)),
            ("a.c.d.0", Some("0")),
            ("a.c.d.1.e", Some("\"x\"")),
            ("a.c.d.2", None),
            ("a.c.d.x", None),
            ("f.g", Some("false")),
            ("n", Some("null")),
            ("q\"", Some("3")),
            ("a.b.c", None),
            ("z", None),
            ("aa", None),
            ("", Some(json)),
        ] {
            assert_eq!(at_path(json, path), expected, "{path}");
        }
        assert_eq!(at_path("not json", "a"), None);
    }

    #[test]
    fn large_values_are_in_their_places() {
        let long = "x".repeat(5_000);
        let parcel = parcel(&format!(
            r#"{{"event_name":"a","username":"b","message":"{long}","event_data":{{"text":"{long}","n":1}}}}"#
        ));
        let outgoing = Outgoing::new(&parcel).unwrap();
        assert_eq!(outgoing.field(Field::Message).unwrap(), long);
        assert_eq!(outgoing.at("text").unwrap(), format!("\"{long}\""));
        assert_eq!(outgoing.at("n"), Some("1"));
        let erased = Parcel { values: Vec::new(), ..parcel };
        let outgoing = Outgoing::new(&erased).unwrap();
        assert_eq!(outgoing.field(Field::Message).unwrap(), "(a value of 5000 bytes that was erased)");
    }
}
