//! Of PostgreSQL.

/// A column's type, and values of it as SQL writes them.
pub const TYPES: [(&str, &[&str]); 44] = [
    ("smallint", &["-32768", "0", "32767"]),
    ("integer", &["-2147483648", "-1", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    (
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0.00",
            "0.000",
            "1e-300",
            "repeat('9', 3000)::numeric",
            "-0.1",
        ],
    ),
    ("numeric(20,5)", &["123456789012345.67891", "-0.00001", "'NaN'"]),
    ("real", &["'NaN'", "'-0'", "1.1754944e-38", "1e-45", "3.4028235e38", "0.1", "16777217", "'-Infinity'"]),
    (
        "double precision",
        &["'NaN'", "'-0'", "5e-324", "0.1", "0.30000000000000004", "1.7976931348623157e308", "'Infinity'"],
    ),
    ("boolean", &["true", "false"]),
    (
        "text",
        &[
            "''",
            "' '",
            "'a '",
            "'A'",
            "'N'",
            "'3:abc'",
            "'ß💣'",
            "E'\\n\\r\\t\\\\'",
            "repeat('x', 3000)",
            "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n)",
        ],
    ),
    ("varchar(50)", &["''", "'b  '", "'É'"]),
    ("character(5)", &["''", "'ab'", "'é'", "'abcde'"]),
    ("\"char\"", &["'a'", "''", "'\\377'"]),
    ("name", &["'some name'", "''"]),
    (
        "bytea",
        &[
            "''",
            "'\\x00ff'",
            "'\\x4e'",
            "decode(repeat('00', 5000), 'hex')",
            "(SELECT string_agg(sha256(n::text::bytea), '') FROM generate_series(1, 400) n)",
        ],
    ),
    ("date", &["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'2026-11-21'"]),
    ("time", &["'00:00'", "'24:00:00'", "'12:34:56.000001'"]),
    ("time with time zone", &["'12:00:00+15:59'", "'12:00:00.5-07:30'"]),
    (
        "timestamp",
        &[
            "'infinity'",
            "'0044-03-15 12:00 BC'",
            "'2026-11-21 12:30:00.000001'",
            "'294276-12-31 23:59:59.999999'",
        ],
    ),
    ("timestamptz", &["'-infinity'", "'2026-11-21 12:30:00+05:30'", "'1900-01-01 00:00 Europe/Amsterdam'"]),
    (
        "interval",
        &["'1 mon -1 days +00:00:00.000001'", "'-178000000 years'", "'0'", "'1 year 2 mons -3 days'"],
    ),
    ("uuid", &["'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-aaaa-4bbb-8ccc-000000000001'"]),
    ("json", &["'{\"b\": 1,  \"a\":1, \"a\" : 2}'", "'null'", "'\" \\u00e9\"'"]),
    ("jsonb", &["'{\"b\": 1,  \"a\":1, \"a\" : 2}'", "'null'", "'1.00'", "'[]'"]),
    ("xml", &["'<a>b</a>'", "'<?xml version=\"1.0\" encoding=\"UTF-8\"?><x>é</x>'"]),
    ("inet", &["'10.0.0.1'", "'10.0.0.1/8'", "'::1'", "'::ffff:1.2.3.4/96'"]),
    ("cidr", &["'10.0.0.0/8'", "'10.1.2.3/32'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("bit(5)", &["B'10101'", "B'00000'"]),
    ("bit varying", &["B''", "B'1'"]),
    ("money", &["'-92233720368547758.08'", "12.30"]),
    ("oid", &["4294967295", "0"]),
    ("point", &["'(1,-0)'", "'(NaN,1e300)'"]),
    ("box", &["'(1,2),(3,4)'"]),
    ("tsvector", &["'a:1A fat:2 cat''s'", "''"]),
    ("tsquery", &["'a & !b'"]),
    ("int4range", &["'empty'", "'[1,5)'", "'(,)'"]),
    ("numrange", &["'[1.0,1.00]'", "'(,5]'"]),
    ("integer[]", &["'{}'", "'{1,NULL,3}'", "'[0:1]={1,2}'", "'{{1,2},{3,4}}'"]),
    ("text[]", &["'{NULL,\"NULL\",\"a,b\",\"\"}'", "ARRAY['\"', '\\']"]),
    ("bytea[]", &["ARRAY['\\x00ff'::bytea]"]),
    ("mood", &["'sad'", "'it''s \"ok\"'"]),
    ("pair", &["ROW(NULL, NULL)", "ROW(1, 'a b')"]),
    ("positive", &["1", "9"]),
    ("padded", &["'ab'", "''"]),
];

/// What the types above are made of, and the table `every`, with a column `c0`, `c1` … of each.
pub fn schema() -> String {
    let columns: Vec<String> =
        TYPES.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {kind}")).collect();
    format!(
        "CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"'); CREATE TYPE pair AS (a integer, b text); \
         CREATE DOMAIN positive AS bigint CHECK (value > 0); CREATE DOMAIN padded AS character(4); \
         CREATE TABLE every (id bigint PRIMARY KEY, {}, twice bigint GENERATED ALWAYS AS (id * 2) STORED, big text);",
        columns.join(", ")
    )
}

/// A row of `every`: which of each type's values, or NULL. What stands for a choice may be any number.
pub fn row(id: i64, choices: &[u8]) -> String {
    let values = TYPES.iter().zip(choices.iter().cycle()).map(|((_, values), choice)| {
        let choice = usize::from(*choice) % (values.len() + 1);
        values.get(choice).copied().unwrap_or("NULL")
    });
    format!("({id}, {}, DEFAULT, NULL)", values.collect::<Vec<_>>().join(", "))
}
