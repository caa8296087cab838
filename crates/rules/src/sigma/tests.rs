//! Sigma rules of the shapes that SigmaHQ has for Linux, against our own events.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cases::entry;
use crate::written::CaseEvent;
use crate::{Engine, Rules, StepKind};
use attestry_event::Nanos;

fn fires(rule: &str, events: &[Value]) -> usize {
    let rules = Rules::of_text("rule.yml", rule);
    assert_eq!(rules.report, crate::LoadReport::default(), "{rule}");
    let mut engine = Engine::new(Arc::new(rules));
    let mut opened = 0;
    for (index, event) in events.iter().enumerate() {
        let event: CaseEvent = serde_json::from_value(event.clone()).unwrap();
        let bytes =
            entry(&event, 1, Nanos(1_790_000_000_000_000_000 + index as i64 * 1_000_000_000)).unwrap();
        let steps = engine.feed("audit", index as u64, &bytes).steps;
        opened += steps.iter().filter(|step| step.kind == StepKind::Open).count();
    }
    opened
}

fn rule(logsource: &str, detection: &str) -> String {
    format!("title: t\nid: 5b8a2f9e-0001\nlogsource: {logsource}\ndetection: {detection}\nlevel: high\n")
}

#[test]
fn rules_find_what_our_sources_tell() {
    let sudo = json!({"event_name": "sudo.run", "username": "eve", "host": "h", "resource": "/bin/bash",
        "event_data": {"target_user": "#-1", "command_line": "/bin/bash -i", "tty": "pts/0", "cwd": "/home/eve", "program": "sudo"}});
    let failure = json!({"event_name": "login.failure", "username": "root", "source_ip_address": "192.0.2.7",
        "event_data": {"method": "password", "service": "sshd", "program": "sshd", "source_port": 50022}});
    let odd = json!({"event_name": "auth.other", "message": "fatal: buffer_get_string: bad string", "event_data": {"program": "sshd"}});
    let web = json!({"event_name": "http.request", "source_ip_address": "192.0.2.7", "outcome": "failure", "event_data":
        {"method": "GET", "path": "/cgi-bin/x", "query": "a=../../etc/passwd", "status": 404, "user_agent": "sqlmap/1.7"}});
    let execve =
        json!({"event_name": "audit.execve", "event_data": {"a0": "nc", "a1": "-lvp", "a2": "4444"}});
    let path =
        json!({"event_name": "audit.path", "event_data": {"name": "/etc/shadow", "nametype": "NORMAL"}});
    let cron = json!({"event_name": "cron.change", "username": "eve", "resource": "eve", "event_data": {"action": "replace", "program": "crontab"}});
    let file = json!({"event_name": "file.create", "resource": "/etc/cron.d/evil"});
    let clam = json!({"event_name": "syslog.message", "message": "x.exe: Win.Trojan FOUND", "event_data": {"app_name": "clamd"}});
    let app = json!({"event_name": "container.log", "message": "django.security.SuspiciousOperation raised"});
    let all = [&sudo, &failure, &odd, &web, &execve, &path, &cron, &file, &clam, &app].map(Clone::clone);

    for (logsource, detection, expected) in [
        // Fields of sudo (CVE-2019-14287).
        (
            "{product: linux, service: sudo}",
            "{a: {USER: ['#-*', '#*4294967295']}, condition: a}",
            vec![&sudo],
        ),
        ("{product: linux, service: sudo}", "{a: {USER: root}, condition: a}", vec![]),
        // Keywords in the program's own wording.
        (
            "{product: linux, service: sshd}",
            "{k: ['Failed password for root from 192.0.2.7'], condition: k}",
            vec![&failure],
        ),
        (
            "{product: linux, service: sshd}",
            "{k: ['unexpected internal error', 'buffer_get_string: bad string'], condition: k}",
            vec![&odd],
        ),
        (
            "{product: linux, service: auth}",
            "{'k': {'|all': ['TTY=pts/0', 'COMMAND=/bin/bash']}, condition: k}",
            vec![&sudo],
        ),
        ("{product: linux, service: cron}", "{k: [REPLACE], condition: k}", vec![&cron]),
        ("{product: linux, service: sshd}", "{k: [REPLACE], condition: k}", vec![]),
        // Web servers.
        (
            "{category: webserver}",
            "{a: {cs-method: GET, cs-uri-query|contains: '../../'}, f: {sc-status: 200}, condition: a and not f}",
            vec![&web],
        ),
        // SigmaHQ's rules for CVE-2021-41773 and others look for the path in the query.
        ("{category: webserver}", "{a: {cs-uri-query|contains: '/cgi-bin/'}, condition: a}", vec![&web]),
        (
            "{category: webserver}",
            "{a: {cs-user-agent|startswith: sqlmap, sc-status|gte: 400}, condition: a}",
            vec![&web],
        ),
        ("{category: webserver}", "{a: {c-ip|cidr: 192.0.2.0/24}, condition: a}", vec![&web]),
        // auditd, by its own names and as processes.
        (
            "{product: linux, service: auditd}",
            "{a: {type: EXECVE, a0: nc, a1|contains: l}, condition: a}",
            vec![&execve],
        ),
        (
            "{product: linux, service: auditd}",
            "{a: {type: PATH, name|startswith: /etc/sha}, condition: a}",
            vec![&path],
        ),
        (
            "{product: linux, category: process_creation}",
            "{i: {Image|endswith: [/nc, /bash]}, c: {CommandLine|re: '-(lvp|i)\\b'}, condition: all of them}",
            vec![&execve, &sudo],
        ),
        (
            "{product: linux, category: file_event}",
            "{a: {TargetFilename|startswith: /etc/cron.d/}, condition: a}",
            vec![&file],
        ),
        ("{product: linux, service: clamd}", "{k: [FOUND], condition: k}", vec![&clam]),
        ("{category: application, product: django}", "{k: [SuspiciousOperation], condition: k}", vec![&app]),
        ("{product: attestry}", "{a: {event_name|startswith: 'file.'}, condition: a}", vec![&file]),
    ] {
        let rule = rule(logsource, detection);
        for event in &all {
            let wanted = usize::from(expected.contains(&event));
            assert_eq!(fires(&rule, std::slice::from_ref(event)), wanted, "{logsource} {detection} {event}");
        }
    }
}

#[test]
fn correlations_of_all_kinds() {
    let base = |name: &str, event: &str| {
        format!(
            "title: {name}\nname: {name}\nlogsource: {{product: attestry}}\ndetection: {{a: {{event_name: {event}}}, condition: a}}\n---\n"
        )
    };
    let correlation = |kind: &str, rules: &str, condition: &str| {
        format!(
            "title: c\nid: c\ncorrelation:\n  type: {kind}\n  rules: [{rules}]\n  group-by: [host]\n  timespan: 10s\n{condition}"
        )
    };
    let event =
        |name: &str, host: &str, user: &str| json!({"event_name": name, "host": host, "username": user});
    let a = event("x.a", "h", "u1");
    let (b, other) = (event("x.b", "h", "u2"), event("x.a", "g", "u3"));
    let second = event("x.a", "h", "u2");
    let rules = format!("{}{}", base("one", "x.a"), base("two", "x.b"));
    for (kind, names, condition, events, expected) in [
        ("event_count", "one", "  condition: {gte: 3}\n", vec![&a, &a, &a], 1),
        ("event_count", "one", "  condition: {gte: 3}\n", vec![&a, &a, &other], 0),
        ("value_count", "one", "  condition: {field: username, gte: 2}\n", vec![&a, &a, &second], 1),
        ("value_count", "one", "  condition: {field: username, gte: 2}\n", vec![&a, &a, &a], 0),
        ("temporal", "one, two", "", vec![&b, &a], 1),
        ("temporal", "one, two", "", vec![&a, &a], 0),
        ("temporal_ordered", "one, two", "", vec![&a, &b], 1),
        ("temporal_ordered", "one, two", "", vec![&b, &a], 0),
    ] {
        let text = format!("{rules}{}", correlation(kind, names, condition));
        let events: Vec<Value> = events.into_iter().cloned().collect();
        let found = Rules::of_text("c.yml", &text);
        assert_eq!(found.report, crate::LoadReport::default());
        assert_eq!(fires(&text, &events), expected, "{kind} {events:?}");
    }
}

#[test]
fn a_folder_tells_of_every_rule_that_is_not_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("good.yml", &rule("{product: linux, service: sshd}", "{k: [x], condition: k}"));
    write(
        "deep/windows.yml",
        &rule("{product: windows, service: security}", "{a: {b: c}, condition: a}").replace("0001", "0002"),
    );
    write(
        "condition.yml",
        &rule("{product: linux, service: sshd}", "{a: {b: c}, condition: nothing}").replace("0001", "0003"),
    );
    write("same.yml", &rule("{product: linux, service: sshd}", "{k: [x], condition: k}"));
    write("broken.yml", "title: t\nlogsource: {product: linux}\ndetection: [\n");
    write("prose.yml", "hello: world\n");
    write(
        "lost.yml",
        "title: lost\nid: lost\ncorrelation: {type: event_count, rules: [nobody], group-by: [host], timespan: 1m, condition: {gte: 2}}\n",
    );
    write(
        "own.yaml",
        "rules:\n  - id: a\n    title: t\n    when: 'event_name:('\n  - id: b\n    title: t\n    when: 'event_name:x'\n    by: [usernam]\n",
    );
    write("typo.yaml", "rules:\n  - id: a\n    title: t\n    wen: x\n");
    write(
        "fine.yaml",
        "rules:\n  - {id: fine, title: t, when: 'event_name:x'}\n  - {id: off, title: t, when: 'event_name:x'}\n",
    );
    write("read.md", "not looked at");
    let options = crate::Options {
        folders: vec![folder.path().to_owned(), folder.path().join("nowhere")],
        disable: vec!["off".to_owned(), "no-such".to_owned()],
        starter: false,
    };
    let rules = Rules::load(&options);
    let place = format!("{}/", folder.path().display());
    let mut ids: Vec<&str> = rules.infos().iter().map(|info| info.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["5b8a2f9e-0001", "fine"]);
    let refused: Vec<(String, usize)> =
        rules.report.refused.iter().map(|refused| (refused.file.replace(&place, ""), refused.line)).collect();
    let at = |file: &str| {
        refused.iter().filter(|(name, _)| name == file).map(|(_, line)| *line).collect::<Vec<_>>()
    };
    assert_eq!(at("own.yaml"), [2, 5], "{:#?}", rules.report);
    assert_eq!(at("typo.yaml"), [4]);
    assert_eq!(at("broken.yml").len(), 1);
    for file in ["prose.yml", "lost.yml", "same.yml", "condition.yml", "nowhere"] {
        assert_eq!(at(file), [1], "{file} {:#?}", rules.report);
    }
    let missing: Vec<&str> = rules.report.not_applicable.iter().map(|of| of.missing.as_str()).collect();
    assert_eq!(missing, ["no source here gives product windows, service security"]);
    assert_eq!(rules.report.disabled, ["off"]);
    assert_eq!(rules.report.unknown, ["no-such"]);
    // The reason says what is meant.
    let reason =
        |file: &str| rules.report.refused.iter().find(|of| of.file.ends_with(file)).unwrap().reason.clone();
    assert!(reason("typo.yaml").contains("wen"));
    assert!(reason("lost.yml").contains("nobody"));
    let by = &rules.report.refused.iter().rfind(|of| of.file.ends_with("own.yaml")).unwrap().reason;
    assert!(by.contains("username"), "{by}");
}
