//! Rules from folders, and a report of each one that is not in force.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rsigma_parser::{CorrelationRule, FilterRule, Level, SigmaRule, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{FILE_BYTES_MAX, RULES_MAX};
use crate::own::{Kind, Own};
use crate::sigma::{self, Correlations, Detections, Source, place};
use crate::starter;
use crate::steps::digest;
use crate::written::{Case, Severity, WrittenFile, WrittenRule};

/// An alert of a Sigma rule is over when it did not happen for a day, in nanoseconds.
pub(crate) const SIGMA_OVER_AFTER: i64 = 86_400 * 1_000_000_000;

/// How deep folders are looked through.
const DEPTH_MAX: usize = 16;

/// Which rules.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Folders with rules: own ones and Sigma rules as published, in `.yml` and `.yaml` files at any depth.
    pub folders: Vec<PathBuf>,
    /// Rules that are not to be in force, by id.
    pub disable: Vec<String>,
    /// Whether the rules that come with Attestry are in force. Default: true.
    pub starter: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { folders: Vec::new(), disable: Vec::new(), starter: true }
    }
}

/// What is told of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleInfo {
    /// Its id.
    pub id: String,
    /// What tells it from a former text of itself.
    pub version: String,
    /// What has happened when it fires.
    pub title: String,
    /// What it means and what to do.
    pub description: String,
    /// How bad that is.
    pub severity: Severity,
    /// What it looks for.
    pub kind: Kind,
    /// What alerts are told apart by.
    pub by: Vec<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The file it is in.
    pub file: String,
    /// Its first line there, from 1.
    pub line: usize,
    /// How many cases stand beside it.
    pub cases: usize,
}

/// A rule in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded(pub RuleInfo);

/// A rule that can find nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApplicable {
    /// Its file.
    pub file: String,
    /// Its line there, from 1.
    pub line: usize,
    /// Its id, or its title.
    pub id: String,
    /// Which log source is missing.
    pub missing: String,
}

/// A rule, or a file, that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its file or folder; empty for an item of the configuration.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// What was found in the folders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Rules of log sources that are not here.
    pub not_applicable: Vec<NotApplicable>,
    /// What is wrong.
    pub refused: Vec<Refused>,
    /// Ids of rules that were switched off.
    pub disabled: Vec<String>,
    /// Those of `disable` that are the id of no rule.
    pub unknown: Vec<String>,
}

/// Rules, ready to run.
#[derive(Default)]
pub struct Rules {
    /// Own rules first, in the order of `own`, then Sigma's.
    pub(crate) infos: Vec<RuleInfo>,
    pub(crate) own: Vec<Own>,
    pub(crate) cases: Vec<Vec<Case>>,
    /// Own rules that an event of this name concerns.
    pub(crate) by_name: HashMap<String, Vec<usize>>,
    /// Own rules that an event of any name may concern.
    pub(crate) any_name: Vec<usize>,
    pub(crate) detections: Detections,
    pub(crate) correlations: Vec<CorrelationRule>,
    /// A Sigma rule's place among `infos`.
    pub(crate) sigma_numbers: HashMap<String, usize>,
    /// What is not in force.
    pub report: LoadReport,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("infos", &self.infos.len()).field("report", &self.report).finish()
    }
}

impl Rules {
    /// Reads all rules. What is wrong with one is in the report and keeps no other from being in force.
    pub fn load(options: &Options) -> Rules {
        let mut loading = Loading::default();
        if options.starter {
            for (name, text) in starter::FILES {
                loading.file(name, text);
            }
        }
        for folder in &options.folders {
            loading.folder(folder, 0);
        }
        loading.finish(&options.disable)
    }

    /// Rules of one text, as if it were a file.
    pub fn of_text(file: &str, text: &str) -> Rules {
        let mut loading = Loading::default();
        loading.file(file, text);
        loading.finish(&[])
    }

    /// What is in force.
    pub fn infos(&self) -> &[RuleInfo] {
        &self.infos
    }

    /// A rule in force, by its id.
    pub fn info(&self, id: &str) -> Option<&RuleInfo> {
        self.infos.iter().find(|info| info.id == id)
    }

    /// A hash over the versions of all rules: what tells these rules from others.
    pub fn version(&self) -> String {
        let parts: Vec<&str> =
            self.infos.iter().flat_map(|info| [info.id.as_str(), info.version.as_str()]).collect();
        digest(&parts)[..32].to_owned()
    }
}

#[derive(Default)]
struct Loading {
    own: Vec<(RuleInfo, Own, Vec<Case>)>,
    sigma: Vec<(RuleInfo, Source, SigmaRule)>,
    correlations: Vec<(RuleInfo, CorrelationRule)>,
    filters: Vec<FilterRule>,
    /// Ids and names of Sigma rules that are not applicable, which correlations may still name.
    elsewhere: HashSet<String>,
    ids: BTreeSet<String>,
    report: LoadReport,
    disabled: Vec<String>,
}

impl Loading {
    fn refuse(&mut self, file: &str, line: usize, reason: impl Into<String>) {
        self.report.refused.push(Refused { file: file.to_owned(), line, reason: reason.into() });
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        let name = folder.display().to_string();
        let mut found: Vec<PathBuf> = match fs::read_dir(folder) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(error) => return self.refuse(&name, 1, format!("cannot be read: {error}")),
        };
        found.sort();
        for path in found {
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            let yaml = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
            if hidden {
                continue;
            }
            let Ok(about) = fs::metadata(&path) else { continue };
            let name = path.display().to_string();
            if about.is_dir() {
                match depth < DEPTH_MAX {
                    true => self.folder(&path, depth + 1),
                    false => self.refuse(&name, 1, format!("more than {DEPTH_MAX} folders deep")),
                }
            } else if yaml && about.len() > FILE_BYTES_MAX {
                self.refuse(&name, 1, format!("{} bytes, expected at most {FILE_BYTES_MAX}", about.len()));
            } else if yaml {
                match fs::read_to_string(&path) {
                    Ok(text) => self.file(&name, &text),
                    Err(error) => self.refuse(&name, 1, format!("cannot be read: {error}")),
                }
            }
        }
    }

    fn file(&mut self, name: &str, text: &str) {
        let begins = |word: &str| text.lines().any(|line| line.starts_with(word));
        if begins("rules:") {
            return self.own_file(name, text);
        }
        // What `action: global` says holds for the documents after it.
        let documents = if begins("action:") { vec![(1, text.to_owned())] } else { documents(text) };
        for (line, document) in documents {
            self.sigma_document(name, line, &document);
        }
    }

    fn own_file(&mut self, name: &str, text: &str) {
        let file: WrittenFile = match serde_saphyr::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let line = error.location().map_or(1, |location| location.line() as usize);
                return self.refuse(name, line, error.without_snippet().to_string());
            }
        };
        for rule in file.rules {
            let line = rule.referenced.line() as usize;
            self.own_rule(name, line, rule.value);
        }
    }

    fn own_rule(&mut self, file: &str, line: usize, written: WrittenRule) {
        let own = match Own::of(&written) {
            Ok(own) => own,
            Err(reason) => return self.refuse(file, line, format!("{}: {reason}", written.id)),
        };
        if !written.enabled {
            return self.disabled.push(written.id);
        }
        let text = serde_json::to_string(&WrittenRule { tests: Vec::new(), ..written.clone() });
        let info = RuleInfo {
            id: written.id,
            version: digest(&[&text.unwrap_or_default()])[..16].to_owned(),
            title: written.title,
            description: written.description,
            severity: written.severity,
            kind: own.kind(),
            by: own.by.iter().map(|path| path.name().into_owned()).collect(),
            tags: written.tags,
            file: file.to_owned(),
            line,
            cases: written.tests.len(),
        };
        if self.takes(&info) {
            self.own.push((info, own, written.tests));
        }
    }

    /// Whether a rule's id is free and there is room.
    fn takes(&mut self, info: &RuleInfo) -> bool {
        if self.ids.len() >= RULES_MAX {
            self.refuse(&info.file, info.line, format!("{}: more than {RULES_MAX} rules", info.id));
            return false;
        }
        let is_new = self.ids.insert(info.id.clone());
        if !is_new {
            self.refuse(&info.file, info.line, format!("{}: there is a rule of this id already", info.id));
        }
        is_new
    }

    fn sigma_document(&mut self, file: &str, line: usize, document: &str) {
        let refused_line = |message: &str| line + line_in(message).map_or(0, |within| within - 1);
        let collection = match rsigma_parser::parse_sigma_yaml(document) {
            Ok(collection) => collection,
            Err(error) => {
                let reason = error.to_string();
                let at = refused_line(&reason);
                return self.refuse(file, at, reason);
            }
        };
        for reason in &collection.errors {
            let at = refused_line(reason);
            self.refuse(file, at, reason.clone());
        }
        let empty = collection.rules.is_empty()
            && collection.correlations.is_empty()
            && collection.filters.is_empty();
        if empty && collection.errors.is_empty() && document.lines().any(is_text) {
            self.refuse(file, line, "neither own rules (rules:) nor a Sigma rule (detection:, correlation:)");
        }
        let version = digest(&[document])[..16].to_owned();
        for rule in collection.rules {
            self.sigma_rule(file, line, &version, rule);
        }
        for rule in collection.correlations {
            let id = rule.id.clone().or_else(|| rule.name.clone()).unwrap_or_else(|| slug(&rule.title));
            let info = RuleInfo {
                id: id.clone(),
                version: version.clone(),
                title: rule.title.clone(),
                description: rule.description.clone().unwrap_or_default(),
                severity: severity(rule.level),
                kind: Kind::Correlation,
                by: rule.group_by.clone(),
                tags: rule.tags.clone(),
                file: file.to_owned(),
                line,
                cases: 0,
            };
            if self.takes(&info) {
                self.correlations.push((info, CorrelationRule { id: Some(id), ..rule }));
            }
        }
        self.filters.extend(collection.filters);
    }

    fn sigma_rule(&mut self, file: &str, line: usize, version: &str, mut rule: SigmaRule) {
        sigma::mend::keywords(&mut rule);
        let id = rule.id.clone().or_else(|| rule.name.clone()).unwrap_or_else(|| slug(&rule.title));
        let old = matches!(rule.status, Some(Status::Deprecated | Status::Unsupported));
        let source = match place(&rule.logsource) {
            Ok(_) if old => Err("it is marked as deprecated or unsupported".to_owned()),
            found => found,
        };
        let source = match source {
            Ok(source) => source,
            Err(missing) => {
                self.elsewhere.extend(rule.name.clone());
                self.elsewhere.insert(id.clone());
                let file = file.to_owned();
                return self.report.not_applicable.push(NotApplicable { file, line, id, missing });
            }
        };
        let info = RuleInfo {
            id: id.clone(),
            version: version.to_owned(),
            title: rule.title.clone(),
            description: rule.description.clone().unwrap_or_default(),
            severity: severity(rule.level),
            kind: Kind::Sigma,
            by: vec!["host".to_owned()],
            tags: rule.tags.clone(),
            file: file.to_owned(),
            line,
            cases: 0,
        };
        if self.takes(&info) {
            self.sigma.push((info, source, SigmaRule { id: Some(id), ..rule }));
        }
    }

    fn finish(mut self, disable: &[String]) -> Rules {
        let disabled: HashSet<&str> = disable.iter().map(String::as_str).collect();
        self.report.unknown = disable.iter().filter(|id| !self.ids.contains(*id)).cloned().collect();
        let on = |info: &RuleInfo| !disabled.contains(info.id.as_str());
        let off = self.ids.iter().filter(|id| disabled.contains(id.as_str())).cloned();
        self.report.disabled = self.disabled.iter().cloned().chain(off).collect();
        self.own.retain(|(info, ..)| on(info));
        self.sigma.retain(|(info, ..)| on(info));
        self.correlations.retain(|(info, _)| on(info));

        let mut rules = Rules { report: std::mem::take(&mut self.report), ..Rules::default() };
        for (number, (info, own, cases)) in self.own.into_iter().enumerate() {
            match own.names() {
                None => rules.any_name.push(number),
                Some(names) => {
                    for name in names {
                        rules.by_name.entry(name).or_default().push(number);
                    }
                }
            }
            rules.infos.push(info);
            rules.own.push(own);
            rules.cases.push(cases);
        }
        rules.sigma(self.sigma, self.correlations, &self.filters, &self.elsewhere);
        rules
    }
}

impl Rules {
    fn sigma(
        &mut self,
        rules: Vec<(RuleInfo, Source, SigmaRule)>,
        mut correlations: Vec<(RuleInfo, CorrelationRule)>,
        filters: &[FilterRule],
        elsewhere: &HashSet<String>,
    ) {
        let mut ids: HashMap<String, String> = HashMap::new();
        for (info, _, rule) in &rules {
            ids.insert(info.id.clone(), info.id.clone());
            ids.extend(rule.name.clone().map(|name| (name, info.id.clone())));
        }
        let mut known: HashSet<String> = ids.keys().cloned().collect();
        for (_, rule) in &correlations {
            known.extend(rule.id.iter().chain(&rule.name).cloned());
        }
        let report = &mut self.report;
        correlations.retain_mut(|(info, rule)| {
            sigma::mend::correlation(rule, &ids);
            let lost = rule.rules.iter().find(|reference| !known.contains(*reference));
            let refuse = |reason: String| Refused { file: info.file.clone(), line: info.line, reason };
            match lost {
                Some(lost) if elsewhere.contains(lost) => {
                    let missing = format!("the rule {lost}, which it counts, is not applicable");
                    let (file, line, id) = (info.file.clone(), info.line, info.id.clone());
                    report.not_applicable.push(NotApplicable { file, line, id, missing });
                    false
                }
                Some(lost) => {
                    report.refused.push(refuse(format!("{}: there is no rule {lost}", info.id)));
                    false
                }
                None => match Correlations::try_out(rule) {
                    Ok(()) => true,
                    Err(reason) => {
                        report.refused.push(refuse(format!("{}: {reason}", info.id)));
                        false
                    }
                },
            }
        });
        let silent = correlations
            .iter()
            .filter(|(_, rule)| !rule.generate)
            .flat_map(|(_, rule)| rule.rules.iter().cloned())
            .collect();
        let (mut infos, mut placed) = (Vec::new(), Vec::new());
        for (info, source, rule) in rules {
            infos.push(info);
            placed.push((source, rule));
        }
        let wrong = self.detections.add(placed, filters, silent);
        for (id, reason) in wrong {
            let at = infos.iter().position(|info| info.id == id).map(|at| infos.remove(at));
            let (file, line) = at.map_or((String::new(), 1), |info| (info.file, info.line));
            self.report.refused.push(Refused { file, line, reason: format!("{id}: {reason}") });
        }
        for (info, rule) in correlations {
            infos.push(info);
            self.correlations.push(rule);
        }
        for info in infos {
            self.sigma_numbers.insert(info.id.clone(), self.infos.len());
            self.infos.push(info);
        }
    }

    /// The own rules with the cases beside them.
    pub fn with_cases(&self) -> impl Iterator<Item = (&RuleInfo, &[Case])> {
        self.infos.iter().zip(self.cases.iter().map(Vec::as_slice))
    }
}

fn severity(level: Option<Level>) -> Severity {
    match level {
        Some(Level::Informational) => Severity::Informational,
        Some(Level::Low) => Severity::Low,
        Some(Level::Medium) | None => Severity::Medium,
        Some(Level::High) => Severity::High,
        Some(Level::Critical) => Severity::Critical,
    }
}

/// An id made of a title.
fn slug(title: &str) -> String {
    let letters = title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let text: String = letters.take(64).collect();
    text.trim_matches('-').to_owned()
}

fn is_text(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// The documents of a file, each with its first line.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = vec![(1, String::new())];
    for (nth, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            found.push((nth + 2, String::new()));
        } else if let Some((_, document)) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    found.retain(|(_, document)| document.lines().any(is_text));
    found
}

/// The line that a parser's message names.
fn line_in(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once("line ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|line| *line > 0)
}
