//! What snapshots lack, before one is due.

use attestry_openpgp::{Gpg, GpgError, KeyUse};

use super::What;
use super::program::{program, version};
use crate::config::WatchConfig;
use crate::database::{Finding, Level};

/// Looks at the programs, keys and folders that the snapshots of a watch need.
pub fn check(watch: &WatchConfig, gpg: &Gpg) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, config) in &watch.snapshots {
        let subject = format!("snapshot {name}");
        let mut say = |level, message: String, remedy: Option<String>| {
            found.push(Finding { level, subject: subject.clone(), message, remedy, opens: None });
        };
        if let (What::Watched, Some(engine)) = (config.what, watch.engine()) {
            let (program, remedy) = program(engine, config);
            match version(&program) {
                Ok(version) => say(Level::Note, format!("dumps by {version}"), None),
                Err(error) => {
                    let what = format!("{} cannot be started: {error}", program.display());
                    say(Level::Error, what, Some(remedy.to_owned()));
                }
            }
        }
        let signs = config.sign_with.iter().map(|wanted| ("sign_with", wanted, KeyUse::Sign));
        let reads = config.encrypt_to.iter().map(|wanted| ("encrypt_to", wanted, KeyUse::Encrypt));
        for (item, wanted, purpose) in signs.chain(reads) {
            match gpg.key(wanted, purpose) {
                Ok(key) => {
                    say(Level::Note, format!("{item}: {} ({})", key.fingerprint, key.owner()), None);
                }
                Err(GpgError::Key(problem)) => {
                    let what = problem.to_string();
                    let remedy = problem.remedy();
                    let what = what.strip_suffix(&format!("; {remedy}")).unwrap_or(&what).to_owned();
                    say(Level::Error, format!("{item}: {what}"), Some(remedy));
                }
                Err(error) => say(Level::Error, format!("{item}: {error}"), None),
            }
        }
        if config.unencrypted {
            let what = format!(
                "whoever can read {} reads the whole dump, masked columns too",
                config.folder.display()
            );
            say(Level::Warning, what, Some("encrypt_to: [...]".to_owned()));
        }
        if config.folder.exists() && !config.folder.is_dir() {
            say(Level::Error, format!("{} is no folder", config.folder.display()), None);
        }
    }
    found
}
