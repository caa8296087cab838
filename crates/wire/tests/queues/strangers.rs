//! What every client of a broker does when TLS or a log-in is not as it should be: it says where and what, shows no secret, and sends nothing.

use attestry_pipeline::Sink;
use attestry_testkit::{Authority, Issued};

use crate::both_ways::{Consuming, again, deliver, parcels};

/// The password that lets in, and the one that does not.
pub(crate) const PASSWORD: &str = "swordfish";
pub(crate) const WRONG_PASSWORD: &str = "red-herring";

/// How often a sink is asked for its reason. A server that ends a handshake sends its alert first, but a connection that is reset at the wrong
/// moment takes the alert with it.
const TRIES_MAX: usize = 10;

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

/// Fails unless the sink delivers nothing for a reason with all of these words, and shows no secret however often it is asked.
pub(crate) async fn refused(sink: &mut dyn Sink, words: &[&str]) {
    let mut reasons = Vec::new();
    while reasons.len() < TRIES_MAX {
        let (delivered, reason) = again(sink, &parcels(1)).await;
        assert_eq!(delivered, 0, "{reason}");
        for secret in [PASSWORD, WRONG_PASSWORD, "BEGIN", "SUA"] {
            assert!(!reason.contains(secret), "a secret is shown: {reason}");
        }
        let text = reason.to_lowercase();
        if words.iter().all(|word| text.contains(word)) {
            return;
        }
        reasons.push(reason);
    }
    panic!("{words:?} are not in any of {reasons:#?}");
}

/// A broker that has a certificate of this authority for 127.0.0.1, lets in only clients with one, and the user `keeper` with the password.
/// `sink` and `consume` make theirs of a `broker:`; `refusal` is what the broker says to a wrong password.
pub(crate) async fn only_friends_are_let_in<S: Sink>(
    url: &str,
    authority: &Authority,
    refusal: &str,
    sink: impl Fn(&str) -> S,
    consume: impl Fn(&str) -> Consuming,
) {
    let (_, place) = url.split_once("://").unwrap();
    let broker = |tls: &str, password: &str| {
        format!("broker: {{url: '{url}', user: keeper, password: {password}, tls: {tls}}}")
    };
    let known = authority.issue("known", &[]);
    let other = Authority::new();
    let own = tls(authority, Some(&known));
    let named = |name: &str| own.replace('}', &format!(", server_name: {name}}}"));
    for (tls, word) in [
        (tls(&other, Some(&known)), "certificate"),
        (tls(authority, None), "certificate"),
        (tls(authority, Some(&other.issue("stranger", &[]))), "alert"),
        (named("elsewhere.example"), "not valid for name"),
        ("{ca: /no/such/ca.pem}".to_owned(), "/no/such/ca.pem"),
    ] {
        refused(&mut sink(&broker(&tls, PASSWORD)), &[place, word]).await;
    }
    refused(&mut sink(&broker(&own, WRONG_PASSWORD)), &[place, refusal]).await;

    let all = parcels(200);
    assert_eq!(
        deliver(&mut sink(&broker(&named("localhost"), PASSWORD)), &all[..100], async |_| {}).await,
        []
    );
    assert_eq!(deliver(&mut sink(&broker(&own, PASSWORD)), &all[100..], async |_| {}).await, []);
    let consumer = consume(&broker(&own, PASSWORD));
    consumer.kept.has_all(&all).await;
    consumer.stop().await;
}
