use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::notice::tests::alert;

/// What a mail server was told, line by line, message after message.
type Said = Arc<Mutex<Vec<Vec<String>>>>;

/// A mail server that answers as it is told: `replies` are those that are not as usual, by the beginning of the command.
struct Smtp {
    port: u16,
    said: Said,
}

impl Smtp {
    fn start(replies: &'static [(&'static str, &'static str)]) -> Smtp {
        Smtp::for_so_many(usize::MAX, replies)
    }

    /// One that is gone after so many conversations.
    fn for_so_many(conversations: usize, replies: &'static [(&'static str, &'static str)]) -> Smtp {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Said::default();
        let shared = Arc::clone(&said);
        std::thread::spawn(move || {
            for stream in listener.incoming().take(conversations) {
                let lines = converse(stream.unwrap(), replies);
                shared.lock().unwrap().push(lines);
            }
        });
        Smtp { port, said }
    }

    fn said(&self) -> Vec<Vec<String>> {
        // The last line of a conversation may still be on its way.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while self.said.lock().unwrap().is_empty() && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        self.said.lock().unwrap().clone()
    }
}

fn converse(stream: TcpStream, replies: &[(&str, &str)]) -> Vec<String> {
    let mut out = stream.try_clone().unwrap();
    let mut say = |text: &str| out.write_all(format!("{text}\r\n").as_bytes()).is_ok();
    let mut said = Vec::new();
    let mut in_data = false;
    say("220 mail.test ESMTP");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        said.push(line.clone());
        if in_data && line != "." {
            continue;
        }
        let usual = match line.as_str() {
            "." => "250 taken",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            line if line.starts_with("EHLO") => "250-mail.test\r\n250 AUTH PLAIN",
            line if line.starts_with("AUTH") => "235 welcome",
            _ => "250 ok",
        };
        let other = replies.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, reply)| *reply);
        in_data = line == "DATA" && other.is_none();
        if other == Some("") || !say(other.unwrap_or(usual)) || line == "QUIT" {
            break;
        }
    }
    said
}

fn config(port: u16, more: Value) -> SinkConfig {
    let mut config = json!({
        "host": "127.0.0.1", "port": port, "security": "none", "from": "Attestry <attestry@example.org>",
        "to": ["alice@example.org", "Bob <bob@example.org>"], "timeout": "10s",
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

fn sink(server: &Smtp, more: Value) -> MailSink {
    let config = config(server.port, more);
    assert_eq!(config.check(), []);
    MailSink::new(config)
}

#[tokio::test]
async fn a_batch_is_one_message() {
    let server = Smtp::start(&[]);
    let more = json!({"user": "u", "password": "p", "link": "https://audit.example.org/"});
    let parcels = [alert(1, "root\r\nBcc: eve@example.org logged in"), alert(2, "ünïcode")];
    assert_eq!(sink(&server, more).deliver(&parcels).await, Ok(vec![]));
    let said = &server.said()[0];
    let has = |part: &str| said.iter().any(|line| line.contains(part));
    let said_once = |begin: &str| said.iter().filter(|line| line.starts_with(begin)).count();
    assert_eq!((said_once("MAIL FROM:<attestry@example.org>"), said_once("RCPT TO:<")), (1, 2));
    // \0u\0p
    assert!(has("AUTH PLAIN AHUAcA=="), "{said:#?}");
    assert!(has("Message-ID: <a1.open.2@example.org>") && has("Auto-Submitted: auto-generated"), "{said:#?}");
    assert_eq!((said_once("Subject:"), said_once("Bcc:")), (1, 0));
    let subject = said.iter().find(|line| line.starts_with("Subject:")).unwrap();
    assert!(subject.contains("[high] root"), "{subject}");
    assert!(has("https://audit.example.org/alerts?id=") && has("rule login-root"), "{said:#?}");
    // Without the address of the page, the command.
    let server = Smtp::start(&[]);
    assert_eq!(sink(&server, json!({})).deliver(&parcels[..1]).await, Ok(vec![]));
    assert!(server.said()[0].iter().any(|line| line.contains("attestry rules explain a1")));
    // Of very many only the number is told.
    let server = Smtp::start(&[]);
    let many: Vec<_> = (1..=130).map(|number| alert(number, "x")).collect();
    assert_eq!(sink(&server, json!({})).deliver(&many).await, Ok(vec![]));
    let said = &server.said()[0];
    assert!(said.iter().any(|line| line.contains("and 129 more")), "{said:#?}");
}

#[tokio::test]
async fn what_a_server_answers() {
    for (replies, expected) in [
        (&[("RCPT", "550 5.1.1 nobody of that name")][..], Some("550")),
        (&[(".", "554 5.7.1 spam")], Some("554")),
        (&[("MAIL", "451 4.3.0 later")], None),
        (&[(".", "452 4.2.2 full")], None),
        // Somebody has to mend it; the events are not to blame.
        (&[("AUTH", "535 5.7.8 wrong password")], None),
        (&[("EHLO", "")], None),
        (&[("DATA", "")], None),
    ] {
        let server = Smtp::start(replies);
        let result =
            sink(&server, json!({"user": "u", "password": "secret7"})).deliver(&[alert(1, "x")]).await;
        match (result, expected) {
            (Ok(refused), Some(code)) => {
                assert_eq!(refused.len(), 1, "{replies:?}");
                assert!(
                    refused[0].reason.contains(code) || refused[0].reason.contains("permanent"),
                    "{refused:?}"
                );
            }
            (Err(Failure::Again { delivered: 0, reason, .. }), None) => {
                assert!(!reason.contains("secret7"), "{reason}");
            }
            other => panic!("{replies:?}: {other:?}"),
        }
    }
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let result = MailSink::new(config(gone, json!({}))).deliver(&[alert(1, "x")]).await;
    assert!(matches!(result, Err(Failure::Again { .. })), "{result:?}");
    // A server that offers no TLS gets nothing in clear.
    let server = Smtp::start(&[]);
    let result = sink(&server, json!({"security": "starttls"})).deliver(&[alert(1, "x")]).await;
    let no_starttls = |reason: &str| reason.contains("offers no STARTTLS");
    assert!(matches!(&result, Err(Failure::Again { reason, .. }) if no_starttls(reason)), "{result:?}");
    assert!(server.said().iter().flatten().all(|line| !line.starts_with("MAIL")));
}

#[test]
fn settings_are_checked() {
    for (more, expected) in [
        (json!({"host": "smtp://x"}), "host"),
        (json!({"from": "nobody"}), "from"),
        (json!({"to": []}), "to"),
        (json!({"to": ["a b"]}), "to"),
        (json!({"user": "u"}), "user"),
        (json!({"host": "mail.example.org", "user": "u", "password": "p"}), "security"),
        (json!({"timeout": "0s"}), "timeout"),
    ] {
        let wrong: Vec<&str> = config(25, more.clone()).check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(wrong, [expected], "{more}");
    }
    assert_eq!(config(25, json!({})).check(), []);
    let ports: Vec<u16> = ["starttls", "tls", "none"]
        .into_iter()
        .map(|security| config(1, json!({"security": security, "port": null})).port())
        .collect();
    assert_eq!(ports, [587, 465, 25]);
}

/// A report on its way to a sink.
fn report(number: usize, signature: Option<&str>) -> Parcel {
    let more = json!({
        "event_id": format!("rs-{number}"), "event_name": "report.sent", "username": "-", "resource": "violations",
        "message": "the report violations is handed to the sink office",
        "event_data": {
            "file": format!("violations-{number}.md"), "media_type": "text/markdown; charset=utf-8",
            "document": "# Größe\n\n.\n", "signature": signature,
        },
    });
    crate::made::parcel(number, "audit", &more)
}

#[tokio::test]
async fn a_report_is_a_message_of_its_own_with_the_document() {
    let server = Smtp::start(&[]);
    let parcels =
        [alert(1, "x"), report(2, Some("-----BEGIN PGP SIGNATURE-----")), alert(3, "y"), report(4, None)];
    assert_eq!(sink(&server, json!({})).deliver(&parcels).await, Ok(vec![]));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while server.said().len() < 4 && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    let said: Vec<String> = server.said().iter().map(|lines| lines.join("\n")).collect();
    let subjects: Vec<&str> =
        said.iter().map(|text| text.split("Subject: ").nth(1).unwrap().lines().next().unwrap()).collect();
    assert_eq!(
        subjects,
        ["[high] x", "Report violations: violations-2.md", "[high] y", "Report violations: violations-4.md"]
    );
    for (text, attached) in said.iter().zip([0, 2, 0, 1]) {
        assert_eq!(text.matches("Content-Disposition: attachment").count(), attached, "{text}");
    }
    // "# Größe\n\n.\n"
    assert!(said[1].contains("IyBHcsO2w59lCgouCg==") && said[1].contains("attestry verify violations-2.md"));
    // What was sent before the failure is not sent again.
    let server = Smtp::for_so_many(1, &[]);
    let result = sink(&server, json!({})).deliver(&parcels).await;
    assert!(matches!(result, Err(Failure::Again { delivered: 1, .. })), "{result:?}");
}
