//! Which of VRL's functions a program may call.
//!
//! By name, so that what a later version of VRL adds is out until somebody has looked at it. Allowed is what gives the same for the same
//! event, touches nothing outside, and takes time and memory in proportion to what it is given.

use std::fmt;
use std::sync::LazyLock;

use vrl::compiler::prelude::*;
use vrl::diagnostic::Label;

use crate::syslog::Syslog;
use crate::{Profile, exact};

/// The functions of a profile.
pub(crate) fn of(profile: Profile) -> &'static [Box<dyn Function>] {
    static FILTER: LazyLock<Vec<Box<dyn Function>>> = LazyLock::new(|| choose(Profile::Filter));
    static RULES: LazyLock<Vec<Box<dyn Function>>> = LazyLock::new(|| choose(Profile::Rules));
    match profile {
        Profile::Filter => &FILTER,
        Profile::Rules => &RULES,
    }
}

fn choose(profile: Profile) -> Vec<Box<dyn Function>> {
    let chosen = vrl::stdlib::all().into_iter().filter_map(|function| {
        let name = function.identifier();
        let reason = reason(name).or_else(|| {
            let only_filter = profile == Profile::Rules && ONLY_FILTER.contains(&name);
            only_filter
                .then_some("how long it takes depends on the text in ways that would make a replay differ")
        });
        match reason {
            Some(reason) => Some(Box::new(Refused { function, reason }) as Box<dyn Function>),
            None if Syslog::NAMES.contains(&name) => Some(Box::new(Syslog { function }) as Box<dyn Function>),
            None if ALLOWED.contains(&name) => Some(function),
            None => None,
        }
    });
    let exact = (profile == Profile::Rules).then(exact::functions);
    chosen.chain(exact.into_iter().flatten()).collect()
}

fn reason(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(_, names)| names.contains(&name)).map(|(reason, _)| *reason)
}

/// In place of a function that is not to be called: the compiler's message then says why.
#[derive(Debug)]
struct Refused {
    function: Box<dyn Function>,
    reason: &'static str,
}

impl Function for Refused {
    fn identifier(&self) -> &'static str {
        self.function.identifier()
    }

    fn usage(&self) -> &'static str {
        self.function.usage()
    }

    fn category(&self) -> &'static str {
        self.function.category()
    }

    fn return_kind(&self) -> u16 {
        self.function.return_kind()
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn parameters(&self) -> &'static [Parameter] {
        self.function.parameters()
    }

    fn compile(&self, _: &TypeState, ctx: &mut FunctionCompileContext, _: ArgumentList) -> Compiled {
        Err(Box::new(NotAllowed { name: self.identifier(), reason: self.reason, span: ctx.span() }))
    }
}

#[derive(Debug)]
struct NotAllowed {
    name: &'static str,
    reason: &'static str,
    span: Span,
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not allowed here: {}", self.name, self.reason)
    }
}

impl std::error::Error for NotAllowed {}

impl DiagnosticMessage for NotAllowed {
    fn code(&self) -> usize {
        // "call to undefined function", the nearest that VRL has.
        105
    }

    fn labels(&self) -> Vec<Label> {
        vec![Label::primary(self.reason, self.span)]
    }
}

/// Left out of [`Profile::Rules`]: matching backtracks, or loads a catalogue of hundreds of expressions.
const ONLY_FILTER: &[&str] = &["parse_grok", "parse_user_agent"];

const REFUSED: &[(&str, &[&str])] = &[
    (
        "the same event must always give the same; %received_at is when the event came in",
        &["now", "random_bool", "random_bytes", "random_float", "random_int", "uuid_v4", "uuid_v7"],
    ),
    ("a program's only outcome is what it makes of the event", &["log"]),
    (
        "how much it unpacks has no bound",
        &["decode_gzip", "decode_lz4", "decode_snappy", "decode_zlib", "decode_zstd"],
    ),
    (
        "an event is stored compressed anyway",
        &["encode_gzip", "encode_lz4", "encode_snappy", "encode_zlib", "encode_zstd"],
    ),
    ("it takes the year from the clock; parse_regex with parse_timestamp does not", &["parse_klog"]),
    ("it takes missing years from the clock; parse_grok and parse_regex do not", &["parse_groks"]),
    (
        "a pattern must stand in the program as r'…': one made from an event could take any time to build",
        &["to_regex"],
    ),
    (
        "a path made from an event could need any amount of memory; write the path with dots instead",
        &["set", "unflatten"],
    ),
    ("one event stays one event", &["unnest"]),
    (
        "nested text could need more stack than there is; parse_json has a bound",
        &["parse_ruby_hash", "parse_xml"],
    ),
    (
        "its time grows with the square of the text: 80 kB took 3 s; parse_json and parse_key_value do not",
        &["parse_yaml"],
    ),
];

const ALLOWED: &[&str] = &[
    "abs",
    "append",
    "array",
    "assert",
    "assert_eq",
    "basename",
    "bool",
    "camelcase",
    "ceil",
    "chunks",
    "community_id",
    "compact",
    "contains",
    "contains_all",
    "decode_base16",
    "decode_base64",
    "decode_charset",
    "decode_mime_q",
    "decode_percent",
    "decode_punycode",
    "del",
    "dirname",
    "downcase",
    "encode_base16",
    "encode_base64",
    "encode_charset",
    "encode_csv",
    "encode_json",
    "encode_key_value",
    "encode_logfmt",
    "encode_percent",
    "encode_punycode",
    "ends_with",
    "exists",
    "filter",
    "find",
    "flatten",
    "float",
    "floor",
    "for_each",
    "format_int",
    "format_number",
    "format_timestamp",
    "from_entries",
    "from_unix_timestamp",
    "get",
    "haversine",
    "includes",
    "int",
    "ip_aton",
    "ip_cidr_contains",
    "ip_ntoa",
    "ip_ntop",
    "ip_pton",
    "ip_subnet",
    "ip_to_ipv6",
    "ipv6_to_ipv4",
    "is_array",
    "is_boolean",
    "is_empty",
    "is_float",
    "is_integer",
    "is_ipv4",
    "is_ipv6",
    "is_json",
    "is_null",
    "is_nullish",
    "is_object",
    "is_regex",
    "is_string",
    "is_timestamp",
    "join",
    "kebabcase",
    "keys",
    "length",
    "map_keys",
    "map_values",
    "match",
    "match_any",
    "match_array",
    "match_datadog_query",
    "merge",
    "mod",
    "object",
    "object_from_array",
    "parse_apache_log",
    "parse_aws_alb_log",
    "parse_aws_cloudwatch_log_subscription_message",
    "parse_aws_vpc_flow_log",
    "parse_bytes",
    "parse_cbor",
    "parse_cef",
    "parse_common_log",
    "parse_csv",
    "parse_duration",
    "parse_float",
    "parse_glog",
    "parse_grok",
    "parse_influxdb",
    "parse_int",
    "parse_json",
    "parse_key_value",
    "parse_logfmt",
    "parse_nginx_log",
    "parse_query_string",
    "parse_regex",
    "parse_regex_all",
    "parse_timestamp",
    "parse_tokens",
    "parse_url",
    "parse_user_agent",
    "pascalcase",
    "pop",
    "push",
    "range",
    "redact",
    "remove",
    "replace",
    "replace_with",
    "round",
    "screamingsnakecase",
    "shannon_entropy",
    "sieve",
    "slice",
    "snakecase",
    "split",
    "split_path",
    "starts_with",
    "string",
    "strip_ansi_escape_codes",
    "strip_whitespace",
    "strlen",
    "tag_types_externally",
    "tally",
    "tally_value",
    "timestamp",
    "to_bool",
    "to_entries",
    "to_float",
    "to_int",
    "to_string",
    "to_syslog_facility",
    "to_syslog_facility_code",
    "to_syslog_level",
    "to_syslog_severity",
    "to_unix_timestamp",
    "truncate",
    "type_def",
    "unique",
    "upcase",
    "uuid_from_friendly_id",
    "values",
    "zip",
];

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use attestry_event::Nanos;

    use super::*;
    use crate::{Options, Transform};

    #[test]
    fn every_function_of_this_version_of_vrl_was_looked_at() {
        let known: Vec<&str> = vrl::stdlib::all().iter().map(|function| function.identifier()).collect();
        for name in &known {
            let places = usize::from(ALLOWED.contains(name))
                + usize::from(reason(name).is_some())
                + usize::from(Syslog::NAMES.contains(name));
            assert_eq!(places, 1, "{name}");
        }
        let listed = REFUSED.iter().flat_map(|(_, names)| names.iter());
        for name in ALLOWED.iter().chain(ONLY_FILTER).chain(listed).chain(Syslog::NAMES) {
            assert!(known.contains(name), "{name} is listed but no function");
        }
    }

    /// Text that somebody may send to make a parser slow or deep. A function that tries again from every place would need minutes.
    #[test]
    fn no_function_of_a_text_takes_more_than_in_proportion() {
        const BYTES: usize = 100_000;
        let parts = [
            "a", "1", " ", "(", "[", "{", "[{", "\"", "\\", "%", "=?", "?=", "a=b ", "a=\"", "<a>", "-", ".",
            "/", ":", ",", "\n", "\u{1b}[", "é", "81", "a.", "&a=", "http://",
        ];
        let event = |part: &str| {
            let text = serde_json::Value::from(part.repeat(BYTES / part.len()));
            format!(r#"{{"event_name":"a","username":"b","event_data":{{"s":{text}}}}}"#)
        };
        let events: Vec<String> = parts.iter().map(|part| event(part)).collect();
        let mut tried = 0;
        for name in ALLOWED.iter().chain(Syslog::NAMES) {
            let calls = [
                format!(".event_data.x, _ = {name}(string!(.event_data.s))"),
                format!(".event_data.x = {name}(string!(.event_data.s))"),
            ];
            let Some(transform) =
                calls.iter().find_map(|call| Transform::compile(call, &Options::default()).ok())
            else {
                continue;
            };
            tried += 1;
            for (part, event) in parts.iter().zip(&events) {
                let begun = Instant::now();
                let _ = transform.apply(event.as_bytes(), Nanos(0));
                assert!(begun.elapsed().as_secs() < 5, "{name} of {part:?}: {:?}", begun.elapsed());
            }
        }
        assert!(tried > 50, "{tried}");
    }

    #[test]
    fn what_reaches_outside_is_not_even_built() {
        let known: Vec<&str> = vrl::stdlib::all().iter().map(|function| function.identifier()).collect();
        for name in [
            "get_env_var",
            "get_hostname",
            "dns_lookup",
            "reverse_dns",
            "http_request",
            "validate_json_schema",
            "parse_proto",
            "parse_etld",
        ] {
            assert!(!known.contains(&name), "{name}");
        }
    }
}
