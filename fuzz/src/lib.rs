//! What is done with each input of the fuzzer, as plain functions, so that the ordinary compiler checks them and a test runs them over their
//! seeds (`fuzz/seeds/<target>/`). A panic is a finding.
//!
//! The fuzzer itself needs a nightly compiler: `make fuzz FUZZ=event_json`. What it finds is replayed without it:
//! `cargo run -p attestry-fuzz --bin event_json FILE`.

pub mod body_split;
pub mod dump_read;
pub mod event_json;
pub mod gelf_message;
pub mod journal_open;
pub mod ndjson_split;
pub mod otlp_logs;
pub mod pgoutput;
pub mod query_parse;
pub mod stomp_frame;
pub mod syslog_message;
pub mod tlog_text;

/// Runs a target over the files named on the command line.
///
/// # Errors
/// When one cannot be read.
pub fn replay(run: fn(&[u8])) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        run(&std::fs::read(path)?);
    }
    Ok(())
}
