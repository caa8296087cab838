//! What an agent costs a host on which nothing happens: the sources that run by default, into a file.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Setting;
use super::node::Node;

/// How long is looked: every source has looked at least once by then, most of them often.
const LOOK: Duration = Duration::from_secs(120);

pub(super) fn run(setting: &Setting<'_>, out: &mut dyn Write) -> Result<()> {
    let config = "server: {enabled: false}\nsinks: {out: {file: {path: DIR/out.ndjson}}}\n";
    let mut agent = Node::new(setting.binary, config)?;
    agent.start_with_sources()?;
    let process = agent.process()?;
    // The history of this host comes first.
    let before = process.settled()?;
    let begin = Instant::now();
    std::thread::sleep(LOOK);
    let of_a_core = (process.cpu()? - before).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;
    let (peak, own) = process.memory()?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    writeln!(
        out,
        "\nan idle agent with the default sources, {} s: {of_a_core:.2} % of a core, {:.1} MB resident, of it {:.1} MB not of files; at most {:.1} MB since its start",
        LOOK.as_secs(),
        mb(process.resident()?),
        mb(own),
        mb(peak)
    )?;
    Ok(())
}
