//! As whom to use a queue.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::queue::Failed;
use crate::secret::Secret;

/// Keys, or where they are. By default they are looked for in the environment, then in the file.
///
/// A role of the machine is not asked for; whatever renews such keys writes them to the file, which is read at each connection.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// The id of the access key; goes with `secret_key`.
    pub access_key: Option<String>,
    /// The secret access key.
    pub secret_key: Option<Secret>,
    /// The session token of temporary keys.
    pub session_token: Option<Secret>,
    /// The section of the profile file. Default: `AWS_PROFILE`, or `default`.
    pub profile: Option<String>,
    /// The profile file. Default: `AWS_SHARED_CREDENTIALS_FILE`, or `~/.aws/credentials`.
    pub file: Option<PathBuf>,
}

/// Keys as they are used.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: Option<String>,
}

impl Credentials {
    pub(super) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.access_key.is_some() != self.secret_key.is_some() {
            let reason = "access_key and secret_key go together, one of them is missing";
            wrong.push(("queue.credentials", reason.to_owned()));
        }
        if self.access_key.is_some() && (self.profile.is_some() || self.file.is_some()) {
            wrong.push(("queue.credentials", "keys and a profile, expected one of them".to_owned()));
        }
        wrong
    }

    /// The keys, fetched now.
    pub(super) fn keys(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Keys, Failed> {
        if let (Some(access_key), Some(secret_key)) = (&self.access_key, &self.secret_key) {
            let session_token = self.session_token.as_ref().map(Secret::read).transpose()?;
            return Ok(Keys {
                access_key: access_key.clone(),
                secret_key: secret_key.read()?,
                session_token,
            });
        }
        let of_environment = (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"));
        if let (None, None, (Some(access_key), Some(secret_key))) =
            (&self.profile, &self.file, of_environment)
        {
            return Ok(Keys { access_key, secret_key, session_token: environment("AWS_SESSION_TOKEN") });
        }
        let file =
            self.file.clone().or_else(|| environment("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from));
        let home = || environment("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
        let file = file
            .or_else(home)
            .ok_or_else(|| Failed("no credentials, and no HOME to look for them".to_owned()))?;
        let profile = self.profile.clone().or_else(|| environment("AWS_PROFILE"));
        let profile = profile.as_deref().unwrap_or("default");
        let shown = file.display();
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Failed(format!("no keys in the environment, and {shown} cannot be read: {error}"))
        })?;
        section(&text, profile)
            .ok_or_else(|| Failed(format!("{shown} has no keys in its section [{profile}]")))
    }
}

/// The keys of a section of a profile file: `[name]`, then `aws_access_key_id = ...` and so on.
fn section(text: &str, name: &str) -> Option<Keys> {
    let mut inside = false;
    let (mut access_key, mut secret_key, mut session_token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = header.trim() == name;
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            let value = Some(value.trim().to_owned());
            match key.trim() {
                "aws_access_key_id" => access_key = value,
                "aws_secret_access_key" => secret_key = value,
                "aws_session_token" => session_token = value,
                _ => {}
            }
        }
    }
    Some(Keys { access_key: access_key?, secret_key: secret_key?, session_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# keys\n[default]\naws_access_key_id=A\naws_secret_access_key = a=/+\n\n[ other ]\naws_access_key_id = B\n\
                        aws_secret_access_key = b\naws_session_token = t\nregion = x\n[half]\naws_access_key_id = C\n";

    fn shown(keys: Result<Keys, Failed>) -> String {
        match keys {
            Ok(keys) => {
                format!("{} {} {}", keys.access_key, keys.secret_key, keys.session_token.unwrap_or_default())
            }
            Err(Failed(reason)) => reason,
        }
    }

    #[test]
    fn keys_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        std::fs::write(&file, FILE).unwrap();
        let path = file.display();
        let keys = "AWS_ACCESS_KEY_ID=E AWS_SECRET_ACCESS_KEY=e AWS_SESSION_TOKEN=s";
        let at = format!("AWS_SHARED_CREDENTIALS_FILE={path}");
        let other = format!("{at} AWS_PROFILE=other");
        for (yaml, environment, expected) in [
            ("{access_key: K, secret_key: k}", keys, "K k "),
            ("{access_key: K, secret_key: k, session_token: t}", keys, "K k t"),
            ("{}", keys, "E e s"),
            ("{}", &at, "A a=/+ "),
            ("{}", &other, "B b t"),
            ("{profile: other}", &format!("{keys} {at}"), "B b t"),
            (&format!("{{file: {path}}}"), keys, "A a=/+ "),
            ("{profile: half}", &at, "no keys in its section [half]"),
            ("{}", "HOME=/nowhere", "/nowhere/.aws/credentials cannot be read"),
            ("{}", "", "no HOME"),
        ] {
            let credentials: Credentials = serde_saphyr::from_str(yaml).unwrap();
            let variable = |name: &str| {
                let found = environment.split(' ').filter_map(|pair| pair.split_once('='));
                found.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).next()
            };
            let found = shown(credentials.keys(variable));
            assert!(found.contains(expected), "{yaml}, {environment}: {found}");
        }
    }
}
