//! A report as a message of its own, with the document and its signature attached as they are.

use attestry_pipeline::Parcel;
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment, Body, MultiPart, SinglePart};
use serde::Deserialize;

use super::{SinkConfig, builder};

/// The event that a report is delivered by.
const EVENT_NAME: &str = "report.sent";

/// How a detached OpenPGP signature is called (RFC 3156).
const SIGNATURE: &str = "application/pgp-signature";

/// What a message needs of the event.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    event_id: String,
    event_name: String,
    resource: String,
    event_data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    file: String,
    media_type: String,
    document: String,
    signature: Option<String>,
}

impl Report {
    /// The report that an event carries; none when it carries none.
    pub(super) fn of(parcel: &Parcel) -> Option<Report> {
        if parcel.event().ok()?.event_name() != EVENT_NAME {
            return None;
        }
        let mut json = Vec::with_capacity(parcel.bytes());
        parcel.write_json(&mut json).ok()?;
        // One that went into a folder has no document, and is told of in a line as other events are.
        serde_json::from_slice(&json).ok().filter(|report: &Report| report.event_name == EVENT_NAME)
    }

    pub(super) fn message(&self, config: &SinkConfig) -> Result<Message, String> {
        let Data { file, media_type, document, signature } = &self.event_data;
        let text =
            format!("The report {} is attached. To check it:\n\n  attestry verify {file}\n", self.resource);
        let mut parts = MultiPart::mixed()
            .singlepart(SinglePart::plain(text))
            .singlepart(attachment(file, media_type, document)?);
        if let Some(signature) = signature {
            parts = parts.singlepart(attachment(&format!("{file}.asc"), SIGNATURE, signature)?);
        }
        let subject = format!("Report {}: {file}", self.resource);
        builder(config, subject, &self.event_id, 1)?.multipart(parts).map_err(|error| error.to_string())
    }
}

/// In base64: whatever a mail server does to lines would break a signature.
fn attachment(name: &str, media_type: &str, content: &str) -> Result<SinglePart, String> {
    let media_type = ContentType::parse(media_type).map_err(|error| format!("{media_type:?}: {error}"))?;
    let body = Body::new_with_encoding(content.as_bytes().to_vec(), ContentTransferEncoding::Base64)
        .map_err(|_| "the document cannot be encoded".to_owned())?;
    Ok(Attachment::new(name.to_owned()).body(body, media_type))
}
