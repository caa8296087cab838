//! The section `reports`: own definitions, schedules, and how figures from outside are had.

use std::collections::BTreeMap;
use std::path::PathBuf;

use attestry_event::Period;
use attestry_report::{Definition, Planned, built_in};
use attestry_wire::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More files than this in a folder of definitions are a mistake.
const FILES_MAX: usize = 1_000;

/// Reports: what is handed over, when, and to whom.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reports {
    /// Folders with definitions of reports, `*.yaml`. A definition with the name of a built-in one takes its place.
    pub(crate) folders: Vec<PathBuf>,
    /// What is made and sent by itself, by name.
    pub(crate) schedules: BTreeMap<String, Planned>,
    /// Who figures over HTTP are asked as, by the name that a definition gives.
    pub(crate) logins: BTreeMap<String, Login>,
    /// Whether figures over HTTP may be had from this host and private networks. Default: no.
    pub(crate) allow_private: bool,
    /// How long one figure may take. Default: 30s.
    pub(crate) figure_timeout: Period,
    /// How long making one report may take. Default: 10m.
    pub(crate) timeout: Period,
}

/// A user and a password.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: Secret,
}

impl Default for Reports {
    fn default() -> Self {
        Reports {
            folders: Vec::new(),
            schedules: BTreeMap::new(),
            logins: BTreeMap::new(),
            allow_private: false,
            figure_timeout: Period::seconds(30),
            timeout: Period::seconds(600),
        }
    }
}

/// A definition, and whether everybody has it.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) definition: Definition,
    pub(crate) built_in: bool,
}

impl Reports {
    /// All definitions by name, and what is wrong with those in the folders, each with its file.
    pub(crate) fn definitions(&self) -> (BTreeMap<String, Kind>, Vec<(PathBuf, String)>) {
        let kind = |definition: &Definition, built_in| Kind { definition: definition.clone(), built_in };
        let mut kinds: BTreeMap<String, Kind> =
            built_in().iter().map(|of| (of.name.clone(), kind(of, true))).collect();
        let (mut wrong, mut own) = (Vec::new(), BTreeMap::<String, PathBuf>::new());
        for folder in &self.folders {
            let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
                Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
                Err(error) => {
                    wrong.push((folder.clone(), error.to_string()));
                    continue;
                }
            };
            files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
            files.sort();
            if files.len() > FILES_MAX {
                wrong.push((
                    folder.clone(),
                    format!("it has {} files, expected at most {FILES_MAX}", files.len()),
                ));
                continue;
            }
            for file in files {
                let read = std::fs::read_to_string(&file).map_err(|error| error.to_string());
                match read.and_then(|text| Definition::parse(&text).map_err(|error| error.to_string())) {
                    Ok(definition) => match own.get(&definition.name) {
                        Some(other) => {
                            let what =
                                format!("{} has a report {:?} already", other.display(), definition.name);
                            wrong.push((file, what));
                        }
                        None => {
                            own.insert(definition.name.clone(), file);
                            kinds.insert(definition.name.clone(), kind(&definition, false));
                        }
                    },
                    Err(what) => wrong.push((file, what)),
                }
            }
        }
        (kinds, wrong)
    }

    /// What is wrong with the section, each with its place in it.
    pub(crate) fn check(&self, sinks: &[&str]) -> Vec<(Vec<String>, String)> {
        let (kinds, broken) = self.definitions();
        let place = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<String>>();
        let mut wrong: Vec<(Vec<String>, String)> = broken
            .into_iter()
            .map(|(file, what)| (place(&["folders"]), format!("{}: {what}", file.display())))
            .collect();
        let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
        for (name, planned) in &self.schedules {
            for (item, what) in planned.check(&names, Some(sinks)) {
                wrong.push((place(&["schedules", name, item]), format!("{item}: {what}")));
            }
            let Some(kind) = kinds.get(&planned.report) else { continue };
            for (parameter, asked) in &kind.definition.parameters {
                if asked.default.is_none() && !planned.parameters.contains_key(parameter) {
                    let what = format!("{parameter} is missing: {}", asked.description);
                    wrong.push((place(&["schedules", name, "parameters"]), what));
                }
            }
        }
        for kind in kinds.values() {
            for figure in kind.definition.sections.iter().flat_map(|section| &section.figures) {
                let login = figure.http.as_ref().and_then(|http| http.login.as_ref());
                let login = login.or(figure.json_rpc.as_ref().and_then(|call| call.login.as_ref()));
                if let Some(login) = login.filter(|login| !self.logins.contains_key(*login)) {
                    let what = format!("the report {} needs the login {login:?}", kind.definition.name);
                    wrong.push((place(&["logins"]), what));
                }
            }
        }
        for (name, time) in [("figure_timeout", self.figure_timeout), ("timeout", self.timeout)] {
            if let Some(why) = time.at_least(Period::seconds(1)) {
                wrong.push((place(&[name]), format!("{name}: {why}")));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_has_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "a.yaml",
            "name: own\ntitle: Own\nsections: [{figures: [{name: x, http: {url: 'https://a/', login: l}}]}]",
        );
        write("b.yaml", "name: own\ntitle: Again\nsections: [{text: x}]");
        write("c.yaml", "name: broken\ntitle: Broken\nsections: []");
        write("ignored.txt", "not yaml: [");
        let text = format!(
            "folders: [{}, /nowhere]\nfigure_timeout: 0s\nschedules:\n  a: {{report: nothing, cron: x, zone: Mars, folder: relative, sinks: [office], formats: []}}\n  b: {{report: breach-scope, cron: '0 6 * * *'}}\n  c: {{report: own, cron: '0 6 * * *', zone: Europe/Paris}}\n",
            dir.path().display()
        );
        let reports: Reports = serde_saphyr::from_str(&text).unwrap();
        let found: Vec<String> = reports.check(&["siem"]).iter().map(|(place, _)| place.join(".")).collect();
        assert_eq!(
            found,
            [
                "folders",
                "folders",
                "folders",
                "schedules.a.report",
                "schedules.a.zone",
                "schedules.a.formats",
                "schedules.a.folder",
                "schedules.a.sinks",
                "schedules.b.parameters",
                "logins",
                "figure_timeout"
            ]
        );
        let (kinds, _) = reports.definitions();
        assert!(kinds["packages"].built_in && !kinds["own"].built_in && !kinds.contains_key("broken"));
    }
}
