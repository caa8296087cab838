//! Messages to people, and reports, are recorded: that they were taken, that they were refused, or that they do not get through.

use std::sync::Arc;

use attestry_event::{Event, Field, Outcome};
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};

use super::ground::Ground;

/// The event that a report is delivered by.
const REPORT: &str = "report.sent";

/// Alerts that a record names; of more only the number is told.
const NAMED_MAX: usize = 100;

/// What of a sink's deliveries is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Everything: it goes to people.
    All,
    /// The reports among its events.
    Reports,
}

/// A sink whose deliveries are recorded. Their records (`notice.*`) do not come to it: each would make another one.
pub(crate) struct Noticed {
    sink: Box<dyn Sink>,
    name: String,
    ground: Arc<Ground>,
    recorded: Recorded,
    /// Whether the last delivery failed: what goes on failing is told once.
    failing: bool,
}

impl Noticed {
    pub(crate) fn new(sink: Box<dyn Sink>, name: &str, ground: Arc<Ground>, recorded: Recorded) -> Noticed {
        Noticed { sink, name: name.to_owned(), ground, recorded, failing: false }
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let result = self.sink.deliver(parcels).await;
        match &result {
            Ok(refused) => {
                self.failing = false;
                let is_refused = |at: usize| refused.iter().any(|refused| refused.at == at);
                let (gone, sent): (Vec<_>, Vec<_>) =
                    parcels.iter().enumerate().partition(|(at, _)| is_refused(*at));
                let (sent, gone) = (self.counted(sent), self.counted(gone));
                if let Some((events, alerts)) = sent {
                    let message = match self.recorded {
                        Recorded::All => format!("{} told people of {events} events", self.name),
                        Recorded::Reports => format!("{} took {events} reports", self.name),
                    };
                    let event = Event::new("notice.sent", "-").outcome(Outcome::Success).severity(6);
                    self.record(event.message(message), events, alerts);
                }
                if let Some((events, alerts)) = gone {
                    let why = refused.first().map_or("", |refused| &refused.reason);
                    let message = match self.recorded {
                        Recorded::All => {
                            format!("{} could not tell people of {events} events: {why}", self.name)
                        }
                        Recorded::Reports => format!("{} refused {events} reports: {why}", self.name),
                    };
                    let event = Event::new("notice.failed", "-").outcome(Outcome::Failure).severity(3);
                    self.record(event.message(message).data("final", true), events, alerts);
                }
            }
            Err(failure) if !self.failing => {
                self.failing = true;
                if let Some((events, alerts)) = self.counted(parcels.iter().enumerate().collect()) {
                    let message = match self.recorded {
                        Recorded::All => {
                            format!("{} cannot tell people of {events} events now: {failure}", self.name)
                        }
                        Recorded::Reports => {
                            format!("{events} reports do not get through to {} now: {failure}", self.name)
                        }
                    };
                    let event = Event::new("notice.failed", "-").outcome(Outcome::Failure).severity(4);
                    self.record(event.message(message).data("final", false), events, alerts);
                }
            }
            Err(_) => {}
        }
        result
    }

    /// How many of these are to be recorded, and which alerts they are about; none when there are none.
    fn counted(&self, mut parcels: Vec<(usize, &Parcel)>) -> Option<(usize, Vec<String>)> {
        if self.recorded == Recorded::Reports {
            let is_report = |parcel: &Parcel| parcel.event().is_ok_and(|entry| entry.event_name() == REPORT);
            parcels.retain(|(_, parcel)| is_report(parcel));
        }
        alerts(parcels)
    }

    fn record(&self, event: Event, events: usize, alerts: Vec<String>) {
        let event = event.resource(self.name.as_str()).data("sink", self.name.as_str());
        let event = event.data("events", events as u64).data("alerts", alerts);
        let ground = Arc::clone(&self.ground);
        // Recording waits for the ledger.
        tokio::task::spawn_blocking(move || ground.declare(event));
    }
}

impl Sink for Noticed {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }
}

/// How many events these are and which alerts they are about; none when there are none.
fn alerts(parcels: Vec<(usize, &Parcel)>) -> Option<(usize, Vec<String>)> {
    let mut named: Vec<String> = Vec::new();
    for (_, parcel) in &parcels {
        let Ok(entry) = parcel.event() else { continue };
        let alert = entry.field(Field::Resource).filter(|_| entry.event_name().starts_with("alert."));
        if let Some(alert) = alert
            && named.len() < NAMED_MAX
            && !named.iter().any(|known| **known == *alert)
        {
            named.push(alert.into_owned());
        }
    }
    (!parcels.is_empty()).then_some((parcels.len(), named))
}
