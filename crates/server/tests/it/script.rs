//! Reads scripts of requests and expected answers.
//!
//! ```text
//! # Why this exchange is here.
//! > POST /api/v1/events?partial=true
//! > key: web                                  (short for Authorization: Bearer <that key of the world>)
//! >
//! > {"event_name":"a.b","username":"alice"}
//! < 201
//! < content-type: application/json            (headers that must be there; `*` stands for any text; `!name` must be absent)
//! <
//! < {"events":[{"event_id":"$id","index":0}]} (JSON: members that must be there; arrays whole)
//! ```
//! In JSON `"*"` stands for any value and `"$name"` for any value that later requests use as `{name}`. An expected body that is no
//! JSON is a list of lines: `text` must be in the body, `!text` must not. `@clock 300s` moves the clock, `@wait TEXT` repeats the
//! next exchange for up to five seconds until it is answered as expected.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Answer, send};
use crate::world::World;

#[derive(Default)]
struct Exchange {
    line: usize,
    head: Vec<String>,
    body: Vec<String>,
    status: u16,
    headers: Vec<String>,
    expected: Vec<String>,
    wait: bool,
}

/// Runs a script.
pub(crate) fn check(world: &World, file: &str, script: &str) {
    let mut names = world.names.clone();
    let mut exchange = Exchange::default();
    let mut in_body = false;
    for (number, line) in script.lines().chain(["> END"]).enumerate() {
        if let Some(line) = line.strip_prefix('>') {
            if exchange.status > 0 {
                run(world, file, &exchange, &mut names);
                exchange = Exchange::default();
            }
            if exchange.head.is_empty() {
                (exchange.line, in_body) = (number + 1, false);
            }
            let line = line.strip_prefix(' ').unwrap_or(line);
            match line {
                "" if !in_body => in_body = true,
                line if in_body => exchange.body.push(line.to_owned()),
                line => exchange.head.push(line.to_owned()),
            }
        } else if let Some(line) = line.strip_prefix('<') {
            let line = line.trim_start();
            if exchange.status == 0 {
                (exchange.status, in_body) =
                    (line.parse().unwrap_or_else(|_| panic!("{file}:{}", number + 1)), false);
            } else if line.is_empty() {
                in_body = true;
            } else if in_body {
                exchange.expected.push(line.to_owned());
            } else {
                exchange.headers.push(line.to_owned());
            }
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            if exchange.status > 0 {
                run(world, file, &exchange, &mut names);
                exchange = Exchange::default();
            }
            match line.split_once(' ') {
                Some(("@clock", time)) => {
                    let seconds = time.trim_end_matches('s').parse().unwrap();
                    world.clock.advance(Duration::from_secs(seconds));
                }
                Some(("@wait", _)) => exchange.wait = true,
                _ => panic!("{file}:{}: {line}", number + 1),
            }
        }
    }
}

fn run(world: &World, file: &str, exchange: &Exchange, names: &mut HashMap<String, String>) {
    let place = format!("{file}:{}", exchange.line);
    let started = Instant::now();
    loop {
        let answer = ask(world, exchange, names, &place);
        match judge(exchange, &answer, names) {
            Ok(()) => return,
            Err(_) if exchange.wait && started.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(why) => panic!("{place}: {why}\n{} {:?}\n{}", answer.status, answer.headers, answer.text()),
        }
    }
}

fn ask(world: &World, exchange: &Exchange, names: &HashMap<String, String>, place: &str) -> Answer {
    let fill = |text: &String| {
        names.iter().fold(text.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    let mut head: Vec<String> = exchange.head.iter().map(fill).collect();
    for line in &mut head {
        if let Some(name) = line.strip_prefix("key: ") {
            let key = names.get(name).unwrap_or_else(|| panic!("{place}: no key {name}"));
            *line = format!("Authorization: Bearer {key}");
        }
    }
    head[0] = format!("{} HTTP/1.1", head[0]);
    let body = exchange.body.iter().map(fill).collect::<Vec<_>>().join("\n");
    send(world.address, &head, body.as_bytes())
}

fn judge(exchange: &Exchange, answer: &Answer, names: &mut HashMap<String, String>) -> Result<(), String> {
    if answer.status != exchange.status {
        return Err(format!("expected {}", exchange.status));
    }
    if !answer.complete {
        return Err("the answer was cut".to_owned());
    }
    for line in &exchange.headers {
        if let Some(absent) = line.strip_prefix('!') {
            if answer.header(absent).is_some() {
                return Err(format!("expected no header {absent}"));
            }
            continue;
        }
        let (name, pattern) = line.split_once(": ").ok_or_else(|| format!("no header: {line}"))?;
        let found = answer.header(name).ok_or_else(|| format!("no header {name}"))?;
        let mut rest = found;
        for (number, part) in pattern.split('*').enumerate() {
            let at = rest.find(part).filter(|at| number > 0 || *at == 0);
            let at = at.ok_or_else(|| format!("header {name}: {found}, expected {pattern}"))?;
            rest = &rest[at + part.len()..];
        }
        if let Some((before, after)) = found.split_once("attestry_session=")
            && before.is_empty()
        {
            let token = after.split(';').next().unwrap_or_default();
            names.insert("session".to_owned(), token.to_owned());
        }
    }
    let expected = exchange.expected.join("\n");
    if expected.is_empty() {
        return Ok(());
    }
    if let Ok(expected) = serde_json::from_str::<Value>(&expected) {
        let found = serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
        return covers(&expected, &found, names).map_err(|at| format!("expected {expected}\nat {at}"));
    }
    let text = answer.text();
    for line in &exchange.expected {
        match line.strip_prefix('!') {
            Some(absent) if text.contains(absent) => return Err(format!("expected no {absent:?}")),
            None if !text.contains(line.as_str()) => return Err(format!("expected {line:?}")),
            _ => {}
        }
    }
    Ok(())
}

/// Whether `found` holds everything of `expected`; if not, where it does not.
fn covers(expected: &Value, found: &Value, names: &mut HashMap<String, String>) -> Result<(), String> {
    match (expected, found) {
        (Value::String(any), _) if any == "*" => Ok(()),
        (Value::String(name), found) if name.starts_with('$') => {
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            names.insert(name[1..].to_owned(), text);
            Ok(())
        }
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                let found = found.get(name).unwrap_or(&Value::Null);
                covers(expected, found, names).map_err(|at| format!(".{name}{at}"))?;
            }
            Ok(())
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                covers(expected, found, names).map_err(|at| format!("[{number}]{at}"))?;
            }
            Ok(())
        }
        (expected, found) if expected == found => Ok(()),
        (_, found) => Err(format!(": {found}")),
    }
}
