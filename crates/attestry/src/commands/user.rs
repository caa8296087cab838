//! `attestry user`: people who log in to the page.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::client::Connection;
use crate::commands::key::accounts;
use crate::terminal::{Look, Table};

#[derive(Args, Debug)]
pub(crate) struct Users {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the users.
    List,
    /// Make a new one-time set-up link, when there is no user yet.
    SetupLink,
    /// Set a user's password; it is read from standard input, one line.
    Password {
        /// The user's name.
        name: String,
    },
}

pub(crate) fn user(users: &Users) -> Result<()> {
    let (accounts, actor) = accounts(&users.connection)?;
    let mut out = io::stdout().lock();
    match &users.command {
        Command::List => {
            let mut table = Table::new(&["name", "role", "filter"]);
            for user in accounts.users()? {
                table.row([
                    (user.name, Look::Bold),
                    (user.role.name().to_owned(), Look::Plain),
                    (user.filter.unwrap_or_default(), Look::Dim),
                ]);
            }
            table.print(&mut out)?;
        }
        Command::SetupLink => {
            let config = users.connection.config()?;
            let base = users.connection.public_url(&config);
            match accounts.begin_setup(&config.written.data_dir, &base)? {
                Some(link) => writeln!(out, "{}", link.url)?,
                None => bail!("there is a user already; `attestry user password NAME` sets a password"),
            }
        }
        Command::Password { name } => {
            if io::stdin().is_terminal() {
                writeln!(io::stderr(), "New password of {name:?} (it is shown as you type), then Enter:")?;
            }
            let mut password = String::new();
            io::stdin().lock().read_line(&mut password)?;
            accounts.set_password(name, password.trim_end_matches(['\r', '\n']), &actor)?;
            writeln!(io::stderr(), "The password of {name:?} is set.")?;
        }
    }
    Ok(())
}
