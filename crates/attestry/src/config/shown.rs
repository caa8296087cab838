//! The configuration as it may be shown: without the secrets that stand in it.

use serde_json::Value;

use super::{Config, Written};

/// What stands in place of a secret.
const HIDDEN: &str = "(a secret)";

impl Written {
    /// The items in force, secrets hidden. Which items are secrets is what the schema says, so a new one cannot be forgotten here.
    pub(crate) fn shown(&self) -> serde_json::Result<Value> {
        let mut value = serde_json::to_value(self)?;
        let schema = Config::schema();
        hide(&mut value, &schema, &schema);
        Ok(value)
    }
}

fn hide(value: &mut Value, schema: &Value, root: &Value) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        match name {
            // Where a secret is, a file or a variable, may be seen.
            "Secret" if value.is_string() => *value = HIDDEN.into(),
            name => hide(value, &root["$defs"][name], root),
        }
        return;
    }
    for list in ["anyOf", "oneOf", "allOf"] {
        for part in schema[list].as_array().into_iter().flatten() {
            hide(value, part, root);
        }
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let of = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                hide(member, of, root);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, &schema["items"], root)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_their_places_are() {
        let text = "
sources:
  f: {endpoint: {url: 'https://h.example', headers: {X-Token: swordfish6, X-Other: {env: TOKEN}}, body: swordfish7}}
  g: {command: {run: [backup], environment: {KEY: swordfish8}}}
receivers:
  a: {nats: {url: 'nats://127.0.0.1', stream: S, durable: d, login: {user: u, password: swordfish1}}}
  b: {amqp: {broker: {url: 'amqp://127.0.0.1', password: swordfish2}, queue: q}}
audit:
  bank: {url: 'mysql://a@127.0.0.1/bank', password: swordfish9}
sinks:
  c: {webhook: {url: 'https://h.example', secret: swordfish3, headers: {X-Token: swordfish4}}}
  d: {attestry: {url: 'https://a.example', key: {file: /run/a-key}}}
  e: {sql: {url: 'postgresql://u@127.0.0.1/x', password: swordfish5}}
";
        let written: Written = serde_saphyr::from_str(text).unwrap();
        let shown = written.shown().unwrap();
        let text = shown.to_string();
        assert!(!text.contains("swordfish"), "{text}");
        assert_eq!(text.matches(HIDDEN).count(), 9, "{text}");
        assert_eq!(shown["sinks"]["d"]["attestry"]["key"]["file"], "/run/a-key");
        assert_eq!(shown["sources"]["f"]["endpoint"]["headers"]["X-Other"]["env"], "TOKEN");
        assert_eq!(shown["sinks"]["c"]["webhook"]["url"], "https://h.example");
    }
}
