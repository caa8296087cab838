//! The events of a binary log, as far as they are of use here.
//!
//! Source: MySQL's `libbinlogevents` (`binlog_event.h`, `control_events.h`, `statement_events.h`), MariaDB's `log_event.h`.

use attestry_event::Nanos;

use super::bytes::Bytes;

/// Event types that are looked at.
pub(super) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const FORMAT: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_1: u8 = 23;
    pub(crate) const UPDATE_1: u8 = 24;
    pub(crate) const DELETE_1: u8 = 25;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const ROWS_QUERY: u8 = 29;
    pub(crate) const WRITE_2: u8 = 30;
    pub(crate) const UPDATE_2: u8 = 31;
    pub(crate) const DELETE_2: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS: u8 = 34;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE: u8 = 39;
    pub(crate) const PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_2: u8 = 41;
    pub(crate) const TAGGED_GTID: u8 = 42;
    pub(crate) const MARIADB_ANNOTATE: u8 = 160;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const MARIADB_COMPRESSED: std::ops::RangeInclusive<u8> = 165..=171;
}

/// What stands before every event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Seconds since 1970.
    pub(super) time: u32,
    pub(super) kind: u8,
    /// Of the server that the change was first made on.
    pub(super) server_id: u32,
    /// The byte after it in the log, the lowest 32 bits of that; 0 for what is not in the log.
    pub(super) end: u32,
    /// Made for this connection: not in the log.
    pub(super) artificial: bool,
}

/// How long a header is.
const HEADER: usize = 19;

impl Header {
    /// The header, and the body with its checksum if there is one.
    pub(super) fn read(event: &[u8]) -> Option<(Header, &[u8])> {
        let mut bytes = Bytes::new(event);
        let (time, kind, server_id) = (bytes.u32()?, bytes.u8()?, bytes.u32()?);
        let (_size, end, flags) = (bytes.u32()?, bytes.u32()?, bytes.u16()?);
        /// `LOG_EVENT_ARTIFICIAL_F`.
        const ARTIFICIAL: u16 = 0x20;
        let header = Header { time, kind, server_id, end, artificial: flags & ARTIFICIAL != 0 };
        Some((header, bytes.rest()))
    }

    pub(super) fn nanos(&self) -> Nanos {
        Nanos(i64::from(self.time) * 1_000_000_000)
    }
}

/// Whether the log has checksums: said at the end of a format event.
pub(super) fn has_checksums(format_body: &[u8]) -> bool {
    // The byte that names the algorithm, and a checksum that is there in any case.
    format_body.len().checked_sub(5).and_then(|at| format_body.get(at)) == Some(&1)
}

/// The body of an event without its checksum; none when that is wrong.
pub(super) fn checked(event: &[u8]) -> Option<&[u8]> {
    let (rest, sum) = event.split_last_chunk::<4>()?;
    let mut crc = flate2::Crc::new();
    crc.update(rest);
    (crc.sum() == u32::from_le_bytes(*sum)).then(|| rest.get(HEADER..)).flatten()
}

/// A transaction begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gtid {
    pub(super) id: String,
    /// When it was committed, if it says more than the header does.
    pub(super) time: Option<Nanos>,
    /// One statement is all that follows: a change of tables.
    pub(super) alone: bool,
    /// What follows is prepared by XA. Only MariaDB says so here; MySQL begins it with `XA START`.
    pub(super) prepares: bool,
}

/// MariaDB's: number, domain, flags; what follows them is not looked at.
pub(super) fn mariadb_gtid(header: &Header, body: &[u8]) -> Option<Gtid> {
    const ALONE: u8 = 1;
    const PREPARES: u8 = 64;
    let mut body = Bytes::new(body);
    let (number, domain, flags) = (body.u64()?, body.u32()?, body.u8()?);
    let id = format!("{domain}-{}-{number}", header.server_id);
    Some(Gtid { id, time: None, alone: flags & ALONE != 0, prepares: flags & PREPARES != 0 })
}

/// What ends an XA transaction's group: whether that commits it, and its number.
pub(super) fn xa_prepare(body: &[u8]) -> Option<(bool, String)> {
    let mut body = Bytes::new(body);
    let one_phase = body.u8()? != 0;
    let (format, first, second) = (body.u32()?, body.u32()?, body.u32()?);
    let first = body.take(usize::try_from(first).ok()?)?;
    let second = body.take(usize::try_from(second).ok()?)?;
    Some((one_phase, xa_number(format, first, second)))
}

/// `X'71',X'',1`: as the servers write it in `XA COMMIT`.
fn xa_number(format: u32, first: &[u8], second: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("X'{}',X'{}',{format}", hex(first), hex(second))
}

/// MySQL's: a server's UUID and a number; since 8.0.1 when it was committed, in microseconds.
pub(super) fn mysql_gtid(kind: u8, body: &[u8]) -> Option<Gtid> {
    let mut body = Bytes::new(body);
    body.u8()?;
    let sid: [u8; 16] = body.take(16)?.try_into().ok()?;
    let number = body.u64()?;
    let hex: String = sid.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts: Vec<&str> =
        [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().filter_map(|at| hex.get(at)).collect();
    let id = if kind == kind::ANONYMOUS { String::new() } else { format!("{}:{number}", parts.join("-")) };
    let mut time = None;
    /// Two numbers of the logical clock come first.
    const LOGICAL_CLOCK: u8 = 2;
    if body.u8() == Some(LOGICAL_CLOCK) && body.take(16).is_some() {
        // Of 7 bytes; the highest bit says that the time of the first commit follows.
        time = body
            .little(7)
            .map(|micros| Nanos((micros & ((1 << 55) - 1)).cast_signed().saturating_mul(1_000)));
    }
    // Until a BEGIN says otherwise.
    Some(Gtid { id, time, alone: true, prepares: false })
}

/// A statement.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) connection: u32,
    pub(super) schema: &'a [u8],
    pub(super) sql: &'a [u8],
    /// Whose it was: said of few statements only.
    pub(super) account: Option<String>,
}

impl<'a> Query<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Query<'a>> {
        let mut body = Bytes::new(body);
        let connection = body.u32()?;
        body.take(4)?;
        let schema_length = body.u8()?;
        body.take(2)?;
        let status_length = body.u16()?;
        let account = invoker(body.take(status_length.into())?);
        let schema = body.take(schema_length.into())?;
        body.take(1)?;
        Some(Query { connection, schema, sql: body.rest(), account })
    }
}

/// The account among a statement's status variables, as `joe@%`.
fn invoker(status: &[u8]) -> Option<String> {
    let mut status = Bytes::new(status);
    loop {
        match status.u8()? {
            11 => {
                let user = status.counted(1)?;
                let host = status.counted(1)?;
                return Some(format!("{}@{}", String::from_utf8_lossy(user), String::from_utf8_lossy(host)));
            }
            0 | 3 | 10 => status.take(4)?,
            1 | 9 => status.take(8)?,
            4 => status.take(6)?,
            7 | 8 => status.take(2)?,
            5 | 6 => status.counted(1)?,
            2 => {
                status.counted(1)?;
                status.take(1)?
            }
            13 | 128 => status.take(3)?,
            // What comes before the account is among these; what is not known ends the search.
            _ => return None,
        };
    }
}
