//! From a recipe to a document.

use std::time::Duration;

use attestry_event::{Entry, Nanos};
use attestry_store::{Hit, Order, Query, Scope, SearchRequest, Stop};

use crate::body::{Body, Cite, InForce, Part};
use crate::figures::{self, Figures};
use crate::{Definition, Document, Error, Logs, Recipe, Section, Wish, definition, evidence, sections};

/// Events are read in pages of so many.
const PAGE: usize = 1_000;

/// How far the making of a report has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Sections that are done.
    pub done: usize,
    /// Sections there are, and the evidence.
    pub of: usize,
    /// What is being made.
    pub what: &'a str,
}

/// The recipe for a wish over the ledgers as they are now, and the notes of their checkpoints.
///
/// # Errors
/// [`Error::Refused`] for a wrong wish, [`Error::Behind`] when the ledgers are not signed or indexed within `patience`.
pub fn recipe_of(logs: &Logs, wish: &Wish, patience: Duration) -> Result<(Recipe, Vec<String>), Error> {
    // What is wrong with the wish is told before anybody waits.
    Recipe::new(wish, Vec::new())?;
    let (ledgers, notes) = logs.now(&wish.definition.ledgers, patience)?.into_iter().unzip();
    Ok((Recipe::new(wish, ledgers)?, notes))
}

/// Makes the report. `notes` are the signed checkpoints of the recipe's ledgers, in their order.
///
/// # Errors
/// See [`Error`]. A report is never made of less than the recipe says.
pub fn make(
    logs: &Logs,
    recipe: Recipe,
    notes: &[String],
    stop: &Stop,
    progress: &dyn Fn(&Progress<'_>),
) -> Result<Document, Error> {
    let body = body(logs, &recipe, stop, progress)?;
    let sections = recipe.definition.sections.len();
    progress(&Progress { done: sections, of: sections + 1, what: "proofs" });
    let evidence = evidence::of(logs, &recipe, notes, &body, stop)?;
    Ok(Document { attestry_report: crate::document::VERSION, recipe, body, evidence })
}

fn body(logs: &Logs, recipe: &Recipe, stop: &Stop, progress: &dyn Fn(&Progress<'_>)) -> Result<Body, Error> {
    let mut maker = Maker::new(logs, recipe, stop)?;
    let Definition { title, description, sections, .. } = &recipe.definition;
    if sections.iter().any(|section| !section.figures.is_empty()) {
        maker.figures = maker.figures()?;
    }
    let configurations = maker.in_force(
        "event_source:attestry (event_name:server.start OR event_name:config.reload)",
        &["event_data.config_sha256", "event_data.sha256"],
    )?;
    let rules = maker.in_force("event_source:attestry event_name:rules.load", &["event_data.version"])?;
    let mut parts = Vec::with_capacity(sections.len() + 1);
    let mut looked_at: Vec<String> = Vec::new();
    for (done, section) in sections.iter().enumerate() {
        progress(&Progress { done, of: sections.len() + 1, what: &section.title });
        let part = maker.part(section)?;
        // What looks at everything has what came late.
        if !section.since_ever && section.violations.is_none() {
            looked_at.extend(part.queries.iter().cloned());
        }
        parts.push(part);
    }
    looked_at.sort_unstable();
    looked_at.dedup();
    if let Some(previous) = &recipe.previous {
        parts.extend(sections::late::part(&maker, previous, &looked_at)?);
    }
    Ok(Body { title: maker.fill(title), description: maker.fill(description), configurations, rules, parts })
}

/// What all sections have in common.
pub(crate) struct Maker<'a> {
    pub(crate) logs: &'a Logs,
    pub(crate) recipe: &'a Recipe,
    pub(crate) figures: Figures,
    stop: &'a Stop,
    /// What belongs to the prefixes of the ledgers.
    prefix: Query,
    /// The definition's own query.
    own: Query,
}

impl<'a> Maker<'a> {
    fn new(logs: &'a Logs, recipe: &'a Recipe, stop: &'a Stop) -> Result<Maker<'a>, Error> {
        let prefixes: Vec<String> = recipe
            .ledgers
            .iter()
            .map(|at| format!("(_ledger:{} _index:[{} TO {}}})", at.name, at.first, at.size))
            .collect();
        let read = |text: &str| {
            definition::query(text, &recipe.parameters)
                .map_err(|what| Error::refused(format!("query: {what}")))
        };
        let (prefix, own) = (read(&prefixes.join(" OR "))?, read(&recipe.definition.query)?);
        Ok(Maker { logs, recipe, figures: Figures::new(), stop, prefix, own })
    }

    fn part(&self, section: &Section) -> Result<Part, Error> {
        let mut part = Part {
            title: self.fill(&section.title),
            notes: Vec::new(),
            queries: Vec::new(),
            content: Vec::new(),
        };
        if !section.note.is_empty() {
            part.notes.push(self.fill(&section.note));
        }
        if section.since_ever {
            part.notes.push("Looks at everything before the end of the window, however long ago.".to_owned());
        }
        sections::write(self, section, &mut part)?;
        Ok(part)
    }

    /// Puts parameters, figures and the window into a text.
    pub(crate) fn fill(&self, text: &str) -> String {
        definition::fill(text, |name| match name {
            "window.from" => Some(crate::cells::time(self.recipe.window.from)),
            "window.to" => Some(crate::cells::time(self.recipe.window.to)),
            name => match self.recipe.parameters.get(name) {
                Some(value) => Some(value.clone()),
                None => figures::single(&self.figures.get(name)?.1),
            },
        })
    }

    /// The events that a section looks at, of all that answer `text` too; notes the query in the part.
    pub(crate) fn scope(&self, section: &Section, text: &str, part: &mut Part) -> Result<Scope, Error> {
        let query = definition::query(text, &self.recipe.parameters)
            .map_err(|what| Error::refused(format!("query: {what}")))?;
        let query = self.own.and(&query);
        let shown = query.to_string();
        if !part.queries.contains(&shown) {
            part.queries.push(shown);
        }
        Ok(self.within(&query, !section.since_ever))
    }

    /// The events of the ledgers' prefixes that answer a query; in the window, or at any time before its end.
    pub(crate) fn within(&self, query: &Query, window: bool) -> Scope {
        Scope {
            query: self.prefix.and(query),
            ledgers: Some(self.recipe.ledgers.iter().map(|at| at.name.clone()).collect()),
            from: window.then_some(self.recipe.window.from),
            to: Some(self.recipe.window.to),
            stop: self.stop.clone(),
        }
    }

    /// Calls `f` with every event of a scope in order, until it says that it has enough.
    pub(crate) fn each(
        &self,
        scope: &Scope,
        order: Order,
        mut f: impl FnMut(&Hit, &Entry<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut request = SearchRequest { scope: scope.clone(), order, limit: PAGE, cursor: None };
        loop {
            let page = self.logs.store.search(&request)?;
            for hit in &page.hits {
                let entry = Entry::parse(&hit.entry).map_err(|source| {
                    Error::Search(attestry_store::Error::Entry {
                        ledger: hit.ledger.clone(),
                        index: hit.index,
                        source: source.into(),
                    })
                })?;
                if !f(hit, &entry)? {
                    return Ok(());
                }
            }
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// What the ledger says of the figures of this run: of each, its first event.
    fn figures(&self) -> Result<Figures, Error> {
        let query = definition::query(&figures::query_of(self.recipe), &self.recipe.parameters)
            .map_err(|what| Error::refused(format!("figures: {what}")))?;
        // They are taken when the report is made, which is after its window.
        let scope = Scope { to: None, ..self.within(&query, false) };
        let mut hits = Vec::new();
        self.each(&scope, Order::OldestFirst, |hit, _| {
            hits.push(hit.clone());
            Ok(true)
        })?;
        hits.sort_by(|one, other| (&one.ledger, one.index).cmp(&(&other.ledger, other.index)));
        let mut found = Figures::new();
        for hit in hits {
            if let Some((name, taken)) = figures::read(&self.logs.event(&hit)?["event_data"]) {
                found.entry(name).or_insert_with(|| (cite(&hit), taken));
            }
        }
        Ok(found)
    }

    /// What was in force during the window, of that which such events announce in one of these fields.
    fn in_force(&self, announced: &str, fields: &[&str]) -> Result<Vec<InForce>, Error> {
        let query = definition::query(announced, &self.recipe.parameters)
            .map_err(|what| Error::refused(format!("what was in force: {what}")))?;
        let scope = self.within(&query, false);
        let mut found: Vec<InForce> = Vec::new();
        self.each(&scope, Order::OldestFirst, |_, entry| {
            let version =
                fields.iter().map(|name| crate::cells::cell(entry, name)).find(|version| !version.is_empty());
            if let Some(version) = version
                && found.last().is_none_or(|last| last.version != version)
            {
                found.push(InForce { since: entry.event_time(), version });
            }
            Ok(true)
        })?;
        let from: Nanos = self.recipe.window.from;
        let before = found.iter().take_while(|of| of.since <= from).count();
        Ok(found.split_off(before.saturating_sub(1)))
    }
}

/// Where an event is.
pub(crate) fn cite(hit: &Hit) -> Cite {
    Cite { ledger: hit.ledger.to_string(), index: hit.index }
}
