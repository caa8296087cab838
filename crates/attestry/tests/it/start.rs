//! The first minutes: an empty folder, the page's address, the set-up link, logging in and out.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use attestry_testkit::{Answer, Client, Scenario, wait_for};
use serde_json::{Value, json};

use crate::{ATTESTRY, SOON, texts};

const PASSWORD: &str = "correct horse battery";

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// Whoever can read the data directory can read the events, without making a key.
fn owner(scenario: &Scenario) -> Client {
    let file = scenario.data().join("local-key");
    assert_eq!(mode(&file), 0o600);
    scenario.client(std::fs::read_to_string(file).unwrap().trim())
}

#[test]
fn a_newcomer_sees_events_of_this_host() {
    let mut scenario = Scenario::new(ATTESTRY).with_host_sources();
    scenario.start();
    assert_eq!(mode(scenario.data()), 0o700);
    let announced = scenario.announced();
    assert!(announced.contains(&format!("Attestry is at {}\n", scenario.url())), "{announced}");
    let page = scenario.anonymous().get("/", &[]).is(200);
    assert!(page.header("content-type").starts_with("text/html") && page.text().contains("Attestry"));

    let client = owner(&scenario);
    wait_for("the host's figures", SOON, || (client.count("event_name:host.stats") > 0).then_some(()));
    let answer = client.get("/api/v1/sources", &[]).is(200).json();
    let sources = answer["sources"].as_array().unwrap();
    let mut names = texts(sources, "/name");
    names.sort_unstable();
    assert_eq!(
        names,
        ["auth", "container_logs", "docker", "files", "host", "logins", "packages", "services", "users"]
    );
    for source in sources {
        // What is not there on this host is said, not passed over.
        assert!(!source["why"].as_str().unwrap().is_empty(), "{source}");
        if source["on"] == true {
            let query = format!("event_source:{}", source["name"].as_str().unwrap());
            wait_for(&query, SOON, || {
                (client.count(&query) >= source["events"].as_u64().unwrap()).then_some(())
            });
        }
    }
    if let Some(package) = last_installed() {
        let of_it = format!("event_source:packages {package}");
        wait_for(&of_it, SOON, || (client.count(&of_it) > 0).then_some(()));
    }
    let told = scenario.attestry(&["search", "-n", "3", "event_source:host"]).is(0);
    assert!(told.out.contains("event_time") && told.out.contains("host.stats"), "{}", told.out);
    assert!(!told.out.contains('\x1b'), "colours without a terminal");
    scenario.finish();
}

/// The package that this host's package history says was installed last.
fn last_installed() -> Option<String> {
    let log = std::fs::read_to_string("/var/log/dpkg.log").ok()?;
    let line = log.lines().rev().find(|line| line.contains(" status installed "))?;
    let package = line.split(' ').nth(4)?;
    Some(package.split(':').next()?.to_owned())
}

#[test]
fn the_first_user_comes_by_the_link_and_logs_in_and_out() {
    let mut scenario = Scenario::started(ATTESTRY);
    let file = scenario.data().join("setup-link");
    assert_eq!(mode(&file), 0o600);
    let announced = scenario.announced();
    assert!(announced.contains("attestry-data/setup-link"), "{announced}");
    let link = std::fs::read_to_string(&file).unwrap();
    let token = link.trim().strip_prefix(&format!("{}/setup#token=", scenario.url())).unwrap().to_owned();
    assert!(!announced.contains(&token) && !scenario.log().contains(&token), "the link is a secret");

    let client = scenario.anonymous();
    assert_eq!(client.get("/api/v1/setup", &[]).is(200).json(), json!({"needed": true}));
    let with = |token: &str, name: &str| json!({"token": token, "username": name, "password": PASSWORD});
    client.post_json("/api/v1/setup", &with("a-guess", "mallory")).is(404);
    let made = client.post_json("/api/v1/setup", &with(&token, "alice")).is(201);
    for part in ["attestry_session=", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(made.header("set-cookie").contains(part), "{part}");
    }
    assert!(!file.exists(), "a used link stays");
    client.post_json("/api/v1/setup", &with(&token, "mallory")).is(404);
    assert_eq!(client.get("/api/v1/setup", &[]).is(200).json(), json!({"needed": false}));

    let (session, csrf) = session(&client, &made);
    assert_eq!(session.get("/api/v1/session", &[]).is(200).json()["user"]["name"], "alice");
    assert_eq!(session.get("/api/v1/events", &[]).is(200).json()["next"], Value::Null);
    session.delete("/api/v1/session").is(403);
    session.clone().with("x-csrf-token", &csrf).delete("/api/v1/session").is(204);
    session.get("/api/v1/session", &[]).is(401);
    session.get("/api/v1/events", &[]).is(401);

    let log_in = |password: &str| {
        client.post_json("/api/v1/session", &json!({"username": "alice", "password": password}))
    };
    log_in(PASSWORD).is(200);
    for _ in 0..5 {
        log_in("not the password").is(401);
    }
    let locked = log_in(PASSWORD).is(429);
    assert!(locked.header("retry-after").parse::<u64>().unwrap() > 200, "{:?}", locked.headers);

    let client = owner(&scenario);
    for (event, times) in [
        ("person.create", 1),
        ("login.success", 2),
        ("session.end", 1),
        ("login.failure", 5),
        ("login.lockout", 1),
    ] {
        let query = format!("event_name:{event} username:alice _ledger:audit");
        wait_for(&query, SOON, || (client.count(&query) == times).then_some(()));
    }
    assert_eq!(client.count(PASSWORD), 0);
    // Each event that tells of Attestry itself has a line for people.
    client.search("event_source:attestry");
    wait_for("the search is recorded", SOON, || (client.count("event_name:search.run") > 0).then_some(()));
    let mute = client.search("event_source:attestry -message:*");
    assert_eq!(texts(&mute, "/event/event_name"), [""; 0]);

    // With a user there is no link any more.
    scenario.stop();
    scenario.start();
    assert!(!file.exists() && !scenario.announced().contains("setup"), "{}", scenario.announced());
    scenario.attestry(&["user", "setup-link"]).is(1).says("there is a user already");
    scenario.finish();
}

/// A client with the session that an answer began, and its CSRF token.
fn session(client: &Client, answer: &Answer) -> (Client, String) {
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    (client.clone().with("cookie", cookie), answer.json()["csrf"].as_str().unwrap().to_owned())
}
