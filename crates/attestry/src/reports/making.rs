//! Making a report, and making it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use attestry_report::{Document, Progress, Recipe, Replayed, Window, Wish, make, recipe_of, replay};
use attestry_store::Stop;

use super::made::made_id;
use super::{Desk, DeskError, Made, PATIENCE, WINDOW};

/// Documents that are kept in memory for whoever asks for them right after they were made.
const KEPT: usize = 4;

/// No more reports are made at once: the server makes two, the scheduler one, each with some searches before and after.
const MAKING: usize = 32;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) report: String,
    /// Without, the definition's window before `to`.
    pub(crate) from: Option<Nanos>,
    /// Without, now.
    pub(crate) to: Option<Nanos>,
    /// How much time before `to` it covers when there is no `from`. Without, as much as the definition says.
    pub(crate) window: Option<Duration>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) by: String,
    pub(crate) address: Option<String>,
    /// The schedule it is made for.
    pub(crate) schedule: Option<String>,
    /// When it was due; none when somebody asked for it.
    pub(crate) due: Option<Nanos>,
    /// What tells this run from all others, also after a crash. Without, nobody will ask for it again.
    pub(crate) run: Option<String>,
}

impl Desk {
    /// Makes a report, figures from outside first, and records it.
    pub(crate) fn run(
        &self,
        wanted: &Wanted,
        progress: &dyn Fn(&Progress<'_>),
    ) -> Result<(Made, Arc<Document>), DeskError> {
        let given = self.given();
        let kind = given.kinds.get(&wanted.report).ok_or_else(|| {
            let known: Vec<&str> = given.kinds.keys().map(String::as_str).collect();
            DeskError::Unknown(format!(
                "there is no report {:?}, there are {}",
                wanted.report,
                known.join(", ")
            ))
        })?;
        let now = self.clock.now();
        // A whole second reads better; with its end, what happened just now is in the window.
        let second = 1_000_000_000;
        let to =
            wanted.to.unwrap_or(Nanos(now.0.div_euclid(second).saturating_add(1).saturating_mul(second)));
        let window = wanted.window.or(kind.definition.window.map(|window| window.0)).unwrap_or(WINDOW);
        let from = wanted.from.unwrap_or_else(|| to.saturating_sub(window));
        let run = wanted.run.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let wish = Wish {
            definition: kind.definition.clone(),
            window: Window { from, to },
            parameters: wanted.parameters.clone(),
            run,
            previous: match (&wanted.schedule, wanted.due) {
                (Some(schedule), Some(due)) => self.previous(schedule, &wanted.report, due)?,
                _ => None,
            },
        };
        // A wrong wish asks nobody for figures.
        Recipe::new(&wish, Vec::new())?;
        self.take_figures(&given, &wish, &wanted.by, progress)?;
        let (recipe, notes) = recipe_of(&self.logs, &wish, PATIENCE)?;
        let document = Arc::new(make(&self.logs, recipe, &notes, &self.stop(), progress)?);
        let made = self.made_of(wanted, &document, now)?;
        let mut event = made.event();
        if let Some(address) = &wanted.address {
            event = event.source_ip_address(address.as_str());
        }
        self.record(event)?;
        self.keep(&made.event_id, &document);
        Ok((made, document))
    }

    fn made_of(&self, wanted: &Wanted, document: &Document, at: Nanos) -> Result<Made, DeskError> {
        let recipe = &document.recipe;
        let failed = |error: serde_json::Error| DeskError::Failed(error.to_string());
        Ok(Made {
            event_id: wanted.run.as_deref().map_or_else(|| recipe.run.clone(), made_id),
            report: recipe.name.clone(),
            title: document.body.title.clone(),
            by: wanted.by.clone(),
            at,
            from: recipe.window.from,
            to: recipe.window.to,
            run: recipe.run.clone(),
            schedule: wanted.schedule.clone(),
            due: wanted.due,
            body_sha256: document.body_sha256(),
            cited: document.evidence.iter().map(|of| of.events.len() as u64).sum(),
            recipe: serde_json::to_string(recipe).map_err(failed)?,
            checkpoints: document.notes(),
        })
    }

    fn keep(&self, event_id: &str, document: &Arc<Document>) {
        let mut kept = self.kept.lock();
        kept.retain(|(id, _)| id != event_id);
        kept.push_front((event_id.to_owned(), Arc::clone(document)));
        kept.truncate(KEPT);
    }

    /// A report that was made, made again from its recipe unless it is still at hand.
    pub(crate) fn document(&self, event_id: &str) -> Result<(Made, Arc<Document>), DeskError> {
        let made = self.find_made(event_id)?;
        let kept = self.kept.lock().iter().find(|(id, _)| id == event_id).map(|(_, found)| Arc::clone(found));
        if let Some(document) = kept {
            return Ok((made, document));
        }
        let recipe = made
            .recipe()
            .ok_or_else(|| DeskError::Failed(format!("the recipe in {event_id} cannot be read")))?;
        let document = make(&self.logs, recipe, &made.checkpoints, &self.stop(), &|_| {})?;
        if document.body_sha256() != made.body_sha256 {
            return Err(DeskError::Failed(format!(
                "made again, the report is another one than was recorded ({} instead of {}): the program was changed since, or entries it was made from are gone",
                document.body_sha256(),
                made.body_sha256
            )));
        }
        let document = Arc::new(document);
        self.keep(event_id, &document);
        Ok((made, document))
    }

    /// Makes a report again that somebody has a file of.
    pub(crate) fn replay(&self, text: &str, progress: &dyn Fn(&Progress<'_>)) -> Result<Replayed, DeskError> {
        Ok(replay(&self.logs, text, &self.stop(), progress)?)
    }

    pub(super) fn stop(&self) -> Stop {
        let stop = Stop::after(self.given().settings.timeout.0);
        let mut making = self.making.lock();
        making.push_back(stop.clone());
        let old = making.len().saturating_sub(MAKING);
        making.drain(..old);
        stop
    }

    /// Ends what is being made: the program stops.
    pub(super) fn end(&self) {
        self.making.lock().iter().for_each(Stop::cancel);
    }
}
