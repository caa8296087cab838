//! `attestry install`: units and snippets for systemd, Docker, rsyslog and cron, printed or written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::install::{Kind, Written, variables, write};
use crate::terminal::{Look, Table};

#[derive(Args, Debug)]
pub(crate) struct Install {
    /// What for.
    kind: Kind,
    /// A variable's value, instead of its default.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    given: Vec<(String, String)>,
    /// A template of your own, with {{name}} and {{name=default}}.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// List the variables and their defaults.
    #[arg(long, conflicts_with = "write")]
    variables: bool,
    /// Write it to where it belongs, instead of printing it.
    #[arg(long)]
    write: bool,
    /// With --write: replace what is there and differs.
    #[arg(long, requires = "write")]
    force: bool,
    /// With --write: below this folder, as for an image.
    #[arg(long, requires = "write", value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn install(install: &Install) -> Result<()> {
    let own = match &install.template {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None => None,
    };
    let template = own.as_deref().unwrap_or(install.kind.template());
    let mut out = io::stdout().lock();
    if install.variables {
        let mut table = Table::new(&["variable", "default"]);
        for (name, default) in variables(template) {
            let default = match default {
                Some(default) => (default.to_owned(), Look::Plain),
                None => ("(must be given)".to_owned(), Look::Bad),
            };
            table.row([(name.to_owned(), Look::Bold), default]);
        }
        table.print(&mut out)?;
        return Ok(());
    }
    let given: BTreeMap<String, String> = install.given.iter().cloned().collect();
    let text = install.kind.text(template, &given)?;
    if !install.write {
        write!(out, "{text}")?;
        return Ok(());
    }
    let (path, written) = write(install.kind, &text, &install.root, install.force)?;
    match written {
        Written::Now => writeln!(out, "{} is written. Next: {}", path.display(), install.kind.next())?,
        Written::Already => writeln!(out, "{} is as it should be.", path.display())?,
    }
    Ok(())
}
