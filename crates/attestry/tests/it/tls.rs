//! Encrypted by the server's own certificate.

use std::os::unix::fs::PermissionsExt;

use attestry_testkit::Scenario;

use crate::{ATTESTRY, event};

#[test]
fn a_self_signed_certificate_serves_the_commands_of_this_host() {
    let mut scenario = Scenario::new(ATTESTRY)
        .with("ATTESTRY_SERVER_TLS_SELF_SIGNED", "true")
        .with_argument("--tls-self-signed");
    scenario.start();
    assert!(scenario.url().starts_with("https://"));
    assert!(scenario.announced().contains(&scenario.url()), "{}", scenario.announced());
    let (cert, key) = (scenario.data().join("tls.cert"), scenario.data().join("tls.key"));
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let write = scenario.key(&["shop", "--write"]);
    let answer = scenario.client(&write).post_json("/api/v1/events?wait=checkpoint", &event("one")).is(201);
    assert!(answer.header("strict-transport-security").starts_with("max-age="));
    let found = scenario.attestry(&["search", "event_id:one"]).is(0);
    assert!(found.out.contains("door.open") && found.out.contains("shop"), "{}", found.out);
    assert_eq!(scenario.attestry(&["count", "event_source:shop"]).is(0).out, "1\n");
    scenario.attestry_with(&["send"], &write, event("two").to_string().as_bytes()).is(0);

    // Whoever does not know the certificate does not talk to the server, and the secret is not sent in clear.
    let url = format!("https://127.0.0.1:{}", scenario.port());
    let read = scenario.key(&["reader", "--read"]);
    scenario.attestry_with(&["count", "--url", &url], &read, b"").is(1);
    let trusted = ["count", "event_source:shop", "--url", &url, "--ca-file", cert.to_str().unwrap()];
    assert_eq!(scenario.attestry_with(&trusted, &read, b"").is(0).out, "2\n");
    let log = format!("{url}/log/audit");
    scenario.attestry_with(&["verify", &log, "--ca-file", cert.to_str().unwrap()], &read, b"").is(0);

    // The certificate is kept, so whoever pinned it goes on.
    let before = std::fs::read(&cert).unwrap();
    scenario.stop();
    scenario.start();
    assert_eq!(std::fs::read(&cert).unwrap(), before);
    scenario.finish();
}
