//! What the server shows of reports, and lets people do.

use std::sync::atomic::Ordering;

use attestry_report::{Format, Planned, render};
use attestry_server::reports::{
    File, Kind, LedgerSize, Made as Shown, Order, Parameter, Replayed, ReportError, Reports, Scheduled,
};

use super::{Desk, DeskError, Made, Wanted};

impl From<DeskError> for ReportError {
    fn from(error: DeskError) -> ReportError {
        match error {
            DeskError::Refused(what) => ReportError::Refused(what),
            DeskError::Unknown(what) => ReportError::Unknown(what),
            DeskError::Report(error) if error.is_callers() => ReportError::Refused(told(error)),
            DeskError::Report(attestry_report::Error::Behind(what)) => ReportError::Unavailable(what),
            DeskError::Report(attestry_report::Error::Search(error)) => {
                ReportError::Unavailable(told(attestry_report::Error::Search(error)))
            }
            DeskError::Record(error) => ReportError::Unavailable(format!("{:#}", anyhow::Error::from(error))),
            other => ReportError::Failed(format!("{:#}", anyhow::Error::from(other))),
        }
    }
}

fn told(error: attestry_report::Error) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn shown(made: Made) -> Shown {
    // The recipe was written by this program; of one that cannot be read no ledgers are shown.
    let ledgers = made.recipe().map(|recipe| recipe.ledgers).unwrap_or_default();
    Shown {
        event_id: made.event_id,
        report: made.report,
        title: made.title,
        by: made.by,
        at: made.at,
        from: made.from,
        to: made.to,
        schedule: made.schedule,
        body_sha256: made.body_sha256,
        cited: made.cited,
        ledgers: ledgers
            .into_iter()
            .map(|at| LedgerSize { name: at.name, size: at.size, root: at.root })
            .collect(),
    }
}

impl Reports for Desk {
    fn kinds(&self) -> Vec<Kind> {
        let given = self.given();
        let kinds = given.kinds.values().map(|kind| {
            let of = &kind.definition;
            Kind {
                name: of.name.clone(),
                title: of.title.clone(),
                description: of.description.clone(),
                version: of.version,
                built_in: kind.built_in,
                window_s: of.window.map_or(super::WINDOW, |window| window.0).as_secs(),
                ledgers: of.ledgers.clone(),
                parameters: of
                    .parameters
                    .iter()
                    .map(|(name, of)| Parameter {
                        name: name.clone(),
                        description: of.description.clone(),
                        default: of.default.clone(),
                    })
                    .collect(),
                asks_outside: of.sections.iter().any(|section| !section.figures.is_empty()),
            }
        });
        kinds.collect()
    }

    fn run(&self, order: &Order) -> Result<Shown, ReportError> {
        let wanted = Wanted {
            report: order.report.clone(),
            from: order.from,
            to: order.to,
            parameters: order.parameters.clone(),
            by: order.by.clone(),
            address: Some(order.address.clone()),
            ..Wanted::default()
        };
        let (made, _) = Desk::run(self, &wanted, &|_| {})?;
        Ok(shown(made))
    }

    fn history(&self, limit: usize) -> Result<(Vec<Shown>, bool), ReportError> {
        let (made, more) = Desk::history(self, limit)?;
        Ok((made.into_iter().map(shown).collect(), more))
    }

    fn file(&self, event_id: &str, format: &str) -> Result<File, ReportError> {
        let format: Format = format.parse().map_err(DeskError::from)?;
        let (made, document) = self.document(event_id)?;
        let text = render(&document, format).map_err(DeskError::from)?;
        Ok(File {
            name: format!("{}.{}", made.file_stem(), format.ending()),
            media_type: format.media_type(),
            is_page: format == Format::Html,
            text,
        })
    }

    fn replay(&self, text: &str) -> Result<Replayed, ReportError> {
        let done = Desk::replay(self, text, &|_| {})?;
        Ok(Replayed { same: done.same, difference: done.difference, notes: done.notes })
    }

    fn schedules(&self) -> Result<Vec<Scheduled>, ReportError> {
        let now = self.clock.now();
        let mut all = Vec::new();
        for (name, held) in Desk::schedules(self)? {
            let next = held.schedule().ok().and_then(|schedule| schedule.next(now));
            let last = self.last_due(&name, &held)?;
            let planned = serde_json::to_value(&held.planned).unwrap_or_default();
            all.push(Scheduled {
                name,
                planned,
                by: held.by,
                configured: held.configured,
                since: held.since,
                next,
                last,
            });
        }
        Ok(all)
    }

    fn schedule(&self, name: &str, planned: &serde_json::Value, by: &str) -> Result<(), ReportError> {
        let planned: Planned = serde_json::from_value(planned.clone())
            .map_err(|error| ReportError::Refused(error.to_string()))?;
        Desk::schedule(self, name, &planned, by)?;
        self.changed.store(true, Ordering::Release);
        Ok(())
    }

    fn unschedule(&self, name: &str, by: &str) -> Result<(), ReportError> {
        Desk::unschedule(self, name, by)?;
        self.changed.store(true, Ordering::Release);
        Ok(())
    }
}
