//! `attestry verify`: is it whole? The checks are those of `attestry-verify`. Only of a report more is told: whose OpenPGP signature it has, and
//! whether what it shows is what its part for programs says.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use attestry_openpgp::{Demand, Fingerprint, Gpg, KeyUse, OpenError, Signature, Trust};
use attestry_verify::{Damage, Kind, Options, Progress, Report, check, read_pin};
use clap::Args;

use crate::config::Config;

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A data directory, the URL of a server or of one of its logs, an export, a proof, or a report (also signed or encrypted with OpenPGP).
    target: String,
    /// A verifier key and checkpoint that were kept elsewhere (`attestry ledger show --pin`); may be given several times.
    #[arg(long, value_name = "FILE")]
    pin: Vec<PathBuf>,
    /// The verifier key that a proof or an export must be signed with.
    #[arg(long, value_name = "KEY")]
    vkey: Option<String>,
    /// A key whose OpenPGP signature on a report counts, by fingerprint, id or mail address; may be given several times.
    #[arg(long, value_name = "KEY")]
    signer: Vec<String>,
    /// The entry that a proof is of; else the proof's name with the ending .json.
    #[arg(long, visible_alias = "event", value_name = "FILE")]
    entry: Option<PathBuf>,
    /// A file with the key to show to the server; or the variable ATTESTRY_KEY.
    #[arg(long, env = "ATTESTRY_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A PEM file with the certificate to trust.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks, prints the report and gives the exit code: 0 clean, 1 damage, 2 could not check.
pub(crate) fn verify(verify: &Verify) -> Result<u8> {
    let shown = Mutex::new(None);
    let terminal = io::stderr().is_terminal();
    let progress = |progress: &Progress<'_>| show(progress, &shown);
    let token = match &verify.key_file {
        Some(file) => {
            Some(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?)
        }
        None => std::env::var(crate::client::KEY_VARIABLE).ok(),
    };
    let options = Options {
        pins: verify.pin.iter().map(|path| read_pin(path)).collect::<Result<_, _>>()?,
        key: verify.vkey.as_deref().map(|key| key.trim().parse()).transpose().context("--vkey")?,
        entry: verify.entry.clone(),
        token: token.map(|token| token.trim().to_owned()),
        authorities: verify.ca_file.clone(),
        progress: terminal.then_some(&progress),
    };
    let report = handed_over(verify, &options)?;
    if terminal {
        write!(io::stderr(), "\r\x1b[K")?;
    }
    let mut out = io::stdout().lock();
    match verify.json {
        true => writeln!(out, "{:#}", report.to_json())?,
        false => write!(out, "{report}")?,
    }
    Ok(report.exit_code())
}

/// How an armoured OpenPGP message begins.
pub(super) const ARMOUR: &[u8] = b"-----BEGIN PGP ";

/// The most that a report may have, in bytes.
const REPORT_MAX: u64 = 256 << 20;

/// Checks the target; of a report the OpenPGP signature as well, and that it was rendered from its data.
fn handed_over(verify: &Verify, options: &Options<'_>) -> Result<Report> {
    let path = Path::new(&verify.target);
    let beside = PathBuf::from(format!("{}.asc", path.display()));
    if !path.is_file() || std::fs::metadata(path)?.len() > REPORT_MAX {
        return Ok(check(&verify.target, options)?);
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (bytes, signature) = if bytes.starts_with(ARMOUR) {
        match opened(&verify.signer, &bytes)? {
            Ok((text, signature)) => (text, Some(Ok(signature))),
            Err(why) => bail!("{}: {why}", path.display()),
        }
    } else if beside.is_file() {
        let signature =
            std::fs::read(&beside).with_context(|| format!("cannot read {}", beside.display()))?;
        let signature = detached(&verify.signer, &signature, &bytes)?;
        (bytes, Some(signature))
    } else {
        (bytes, None)
    };
    let text = String::from_utf8(bytes).ok();
    let found = text.as_ref().and_then(|text| attestry_verify::handed_over(&verify.target, text, options));
    let (Some(text), Some(mut report)) = (text, found) else { return Ok(check(&verify.target, options)?) };
    match attestry_report::parse(&text) {
        Ok((document, format)) if attestry_report::render(&document, format)? == text => {}
        Ok((document, _)) if document.recipe.generator != attestry_report::GENERATOR => {
            let what = format!(
                "whether what is shown is what the data says: the report was made by {}",
                document.recipe.generator
            );
            tell(&mut report, |ledger| ledger.unchecked.push(what.clone()));
        }
        Ok(_) => report.damage.push(damage(
            "what the report shows is not what its part for programs says: it was changed by hand",
        )),
        Err(error) => report.damage.push(damage(&error.to_string())),
    }
    match signature {
        None => {}
        Some(Ok(signature)) => tell(&mut report, |ledger| ledger.notes.push(told(&signature))),
        Some(Err(why)) => report.damage.push(damage(&format!("the OpenPGP signature: {why}"))),
    }
    Ok(report)
}

/// What is said of a signature that counts.
pub(super) fn told(signature: &Signature) -> String {
    let Signature { signer, time, trust, .. } = signature;
    let time = attestry_event::Nanos(i64::try_from(*time).unwrap_or(0).saturating_mul(1_000_000_000));
    format!("OpenPGP signature by {signer} at {time}, trusted {}", trust.name())
}

fn damage(what: &str) -> Damage {
    Damage { kind: Kind::File, first: None, end: None, what: what.to_owned() }
}

/// Tells it with the first ledger, which every report has.
fn tell(report: &mut Report, f: impl FnOnce(&mut attestry_verify::Ledger)) {
    if let Some(ledger) = report.ledgers.first_mut() {
        f(ledger);
    }
}

/// The user's GnuPG, and whose signatures count: those given, else those that the configuration's schedules sign with.
fn signers(given: &[String]) -> Result<(Gpg, Vec<Fingerprint>)> {
    let config = Config::load(None, std::env::vars(), |_| {}).ok();
    let gpg = Gpg::new(&config.as_ref().map(|config| config.written.openpgp.clone()).unwrap_or_default());
    let mut wanted = given.to_vec();
    if wanted.is_empty() {
        let schedules = config.iter().flat_map(|config| config.written.reports.schedules.values());
        wanted = schedules.filter_map(|planned| planned.sign_with.clone()).collect();
    }
    if wanted.is_empty() {
        bail!("the report is signed with OpenPGP: say whose signature counts (--signer FINGERPRINT)");
    }
    // Whether the key may be believed is judged with the signature: here only which one it is.
    let fingerprint = |text: &String| match text.parse::<Fingerprint>() {
        Ok(fingerprint) => Ok(fingerprint),
        Err(_) => Ok(gpg.key(text, KeyUse::Believe)?.fingerprint),
    };
    let fingerprints = wanted.iter().map(fingerprint).collect::<Result<_>>()?;
    Ok((gpg, fingerprints))
}

type Judged<T> = Result<T, String>;

fn judged<T>(done: Result<T, OpenError>) -> Result<Judged<T>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(OpenError::Refused(why)) => Ok(Err(why.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The text of a report that is signed, or signed and encrypted, and whose signature it has, or why that does not count. Those count that are
/// `given`, else those that schedules sign with.
pub(super) fn opened(given: &[String], message: &[u8]) -> Result<Judged<(Vec<u8>, Signature)>> {
    let (gpg, signers) = signers(given)?;
    let demand = Demand { signers: &signers, trust: Trust::Full, bytes_max: REPORT_MAX };
    Ok(judged(gpg.open(message, &demand))?.map(|opened| (opened.text, opened.signature)))
}

fn detached(given: &[String], signature: &[u8], signed: &[u8]) -> Result<Judged<Signature>> {
    let (gpg, signers) = signers(given)?;
    let demand = Demand { signers: &signers, trust: Trust::Full, bytes_max: REPORT_MAX };
    judged(gpg.verify_detached(signature, &demand, &mut &*signed))
}

fn show(progress: &Progress<'_>, shown: &Mutex<Option<Instant>>) {
    let Ok(mut shown) = shown.try_lock() else { return };
    if shown.is_none_or(|last| last.elapsed() > Duration::from_millis(200)) {
        let Progress { ledger, done, total } = progress;
        // Progress that cannot be shown is not worth failing for.
        let _ =
            write!(io::stderr(), "\r\x1b[K{}: {done} of {total} entries", crate::terminal::escape(ledger));
        *shown = Some(Instant::now());
    }
}

/// Verifies one ledger of a data directory: whether it is clean, how many entries were hashed, and what is wrong.
pub(crate) fn one_ledger(data_dir: &Path, name: &str) -> Result<(bool, u64, Vec<String>)> {
    let report = attestry_verify::ledger(data_dir, name, &Options::default())?;
    let mut problems = Vec::new();
    for (_, damage) in report.all_damage() {
        let range = match (damage.first, damage.end) {
            (Some(first), Some(end)) if end == first + 1 => format!("entry {first}: "),
            (Some(first), Some(end)) => format!("entries {first}..{end}: "),
            _ => String::new(),
        };
        problems.push(format!("{range}{}", damage.what));
    }
    let found = report
        .ledgers
        .iter()
        .find(|ledger| ledger.name == name)
        .context("the ledger is not in the data directory")?;
    problems.extend(found.unchecked.iter().map(|what| format!("not checked: {what}")));
    Ok((problems.is_empty(), found.hashed, problems))
}
