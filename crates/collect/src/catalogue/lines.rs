//! What stands in log files and in lines that are received: what the source `follow` gives, and what the parsers make of lines. The names are
//! anybody's: whoever writes a log, or sends lines to a receiver, can have them made.

use super::Entry;

const LEVEL: (&str, &str) = ("level", "how bad it is, in the program's own word");
const PID: (&str, &str) = ("pid", "the process's id");
const CLIENT: (&str, &str) = ("client", "the client, where it is no address");
const SOURCE_PORT: (&str, &str) = ("source_port", "the client's port");
const VHOST: (&str, &str) = ("vhost", "the server's name that was asked");
const REFERRER: (&str, &str) = ("referrer", "the page that led there, as the client says");
const THREAD: (&str, &str) = ("thread", "mysql: the connection's id");
const DATABASE: (&str, &str) = ("database", "which");
const APPLICATION: (&str, &str) = ("application", "postgresql: the client's name for itself");
const STATEMENT: (&str, &str) = ("statement", "the SQL");
const CODE: (&str, &str) = ("code", "mysql: MY-…");
const SQLSTATE: (&str, &str) = ("sqlstate", "postgresql, csvlog and jsonlog: the code of the SQL standard");
const DETAIL: (&str, &str) = ("detail", "postgresql, csvlog and jsonlog: the line after");

/// What a line of a database's own log tells.
const DATABASE_SAYS: &[(&str, &str)] = &[
    LEVEL,
    PID,
    DATABASE,
    SQLSTATE,
    DETAIL,
    STATEMENT,
    APPLICATION,
    SOURCE_PORT,
    THREAD,
    CODE,
    ("part", "mysql: Server, InnoDB, Repl"),
];

/// By name.
pub const LINES: &[Entry] = &[
    Entry {
        name: "db.audit",
        sources: "parser postgresql",
        meaning: "pgaudit's record of a statement",
        who: "",
        fields: &[
            ("audit_type", "SESSION or OBJECT"),
            ("class", "READ, WRITE, DDL, ROLE, …"),
            ("command", "SELECT, CREATE TABLE, …"),
            ("object", "the table or other object"),
            STATEMENT,
            DATABASE,
            LEVEL,
            PID,
            SQLSTATE,
            APPLICATION,
            SOURCE_PORT,
        ],
        example: r#"{"event_name":"db.audit","username":"alice","resource":"/var/log/postgresql/postgresql-15-main.log","severity":6,"message":"2026-11-21 03:00:00.000 UTC [4711] alice@shop LOG:  AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.orders,select * from orders,<none>","event_data":{"audit_type":"SESSION","class":"READ","command":"SELECT","object":"public.orders","statement":"select * from orders","database":"shop","pid":4711,"level":"LOG"}}"#,
    },
    Entry {
        name: "db.authenticate",
        sources: "parser postgresql",
        meaning: "somebody proved who they are",
        who: "",
        fields: &[("method", "how"), DATABASE, LEVEL, PID],
        example: r#"{"event_name":"db.authenticate","username":"alice","outcome":"success","severity":6,"event_data":{"method":"scram-sha-256","database":"shop","pid":4711,"level":"LOG"}}"#,
    },
    Entry {
        name: "db.command",
        sources: "parser mysql",
        meaning: "a command of the protocol that is no statement, in the general log",
        who: "",
        fields: &[("command", "which"), THREAD],
        example: r#"{"event_name":"db.command","username":"-","severity":6,"message":"2026-11-21T03:00:00.000000Z\t    8 Ping\t","event_data":{"command":"Ping","thread":8}}"#,
    },
    Entry {
        name: "db.connect",
        sources: "parser postgresql, mysql",
        meaning: "a client connected; with mysql it is then logged in as well",
        who: "",
        fields: &[CLIENT, SOURCE_PORT, DATABASE, THREAD, ("command", "mysql: Connect"), LEVEL, PID],
        example: r#"{"event_name":"db.connect","username":"alice","severity":6,"event_data":{"command":"Connect","client":"localhost","database":"shop","thread":8}}"#,
    },
    Entry {
        name: "db.detail",
        sources: "parser postgresql",
        meaning: "a DETAIL, HINT, STATEMENT or CONTEXT line, which belongs to the one before",
        who: "",
        fields: &[LEVEL, PID, DATABASE],
        example: r#"{"event_name":"db.detail","username":"alice","severity":6,"event_data":{"level":"STATEMENT","pid":4711,"database":"shop"}}"#,
    },
    Entry {
        name: "db.disconnect",
        sources: "parser postgresql, mysql",
        meaning: "a client went away",
        who: "",
        fields: &[CLIENT, SOURCE_PORT, DATABASE, THREAD, ("command", "mysql: Quit"), LEVEL, PID],
        example: r#"{"event_name":"db.disconnect","username":"alice","source_ip_address":"10.0.0.7","severity":6,"event_data":{"source_port":40000,"database":"shop","pid":4711,"level":"LOG"}}"#,
    },
    Entry {
        name: "db.error",
        sources: "parser postgresql, mysql",
        meaning: "a statement failed, or the server did",
        who: "",
        fields: DATABASE_SAYS,
        example: r#"{"event_name":"db.error","username":"alice","outcome":"failure","severity":3,"message":"2026-11-21 03:00:00.000 UTC [4711] alice@shop ERROR:  relation \"x\" does not exist at character 15","event_data":{"level":"ERROR","pid":4711,"database":"shop"}}"#,
    },
    Entry {
        name: "db.login",
        sources: "parser postgresql, mysql",
        meaning: "somebody logged in to a database, or failed to",
        who: "",
        fields: &[
            CLIENT,
            SOURCE_PORT,
            DATABASE,
            APPLICATION,
            LEVEL,
            PID,
            SQLSTATE,
            THREAD,
            CODE,
            ("part", "mysql: Server"),
            ("command", "mysql: Connect"),
        ],
        example: r#"{"event_name":"db.login","username":"alice","source_ip_address":"10.0.0.7","outcome":"failure","severity":4,"event_data":{"level":"Warning","thread":12,"code":"MY-010926","part":"Server"}}"#,
    },
    Entry {
        name: "db.message",
        sources: "parser postgresql, mysql",
        meaning: "what a database server says of itself",
        who: "",
        fields: DATABASE_SAYS,
        example: r#"{"event_name":"db.message","username":"-","severity":6,"message":"2026-11-21 03:00:00.000 UTC [1] LOG:  database system is ready to accept connections","event_data":{"level":"LOG","pid":1}}"#,
    },
    Entry {
        name: "db.query",
        sources: "parser postgresql, mysql",
        meaning: "a statement was run; of a slow one only if the server logs those alone",
        who: "",
        fields: &[
            STATEMENT,
            ("duration_ms", "how long it took"),
            ("lock_ms", "mysql: of that, waiting for locks"),
            ("rows_sent", "mysql"),
            ("rows_examined", "mysql"),
            ("slow", "mysql: true when it is from the slow query log"),
            ("command", "mysql: Query, Execute or Prepare"),
            CLIENT,
            DATABASE,
            LEVEL,
            PID,
            SQLSTATE,
            APPLICATION,
            SOURCE_PORT,
            THREAD,
        ],
        example: r#"{"event_name":"db.query","username":"alice","outcome":"success","severity":6,"event_data":{"duration_ms":12.5,"statement":"select 1","database":"shop","pid":4711,"level":"LOG"}}"#,
    },
    Entry {
        name: "http.error",
        sources: "parser nginx, apache",
        meaning: "a line of a web server's error log",
        who: "username is the user that could not be authenticated, if it tells of one",
        fields: &[
            LEVEL,
            PID,
            CLIENT,
            SOURCE_PORT,
            VHOST,
            REFERRER,
            ("server", "nginx: the server's name in its configuration"),
            ("request", "nginx: the request line"),
            ("upstream", "nginx: where it was passed to"),
            ("connection", "nginx: the connection's number"),
            ("module", "apache: the module that says it"),
            ("code", "apache: AH and five digits"),
        ],
        example: r#"{"event_name":"http.error","username":"-","source_ip_address":"203.0.113.9","outcome":"failure","severity":3,"message":"2026/11/21 03:00:00 [error] 29#29: *1 open() \"/srv/x\" failed (2: No such file or directory), client: 203.0.113.9, server: example.org, request: \"GET /x HTTP/1.1\", host: \"example.org\"","event_data":{"level":"error","pid":29,"connection":1,"server":"example.org","request":"GET /x HTTP/1.1","vhost":"example.org"}}"#,
    },
    Entry {
        name: "http.request",
        sources: "parser nginx, apache",
        meaning: "a web server answered; failure: with a status of 400 or more",
        who: "username is who authenticated to the web server",
        fields: &[
            ("method", "GET, POST, …"),
            ("path", "without the query"),
            ("query", "what follows the question mark"),
            ("protocol", "HTTP/1.1, …"),
            ("request", "the request line, where it is none"),
            ("status", "of the answer"),
            ("bytes", "of the answer's body"),
            REFERRER,
            ("user_agent", "the program, as it calls itself"),
            VHOST,
            CLIENT,
            ("ident", "what identd said"),
            (
                "forwarded_for",
                "nginx: the header X-Forwarded-For: what whoever sent it says of where it comes from",
            ),
            ("more", "what the log has after all that"),
        ],
        example: r#"{"event_name":"http.request","username":"alice","source_ip_address":"203.0.113.9","read_only":true,"outcome":"success","severity":6,"message":"203.0.113.9 - alice [21/Nov/2026:03:00:00 +0000] \"GET /cart?item=7 HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\"","event_data":{"method":"GET","path":"/cart","query":"item=7","protocol":"HTTP/1.1","status":200,"bytes":512,"user_agent":"curl/8.5.0"}}"#,
    },
    Entry {
        name: "log.line",
        sources: "follow",
        meaning: "a line of a log file, or several that belong together, as they stand there",
        who: "username is \"-\" and resource the log's path, until a parser or a transform tells more",
        fields: &[("unparsed", "true when the parser that was asked for could not read it")],
        example: r#"{"event_name":"log.line","username":"-","resource":"/var/log/app/app.log","severity":6,"message":"worker 7 started"}"#,
    },
];
