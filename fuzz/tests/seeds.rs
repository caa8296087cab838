//! Every target over its seeds, in an ordinary test: what the fuzzer would begin with finds nothing.

use std::path::Path;

/// Every seed, and every beginning of it: what was cut is what parsers meet most often.
#[track_caller]
fn check(target: &str, run: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut seen = 0;
    for seed in std::fs::read_dir(&seeds).expect("the target has seeds") {
        let bytes = std::fs::read(seed.expect("the folder can be listed").path()).expect("a file");
        (0..=bytes.len()).for_each(|end| run(&bytes[..end]));
        seen += 1;
    }
    assert!(seen > 0, "{} is empty", seeds.display());
}

#[test]
fn targets_run_over_their_seeds() {
    check("body_split", attestry_fuzz::body_split::run);
    check("event_json", attestry_fuzz::event_json::run);
    check("gelf_message", attestry_fuzz::gelf_message::run);
    check("journal_open", attestry_fuzz::journal_open::run);
    check("dump_read", attestry_fuzz::dump_read::run);
    check("ndjson_split", attestry_fuzz::ndjson_split::run);
    check("otlp_logs", attestry_fuzz::otlp_logs::run);
    check("pgoutput", attestry_fuzz::pgoutput::run);
    check("query_parse", attestry_fuzz::query_parse::run);
    check("stomp_frame", attestry_fuzz::stomp_frame::run);
    check("syslog_message", attestry_fuzz::syslog_message::run);
    check("tlog_text", attestry_fuzz::tlog_text::run);
}

#[test]
#[should_panic(expected = "a finding")]
fn a_finding_fails() {
    check("tlog_text", |bytes| assert!(!bytes.starts_with(b"c2sp.org"), "a finding"));
}
