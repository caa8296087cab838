//! Which events a sink gets, and in what form.

use std::panic::{AssertUnwindSafe, catch_unwind};

use attestry_event::{Batch, Border, Entry, Methods};

use crate::Parcel;

/// What a condition or transform says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it as it is.
    Keep,
    /// Leave it out.
    Drop,
    /// Take this instead: the event as one JSON object, as a client sends it.
    Change(Vec<u8>),
    /// It could not be decided, and why: the event is put aside, not lost.
    Fail(String),
}

/// A condition or a transform of a sink. What panics has failed.
pub type SinkHook = Box<dyn Fn(&Parcel) -> Verdict + Send + Sync>;

/// What stands between a log and a sink.
#[derive(Default)]
pub struct Filter {
    /// Which event names; all of them when absent.
    pub methods: Option<Methods>,
    /// Conditions and transforms, asked in this order.
    pub hooks: Vec<SinkHook>,
}

/// What the filter made of an event.
#[derive(Debug)]
pub(crate) enum Passed {
    Kept(Parcel),
    Dropped,
    /// For the dead letters, and why.
    Failed(Parcel, String),
}

impl Filter {
    pub(crate) fn apply(&self, parcel: Parcel) -> Passed {
        if let Some(methods) = &self.methods {
            match parcel.event() {
                Ok(event) if methods.take(&event.event_name()) => {}
                Ok(_) => return Passed::Dropped,
                Err(error) => return Passed::Failed(parcel, error.to_string()),
            }
        }
        let mut parcel = parcel;
        for hook in &self.hooks {
            match ask(|| hook(&parcel)) {
                Verdict::Keep => {}
                Verdict::Drop => return Passed::Dropped,
                Verdict::Fail(reason) => return Passed::Failed(parcel, reason),
                Verdict::Change(json) => match changed(&parcel, &json) {
                    Ok(changed) => parcel = changed,
                    Err(reason) => return Passed::Failed(parcel, reason),
                },
            }
        }
        Passed::Kept(parcel)
    }
}

/// Asks a hook. Foreign code runs in there, so a panic is only its failure.
pub(crate) fn ask(hook: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|_| Verdict::Fail("it ended by a panic".to_owned()))
}

/// The parcel with another event in it.
fn changed(parcel: &Parcel, json: &[u8]) -> Result<Parcel, String> {
    let before = Entry::parse(&parcel.entry).map_err(|error| error.to_string())?;
    let source = before.event_source();
    let border = Border {
        event_source: &source,
        via: &[],
        lenient: true,
        reserved_names: true,
        // It was an event before, whoever sent it.
        agent: true,
        now: before.received_at(),
    };
    let mut batch = Batch::new();
    if let Err(problems) = batch.push_json(json, &border) {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(format!("what the transform made of it is no event: {}", problems.join("; ")));
    }
    batch.stamp(before.received_at());
    let Batch { bytes, values, .. } = batch;
    Ok(Parcel { entry: bytes.into(), values, ..parcel.clone() })
}

#[cfg(test)]
mod tests {
    use attestry_event::Nanos;

    use super::*;

    fn parcel(json: &str) -> Parcel {
        let border = Border {
            event_source: "s",
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: false,
            now: Nanos(1_800_000_000_000_000_000),
        };
        let mut batch = Batch::with_seed([1; 32]);
        batch.push_json(json.as_bytes(), &border).unwrap();
        batch.stamp(Nanos(1_800_000_000_000_000_001));
        let Batch { bytes, values, .. } = batch;
        Parcel { ledger: "audit".into(), number: 5, seq: Some(3), entry: bytes.into(), values }
    }

    fn check(filter: &Filter, json: &str, expected: &str) {
        let before = parcel(json);
        let made = match filter.apply(before.clone()) {
            Passed::Dropped => "dropped".to_owned(),
            Passed::Failed(parcel, reason) => {
                assert_eq!(parcel.entry, before.entry);
                format!("failed: {reason}")
            }
            Passed::Kept(parcel) => {
                assert_eq!((parcel.number, parcel.seq), (5, Some(3)));
                let (event, was) = (parcel.event().unwrap(), before.event().unwrap());
                assert_eq!(event.received_at(), was.received_at());
                assert_eq!(event.event_id(), was.event_id());
                assert_eq!(event.event_source(), was.event_source());
                format!("{} {}", event.event_name(), event.username())
            }
        };
        assert_eq!(made, expected, "{json}");
    }

    #[test]
    fn says_what_becomes_of_an_event() {
        let methods = Methods::new(&["a.all".to_owned()], &["a.quiet".to_owned()]).unwrap();
        let hook = |parcel: &Parcel| {
            let event = parcel.event().unwrap();
            match &*event.username() {
                "drop" => Verdict::Drop,
                "fail" => Verdict::Fail("no such path".to_owned()),
                "panic" => panic!("grok"),
                "change" => {
                    let mut json = Vec::new();
                    parcel.write_json(&mut json).unwrap();
                    let json = String::from_utf8(json).unwrap().replace("change", "changed");
                    Verdict::Change(json.into_bytes())
                }
                "spoil" => Verdict::Change(b"{}".to_vec()),
                _ => Verdict::Keep,
            }
        };
        let filter = Filter { methods: Some(methods), hooks: vec![Box::new(hook)] };
        for (name, username, expected) in [
            ("a.b", "alice", "a.b alice"),
            ("a.quiet", "alice", "dropped"),
            ("b.a", "panic", "dropped"),
            ("a.b", "drop", "dropped"),
            ("a.b", "fail", "failed: no such path"),
            ("a.b", "panic", "failed: it ended by a panic"),
            ("a.b", "change", "a.b changed"),
        ] {
            check(&filter, &format!(r#"{{"event_name":"{name}","username":"{username}"}}"#), expected);
        }
        let Passed::Failed(_, reason) = filter.apply(parcel(r#"{"event_name":"a.b","username":"spoil"}"#))
        else {
            panic!("no event is not passed on")
        };
        assert!(reason.contains("event_name: found nothing"), "{reason}");
    }
}
