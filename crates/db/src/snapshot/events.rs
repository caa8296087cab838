//! What is told of a snapshot.

use std::error::Error;

use attestry_event::{Event, Nanos, Outcome};
use serde_json::json;

use super::{Made, SnapshotConfig, SnapshotError};

fn event(name: &str, watch: &str, snapshot: &str, config: &SnapshotConfig, by: &str, at: Nanos) -> Event {
    Event::new(name, by)
        .time(at)
        .resource(format!("{watch}@{snapshot}"))
        .data("watch", watch)
        .data("snapshot", snapshot)
        .data("what", config.what.name())
}

/// It was made, for somebody or because it was due (`-`).
pub fn made(watch: &str, snapshot: &str, config: &SnapshotConfig, by: &str, at: Nanos, made: &Made) -> Event {
    let recipients: Vec<&str> = made.recipients.iter().map(|key| key.as_str()).collect();
    let mut message = format!("the snapshot {watch}@{snapshot} was made: {} bytes", made.bytes);
    if !made.not_removed.is_empty() {
        message.push_str(&format!("; older files that could not be removed: {}", made.not_removed.len()));
    }
    if made.not_synced.is_some() {
        message.push_str("; its folder could not be synced");
    }
    let whole = made.not_removed.is_empty() && made.not_synced.is_none();
    let mut event = event("snapshot.made", watch, snapshot, config, by, at)
        .outcome(Outcome::Success)
        .severity(if whole { 6 } else { 4 })
        .message(message)
        .data("folder", config.folder.display().to_string())
        .data("file", made.file.as_str())
        .data("bytes", made.bytes)
        .data("sha256", made.sha256.as_str())
        .data("dump_bytes", made.dump_bytes)
        .data("dump_sha256", made.dump_sha256.as_str())
        .data("compression", config.compression.name())
        .data("encrypted_to", json!(recipients))
        .data("took_ms", u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX))
        .data("removed", json!(made.removed));
    let optional = [
        ("signed_with", made.signer.as_ref().map(|key| key.as_str())),
        ("position", made.position.as_deref()),
        ("position_after", made.position_after.as_deref()),
        ("not_synced", made.not_synced.as_deref()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            event = event.data(name, value);
        }
    }
    if !made.not_removed.is_empty() {
        event = event.data("not_removed", json!(made.not_removed));
    }
    event
}

/// It was not made.
pub fn failed(
    watch: &str,
    snapshot: &str,
    config: &SnapshotConfig,
    by: &str,
    at: Nanos,
    why: &SnapshotError,
) -> Event {
    let reason = reason(why);
    event("snapshot.failed", watch, snapshot, config, by, at)
        .outcome(Outcome::Failure)
        .severity(3)
        .message(format!("the snapshot {watch}@{snapshot} was not made: {reason}"))
        .data("reason", reason)
}

/// An error with what is behind it.
fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
