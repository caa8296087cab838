//! Messages to people, reports and alerts are recorded: that they were taken, that they were refused, or that they do not get through.

use std::sync::Arc;

use attestry_event::{Event, Field, Outcome};
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};

use super::ground::Ground;

/// The event that a report is delivered by.
const REPORT: &str = "report.sent";

/// The beginning of the names of what becomes of an alert.
const ALERT: &str = "alert.";

/// Alerts that a record names; of more only the number is told.
const NAMED_MAX: usize = 100;

/// What of a sink's deliveries is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Everything: it goes to people.
    All,
    /// The reports and alerts among its events: it asks for them by name.
    Messages,
}

/// Deliveries that are recorded together.
struct Counted {
    events: usize,
    /// What they are, in words.
    what: &'static str,
    alerts: Vec<String>,
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
                self.sent(sent.into_iter().map(|(_, parcel)| parcel));
                if let Some(gone) = self.counted(gone.into_iter().map(|(_, parcel)| parcel)) {
                    let (events, what) = (gone.events, gone.what);
                    let why = refused.first().map_or("", |refused| &refused.reason);
                    let message = match self.recorded {
                        Recorded::All => {
                            format!("{} could not tell people of {events} {what}: {why}", self.name)
                        }
                        Recorded::Messages => format!("{} refused {events} {what}: {why}", self.name),
                    };
                    let event = Event::new("notice.failed", "-").outcome(Outcome::Failure).severity(3);
                    self.record(event.message(message).data("final", true), gone);
                }
            }
            Err(failure) => {
                let delivered = match failure {
                    Failure::Again { delivered, .. } => (*delivered).min(parcels.len()),
                    Failure::Halt { .. } => 0,
                };
                let (sent, held) = parcels.split_at(delivered);
                self.sent(sent.iter());
                let was_failing = std::mem::replace(&mut self.failing, true);
                if let Some(held) = self.counted(held.iter()).filter(|_| !was_failing) {
                    let (events, what) = (held.events, held.what);
                    let message = match self.recorded {
                        Recorded::All => {
                            format!("{} cannot tell people of {events} {what} now: {failure}", self.name)
                        }
                        Recorded::Messages => {
                            format!("{events} {what} do not get through to {} now: {failure}", self.name)
                        }
                    };
                    let event = Event::new("notice.failed", "-").outcome(Outcome::Failure).severity(4);
                    self.record(event.message(message).data("final", false), held);
                }
            }
        }
        result
    }

    fn sent<'a>(&self, parcels: impl Iterator<Item = &'a Parcel>) {
        let Some(sent) = self.counted(parcels) else { return };
        let (events, what) = (sent.events, sent.what);
        let message = match self.recorded {
            Recorded::All => format!("{} told people of {events} {what}", self.name),
            Recorded::Messages => format!("{} took {events} {what}", self.name),
        };
        let event = Event::new("notice.sent", "-").outcome(Outcome::Success).severity(6);
        self.record(event.message(message), sent);
    }

    /// What of these is to be recorded; none when nothing is.
    fn counted<'a>(&self, parcels: impl Iterator<Item = &'a Parcel>) -> Option<Counted> {
        let (mut events, mut reports, mut of_alerts) = (0, 0, 0);
        let mut alerts: Vec<String> = Vec::new();
        for parcel in parcels {
            let entry = parcel.event().ok();
            let name = entry.as_ref().map(|entry| entry.event_name()).unwrap_or_default();
            let (is_report, is_alert) = (name == REPORT, name.starts_with(ALERT));
            if self.recorded == Recorded::Messages && !is_report && !is_alert {
                continue;
            }
            events += 1;
            reports += usize::from(is_report);
            of_alerts += usize::from(is_alert);
            let alert = entry.as_ref().filter(|_| is_alert).and_then(|entry| entry.field(Field::Resource));
            if let Some(alert) = alert
                && alerts.len() < NAMED_MAX
                && !alerts.iter().any(|known| **known == *alert)
            {
                alerts.push(alert.into_owned());
            }
        }
        let what = match self.recorded {
            Recorded::Messages if reports == events => "reports",
            Recorded::Messages if of_alerts == events => "steps of alerts",
            _ => "events",
        };
        (events > 0).then_some(Counted { events, what, alerts })
    }

    fn record(&self, event: Event, counted: Counted) {
        let event = event.resource(self.name.as_str()).data("sink", self.name.as_str());
        let event = event.data("events", counted.events as u64).data("alerts", counted.alerts);
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
