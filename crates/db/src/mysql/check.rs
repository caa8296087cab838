//! What is missing, or more than is needed, to watch a database.

use super::expression::quoted;
use super::reader::log_status;
use super::session::{Server, Session};
use super::tables::{self, Found, text};
use crate::config::WatchConfig;
use crate::database::{DbError, Finding, Level};

/// Engines whose changes belong to transactions.
const TRANSACTIONAL: [&str; 3] = ["InnoDB", "ROCKSDB", "TokuDB"];

/// Privileges that let an auditor change what it audits.
const TOO_MUCH: [&str; 12] = [
    "ALL PRIVILEGES",
    "SUPER",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DROP",
    "ALTER",
    "CREATE",
    "FILE",
    "BINLOG ADMIN",
    "BINLOG_ADMIN",
    "GRANT OPTION",
];

pub(super) async fn check(session: &mut Session, config: &WatchConfig) -> Result<Vec<Finding>, DbError> {
    let server = session.server().await?;
    let account = account(session).await?;
    let grants = grants(session).await?;
    let mut findings = Vec::new();
    if config.stream {
        settings(session, server, &mut findings).await?;
        stream_privileges(session, server, &account, &grants, config, &mut findings).await?;
    }
    // Where the copy is shown the account has to write.
    let copy = config.copy_schema();
    let too_much: Vec<&str> = TOO_MUCH
        .into_iter()
        .filter(|name| grants.iter().any(|grant| grant.has(name) && !grant.is_on(copy)))
        .collect();
    if !too_much.is_empty() {
        findings.push(Finding {
            level: Level::Warning,
            subject: account.clone(),
            message: format!("this account may do more than an auditor needs: {}", too_much.join(", ")),
            remedy: Some("an account of its own, with the privileges that are asked for here".to_owned()),
            opens: Some(
                "whoever has its password can change the tables, or what is logged of them".to_owned(),
            ),
        });
    }
    let found = tables::find(session, config).await?;
    for found in &found {
        table(session, found, &account, &mut findings).await?;
    }
    let schema = config.schema.as_deref().unwrap_or(session.database()).to_owned();
    for (name, settings) in &config.tables {
        let is_pattern = name.contains(['*', '?']);
        let known = found.iter().any(|found| found.table.name.table == *name);
        if !is_pattern && !known && settings.watch != Some(false) {
            findings.push(Finding {
                level: Level::Error,
                subject: format!("{schema}.{name}"),
                message: "there is no such table, or this account may not see it".to_owned(),
                remedy: Some(grant_select(&schema, name, &account)),
                opens: None,
            });
        }
    }
    if found.is_empty() {
        findings.push(Finding {
            level: Level::Error,
            subject: schema,
            message: "no table of this database is watched".to_owned(),
            remedy: None,
            opens: None,
        });
    }
    findings.extend(crate::projection::findings(config).await?);
    Ok(findings)
}

/// A setting, what it must be, and what is said when it is not.
struct Setting {
    name: &'static str,
    wanted: fn(&str) -> bool,
    level: Level,
    why: &'static str,
    remedy: &'static str,
}

const SETTINGS: [Setting; 9] = [
    Setting {
        name: "log_bin",
        wanted: is_on,
        level: Level::Error,
        why: "there is no binary log, so no stream of changes",
        remedy: "log_bin in the server's configuration, and a restart",
    },
    Setting {
        name: "server_id",
        wanted: |value| value != "0",
        level: Level::Error,
        why: "a server without a number gives its log to nobody",
        remedy: "server_id = 1 in the server's configuration",
    },
    Setting {
        name: "binlog_format",
        wanted: |value| value.eq_ignore_ascii_case("ROW"),
        level: Level::Error,
        why: "only in the format ROW the log says which rows changed",
        remedy: "SET GLOBAL binlog_format = 'ROW', and binlog_format = ROW in the server's configuration",
    },
    Setting {
        name: "binlog_row_image",
        wanted: |value| value.eq_ignore_ascii_case("FULL"),
        level: Level::Error,
        why: "only with the image FULL the log has all columns of a changed row",
        remedy: "SET GLOBAL binlog_row_image = 'FULL', and binlog_row_image = FULL in the server's configuration",
    },
    Setting {
        name: "binlog_row_metadata",
        wanted: |value| value.eq_ignore_ascii_case("FULL"),
        level: Level::Warning,
        why: "without the names of columns in the log, columns of the same type that change places are not noticed in it",
        remedy: "SET GLOBAL binlog_row_metadata = 'FULL', and binlog_row_metadata = FULL in the server's configuration",
    },
    Setting {
        name: "log_bin_compress",
        wanted: is_off,
        level: Level::Error,
        why: "compressed events are not read here",
        remedy: "SET GLOBAL log_bin_compress = OFF",
    },
    Setting {
        name: "binlog_row_value_options",
        wanted: |value| !value.contains("PARTIAL_JSON"),
        level: Level::Error,
        why: "of a JSON column the log has only parts then",
        remedy: "SET GLOBAL binlog_row_value_options = ''",
    },
    Setting {
        name: "binlog_transaction_compression",
        wanted: is_off,
        level: Level::Error,
        why: "compressed transactions are not read here",
        remedy: "SET GLOBAL binlog_transaction_compression = OFF",
    },
    Setting {
        name: "sync_binlog",
        wanted: |value| value == "1",
        level: Level::Warning,
        why: "after a power failure tables may hold changes that the log has lost, and those would be unexplained",
        remedy: "SET GLOBAL sync_binlog = 1",
    },
];

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("ON") || value == "1"
}

fn is_off(value: &str) -> bool {
    !is_on(value)
}

async fn settings(session: &mut Session, server: Server, findings: &mut Vec<Finding>) -> Result<(), DbError> {
    let rows = session.rows("SHOW GLOBAL VARIABLES").await?;
    for setting in &SETTINGS {
        // A server that does not know a setting does not do what it is about.
        let Some(value) = rows.iter().find(|row| text(row, 0) == setting.name).map(|row| text(row, 1)) else {
            continue;
        };
        if !(setting.wanted)(&value) {
            findings.push(Finding {
                level: setting.level,
                subject: setting.name.to_owned(),
                message: format!("found {value:?}: {}", setting.why),
                remedy: Some(setting.remedy.to_owned()),
                opens: None,
            });
        }
    }
    let oldest = if server.mariadb { (10, 5, 0) } else { (8, 0, 0) };
    if server.version < oldest {
        findings.push(Finding {
            level: Level::Warning,
            subject: "version".to_owned(),
            message: "this is made for MariaDB from 10.5 and MySQL from 8.0 on".to_owned(),
            remedy: None,
            opens: None,
        });
    }
    Ok(())
}

/// The account as it is written in a GRANT.
async fn account(session: &mut Session) -> Result<String, DbError> {
    let row = session.first("SELECT CURRENT_USER()").await?.unwrap_or_default();
    let name = text(&row, 0);
    let (user, host) = name.rsplit_once('@').unwrap_or((&name, "%"));
    Ok(format!("{}@{}", quoted(user), quoted(host)))
}

/// A line of SHOW GRANTS.
struct Grant {
    privileges: Vec<String>,
    everywhere: bool,
    /// What they are on, as it is written.
    on: String,
}

impl Grant {
    fn is_on(&self, schema: Option<&str>) -> bool {
        // In a pattern of names `_` stands for any letter unless it is marked.
        schema.is_some_and(|schema| self.on.replace('\\', "") == format!("{}.*", quoted(schema)))
    }

    fn has(&self, name: &str) -> bool {
        self.privileges.iter().any(|known| known == name)
    }
}

async fn grants(session: &mut Session) -> Result<Vec<Grant>, DbError> {
    let rows = session.rows("SHOW GRANTS").await?;
    Ok(rows.iter().filter_map(|row| grant(&text(row, 0))).collect())
}

/// ``GRANT SELECT, REPLICATION SLAVE ON *.* TO `a`@`%` `` and so on; a line that grants a role is none.
fn grant(line: &str) -> Option<Grant> {
    let (privileges, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let mut privileges: Vec<String> = privileges.split(", ").map(str::to_owned).collect();
    if rest.contains("WITH GRANT OPTION") {
        privileges.push("GRANT OPTION".to_owned());
    }
    let on = rest.split_once(" TO ").map_or(rest, |(on, _)| on).to_owned();
    Some(Grant { privileges, everywhere: rest.starts_with("*.* TO "), on })
}

async fn stream_privileges(
    session: &mut Session,
    server: Server,
    account: &str,
    grants: &[Grant],
    config: &WatchConfig,
    findings: &mut Vec<Finding>,
) -> Result<(), DbError> {
    let granted = |name: &str| {
        let mut everywhere = grants.iter().filter(|grant| grant.everywhere);
        everywhere.any(|grant| grant.has(name) || grant.has("ALL PRIVILEGES"))
    };
    let follows = granted("REPLICATION SLAVE");
    findings.push(Finding {
        level: if follows { Level::Note } else { Level::Error },
        subject: "REPLICATION SLAVE".to_owned(),
        message: if follows { "granted" } else { "missing: the log cannot be followed" }.to_owned(),
        remedy: (!follows).then(|| format!("GRANT REPLICATION SLAVE ON *.* TO {account}")),
        opens: Some(
            "every change of every row of every database of this server can be read, not only of the watched tables".to_owned(),
        ),
    });
    // Tried rather than looked up: it has another name in every version, and may come by a role.
    let renamed = server.mariadb && server.version >= (10, 5, 2);
    let monitor = if renamed { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
    match log_status(session).await {
        Ok(status) => filtered(session, status.as_ref(), config, findings),
        Err(DbError::Refused(_)) => findings.push(Finding {
            level: Level::Error,
            subject: monitor.to_owned(),
            message: "missing: where the log ends cannot be asked".to_owned(),
            remedy: Some(format!("GRANT {monitor} ON *.* TO {account}")),
            opens: Some("the names, sizes and position of the server's logs can be read".to_owned()),
        }),
        Err(error) => return Err(error),
    }
    if !server.mariadb && !granted("RELOAD") {
        findings.push(Finding {
            level: Level::Error,
            subject: "RELOAD".to_owned(),
            message: "missing: a MySQL says where in its log a view is only while nobody commits (FLUSH TABLES WITH READ LOCK)"
                .to_owned(),
            remedy: Some(format!("GRANT RELOAD ON *.* TO {account}")),
            opens: Some("tables, logs and privileges can be flushed, and all writers be made to wait".to_owned()),
        });
    }
    Ok(())
}

/// Whether the server leaves the watched database out of its log.
fn filtered(
    session: &Session,
    status: Option<&Vec<Option<Vec<u8>>>>,
    config: &WatchConfig,
    findings: &mut Vec<Finding>,
) {
    let Some(status) = status else { return };
    let schema = config.schema.as_deref().unwrap_or(session.database());
    let (only, without) = (text(status, 2), text(status, 3));
    let names = |list: &str| list.split(',').any(|name| name == schema);
    if (!only.is_empty() && !names(&only)) || names(&without) {
        findings.push(Finding {
            level: Level::Error,
            subject: "binlog_do_db, binlog_ignore_db".to_owned(),
            message: format!("the server leaves {schema} out of its log"),
            remedy: Some("remove them from the server's configuration".to_owned()),
            opens: None,
        });
    }
}

async fn table(
    session: &mut Session,
    found: &Found,
    account: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), DbError> {
    let name = &found.table.name;
    let quoted_name = format!("{}.{}", quoted(&name.schema), quoted(&name.table));
    let mut say = |level, message: String, remedy: Option<String>| {
        findings.push(Finding { level, subject: name.to_string(), message, remedy, opens: None });
    };
    for reason in &found.unfit {
        say(Level::Error, reason.clone(), None);
    }
    if found.unfit.is_empty() && found.table.key.is_empty() {
        let named = format!("tables: {{{}: {{identify: {{columns: [...]}}}}}}, or a primary key", name.table);
        let message =
            "nothing tells its rows apart: it has neither a primary key nor a unique one without NULLs";
        say(Level::Error, message.to_owned(), Some(named));
    }
    if !TRANSACTIONAL.contains(&found.engine.as_str()) {
        let message = format!(
            "its engine, {}, has no transactions: the first copy is not of one moment, and what is rolled back may stay",
            found.engine
        );
        say(Level::Warning, message, Some(format!("ALTER TABLE {quoted_name} ENGINE = InnoDB")));
    }
    let columns: Vec<String> = found.table.columns.iter().map(|column| quoted(&column.name)).collect();
    match session.rows(&format!("SELECT {} FROM {quoted_name} LIMIT 0", columns.join(", "))).await {
        Ok(_) => Ok(()),
        Err(DbError::Refused(reason)) => {
            say(Level::Error, reason, Some(grant_select(&name.schema, &name.table, account)));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn grant_select(schema: &str, table: &str, account: &str) -> String {
    format!("GRANT SELECT ON {}.{} TO {account}", quoted(schema), quoted(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_grants() {
        let found =
            grant("GRANT SELECT, REPLICATION SLAVE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*AB'").unwrap();
        assert!(found.everywhere && found.has("REPLICATION SLAVE") && !found.has("ALL PRIVILEGES"));
        let found = grant("GRANT ALL PRIVILEGES ON `test`.* TO `a`@`%` WITH GRANT OPTION").unwrap();
        assert!(!found.everywhere && found.has("GRANT OPTION"));
        assert!(grant("GRANT `auditors` TO `a`@`%`").is_none());
    }
}
