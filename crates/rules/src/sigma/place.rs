//! Which of our events are of which Sigma log source.
//!
//! The names of log sources are those of SigmaHQ's taxonomy (sigma-specification, `appendix_taxonomy`).

use attestry_event::Entry;
use rsigma_parser::LogSource;

use super::View;

/// A log source that is here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `product: linux` alone: everything a host tells.
    Linux,
    /// `service: auth`: logins, sessions, sudo, su, users.
    Auth,
    /// `service: sshd`.
    Sshd,
    /// `service: sudo`.
    Sudo,
    /// `service: cron`.
    Cron,
    /// `service: syslog`: lines of a host's programs.
    Syslog,
    /// `service: auditd`.
    Auditd,
    /// `category: process_creation`: what was run by sudo, cron, auditd, containers.
    Process,
    /// `category: file_event` and its kin.
    File,
    /// `category: webserver`.
    Web,
    /// `category: application`: what programs log.
    Application,
    /// `category: database`: statements.
    Database,
    /// `product: docker`, `service: docker`.
    Docker,
    /// Another service of a Linux host: the lines of the program of that name.
    Program(String),
    /// `product: attestry`: every event, by our own names.
    Attestry,
}

/// The source of ours that a rule is for.
///
/// # Errors
/// What is missing here, in words.
pub fn place(of: &LogSource) -> Result<Source, String> {
    let lower = |text: &Option<String>| text.as_deref().map(str::to_ascii_lowercase);
    let (product, service, category) = (lower(&of.product), lower(&of.service), lower(&of.category));
    let product = product.as_deref();
    match (product, category.as_deref(), service.as_deref()) {
        (Some("attestry"), ..) => return Ok(Source::Attestry),
        (None | Some("apache" | "nginx" | "linux"), Some("webserver"), _) => return Ok(Source::Web),
        (Some("apache" | "nginx"), ..) | (None, None, Some("apache" | "nginx")) => return Ok(Source::Web),
        (_, Some("application"), _) => return Ok(Source::Application),
        (_, Some("database"), _) => return Ok(Source::Database),
        (Some("docker"), ..) | (_, None, Some("docker")) => return Ok(Source::Docker),
        _ => {}
    }
    if !matches!(product, None | Some("linux")) {
        return Err(missing(of));
    }
    match (category.as_deref(), service.as_deref()) {
        (None, None) if product.is_some() => Ok(Source::Linux),
        (None, Some("auth")) => Ok(Source::Auth),
        (None, Some("sshd")) => Ok(Source::Sshd),
        (None, Some("sudo")) => Ok(Source::Sudo),
        (None, Some("cron")) => Ok(Source::Cron),
        (None, Some("syslog")) => Ok(Source::Syslog),
        (_, Some("auditd")) => Ok(Source::Auditd),
        (Some("process_creation"), None) if product.is_some() => Ok(Source::Process),
        (Some("file_event" | "file_change" | "file_delete" | "file_rename"), None) if product.is_some() => {
            Ok(Source::File)
        }
        (None, Some(service)) if product.is_some() => Ok(Source::Program(service.to_owned())),
        _ => Err(missing(of)),
    }
}

/// Which log source is missing, in words.
pub fn missing(of: &LogSource) -> String {
    let parts = [("product", &of.product), ("category", &of.category), ("service", &of.service)];
    let named: Vec<String> = parts
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")))
        .collect();
    match named.is_empty() {
        true => "it names no log source".to_owned(),
        false => format!("no source here gives {}", named.join(", ")),
    }
}

/// The sources that an entry is of.
pub fn sources_of(entry: &Entry<'_>, view: &View<'_>, tell: &mut dyn FnMut(&Source)) {
    tell(&Source::Attestry);
    let name = entry.event_name();
    let (family, _) = name.split_once('.').unwrap_or((&name, ""));
    let host = |tell: &mut dyn FnMut(&Source)| {
        tell(&Source::Linux);
        tell(&Source::Syslog);
    };
    match family {
        "login" | "ssh" | "pam" | "session" | "su" | "sudo" | "pkexec" | "user" | "group" | "password"
        | "auth" | "cron" => {
            host(tell);
            if family != "cron" {
                tell(&Source::Auth);
            }
            let program = view.program();
            if family == "ssh" || program.as_deref() == Some("sshd") || view.text("service") == Some("sshd") {
                tell(&Source::Sshd);
            }
            match (family, program.as_deref()) {
                ("sudo", _) | (_, Some("sudo")) => tell(&Source::Sudo),
                ("cron", _) | (_, Some("cron" | "crontab" | "crond")) => tell(&Source::Cron),
                _ => {}
            }
            if matches!(family, "sudo" | "pkexec") || &*name == "cron.run" {
                tell(&Source::Process);
            }
            if let Some(program) = program {
                tell(&Source::Program(program));
            }
        }
        "audit" => {
            tell(&Source::Linux);
            tell(&Source::Auditd);
            if matches!(&*name, "audit.execve" | "audit.syscall") {
                tell(&Source::Process);
            }
        }
        "file" => {
            tell(&Source::Linux);
            tell(&Source::File);
        }
        "package" | "service" | "host" | "filesystem" => host(tell),
        "http" => tell(&Source::Web),
        "db" => tell(&Source::Database),
        "command" => {
            tell(&Source::Process);
            tell(&Source::Application);
        }
        "container" | "image" | "docker" | "network" | "volume" => {
            tell(&Source::Docker);
            match &*name {
                "container.log" => tell(&Source::Application),
                "container.exec_start" => tell(&Source::Process),
                _ => {}
            }
        }
        "log" | "syslog" | "gelf" | "otlp" => {
            tell(&Source::Application);
            host(tell);
            if let Some(program) = view.program() {
                match program.as_str() {
                    "sshd" => {
                        tell(&Source::Auth);
                        tell(&Source::Sshd);
                    }
                    "sudo" => {
                        tell(&Source::Auth);
                        tell(&Source::Sudo);
                    }
                    "cron" | "crond" | "crontab" => tell(&Source::Cron),
                    "auditd" | "audit" => tell(&Source::Auditd),
                    _ => {}
                }
                tell(&Source::Program(program));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_find_their_source_or_hear_what_is_missing() {
        for (yaml, expected) in [
            ("product: linux\nservice: sshd", Ok(Source::Sshd)),
            ("product: linux\nservice: auditd", Ok(Source::Auditd)),
            ("product: linux", Ok(Source::Linux)),
            ("product: linux\ncategory: process_creation", Ok(Source::Process)),
            ("product: linux\nservice: clamav", Ok(Source::Program("clamav".to_owned()))),
            ("category: webserver", Ok(Source::Web)),
            ("service: nginx", Ok(Source::Web)),
            ("category: application\nproduct: django", Ok(Source::Application)),
            ("product: linux\ncategory: network_connection", Err("network_connection")),
            ("product: windows\nservice: security", Err("product windows, service security")),
            ("category: process_creation", Err("category process_creation")),
            ("product: linux\ncategory: proxy", Err("proxy")),
            ("{}", Err("no log source")),
        ] {
            let rule = format!(
                "title: t\nlogsource:\n    {}\ndetection:\n  a:\n    b: c\n  condition: a\n",
                yaml.replace('\n', "\n    ")
            );
            let parsed = rsigma_parser::parse_sigma_yaml(&rule).unwrap();
            let found = place(&parsed.rules[0].logsource);
            match expected {
                Ok(source) => assert_eq!(found, Ok(source), "{yaml}"),
                Err(part) => assert!(found.is_err_and(|error| error.contains(part)), "{yaml}"),
            }
        }
    }
}
