//! October 2026 at a small company: three hosts, a watched database, containers, people at the page. The same in each run.

use attestry_event::{Event, Nanos, Outcome};
use serde_json::json;

use crate::world::{World, time};

const DAY: i64 = 86_400_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// Numbers that look random and are not (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

/// So many rules are in force.
fn rules_load(rules: u64, version: &str) -> Event {
    Event::new("rules.load", "-")
        .severity(6)
        .message(format!("{rules} rules are in force, 0 are not applicable here, 0 were refused"))
        .data("version", version.repeat(32))
        .data("rules", rules)
}

/// Fills the ledgers with the month.
pub(crate) fn record(world: &mut World) {
    let mut dice = Dice(2026);
    let begin = time("2026-10-01T00:00:00Z");
    world.own(
        Event::new("server.start", "-").message("Attestry started").data("config_sha256", "a".repeat(64)),
    );
    world.own(rules_load(24, "c"));
    world.own(
        Event::new("key.create", "dora")
            .resource("shop")
            .outcome(Outcome::Success)
            .source_ip_address("192.0.2.10")
            .message("dora made the write key shop")
            .data("id", "k1")
            .data("kind", "write")
            .data("ledgers", json!(["audit"])),
    );
    world.own(
        Event::new("key.create", "dora")
            .resource("mallory")
            .outcome(Outcome::Success)
            .message("dora made the read key mallory")
            .data("id", "k2")
            .data("kind", "read")
            .data("filter", "host:web1"),
    );
    for day in 0..31 {
        let morning = Nanos(begin.0 + day * DAY + 6 * 60 * MINUTE);
        let mut at = morning;
        let mut next = |dice: &mut Dice| {
            at = Nanos(at.0 + (1 + dice.below(40) as i64) * MINUTE);
            at
        };
        host_events(world, &mut dice, &mut next, day);
        database_events(world, &mut dice, &mut next, day);
        container_events(world, &mut dice, &mut next, day);
        page_events(world, &mut dice, &mut next, day);
    }
    world.clock.set(time("2026-11-01T00:00:05Z"));
    world.own(Event::new("clock.tick", "-").read_only(true).severity(7).message("the clock ticked"));
}

type Next<'a> = dyn FnMut(&mut Dice) -> Nanos + 'a;

fn host_events(world: &mut World, dice: &mut Dice, next: &mut Next<'_>, day: i64) {
    let put = |world: &mut World, source: &str, events: Vec<Event>| {
        let last = events.iter().filter_map(|event| event.event_time).max();
        world.clock.set(last.unwrap());
        world.put("audit", source, events);
    };
    let host = dice.of(&["web1", "web2", "db1"]);
    if day % 3 == 0 {
        let package = dice.of(&["openssl", "nginx", "linux-image", "curl"]);
        let failed = dice.below(5) == 0;
        let event = Event::new("package.upgrade", "root")
            .time(next(dice))
            .host(host)
            .resource(package)
            .outcome(if failed { Outcome::Failure } else { Outcome::Success })
            .message(format!("{package} was upgraded"))
            .data("package", package)
            .data("old_version", format!("1.{day}"))
            .data("version", format!("1.{}", day + 1))
            .data("command_line", "apt-get dist-upgrade");
        put(world, "packages", vec![event]);
    }
    let user = dice.of(&["alice", "bob", "noah"]);
    let address = format!("192.0.2.{}", 10 + dice.below(5));
    let mut events = vec![
        Event::new("login.success", user)
            .time(next(dice))
            .host(host)
            .source_ip_address(&*address)
            .outcome(Outcome::Success)
            .message(format!("{user} logged in"))
            .data("service", "sshd")
            .data("method", "publickey"),
    ];
    if day % 4 == 1 {
        events.push(
            Event::new("sudo.run", user)
                .time(next(dice))
                .host(host)
                .outcome(Outcome::Success)
                .message(format!("{user} ran a command as root"))
                .data("target_user", "root")
                .data("command_line", "/usr/bin/systemctl restart nginx"),
        );
    }
    if day == 13 {
        // Somebody tries, and puts what a page or a spreadsheet would take for its own into the name.
        for name in
            ["root", "admin", "=HYPERLINK(\"http://evil.example\")", "<script>alert(1)</script>", "a|b`c"]
        {
            events.push(
                Event::new("login.failure", name)
                    .time(next(dice))
                    .host("web1")
                    .source_ip_address("203.0.113.66")
                    .outcome(Outcome::Failure)
                    .severity(4)
                    .message(format!("{name} failed to log in"))
                    .data("service", "sshd")
                    .data("method", "password"),
            );
        }
    }
    put(world, "auth", events);
    if day % 5 == 2 {
        let service = dice.of(&["nginx.service", "cron.service", "mariadb.service"]);
        let (stop, start) = (next(dice), next(dice));
        let of = |name: &str, time| Event::new(name, "root").time(time).host(host).resource(service);
        let events = vec![
            of("service.fail", stop)
                .outcome(Outcome::Failure)
                .severity(3)
                .message(format!("{service} failed")),
            of("service.start", start).outcome(Outcome::Success).message(format!("{service} was started")),
        ];
        put(world, "services", events);
    }
    if day % 6 == 3 {
        let event = Event::new("file.modify", "-")
            .time(next(dice))
            .host(host)
            .resource("/etc/ssh/sshd_config")
            .message("/etc/ssh/sshd_config has another content");
        put(world, "files", vec![event]);
    }
    if day == 20 {
        let since = next(dice).to_string();
        world.clock.set(next(dice));
        world.own(
            Event::new("gap.silence", "-")
                .resource("web2")
                .outcome(Outcome::Failure)
                .severity(4)
                .message("nothing is heard of web2")
                .data("who", "agent")
                .data("agent", "web2")
                .data("since", since)
                .data("expected_every_s", 180),
        );
    }
}

fn database_events(world: &mut World, dice: &mut Dice, next: &mut Next<'_>, day: i64) {
    for _ in 0..1 + dice.below(3) {
        let verb = dice.of(&["insert", "update", "update", "delete"]);
        let table = dice.of(&["bank.accounts", "bank.payments"]);
        let amount = dice.below(100_000);
        let at = next(dice);
        world.clock.set(at);
        let event = Event::new(format!("row.{verb}"), dice.of(&["app", "app", "mallory"]))
            .time(at)
            .resource(table)
            .message(format!("{table}: a row"))
            .data("schema", "bank")
            .data("table", table.trim_start_matches("bank."))
            .data("amount", format!("{}.{:02}", amount / 100, amount % 100));
        world.put("audit", "bank", vec![event]);
    }
    let fingerprint = format!("{:020x}", 0xabcdef00_u64 + day as u64);
    if day % 7 == 4 {
        let at = next(dice);
        world.clock.set(at);
        let event = Event::new("violation.open", "mallory")
            .time(at)
            .resource("bank.accounts")
            .severity(4)
            .message("bank.accounts: Row was deleted")
            .data("schema", "bank")
            .data("table", "accounts")
            .data("fingerprint", fingerprint)
            .data("rule", "deleted")
            .data("description", "Row was deleted")
            .data("key", json!({"id": day}));
        world.put("audit", "bank", vec![event]);
    }
    if day == 12 {
        let at = next(dice);
        world.clock.set(at);
        let event = Event::new("violation.sign_off", "dora")
            .time(at)
            .resource("bank.accounts")
            .outcome(Outcome::Success)
            .message("dora signed off: bank.accounts: Row was deleted")
            .data("fingerprint", format!("{:020x}", 0xabcdef00_u64 + 11))
            .data("rule", "deleted")
            .data("reason", "asked for in ticket 7");
        world.put("audit", "bank", vec![event]);
    }
}

fn container_events(world: &mut World, dice: &mut Dice, next: &mut Next<'_>, day: i64) {
    if day % 8 != 5 {
        return;
    }
    let name = dice.of(&["shop", "cache"]);
    let of = |verb: &str, time| {
        Event::new(format!("container.{verb}"), "root")
            .time(time)
            .host("web1")
            .resource(name)
            .message(format!("container {name}: {verb}"))
    };
    let events = vec![
        of("create", next(dice)),
        of("start", next(dice)),
        of("exec_start", next(dice)),
        of("die", next(dice)),
    ];
    world.clock.set(events.last().and_then(|event| event.event_time).unwrap());
    world.put("logs", "docker", events);
}

fn page_events(world: &mut World, dice: &mut Dice, next: &mut Next<'_>, day: i64) {
    if day % 4 != 0 {
        return;
    }
    let who = dice.of(&["dora", "mallory"]);
    world.clock.set(next(dice));
    world.own(
        Event::new("search.run", who)
            .source_ip_address("192.0.2.10")
            .read_only(true)
            .outcome(Outcome::Success)
            .message(format!("{who} searched (search): 12 found"))
            .data("kind", "search")
            .data("q", "outcome:failure")
            .data("from", "-24h")
            .data("results", 12),
    );
    if day == 16 {
        world.clock.set(next(dice));
        world.own(
            Event::new("ledger.verified", "-")
                .resource("audit")
                .read_only(true)
                .outcome(Outcome::Success)
                .severity(6)
                .message("120 entries hashed, 0 problems")
                .data("entries", 120)
                .data("problems", 0),
        );
        world.own(
            Event::new("config.reload", "-")
                .outcome(Outcome::Success)
                .severity(5)
                .message("the configuration was read again: 0 started, 0 stopped")
                .data("sha256", "b".repeat(64)),
        );
        world.own(rules_load(25, "d"));
        world.own(
            Event::new("export.run", "mallory")
                .source_ip_address("203.0.113.66")
                .read_only(true)
                .outcome(Outcome::Success)
                .message("mallory exported 812 events as csv")
                .data("kind", "csv")
                .data("q", "*")
                .data("matches", 812),
        );
    }
}
