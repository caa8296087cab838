//! Of MariaDB.

/// A column: its definition, and values as SQL.
pub const COLUMNS: &[(&str, &[&str])] = &[
    ("tinyint", &["-128", "127", "0"]),
    ("tinyint unsigned", &["255", "0"]),
    ("smallint", &["-32768", "32767"]),
    ("smallint(5) unsigned zerofill", &["7", "65535"]),
    ("mediumint", &["-8388608", "8388607", "-1"]),
    ("mediumint unsigned", &["16777215", "0"]),
    ("int", &["-2147483648", "2147483647"]),
    ("int unsigned", &["4294967295", "5"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "-1"]),
    ("bigint unsigned", &["18446744073709551615", "0"]),
    ("boolean", &["true", "false"]),
    (
        "decimal(65,30)",
        &[
            "99999999999999999999999999999999999.999999999999999999999999999999",
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "0.000000000000000000000000000001",
            "-0.000000000000000000000000000001",
            "0",
            "-1.5",
        ],
    ),
    ("decimal(10,0)", &["-9999999999", "0", "9999999999"]),
    ("decimal(1,1)", &["0.9", "-0.9", "0"]),
    ("decimal(12,4) zerofill", &["1.5", "12345678.9999"]),
    ("decimal(18,9)", &["-123456789.987654321", "100000000.000000001", "-0.1"]),
    ("float", &["0.1", "16777217", "-3.4028234663852886e38", "1.17549435e-38", "1e-45", "0", "-1e15"]),
    ("float(7,3)", &["1234.567", "-0.001"]),
    (
        "double",
        &[
            "0.1",
            "0.30000000000000004",
            "1.7976931348623157e308",
            "5e-324",
            "-2.2250738585072014e-308",
            "1e15",
            "123456789012345680",
            "0.000000000000001",
            "-1e-16",
            "0",
        ],
    ),
    ("double(10,2)", &["12345678.91", "-0.01"]),
    ("bit(1)", &["b'1'", "b'0'"]),
    ("bit(9)", &["b'101010101'", "b'0'"]),
    ("bit(64)", &["18446744073709551615", "b'0'", "9223372036854775808"]),
    ("year", &["1901", "2155", "0", "1999"]),
    ("year(2)", &["99", "70", "0"]),
    ("date", &["'0000-00-00'", "'9999-12-31'", "'2026-00-00'", "'0001-01-01'"]),
    ("time", &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    ("time(1)", &["'-00:00:00.1'", "'-00:00:01.9'", "'12:34:56.7'"]),
    ("time(2)", &["'-00:00:00.01'", "'-00:00:01.50'", "'-838:59:58.99'", "'00:00:00.99'"]),
    ("time(3)", &["'-00:00:00.001'", "'838:59:59.999'"]),
    ("time(4)", &["'-23:59:59.9999'", "'-00:00:00.0001'", "'00:00:00'"]),
    ("time(6)", &["'-838:59:59.999999'", "'-00:00:00.000001'", "'-01:00:00.000000'", "'00:00:01.5'"]),
    ("datetime", &["'0000-00-00 00:00:00'", "'9999-12-31 23:59:59'", "'1000-01-01 00:00:00'"]),
    ("datetime(3)", &["'2026-11-21 12:30:00.5'", "'0000-00-00 00:00:00'", "'2026-00-01 00:00:00.001'"]),
    ("datetime(6)", &["'9999-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.000001'"]),
    ("timestamp null", &["'0000-00-00 00:00:00'", "'2038-01-19 03:14:07'", "'1970-01-01 00:00:01'"]),
    ("timestamp(1) null", &["'2026-11-21 12:30:00.9'", "'0000-00-00 00:00:00'"]),
    ("timestamp(6) null", &["'1970-01-01 00:00:01.000001'", "'2026-03-29 01:30:00.999999'"]),
    ("char(5)", &["''", "'a'", "'a  '", "'  a'", "'\u{1F600}'", "'A'", "'\\0'"]),
    ("char(255)", &["''", "repeat('\u{1F600}', 255)", "'x '"]),
    ("char(100) character set latin1", &["'\u{e9}'", "'\u{20ac} '", "repeat('x', 100)"]),
    ("char(7) character set utf8mb3", &["'\u{20ac}\u{20ac}'", "'e\u{301}'"]),
    ("char(5) character set ucs2", &["'\u{e9} '", "'\u{20ac}'", "''"]),
    ("varchar(20)", &["''", "'a '", "'A '", "'\u{1F600}\u{1F600}'", "'it''s \\\\ \"q\"'", "'\\0\\n'"]),
    ("varchar(300) character set latin1", &["'\u{e9} '", "repeat('\u{fc}', 300)"]),
    ("varchar(10) character set utf8mb3", &["'\u{20ac} '", "''"]),
    ("varchar(10) character set utf16", &["'\u{1F600} '", "'a'"]),
    ("varchar(10) collate utf8mb4_nopad_bin", &["'a'", "'a '", "'\u{1F600}'"]),
    ("tinytext", &["''", "'T\u{e4}xt '"]),
    ("text", &["repeat('ab', 30000)", "'\u{1F600} '", "''"]),
    ("mediumtext", &["repeat('ab', 40000)", "'x'"]),
    ("longtext character set latin1", &["'\u{ff}'", "''"]),
    ("binary(4)", &["''", "X'00'", "X'61000000'", "X'00000001'", "X'20202020'", "X'ff'"]),
    ("binary(255)", &["''", "X'0020'", "repeat('x', 255)"]),
    ("varbinary(10)", &["''", "X'00'", "X'6100'", "X'ff20'"]),
    ("varbinary(1000)", &["repeat(X'00', 1000)", "''"]),
    ("tinyblob", &["X'00'", "''"]),
    ("blob", &["X'00ff'", "repeat(X'00ff', 20000)"]),
    ("mediumblob", &["repeat(X'27', 70000)", "''"]),
    ("longblob", &["X'5c27'", "X'00'"]),
    ("enum('a','\u{e9}','it''s','b,c','')", &["'a'", "'\u{e9}'", "'it''s'", "'b,c'", "''", "0"]),
    ("enum('x','\u{e9}') character set latin1", &["'\u{e9}'", "'x'"]),
    ("set('a','b','c','d','e','f','g','h','i')", &["''", "'a,i'", "'b'", "'a,b,c,d,e,f,g,h,i'"]),
    ("set('x','\u{e9}') character set latin1", &["'x,\u{e9}'", "''"]),
    ("json", &["'{\"a\": [1, null, \"\u{1F600}\"]}'", "'null'", "'[ ]'"]),
    (
        "geometry",
        &["st_geomfromtext('POINT(1 -2)', 4326)", "st_geomfromtext('LINESTRING(0 0, 1e300 5e-324)')"],
    ),
    ("point", &["point(0, 0)", "point(-1.5, 0.1)"]),
    (
        "uuid",
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "'00000000-0000-0000-0000-000000000000'",
            "'6ba7b810-9dad-41d1-80b4-00c04fd430c8'",
            "'018f2b4e-7c00-7000-8000-000000000000'",
            "'018f2b4e-7c00-1000-0000-000000000000'",
            "'00000001-0000-1000-8000-000000000000'",
        ],
    ),
    ("inet6", &["'::'", "'::1'", "'::ffff:1.2.3.4'", "'2001:db8::ff00:42:8329'", "'ffff::'"]),
    ("inet4", &["'0.0.0.0'", "'255.255.255.255'", "'10.0.0.1'"]),
];

/// The table `t`: a column `id`, two that are computed of it, one that is not shown, and all of [`COLUMNS`] as `c0`, `c1` and so on.
pub fn create() -> String {
    let columns: Vec<String> =
        COLUMNS.iter().enumerate().map(|(at, (definition, _))| format!("c{at} {definition}")).collect();
    format!(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, computed VARCHAR(40) AS (CONCAT('v', id)) VIRTUAL, kept DOUBLE AS (id / 3) STORED, \
         hidden INT INVISIBLE DEFAULT 3, {}) CHARACTER SET utf8mb4",
        columns.join(", ")
    )
}

/// The name of the first column of this definition.
pub fn column(definition: &str) -> String {
    let at = COLUMNS.iter().position(|(known, _)| *known == definition);
    format!("c{}", at.unwrap_or_else(|| panic!("no column is {definition}")))
}

/// How many rows have every value at least once.
pub fn most() -> usize {
    COLUMNS.iter().map(|(_, values)| values.len()).max().unwrap_or(0) + 1
}

/// The value of a column in a row: NULL is one of them.
pub fn value(column: usize, row: usize) -> &'static str {
    let (_, values) = COLUMNS[column];
    values.get(row % (values.len() + 1)).copied().unwrap_or("NULL")
}

/// A statement that puts a row in.
pub fn insert(id: i64, row: usize) -> String {
    let names: Vec<String> = (0..COLUMNS.len()).map(|at| format!("c{at}")).collect();
    let values: Vec<&str> = (0..COLUMNS.len()).map(|at| value(at, row)).collect();
    format!("INSERT INTO t (id, {}) VALUES ({id}, {});\n", names.join(", "), values.join(", "))
}

/// So that all those values go in.
pub const SESSION: &str = "SET SESSION sql_mode = '', time_zone = '+00:00', check_constraint_checks = 1;\n";
