//! `attestry check`: is the configuration right? Every mistake with its place.

use std::io::{self, Write};

use anyhow::{Result, bail};
use attestry_openpgp::{Gpg, KeyUse};
use attestry_rules::Rules;
use attestry_script::{Scripts, run_cases};
use clap::Args;

use crate::client::Connection;
use crate::config::Config;
use crate::terminal::escape;

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Print the configuration as it is in force, defaults and environment included, secrets hidden.
    #[arg(long)]
    show: bool,
    /// Print the JSON Schema of the configuration file, for editors.
    #[arg(long, conflicts_with = "show")]
    schema: bool,
    /// Run the test cases that stand beside transforms and conditions.
    #[arg(long, conflicts_with_all = ["show", "schema"])]
    test: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn check(check: &Check) -> Result<()> {
    let mut out = io::stdout().lock();
    if check.schema {
        writeln!(out, "{}", serde_json::to_string_pretty(&Config::schema())?)?;
        return Ok(());
    }
    let config = check.connection.config()?;
    if check.show {
        write!(out, "{}", serde_saphyr::to_string(&config.written.shown()?)?)?;
        return Ok(());
    }
    if check.test {
        return test(&config, &mut out);
    }
    rules(&config, &mut out)?;
    let mut wrong = crate::reports::key_problems(&config);
    wrong.extend(key_problems(&config));
    if !wrong.is_empty() {
        bail!("the configuration is right, but for OpenPGP keys:\n  {}", wrong.join("\n  "));
    }
    writeln!(out, "The configuration is right.")?;
    Ok(())
}

/// What is wrong with the keys of control messages and snapshots, each with the command that mends it.
fn key_problems(config: &Config) -> Vec<String> {
    let mut wanted = Vec::new();
    for signer in &config.written.control.signers {
        wanted.push((vec!["control", "signers"], signer.as_str(), KeyUse::Believe));
    }
    for (watch, of) in &config.written.audit {
        for (name, snapshot) in &of.snapshots {
            let place = |item| vec!["audit", watch, "snapshots", name, item];
            wanted.extend(
                snapshot.sign_with.iter().map(|key| (place("sign_with"), key.as_str(), KeyUse::Sign)),
            );
            let readers = snapshot.encrypt_to.iter();
            wanted.extend(readers.map(|key| (place("encrypt_to"), key.as_str(), KeyUse::Encrypt)));
        }
    }
    let gpg = Gpg::new(&config.written.openpgp);
    let problem = |(place, key, purpose): (Vec<&str>, &str, KeyUse)| {
        let error = anyhow::Error::from(gpg.key(key, purpose).err()?);
        Some(format!("{}: {error:#}", config.lines.place(&place)))
    };
    wanted.into_iter().filter_map(problem).collect()
}

/// Loads the rules, and tells of each that is wrong.
fn rules(config: &Config, out: &mut impl Write) -> Result<()> {
    if !config.serves {
        return Ok(());
    }
    let rules = Rules::load(&config.written.rules);
    let report = &rules.report;
    for of in &report.refused {
        writeln!(out, "{}:{}: {}", escape(&of.file), of.line, escape(&of.reason))?;
    }
    for id in &report.unknown {
        writeln!(out, "{}: there is no rule {id:?}", config.lines.place(&["rules", "disable"]))?;
    }
    match report.refused.len() + report.unknown.len() {
        0 => Ok(()),
        wrong => bail!("{wrong} mistakes in the rules; the others are in force all the same"),
    }
}

/// Runs every case and tells how each came out.
fn test(config: &Config, out: &mut impl Write) -> Result<()> {
    let sources = config.sources.iter().map(|(name, (_, filters))| ("source", name.as_str(), filters));
    let receivers = config.receivers.iter().map(|(name, (_, filters))| ("receiver", name.as_str(), filters));
    let sinks = config.sinks.iter().map(|(name, (_, filters))| ("sink", name.as_str(), filters));
    let (mut cases, mut failed) = (0, 0);
    for (way, name, filters) in sources.chain(receivers).chain(sinks) {
        if filters.tests.is_empty() {
            continue;
        }
        writeln!(out, "{way} {name}")?;
        let scripts = Scripts {
            parser: filters.parser.as_ref(),
            transform: filters.transform.as_ref(),
            condition: filters.condition.as_ref(),
        };
        for result in run_cases(&scripts, &filters.tests) {
            cases += 1;
            failed += usize::from(!result.passed());
            writeln!(out, "  {result}")?;
        }
    }
    writeln!(out, "{cases} cases, {failed} failed")?;
    if failed > 0 {
        bail!("{failed} of {cases} cases are not as expected");
    }
    Ok(())
}
