//! What Attestry says of itself: what was done to it, and what it knows to be missing.
//!
//! A test looks through the sources of all crates for the names that they give, so that none is missing here and none is made up.

use super::Entry;

const TIMED: (&str, &str) = ("expires_at", "when the certificate or token ends");

const SEARCHED: &[(&str, &str)] = &[
    ("kind", "search, count, histogram, top, coverage, tail, …; of an export ndjson, csv or evidence"),
    ("q", "the query"),
    ("from", "the begin of the time, as asked"),
    ("to", "its end, as asked"),
    ("ledger", "the ledgers, as asked"),
    ("results", "how many were found"),
    ("matches", "of an export: how many are in it"),
    ("limit", "of an export: how many at most"),
    ("took_ms", "how long it took"),
    ("error", "why it failed"),
];

const SILENCE: &[(&str, &str)] = &[
    ("who", "agent, source, receiver or key"),
    ("agent", "the agent that it is or belongs to"),
    ("source", "the source's name"),
    ("receiver", "the receiver's name"),
    ("key", "the write key's name, which is the source of what it posts"),
    ("since", "when it was last heard"),
    ("expected_every_s", "how often it should be heard, in seconds"),
];

const NOTICE: &[(&str, &str)] = &[
    ("sink", "the sink"),
    ("events", "how many events it was about"),
    ("alerts", "which alerts, at most 100"),
    ("final", "of a failure: whether it is given up, and the events are among the sink's dead letters"),
];

/// What an alert's events have in common.
const ALERT: &[(&str, &str)] = &[
    ("alert", "the alert, which is the resource, too"),
    ("rule", "the rule's id"),
    ("rule_version", "what tells it from a former text of itself"),
    ("title", "what has happened, in the rule's words"),
    ("level", "informational, low, medium, high or critical; severity is 6 to 2"),
    ("group", "what alerts of the rule are told apart by, and the values"),
    ("count", "how often it happened"),
    ("events", "how many events that were"),
    ("evidence", "the newest entries of it, ledger and index, at most 10"),
    ("why", "of alert.resolve: quiet, heard again, an event ended it, or not waited for any more"),
    ("reason", "why, where a person did it"),
    ("until", "of alert.silence: until when"),
];

/// All of them, by name.
pub const OWN: &[Entry] = &[
    Entry {
        name: "agent.enroll",
        sources: "attestry",
        meaning: "a host used a token and became an agent",
        who: "resource is the agent",
        fields: &[
            ("replaced", "whether an agent of this name was enrolled before; it is refused from now on"),
            TIMED,
        ],
        example: r#"{"event_name":"agent.enroll","username":"web1","resource":"web1","outcome":"success","message":"the agent web1 enrolled","event_data":{"replaced":false,"expires_at":"2027-11-21T12:00:00Z"}}"#,
    },
    Entry {
        name: "agent.renew",
        sources: "attestry",
        meaning: "an agent got a new certificate",
        who: "resource is the agent",
        fields: &[TIMED],
        example: r#"{"event_name":"agent.renew","username":"web1","resource":"web1","outcome":"success","message":"the agent web1 renewed its certificate","event_data":{"expires_at":"2028-07-21T12:00:00Z"}}"#,
    },
    Entry {
        name: "agent.revoke",
        sources: "attestry",
        meaning: "an agent is refused from now on",
        who: "username is who revoked it, resource the agent",
        fields: &[],
        example: r#"{"event_name":"agent.revoke","username":"dora","resource":"web1","outcome":"success","message":"dora revoked the agent web1"}"#,
    },
    Entry {
        name: "agent.start",
        sources: "attestry, on an agent or relay",
        meaning: "the program started",
        who: "",
        fields: &[("epoch", "the numbering of its spool")],
        example: r#"{"event_name":"agent.start","username":"-","message":"Attestry 1.0.0 started","event_data":{"epoch":1763726400000}}"#,
    },
    Entry {
        name: "agent.stop",
        sources: "attestry, on an agent or relay",
        meaning: "the program was stopped in order; a start without a stop before it was a crash or a power cut",
        who: "",
        fields: &[],
        example: r#"{"event_name":"agent.stop","username":"-","message":"Attestry stopped"}"#,
    },
    Entry {
        name: "agent.token",
        sources: "attestry",
        meaning: "a token was made with which one host can become an agent",
        who: "username is who made it, resource the agent's name",
        fields: &[("ledgers", "the ledgers it may write to"), TIMED],
        example: r#"{"event_name":"agent.token","username":"dora","resource":"web1","outcome":"success","message":"dora invited the agent web1","event_data":{"ledgers":["audit"],"expires_at":"2026-11-21T13:00:00Z"}}"#,
    },
    Entry {
        name: "alert.ack",
        sources: "attestry",
        meaning: "a person has seen an alert",
        who: "username is who, resource the alert",
        fields: ALERT,
        example: r#"{"event_name":"alert.ack","username":"dora","resource":"84fd94fd8d24653687d8","source_ip_address":"192.0.2.1","severity":5,"message":"dora has seen: Root logged in","event_data":{"alert":"84fd94fd8d24653687d8","rule":"login-root","title":"Root logged in","reason":"it was me"}}"#,
    },
    Entry {
        name: "alert.open",
        sources: "attestry",
        meaning: "a rule found something that deserves attention; its time is that of the log, its id follows from what it found",
        who: "resource is the alert",
        fields: ALERT,
        example: r#"{"event_name":"alert.open","username":"-","resource":"84fd94fd8d24653687d8","severity":3,"message":"root logged in to web1 from 192.0.2.7","host":"web1","event_data":{"alert":"84fd94fd8d24653687d8","rule":"login-root","rule_version":"9f86d081884c7d65","title":"Root logged in","level":"high","group":{"host":"web1","source_ip_address":"192.0.2.7"},"count":1,"events":1,"evidence":["audit/812"]}}"#,
    },
    Entry {
        name: "alert.repeat",
        sources: "attestry",
        meaning: "it happened again; at most one a minute for an alert, with all that was counted since it was opened",
        who: "resource is the alert",
        fields: ALERT,
        example: r#"{"event_name":"alert.repeat","username":"-","resource":"84fd94fd8d24653687d8","severity":3,"message":"root logged in to web1 from 192.0.2.7","host":"web1","event_data":{"alert":"84fd94fd8d24653687d8","rule":"login-root","rule_version":"9f86d081884c7d65","title":"Root logged in","level":"high","group":{"host":"web1","source_ip_address":"192.0.2.7"},"count":7,"events":7,"evidence":["audit/812","audit/907"]}}"#,
    },
    Entry {
        name: "alert.resolve",
        sources: "attestry",
        meaning: "an alert is over, by itself or because a person says so; should it happen again, another one is opened",
        who: "username is who said so, - for the rules themselves; resource the alert",
        fields: ALERT,
        example: r#"{"event_name":"alert.resolve","username":"dora","resource":"84fd94fd8d24653687d8","source_ip_address":"192.0.2.1","severity":5,"message":"dora resolved: Root logged in","event_data":{"alert":"84fd94fd8d24653687d8","rule":"login-root","title":"Root logged in","reason":"root may not log in any more"}}"#,
    },
    Entry {
        name: "alert.silence",
        sources: "attestry",
        meaning: "a person wants to hear nothing of an alert for a time; what happens is counted",
        who: "username is who, resource the alert",
        fields: ALERT,
        example: r#"{"event_name":"alert.silence","username":"dora","resource":"84fd94fd8d24653687d8","source_ip_address":"192.0.2.1","severity":5,"message":"dora wants silence until 2026-11-22T12:00:00.000000000Z about: Root logged in","event_data":{"alert":"84fd94fd8d24653687d8","rule":"login-root","title":"Root logged in","reason":"known","until":"2026-11-22T12:00:00.000000000Z"}}"#,
    },
    Entry {
        name: "clock.tick",
        sources: "attestry",
        meaning: "a minute has passed",
        who: "",
        fields: &[],
        example: r#"{"event_name":"clock.tick","username":"-","read_only":true,"severity":7,"message":"the clock ticked"}"#,
    },
    Entry {
        name: "config.refuse",
        sources: "attestry",
        meaning: "a new configuration has mistakes; the old one stays in force",
        who: "",
        fields: &[("mistakes", "all of them, each with its place")],
        example: r#"{"event_name":"config.refuse","username":"-","outcome":"failure","severity":4,"message":"a new configuration was refused for 1 mistakes: sinks.siem: unknown protocol","event_data":{"mistakes":["sinks.siem: unknown protocol"]}}"#,
    },
    Entry {
        name: "config.reload",
        sources: "attestry",
        meaning: "a new configuration is in force",
        who: "",
        fields: &[
            ("sha256", "the hash of the configuration"),
            ("started", "the receivers and sinks that were started"),
            ("stopped", "those that were stopped"),
            ("at_next_start", "the settings that take effect at the next start"),
        ],
        example: r#"{"event_name":"config.reload","username":"-","outcome":"success","severity":5,"message":"the configuration was read again: 1 started, 0 stopped","event_data":{"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","started":["siem"],"stopped":[],"at_next_start":[]}}"#,
    },
    Entry {
        name: "control.accepted",
        sources: "control",
        meaning: "a control message was believed, and what it asks for was done, or cannot be",
        who: "username is the fingerprint of the key that signed it, event_time when that was, resource the command",
        fields: &[
            ("source", "the folder or queue that it came from"),
            ("command", "signoff, schema or report"),
            ("fingerprints", "the violations, or changes of a schema, that it signs off"),
            ("reason", "why, when it says so"),
            ("report", "the report that it asks for"),
            ("signer", "the fingerprint of the signer's primary key"),
            ("key", "that of the key that made the signature, which may be a subkey"),
            ("signed_at", "when it was signed"),
            ("signature_id", "what gpg calls the signature"),
            ("result", "what was done, or why it cannot be"),
        ],
        example: r#"{"event_name":"control.accepted","username":"5A694BB76B6C08C9AFEBF74ACE693478CF3C742B","resource":"signoff","outcome":"success","severity":5,"message":"5A694BB76B6C08C9AFEBF74ACE693478CF3C742B asked by queue boss for signoff: signed off 1","event_data":{"source":"queue boss","command":"signoff","signer":"5A694BB76B6C08C9AFEBF74ACE693478CF3C742B","key":"5A694BB76B6C08C9AFEBF74ACE693478CF3C742B","signed_at":"2026-11-21T15:42:23.000000000Z","signature_id":"ePukAWAl6q0kRtSVrocP3pYFX0A","result":"signed off 1","fingerprints":["0123456789abcdef0123"]}}"#,
    },
    Entry {
        name: "control.refused",
        sources: "control",
        meaning: "a control message was not believed, is none, or could not be done in time",
        who: "username is the fingerprint of the key that signed it, or - when that is not sure; resource is where it came from",
        fields: &[
            ("source", "the folder or queue that it came from"),
            ("why", "why, with the command that mends it where one does"),
            ("bytes", "its length; not of a file that cannot be read"),
            ("sha256", "SHA-256 of it, hexadecimal; not of a file that cannot be read"),
            ("signer", "the fingerprint of the signer's primary key, when the signature is good"),
        ],
        example: r#"{"event_name":"control.refused","username":"-","resource":"queue boss","outcome":"failure","severity":4,"message":"a control message from queue boss was refused: it is not signed","event_data":{"source":"queue boss","why":"it is not signed","bytes":12,"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}"#,
    },
    Entry {
        name: "export.run",
        sources: "attestry",
        meaning: "events were exported; recorded before the first one is handed out",
        who: "username is who did",
        fields: SEARCHED,
        example: r#"{"event_name":"export.run","username":"dora","read_only":true,"outcome":"success","message":"dora exported 812 events as csv","event_data":{"kind":"csv","q":"outcome:failure","from":"-24h","matches":812}}"#,
    },
    Entry {
        name: "gap.clock",
        sources: "attestry",
        meaning: "the clock of an agent is more than a minute off, or right again",
        who: "resource is the agent",
        fields: &[("agent", "the agent"), ("offset_s", "how far it is ahead, in seconds; negative: behind")],
        example: r#"{"event_name":"gap.clock","username":"-","resource":"web1","severity":4,"message":"the clock of web1 is 90 s ahead","event_data":{"agent":"web1","offset_s":90}}"#,
    },
    Entry {
        name: "gap.conflict",
        sources: "attestry",
        meaning: "an agent sent another event under an id that is taken; it is kept whole in this one",
        who: "resource is the sender",
        fields: &[
            ("sender", "the agent"),
            ("ledger", "the ledger"),
            ("event_id", "the id"),
            ("index", "the entry that has the id"),
            ("event", "the event that came second, as JSON"),
        ],
        example: r#"{"event_name":"gap.conflict","username":"-","resource":"web1","severity":3,"message":"web1 sent another event under the id a, which is audit/7","event_data":{"sender":"web1","ledger":"audit","event_id":"a","index":7,"event":"{\"event_name\":\"a.b\"}"}}"#,
    },
    Entry {
        name: "gap.datagram",
        sources: "a receiver that listens to datagrams",
        meaning: "datagrams were lost before they could be kept",
        who: "resource is the address it listens at",
        fields: &[
            ("count", "how many"),
            ("reason", "kernel: the socket's buffer was full; queue: our own was"),
        ],
        example: r#"{"event_name":"gap.datagram","username":"-","resource":"udp://127.0.0.1:5514","outcome":"failure","severity":4,"message":"7 datagrams to udp://127.0.0.1:5514 were lost: the kernel's buffer was full","event_data":{"count":7,"reason":"kernel"}}"#,
    },
    Entry {
        name: "gap.dead_letters",
        sources: "attestry",
        meaning: "dead letters of a sink are gone: over their bound, unreadable, or dropped by hand",
        who: "resource is the sink",
        fields: &[
            ("why", "cap, damage, or dropped by hand"),
            ("events", "how many; absent when nobody knows"),
            ("count", "how many were dropped by hand"),
            ("sink", "the sink"),
        ],
        example: r#"{"event_name":"gap.dead_letters","username":"-","resource":"siem","outcome":"failure","severity":3,"message":"3 dead letters of siem went over their bound and are gone","event_data":{"why":"cap","events":3}}"#,
    },
    Entry {
        name: "gap.epoch",
        sources: "attestry",
        meaning: "an agent counts anew because its spool was made new, or an older spool came back",
        who: "resource is the agent",
        fields: &[
            ("agent", "the agent"),
            ("ledger", "the ledger"),
            ("epoch", "the numbering it uses now"),
            ("former_epoch", "the numbering before"),
            ("former_next", "what the numbering before was accounted for up to; what came after is unknown"),
            ("first_number", "the first number that came in the new numbering"),
            ("newest_epoch", "of an older spool: the newest numbering that is known"),
        ],
        example: r#"{"event_name":"gap.epoch","username":"-","resource":"web1","severity":3,"message":"web1 counts anew for audit: its spool was made new, what the old one held beyond number 812 is unknown","event_data":{"agent":"web1","ledger":"audit","epoch":7,"former_epoch":5,"former_next":812,"first_number":0}}"#,
    },
    Entry {
        name: "gap.history",
        sources: "attestry, on an agent",
        meaning: "the server showed a tree that is smaller than, or forked from, the one it showed before; the agent sends nothing more until a person has looked",
        who: "resource is the ledger",
        fields: &[
            ("agent", "the agent"),
            ("ledger", "the ledger"),
            (
                "pinned",
                "the signed checkpoint that the agent kept; with the other it proves what the server did",
            ),
            ("shown", "the signed checkpoint that the server shows now, if it shows one"),
        ],
        example: r#"{"event_name":"gap.history","username":"-","resource":"audit","severity":1,"message":"the tree of audit shrank from 812 to 800 entries","event_data":{"agent":"web1","ledger":"audit"}}"#,
    },
    Entry {
        name: "gap.journal",
        sources: "attestry",
        meaning: "a start found damage in a ledger's journal",
        who: "resource is the ledger",
        fields: &[("file", "the file"), ("offset", "where in it"), ("bytes", "how much")],
        example: r#"{"event_name":"gap.journal","username":"-","resource":"audit","severity":3,"message":"the journal of audit is damaged in 7.journal; no entry is missing","event_data":{"file":"7.journal","offset":4096,"bytes":512}}"#,
    },
    Entry {
        name: "gap.malformed",
        sources: "the receiver or consumer",
        meaning: "what came in is no event, and is kept as it is; nothing is missing",
        who: "",
        fields: &[
            ("problems", "what is wrong: field, found, expected"),
            ("raw", "what came, up to a bound"),
            ("bytes", "how long it was"),
            ("cut_bytes", "how much of it is not in raw"),
            ("invalid_utf8", "true when it held bytes that are no UTF-8; they became U+FFFD"),
            ("reason", "of a line that was too long: why it was not read"),
            ("beginning", "of a line that was too long: its beginning"),
        ],
        example: r#"{"event_name":"gap.malformed","username":"-","outcome":"failure","severity":4,"message":"what orders sent is no event and is kept as it is","event_data":{"problems":[{"field":"event_name","found":"nothing","expected":"a name"}],"bytes":2,"raw":"{}"}}"#,
    },
    Entry {
        name: "gap.rules",
        sources: "attestry",
        meaning: "a rule had no more room, and what it remembered of the longest unused groups is forgotten; or entries were pruned before the rules had looked at them",
        who: "resource is the rule, or the ledger",
        fields: &[
            ("rule", "the rule's id; of pruned entries none"),
            ("what", "groups, open alerts, windows of correlations, or entries"),
            ("count", "how many"),
        ],
        example: r#"{"event_name":"gap.rules","username":"-","resource":"login-brute-force","severity":4,"message":"the rule login-brute-force had no more room: 1000 groups were forgotten, the longest unused ones","event_data":{"rule":"login-brute-force","what":"groups","count":1000}}"#,
    },
    Entry {
        name: "gap.sequence",
        sources: "attestry",
        meaning: "numbers of an agent were never accounted for: these events did not come, and nobody said why",
        who: "resource is the agent",
        fields: &[
            ("agent", "the agent"),
            ("ledger", "the ledger"),
            ("epoch", "the numbering"),
            ("first", "the first missing number"),
            ("last", "the last one"),
            ("count", "how many"),
        ],
        example: r#"{"event_name":"gap.sequence","username":"-","resource":"web1","severity":3,"message":"2 events of web1 for audit are missing: numbers 10 to 11 were never accounted for","event_data":{"agent":"web1","ledger":"audit","epoch":5,"first":10,"last":11,"count":2}}"#,
    },
    Entry {
        name: "gap.silence",
        sources: "attestry",
        meaning: "nothing was heard of an agent for 3 minutes, of a source with a cadence for 3 times as long (at least 3 minutes), or of a receiver or a write key for longer than its `expect`; once when it begins",
        who: "resource is the agent, agent/source, the receiver, or the key",
        fields: SILENCE,
        example: r#"{"event_name":"gap.silence","username":"-","resource":"web1/host","outcome":"failure","severity":4,"message":"nothing is heard of the source host of web1 since 2026-11-21T12:00:00.000000000Z; expected is something every 60 s","event_data":{"who":"source","agent":"web1","source":"host","since":"2026-11-21T12:00:00.000000000Z","expected_every_s":60}}"#,
    },
    Entry {
        name: "gap.silence_end",
        sources: "attestry",
        meaning: "a silence is over",
        who: "resource is the agent, agent/source, the receiver, or the key",
        fields: &[
            SILENCE[0],
            SILENCE[1],
            SILENCE[2],
            SILENCE[3],
            SILENCE[4],
            SILENCE[5],
            SILENCE[6],
            ("until", "when it was heard again, or not waited for any more"),
            ("length_s", "how long it lasted, in seconds"),
            (
                "why",
                "heard again, or not expected any more (revoked, switched off, taken out of the configuration)",
            ),
        ],
        example: r#"{"event_name":"gap.silence_end","username":"-","resource":"web1/host","severity":5,"message":"the source host of web1 is heard again after 900 s","event_data":{"who":"source","agent":"web1","source":"host","since":"2026-11-21T12:00:00.000000000Z","expected_every_s":60,"until":"2026-11-21T12:15:00.000000000Z","length_s":900,"why":"heard again"}}"#,
    },
    Entry {
        name: "gap.sink",
        sources: "attestry",
        meaning: "events were gone before a sink had read them; the log that it follows dropped or pruned them",
        who: "resource is the sink",
        fields: &[
            ("why", "cap, damage, pruned or removed"),
            ("first", "the first place in the log"),
            ("end", "the first place after it"),
            ("events", "how many; absent when nobody knows"),
        ],
        example: r#"{"event_name":"gap.sink","username":"-","resource":"siem","outcome":"failure","severity":3,"message":"40 events were gone before siem had read them","event_data":{"why":"pruned","first":100,"end":140,"events":40}}"#,
    },
    Entry {
        name: "gap.spool",
        sources: "attestry, on an agent or relay",
        meaning: "the spool lost events that somebody still wanted: it was full, damaged, or files of it were removed",
        who: "",
        fields: &[
            ("why", "cap, damage or removed"),
            ("bytes", "how much of the disk"),
            ("events", "how many; absent when nobody knows"),
            ("ledgers", "of each ledger: events, epoch, and the first missing number and the first after it"),
            ("sinks", "which sinks had not read them"),
            ("file", "the damaged file"),
            ("offset", "where in it"),
            ("losses", "how many losses found no place to be told of"),
        ],
        example: r#"{"event_name":"gap.spool","username":"-","outcome":"failure","severity":3,"message":"the spool was full and its oldest part was dropped: 812 events are missing","event_data":{"why":"cap","bytes":1048576,"events":812,"ledgers":{"audit":{"events":812,"epoch":5,"first":0,"end":812}},"sinks":["central"]}}"#,
    },
    Entry {
        name: "key.create",
        sources: "attestry",
        meaning: "an API key was made",
        who: "username is who made it, resource the key's name",
        fields: &[
            ("id", "its id"),
            ("kind", "write or read"),
            ("ledgers", "which ledgers; empty: all"),
            ("filter", "what it may see"),
            ("expires_at", "when it ends"),
            ("expect_s", "how often something should come by it, in seconds"),
        ],
        example: r#"{"event_name":"key.create","username":"dora","resource":"shop","outcome":"success","message":"dora made the write key shop","event_data":{"id":"k1","kind":"write","ledgers":["audit"]}}"#,
    },
    Entry {
        name: "key.revoke",
        sources: "attestry",
        meaning: "an API key is refused from now on",
        who: "username is who revoked it, resource the key's name",
        fields: &[("id", "its id")],
        example: r#"{"event_name":"key.revoke","username":"dora","resource":"shop","outcome":"success","message":"dora revoked the key shop","event_data":{"id":"k1"}}"#,
    },
    Entry {
        name: "ledger.pruned",
        sources: "attestry",
        meaning: "entries were removed because their retention ended, or by hand; it is signed before they are",
        who: "username is who asked, resource the ledger",
        fields: &[
            ("first", "the first entry that is kept"),
            ("pruned_from", "the first that was removed"),
            ("received_from", "when the first of them was received"),
            ("received_to", "when the last of them was"),
            ("bytes", "how much of the disk"),
        ],
        example: r#"{"event_name":"ledger.pruned","username":"-","resource":"logs","message":"entries 0..4096 of logs are pruned","event_data":{"first":4096,"pruned_from":0,"received_from":"2026-08-01T00:00:00Z","received_to":"2026-08-02T00:00:00Z","bytes":1048576}}"#,
    },
    Entry {
        name: "ledger.verified",
        sources: "attestry",
        meaning: "a ledger was hashed anew and compared with what was signed; failure: something is damaged or missing",
        who: "resource is the ledger",
        fields: &[("entries", "how many were hashed"), ("problems", "how many were found")],
        example: r#"{"event_name":"ledger.verified","username":"-","resource":"audit","read_only":true,"outcome":"success","severity":6,"message":"812 entries hashed, 0 problems","event_data":{"entries":812,"problems":0}}"#,
    },
    Entry {
        name: "login.failure",
        sources: "attestry",
        meaning: "somebody failed to log in to the page",
        who: "username is the user, or \"-\" when there is none of the name that was typed: it may have been a password",
        fields: &[("failures", "how many in a row")],
        example: r#"{"event_name":"login.failure","username":"dora","source_ip_address":"203.0.113.9","outcome":"failure","message":"dora failed to log in","event_data":{"failures":2}}"#,
    },
    Entry {
        name: "login.lockout",
        sources: "attestry",
        meaning: "somebody failed so often that nobody may try for a while under this name",
        who: "username is the user",
        fields: &[("until", "when it ends")],
        example: r#"{"event_name":"login.lockout","username":"dora","source_ip_address":"203.0.113.9","outcome":"failure","message":"dora may not try to log in until 2026-11-21T12:15:00Z","event_data":{"until":"2026-11-21T12:15:00Z"}}"#,
    },
    Entry {
        name: "login.success",
        sources: "attestry",
        meaning: "somebody logged in to the page",
        who: "username is the user",
        fields: &[],
        example: r#"{"event_name":"login.success","username":"dora","source_ip_address":"203.0.113.9","outcome":"success","message":"dora logged in"}"#,
    },
    Entry {
        name: "notice.failed",
        sources: "attestry",
        meaning: "a message to people, or a report or an alert to a sink that includes them by name, was refused, or does not get through at present; told once until one does",
        who: "resource is the sink",
        fields: NOTICE,
        example: r#"{"event_name":"notice.failed","username":"-","resource":"oncall","outcome":"failure","severity":4,"message":"oncall cannot tell people of 1 events now: connection refused","event_data":{"sink":"oncall","events":1,"alerts":["84fd94fd8d24653687d8"],"final":false}}"#,
    },
    Entry {
        name: "notice.sent",
        sources: "attestry",
        meaning: "a message to people was taken by the mail server or the chat, or a report or an alert by a sink that includes them by name",
        who: "resource is the sink",
        fields: NOTICE,
        example: r#"{"event_name":"notice.sent","username":"-","resource":"oncall","outcome":"success","severity":6,"message":"oncall told people of 1 events","event_data":{"sink":"oncall","events":1,"alerts":["84fd94fd8d24653687d8"]}}"#,
    },
    Entry {
        name: "person.create",
        sources: "attestry",
        meaning: "a user of the page was made",
        who: "username is who made it, resource the user",
        fields: &[("role", "admin, auditor, reader or writer"), ("filter", "what the user may see")],
        example: r#"{"event_name":"person.create","username":"root","resource":"dora","outcome":"success","message":"root made the user dora, admin","event_data":{"role":"admin"}}"#,
    },
    Entry {
        name: "person.password",
        sources: "attestry",
        meaning: "a user's password was set, which ends the user's sessions",
        who: "username is who set it, resource the user",
        fields: &[],
        example: r#"{"event_name":"person.password","username":"root","resource":"dora","outcome":"success","message":"root set the password of dora"}"#,
    },
    Entry {
        name: "report.failed",
        sources: "attestry",
        meaning: "a report that was due could not be made or delivered",
        who: "username is who scheduled it or asked for it by a message (openpgp:FINGERPRINT), resource the report",
        fields: &[
            ("schedule", "the schedule's name"),
            ("due", "when it was due"),
            ("run", "what tells this run from all others"),
            ("target", "where it could not be delivered; absent when it could not be made"),
            ("error", "why"),
        ],
        example: r#"{"event_name":"report.failed","username":"dora","resource":"violations","outcome":"failure","severity":3,"message":"the report violations could not be made: a search of the report failed","event_data":{"schedule":"nightly","due":"2026-11-21T06:00:00Z","run":"nightly@2026-11-21T06:00:00Z","error":"a search of the report failed"}}"#,
    },
    Entry {
        name: "report.figure",
        sources: "attestry",
        meaning: "a figure from outside was taken for a report, which shows what this event says",
        who: "username is who runs the report, resource the report",
        fields: &[
            ("run", "the run of the report it was taken for"),
            ("figure", "the figure's name"),
            ("from", "where it comes from"),
            ("value", "what it is, where it is one value"),
            ("table", "columns and rows as JSON, where it has several"),
            ("error", "why it could not be had"),
        ],
        example: r#"{"event_name":"report.figure","username":"dora","resource":"btc","read_only":true,"outcome":"success","message":"balance is 21.5","event_data":{"run":"0198f1c2","figure":"balance","from":"JSON-RPC http://127.0.0.1:8332/ getbalance","value":"21.5"}}"#,
    },
    Entry {
        name: "report.made",
        sources: "attestry",
        meaning: "a report was made; what it was made from is enough to make it again",
        who: "username is who ran or scheduled it, resource the report",
        fields: &[
            ("title", "its heading"),
            ("run", "what tells this run from all others"),
            ("schedule", "the schedule's name"),
            ("due", "when it was due"),
            ("from", "the begin of the window"),
            ("to", "its end"),
            ("body_sha256", "SHA-256 of the body"),
            ("cited", "how many entries it shows"),
            ("recipe", "definition, parameters, window and ledgers, as JSON"),
            ("checkpoints", "the signed checkpoints it was made at, in the order of the recipe's ledgers"),
        ],
        example: r#"{"event_name":"report.made","username":"dora","resource":"packages","source_ip_address":"192.0.2.1","read_only":true,"outcome":"success","message":"dora made the report packages","event_data":{"title":"Package changes","run":"0198f1c2","from":"2026-11-14T00:00:00Z","to":"2026-11-21T00:00:00Z","body_sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","cited":11,"recipe":"{}","checkpoints":[]}}"#,
    },
    Entry {
        name: "report.schedule",
        sources: "attestry",
        meaning: "a report was scheduled, its schedule changed, or it is told again that it holds",
        who: "username is who did, resource the schedule",
        fields: &[
            ("schedule", "report, cron, zone, formats and where it goes, as JSON"),
            ("configured", "whether it stands in the configuration"),
            ("since", "told again: since when it holds"),
            ("last", "told again: when its report had been due by then, for the last time"),
        ],
        example: r#"{"event_name":"report.schedule","username":"dora","resource":"nightly","outcome":"success","message":"dora scheduled violations: 0 6 * * * (Europe/Paris)","event_data":{"schedule":"{\"report\":\"violations\",\"cron\":\"0 6 * * *\"}","configured":false}}"#,
    },
    Entry {
        name: "report.sent",
        sources: "attestry",
        meaning: "a report was put into a folder, or is handed to a sink, which takes it from this event",
        who: "username is who scheduled it or asked for it by a message (openpgp:FINGERPRINT), resource the report",
        fields: &[
            ("run", "which run of it"),
            ("schedule", "the schedule's name"),
            ("target", "the folder's path, or the sink's name"),
            ("file", "the file's name"),
            ("format", "html, markdown, json or csv"),
            ("media_type", "of the document as it stands here"),
            ("signed_by", "the fingerprint of the key that signed it"),
            ("encrypted_to", "the fingerprints of those who can read it"),
            ("sha256", "of the document"),
            ("bytes", "its length"),
            ("document", "the document, for a sink"),
            ("signature", "its detached OpenPGP signature, where it is one"),
        ],
        example: r#"{"event_name":"report.sent","username":"dora","resource":"violations","outcome":"success","message":"the report violations went to /srv/reports","event_data":{"run":"nightly@2026-11-21T06:00:00Z","schedule":"nightly","target":"/srv/reports","file":"violations-nightly-20261121T060000Z.md","format":"markdown","media_type":"text/markdown; charset=utf-8","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","bytes":4711}}"#,
    },
    Entry {
        name: "report.unschedule",
        sources: "attestry",
        meaning: "a schedule was removed",
        who: "username is who did, resource the schedule",
        fields: &[("configured", "whether it stood in the configuration")],
        example: r#"{"event_name":"report.unschedule","username":"dora","resource":"nightly","outcome":"success","message":"dora removed the schedule nightly","event_data":{"configured":false}}"#,
    },
    Entry {
        name: "rules.load",
        sources: "attestry",
        meaning: "other rules are in force than before",
        who: "",
        fields: &[
            ("version", "a hash over all of them"),
            ("rules", "how many"),
            ("not_applicable", "how many are of log sources that are not here"),
            ("refused", "how many are wrong"),
            ("disabled", "the ids of those that are switched off"),
        ],
        example: r#"{"event_name":"rules.load","username":"-","severity":6,"message":"19 rules are in force, 0 are not applicable here, 0 were refused","event_data":{"version":"9f86d081884c7d659a2feaa0c55ad015","rules":19,"not_applicable":0,"refused":0,"disabled":[]}}"#,
    },
    Entry {
        name: "search.event",
        sources: "attestry",
        meaning: "somebody looked at one event",
        who: "username is who did, resource the event",
        fields: &[],
        example: r#"{"event_name":"search.event","username":"dora","resource":"audit/7","read_only":true,"message":"dora looked at the event audit/7"}"#,
    },
    Entry {
        name: "search.run",
        sources: "attestry",
        meaning: "somebody searched or counted; the same again within a minute is not told again",
        who: "username is who did",
        fields: SEARCHED,
        example: r#"{"event_name":"search.run","username":"dora","read_only":true,"outcome":"success","message":"dora searched (count): 3 found","event_data":{"kind":"count","q":"outcome:failure","results":3,"took_ms":0.7}}"#,
    },
    Entry {
        name: "server.start",
        sources: "attestry",
        meaning: "the server started",
        who: "",
        fields: &[],
        example: r#"{"event_name":"server.start","username":"-","message":"Attestry 1.0.0 started"}"#,
    },
    Entry {
        name: "server.stop",
        sources: "attestry",
        meaning: "the server was stopped in order; a start without a stop before it was a crash or a power cut",
        who: "",
        fields: &[],
        example: r#"{"event_name":"server.stop","username":"-","message":"Attestry stopped"}"#,
    },
    Entry {
        name: "session.end",
        sources: "attestry",
        meaning: "somebody logged out of the page",
        who: "username is the user",
        fields: &[],
        example: r#"{"event_name":"session.end","username":"dora","outcome":"success","message":"dora logged out"}"#,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use attestry_event::{Batch, Border, Nanos, RESERVED_SOURCE, is_reserved};
    use serde_json::Value;

    use super::OWN;
    use crate::catalogue::CATALOGUE;

    /// What stands before the name of an event that is made.
    const MAKERS: [&str; 4] = ["Event::new(", "Note::new(", ".event(", "gap("];

    /// The names that a source file gives to events, outside its tests.
    fn given(text: &str, names: &mut BTreeSet<String>) {
        let code = text.split("\nmod tests {").next().unwrap_or_default();
        for maker in MAKERS {
            for (at, _) in code.match_indices(maker) {
                let rest = code[at + maker.len()..].trim_start().trim_start_matches("&self, ");
                let Some(name) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                    continue;
                };
                if is_reserved(name) {
                    names.insert(name.to_owned());
                }
            }
        }
    }

    fn look_through(dir: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && stem != "tests" {
                look_through(&path, names);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !stem.contains("test") {
                given(&fs::read_to_string(&path).unwrap(), names);
            }
        }
    }

    #[test]
    fn names_are_found_where_they_are_given() {
        let mut names = BTreeSet::new();
        given(
            "Event::new(\n  \"gap.a\", x); Note::new(\"key.b\"); self.event(\"gap.c\"); gap(\"gap.d\"); Event::new(\"my.own\"); \nmod tests { Event::new(\"gap.e\")",
            &mut names,
        );
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["gap.a", "gap.c", "gap.d", "key.b"]);
    }

    #[test]
    fn every_name_that_the_code_gives_is_here_and_no_other() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut names = BTreeSet::new();
        for name in ["attestry", "ledger", "pipeline", "report", "rules", "server", "wire"] {
            look_through(&crates.join(name).join("src"), &mut names);
        }
        let own: BTreeSet<String> = OWN.iter().map(|entry| entry.name.to_owned()).collect();
        let missing: Vec<_> = names.difference(&own).collect();
        let unused: Vec<_> = own.difference(&names).collect();
        assert!(
            missing.is_empty() && unused.is_empty(),
            "missing here: {missing:?}; given nowhere: {unused:?}"
        );
    }

    #[test]
    fn names_are_sorted_and_examples_are_events() {
        assert!(OWN.is_sorted_by(|a, b| a.name < b.name));
        let border = Border {
            event_source: RESERVED_SOURCE,
            via: &[],
            lenient: false,
            reserved_names: true,
            agent: true,
            now: Nanos(0),
        };
        for entry in OWN {
            assert!(is_reserved(entry.name), "{}", entry.name);
            Batch::new().push_json(entry.example.as_bytes(), &border).unwrap_or_else(|problems| {
                panic!("the example of {} is no event: {problems:?}", entry.name);
            });
            let value: Value = serde_json::from_str(entry.example).unwrap();
            assert_eq!(value["event_name"], entry.name);
            for (name, _) in value["event_data"].as_object().into_iter().flatten() {
                assert!(entry.fields.iter().any(|(known, _)| known == name), "{} has no {name}", entry.name);
            }
        }
    }

    #[test]
    fn what_a_host_gives_is_told_apart() {
        let both = OWN.iter().filter(|own| CATALOGUE.iter().any(|entry| entry.name == own.name));
        assert_eq!(both.map(|own| own.name).collect::<Vec<_>>(), ["login.failure", "login.success"]);
    }
}
