use super::*;
use attestry_event::Nanos;
use attestry_pipeline::Closed;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Mutex;

/// The messages as the published definitions have them, encoded by another implementation than the one that reads them.
mod published {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_logs: Vec<ResourceLogs>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ResourceLogs {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_logs: Vec<ScopeLogs>,
        #[prost(string, tag = "3")]
        pub(super) schema_url: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ScopeLogs {
        #[prost(message, optional, tag = "1")]
        pub(super) scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        pub(super) log_records: Vec<LogRecord>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Scope {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) version: String,
        #[prost(message, repeated, tag = "3")]
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct LogRecord {
        #[prost(fixed64, tag = "1")]
        pub(super) time_unix_nano: u64,
        #[prost(fixed64, tag = "11")]
        pub(super) observed_time_unix_nano: u64,
        #[prost(int32, tag = "2")]
        pub(super) severity_number: i32,
        #[prost(string, tag = "3")]
        pub(super) severity_text: String,
        #[prost(message, optional, tag = "5")]
        pub(super) body: Option<AnyValue>,
        #[prost(message, repeated, tag = "6")]
        pub(super) attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "7")]
        pub(super) dropped_attributes_count: u32,
        #[prost(fixed32, tag = "8")]
        pub(super) flags: u32,
        #[prost(bytes = "vec", tag = "9")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "10")]
        pub(super) span_id: Vec<u8>,
        #[prost(string, tag = "12")]
        pub(super) event_name: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct AnyValue {
        #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
        pub(super) value: Option<Any>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Any {
        #[prost(string, tag = "1")]
        String(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
        #[prost(double, tag = "4")]
        Double(f64),
        #[prost(message, tag = "5")]
        Array(Array),
        #[prost(message, tag = "6")]
        List(List),
        #[prost(bytes, tag = "7")]
        Bytes(Vec<u8>),
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Array {
        #[prost(message, repeated, tag = "1")]
        pub(super) values: Vec<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct List {
        #[prost(message, repeated, tag = "1")]
        pub(super) values: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Response {
        #[prost(message, optional, tag = "1")]
        pub(super) partial_success: Option<Partial>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Partial {
        #[prost(int64, tag = "1")]
        pub(super) rejected_log_records: i64,
        #[prost(string, tag = "2")]
        pub(super) error_message: String,
    }
}

use published::{Any, AnyValue, KeyValue};

fn any(value: Any) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)) }
}

fn one(record: published::LogRecord) -> Vec<u8> {
    let scope = published::Scope {
        name: "lib".into(),
        version: "1.2".into(),
        attributes: vec![pair("x", Any::Bool(true))],
    };
    let resource = published::Resource {
        attributes: vec![
            pair("service.name", Any::String("shop".into())),
            pair("host.name", Any::String("web1".into())),
        ],
    };
    published::Request {
        resource_logs: vec![published::ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![published::ScopeLogs { scope: Some(scope), log_records: vec![record] }],
            schema_url: "https://opentelemetry.io/schemas/1.26.0".into(),
        }],
    }
    .encode_to_vec()
}

fn full() -> published::LogRecord {
    published::LogRecord {
        time_unix_nano: 1_544_712_660_300_000_000,
        observed_time_unix_nano: 1_544_712_660_300_000_001,
        severity_number: 10,
        severity_text: "Information".into(),
        body: Some(any(Any::String("Example log record".into()))),
        attributes: vec![
            pair("string.attribute", Any::String("some string".into())),
            pair("boolean.attribute", Any::Bool(true)),
            pair("int.attribute", Any::Int(-9_007_199_254_740_993)),
            pair("double.attribute", Any::Double(637.704)),
            pair("nan", Any::Double(f64::NAN)),
            pair("bytes", Any::Bytes(vec![0, 255])),
            pair(
                "array.attribute",
                Any::Array(published::Array {
                    values: vec![any(Any::String("many".into())), AnyValue::default()],
                }),
            ),
            pair(
                "map.attribute",
                Any::List(published::List { values: vec![pair("some.map.key", Any::String("v".into()))] }),
            ),
            KeyValue { key: "nothing".into(), value: None },
        ],
        dropped_attributes_count: 3,
        flags: 1,
        trace_id: vec![
            0x5b, 0x8e, 0xff, 0xf7, 0x98, 0x03, 0x81, 0x03, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c,
        ],
        span_id: vec![0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74],
        event_name: "browser.page_view".into(),
    }
}

/// The example of opentelemetry-proto (`examples/logs.json`), with what it lacks.
fn full_json() -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "host.name", "value": {"stringValue": "web1"}},
        ]},
        "scopeLogs": [{
            "scope": {"name": "lib", "version": "1.2", "attributes": [{"key": "x", "value": {"boolValue": true}}]},
            "logRecords": [{
                "timeUnixNano": "1544712660300000000",
                "observedTimeUnixNano": 1_544_712_660_300_000_001u64,
                "severityNumber": 10,
                "severityText": "Information",
                "traceId": "5B8EFFF798038103D269B633813FC60C",
                "spanId": "EEE19B7EC3C1B174",
                "flags": 1,
                "droppedAttributesCount": 3,
                "eventName": "browser.page_view",
                "someNewMember": {},
                "body": {"stringValue": "Example log record"},
                "attributes": [
                    {"key": "string.attribute", "value": {"stringValue": "some string"}},
                    {"key": "boolean.attribute", "value": {"boolValue": true}},
                    {"key": "int.attribute", "value": {"intValue": "-9007199254740993"}},
                    {"key": "double.attribute", "value": {"doubleValue": 637.704}},
                    {"key": "nan", "value": {"doubleValue": "NaN"}},
                    {"key": "bytes", "value": {"bytesValue": "AP8="}},
                    {"key": "array.attribute", "value": {"arrayValue": {"values": [{"stringValue": "many"}]}}},
                    {"key": "map.attribute", "value": {"kvlistValue": {"values": [{"key": "some.map.key", "value": {"stringValue": "v"}}]}}},
                    {"key": "nothing"},
                ],
            }],
        }],
    }]})
}

#[test]
fn both_encodings_say_the_same() {
    let mut from_protobuf = Request::from_protobuf(&one(full())).unwrap();
    // Only protobuf can say an empty value within an array.
    let array = from_protobuf.records[0].attributes["array.attribute"].as_array_mut().unwrap();
    assert_eq!(array.pop(), Some(Value::Null));
    let from_json = Request::from_json(full_json().to_string().as_bytes()).unwrap();
    assert_eq!(from_protobuf, from_json);
    let event = from_json.records[0].clone().into_event();
    assert_eq!(event.event_name, "browser.page_view");
    assert_eq!(event.event_time, Some(Nanos(1_544_712_660_300_000_000)));
    assert_eq!((event.host.as_deref(), event.severity), (Some("web1"), Some(5)));
    let data = Value::from(event.event_data.unwrap());
    assert_eq!(data["trace_id"], "5b8efff798038103d269b633813fc60c");
    assert_eq!(data["attributes"]["int.attribute"], -9_007_199_254_740_993i64);
    assert_eq!(data["attributes"]["nan"], "NaN");
    assert_eq!(data["scope"], json!({"name": "lib", "version": "1.2", "attributes": {"x": true}}));
}

/// A record that cannot be read does not take the others along.
#[test]
fn bad_records_are_counted() {
    let deep =
        (0..40).fold(Any::Bool(true), |inner, _| Any::Array(published::Array { values: vec![any(inner)] }));
    for bad in [
        published::LogRecord { body: Some(any(Any::String("x".repeat(2 << 20)))), ..full() },
        published::LogRecord { body: Some(any(deep)), ..full() },
    ] {
        let mut body = one(bad);
        body.extend(one(full()));
        let request = Request::from_protobuf(&body).unwrap();
        assert_eq!((request.records.len(), request.rejected), (1, 1));
        assert!(request.reason.starts_with("log record 1: "), "{}", request.reason);
    }
    for bad in [
        json!({"timeUnixNano": "x"}),
        json!({"timeUnixNano": -1}),
        json!({"body": {"intValue": "1.5"}}),
        json!(7),
        json!({"body": {"a": 1}}),
    ] {
        let mut logs = full_json();
        logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array_mut().unwrap().insert(0, bad.clone());
        let request = Request::from_json(logs.to_string().as_bytes()).unwrap();
        assert_eq!((request.records.len(), request.rejected), (1, 1), "{bad}");
    }
}

#[test]
fn small_bodies_stay_small() {
    // Each is a record of two bytes.
    let scope = [0x12, 0x00].repeat(60_000);
    let wrapped = [2, 1].into_iter().fold(scope, |inner, field| {
        let mut out = Vec::new();
        proto::write_bytes(field, &inner, &mut out);
        out
    });
    let error = Request::from_protobuf(&wrapped).unwrap_err();
    assert!(error.to_string().contains("50000"), "{error}");
    let records = vec!["{}"; 60_000].join(",");
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    assert!(Request::from_json(json.as_bytes()).unwrap_err().to_string().contains("50000"));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body: Vec<u8>) {
        let _ = Request::from_protobuf(&body);
        let _ = Request::from_json(&body);
    }

    /// What was cut or changed in one place is an error or other records, never a panic.
    #[test]
    fn damaged_bodies(cut in 0usize..600, at in 0usize..600, flip: u8) {
        let mut body = one(full());
        let length = body.len();
        body[at % length] ^= flip;
        body.truncate(cut);
        if let Ok(request) = Request::from_protobuf(&body) {
            for record in request.records {
                let _ = record.into_event();
            }
        }
    }

    /// Numbers come back as another implementation wrote them.
    #[test]
    fn numbers(time: u64, observed: u64, severity: i32, flags: u32, dropped: u32, int: i64) {
        let record = published::LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_number: severity,
            flags,
            dropped_attributes_count: dropped,
            body: Some(any(Any::Int(int))),
            ..published::LogRecord::default()
        };
        let request = Request::from_protobuf(&one(record)).unwrap();
        let read = &request.records[0];
        prop_assert_eq!((read.time, read.observed, read.severity_number), (time, observed, i64::from(severity)));
        prop_assert_eq!((read.flags, read.dropped_attributes), (u64::from(flags), u64::from(dropped)));
        prop_assert_eq!(&read.body, &json!(int));
    }
}

/// Keeps what it is given, or takes nothing.
#[derive(Default)]
struct Kept {
    events: Mutex<Vec<Incoming>>,
    closed: bool,
    malformed: usize,
}

impl Inlet for Kept {
    fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed> {
        if self.closed {
            return Err(Closed);
        }
        let kept = events.len();
        self.events.lock().unwrap().extend(events);
        Ok(Taken { kept, filtered: 0, malformed: self.malformed })
    }
}

async fn started(inlet: Kept) -> (String, Arc<Kept>, Arc<Counters>, CancellationToken) {
    let receiver = Receiver::bind(&ReceiverConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        max_connections: 10,
    })
    .await
    .unwrap();
    let url = format!("http://{}/v1/logs", receiver.address());
    let (inlet, stop, counters) = (Arc::new(inlet), CancellationToken::new(), receiver.counters());
    tokio::spawn(receiver.run(Arc::<Kept>::clone(&inlet), stop.clone()));
    (url, inlet, counters, stop)
}

async fn send(url: &str, kind: &str, encoding: Option<&str>, body: Vec<u8>) -> (u16, Vec<u8>) {
    let (url, kind, encoding) = (url.to_owned(), kind.to_owned(), encoding.map(str::to_owned));
    let sent = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent.post(url).header("content-type", kind);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let mut response = request.send(&body[..]).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_vec().unwrap())
    });
    sent.await.unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json; charset=utf-8";

#[tokio::test]
async fn takes_requests() {
    let (url, inlet, counters, stop) = started(Kept::default()).await;
    assert_eq!(send(&url, PROTOBUF, None, one(full())).await, (200, Vec::new()));
    assert_eq!(send(&url, PROTOBUF, Some("gzip"), gzip(&one(full()))).await, (200, Vec::new()));
    assert_eq!(send(&url, JSON, None, full_json().to_string().into_bytes()).await, (200, b"{}".to_vec()));
    assert_eq!(send(&url, PROTOBUF, None, Vec::new()).await, (200, Vec::new()));
    assert_eq!(inlet.events.lock().unwrap().len(), 3);
    assert_eq!(counters.messages.load(Ordering::Relaxed), 3);
    stop.cancel();
}

#[tokio::test]
async fn says_what_it_does_not_take() {
    let (url, inlet, _, stop) = started(Kept::default()).await;
    let bomb = gzip(&vec![0; BODY_MAX_BYTES + 1]);
    for (kind, encoding, body, expected) in [
        ("text/plain", None, Vec::new(), 415),
        (PROTOBUF, Some("zstd"), Vec::new(), 415),
        (PROTOBUF, None, b"\x0a\xff".to_vec(), 400),
        (JSON, None, b"{".to_vec(), 400),
        (JSON, Some("gzip"), b"{}".to_vec(), 400),
        (JSON, Some("gzip"), bomb, 413),
    ] {
        let (status, _) = send(&url, kind, encoding, body).await;
        assert_eq!(status, expected, "{kind} {encoding:?}");
    }
    assert_eq!(inlet.events.lock().unwrap().len(), 0);
    let mut body = one(published::LogRecord { severity_text: "x".repeat(2 << 20), ..full() });
    body.extend(one(full()));
    let (status, answer) = send(&url, PROTOBUF, None, body).await;
    let partial = published::Response::decode(&answer[..]).unwrap().partial_success.unwrap();
    assert_eq!((status, partial.rejected_log_records), (200, 1));
    assert!(partial.error_message.contains("at most"), "{}", partial.error_message);
    assert_eq!(inlet.events.lock().unwrap().len(), 1);
    stop.cancel();

    let (url, _, _, stop) = started(Kept { malformed: 1, ..Kept::default() }).await;
    let (status, answer) = send(&url, JSON, None, full_json().to_string().into_bytes()).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["partialSuccess"]["rejectedLogRecords"]), (200, &json!("0")));
    assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("gap.malformed"));
    stop.cancel();
    let (url, _, _, stop) = started(Kept { closed: true, ..Kept::default() }).await;
    assert_eq!(send(&url, PROTOBUF, None, one(full())).await.0, 503);
    stop.cancel();
}
