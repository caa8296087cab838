//! Docker's log drivers `gelf` and `syslog` on the other side: every line of a container arrives once, and as it was.

use attestry_event::Event;
use attestry_testkit::Docker;
use serde_json::{Value, json};

use crate::world::Receiving;

/// A longer line reaches a driver in pieces of this size, without a word that they belong together.
const PIECE_BYTES: usize = 16 * 1024;

/// What the container writes. The shell's `printf` knows `\ooo`.
const SCRIPT: &str = r"printf 'hello\n'
printf '\n'
head -c 10000 /dev/zero | tr '\000' x; echo
printf '\303\244\303\266\303\274 \342\200\223 \346\227\245\346\234\254 \360\237\246\200\n'
printf 'tab\there \033[31mred\033[0m bell\007 one\001 back\rover\n'
printf '  at com.example.Main(Main.java:3)\n'
printf '<13>sshd[77]: Accepted password for root\n'
printf 'not UTF-8: \377\n'
head -c 40000 /dev/zero | tr '\000' y; echo
sleep 0.2
printf 'wrong\n' >&2
sleep 0.2
printf 'no line end'";

/// What must arrive, in this order. Of the empty line the drivers say nothing (`Log` in moby's `daemon/logger/gelf/gelf.go` and
/// `daemon/logger/syslog/syslog.go`).
fn expected() -> Vec<String> {
    vec![
        "hello".to_owned(),
        "x".repeat(10_000),
        "äöü – 日本 🦀".to_owned(),
        "tab\there \u{1b}[31mred\u{1b}[0m bell\u{7} one\u{1} back\rover".to_owned(),
        "  at com.example.Main(Main.java:3)".to_owned(),
        "<13>sshd[77]: Accepted password for root".to_owned(),
        "not UTF-8: \u{fffd}".to_owned(),
        "y".repeat(PIECE_BYTES),
        "y".repeat(PIECE_BYTES),
        "y".repeat(40_000 - 2 * PIECE_BYTES),
        "wrong".to_owned(),
        "no line end".to_owned(),
    ]
}

/// The message's beginning is enough to see what went wrong.
fn shown(text: &str) -> String {
    format!("{:?}… {} bytes", text.chars().take(60).collect::<String>(), text.len())
}

#[track_caller]
fn all_there(events: &[Event], what: &str) {
    let found: Vec<_> = events.iter().map(|event| event.message.clone().unwrap_or_default()).collect();
    let expected = expected();
    let show = |lines: &[String]| lines.iter().map(|line| shown(line)).collect::<Vec<_>>();
    assert!(found == expected, "{what}: {:#?} instead of {:#?}", show(&found), show(&expected));
}

fn data<'a>(event: &'a Event, name: &str) -> &'a Value {
    event.event_data.as_ref().and_then(|data| data.get(name)).unwrap_or(&Value::Null)
}

/// Runs the script in a container that logs to where `receiving` listens, and gives what came.
async fn logged(docker: &Docker, receiving: Receiving, driver: &str, options: &[&str]) -> Vec<Event> {
    let (scheme, _) = receiving.address.split_once("://").unwrap();
    let address = format!("{driver}-address={scheme}://{}", receiving.at());
    let mut arguments = vec!["--rm", "--name", "web-1", "--label", "team=shop", "--env", "STAGE=test"];
    arguments.extend(["--log-driver", driver, "--log-opt", &address]);
    arguments.extend(options.iter().flat_map(|option| ["--log-opt", option]));
    let code = tokio::task::block_in_place(|| docker.run(&arguments, SCRIPT));
    assert_eq!(code, 0, "{driver} {options:?}: {}", docker.err());
    receiving.kept.wait(expected().len()).await;
    // What comes twice comes soon after.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    receiving.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dockers_log_drivers_send_arrives_as_it_was() {
    let docker = tokio::task::block_in_place(Docker::started);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let image = docker.docker(&["image", "inspect", "--format", "{{.Id}}", attestry_testkit::BUSYBOX]);

    for (listen, options) in [
        ("udp", &["labels=team", "env=STAGE"][..]),
        ("udp", &["gelf-compression-type=zlib"]),
        ("udp", &["gelf-compression-type=none"]),
        ("tcp", &["tag={{.ImageName}}/{{.Name}}"]),
    ] {
        let what = format!("gelf over {listen} {options:?}");
        let receiving = Receiving::gelf(&format!("{{listen: '{listen}://127.0.0.1:0'}}")).await;
        let events = logged(&docker, receiving, "gelf", options).await;
        all_there(&events, &what);
        for event in &events {
            let wrong = event.message.as_deref() == Some("wrong");
            assert_eq!(
                (&*event.event_name, event.host.as_deref()),
                ("container.log", Some(host.trim())),
                "{what}"
            );
            assert_eq!((&*event.username, event.resource.as_deref()), ("-", Some("web-1")), "{what}");
            assert_eq!(event.severity, Some(if wrong { 3 } else { 6 }), "{what}");
            assert_eq!(data(event, "stream"), if wrong { "stderr" } else { "stdout" }, "{what}");
            assert_eq!(data(event, "container_name"), "web-1", "{what}");
            assert_eq!(data(event, "image_name"), attestry_testkit::BUSYBOX, "{what}");
            assert_eq!(data(event, "image_id"), &json!(image), "{what}");
            assert_eq!(data(event, "container_id").as_str().map(str::len), Some(64), "{what}");
            assert!(data(event, "command").as_str().unwrap().starts_with("sh -c "), "{what}");
            assert!(event.event_time.is_some(), "{what}");
        }
        let first = &events[0];
        if options.contains(&"labels=team") {
            assert_eq!(
                (data(first, "team"), data(first, "STAGE")),
                (&json!("shop"), &json!("test")),
                "{what}"
            );
        }
        let id = data(first, "container_id").as_str().unwrap();
        let tag = if listen == "tcp" { "busybox:test/web-1" } else { id.get(..12).unwrap() };
        assert_eq!(data(first, "tag"), tag, "{what}");
    }

    for (listen, options, host_said) in [
        ("udp", &["syslog-format=rfc5424"][..], true),
        ("tcp", &["syslog-format=rfc5424micro", "syslog-facility=local3"], true),
        ("udp", &["syslog-format=rfc3164"], true),
        ("tcp", &["syslog-format=rfc3164"], true),
        ("udp", &[][..], false),
        ("tcp", &[][..], false),
    ] {
        let what = format!("syslog over {listen} {options:?}");
        let receiving = Receiving::syslog(&format!("{{listen: '{listen}://127.0.0.1:0'}}")).await;
        let tag = "tag={{.ImageName}}/{{.Name}}/{{.ID}}";
        let options: Vec<&str> = options.iter().copied().chain([tag]).collect();
        let events = logged(&docker, receiving, "syslog", &options).await;
        all_there(&events, &what);
        for event in &events {
            let wrong = event.message.as_deref() == Some("wrong");
            assert_eq!((&*event.event_name, &*event.username), ("syslog.message", "-"), "{what}");
            assert_eq!(event.host.as_deref(), host_said.then_some(host.trim()), "{what}");
            assert_eq!(event.severity, Some(if wrong { 3 } else { 6 }), "{what}");
            let app = data(event, "app_name").as_str().unwrap_or_default();
            assert!(app.starts_with("busybox:test/web-1/"), "{what}: {event:?}");
            assert!(
                data(event, "procid").as_str().is_some_and(|id| id.parse::<u32>().is_ok()),
                "{what}: {event:?}"
            );
            let facility = if options.contains(&"syslog-facility=local3") { "local3" } else { "daemon" };
            assert_eq!(data(event, "facility"), facility, "{what}");
            assert!(event.event_time.is_some(), "{what}");
        }
    }
}
