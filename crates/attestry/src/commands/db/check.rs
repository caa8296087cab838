//! `attestry db check`: what a watch will do, and what is missing for it.

use std::io::{self, Write};

use anyhow::{Result, bail};
use attestry_db::mysql::MysqlReader;
use attestry_db::postgres::PostgresReader;
use attestry_db::{DbError, Engine, Finding, Level, Reader, Table, TableRules, WatchConfig};
use attestry_openpgp::Gpg;

use crate::config::Config;
use crate::terminal::{Look, escape, paint};

/// What was found of one database.
struct Found {
    tables: Vec<Table>,
    findings: Vec<Finding>,
}

/// Looks at the databases that the configuration names, or at one of them; fails when one cannot be watched as it is.
pub(super) fn check(config: &Config, only: Option<&str>) -> Result<()> {
    let audit = &config.written.audit;
    if let Some(name) = only
        && !audit.contains_key(name)
    {
        let known = audit.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        bail!("the configuration has no audit {name:?}, it has: {known}");
    }
    if audit.is_empty() {
        bail!(
            "the configuration names no database to watch. Such lines would do:\n\n\
             audit:\n  bank:\n    url: mysql://auditor@127.0.0.1:3306/bank\n    password: {{file: /etc/attestry/bank.password}}\n"
        );
    }
    let gpg = Gpg::new(&config.written.openpgp);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = io::stdout().lock();
    let mut wrong = 0;
    let wanted = audit.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    for (at, (name, watch)) in wanted.enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}  {}", paint(name, Look::Bold), escape(&watch.url))?;
        let well = match runtime.block_on(look(name, watch)) {
            Ok(found) => tell(watch, &found, &mut out)?,
            Err(error) => {
                writeln!(out, "  {}", paint(&escape(&error.to_string()), Look::Bad))?;
                false
            }
        };
        let snapshots = tell_findings(&attestry_db::snapshot::check(watch, &gpg), &mut out)?;
        wrong += usize::from(!well || !snapshots);
    }
    if wrong > 0 {
        bail!("{wrong} of the databases cannot be watched, or their snapshots not be made, as they are");
    }
    Ok(())
}

async fn look(name: &str, watch: &WatchConfig) -> Result<Found, DbError> {
    match watch.engine() {
        Some(Engine::Mysql) => ask(MysqlReader::new(watch)?, watch).await,
        Some(Engine::Postgres) => ask(PostgresReader::new(name, watch)?, watch).await,
        // A checked configuration has one of them.
        None => Err(DbError::Refused("its address is none that is known".to_owned())),
    }
}

async fn ask(mut reader: impl Reader, watch: &WatchConfig) -> Result<Found, DbError> {
    let findings = reader.check(watch).await?;
    // Without the privilege to see the tables there may be none; the finding that says so comes first.
    let tables = reader.tables(watch).await?.into_iter().map(|found| found.table).collect();
    Ok(Found { tables, findings })
}

/// Tells it; whether it can be watched.
fn tell(watch: &WatchConfig, found: &Found, out: &mut impl Write) -> Result<bool> {
    let mut well = true;
    let how = match watch.stream {
        true => format!(
            "follows the change stream, and compares all tables every {} at most",
            watch.reconcile.every
        ),
        false => {
            format!("compares all tables every {}: what comes and goes in between is not seen", watch.sleep)
        }
    };
    writeln!(out, "  {how}, {} rows a second", watch.reconcile.rows_per_second)?;
    if found.tables.is_empty() {
        well = false;
        writeln!(
            out,
            "  {}",
            paint("there is no table to watch: are the names right, and may the user see them?", Look::Bad)
        )?;
    }
    for table in &found.tables {
        well &= tell_table(watch, table, out)?;
    }
    Ok(tell_findings(&found.findings, out)? && well)
}

/// Tells what was found, with what mends it; whether it works like this.
fn tell_findings(findings: &[Finding], out: &mut impl Write) -> Result<bool> {
    let mut well = true;
    for finding in findings {
        let look = match finding.level {
            Level::Error => Look::Bad,
            Level::Warning => Look::Bold,
            Level::Note => Look::Dim,
        };
        well &= finding.level < Level::Error;
        let level = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Note => "note",
        };
        writeln!(out, "  {} {}: {}", paint(level, look), escape(&finding.subject), escape(&finding.message))?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "    {}", escape(remedy))?;
        }
        if let Some(opens) = &finding.opens {
            writeln!(out, "    {}", paint(&format!("beyond the need: {}", escape(opens)), Look::Dim))?;
        }
    }
    Ok(well)
}

/// A table's line, and what is wrong with its rules.
fn tell_table(watch: &WatchConfig, table: &Table, out: &mut impl Write) -> Result<bool> {
    let columns = |of: &mut dyn Iterator<Item = &str>| of.map(escape).collect::<Vec<_>>().join(", ");
    let key = columns(&mut table.key.iter().filter_map(|at| Some(table.columns.get(*at)?.name.as_str())));
    let masked =
        columns(&mut table.columns.iter().filter(|column| column.masked).map(|column| column.name.as_str()));
    let mut line =
        format!("  {}: {} columns, by {key}", escape(&table.name.to_string()), table.columns.len());
    if table.key.is_empty() {
        line = format!("  {}: nothing tells its rows apart", escape(&table.name.to_string()));
    }
    if !masked.is_empty() {
        line.push_str(&format!(", masked: {masked}"));
    }
    writeln!(out, "{line}")?;
    match TableRules::compile(watch, table) {
        Ok(_) => Ok(true),
        Err(errors) => {
            for error in errors {
                writeln!(out, "    {} {}", paint("error", Look::Bad), escape(&error.to_string()))?;
            }
            Ok(false)
        }
    }
}
