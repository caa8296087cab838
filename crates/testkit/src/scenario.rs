//! One data directory, the server on it, and the last word of three verifiers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::Client;
use crate::programs::Programs;
use crate::run::{Ran, Running, run};
use crate::{port, wait_for};

/// How long a start may take, on a busy machine and with a debug build.
const START_MAX: Duration = Duration::from_secs(60);
/// How long the slowest verifier may take, for millions of entries.
const VERIFY_MAX: Duration = Duration::from_secs(600);
/// The sources that run by themselves where they can.
const HOST_SOURCES: [&str; 9] =
    ["PACKAGES", "LOGINS", "AUTH", "HOST", "USERS", "FILES", "SERVICES", "DOCKER", "CONTAINER_LOGS"];

/// How long a clean shutdown may take.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A data directory in a folder of its own, and the server on it when it runs.
///
/// The server runs in that folder without a configuration file, listening on a loopback port; the sources of the host are
/// switched off unless [`Scenario::with_host_sources`] lets them run. It ends with [`Scenario::finish`] or
/// [`Scenario::finish_damaged`]; dropping it without either is a failure.
pub struct Scenario {
    programs: Programs,
    dir: TempDir,
    data: PathBuf,
    port: u16,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    serving: Option<Running>,
    pins: Vec<PathBuf>,
    runs: AtomicU32,
    finished: bool,
}

impl Scenario {
    /// An empty folder. `attestry` is the program's path, `env!("CARGO_BIN_EXE_attestry")`.
    #[track_caller]
    pub fn new(attestry: &str) -> Scenario {
        let dir = TempDir::with_prefix("attestry-").expect("a temporary folder can be made");
        let off = |source| (format!("ATTESTRY_SOURCES_{source}_ENABLED"), "false".to_owned());
        Scenario {
            programs: Programs::beside(attestry),
            data: dir.path().join("attestry-data"),
            dir,
            port: port::free(),
            arguments: Vec::new(),
            environment: HOST_SOURCES.map(off).into(),
            serving: None,
            pins: Vec::new(),
            runs: AtomicU32::new(0),
            finished: false,
        }
    }

    /// As [`Scenario::new`], and the server is started.
    #[track_caller]
    pub fn started(attestry: &str) -> Scenario {
        let mut scenario = Scenario::new(attestry);
        scenario.start();
        scenario
    }

    /// The sources of this host run.
    pub fn with_host_sources(mut self) -> Scenario {
        self.environment.retain(|(name, _)| !name.starts_with("ATTESTRY_SOURCES_"));
        self
    }

    /// Sets an item of the configuration, for the server and all commands, by its variable.
    pub fn with(mut self, variable: &str, value: &str) -> Scenario {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server with this argument as well.
    pub fn with_argument(mut self, argument: &str) -> Scenario {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The folder all programs run in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Goes on with another data directory.
    ///
    /// # Panics
    /// When the server runs.
    #[track_caller]
    pub fn use_data(&mut self, data: &Path) {
        assert!(self.serving.is_none(), "the server runs");
        self.data = data.to_owned();
    }

    /// The port the server listens on when it runs.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's address.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.certificate().exists() { "https" } else { "http" }, self.port)
    }

    fn certificate(&self) -> PathBuf {
        self.data.join("tls.cert")
    }

    /// Starts the server and waits until it is ready, which is when searches find everything that is stored; tells how long that took.
    #[track_caller]
    pub fn start(&mut self) -> Duration {
        let begun = Instant::now();
        self.launch();
        self.wait_until_ready();
        begun.elapsed()
    }

    /// Starts the server and does not wait for it.
    #[track_caller]
    pub fn launch(&mut self) {
        assert!(self.serving.is_none(), "the server runs already");
        let mut command = self.command(&["run"]);
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port)).args(&self.arguments);
        self.serving = Some(Running::start(&mut command, &self.stem("server")));
    }

    /// Waits until the server that was started is ready.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let mut serving = self.serving.take().expect("the server was started");
        wait_for("the server is ready", START_MAX, || {
            if let Some(status) = serving.ended() {
                panic!("the server ended with {status}: {}", serving.err());
            }
            // The certificate is made before the server listens, so the address is right once somebody answers.
            let client = self.anonymous();
            client.try_get("/readyz", &[]).ok().filter(|answer| answer.status == 200)
        });
        self.serving = Some(serving);
    }

    /// The most memory that the server which runs has taken since it was started, in bytes.
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        self.serving.as_ref().expect("the server runs").peak_memory()
    }

    /// Kills the server as a power cut would: with no chance to do anything.
    #[track_caller]
    pub fn kill(&mut self) {
        let serving = self.serving.take().expect("the server runs");
        serving.signal(Signal::KILL);
        let ran = serving.finish_within(STOP_MAX);
        assert_eq!(ran.code, None, "the server had ended by itself: {}", ran.err);
    }

    /// Stops the server with SIGTERM, fails unless it ends well and in time, and tells how long it took.
    #[track_caller]
    pub fn stop(&mut self) -> Duration {
        let serving = self.serving.take().expect("the server runs");
        let begun = Instant::now();
        serving.signal(Signal::TERM);
        serving.finish_within(STOP_MAX).is(0);
        begun.elapsed()
    }

    /// Has the server that runs read its configuration again.
    #[track_caller]
    pub fn hang_up(&self) {
        self.serving.as_ref().expect("the server runs").signal(Signal::HUP);
    }

    /// What the server that runs wrote to standard output.
    #[track_caller]
    pub fn announced(&self) -> String {
        self.serving.as_ref().expect("the server runs").out()
    }

    /// What the server that runs wrote to standard error: its log.
    #[track_caller]
    pub fn log(&self) -> String {
        self.serving.as_ref().expect("the server runs").err()
    }

    /// A command of the product, to be run in the scenario's folder with its configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.clean(&self.programs.attestry);
        command.args(arguments).envs(self.environment.iter().cloned());
        command.env("ATTESTRY_SERVER_LISTEN", format!("127.0.0.1:{}", self.port));
        if self.data != self.dir.path().join("attestry-data") {
            command.env("ATTESTRY_DATA_DIR", &self.data);
        }
        command
    }

    /// A program without the variables of whoever runs the tests that would change what it does.
    fn clean(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let ours = |name: &str| name.starts_with("ATTESTRY_") || name == "RUST_LOG";
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command.current_dir(self.dir.path());
        command
    }

    fn stem(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}-{}", self.runs.fetch_add(1, Ordering::Relaxed)))
    }

    /// Runs a command of the product to its end.
    #[track_caller]
    pub fn attestry(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments), &self.stem("run"), b"")
    }

    /// As [`Scenario::attestry`], with this key, or with an input.
    #[track_caller]
    pub fn attestry_with(&self, arguments: &[&str], key: &str, input: &[u8]) -> Ran {
        run(self.command(arguments).env("ATTESTRY_KEY", key), &self.stem("run"), input)
    }

    /// Starts a command of the product with this key and does not wait for it.
    #[track_caller]
    pub fn spawn(&self, arguments: &[&str], key: &str) -> Running {
        Running::start(self.command(arguments).env("ATTESTRY_KEY", key), &self.stem("run"))
    }

    /// Makes a key on the command line, which must print it alone, and gives it.
    #[track_caller]
    pub fn key(&self, arguments: &[&str]) -> String {
        let made = self.attestry(&[&["key", "create"], arguments].concat()).is(0);
        let key = made.out.trim_end().to_owned();
        assert!(
            key.starts_with("ak_") && !key.contains(char::is_whitespace),
            "not a key alone: {:?}",
            made.out
        );
        key
    }

    /// A client with no key.
    #[track_caller]
    pub fn anonymous(&self) -> Client {
        let certificate = self.certificate();
        Client::new(&self.url(), certificate.exists().then_some(&certificate))
    }

    /// A client with this key.
    #[track_caller]
    pub fn client(&self, key: &str) -> Client {
        self.anonymous().with_key(key)
    }

    /// Writes down a ledger's key and newest checkpoint, to be held against whatever is found from now on.
    #[track_caller]
    pub fn pin(&mut self, ledger: &str) -> PathBuf {
        let pin = self.attestry(&["ledger", "show", ledger, "--pin"]).is(0).out;
        let path = self.dir.path().join(format!("{}.pin", self.pins.len()));
        std::fs::write(&path, pin).expect("a pin can be written");
        self.pins.push(path.clone());
        path
    }

    /// Runs `attestry-verify` with these arguments.
    #[track_caller]
    pub fn verifier(&self, arguments: &[&str]) -> Ran {
        run(self.clean(&self.programs.verifier).args(arguments), &self.stem("verify"), b"")
    }

    /// Runs `tools/verify.py` with these arguments.
    #[track_caller]
    pub fn script(&self, arguments: &[&str]) -> Ran {
        run(&mut self.to_run_script(arguments), &self.stem("verify"), b"")
    }

    fn to_run_script(&self, arguments: &[&str]) -> Command {
        let mut command = self.clean(Path::new("python3"));
        // -B: no compiled file is left in the sources.
        command.arg("-B").arg(&self.programs.script).args(arguments);
        command
    }

    /// What all three verifiers say of the data directory, held against the pins when `pinned`. They run at the same time.
    #[track_caller]
    pub fn verify(&self, pinned: bool) -> [Ran; 3] {
        let arguments = self.to_verify(pinned);
        let product = self.command(&[&["verify"], &arguments[..]].concat());
        let mut verifier = self.clean(&self.programs.verifier);
        verifier.args(&arguments);
        let started = [product, verifier, self.to_run_script(&arguments)]
            .map(|mut command| Running::start(&mut command, &self.stem("verify")));
        started.map(|verifier| verifier.finish_within(VERIFY_MAX))
    }

    /// What the quickest verifier says of the data directory and all pins, where a test looks many times.
    #[track_caller]
    pub fn verify_quickly(&self) -> Ran {
        self.verifier(&self.to_verify(true))
    }

    fn to_verify(&self, pinned: bool) -> Vec<&str> {
        let mut arguments = vec![self.data.to_str().expect("the path is text")];
        for pin in self.pins.iter().filter(|_| pinned) {
            arguments.extend(["--pin", pin.to_str().expect("the path is text")]);
        }
        arguments
    }

    /// The last step: the server is stopped if it runs, and all verifiers find the data directory clean, with every pin.
    #[track_caller]
    pub fn finish(mut self) {
        if self.serving.is_some() {
            self.stop();
        }
        for ran in self.verify(true) {
            ran.is(0);
        }
        self.finished = true;
    }

    /// The last step where damage is expected: all verifiers find it and say `what`.
    #[track_caller]
    pub fn finish_damaged(mut self, what: &str) {
        if self.serving.is_some() {
            self.stop();
        }
        for ran in self.verify(true) {
            ran.is(1).says(what);
        }
        self.finished = true;
    }

    /// The last step where there is no data directory to verify, because the test is about not making one.
    #[track_caller]
    pub fn finish_without_data(mut self) {
        assert!(!self.data.exists(), "{} was made", self.data.display());
        self.finished = true;
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(serving) = &self.serving {
                let log = serving.err();
                let start = log.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
                #[allow(clippy::print_stderr, reason = "the test's own output, shown when it fails")]
                {
                    eprintln!("the server's log ends with:\n{}", &log[start..]);
                }
            }
        } else {
            assert!(self.finished, "the scenario ended without its last step, verify");
        }
    }
}

/// Copies a folder with all that is in it.
#[track_caller]
pub fn copy_tree(from: &Path, to: &Path) {
    let failed = |error: std::io::Error| -> ! { panic!("copying {}: {error}", from.display()) };
    std::fs::create_dir_all(to).unwrap_or_else(|error| failed(error));
    for entry in std::fs::read_dir(from).unwrap_or_else(|error| failed(error)) {
        let entry = entry.unwrap_or_else(|error| failed(error));
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap_or_else(|error| failed(error)).is_dir() {
            true => copy_tree(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), &target).unwrap_or_else(|error| failed(error))),
        }
    }
}
