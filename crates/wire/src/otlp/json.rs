//! OTLP in JSON: protobuf's JSON mapping, with ids in hex and enumerations as numbers (OTLP 1.x, "JSON Protobuf Encoding").

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::decode::{Malformed, Request, bounded};
use super::record::{Origin, Record, double};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logs<'a> {
    #[serde(borrow, default)]
    resource_logs: Vec<ResourceLogs<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Option<Resource>,
    #[serde(borrow, default)]
    scope_logs: Vec<ScopeLogs<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Option<Scope>,
    // Read one by one, so that a small body cannot become a large heap.
    #[serde(borrow, default)]
    log_records: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scope {
    name: String,
    version: String,
    attributes: Vec<KeyValue>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogRecord {
    #[serde(deserialize_with = "whole")]
    time_unix_nano: u64,
    #[serde(deserialize_with = "whole")]
    observed_time_unix_nano: u64,
    severity_number: i64,
    severity_text: String,
    body: Option<AnyValue>,
    attributes: Vec<KeyValue>,
    dropped_attributes_count: u64,
    flags: u64,
    trace_id: String,
    span_id: String,
    event_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyValue {
    key: String,
    value: Option<AnyValue>,
}

#[derive(Deserialize)]
enum AnyValue {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[serde(rename = "intValue", deserialize_with = "signed")]
    Int(i64),
    #[serde(rename = "doubleValue")]
    Double(Double),
    #[serde(rename = "arrayValue")]
    Array(ArrayValue),
    #[serde(rename = "kvlistValue")]
    Map(KvList),
    /// In base64, and left so.
    #[serde(rename = "bytesValue")]
    Bytes(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Double {
    Number(f64),
    /// `NaN`, `Infinity` and `-Infinity`.
    Text(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ArrayValue {
    values: Vec<AnyValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KvList {
    values: Vec<KeyValue>,
}

impl Request {
    /// Reads a body in JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_json(body: &[u8]) -> Result<Request, Malformed> {
        let logs: Logs<'_> = serde_json::from_slice(body).map_err(|error| Malformed(error.to_string()))?;
        let mut request = Request::default();
        for group in logs.resource_logs {
            let resource = map(group.resource.unwrap_or_default().attributes);
            for group in group.scope_logs {
                let origin = Arc::new(Origin {
                    resource: resource.clone(),
                    scope: scope(group.scope.unwrap_or_default()),
                });
                for record in group.log_records {
                    request.add(log_record(record.get(), &origin))?;
                }
            }
        }
        Ok(request)
    }
}

fn log_record(json: &str, origin: &Arc<Origin>) -> Result<Record, Malformed> {
    bounded(json.len())?;
    let record: LogRecord = serde_json::from_str(json).map_err(|error| Malformed(error.to_string()))?;
    Ok(Record {
        time: record.time_unix_nano,
        observed: record.observed_time_unix_nano,
        severity_number: record.severity_number,
        severity_text: record.severity_text,
        body: record.body.map(Value::from).unwrap_or_default(),
        attributes: map(record.attributes),
        dropped_attributes: record.dropped_attributes_count,
        flags: record.flags,
        trace_id: hex_id(&record.trace_id),
        span_id: hex_id(&record.span_id),
        event_name: record.event_name,
        origin: Arc::clone(origin),
    })
}

fn scope(scope: Scope) -> Map<String, Value> {
    let mut of = Map::new();
    for (name, text) in [("name", scope.name), ("version", scope.version)] {
        if !text.is_empty() {
            of.insert(name.to_owned(), text.into());
        }
    }
    if !scope.attributes.is_empty() {
        of.insert("attributes".to_owned(), map(scope.attributes).into());
    }
    of
}

fn map(list: Vec<KeyValue>) -> Map<String, Value> {
    list.into_iter()
        .map(|KeyValue { key, value }| (key, value.map(Value::from).unwrap_or_default()))
        .collect()
}

impl From<AnyValue> for Value {
    fn from(value: AnyValue) -> Value {
        match value {
            AnyValue::Text(text) | AnyValue::Bytes(text) => text.into(),
            AnyValue::Bool(value) => value.into(),
            AnyValue::Int(number) => number.into(),
            AnyValue::Double(Double::Number(number)) => double(number),
            AnyValue::Double(Double::Text(text)) => text.into(),
            AnyValue::Array(list) => list.values.into_iter().map(Value::from).collect(),
            AnyValue::Map(list) => map(list.values).into(),
        }
    }
}

/// Nothing for the id that stands for none; what is no hex stays as it is.
fn hex_id(text: &str) -> String {
    if text.bytes().all(|byte| byte == b'0') { String::new() } else { text.to_ascii_lowercase() }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Signed(i64),
    Unsigned(u64),
    Text(String),
}

/// A 64-bit number: a string in protobuf's JSON, and a number with many who send.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = match Number::deserialize(from)? {
        Number::Signed(number) => u64::try_from(number).ok(),
        Number::Unsigned(number) => Some(number),
        Number::Text(text) => text.parse().ok(),
    };
    number.ok_or_else(|| serde::de::Error::custom("expected a whole number of 64 bits"))
}

fn signed<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let number = match Number::deserialize(from)? {
        Number::Signed(number) => Some(number),
        Number::Unsigned(_) => None,
        Number::Text(text) => text.parse().ok(),
    };
    number.ok_or_else(|| serde::de::Error::custom("expected a whole number of 64 bits"))
}
