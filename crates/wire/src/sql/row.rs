//! An event as a row.

use attestry_event::{Entry, Field};
use attestry_pipeline::Parcel;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How many columns are filled from an event, in the order of [`super::schema::COLUMNS`].
pub(super) const COLUMN_COUNT: usize = 20;

/// An event's values, as text: what a database makes of them is said in the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Which of the parcels it is.
    pub(super) at: usize,
    /// In the order of the columns.
    pub(super) values: [Option<String>; COLUMN_COUNT],
}

#[derive(Deserialize)]
struct Whole<'a> {
    message: Option<String>,
    #[serde(borrow)]
    event_data: Option<&'a RawValue>,
}

impl Row {
    /// The reason is for people.
    pub(super) fn of(at: usize, parcel: &Parcel) -> Result<Row, String> {
        let event = parcel.event().map_err(|error| error.to_string())?;
        let (message, event_data) = if parcel.values.is_empty() {
            (
                text(&event, Field::Message),
                event.event_data().map(|data| String::from_utf8_lossy(data).into_owned()),
            )
        } else {
            // With its large values back in their places.
            let mut json = Vec::with_capacity(parcel.bytes());
            parcel.write_json(&mut json).map_err(|error| error.to_string())?;
            let whole: Whole<'_> = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
            (whole.message, whole.event_data.map(|data| data.get().to_owned()))
        };
        let values = [
            Some(parcel.ledger.to_string()),
            text(&event, Field::EventSource),
            text(&event, Field::EventId),
            text(&event, Field::EventTime),
            text(&event, Field::ReceivedAt),
            text(&event, Field::EventName),
            text(&event, Field::Username),
            text(&event, Field::Resource),
            event.raw(Field::Via).map(str::to_owned),
            text(&event, Field::SourceIpAddress),
            text(&event, Field::RequestId),
            Some(if event.read_only() { "1" } else { "0" }.to_owned()),
            text(&event, Field::Outcome),
            text(&event, Field::Severity),
            message,
            text(&event, Field::Host),
            text(&event, Field::Agent),
            text(&event, Field::AgentEpoch),
            text(&event, Field::AgentSeq),
            event_data,
        ];
        Ok(Row { at, values })
    }

    /// About what it takes in a statement.
    pub(super) fn bytes(&self) -> usize {
        let value = |value: &Option<String>| value.as_ref().map_or(0, String::len) + 8;
        self.values.iter().map(value).sum()
    }
}

fn text(event: &Entry<'_>, field: Field) -> Option<String> {
    event.field(field).map(std::borrow::Cow::into_owned)
}
