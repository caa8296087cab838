//! The publication: which tables the stream carries.
//!
//! It names tables one by one and only such as have a replica identity. A table without one that is published for updates cannot be updated any
//! more: to publish a whole schema would break what works.

use std::collections::BTreeSet;

use super::catalog::Known;
use super::check::{error, sql_name, warning};
use super::expression::quoted;
use super::session::{Session, value};
use crate::database::{DbError, Finding};
use crate::table::Name;

/// What there is of a publication.
#[derive(Debug)]
pub(super) struct Publication {
    exists: bool,
    /// Whether inserts, updates, deletions and truncations are all published, each for the table itself and not for its parent.
    complete: bool,
    /// Its tables, of all their columns and rows.
    tables: BTreeSet<Name>,
}

const PUBLICATION: &str = "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND NOT pubviaroot FROM pg_publication WHERE pubname = $1";

/// Row filters and column lists came with version 15: `rowfilter` and `attnames` are then columns of this view.
const TABLES: &str = "SELECT schemaname, tablename, to_jsonb(t) ->> 'rowfilter' IS NULL, to_jsonb(t) ->> 'attnames',
           (SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = to_regclass(format('%I.%I', schemaname, tablename)) AND attnum > 0 AND NOT attisdropped AND attgenerated = '')::jsonb
               <@ coalesce(to_jsonb(t) -> 'attnames', '[]'::jsonb) OR to_jsonb(t) -> 'attnames' IS NULL
    FROM pg_publication_tables t WHERE pubname = $1";

impl Publication {
    /// What there is of this name.
    pub(super) async fn read(session: &mut Session, name: &str) -> Result<Publication, DbError> {
        let rows = session.rows(PUBLICATION, &[&name]).await?;
        let mut publication =
            Publication { exists: !rows.is_empty(), complete: true, tables: BTreeSet::new() };
        if let Some(row) = rows.first() {
            publication.complete = value(row, 0)?;
        }
        for row in session.rows(TABLES, &[&name]).await? {
            let whole = value::<bool>(&row, 2)? && value::<bool>(&row, 4)?;
            if whole {
                publication.tables.insert(Name { schema: value(&row, 0)?, table: value(&row, 1)? });
            }
        }
        Ok(publication)
    }

    /// Makes it publish all of these tables, as far as this role may.
    ///
    /// # Errors
    /// When it does not exist and may not be made, or somebody made it otherwise.
    pub(super) async fn complete(
        &self,
        session: &Session,
        name: &str,
        known: &[Known],
    ) -> Result<(), DbError> {
        match self.statement(name, known) {
            Some(statement) if !self.exists => return session.run(&statement).await,
            _ if !self.complete => {
                return Err(DbError::Refused(format!(
                    "the publication {name} leaves out changes, and was made by somebody else"
                )));
            }
            _ => {}
        }
        // One at a time: whose owner has to publish it is only compared until then, and the others are followed.
        for missing in self.missing(known) {
            let statement = format!("ALTER PUBLICATION {} ADD TABLE {}", quoted(name), sql_name(missing));
            match session.run(&statement).await {
                Err(DbError::Refused(why)) => {
                    tracing::warn!(publication = name, table = %missing.table.name, why, "a table cannot be published");
                }
                added => added?,
            }
        }
        Ok(())
    }

    /// Why a table's changes are not in it, if they are not.
    pub(super) fn leaves_out(&self, name: &str, known: &Known) -> Option<String> {
        if known.unlogged {
            return Some("an unlogged table is not in the server's log".to_owned());
        }
        if !known.is_streamed() {
            return Some("it has no replica identity".to_owned());
        }
        (!self.tables.contains(&known.table.name)).then(|| {
            format!(
                "its owner has to publish it: ALTER PUBLICATION {} ADD TABLE {};",
                quoted(name),
                sql_name(known)
            )
        })
    }

    /// The tables that it could carry and does not.
    fn missing<'a>(&self, known: &'a [Known]) -> impl Iterator<Item = &'a Known> {
        known.iter().filter(|known| known.is_streamed() && !self.tables.contains(&known.table.name))
    }

    /// The statement that makes it publish these tables, unless it does.
    fn statement(&self, name: &str, known: &[Known]) -> Option<String> {
        let missing: Vec<String> = self.missing(known).map(sql_name).collect();
        let (name, tables) = (quoted(name), missing.join(", "));
        match (self.exists, missing.is_empty()) {
            (true, true) => None,
            (true, false) => Some(format!("ALTER PUBLICATION {name} ADD TABLE {tables}")),
            (false, true) => Some(format!("CREATE PUBLICATION {name}")),
            (false, false) => Some(format!("CREATE PUBLICATION {name} FOR TABLE {tables}")),
        }
    }

    /// What is missing in it.
    pub(super) fn findings(&self, name: &str, known: &[Known]) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(statement) = self.statement(name, known) {
            let what = if self.exists { "lacks tables" } else { "does not exist yet" };
            found.push(Finding {
                remedy: Some(format!("{statement};")),
                opens: Some("a published table whose primary key is dropped afterwards refuses updates and deletions until it has another or is published no longer".to_owned()),
                ..warning("publication", format!("{name} {what}; it is made at the start if the role owns the tables and may CREATE in the database, otherwise their owner has to"))
            });
        }
        if !self.complete {
            found.push(Finding {
                remedy: Some(format!("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = false);", quoted(name))),
                ..error("publication", format!("{name} leaves out changes, or publishes partitions as their parent"))
            });
        }
        for known in
            known.iter().filter(|known| !known.is_streamed() && self.tables.contains(&known.table.name))
        {
            found.push(Finding {
                remedy: Some(format!("ALTER PUBLICATION {} DROP TABLE {};", quoted(name), sql_name(known))),
                ..error(
                    &known.table.name.to_string(),
                    format!("it is published by {name} and has no replica identity: its updates and deletions fail"),
                )
            });
        }
        found
    }
}
