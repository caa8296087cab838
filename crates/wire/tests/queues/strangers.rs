//! What every client of a broker does when TLS or a log-in is not as it should be: it says where and what, shows no secret, and sends nothing.

use attestry_pipeline::Sink;
use attestry_testkit::{Authority, Issued};

use crate::both_ways::{again, parcels};

/// The password that lets in, and the one that does not.
pub(crate) const PASSWORD: &str = "swordfish";
pub(crate) const WRONG_PASSWORD: &str = "red-herring";

/// A client's `tls:`.
pub(crate) fn tls(authority: &Authority, client: Option<&Issued>) -> String {
    let ca = authority.ca();
    match client {
        None => format!("{{ca: {}}}", ca.display()),
        Some(Issued { cert, key }) => {
            format!("{{ca: {}, cert: {}, key: {}}}", ca.display(), cert.display(), key.display())
        }
    }
}

/// Fails unless the sink delivers nothing for a reason with all of these words and without any secret.
pub(crate) async fn refused(sink: &mut dyn Sink, words: &[&str]) {
    let (delivered, reason) = again(sink, &parcels(1)).await;
    assert_eq!(delivered, 0, "{reason}");
    let text = reason.to_lowercase();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {reason}");
    }
    for secret in [PASSWORD, WRONG_PASSWORD, "BEGIN", "SUA"] {
        assert!(!reason.contains(secret), "a secret is shown: {reason}");
    }
}

/// A broker that has a certificate of this authority for 127.0.0.1 and lets in only clients with one: `sink` makes a sink of a `tls:`. What it
/// does with the right one is for others to test.
pub(crate) async fn strangers_are_refused<S: Sink>(
    place: &str,
    authority: &Authority,
    sink: impl Fn(&str) -> S,
) {
    let client = authority.issue("client", &[]);
    let other = Authority::new();
    let named = |name: &str| tls(authority, Some(&client)).replace('}', &format!(", server_name: {name}}}"));
    for (tls, word) in [
        (tls(&other, Some(&client)), "certificate"),
        (tls(authority, None), "certificate"),
        (tls(authority, Some(&other.issue("stranger", &[]))), "alert"),
        (named("elsewhere.example"), "not valid for name"),
        ("{ca: /no/such/ca.pem}".to_owned(), "/no/such/ca.pem"),
    ] {
        refused(&mut sink(&tls), &[place, word]).await;
    }
    assert_eq!(sink(&named("localhost")).deliver(&parcels(1)).await, Ok(Vec::new()));
}
