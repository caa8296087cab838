use proptest::prelude::*;

use super::*;

fn context(local: bool) -> Context {
    Context { received: Nanos::parse("2026-11-21T03:04:06Z").unwrap(), zone: TimeZone::UTC, local }
}

/// What is compared: host, program, process, kind, time, text.
type Parts<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, &'a str);

#[track_caller]
fn check(message: &str, local: bool, form: Form, expected: Parts<'_>) {
    let found = parse(message, &context(local));
    let time = found.time.map(|time| time.to_string().replace(".000000000", "")).unwrap_or_default();
    let parts = (
        found.host.unwrap_or_default(),
        found.app_name.unwrap_or_default(),
        found.procid.unwrap_or_default(),
        found.msgid.unwrap_or_default(),
        time.as_str(),
        found.text,
    );
    assert_eq!((found.form, parts), (form, expected), "{message:?}");
}

#[test]
fn rfc_5424() {
    for (message, expected) in [
        // The RFC's own examples.
        (
            "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8",
            (
                "mymachine.example.com",
                "su",
                "",
                "ID47",
                "2003-10-11T22:14:15.003000000Z",
                "'su root' failed for lonvick on /dev/pts/8",
            ),
        ),
        (
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
            (
                "192.0.2.1",
                "myproc",
                "8710",
                "",
                "2003-08-24T12:14:15.000003000Z",
                "%% It's time to make the do-nuts.",
            ),
        ),
        (
            "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"][examplePriority@32473 class=\"high\"]",
            ("mymachine.example.com", "evntslog", "", "ID47", "2003-10-11T22:14:15.003000000Z", ""),
        ),
        // Docker, rfc5424micro.
        (
            "<30>1 2026-11-21T03:04:05.123456+01:00 web1 5790672ab6a0 9103 5790672ab6a0 - Hello from Docker.",
            (
                "web1",
                "5790672ab6a0",
                "9103",
                "5790672ab6a0",
                "2026-11-21T02:04:05.123456000Z",
                "Hello from Docker.",
            ),
        ),
        // logger.
        (
            "<13>1 2026-11-21T03:04:05.123456+00:00 web1 root - - [timeQuality tzKnown=\"1\" isSynced=\"1\" syncAccuracy=\"500\"] hello\n",
            ("web1", "root", "", "", "2026-11-21T03:04:05.123456000Z", "hello"),
        ),
        // rsyslog's own.
        (
            "<46>1 2026-11-21T03:04:05.123456+00:00 web1 rsyslogd - - -  [origin software=\"rsyslogd\"] start",
            (
                "web1",
                "rsyslogd",
                "",
                "",
                "2026-11-21T03:04:05.123456000Z",
                " [origin software=\"rsyslogd\"] start",
            ),
        ),
        ("<0>1 - - - - - -", ("", "", "", "", "", "")),
        ("<0>1 - - - - - - ", ("", "", "", "", "", "")),
        // What is not well-formed stays in the text.
        ("<0>1 - h a p m [id x=\"1] text", ("h", "a", "p", "m", "", "[id x=\"1] text")),
        ("<0>1 - h a p m [] text", ("h", "a", "p", "m", "", "[] text")),
        ("<0>1 - h a p m [id x=\"1\"]text", ("h", "a", "p", "m", "", "[id x=\"1\"]text")),
        ("<0>1 yesterday h a p m - text", ("h", "a", "p", "m", "", "text")),
    ] {
        for local in [false, true] {
            check(message, local, Form::Rfc5424, expected);
        }
    }
}

#[test]
fn the_older_form() {
    let at = "2026-11-21T03:04:05Z";
    for (message, expected) in [
        // RFC 3164, section 5.4.
        (
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            ("mymachine", "su", "", "", "2026-10-11T22:14:15Z", "'su root' failed for lonvick on /dev/pts/8"),
        ),
        (
            "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
            ("10.0.0.99", "", "", "", "2026-02-05T17:32:18Z", "Use the BFG!"),
        ),
        // rsyslog forwarding what programs wrote.
        (
            "<30>Nov 21 03:04:05 web1 systemd[1]: Started Session 3 of user root.",
            ("web1", "systemd", "1", "", at, "Started Session 3 of user root."),
        ),
        (
            "<6>Nov 21 03:04:05 web1 kernel: [    0.000000] Linux version 6.1.0",
            ("web1", "kernel", "", "", at, "[    0.000000] Linux version 6.1.0"),
        ),
        (
            "<86>Nov 21 03:04:05 web1 CRON[1201]: pam_unix(cron:session): session opened",
            ("web1", "CRON", "1201", "", at, "pam_unix(cron:session): session opened"),
        ),
        (
            "<22>Nov 21 03:04:05 mx postfix/smtpd[9]: connect from unknown[192.0.2.7]",
            ("mx", "postfix/smtpd", "9", "", at, "connect from unknown[192.0.2.7]"),
        ),
        // RSYSLOG_ForwardFormat.
        (
            "<38>2026-11-21T03:04:05.000000+00:00 web1 sshd[812]: Accepted password",
            ("web1", "sshd", "812", "", at, "Accepted password"),
        ),
        // Docker, rfc3164, with an image's name as the tag.
        (
            "<30>Nov 21 03:04:05 web1 nginx:1.25/web/5790672ab6a0[9103]: GET /",
            ("web1", "nginx:1.25/web/5790672ab6a0", "9103", "", at, "GET /"),
        ),
        // No host.
        ("<13>Nov 21 03:04:05 root: hello", ("", "root", "", "", at, "hello")),
        ("<13>Nov 21 03:04:05 app[7]: hello", ("", "app", "7", "", at, "hello")),
        ("<13>Nov 21 03:04:05 app[7] hello", ("", "app", "7", "", at, "hello")),
        ("<13>Nov 21 03:04:05 app[7]:hello", ("", "app", "7", "", at, "hello")),
        // A word that may be a host or not: nothing is taken from the text.
        ("<13>Nov 21 03:04:05 something happened", ("", "", "", "", at, "something happened")),
        ("<13>Nov 21 03:04:05 http://a/b is gone", ("", "", "", "", at, "http://a/b is gone")),
        ("<13>Nov 21 03:04:05 fe80::1 app: up", ("fe80::1", "app", "", "", at, "up")),
        ("<13>Nov 21 03:04:05", ("", "", "", "", at, "")),
        // Cisco: IOS, with a sequence number and a host; ASA; NX-OS.
        (
            "<189>29: *Nov 21 03:04:05.000: %SYS-5-CONFIG_I: Configured from console",
            ("", "%SYS-5-CONFIG_I", "", "", at, "Configured from console"),
        ),
        (
            "<189>29: router1: .Nov 21 03:04:05 UTC: %LINK-3-UPDOWN: Interface up",
            ("router1", "%LINK-3-UPDOWN", "", "", at, "Interface up"),
        ),
        (
            "<166>Nov 21 2026 03:04:05: %ASA-6-302013: Built inbound TCP",
            ("", "%ASA-6-302013", "", "", at, "Built inbound TCP"),
        ),
        (
            "<166>Nov 21 2026 03:04:05 asa1 : %ASA-6-302013: Built inbound TCP",
            ("asa1", "%ASA-6-302013", "", "", at, "Built inbound TCP"),
        ),
        (
            "<189>: 2026 Nov 21 03:04:05 UTC: %ETHPORT-5-IF_UP: Interface up",
            ("", "%ETHPORT-5-IF_UP", "", "", at, "Interface up"),
        ),
        // No priority at all.
        ("Nov 21 03:04:05 web1 app: hello", ("web1", "app", "", "", at, "hello")),
    ] {
        check(message, false, Form::Bsd, expected);
    }
}

#[test]
fn programs_of_this_host_name_none() {
    let at = "2026-11-21T03:04:05Z";
    for (message, expected) in [
        ("<13>Nov 21 03:04:05 root: hello\n\0", ("", "root", "", "", at, "hello")),
        ("<13>Nov 21 03:04:05 10.0.0.1 is down", ("", "", "", "", at, "10.0.0.1 is down")),
        // logger --rfc3164 does.
        ("<13>Nov 21 03:04:05 web1 root: hello", ("web1", "root", "", "", at, "hello")),
    ] {
        check(message, true, Form::Bsd, expected);
    }
}

#[test]
fn what_is_neither_is_kept_whole() {
    for (message, text) in [
        ("", ""),
        ("hello", "hello"),
        ("<>hello", "<>hello"),
        ("<192>hello", "<192>hello"),
        ("<0013>hello", "<0013>hello"),
        ("<+13>hello", "<+13>hello"),
        ("<13", "<13"),
        ("<13>", ""),
        ("<13>Use the BFG!", "Use the BFG!"),
        ("<13>warning: no time", "warning: no time"),
        ("<13>1 2026-11-21T03:04:05Z host app", "1 2026-11-21T03:04:05Z host app"),
        ("<13>1 apple a day keeps the doctor away", "1 apple a day keeps the doctor away"),
        ("<13>Nov 99 03:04:05 host app: x", "Nov 99 03:04:05 host app: x"),
        ("<13>29: router: no time", "29: router: no time"),
    ] {
        check(message, false, Form::Plain, ("", "", "", "", "", text));
    }
    check("<13>app[7]: no time", false, Form::Plain, ("", "app", "7", "", "", "no time"));
}

#[test]
fn structured_data_is_read_as_it_was_meant() {
    let message = r#"<165>1 - h a - - [x@1 a="1" b="q\"\]\\ \n" a="2" a="3"][y@2][x@1 c=""] text"#;
    let event = parse(message, &context(false)).event("syslog.message", context(false).received);
    let data = event.event_data.unwrap();
    assert_eq!(
        serde_json::to_string(&data["structured_data"]).unwrap(),
        serde_json::to_string(&serde_json::json!({
            "x@1": {"a": ["1", "2", "3"], "b": "q\"]\\ \\n", "c": ""}, "y@2": {}
        }))
        .unwrap()
    );
}

#[test]
fn becomes_an_event() {
    let received = context(false).received;
    let event = parse("<165>1 2026-11-21T03:04:05Z h a p m - text", &context(false))
        .event("syslog.message", received);
    let expected = Event::new("syslog.message", "-")
        .time(Nanos::parse("2026-11-21T03:04:05Z").unwrap())
        .severity(5)
        .host("h")
        .message("text")
        .data("app_name", "a")
        .data("procid", "p")
        .data("msgid", "m")
        .data("facility", "local4")
        .data("format", "rfc5424");
    assert_eq!(event, expected);
    // A clock that is years ahead does not decide when it happened.
    let event = parse("<165>1 2036-11-21T03:04:05Z h a p m - text", &context(false)).event("x", received);
    assert_eq!(event.event_time, None);
    assert_eq!(event.event_data.unwrap()["claimed_time"], "2036-11-21T03:04:05.000000000Z");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn never_panics_and_loses_no_text(message in "(<[0-9]{1,3}>)?(1 )?(Nov 21 03:04:05|-|2026-11-21T03:04:05Z)? ?.{0,80}", local in any::<bool>()) {
        let found = parse(&message, &context(local));
        let trimmed = message.trim_end_matches(['\n', '\r', '\0']);
        prop_assert!(trimmed.ends_with(found.text));
        let _ = found.event("x", Nanos(0));
    }

    #[test]
    fn any_structured_data_is_read_again(values in prop::collection::vec("[^\\p{C}]{0,12}", 1..4)) {
        let mut message = "<1>1 - - - - - [a@1".to_owned();
        for (at, value) in values.iter().enumerate() {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
            message.push_str(&format!(" p{at}=\"{escaped}\""));
        }
        message.push_str("] end");
        let found = parse(&message, &context(false));
        let read: Vec<&str> = found.structured_data[0].1.iter().map(|(_, value)| &**value).collect();
        prop_assert_eq!(read, values);
        prop_assert_eq!(found.text, "end");
    }
}
