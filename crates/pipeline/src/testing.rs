//! What the tests of several parts use: numbered events, and a sink that does as it is told.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use attestry_event::{Batch, Border, ManualClock, Nanos};
use parking_lot::Mutex;

use crate::{Covered, Failure, Parcel, Pending, Refused, Sink};

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Nanos(1_800_000_000_000_000_000)))
}

/// Events whose ids are `e<number>`.
pub(crate) fn batch(numbers: impl IntoIterator<Item = u64>) -> Batch {
    let border = Border {
        event_source: "test",
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: true,
        now: Nanos(1_800_000_000_000_000_000),
    };
    let mut batch = Batch::with_seed([9; 32]);
    for number in numbers {
        // Now and then a large value, which stands beside its entry.
        let large = if number % 97 == 5 { "v".repeat(5_000) } else { String::new() };
        let json = format!(
            r#"{{"event_id":"e{number}","event_name":"thing.n{}","username":"u","event_data":{{"n":{number},"large":"{large}"}}}}"#,
            number % 10
        );
        batch.push_json(json.as_bytes(), &border).unwrap();
    }
    batch
}

/// The number of an event; none for those that nobody put, such as gaps.
pub(crate) fn number(parcel: &Parcel) -> Option<u64> {
    let event = parcel.event().unwrap();
    let number = event.event_id().strip_prefix('e')?.parse().ok()?;
    let large = usize::from(number % 97 == 5);
    let data = std::str::from_utf8(event.event_data().unwrap()).unwrap();
    assert!(data.starts_with(&format!("{{\"n\":{number},")), "{data}");
    assert_eq!(data.matches("$ref").count(), large);
    assert_eq!(parcel.values.iter().map(|value| value.content.len()).sum::<usize>(), 5_000 * large);
    Some(number)
}

pub(crate) fn numbers(parcels: &[Parcel]) -> Vec<u64> {
    parcels.iter().filter_map(number).collect()
}

/// Compares long lists and shows where they part.
#[track_caller]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T]) {
    if let Some(at) = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at)) {
        let around =
            |list: &[T]| format!("{:?}", list.iter().skip(at.saturating_sub(2)).take(6).collect::<Vec<_>>());
        panic!(
            "{} of {}, different from {at} on: {} instead of {}",
            found.len(),
            expected.len(),
            around(found),
            around(expected)
        );
    }
}

/// What the far side of a [`FakeSink`] has seen, and what it is to answer.
#[derive(Default)]
pub(crate) struct Far {
    pub(crate) parcels: Vec<Parcel>,
    pub(crate) covered: Vec<Covered>,
    pub(crate) deliveries: usize,
    /// Answers of the next deliveries; then everything is taken.
    pub(crate) answers: VecDeque<Answer>,
    /// The numbers of events that are refused whenever they come.
    pub(crate) refuses: BTreeSet<u64>,
    pub(crate) accounts: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Take,
    Fail(Failure),
    Hang,
    Panic,
}

pub(crate) struct FakeSink(pub(crate) Arc<Mutex<Far>>);

impl Sink for FakeSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(async move {
            let answer = {
                let mut far = self.0.lock();
                far.deliveries += 1;
                far.answers.pop_front().unwrap_or(Answer::Take)
            };
            match answer {
                Answer::Take => {}
                Answer::Hang => std::future::pending::<()>().await,
                Answer::Panic => panic!("the sink has a bug"),
                Answer::Fail(Failure::Again { delivered, reason, after }) => {
                    // What it would refuse it does not claim to have delivered.
                    let mut far = self.0.lock();
                    let is_wanted =
                        |parcel: &&Parcel| number(parcel).is_none_or(|n| !far.refuses.contains(&n));
                    let taken: Vec<Parcel> =
                        parcels.iter().take(delivered).take_while(is_wanted).cloned().collect();
                    let delivered = taken.len();
                    far.parcels.extend(taken);
                    return Err(Failure::Again { delivered, reason, after });
                }
                Answer::Fail(failure) => return Err(failure),
            }
            let mut far = self.0.lock();
            let mut refused = Vec::new();
            for (at, parcel) in parcels.iter().enumerate() {
                match number(parcel) {
                    Some(number) if far.refuses.contains(&number) => {
                        refused.push(Refused { at, reason: format!("no {number} here") });
                    }
                    _ => far.parcels.push(parcel.clone()),
                }
            }
            Ok(refused)
        })
    }

    fn accounts(&self) -> bool {
        self.0.lock().accounts
    }

    fn account(&mut self, covered: &[Covered]) {
        let mut far = self.0.lock();
        far.covered.extend_from_slice(covered);
    }
}
