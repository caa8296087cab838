//! A log served over HTTP: honest, forged, pruned, closed.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;

use attestry_tlog::tile::{self, Resource};
use attestry_tlog::{Pin, leaf_hash};
use attestry_verify::{CannotCheck, Options, Report, server};

use crate::model::{Model, PINNED, SIGNED, Tree, edited, event};

/// What the server does wrong, if anything.
#[derive(Clone, Default)]
struct Manner {
    /// Entries before this are gone.
    first: u64,
    /// A bundle that is gone.
    lacks: Option<u64>,
    /// The token that it wants.
    token: Option<&'static str>,
    /// Tiles of hashes are made of these leaves instead.
    leaves: Option<Vec<attestry_tlog::Hash>>,
}

/// Answers one request's path, or says that nothing is there.
fn answer(model: &Model, manner: &Manner, path: &str) -> Option<Vec<u8>> {
    if path == "/api/v1/ledgers" {
        return Some(b"[{\"name\":\"audit\",\"size\":1}]".to_vec());
    }
    let path = path.strip_prefix("/log/audit/")?;
    match path {
        "checkpoint" => return Some(model.checkpoint.clone()?.into_bytes()),
        "vkey" => return Some(model.vkey.clone().into_bytes()),
        _ => {}
    }
    let leaves =
        manner.leaves.clone().unwrap_or(model.entries.iter().map(|entry| leaf_hash(entry)).collect());
    match Resource::parse(path).ok()? {
        Resource::Tile(tile) if tile.is_in(SIGNED) && tile.end_index() > manner.first => {
            Some(tile.read(&Tree(leaves)).unwrap())
        }
        Resource::Entries(bundle)
            if bundle.is_in(SIGNED)
                && bundle.end_index() > manner.first
                && manner.lacks != Some(bundle.index) =>
        {
            let first = bundle.index as usize * 256;
            let mut bytes = Vec::new();
            for entry in &model.entries[first..first + usize::from(bundle.width)] {
                tile::push_entry(&mut bytes, entry).unwrap();
            }
            Some(bytes)
        }
        _ => None,
    }
}

/// Serves until the process ends; returns the base URL.
fn serve(model: Model, manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::new((model, manner));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                let mut out = stream.try_clone().unwrap();
                let mut lines = BufReader::new(stream).lines();
                while let Some(Ok(request)) = lines.next() {
                    let headers: Vec<String> =
                        lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                    let path = request.split(' ').nth(1).unwrap_or_default();
                    let wanted = state.1.token.map(|token| format!("authorization: Bearer {token}"));
                    let admitted = wanted.is_none_or(|wanted| {
                        headers.iter().any(|header| header.eq_ignore_ascii_case(&wanted))
                    });
                    let (status, body) = match answer(&state.0, &state.1, path) {
                        _ if !admitted => ("401 Unauthorized", Vec::new()),
                        Some(body) => ("200 OK", body),
                        None => ("404 Not Found", Vec::new()),
                    };
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                    if out.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

fn check(model: Model, manner: Manner, pins: &[Pin]) -> Report {
    let url = serve(model, manner);
    let options = Options { pins: pins.to_vec(), ..Options::default() };
    let report = server(&format!("{url}/log/audit/"), &options).unwrap();
    // The server's own address leads to the same.
    assert_eq!(server(&url, &options).unwrap().exit_code(), report.exit_code());
    report
}

fn named(report: &Report) -> Vec<(u64, u64)> {
    report.all_damage().filter_map(|(_, damage)| Some((damage.first?, damage.end?))).collect()
}

#[test]
fn an_honest_server() {
    let model = Model::sample();
    let report =
        check(model.clone(), Manner::default(), &[model.pin(PINNED), model.pin(SIGNED), model.pin(256)]);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.ledgers[0].hashed, SIGNED);
    assert!(report.ledgers[0].pins.iter().all(|pin| pin.holds), "{report}");
    let report = check(model, Manner::default(), &[]);
    assert!(report.is_clean() && report.to_string().contains("without a pin"), "{report}");
}

#[test]
fn forged_servers() {
    let honest = Model::sample();
    let pins = [honest.pin(PINNED)];
    let mut edit = honest.clone();
    edit.set(300, edited(300));
    // It still serves the honest hashes: these tell which entry.
    let leaves: Vec<_> = honest.entries.iter().map(|entry| leaf_hash(entry)).collect();
    let report = check(edit.clone(), Manner { leaves: Some(leaves), ..Manner::default() }, &pins);
    assert_eq!((report.exit_code(), named(&report)), (1, vec![(300, 301)]), "{report}");
    // It serves hashes that fit: the whole pinned range.
    let report = check(edit.clone(), Manner::default(), &pins);
    assert_eq!(report.exit_code(), 1);
    assert!(named(&report).contains(&(0, PINNED)), "{report}");
    // It signs them, too: only the pin tells.
    edit.sign(SIGNED);
    assert!(check(edit.clone(), Manner::default(), &[]).is_clean());
    let report = check(edit, Manner::default(), &pins);
    assert_eq!((report.exit_code(), named(&report)), (1, vec![(0, PINNED)]), "{report}");

    let report = check(honest.clone(), Manner { lacks: Some(2), ..Manner::default() }, &pins);
    assert_eq!((report.exit_code(), named(&report)), (1, vec![(512, 768)]), "{report}");

    let mut older = honest.clone();
    older.sign(600);
    let report = check(older, Manner::default(), &pins);
    assert!(report.exit_code() == 1 && named(&report).contains(&(600, PINNED)), "{report}");

    let mut other = honest.clone();
    other.key = attestry_tlog::SigningKey::generate("ffff.attestry/audit", [7; 32]).unwrap();
    other.vkey = other.key.verifier().to_string();
    other.sign(SIGNED);
    let report = check(other, Manner::default(), &pins);
    assert_eq!((report.exit_code(), named(&report)), (1, vec![(0, PINNED)]), "{report}");
}

#[test]
fn pruned_servers() {
    let mut model = Model::sample();
    let gone = Manner { first: 512, ..Manner::default() };
    let report = check(model.clone(), gone.clone(), &[]);
    assert_eq!((report.exit_code(), named(&report)), (1, vec![(0, 512)]), "{report}");
    model.set(1_060, event(1_060, "ledger.pruned", "attestry", "{\"ledger\":\"audit\",\"first\":512}"));
    model.sign(SIGNED);
    let report = check(model.clone(), gone.clone(), &[model.pin(PINNED)]);
    assert!(report.is_clean() && report.ledgers[0].first == 512, "{report}");
    let report = check(model.clone(), gone, &[model.pin(300)]);
    assert_eq!(report.exit_code(), 2, "{report}");
}

#[test]
fn servers_that_want_a_token_or_are_none() {
    let url = serve(Model::sample(), Manner { token: Some("secret"), ..Manner::default() });
    let with = |token: Option<&str>| {
        let options = Options { token: token.map(str::to_owned), ..Options::default() };
        server(&format!("{url}/log/audit"), &options)
    };
    assert!(with(Some("secret")).unwrap().is_clean());
    for token in [None, Some("wrong")] {
        assert!(matches!(with(token), Err(CannotCheck::Server { reason, .. }) if reason.contains("token")));
    }
    let missing =
        server(&format!("{url}/log/none"), &Options { token: Some("secret".into()), ..Options::default() });
    assert!(matches!(missing, Err(CannotCheck::Server { .. })));
}
