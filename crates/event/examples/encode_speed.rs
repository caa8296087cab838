//! How long an event takes at the border and an entry when it is read: medians of 15 rounds over 10,000 events.
//!
//!     cargo run --release -p attestry-event --example encode_speed

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it is a program for a terminal")]

use std::hint::black_box;
use std::time::Instant;

use attestry_event::{Batch, Border, Entry, Event, Field, Nanos, Scalar, Walker};

const EVENTS: usize = 10_000;
const ROUNDS: usize = 15;

fn main() {
    let now = Nanos(1_795_230_245_678_901_234);
    let border =
        Border { event_source: "shop", via: &[], lenient: false, reserved_names: false, agent: false, now };
    let compact: Vec<String> = (0..EVENTS).map(|number| event(number, true)).collect();
    let spaced: Vec<String> = compact.iter().map(|json| pretty(json)).collect();
    let bare: Vec<String> = (0..EVENTS).map(|number| event(number, false)).collect();

    let mut batch = Batch::new();
    for (name, events) in [("compact", &compact), ("no id, no time", &bare), ("pretty-printed", &spaced)] {
        let took = median(|| {
            batch.clear();
            for json in events {
                batch.push_json(json.as_bytes(), &border).unwrap();
            }
        });
        let sent: usize = events.iter().map(String::len).sum();
        println!("push_json, {name}: {took:.3} µs an event of {} bytes", sent / EVENTS);
    }

    let built: Vec<Event> = (0..EVENTS)
        .map(|number| {
            Event::new("host.load", "-")
                .host("web1")
                .data("load1", 0.25)
                .data("users", number as u64)
                .message("load 0.25")
        })
        .collect();
    let took = median(|| {
        batch.clear();
        for event in &built {
            batch.push(event, &border).unwrap();
        }
    });
    println!("push, small event: {took:.3} µs");

    batch.clear();
    for json in &compact {
        batch.push_json(json.as_bytes(), &border).unwrap();
    }
    println!("entry: {} bytes", batch.bytes.len() / EVENTS);
    let took = median(|| {
        for entry in batch.entries() {
            black_box(Entry::parse(entry).unwrap());
        }
    });
    println!("Entry::parse: {took:.3} µs");
    let took = median(|| {
        for entry in batch.entries() {
            let entry = Entry::parse(entry).unwrap();
            for field in Field::ALL {
                black_box(entry.field(field));
            }
        }
    });
    println!("Entry::parse and every field: {took:.3} µs");
    let mut walker = Walker::default();
    let mut scalars = 0usize;
    let data: Vec<&[u8]> =
        batch.entries().map(|entry| Entry::parse(entry).unwrap().event_data().unwrap()).collect();
    let took = median(|| {
        for data in &data {
            walker
                .walk(data, &mut |path: &str, scalar: Scalar<'_>| {
                    black_box((path, scalar));
                    scalars += 1;
                })
                .unwrap();
        }
    });
    println!("walk of {} scalars: {took:.3} µs", scalars / EVENTS / (ROUNDS + 1));
}

/// The median time of an event in microseconds.
fn median(mut round: impl FnMut()) -> f64 {
    round();
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64() * 1e6 / EVENTS as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn event(number: usize, identified: bool) -> String {
    let id = if identified {
        format!(
            r#""event_id":"{:08x}-1234-4abc-8def-{number:012x}","event_time":"2026-11-21T03:{:02}:{:02}.{:06}Z","#,
            number * 7_919,
            number / 60 % 60,
            number % 60,
            number * 97
        )
    } else {
        String::new()
    };
    format!(
        concat!(
            r#"{{{}"event_name":"order.update","username":"user-{}","resource":"orders/{}","source_ip_address":"#,
            r#""10.{}.{}.7","request_id":"req-{:08x}","read_only":false,"outcome":"success","severity":6,"host":"web{}","#,
            r#""message":"payment accepted after second attempt by the customer","event_data":{{"status":{},"#,
            r#""duration_ms":{}.{},"method":"POST","path":"/api/orders/{}","user":{{"id":{},"plan":"gold"}}}}}}"#
        ),
        id,
        number % 500,
        number * 13 % 1_000,
        number % 200,
        number % 100,
        number,
        number % 9,
        200 + number % 5 * 100,
        number % 900,
        number % 10,
        number * 13 % 1_000,
        number % 5_000
    )
}

/// The same event with white space between its tokens.
fn pretty(json: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(json).unwrap()).unwrap()
}
