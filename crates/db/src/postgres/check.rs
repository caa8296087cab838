//! What is missing or too much on a server, with the statement that mends it and what that opens.

use attestry_wire::sql::PostgresLogin;

use super::catalog::{self, Identity, Known};
use super::expression::quoted;
use super::publication::Publication;
use super::replication;
use super::session::{Session, login, value};
use crate::config::WatchConfig;
use crate::database::{DbError, Finding, Level};

/// The first version that can limit what a slot keeps.
const FIRST_VERSION: i32 = 130_000;

const SERVER: &str = "
    SELECT current_setting('server_version_num')::int4, current_setting('server_version'), getdatabaseencoding(), pg_is_in_recovery(),
           current_setting('wal_level'), current_setting('max_replication_slots')::int8, (SELECT count(*) FROM pg_replication_slots),
           EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1),
           (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
           r.rolreplication, r.rolsuper, current_user::text, to_regnamespace(quote_ident($2)) IS NOT NULL,
           coalesce(has_schema_privilege(to_regnamespace(quote_ident($2)), 'USAGE'), false),
           current_setting('max_wal_senders')::int8, (SELECT count(*) FROM pg_stat_replication),
           EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IN (SELECT pid FROM pg_stat_replication))
    FROM pg_roles r WHERE r.rolname = current_user";

/// What is missing or too much.
pub(super) async fn findings(
    session: &mut Session,
    config: &WatchConfig,
    name: &str,
) -> Result<Vec<Finding>, DbError> {
    let schema = catalog::schema(config);
    let server = session.row(SERVER, &[&name, &schema]).await?;
    let user = quoted(value::<&str>(&server, 11)?);
    let mut found = Vec::new();
    if value::<i32>(&server, 0)? < FIRST_VERSION {
        let version: &str = value(&server, 1)?;
        found.push(error(
            "version",
            format!(
                "found {version}, expected 13 or later: before, nothing limits what a slot keeps of the log"
            ),
        ));
        return Ok(found);
    }
    let encoding: &str = value(&server, 2)?;
    if matches!(encoding, "SQL_ASCII" | "MULE_INTERNAL") {
        found.push(error(
            "encoding",
            format!(
                "the database's encoding is {encoding}, in which nobody knows which characters its bytes are"
            ),
        ));
    }
    if value::<bool>(&server, 10)? {
        found.push(Finding {
            remedy: Some(format!("CREATE ROLE attestry LOGIN REPLICATION; GRANT USAGE ON SCHEMA {} TO attestry; GRANT SELECT ON ALL TABLES IN SCHEMA {} TO attestry;", quoted(schema), quoted(schema))),
            ..warning("role", format!("{user} is a superuser, which is much more than is needed"))
        });
    }
    let exists: bool = value(&server, 12)?;
    if !exists {
        found.push(error("schema", format!("there is no schema {schema:?} in this database")));
        return Ok(found);
    }
    if !value::<bool>(&server, 13)? {
        found.push(Finding {
            remedy: Some(format!("GRANT USAGE ON SCHEMA {} TO {user};", quoted(schema))),
            opens: Some(
                "whoever is this role may name what is in the schema; to read it takes more".to_owned(),
            ),
            ..error("schema", format!("{user} may not use the schema {schema:?}"))
        });
    }
    if config.stream {
        stream(&server, config, name, &user, &mut found)?;
        pushed(&server, &login(config)?, &mut found).await?;
    }
    let known = catalog::known(session, config).await?;
    if known.is_empty() {
        found.push(error(
            "tables",
            format!("the configuration names no table that is in the schema {schema:?}"),
        ));
    }
    for known in &known {
        table(known, config, &user, &mut found);
    }
    if config.stream {
        let publication = Publication::read(session, name).await?;
        found.extend(publication.findings(name, &known));
    }
    found.extend(crate::projection::findings(config).await?);
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Ok(found)
}

/// Settings and privileges that following the stream takes.
fn stream(
    server: &tokio_postgres::Row,
    config: &WatchConfig,
    name: &str,
    user: &str,
    found: &mut Vec<Finding>,
) -> Result<(), DbError> {
    if value::<bool>(server, 3)? {
        found.push(error("server", "it is a standby; the stream is followed on the primary".to_owned()));
    }
    let level: &str = value(server, 4)?;
    if level != "logical" {
        found.push(Finding {
            remedy: Some("ALTER SYSTEM SET wal_level = logical; -- and restart the server".to_owned()),
            opens: Some(
                "the log grows somewhat: updates and deletions of tables note the key of the row".to_owned(),
            ),
            ..error("wal_level", format!("found {level}, expected logical"))
        });
    }
    let (most, taken): (i64, i64) = (value(server, 5)?, value(server, 6)?);
    let needed = if value::<bool>(server, 7)? { 1 } else { 2 };
    if taken + needed > most {
        let enough = taken + needed;
        found.push(Finding {
            remedy: Some(format!(
                "ALTER SYSTEM SET max_replication_slots = {enough}; -- and restart the server"
            )),
            ..error(
                "max_replication_slots",
                format!(
                    "{taken} of {most} are taken; a watch needs one, and a second for a moment to begin with"
                ),
            )
        });
    }
    let keep: Option<i64> = value(server, 8)?;
    let wanted = config.slot_mib.saturating_mul(2);
    if keep.is_none_or(|keep| keep < 0) {
        found.push(Finding {
            remedy: Some(format!("ALTER SYSTEM SET max_slot_wal_keep_size = '{wanted}MB'; SELECT pg_reload_conf();")),
            opens: Some("a replica of this server whose slot lags by more than that is lost, too, and has to be made again".to_owned()),
            ..error("max_slot_wal_keep_size", format!("nothing limits what a slot keeps of the log: when nobody follows {name} for long, the server's disk fills. While Attestry runs, it gives its slot up at {} MiB; this setting holds when it does not run", config.slot_mib))
        });
    }
    if !value::<bool>(server, 9)? && !value::<bool>(server, 10)? {
        found.push(Finding {
            remedy: Some(format!("ALTER ROLE {user} REPLICATION;")),
            opens: Some("the role may decode the changes of every table of this database whatever it may SELECT, make and drop slots, and, where pg_hba.conf has a line for `replication`, copy the whole server".to_owned()),
            ..error("role", format!("{user} has not the attribute REPLICATION"))
        });
    }
    Ok(())
}

/// Whether the server would send its changes as they are committed. Otherwise they are polled.
async fn pushed(
    server: &tokio_postgres::Row,
    login: &PostgresLogin,
    found: &mut Vec<Finding>,
) -> Result<(), DbError> {
    const POLLED: &str = "so the changes are polled: up to about 4 s late when there are 20,000 a second";
    if !value::<bool>(server, 9)? && !value::<bool>(server, 10)? {
        return Ok(());
    }
    let (most, taken): (i64, i64) = (value(server, 14)?, value(server, 15)?);
    if taken >= most && !value::<bool>(server, 16)? {
        found.push(Finding {
            remedy: Some(format!(
                "ALTER SYSTEM SET max_wal_senders = {}; -- and restart the server",
                taken + 1
            )),
            opens: Some("one more process of the server, while it sends".to_owned()),
            ..warning("max_wal_senders", format!("{taken} of {most} are taken, {POLLED}"))
        });
    } else if let Err(said) = replication::try_in(login).await {
        found.push(warning(
            "replication",
            format!("what answers does not let us replicate, {POLLED}: {}", said.error),
        ));
    }
    Ok(())
}

fn table(known: &Known, config: &WatchConfig, user: &str, found: &mut Vec<Finding>) {
    let name = known.table.name.to_string();
    let sql = sql_name(known);
    if !known.readable {
        found.push(Finding {
            remedy: Some(format!("GRANT SELECT ON {sql} TO {user};")),
            opens: Some(
                "whoever is this role may read all columns, those that are masked here as well".to_owned(),
            ),
            ..error(&name, format!("{user} may not read it"))
        });
    }
    if known.hides_rows {
        found.push(Finding {
            remedy: Some(format!("ALTER ROLE {user} BYPASSRLS;")),
            opens: Some("no policy of any table hides rows from this role any more".to_owned()),
            ..error(&name, "policies hide rows of it from this role".to_owned())
        });
    }
    if let Some(why) = &known.wrong_key {
        found.push(error(&name, format!("`identify` does not fit: {why}")));
    } else if known.table.key.is_empty() {
        found.push(Finding {
            remedy: Some("identify: { columns: [...] }".to_owned()),
            ..error(
                &name,
                "neither a primary key nor a unique key without NULLs tells its rows apart".to_owned(),
            )
        });
    }
    if !config.stream {
        return;
    }
    if known.unlogged {
        found.push(warning(&name, "it is unlogged, and in no stream: it is only compared".to_owned()));
    } else if !known.is_streamed() {
        let (remedy, opens) = match &known.unique {
            Some(index) => {
                (format!("ALTER TABLE {sql} REPLICA IDENTITY USING INDEX {};", quoted(index)), None)
            }
            None if known.primary => (format!("ALTER TABLE {sql} REPLICA IDENTITY DEFAULT;"), None),
            None => (
                format!("ALTER TABLE {sql} REPLICA IDENTITY FULL;"),
                Some("each update and deletion writes the whole row as it was to the log".to_owned()),
            ),
        };
        let why = match known.identity {
            Identity::Nothing => "its replica identity is NOTHING",
            _ => "it has no primary key and no replica identity",
        };
        found.push(Finding {
            remedy: Some(remedy),
            opens,
            ..warning(&name, format!("{why}, so the stream does not say which row was changed: it is not published, and only compared"))
        });
    }
    if !known.left_out.is_empty() {
        let columns = known.left_out.join(", ");
        found.push(Finding {
            level: Level::Note,
            ..warning(&name, format!("generated columns are not in the stream and not watched: {columns}"))
        });
    }
}

pub(super) fn sql_name(known: &Known) -> String {
    format!("{}.{}", quoted(&known.table.name.schema), quoted(&known.table.name.table))
}

pub(super) fn error(subject: &str, message: String) -> Finding {
    Finding { level: Level::Error, ..warning(subject, message) }
}

pub(super) fn warning(subject: &str, message: String) -> Finding {
    Finding { level: Level::Warning, subject: subject.to_owned(), message, remedy: None, opens: None }
}
