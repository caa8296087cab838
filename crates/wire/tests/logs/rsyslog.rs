//! rsyslog on the other side, in both directions, over UDP, TCP and TLS.

use std::process::Command;

use attestry_pipeline::Sink;
use attestry_testkit::Rsyslog;
use attestry_wire::syslog::SyslogSink;
use serde_json::json;

use crate::world::{Certificates, Receiving, parcel};

/// Writes what it understood, one message a line.
const TEMPLATE: &str = r#"template(name="seen" type="string" string="%hostname%|%app-name%|%procid%|%msgid%|%syslogfacility-text%.%syslogseverity-text%|%timereported:::date-rfc3339,date-utc%|%structured-data%|%msg%\n")"#;

const EVENT: &str = r#"{"event_name":"login.failure","event_id":"e1","username":"alice","severity":4,"host":"web1","message":"wrong\npassword – ü",
    "event_time":"2026-11-20T03:04:05.123456Z","event_data":{"n":1}}"#;

#[tokio::test]
async fn rsyslog_takes_what_we_send() {
    let certificates = Certificates::new();
    let tls = format!(
        r#"global(defaultNetstreamDriverCAFile="{}" defaultNetstreamDriverCertFile="{}" defaultNetstreamDriverKeyFile="{}")
        module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")"#,
        certificates.path("ca.pem").display(),
        certificates.path("server.pem").display(),
        certificates.path("server.key").display()
    );
    let client = format!("tls: {},", certificates.client());
    for (scheme, module, input, more) in [
        ("udp", r#"module(load="imudp")"#, "imudp", ""),
        ("tcp", r#"module(load="imtcp")"#, "imtcp", ""),
        ("tcp", r#"module(load="imtcp")"#, "imtcp", "framing: newline,"),
        ("tls", tls.as_str(), "imtcp", client.as_str()),
    ] {
        let rsyslog = Rsyslog::started(|dir, port| {
            let file = dir.join("seen").display().to_string();
            format!(
                "{module}\n{TEMPLATE}\nruleset(name=\"all\") {{ action(type=\"omfile\" file=\"{file}\" template=\"seen\") }}\n\
                 input(type=\"{input}\" port=\"{port}\" address=\"127.0.0.1\" ruleset=\"all\")"
            )
        });
        let address = format!("{scheme}://127.0.0.1:{}", rsyslog.port());
        for (at, format) in ["rfc5424", "bsd"].into_iter().enumerate() {
            let config = format!(
                "{{address: '{address}', format: {format}, {more} facility: auth, app_name: tester, time_zone: UTC, byte_order_mark: false, template: '{{message}}'}}"
            );
            let config = serde_saphyr::from_str(&config).unwrap();
            let mut sink = SyslogSink::new(&config).unwrap();
            assert_eq!(sink.deliver(&[parcel(EVENT)]).await, Ok(Vec::new()), "{address}");
            let lines = rsyslog.lines("seen", at + 1);
            let parts: Vec<_> = lines[at].split('|').collect();
            let pid = std::process::id().to_string();
            assert_eq!(parts[..3], ["web1", "tester", &pid], "{address} {format}: {lines:?}");
            assert_eq!(parts[4], "auth.warning");
            assert_eq!(parts[7].trim_start(), "wrong\\npassword – ü");
            if format == "rfc5424" {
                assert_eq!((parts[3], parts[5]), ("login.failure", "2026-11-20T03:04:05.123456+00:00"));
                assert!(parts[6].starts_with("[attestry@32473 event_id=\"e1\""), "{}", parts[6]);
                assert!(parts[6].ends_with("event_data=\"{\\\"n\\\":1}\"]"), "{}", parts[6]);
            } else {
                assert!(parts[5].ends_with("-11-20T03:04:05.000000+00:00"), "{}", parts[5]);
            }
        }
    }
}

#[tokio::test]
async fn we_take_what_rsyslog_sends() {
    let certificates = Certificates::new();
    let driver = format!(
        r#"streamDriver="ossl" streamDriverMode="1" streamDriverAuthMode="x509/name" streamDriverPermittedPeers="localhost" streamDriver.CAFile="{ca}""#,
        ca = certificates.path("ca.pem").display()
    );
    let tls = format!(", tls: {}", certificates.server());
    let global =
        format!(r#"global(defaultNetstreamDriverCAFile="{}")"#, certificates.path("ca.pem").display());
    for (scheme, protocol, more, receiver, global) in [
        ("udp", "udp", "", "", ""),
        ("tcp", "tcp", r#"TCP_Framing="traditional""#, "", ""),
        ("tcp", "tcp", r#"TCP_Framing="octet-counted""#, "", ""),
        ("tls", "tcp", driver.as_str(), tls.as_str(), global.as_str()),
    ] {
        let config = format!("{{listen: '{scheme}://127.0.0.1:0'{receiver}}}");
        for format in
            ["RSYSLOG_SyslogProtocol23Format", "RSYSLOG_ForwardFormat", "RSYSLOG_TraditionalForwardFormat"]
        {
            let receiving = Receiving::syslog(&config).await;
            let rsyslog = Rsyslog::started(|_, port| {
                format!(
                    "{global}\nmodule(load=\"imudp\")\nruleset(name=\"all\") {{ action(type=\"omfwd\" target=\"127.0.0.1\" \
                     port=\"{}\" protocol=\"{protocol}\" template=\"{format}\" {more}) }}\n\
                     input(type=\"imudp\" port=\"{port}\" address=\"127.0.0.1\" ruleset=\"all\")",
                    receiving.port()
                )
            });
            let port = rsyslog.port().to_string();
            let mut command = Command::new("logger");
            command.args(["--server", "127.0.0.1", "--port", &port, "--udp", "--rfc5424", "--msgid", "M1"]);
            command.args(["--tag", "tester", "--id=57", "-p", "authpriv.err", "hello from – ü"]);
            assert!(command.output().unwrap().status.success());
            println!("{scheme} {more} {format}, rsyslog said: {}", rsyslog.err());
            let events = receiving.kept.wait(1).await;
            let (event, data) = (&events[0], events[0].event_data.as_ref().unwrap());
            let what = format!("{scheme} {more} {format}: {event:?}");
            assert_eq!(event.message.as_deref().map(str::trim_start), Some("hello from – ü"), "{what}");
            assert_eq!((event.severity, &data["facility"]), (Some(3), &json!("authpriv")), "{what}");
            assert_eq!((&data["app_name"], &data["procid"]), (&json!("tester"), &json!("57")), "{what}");
            assert!(event.host.is_some() && event.event_time.is_some(), "{what}");
            receiving.stop().await;
        }
    }
}
