//! TLS and every way to log in to NATS.

use attestry_testkit::{Authority, Issued, NatsServer};
use attestry_wire::nats::{ConsumerConfig, NatsSink, SinkConfig, run};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::both_ways::{Consuming, Kept, deliver, parcels};
use crate::strangers::{PASSWORD, WRONG_PASSWORD, refused, tls};

fn sink(url: &str, more: &str) -> NatsSink {
    let yaml = format!("{{url: '{url}', stream: audit, create: {{}}, {more}}}");
    let config: SinkConfig = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(config.check(), []);
    NatsSink::new(config)
}

fn consume(url: &str, more: &str) -> Consuming {
    let yaml = format!("{{url: '{url}', stream: audit, durable: far, {more}}}");
    let config: ConsumerConfig = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(config.check(), []);
    Consuming::start(Kept::default(), |inlet, counters, stop| run(config, inlet, counters, stop))
}

/// From the sink to the consumer with the same settings.
async fn goes_through(url: &str, more: &str) {
    let all = parcels(50);
    assert_eq!(deliver(&mut sink(url, more), &all, async |_| {}).await, [], "{more}");
    let consumer = consume(url, more);
    consumer.kept.has_all(&all).await;
    consumer.stop().await;
}

fn server(config: &str) -> NatsServer {
    let mut server = NatsServer::with(config);
    tokio::task::block_in_place(|| server.start());
    server
}

/// A server with this certificate that lets in only clients of the same authority.
fn server_with(authority: &Authority, Issued { cert, key }: &Issued) -> NatsServer {
    server(&format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        cert.display(),
        key.display(),
        authority.ca().display()
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_certificates() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = server_with(&authority, &authority.server());
    let url = server.url().replace("nats://", "tls://");
    let place = url.strip_prefix("tls://").unwrap();
    let client = authority.issue("client", &[]);
    let known = tls(&authority, Some(&client));
    for (tls, word) in [
        (tls(&other, Some(&client)), "certificate"),
        (tls(&authority, None), "certificate"),
        (tls(&authority, Some(&other.issue("stranger", &[]))), "alert"),
        ("{ca: /no/such/ca.pem}".to_owned(), "/no/such/ca.pem"),
    ] {
        refused(&mut sink(&url, &format!("tls: {tls}")), &[place, word]).await;
    }
    refused(&mut sink(&server.url(), ""), &[place, "certificate"]).await;
    goes_through(&url, &format!("tls: {known}")).await;
    // Where a server wants TLS or `tls` is given, the address need not say it.
    let mut unsaid = sink(&server.url(), &format!("tls: {known}"));
    assert_eq!(deliver(&mut unsaid, &parcels(5), async |_| {}).await, []);

    let elsewhere = server_with(&authority, &authority.issue("elsewhere", &["elsewhere.example"]));
    refused(&mut sink(&elsewhere.url(), &format!("tls: {known}")), &["not valid for name"]).await;

    // A server without TLS gets nothing, not even a log-in.
    let plain = NatsServer::started();
    let url = plain.url().replace("nats://", "tls://");
    refused(&mut sink(&url, &format!("tls: {known}")), &[url.strip_prefix("tls://").unwrap()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_log_in() {
    let [user, stranger] = [KeyPair::new_user(), KeyPair::new_user()];
    let accounts = Accounts::new();
    for (config, right, wrong) in [
        (
            format!("authorization {{ users: [{{user: keeper, password: {PASSWORD}}}] }}"),
            format!("{{user: keeper, password: {PASSWORD}}}"),
            format!("{{user: keeper, password: {WRONG_PASSWORD}}}"),
        ),
        (
            format!("authorization {{ token: {PASSWORD} }}"),
            format!("{{token: {PASSWORD}}}"),
            format!("{{token: {WRONG_PASSWORD}}}"),
        ),
        (
            format!("authorization {{ users: [{{nkey: {}}}] }}", user.public_key()),
            format!("{{nkey: {}}}", user.seed().unwrap()),
            format!("{{nkey: {}}}", stranger.seed().unwrap()),
        ),
        (
            accounts.config(),
            format!("{{credentials: {}}}", json!(accounts.credentials(&accounts.account))),
            // Signed by an account that the operator does not know.
            format!("{{credentials: {}}}", json!(accounts.credentials(&KeyPair::new_account()))),
        ),
    ] {
        let server = server(&config);
        let url = server.url();
        let place = url.strip_prefix("nats://").unwrap();
        for wrong in ["{}", wrong.as_str()] {
            refused(&mut sink(&url, &format!("login: {wrong}")), &[place, "authorization"]).await;
        }
        goes_through(&url, &format!("login: {right}")).await;
    }
    // What is no key and no credentials is not quoted.
    let server = server("authorization { token: t }");
    for wrong in [format!("{{nkey: {PASSWORD}}}"), format!("{{credentials: {PASSWORD}}}")] {
        refused(&mut sink(&server.url(), &format!("login: {wrong}")), &["127.0.0.1"]).await;
    }
}

/// An operator with an account for the events, and one for the server's own use, without which such a server offers no JetStream.
struct Accounts {
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Accounts {
    fn new() -> Accounts {
        let [account, system] = [KeyPair::new_account(), KeyPair::new_account()];
        Accounts { operator: KeyPair::new_operator(), account, system }
    }

    /// The server's configuration.
    fn config(&self) -> String {
        let operator = jwt(&self.operator, "operator", &self.operator, json!({"type": "operator"}));
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        });
        let system = jwt(&self.operator, "system", &self.system, json!({"type": "account"}));
        let account =
            jwt(&self.operator, "account", &self.account, json!({"type": "account", "limits": limits}));
        format!(
            "operator: \"{operator}\"\nsystem_account: {s}\nresolver: MEMORY\nresolver_preload: {{ {s}: \"{system}\", {a}: \"{account}\" }}",
            s = self.system.public_key(),
            a = self.account.public_key(),
        )
    }

    /// A user's `.creds` file.
    fn credentials(&self, account: &KeyPair) -> String {
        let user = KeyPair::new_user();
        let claims = json!({"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(account, "user", &user, claims),
            user.seed().unwrap()
        )
    }
}

/// A token by which the issuer says something of the subject.
fn jwt(issuer: &KeyPair, name: &str, subject: &KeyPair, mut claims: Value) -> String {
    claims["version"] = json!(2);
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!(
        "{}.{}",
        part(json!({"typ": "JWT", "alg": "ed25519-nkey"})),
        part(json!({
            "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject.public_key(), "nats": claims,
        }))
    );
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
