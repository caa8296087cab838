//! Figures from outside: asked for, bounded, and put into the ledger before any report shows them.

use attestry_db::mysql::MysqlReader;
use attestry_db::postgres::PostgresReader;
use attestry_db::{Cell, DbError, Engine, Reader};
use attestry_report::{Figure, Http, JsonRpc, Progress, Sql, Taken, Wish};
use attestry_wire::ask::{Ask, json};
use serde_json::{Value, json};

use super::{Desk, DeskError, Given};
use crate::config::ReportLogin;

/// One row more than a figure may have, to tell that there are more.
const ROWS: u32 = 1_001;

impl Desk {
    /// Takes all figures of a report. One that cannot be had is recorded as that, and the report says so.
    pub(super) fn take_figures(
        &self,
        given: &Given,
        wish: &Wish,
        by: &str,
        progress: &dyn Fn(&Progress<'_>),
    ) -> Result<(), DeskError> {
        let figures: Vec<&Figure> =
            wish.definition.sections.iter().flat_map(|section| &section.figures).collect();
        if figures.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| DeskError::Failed(error.to_string()))?;
        for (done, figure) in figures.iter().enumerate() {
            progress(&Progress { done, of: figures.len(), what: &figure.name });
            let within = given.settings.figure_timeout.0;
            let taken = runtime.block_on(async { tokio::time::timeout(within, given.take(figure)).await });
            let late = || format!("no answer within {}", given.settings.figure_timeout);
            let taken = taken.unwrap_or_else(|_| Err(late())).unwrap_or_else(Taken::Failed);
            self.record(figure.event(&wish.definition.name, &wish.run, by, &taken))?;
        }
        Ok(())
    }
}

impl Given {
    async fn take(&self, figure: &Figure) -> Result<Taken, String> {
        match (&figure.sql, &figure.http, &figure.json_rpc) {
            (Some(sql), ..) => self.sql(sql).await,
            (_, Some(http), _) => self.http(http).await,
            (.., Some(call)) => self.json_rpc(call).await,
            _ => Err("it has no source".to_owned()),
        }
    }

    async fn sql(&self, sql: &Sql) -> Result<Taken, String> {
        let watch = self.watches.get(&sql.watch);
        let watch = watch.ok_or_else(|| format!("the configuration has no audit {:?}", sql.watch))?;
        let asked = self.settings.figure_timeout.0;
        let rows = match watch.engine() {
            Some(Engine::Mysql) => ask(MysqlReader::new(watch), &sql.query, asked).await,
            Some(Engine::Postgres) => ask(PostgresReader::new(&sql.watch, watch), &sql.query, asked).await,
            None => Err(DbError::Refused("its address is none that is known".to_owned())),
        };
        let rows = rows.map_err(|error| error.to_string())?;
        if let [row] = rows.as_slice()
            && let [cell] = row.as_slice()
            && sql.columns.is_empty()
        {
            return Ok(Taken::Value(text(cell).unwrap_or_else(|| "(NULL)".to_owned())));
        }
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let name =
            |nth: usize| sql.columns.get(nth).cloned().unwrap_or_else(|| format!("column {}", nth + 1));
        let columns = (0..width.max(sql.columns.len())).map(name).collect();
        Ok(Figure::rows(columns, rows.iter().map(|row| row.iter().map(text).collect()).collect()))
    }

    fn login(&self, name: Option<&String>) -> Result<Option<(&ReportLogin, String)>, String> {
        let Some(name) = name else { return Ok(None) };
        let login = self.settings.logins.get(name).ok_or_else(|| format!("there is no login {name:?}"))?;
        let password = login.password.read().map_err(|error| error.to_string())?;
        Ok(Some((login, password)))
    }

    async fn answer(&self, url: &str, login: Option<&String>, body: Option<&Value>) -> Result<Value, String> {
        let login = self.login(login)?;
        let ask = Ask {
            url,
            body,
            login: login.as_ref().map(|(login, password)| (login.user.as_str(), password.as_str())),
            timeout: self.settings.figure_timeout.0,
            private: self.settings.allow_private,
        };
        json(&ask).await.map_err(|error| error.to_string())
    }

    async fn http(&self, http: &Http) -> Result<Taken, String> {
        let answer = self.answer(&http.url, http.login.as_ref(), None).await?;
        Ok(Figure::of_json(&answer, &http.pointer))
    }

    /// JSON-RPC 1.0, which bitcoind speaks; a server of 2.0 takes it for its own by `jsonrpc`.
    async fn json_rpc(&self, call: &JsonRpc) -> Result<Taken, String> {
        let request =
            json!({"jsonrpc": "2.0", "id": "attestry", "method": call.method, "params": call.params});
        let mut answer = self.answer(&call.url, call.login.as_ref(), Some(&request)).await?;
        match answer.get("error") {
            None | Some(Value::Null) => {}
            Some(error) => {
                let said = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
                return Err(format!(
                    "{} failed: {}",
                    call.method,
                    said.chars().take(300).collect::<String>()
                ));
            }
        }
        match answer.get_mut("result") {
            Some(result) => Ok(Figure::of_json(&result.take(), &call.pointer)),
            None => Err("the answer is none of JSON-RPC: it has no result".to_owned()),
        }
    }
}

async fn ask<R: Reader>(
    reader: Result<R, DbError>,
    sql: &str,
    time: std::time::Duration,
) -> Result<Vec<Vec<Cell>>, DbError> {
    reader?.query(sql, time, ROWS).await
}

fn text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Masked(_) => Some("(masked)".to_owned()),
        Cell::Value(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
