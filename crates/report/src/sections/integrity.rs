//! The ledgers' trees, as they were when the report was made.

use attestry_store::Query;

use crate::Error;
use crate::body::{Content, Part, Table};
use crate::make::Maker;

pub(super) fn write(maker: &Maker<'_>, part: &mut Part) -> Result<(), Error> {
    let mut table = Table::new(&[
        "ledger",
        "#entries",
        "#pruned",
        "#received in the window",
        "root over all entries",
        "origin",
    ]);
    let window = maker.recipe.window;
    for at in &maker.recipe.ledgers {
        let text = format!("_ledger:{} received_at:[{} TO {}}}", at.name, window.from, window.to);
        let query = Query::parse(&text).map_err(|error| Error::refused(error.message))?;
        // By the time of receipt: an event that tells of an earlier time was received in the window all the same.
        let mut scope = maker.within(&query, false);
        scope.to = None;
        let received = maker.logs.store.count(&scope)?.count;
        let cells = [
            at.name.clone(),
            at.size.to_string(),
            at.first.to_string(),
            received.to_string(),
            at.root.clone(),
            at.origin.clone(),
        ];
        table.row(cells, None);
    }
    part.notes.push(
        "Size and root are those of the signed checkpoints at the end of this report. Whoever kept an earlier checkpoint can have the log prove that it only grew since (attestry verify --pin)."
            .to_owned(),
    );
    part.content.push(Content::Table(table));
    Ok(())
}
