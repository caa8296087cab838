//! What programs cost: processor time per event. `cargo run --release -p attestry-script --example cost`; with a number as argument
//! it runs that program alone, for a profiler.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use attestry_event::Nanos;
use attestry_script::{Condition, Options, Transform};
use rustix::time::{ClockId, clock_gettime};

const EVENT: &str = r#"{"event_id":"0198c0de-0000-7000-8000-000000000001","event_time":"2026-11-21T03:00:00.000000000Z","event_name":"http.request","username":"alice","resource":"/api/v1/orders/4711","event_source":"gateway","source_ip_address":"10.0.0.7","request_id":"7f9c24e5","read_only":false,"outcome":"success","severity":6,"message":"GET /api/v1/orders/4711 answered 200 in 12.5 ms","host":"web1","event_data":{"status":200,"bytes":5120,"seconds":0.0125,"agent":"curl/8.5.0","tls":{"version":"1.3","cipher":"TLS_AES_256_GCM_SHA384"},"tags":["a","b","c"]}}"#;

const CONDITIONS: &[&str] = &[
    r#".event_name == "login.failure""#,
    r#"starts_with(.event_name, "http.") && (to_int(.event_data.status) ?? 0) >= 500"#,
    r#"contains(string(.message) ?? "", "answered")"#,
    r#"length(.) > 3"#,
];

const TRANSFORMS: &[&str] = &[
    ".severity = 6",
    ".severity = 5\n.event_data.path = del(.event_data.agent)",
    r#".message = redact(string(.message) ?? "", filters: [r'orders/\d+'])"#,
    r#".event_data = redact(.event_data, filters: [r'\d{4}-\d{4}'])"#,
    ". = map_values(., recursive: true) -> |v| { v }",
];

fn main() {
    let only: Option<usize> = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let options = Options::default();
    let received = Nanos(1_795_230_000_000_000_000);
    for (number, source) in CONDITIONS.iter().enumerate() {
        let condition = Condition::compile(source, &options).unwrap();
        measure(only, number, source, || condition.holds(EVENT.as_bytes(), received).is_ok());
    }
    for (number, source) in TRANSFORMS.iter().enumerate() {
        let transform = Transform::compile(source, &options).unwrap();
        measure(only, CONDITIONS.len() + number, source, || {
            transform.apply(EVENT.as_bytes(), received).is_ok()
        });
    }
}

/// How often a program runs for a profiler.
const PROFILED: u32 = 10_000;

fn measure(only: Option<usize>, number: usize, source: &str, mut run: impl FnMut() -> bool) {
    if only.is_some_and(|only| only != number) {
        return;
    }
    if only.is_some() {
        // Without the clock, which a profiler's machine may not have.
        return (0..PROFILED).for_each(|_| assert!(run(), "{source}"));
    }
    let times = 300_000;
    let before = used();
    for _ in 0..times {
        assert!(run(), "{source}");
    }
    println!(
        "{number} {:7.3} µs  {}",
        (used() - before) / f64::from(times) * 1e6,
        source.replace('\n', "; ")
    );
}

/// The processor time of this process in seconds.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
