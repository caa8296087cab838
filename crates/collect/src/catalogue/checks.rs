//! The events of the sources that somebody sets up: endpoints.

use super::Entry;

/// Each by name.
pub(super) const CHECKS: &[Entry] = &[
    Entry {
        name: "endpoint.check",
        sources: "endpoint",
        meaning: "an endpoint was looked at; a failure is severity 3, a certificate that ends soon 4",
        who: "resource is the address, secrets taken out",
        fields: &[
            (
                "phase",
                "where it failed: settings, resolve, address, connect, tls, answer, body, redirect, expect",
            ),
            ("reason", "why it failed"),
            ("address", "the address and port that was connected to"),
            ("status", "of the answer"),
            ("resolve_ms", "milliseconds to find the address of the name"),
            ("connect_ms", "milliseconds to connect"),
            ("tls_ms", "milliseconds of the TLS handshake"),
            ("first_byte_ms", "milliseconds from the request to the head of its answer"),
            ("total_ms", "milliseconds of all of it"),
            ("bytes", "how much of the body was read, at most 1 MiB"),
            ("body_sha256", "the hash of what was read"),
            ("body_cut", "true when there was more"),
            ("certificate", "the server's: subject, issuer, not_after, days_left, sha256"),
            ("redirects", "how many were followed"),
            ("redirected_to", "where the last of them led"),
        ],
        example: r#"{"event_name":"endpoint.check","username":"-","resource":"https://shop.example.org/health","read_only":true,"outcome":"success","severity":6,"message":"https://shop.example.org/health answered 200 in 48.2 ms","event_data":{"address":"203.0.113.7:443","status":200,"resolve_ms":1.2,"connect_ms":9.4,"tls_ms":21.7,"first_byte_ms":15.1,"total_ms":48.2,"bytes":15,"body_sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","certificate":{"subject":"CN=shop.example.org","issuer":"C=US, O=Example, CN=Example CA","not_after":"2027-01-20T00:00:00.000000000Z","days_left":59,"sha256":"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"}}}"#,
    },
    Entry {
        name: "endpoint.down",
        sources: "endpoint",
        meaning: "an endpoint failed that was up, or was looked at for the first time",
        who: "resource is the address, secrets taken out",
        fields: &[("phase", "where it failed"), ("reason", "why")],
        example: r#"{"event_name":"endpoint.down","username":"-","resource":"tcp://db.example.org:5432","outcome":"failure","severity":3,"message":"tcp://db.example.org:5432 is down: connect: 203.0.113.8:5432: Connection refused (os error 111)","event_data":{"phase":"connect","reason":"203.0.113.8:5432: Connection refused (os error 111)"}}"#,
    },
    Entry {
        name: "endpoint.up",
        sources: "endpoint",
        meaning: "an endpoint that was down is as it should be",
        who: "resource is the address, secrets taken out",
        fields: &[("down_since", "when it was first seen down"), ("down_s", "seconds since then")],
        example: r#"{"event_name":"endpoint.up","username":"-","resource":"tcp://db.example.org:5432","outcome":"success","severity":5,"message":"tcp://db.example.org:5432 is up again after 120 s","event_data":{"down_since":"2026-11-21T10:00:00.000000000Z","down_s":120}}"#,
    },
];
