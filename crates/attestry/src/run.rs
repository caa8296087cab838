//! `attestry run`: everything on this machine, wired together.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use attestry_event::{Clock, Event, SystemClock};
use attestry_ledger::{DataDir, Ledger, Options};
use attestry_server::accounts::{Accounts, Actor, KeyKind, NewKey};
use attestry_server::alerts::Alerts;
use attestry_server::databases::Databases;
use attestry_server::{LedgerPart, LedgerRows, Parts, Server, record};
use attestry_store::{Rows, Store};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::alerts::Watching;
use crate::client::LOCAL_KEY_FILE;
use crate::config::{Config, Mistake};
use crate::control::{Address, Control};
use crate::control_messages::ControlMessages;
use crate::databases::Watches;
use crate::flow::{Base, Flow, Ground};
use crate::house::House;
use crate::logging::Level;
use crate::reload::{self, Reloader};
use crate::reports::{Desk, Scheduler};
use crate::sources::Sources;

/// The accounts' file in the data directory.
pub(crate) const ACCOUNTS_FILE: &str = "attestry.db";

#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    /// The configuration file. Default: attestry.yaml, if it is there.
    #[arg(short, long, env = "ATTESTRY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory. Default: ./attestry-data.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on. Default: 127.0.0.1:7984.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Certificate chain, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Make a self-signed certificate at the first start, and use it.
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
}

impl Run {
    fn load(&self) -> Result<Config, Vec<Mistake>> {
        let overrides = |written: &mut crate::config::Written| {
            let set = |slot: &mut Option<PathBuf>, value: &Option<PathBuf>| {
                if value.is_some() {
                    slot.clone_from(value);
                }
            };
            if let Some(dir) = &self.data_dir {
                written.data_dir.clone_from(dir);
            }
            if let Some(listen) = &self.listen {
                written.server.listen.clone_from(listen);
            }
            set(&mut written.server.tls_cert, &self.tls_cert);
            set(&mut written.server.tls_key, &self.tls_key);
            written.server.tls_self_signed |= self.tls_self_signed;
        };
        Config::load(self.config.as_deref(), std::env::vars(), overrides)
    }

    /// Reads the configuration again, the same way.
    pub(crate) fn loader(&self) -> Box<dyn Fn() -> Result<Config, Vec<Mistake>> + Send + Sync> {
        let again = self.clone();
        Box::new(move || again.load())
    }
}

/// How browsers on this host reach the server.
pub(crate) fn base_url(config: &Config) -> String {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    config.server.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", config.server.listen))
}

pub(crate) fn run(run: &Run) -> Result<()> {
    let config = run.load().map_err(|mistakes| {
        let list: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration has mistakes:\n  {}", list.join("\n  "))
    })?;
    let log = crate::logging::start(&config.written.log)?;
    match config.serves {
        true => {
            crate::memory::large_pages();
            serve(run, config, log)
        }
        false => crate::node::node(run, config, log),
    }
}

fn serve(run: &Run, config: Config, log: Level) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let signals = {
        let _within = runtime.enter();
        StopSignals::listen().context("cannot listen for signals")?
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::open(&config.written.data_dir)?;

    let ledgers = open_ledgers(&config, &data, &clock)?;
    let audit = Arc::clone(&ledger_named(&ledgers, attestry_server::AUDIT_LEDGER)?.ledger);

    let rows =
        ledgers.iter().map(|part| Arc::new(LedgerRows(Arc::clone(&part.ledger))) as Arc<dyn Rows>).collect();
    let index = attestry_store::Options::default();
    let store = Arc::new(
        Store::open(&data.path().join("index"), rows, index).context("cannot open the search index")?,
    );
    let accounts = data.path().join(ACCOUNTS_FILE);
    let accounts =
        Arc::new(Accounts::open(&accounts, Arc::clone(&clock)).context("cannot open the accounts")?);
    let owner_key = keep_local_key(&accounts, data.path())?;

    record(
        &audit,
        &*clock,
        Event::new("server.start", "-")
            .message(format!("Attestry {} started", env!("CARGO_PKG_VERSION")))
            .data("config_sha256", config.hash.as_str()),
    )?;
    let ground = Arc::new(Ground::ledgers(&ledgers, &clock));
    let base = Base {
        ground: Arc::clone(&ground),
        data_dir: data.path().to_owned(),
        clock: Arc::clone(&clock),
        host: attestry_collect::Paths::default().host_name(),
        agent: None,
    };
    let flow = Arc::new(runtime.block_on(Flow::start(base, &config))?);
    let sources = Sources::start(&config, &ground, &data, &clock)?;
    let watches = Watches::start(&config, &ground, &clock)?;
    let watching = Watching::start(&config.written.rules, &ledgers, data.path(), &clock)?;
    let desk = Arc::new(Desk::new(&config, &ledgers, &store, &clock)?);
    let scheduler = Scheduler::start(&desk)?;
    let house = House::start(&ledgers, &clock, data.path(), Arc::clone(&sources), Arc::clone(&flow))?;
    let parts = Parts {
        accounts: Arc::clone(&accounts),
        ledgers: ledgers.clone(),
        store: Arc::clone(&store),
        data_dir: data.path().to_owned(),
        clock: Arc::clone(&clock),
        operations: house.operations(),
        databases: Arc::clone(&watches) as Arc<dyn Databases>,
        alerts: Arc::clone(&watching) as Arc<dyn Alerts>,
        reports: Arc::clone(&desk) as Arc<dyn attestry_server::reports::Reports>,
        owner_key: Some(owner_key),
    };
    let ended: Result<()> = runtime.block_on(async {
        let reloads = reload::Parts {
            flow: Arc::clone(&flow),
            sources: Arc::clone(&sources),
            rules: Some(Arc::clone(&watching)),
            watches: Some(Arc::clone(&watches)),
            reports: Some(Arc::clone(&desk)),
            log,
        };
        let reloader = Arc::new(Reloader::new(reloads, config.clone(), run.loader()));
        let server = Server::bind(config.server.clone(), parts).await?;
        let address = Address { here: server.local_url(), public: server.url().to_owned() };
        let control = Control::open(
            data.path(),
            Arc::clone(&flow),
            Arc::clone(&reloader),
            Some(address),
            Some(Arc::clone(&watches)),
        )?;
        let databases = Arc::clone(&watches) as Arc<dyn Databases>;
        let messages = ControlMessages::start(&config, &ground, &clock, databases, Arc::clone(&desk))?;
        announce(&server)?;
        server.run(signals.stopped(&reloader)).await;
        control.close().await;
        messages.stop().await;
        flow.close_receivers().await;
        Ok(())
    });

    // From the outside in: nothing new comes in, then what is in is committed and signed, then the threads end.
    ground.close();
    watches.stop();
    sources.stop();
    house.stop();
    watching.stop();
    scheduler.stop();
    runtime.block_on(flow.close_sinks());
    if ended.is_ok() {
        record(&audit, &*clock, Event::new("server.stop", "-").message("Attestry stopped"))?;
    }
    drop(runtime);
    store.close();
    let closing: Vec<Arc<Ledger>> = ledgers.iter().map(|part| Arc::clone(&part.ledger)).collect();
    drop((desk, store, audit, ledgers, sources, watches, watching, flow, ground));
    close(closing);
    tracing::info!("stopped");
    ended
}

/// How long those who follow a ledger may take to let go of it.
const LET_GO: Duration = Duration::from_secs(5);

/// Opens the ledgers; what the last end left torn is an event.
pub(crate) fn open_ledgers(
    config: &Config,
    data: &DataDir,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<LedgerPart>> {
    let (mut ledgers, mut recovered) = (Vec::new(), Vec::new());
    for ledger in &config.ledgers {
        let (opened, recovery) = data.ledger(&ledger.name, Arc::clone(clock), Options::default())?;
        tracing::info!(
            ledger = ledger.name,
            entries = recovery.size,
            torn_bytes = recovery.torn_bytes,
            "ledger opened"
        );
        let part =
            LedgerPart { ledger: Arc::new(opened), public: ledger.public, retention: ledger.retention };
        ledgers.push(part);
        recovered.push(recovery);
    }
    let audit = &ledger_named(&ledgers, attestry_server::AUDIT_LEDGER)?.ledger;
    for (part, recovery) in ledgers.iter().zip(&recovered) {
        crate::house::report_recovery(audit, &**clock, part.ledger.name(), recovery)?;
    }
    Ok(ledgers)
}

/// A ledger signs its last entries when it is dropped, which must be here: what another thread drops ends with the process.
pub(crate) fn close(ledgers: Vec<Arc<Ledger>>) {
    let begun = Instant::now();
    while ledgers.iter().any(|ledger| Arc::strong_count(ledger) > 1) && begun.elapsed() < LET_GO {
        std::thread::sleep(Duration::from_millis(5));
    }
    for ledger in ledgers {
        match Arc::try_unwrap(ledger) {
            Ok(ledger) => drop(ledger),
            Err(held) => {
                tracing::error!(
                    ledger = held.name(),
                    "somebody still follows this ledger: it is left as after a crash"
                );
            }
        }
    }
}

fn ledger_named<'a>(ledgers: &'a [LedgerPart], name: &str) -> Result<&'a LedgerPart> {
    let found = ledgers.iter().find(|part| part.ledger.name() == name);
    found.with_context(|| format!("there is no ledger {name:?}"))
}

/// The signals that ask for a clean end. They are heard from when this is made, not from when it is waited for: whoever stops a
/// server that has just started must not kill it.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl StopSignals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(StopSignals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns when it is time to stop; until then, SIGHUP has the configuration read again.
    pub(crate) async fn stopped(mut self, reloader: &Reloader) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {}
            }
            if let Err(error) = reloader.reload().await {
                tracing::error!(error = format!("{error:#}"), "the configuration was not read again");
            }
        }
        tracing::info!("stopping");
    }
}

/// A read key for whoever may read the data directory, so that `attestry search` on this host needs no set-up; gives its id.
fn keep_local_key(accounts: &Accounts, dir: &Path) -> Result<String> {
    let path = dir.join(LOCAL_KEY_FILE);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some(key) = accounts.find_key(kept.trim())? {
        return Ok(key.id.clone());
    }
    let new = NewKey {
        name: "local".to_owned(),
        kind: KeyKind::Read,
        ledgers: Vec::new(),
        filter: None,
        lenient: false,
        expires_at: None,
        expect: None,
    };
    let (key, secret) = accounts.create_key(&new, &Actor::local("-"))?;
    private_file(&path, &format!("{secret}\n"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(key.id)
}

/// Writes a file that only its owner can read, in place of what was there.
pub(crate) fn private_file(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("tmp");
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(temporary, path)
}

/// Says where the page is. The set-up link goes to the terminal, if a person is looking, and is in its file anyway; never to a log.
fn announce(server: &Server) -> Result<()> {
    tracing::info!(address = server.url(), "listening");
    let mut out = io::stdout().lock();
    writeln!(out, "\nAttestry is at {}", server.url())?;
    match server.setup_link() {
        Some(link) if io::stdout().is_terminal() => {
            writeln!(out, "Set it up with this link, once, within 15 minutes:\n\n  {}\n", link.url)?;
        }
        Some(link) => {
            writeln!(out, "The set-up link, good once and for 15 minutes, is in {}\n", link.file.display())?
        }
        None => writeln!(out)?,
    }
    out.flush()?;
    Ok(())
}
