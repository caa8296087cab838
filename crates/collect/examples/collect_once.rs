//! Prints this host's events as NDJSON: `cargo run -p attestry-collect --example collect_once [SOURCE…]`.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use attestry_collect::{Names, Outlet, Paths, Setup, Stopped, built_in, once};
use attestry_event::{Batch, Border, Clock, Event, SystemClock};
use serde_json::Value;

struct Printer(Mutex<io::Stdout>);

impl Outlet for Printer {
    fn send(&self, source: &str, events: Vec<Event>, _position: Value) -> Result<(), Stopped> {
        let mut batch = Batch::new();
        let border = Border {
            event_source: source,
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: false,
            now: SystemClock.now(),
        };
        let mut out = self.0.lock().map_err(|_| Stopped)?;
        for event in &events {
            let before = batch.len();
            match batch.push(event, &border) {
                Ok(()) => {
                    let line = batch.entry(before);
                    out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(|_| Stopped)?;
                }
                Err(problems) => writeln!(out, "REFUSED {problems:?}").map_err(|_| Stopped)?,
            }
        }
        Ok(())
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let paths = Paths::default();
    for source in built_in() {
        let name = source.kind();
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let availability = source.availability(&paths);
        let mut errors = io::stderr();
        // Nothing to do about a closed stderr.
        let _ =
            writeln!(errors, "{name}: {} ({})", if availability.on { "on" } else { "off" }, availability.why);
        if !availability.on {
            continue;
        }
        let setup = Setup {
            name: name.to_owned(),
            host: paths.host_name(),
            paths: paths.clone(),
            clock: Arc::new(SystemClock),
            names: Arc::new(Names::new([0; 32], "/etc/passwd")),
            outlet: Arc::new(Printer(Mutex::new(io::stdout()))),
            position: None,
        };
        match once(&*source, setup) {
            Ok(status) => {
                let _ = writeln!(errors, "{name}: {} events, {} losses", status.events(), status.losses());
            }
            Err(Stopped) => return,
        }
    }
}
