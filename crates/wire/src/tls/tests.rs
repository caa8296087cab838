use attestry_pipeline::{Failure, Sink};
use attestry_testkit::{Authority, Issued};
use serde_json::{Value, json};

use super::*;
use crate::http::scripted::Scripted;
use crate::made::parcels;
use crate::server_tls::ServerTls;
use crate::{gelf, syslog, webhook};

fn settings(authority: &Authority, client: Option<&Issued>) -> Value {
    match client {
        None => json!({"ca": authority.ca()}),
        Some(Issued { cert, key }) => json!({"ca": authority.ca(), "cert": cert, "key": key}),
    }
}

fn from<T: serde::de::DeserializeOwned>(config: Value) -> T {
    serde_json::from_value(config).unwrap()
}

/// The sinks that speak TLS by themselves, each to this place.
fn sinks(place: &str, tls: &Value) -> Vec<(&'static str, Box<dyn Sink>)> {
    let hook = json!({"url": format!("https://{place}/a-secret-path"), "allow_private": true, "tls": tls});
    let gelf = |scheme: &str| {
        gelf::GelfSink::new(&from(json!({"address": format!("{scheme}://{place}"), "tls": tls})))
    };
    let syslog = json!({"address": format!("tls://{place}"), "tls": tls});
    vec![
        ("http, webhook", Box::new(webhook::WebhookSink::new(from(hook)).unwrap())),
        ("http, gelf", Box::new(gelf("https").unwrap())),
        ("gelf", Box::new(gelf("tls").unwrap())),
        ("syslog", Box::new(syslog::SyslogSink::new(&from(syslog)).unwrap())),
    ]
}

/// A server that lets in only clients of its authority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn believes_only_its_own_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let Issued { cert, key } = authority.server();
    let server = ServerTls { cert, key, client_ca: Some(authority.ca()) }.server().unwrap();
    let server = Scripted::start_with(Some(server), |_| (200, Vec::new(), Vec::new()));
    let place = server.address.to_string();
    let client = authority.issue("client", &[]);
    let named = |name: &str| {
        let mut tls = settings(&authority, Some(&client));
        tls["server_name"] = json!(name);
        tls
    };
    for (tls, word) in [
        (settings(&other, Some(&client)), "invalid peer certificate"),
        (settings(&authority, None), "alert"),
        (settings(&authority, Some(&other.issue("stranger", &[]))), "alert"),
        (named("elsewhere.example"), "not valid for name"),
        (json!({"ca": "/no/such/ca.pem"}), "/no/such/ca.pem"),
        (json!({"ca": client.key}), "client.key"),
    ] {
        for (sink, mut out) in sinks(&place, &tls) {
            let result = out.deliver(&parcels(1)).await;
            let Err(Failure::Again { delivered: 0, reason, .. }) = result else {
                panic!("{sink} {tls}: {result:?}");
            };
            // A request may find the connection closed before it is told why.
            let broken = word == "alert" && sink.starts_with("http");
            assert!(reason.contains(word) || broken, "{sink} {tls}: {reason}");
            // A file that cannot be read has no place but its own.
            assert!(
                reason.contains(&place) || reason.contains(".pem") || reason.contains(".key"),
                "{reason}"
            );
            assert!(!reason.contains("a-secret-path") && !reason.contains("PRIVATE"), "{reason}");
        }
    }
    for tls in [settings(&authority, Some(&client)), named("localhost")] {
        for (sink, mut out) in sinks(&place, &tls) {
            assert_eq!(out.deliver(&parcels(1)).await, Ok(Vec::new()), "{sink} {tls}");
        }
    }
}

#[test]
fn half_a_certificate_is_said_to_be_half() {
    for half in [json!({"cert": "/a.pem"}), json!({"key": "/a.key"})] {
        assert!(matches!(from::<ClientTls>(half).client(), Err(TlsError::Half)));
    }
}
