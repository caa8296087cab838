//! Attestry: an audit trail that can prove what it shows.
//!
//! This crate is the binary: configuration, command line, wiring. Each part of the product is a crate of its own.

mod alerts;
mod client;
mod commands;
mod config;
mod control;
mod control_messages;
mod databases;
mod enrolment;
mod first_contact;
mod flow;
mod house;
mod install;
mod logging;
mod memory;
mod negated;
mod node;
mod reload;
mod reports;
mod run;
mod sources;
mod stopping;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{
    agent, backup, check, collect, coverage, db, explain, export, find, install as install_command, key,
    ledger, messages, report, rules, send, sources as sources_command, spool, tap, user, verify,
};

/// The allocator of a server that makes and drops many buffers from several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Attestry, an audit trail that can prove what it shows.
///
/// `attestry run` starts it without any configuration. Exit codes: 0 done; 1 it failed, or `verify` found damage, or `send` had
/// events refused; 2 wrong usage, or `verify` could not check.
#[derive(Debug, Parser)]
#[command(name = "attestry", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server and the sources of this host.
    Run(run::Run),
    /// Check the configuration and tell every mistake with its line.
    Check(check::Check),
    /// Look at this host's sources once, as from cron, or print what they would find.
    Collect(collect::Collect),
    /// Post events: NDJSON from a file or standard input, or what waits in this host's spool.
    Send(send::Send),
    /// Find events.
    Search(find::Search),
    /// Count events.
    Count(find::Count),
    /// The most frequent values of a field.
    Top(find::Top),
    /// Events over time.
    Histogram(find::Histogram),
    /// Events as they come in.
    Tail(find::Tail),
    /// API keys.
    Key(key::Keys),
    /// People who log in to the page.
    User(user::Users),
    /// Other hosts that send here, and this host as one of them.
    Agent(agent::Agents),
    /// What came and what did not, and why, by host, source and hour.
    Coverage(coverage::Coverage),
    /// Every source of this host: on or off and why, what it needs, its last event, what it lost.
    Sources(sources_command::Sources),
    /// Databases that are watched row by row: their tables, what broke a rule, signing off.
    Db(db::Db),
    /// Rules and alerts: what is in force, whether it does what it should, what it found, and seeing to that.
    Rules(rules::Rules),
    /// Reports: make one, make one again from the ledger, and what is made and sent by itself.
    Report(report::Reports),
    /// Messages that were received and sent, from the ledger.
    Messages(messages::Messages),
    /// What waits for the sinks, and what they refused.
    Spool(spool::Spools),
    /// Events as they become durable on this host, from the running program.
    Tap(tap::Tap),
    /// Say for an event which receivers, sources and sinks take it, and which line decided.
    Explain(explain::Explain),
    /// Print or write what systemd, Docker, rsyslog or cron need to know of Attestry.
    Install(install_command::Install),
    /// The ledgers, their keys and checkpoints.
    Ledger(ledger::Ledgers),
    /// Hand out entries with the proof that they are in the signed log.
    Export(export::Export),
    /// Check that a data directory, a server, an export, a proof or a report is whole and as it was signed.
    Verify(verify::Verify),
    /// Copy everything that cannot be made again, whether or not the server runs, and verify the copy.
    Backup(backup::Backup),
    /// Put a backup in place and verify it.
    Restore(backup::Restore),
}

fn main() -> ExitCode {
    memory::begin();
    let done = |result: anyhow::Result<()>| result.map(|()| 0);
    let result = match &Cli::parse_from(negated::respelled(std::env::args_os())).command {
        Command::Run(of) => done(run::run(of)),
        Command::Check(of) => done(check::check(of)),
        Command::Collect(of) => done(collect::collect(of)),
        Command::Send(of) => send::send(of).map(|all| u8::from(!all)),
        Command::Search(of) => done(find::search(of)),
        Command::Count(of) => done(find::count(of)),
        Command::Top(of) => done(find::top(of)),
        Command::Histogram(of) => done(find::histogram(of)),
        Command::Tail(of) => done(find::tail(of)),
        Command::Key(of) => done(key::key(of)),
        Command::User(of) => done(user::user(of)),
        Command::Coverage(of) => done(coverage::coverage(of)),
        Command::Sources(of) => done(sources_command::sources(of)),
        Command::Db(of) => db::db(of).map(|clean| u8::from(!clean)),
        Command::Rules(of) => done(rules::rules(of)),
        Command::Report(of) => report::report(of).map(|same| u8::from(!same)),
        Command::Messages(of) => done(messages::messages(of)),
        Command::Spool(of) => done(spool::spool(of)),
        Command::Tap(of) => done(tap::tap(of)),
        Command::Explain(of) => done(explain::explain(of)),
        Command::Agent(of) => done(agent::agent(of)),
        Command::Install(of) => done(install_command::install(of)),
        Command::Ledger(of) => done(ledger::ledger(of)),
        Command::Export(of) => done(export::export(of)),
        Command::Verify(of) => verify::verify(of).or_else(|error| {
            complain(&error);
            Ok(2)
        }),
        Command::Backup(of) => backup::backup(of),
        Command::Restore(of) => backup::restore(of),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &anyhow::Error) {
    // With standard error closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "attestry: {error:#}");
}

/// `attestry search | head` is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |io: &std::io::Error| io.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(closed))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    /// What one reads first about a command is what it can do, not what all of them can.
    #[test]
    fn the_help_of_a_command_begins_with_its_own_options() {
        let mut left = vec![Cli::command()];
        left.iter_mut().for_each(clap::Command::build);
        let mut checked = 0;
        while let Some(mut command) = left.pop() {
            left.extend(command.get_subcommands().cloned());
            let help = command.render_long_help().to_string();
            let (own, common) = help.split_once("Which server:").unwrap_or((&help, ""));
            for option in ["--url <", "--key-file <", "--ca-file <", "--data-dir <", "--config <"] {
                let theirs = ["run", "verify"].contains(&command.get_name()) || common.is_empty();
                assert!(theirs || !own.contains(option), "{option} in {own}");
                assert!(!common.contains("--help"), "{help}");
            }
            checked += usize::from(!common.is_empty());
        }
        assert!(checked > 40, "{checked}");
    }
}
