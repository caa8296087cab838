//! What the rest of the system needs to know of Attestry: units and snippets from templates with variables.

mod template;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use attestry_journal::disk::{RealDisk, replace};
use serde_json::{Map, Value};

pub(crate) use template::variables;

/// What can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A hardened systemd service for `attestry run`.
    Systemd,
    /// Docker's daemon.json, so that its containers log here by GELF. Settings that are there stay.
    DockerGelf,
    /// A snippet for rsyslog that sends all it gets here, and keeps it on disk meanwhile.
    Rsyslog,
    /// A line for cron that collects and sends without anything resident.
    Cron,
}

impl Kind {
    /// The template that comes with Attestry.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Kind::Systemd => include_str!("attestry.service"),
            Kind::DockerGelf => include_str!("daemon.json"),
            Kind::Rsyslog => include_str!("rsyslog.conf"),
            Kind::Cron => include_str!("attestry.cron"),
        }
    }

    /// Where it belongs.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Kind::Systemd => "/etc/systemd/system/attestry.service",
            Kind::DockerGelf => "/etc/docker/daemon.json",
            Kind::Rsyslog => "/etc/rsyslog.d/90-attestry.conf",
            Kind::Cron => "/etc/cron.d/attestry",
        }
    }

    /// What to do once it is there.
    pub(crate) fn next(self) -> &'static str {
        match self {
            Kind::Systemd => "systemctl daemon-reload && systemctl enable --now attestry",
            Kind::DockerGelf => "systemctl restart docker   # containers made from then on log by GELF",
            Kind::Rsyslog => "rsyslogd -N1 && systemctl restart rsyslog",
            Kind::Cron => "nothing: cron sees it within a minute",
        }
    }

    /// What a value must not have here, because it would end the word, the string or the command it stands in.
    fn forbidden(self, variable: &str) -> &'static str {
        match (self, variable) {
            (Kind::Systemd, "groups" | "capabilities") => "%\"'\\;",
            (Kind::Systemd, _) => " \t%\"'\\;",
            (Kind::Rsyslog, _) => "\"\\`",
            (Kind::Cron, "schedule") => "%\"'\\;&|<>()$`#",
            (Kind::Cron, _) => " \t%\"'\\;&|<>()$`#*?[]{}~!",
            // A JSON string holds anything.
            (Kind::DockerGelf, _) => "",
        }
    }

    /// The text, with the variables replaced.
    pub(crate) fn text(self, template: &str, given: &BTreeMap<String, String>) -> Result<String> {
        let mut values = BTreeMap::new();
        for (name, value) in given {
            let forbidden = self.forbidden(name);
            if let Some(found) = value.chars().find(|c| forbidden.contains(*c)) {
                bail!("the value of {name:?} has {found:?}, which would end what it stands in");
            }
            let value = match self {
                // Without the quotes, which the template has.
                Kind::DockerGelf => Value::from(value.as_str()).to_string().trim_matches('"').to_owned(),
                _ => value.clone(),
            };
            values.insert(name.clone(), value);
        }
        template::fill(template, &values)
    }
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was made or replaced.
    Now,
    /// It was there with the same content.
    Already,
}

/// Puts `text` at the kind's place below `root`. What is there and differs stays, unless forced; of daemon.json what the text does not name stays.
pub(crate) fn write(kind: Kind, text: &str, root: &Path, force: bool) -> Result<(PathBuf, Written)> {
    let path = root.join(kind.place().trim_start_matches('/'));
    let there = match fs::read_to_string(&path) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let text = match (&there, kind) {
        (Some(there), Kind::DockerGelf) => merged(there, text, force)
            .with_context(|| format!("cannot add to {}; it was left as it is", path.display()))?,
        _ => text.to_owned(),
    };
    match there {
        Some(there) if there == text => return Ok((path, Written::Already)),
        Some(_) if !force && kind != Kind::DockerGelf => {
            bail!("{} is there and differs; it was left as it is (--force replaces it)", path.display());
        }
        _ => {}
    }
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    replace(&RealDisk, &path, text.as_bytes())
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path, Written::Now))
}

/// The settings that are there with ours; a setting that is there with another value is kept only when not forced, and then it is an error.
fn merged(there: &str, ours: &str, force: bool) -> Result<String> {
    let object = |text: &str| -> Result<Map<String, Value>> {
        serde_json::from_str(text).context("it is no JSON object")
    };
    let mut merged = if there.trim().is_empty() { Map::new() } else { object(there)? };
    for (name, value) in object(ours)? {
        match merged.get(&name) {
            Some(found) if *found != value && !force => {
                bail!("{name} is {found}, not {value} (--force replaces it)");
            }
            _ => {
                merged.insert(name, value);
            }
        }
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&merged)?))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn none() -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    #[test]
    fn every_kind_has_defaults_for_all_it_needs() {
        for kind in Kind::value_variants() {
            let text = kind.text(kind.template(), &none()).unwrap();
            assert!(!text.contains("{{"), "{kind:?}: {text}");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_place() {
        for (kind, name, value) in [
            (Kind::Systemd, "program", "/bin/sh -c x"),
            (Kind::Systemd, "user", "a;b"),
            (Kind::Rsyslog, "target", "a\" b=\""),
            (Kind::Cron, "config", "x;reboot"),
            (Kind::Cron, "user", "root reboot"),
            (Kind::Cron, "schedule", "* * * * * root reboot #"),
            (Kind::Cron, "program", "$(id)"),
        ] {
            let given = [(name.to_owned(), value.to_owned())].into();
            let error = kind.text(kind.template(), &given).unwrap_err().to_string();
            assert!(error.contains(name), "{kind:?} {name}: {error}");
        }
        let given = [("address".to_owned(), "tcp://x\", \"y\": \"z".to_owned())].into();
        let text = Kind::DockerGelf.text(Kind::DockerGelf.template(), &given).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["log-opts"]["gelf-address"], "tcp://x\", \"y\": \"z");
    }

    #[test]
    fn what_is_there_and_differs_stays() {
        let root = tempfile::tempdir().unwrap();
        let (path, written) = write(Kind::Cron, "one\n", root.path(), false).unwrap();
        assert_eq!(
            (written, path.as_path()),
            (Written::Now, root.path().join("etc/cron.d/attestry").as_path())
        );
        assert_eq!(write(Kind::Cron, "one\n", root.path(), false).unwrap().1, Written::Already);
        assert!(write(Kind::Cron, "two\n", root.path(), false).unwrap_err().to_string().contains("--force"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        assert_eq!(write(Kind::Cron, "two\n", root.path(), true).unwrap().1, Written::Now);
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn settings_of_docker_stay() {
        let ours = Kind::DockerGelf.text(Kind::DockerGelf.template(), &none()).unwrap();
        let merge = |there: &str, force| merged(there, &ours, force).map_err(|error| error.to_string());
        let read: Value = serde_json::from_str(&merge(r#"{"data-root": "/srv"}"#, false).unwrap()).unwrap();
        assert_eq!((&read["data-root"], &read["log-driver"]), (&"/srv".into(), &"gelf".into()));
        let error = merge(r#"{"log-driver": "journald"}"#, false).unwrap_err();
        assert!(error.contains("journald"), "{error}");
        assert!(merge(r#"{"log-driver": "journald"}"#, true).unwrap().contains("gelf"));
        assert!(merge("[]", true).is_err() && merge("{", true).is_err());
        let once = merge("", false).unwrap();
        assert_eq!(merge(&once, false).unwrap(), once);
    }
}
