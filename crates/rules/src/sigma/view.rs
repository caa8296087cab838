//! An entry as Sigma rules see it: their field names, and the wording of the lines that our sources have read already.

use std::borrow::Cow;
use std::cell::OnceCell;

use attestry_event::{Entry, Field, Scalar, Text, walk};
use rsigma_eval::event::{Event, EventValue};
use serde_json::Value;

/// An entry, looked at by Sigma rules.
pub struct View<'a> {
    entry: &'a Entry<'a>,
    name: Cow<'a, str>,
    /// `event_data`, read when it is first asked for.
    data: OnceCell<Value>,
    /// The line as the program wrote it, as far as it can be told from what was read of it.
    line: OnceCell<Option<String>>,
}

impl<'a> View<'a> {
    /// Looks at an entry.
    pub fn new(entry: &'a Entry<'a>) -> View<'a> {
        View { entry, name: entry.event_name(), data: OnceCell::new(), line: OnceCell::new() }
    }

    fn data(&self) -> &Value {
        self.data.get_or_init(|| {
            let text = self.entry.event_data_text();
            text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
        })
    }

    /// A string of `event_data`.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.data().get(path).and_then(Value::as_str)
    }

    /// The program that wrote the line, in small letters.
    pub(super) fn program(&self) -> Option<String> {
        let names = ["program", "app_name", "appname", "SYSLOG_IDENTIFIER", "_facility"];
        let name = names.iter().find_map(|name| self.text(name))?;
        Some(name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase())
    }

    fn field(&self, field: Field) -> Option<EventValue<'_>> {
        self.entry.field(field).map(EventValue::Str)
    }

    fn member(&self, path: &str) -> Option<EventValue<'_>> {
        let data = self.data();
        if let Some(value) = data.get(path) {
            return Some(EventValue::from(value));
        }
        let mut at = data;
        for name in path.split('.') {
            at = at.get(name)?;
        }
        Some(EventValue::from(at))
    }

    /// What a Sigma field is called here, by the kind of event.
    fn mapped(&self, name: &str) -> Option<EventValue<'_>> {
        let family = self.name.split('.').next().unwrap_or_default();
        match (family, name) {
            ("audit", "type") => {
                Some(EventValue::Str(Cow::Owned(self.name.strip_prefix("audit.")?.to_ascii_uppercase())))
            }
            ("audit", "Image") => self.text("exe").or_else(|| self.text("a0")).map(path_of),
            ("audit", "CommandLine") => self.arguments().or_else(|| self.member("proctitle")),
            ("audit", "CurrentDirectory") => self.member("cwd"),
            ("http", "cs-method") => self.member("method"),
            ("http", "cs-uri-stem") => self.member("path"),
            // Published rules look for paths in the query, such as `/cgi-bin/.%2e/`: what they mean is all that was asked for.
            ("http", "cs-uri-query" | "cs-uri" | "c-uri" | "request") => self.uri(),
            ("http", "sc-status" | "status") => self.member("status"),
            ("http", "cs-user-agent" | "c-useragent" | "cs-User-Agent") => self.member("user_agent"),
            ("http", "cs-referer" | "cs-referrer") => {
                self.member("referrer").or_else(|| self.member("referer"))
            }
            ("http", "cs-host" | "cs-Host") => self.member("vhost"),
            ("http", "cs-username") => self.field(Field::Username),
            ("http", "c-ip" | "src_ip") => self.field(Field::SourceIpAddress),
            ("http", "sc-bytes") => self.member("bytes"),
            ("file", "TargetFilename" | "SourceFilename") => self.field(Field::Resource),
            ("sudo" | "pkexec", "USER") => self.member("target_user"),
            ("sudo" | "pkexec", "COMMAND") => self.member("command_line"),
            ("sudo" | "pkexec", "PWD") => self.member("cwd"),
            ("sudo" | "pkexec", "TTY") => self.member("tty"),
            ("sudo" | "pkexec" | "cron" | "container" | "command", "Image") => self.image(),
            ("sudo" | "pkexec" | "cron" | "container" | "command", "CommandLine") => {
                self.member("command_line")
            }
            ("sudo" | "pkexec", "ParentImage") => {
                Some(EventValue::Str(Cow::Owned(format!("/usr/bin/{family}"))))
            }
            ("cron", "ParentImage") => Some(EventValue::Str(Cow::Borrowed("/usr/sbin/cron"))),
            ("sudo" | "pkexec", "CurrentDirectory") => self.member("cwd"),
            ("db", "query" | "Query" | "statement") => self
                .member("statement")
                .or_else(|| self.member("query"))
                .or_else(|| self.field(Field::Message)),
            (_, "User" | "user" | "TargetUserName" | "acct") => self.field(Field::Username),
            (_, "src_ip" | "SourceIp" | "source_ip" | "ip" | "rhost") => self.field(Field::SourceIpAddress),
            (_, "hostname" | "Computer" | "ComputerName" | "host.name") => self.field(Field::Host),
            (_, "Message" | "msg") => self.field(Field::Message),
            _ => None,
        }
    }

    /// The program that was run: the first word of the command line.
    fn image(&self) -> Option<EventValue<'_>> {
        let word = self.text("command_line").and_then(|line| line.split_whitespace().next());
        word.map(path_of).or_else(|| self.field(Field::Resource))
    }

    /// The arguments of an EXECVE record, with spaces between them.
    fn arguments(&self) -> Option<EventValue<'_>> {
        let data = self.data();
        data.get("a0")?;
        let all: Vec<&str> = (0..).map_while(|nth| data.get(format!("a{nth}"))?.as_str()).collect();
        Some(EventValue::Str(Cow::Owned(all.join(" "))))
    }

    fn uri(&self) -> Option<EventValue<'_>> {
        let path = self.text("path")?;
        Some(EventValue::Str(match self.text("query") {
            Some(query) if !query.is_empty() => Cow::Owned(format!("{path}?{query}")),
            _ => Cow::Borrowed(path),
        }))
    }

    /// Rules with keywords look at the lines of sshd, sudo and cron, which our sources have taken apart.
    fn line(&self) -> Option<&str> {
        self.line.get_or_init(|| self.compose()).as_deref()
    }

    fn compose(&self) -> Option<String> {
        let user = self.entry.username();
        let address = self.entry.field(Field::SourceIpAddress).unwrap_or_default();
        let text = |name| self.text(name).unwrap_or("-");
        let port = self.data().get("source_port").and_then(Value::as_u64).unwrap_or(0);
        let invalid = self.data().get("invalid_user") == Some(&Value::Bool(true));
        let invalid = if invalid { "invalid user " } else { "" };
        Some(match &*self.name {
            "login.failure" => {
                format!("Failed {} for {invalid}{user} from {address} port {port} ssh2", text("method"))
            }
            "login.success" => {
                format!("Accepted {} for {user} from {address} port {port} ssh2", text("method"))
            }
            "ssh.invalid_user" => format!("Invalid user {user} from {address} port {port}"),
            "sudo.run" => format!(
                "{user} : TTY={} ; PWD={} ; USER={} ; COMMAND={}",
                text("tty"),
                text("cwd"),
                text("target_user"),
                text("command_line")
            ),
            "cron.run" => format!("({user}) CMD ({})", text("command_line")),
            "cron.change" => {
                let target = self.entry.field(Field::Resource).unwrap_or_default();
                format!("({user}) {} ({target})", text("action").to_ascii_uppercase())
            }
            "session.open" => format!("session opened for user {user}"),
            "session.close" => format!("session closed for user {user}"),
            _ => return None,
        })
    }
}

/// A program by its path. Rules ask how that ends, such as `/base64`, and what was typed has no path.
fn path_of(program: &str) -> EventValue<'_> {
    EventValue::Str(match program.contains('/') {
        true => Cow::Borrowed(program),
        false => Cow::Owned(format!("/{program}")),
    })
}

impl Event for View<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        if let Some(value) = self.mapped(path) {
            return Some(value);
        }
        if let Some(field) = Field::from_name(path) {
            return self.field(field);
        }
        self.member(path.strip_prefix("event_data.").unwrap_or(path))
    }

    fn any_string_value(&self, pred: &dyn Fn(&str) -> bool) -> bool {
        let mut found = false;
        self.visit_string_values(&mut |text| found = found || pred(text));
        found
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let mut all = Vec::new();
        self.visit_string_values(&mut |text| all.push(Cow::Owned(text.to_owned())));
        all
    }

    fn visit_string_values(&self, visit: &mut dyn FnMut(&str)) {
        if let Some(Text::Inline(message)) = self.entry.message() {
            visit(&message);
        }
        if let Some(line) = self.line() {
            visit(line);
        }
        for field in [Field::Username, Field::Resource, Field::SourceIpAddress, Field::Host] {
            if let Some(text) = self.entry.field(field) {
                visit(&text);
            }
        }
        if let Some(data) = self.entry.event_data() {
            let _ = walk(data, &mut |_, scalar| {
                if let Scalar::Str(text) = scalar {
                    visit(text);
                }
            });
        }
    }

    fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        for field in Field::ALL {
            if let Some(text) = self.entry.field(field) {
                object.insert(field.name().to_owned(), Value::from(text.into_owned()));
            }
        }
        object.insert("event_data".to_owned(), self.data().clone());
        Value::Object(object)
    }
}
