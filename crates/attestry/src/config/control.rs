//! Messages that tell Attestry to do something.

use std::collections::BTreeMap;
use std::path::PathBuf;

use attestry_event::Period;
use attestry_openpgp::Fingerprint;
use attestry_wire::{amqp, nats, sqs, stomp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Messages that tell Attestry to do something: sign off violations or a change of a schema, run a report. Each is clear-signed by OpenPGP with
/// one of the keys that are named here, and the local keyring trusts that key ultimately. All others are refused, and recorded.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Control {
    /// Whose messages count: the whole fingerprints of primary keys.
    pub(crate) signers: Vec<Fingerprint>,
    /// How old a signature may be. Default: 15m.
    pub(crate) fresh_for: Period,
    /// A folder that messages are put into as files, under another name first (`.name`) or at once. What was looked at is removed.
    pub(crate) folder: Option<PathBuf>,
    /// Queues that messages come from, by name.
    pub(crate) queues: BTreeMap<String, ControlQueue>,
}

impl Default for Control {
    fn default() -> Control {
        Control {
            signers: Vec::new(),
            fresh_for: Period::seconds(15 * 60),
            folder: None,
            queues: BTreeMap::new(),
        }
    }
}

/// A queue that messages come from. Exactly one of the protocols is given.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ControlQueue {
    /// A consumer of NATS JetStream.
    pub(crate) nats: Option<nats::ConsumerConfig>,
    /// A queue by AMQP 0.9.1.
    pub(crate) amqp: Option<amqp::ConsumerConfig>,
    /// A queue by STOMP.
    pub(crate) stomp: Option<stomp::ConsumerConfig>,
    /// A queue of Amazon SQS.
    pub(crate) sqs: Option<sqs::ConsumerConfig>,
}

impl Control {
    /// Whether there is a way in.
    pub(crate) fn is_open(&self) -> bool {
        self.folder.is_some() || !self.queues.is_empty()
    }

    /// What is wrong: the item, by its path within the section, and what was found and expected.
    pub(crate) fn check(&self) -> Vec<(Vec<&str>, String)> {
        let mut wrong = Vec::new();
        if self.is_open() && self.signers.is_empty() {
            wrong.push((
                vec!["signers"],
                "found nothing, expected the fingerprints of keys whose messages count".to_owned(),
            ));
        }
        if !self.is_open() && !self.signers.is_empty() {
            wrong.push((vec!["signers"], "found signers and no way in: name a folder or a queue".to_owned()));
        }
        if self.fresh_for.0.is_zero() {
            wrong.push((vec!["fresh_for"], "found 0s, expected a time".to_owned()));
        }
        for (name, queue) in &self.queues {
            match queue.protocols().as_slice() {
                [(protocol, mistakes)] => {
                    for (field, what) in mistakes {
                        wrong.push((vec!["queues", name, *protocol, *field], format!("{field}: {what}")));
                    }
                }
                given => {
                    let what = format!("found {} protocols, expected one such as nats", given.len());
                    wrong.push((vec!["queues", name], what));
                }
            }
        }
        wrong
    }
}

impl ControlQueue {
    /// The protocols that are given, by name, with what is wrong in their settings.
    fn protocols(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        let mut given = Vec::new();
        macro_rules! look {
            ($($protocol:ident),*) => {$(
                if let Some(config) = &self.$protocol {
                    given.push((stringify!($protocol), config.check()));
                }
            )*};
        }
        look!(nats, amqp, stomp, sqs);
        given
    }
}
