//! What rules cost: `cargo run --release -p attestry-rules --example thousand [RULES] [EVENTS]`.
//!
//! As many Sigma rules as asked for, in the shapes that SigmaHQ has for Linux (process creation by image and command line, auditd records, keywords of
//! sshd and auth, web servers, files), together with the starter rules, over events as a host gives them. Prints processor time, so that a
//! busy machine does not matter much.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for a terminal")]

use std::fmt::Write;
use std::sync::Arc;

use attestry_event::{Batch, Border, Nanos};
use attestry_rules::{Engine, Options, Rules};

const START: i64 = 1_790_000_000_000_000_000;

/// A rule, one of ten shapes.
fn rule(nth: usize) -> String {
    let (logsource, detection) = match nth % 10 {
        0 | 1 => (
            "product: linux\n    category: process_creation",
            format!(
                "selection_img:\n        Image|endswith:\n            - '/tool{nth}'\n            - '/helper{nth}'\n    selection_cli:\n        CommandLine|contains:\n            - ' --dump{nth}'\n            - '/etc/secret{nth}'\n    condition: all of selection_*"
            ),
        ),
        2 => (
            "product: linux\n    category: process_creation",
            format!(
                "selection:\n        Image|endswith: '/bash'\n        CommandLine|contains|all:\n            - '-i'\n            - '/dev/tcp/{nth}'\n    filter:\n        User: root\n    condition: selection and not filter"
            ),
        ),
        3 => (
            "product: linux\n    category: process_creation",
            format!(
                "selection:\n        CommandLine|re: 'curl\\s.*evil{nth}\\.example'\n    condition: selection"
            ),
        ),
        4 | 5 => (
            "product: linux\n    service: auditd",
            format!(
                "selection:\n        type: EXECVE\n        a0: cmd{nth}\n        a1|contains: '-x'\n    other:\n        type: PATH\n        name|startswith: '/opt/dir{nth}'\n    condition: 1 of *"
            ),
        ),
        6 => (
            "product: linux\n    service: sshd",
            format!(
                "keywords:\n        - 'weird failure {nth}'\n        - 'bad packet length {nth}'\n    condition: keywords"
            ),
        ),
        7 => (
            "product: linux\n    service: auth",
            format!(
                "keywords:\n        '|all':\n            - 'pkexec'\n            - 'variable {nth}'\n    condition: keywords"
            ),
        ),
        8 => (
            "category: webserver",
            format!(
                "selection:\n        cs-method: POST\n        cs-uri-query|contains:\n            - 'exploit{nth}'\n            - '../{nth}'\n    filter:\n        sc-status: 404\n    condition: selection and not filter"
            ),
        ),
        _ => (
            "product: linux\n    category: file_event",
            format!(
                "selection:\n        TargetFilename|startswith: '/etc/cron{nth}/'\n    condition: selection"
            ),
        ),
    };
    format!(
        "title: Rule {nth}\nid: 5b8a2f9e-{nth:04}\nlogsource:\n    {logsource}\ndetection:\n    {detection}\nlevel: medium\n"
    )
}

/// Events as a host gives them, none of which any of the thousand finds.
fn events(count: usize) -> Vec<(Vec<u8>, Nanos)> {
    let mut all = Vec::with_capacity(count);
    for nth in 0..count {
        let json = match nth % 8 {
            0 => format!(
                r#"{{"event_name":"login.failure","username":"redacted:{nth:x}","source_ip_address":"192.0.2.{}","host":"web1","outcome":"failure","severity":4,"message":"somebody failed to log in","event_data":{{"source_port":50022,"method":"password","service":"sshd","program":"sshd","pid":812}}}}"#,
                nth % 250
            ),
            1 => r#"{"event_name":"sudo.run","username":"alice","resource":"/usr/bin/apt","host":"web1","outcome":"success","severity":5,"message":"alice ran /usr/bin/apt update as root","event_data":{"target_user":"root","command_line":"/usr/bin/apt update","tty":"pts/0","cwd":"/home/alice","program":"sudo","pid":87}}"#.to_owned(),
            2 | 3 => format!(
                r#"{{"event_name":"http.request","username":"-","source_ip_address":"203.0.113.{}","read_only":true,"outcome":"success","severity":6,"message":"GET /cart?item={nth} HTTP/1.1 200 512","event_data":{{"method":"GET","path":"/cart","query":"item={nth}","protocol":"HTTP/1.1","status":200,"bytes":512,"user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}}}}"#,
                nth % 250
            ),
            4 => r#"{"event_name":"audit.execve","username":"alice","host":"web1","severity":6,"message":"type=EXECVE msg=audit(1:2): argc=3 a0=\"ls\" a1=\"-l\" a2=\"/srv\"","event_data":{"argc":"3","a0":"ls","a1":"-l","a2":"/srv"}}"#.to_owned(),
            5 => r#"{"event_name":"filesystem.usage","username":"-","resource":"/","host":"web1","read_only":true,"severity":6,"message":"/ is 43.1 % full","event_data":{"device":"/dev/vda1","type":"ext4","total_bytes":30064771072,"used_percent":43.2,"inodes_used_percent":11.5}}"#.to_owned(),
            6 => format!(r#"{{"event_name":"container.log","username":"-","resource":"web","severity":6,"message":"request {nth} took 7 ms","event_data":{{"container_name":"web","image_name":"nginx:1.27","stream":"stdout"}}}}"#),
            _ => r#"{"event_name":"cron.run","username":"root","resource":"cd","host":"web1","severity":6,"message":"cron ran cd / && run-parts --report /etc/cron.hourly as root","event_data":{"command_line":"cd / && run-parts --report /etc/cron.hourly","program":"CRON","pid":1201}}"#.to_owned(),
        };
        let now = Nanos(START + nth as i64 * 1_000_000);
        let border = Border {
            event_source: "auth",
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: false,
            now,
        };
        let mut batch = Batch::with_seed([7; 32]);
        batch.push_json(json.as_bytes(), &border).unwrap();
        let mut bytes = batch.entry(0).to_vec();
        let at = usize::from(batch.rows[0].received_at);
        let stamp = now.to_bytes();
        bytes[at..at + stamp.len()].copy_from_slice(&stamp);
        all.push((bytes, now));
    }
    all
}

/// Nanoseconds of this thread on a processor.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let (rules, count) = (arguments.next().unwrap_or(1_000), arguments.next().unwrap_or(200_000));
    let folder = std::env::temp_dir().join(format!("attestry-rules-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = String::new();
    for nth in 0..rules {
        writeln!(text, "{}---", rule(nth)).unwrap();
    }
    std::fs::write(folder.join("sigma.yml"), text).unwrap();
    let events = events(count);
    let bytes: usize = events.iter().map(|(bytes, _)| bytes.len()).sum();
    for (name, folders, starter) in [
        ("no rules", vec![], false),
        ("starter rules", vec![], true),
        ("Sigma rules", vec![folder.clone()], false),
        ("both", vec![folder.clone()], true),
    ] {
        let begun = cpu();
        let loaded = Rules::load(&Options { folders, starter, ..Options::default() });
        let load_ms = (cpu() - begun) / 1_000_000;
        assert!(loaded.report.refused.is_empty(), "{:?}", loaded.report.refused.first());
        let number = loaded.infos().len();
        let mut engine = Engine::new(Arc::new(loaded));
        let begun = cpu();
        let mut steps = 0;
        for (index, (entry, _)) in events.iter().enumerate() {
            steps += engine.feed("audit", index as u64, entry).steps.len();
        }
        let each = (cpu() - begun) as f64 / count as f64 / 1e3;
        let state = engine.save().len();
        println!(
            "{name:<14} {number:>5} rules, loaded in {load_ms:>5} ms: {each:6.2} µs of CPU an event, {steps} steps, {state} bytes of state"
        );
    }
    println!("{count} events of {} bytes", bytes / count.max(1));
    std::fs::remove_dir_all(&folder).unwrap();
}
