//! `attestry tap`: events as they become durable on this host, for looking over the shoulder of whatever sends them.

use std::io::{self, IsTerminal, Write};

use anyhow::{Result, bail};
use clap::Args;

use crate::client::Connection;
use crate::commands::key::data_dir;
use crate::control::{Request, ask};
use crate::terminal::escape;

#[derive(Args, Debug)]
pub(crate) struct Tap {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn tap(tap: &Tap) -> Result<()> {
    let dir = data_dir(&tap.connection)?;
    let mut out = io::stdout().lock();
    let shown = io::stdout().is_terminal();
    let running = ask(&dir, &Request::Tap, &mut |event| {
        let line = event.to_string();
        // JSON leaves the control characters of C1 as they are, and a terminal obeys some of them.
        match shown {
            true => writeln!(out, "{}", escape(&line))?,
            false => writeln!(out, "{line}")?,
        }
        out.flush()?;
        Ok(())
    })?;
    if !running {
        bail!("nothing runs on {}: `attestry run` starts it", dir.display());
    }
    Ok(())
}
