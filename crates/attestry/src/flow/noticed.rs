//! Messages to people are recorded: that they were sent, that they were refused, or that they do not get through.

use std::sync::Arc;

use attestry_event::{Event, Field, Outcome};
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};

use super::ground::Ground;

/// Alerts that a record names; of more only the number is told.
const NAMED_MAX: usize = 100;

/// A sink whose deliveries are recorded. Their records (`notice.*`) do not come to it: each would make another one.
pub(crate) struct Noticed {
    sink: Box<dyn Sink>,
    name: String,
    ground: Arc<Ground>,
    /// Whether the last delivery failed: what goes on failing is told once.
    failing: bool,
}

impl Noticed {
    pub(crate) fn new(sink: Box<dyn Sink>, name: &str, ground: Arc<Ground>) -> Noticed {
        Noticed { sink, name: name.to_owned(), ground, failing: false }
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let result = self.sink.deliver(parcels).await;
        match &result {
            Ok(refused) => {
                self.failing = false;
                let is_refused = |at: usize| refused.iter().any(|refused| refused.at == at);
                let (gone, sent): (Vec<_>, Vec<_>) =
                    parcels.iter().enumerate().partition(|(at, _)| is_refused(*at));
                let (sent, gone) = (alerts(sent), alerts(gone));
                if let Some((events, alerts)) = sent {
                    let message = format!("{} told people of {events} events", self.name);
                    let event = Event::new("notice.sent", "-").outcome(Outcome::Success).severity(6);
                    self.record(event.message(message), events, alerts);
                }
                if let Some((events, alerts)) = gone {
                    let why = refused.first().map_or("", |refused| &refused.reason);
                    let message = format!("{} could not tell people of {events} events: {why}", self.name);
                    let event = Event::new("notice.failed", "-").outcome(Outcome::Failure).severity(3);
                    self.record(event.message(message).data("final", true), events, alerts);
                }
            }
            Err(failure) if !self.failing => {
                self.failing = true;
                if let Some((events, alerts)) = alerts(parcels.iter().enumerate().collect()) {
                    let message =
                        format!("{} cannot tell people of {events} events now: {failure}", self.name);
                    let event = Event::new("notice.failed", "-").outcome(Outcome::Failure).severity(4);
                    self.record(event.message(message).data("final", false), events, alerts);
                }
            }
            Err(_) => {}
        }
        result
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
