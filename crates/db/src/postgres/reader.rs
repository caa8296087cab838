//! Reading tables.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use attestry_wire::sql::PostgresLogin;
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Row, SimpleQueryMessage};

use super::catalog::{self, Known};
use super::expression::{Statements, quoted};
use super::publication::Publication;
use super::session::{Session, login, value};
use super::snapshot;
use crate::cell::{Cell, MaskKey, decode_row};
use crate::change::Position;
use crate::config::WatchConfig;
use crate::database::{DbError, Digest, Finding, FoundTable, Reader, Scan};
use crate::table::{Key, Name, Table};

/// How long a look at a whole table may take.
const WHOLE_TABLE: Duration = Duration::from_secs(4 * 3_600);

const SERVER: &str = "
    SELECT system_identifier::text,
           ltrim(CASE WHEN pg_is_in_recovery() THEN (SELECT to_hex(timeline_id) FROM pg_control_checkpoint())
                      ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END, '0')
    FROM pg_control_system()";

/// A connection that reads tables, and another for what others want to know.
#[derive(Debug)]
pub struct PostgresReader {
    login: PostgresLogin,
    config: WatchConfig,
    /// What the slot and the publication are called.
    name: String,
    session: Option<Session>,
    /// For [`Reader::query`], so that it disturbs no view.
    questions: Option<Session>,
    /// Whether a view is open.
    viewing: bool,
    /// Whether the database's encoding is UTF-8.
    utf8: bool,
}

impl PostgresReader {
    /// A reader for the watch of this name. It connects when it is asked for something, and again after an error.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(watch: &str, config: &WatchConfig) -> Result<PostgresReader, DbError> {
        Ok(PostgresReader {
            login: login(config)?,
            config: config.clone(),
            name: slot_name(watch, config),
            session: None,
            questions: None,
            viewing: false,
            utf8: true,
        })
    }

    /// The session. What is open in one that was lost is lost with it: a view, too, and then its reader must hear of it.
    pub(super) async fn session(&mut self) -> Result<&mut Session, DbError> {
        let lost = self.session.as_ref().is_none_or(Session::is_closed);
        if lost && std::mem::take(&mut self.viewing) {
            self.session = None;
            return Err(DbError::Again(
                "the connection was lost, and the view of the database with it".to_owned(),
            ));
        }
        if lost {
            let mut session = Session::connect(&self.login, self.config.timeout.0).await?;
            let encoding = session.row("SELECT getdatabaseencoding()", &[]).await?;
            self.utf8 = value::<&str>(&encoding, 0)? == "UTF8";
            return Ok(self.session.insert(session));
        }
        self.session.as_mut().ok_or_else(|| DbError::Again("no connection".to_owned()))
    }

    async fn known(&mut self, config: &WatchConfig) -> Result<Vec<Known>, DbError> {
        let time = self.config.timeout.0;
        let session = self.session().await?;
        session.allow(time).await?;
        catalog::known(session, config).await
    }

    /// The rows of a statement over a table, with the time that it may take.
    async fn asked(
        &mut self,
        table: &Table,
        mask: &MaskKey,
        time: Duration,
        statement: impl FnOnce(&mut Statements<'_>) -> String,
    ) -> Result<Vec<Row>, DbError> {
        self.session().await?;
        let mut statements = Statements::new(table, mask, self.utf8);
        let sql = statement(&mut statements);
        let session = self.session().await?;
        session.allow(time).await?;
        session.rows(&sql, &statements.given.parameters()).await
    }

    pub(super) fn config(&self) -> &WatchConfig {
        &self.config
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What the slot and the publication of a watch are called: as configured, else made of its name. A slot's name has small letters, digits and
/// `_`, and at most 63 of them.
pub fn slot_name(watch: &str, config: &WatchConfig) -> String {
    let made = || {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        format!("attestry_{}", watch.chars().map(plain).collect::<String>())
    };
    config.slot.clone().unwrap_or_else(made).chars().take(63).collect()
}

fn cells(row: &Row) -> Result<Vec<Cell>, DbError> {
    decode_row(value(row, 0)?).map_err(|error| DbError::Refused(error.to_string()))
}

fn digest_of(row: &Row, at: usize, scan: Scan) -> Result<Digest, DbError> {
    let digest = value::<&[u8]>(row, at + 1)?.try_into();
    Ok(Digest {
        scan,
        rows: u64::try_from(value::<i64>(row, at)?).unwrap_or(0),
        digest: digest.map_err(|_| DbError::Refused("a digest of another length".to_owned()))?,
    })
}

impl Reader for PostgresReader {
    /// Which installation, and on which timeline: one that is restored to an earlier time, or a standby that takes over, begins a new one.
    async fn server(&mut self) -> Result<Option<String>, DbError> {
        let row = self.session().await?.row(SERVER, &[]).await?;
        Ok(Some(format!("postgresql {} timeline {}", value::<&str>(&row, 0)?, value::<&str>(&row, 1)?)))
    }

    async fn tables(&mut self, config: &WatchConfig) -> Result<Vec<FoundTable>, DbError> {
        let found = self.known(config).await?.into_iter();
        Ok(found
            .map(|known| FoundTable {
                unfit: match (known.readable, known.wrong_key) {
                    (true, wrong_key) => wrong_key,
                    (false, _) => Some("this role may not read it".to_owned()),
                },
                table: known.table,
            })
            .collect())
    }

    async fn left_out(&mut self, config: &WatchConfig) -> Result<BTreeMap<Name, String>, DbError> {
        let (known, name) = (self.known(config).await?, self.name.clone());
        let publication = Publication::read(self.session().await?, &name).await?;
        Ok(known
            .into_iter()
            .filter_map(|known| Some((known.table.name.clone(), publication.leaves_out(&name, &known)?)))
            .collect())
    }

    async fn check(&mut self, config: &WatchConfig) -> Result<Vec<Finding>, DbError> {
        let name = self.name.clone();
        super::check::findings(self.session().await?, config, &name).await
    }

    async fn position(&mut self) -> Result<Position, DbError> {
        let row = self.session().await?.row("SELECT pg_current_wal_insert_lsn()", &[]).await?;
        Ok(Position::Wal(value::<PgLsn>(&row, 0)?.into()))
    }

    async fn begin_snapshot(&mut self) -> Result<Position, DbError> {
        self.end_snapshot().await?;
        let mut helper = Session::connect(&self.login, snapshot::PATIENCE).await?;
        let (stream, name) = (self.config().stream, self.name().to_owned());
        let session = self.session().await?;
        let position = if stream {
            snapshot::exact(session, &mut helper, &name).await?
        } else {
            snapshot::begin(session).await?.1
        };
        self.viewing = true;
        Ok(Position::Wal(position))
    }

    async fn end_snapshot(&mut self) -> Result<(), DbError> {
        if std::mem::take(&mut self.viewing)
            && let Some(session) = self.session.as_ref().filter(|session| !session.is_closed())
        {
            session.run("COMMIT").await?;
        }
        Ok(())
    }

    async fn rows_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, DbError> {
        let time = self.config.timeout.0;
        let rows = self.asked(table, mask, time, |statements| statements.rows_after(after, limit)).await?;
        rows.iter().map(cells).collect()
    }

    async fn rows(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        scan: &Scan,
    ) -> Result<Vec<Vec<Cell>>, DbError> {
        match scan {
            Scan::Range { after, upto } => {
                let time = self.config.timeout.0;
                let statement =
                    |statements: &mut Statements<'_>| statements.rows_within(after.as_ref(), upto.as_ref());
                self.asked(table, mask, time, statement).await?.iter().map(cells).collect()
            }
            Scan::Bucket { bits, bucket } => self.rows_of_buckets(table, mask, *bits, &[*bucket]).await,
        }
    }

    async fn rows_of_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: &[u32],
    ) -> Result<Vec<Vec<Cell>>, DbError> {
        let statement = |statements: &mut Statements<'_>| statements.rows_of_buckets(bits, buckets);
        self.asked(table, mask, WHOLE_TABLE, statement).await?.iter().map(cells).collect()
    }

    async fn digest_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Digest, DbError> {
        let time = self.config.timeout.0;
        let rows = self.asked(table, mask, time, |statements| statements.digest_after(after, limit)).await?;
        let row = rows.first().ok_or_else(|| DbError::Again("no answer".to_owned()))?;
        let last: Option<&[u8]> = value(row, 2)?;
        let last = last.map(decode_row).transpose().map_err(|error| DbError::Refused(error.to_string()))?;
        let scan = Scan::Range { after: after.cloned(), upto: None };
        let mut digest = digest_of(row, 0, scan)?;
        if digest.rows >= u64::from(limit) {
            digest.scan = Scan::Range { after: after.cloned(), upto: last };
        }
        Ok(digest)
    }

    async fn digest_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: RangeInclusive<u32>,
    ) -> Result<Vec<Digest>, DbError> {
        let statement = |statements: &mut Statements<'_>| statements.digest_buckets(bits, &buckets);
        let rows = self.asked(table, mask, WHOLE_TABLE, statement).await?;
        rows.iter()
            .map(|row| {
                let bucket = u32::try_from(value::<i64>(row, 0)?).unwrap_or(0);
                digest_of(row, 1, Scan::Bucket { bits, bucket })
            })
            .collect()
    }

    async fn query(&mut self, sql: &str, time: Duration, limit: u32) -> Result<Vec<Vec<Cell>>, DbError> {
        let schema = quoted(catalog::schema(&self.config));
        if self.questions.as_ref().is_none_or(Session::is_closed) {
            self.questions = Some(Session::connect(&self.login, time).await?);
        }
        let Some(session) = self.questions.as_mut() else { return Ok(Vec::new()) };
        session.allow(time).await?;
        session.run(&format!("BEGIN READ ONLY; SET LOCAL search_path = {schema}, public")).await?;
        let answered = answered(session, sql, limit).await;
        let ended = session.run("ROLLBACK").await;
        if ended.is_err() {
            self.questions = None;
        }
        answered
    }
}

/// A cursor is of one SELECT, which changes nothing; and only as many of its rows are made as are fetched.
async fn answered(session: &mut Session, sql: &str, limit: u32) -> Result<Vec<Vec<Cell>>, DbError> {
    let sql = sql.trim().trim_end_matches(';');
    session.once(&format!("DECLARE asked NO SCROLL CURSOR FOR {sql}")).await?;
    let answers = session.texts(&format!("FETCH {limit} FROM asked")).await?;
    let rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.map(|row| (0..row.len()).map(|at| row.get(at).map_or(Cell::Null, Cell::of)).collect()).collect())
}
