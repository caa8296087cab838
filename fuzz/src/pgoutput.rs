//! PostgreSQL's change stream: no message makes its parser panic or claim memory that it has no bytes for.

#[path = "../../crates/db/src/postgres/pgoutput.rs"]
#[allow(dead_code, unreachable_pub)]
mod message;

use message::{Message, Old, Value, parse};

/// Runs the target over one input, a message.
pub fn run(bytes: &[u8]) {
    let rows = match parse(bytes) {
        Ok(Message::Insert { new, .. }) => vec![new],
        Ok(Message::Update { old, new, .. }) => old.map(row).into_iter().chain([new]).collect(),
        Ok(Message::Delete { old, .. }) => vec![row(old)],
        Ok(Message::Relation(relation)) => return assert!(relation.columns.len() * 10 <= bytes.len()),
        Ok(Message::Truncate { relations }) => return assert!(relations.len() * 4 <= bytes.len()),
        _ => return,
    };
    let taken = |value: &Value<'_>| match value {
        Value::Text(text) => text.len() + 5,
        Value::Null | Value::Unchanged => 1,
    };
    assert!(rows.iter().flatten().map(taken).sum::<usize>() < bytes.len());
}

fn row(old: Old<'_>) -> Vec<Value<'_>> {
    match old {
        Old::Key(values) | Old::Row(values) => values,
    }
}
