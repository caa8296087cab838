//! MySQL's binary JSON, as its log has it, written as the server writes it.
//!
//! Source of the format: MySQL's `json_binary.h`; of the text: `Json_wrapper::to_string` in `json_dom.cc`. What is not JSON's own (dates, decimals, bytes) is kept
//! as *opaque*, with the number of its SQL type.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::bytes::Bytes;
use super::float;
use super::image::decimal;

/// `JSON_DOCUMENT_MAX_DEPTH`.
const MAX_DEPTH: usize = 100;
/// How many times longer than its bytes a document's text may be; a control character is six times as long. A made-up document whose values share a place could say
/// far more.
const MAX_GROWTH: usize = 8;

mod kind {
    pub(super) const SMALL_OBJECT: u8 = 0;
    pub(super) const LARGE_OBJECT: u8 = 1;
    pub(super) const SMALL_ARRAY: u8 = 2;
    pub(super) const LARGE_ARRAY: u8 = 3;
    pub(super) const LITERAL: u8 = 4;
    pub(super) const INT16: u8 = 5;
    pub(super) const UINT16: u8 = 6;
    pub(super) const INT32: u8 = 7;
    pub(super) const UINT32: u8 = 8;
    pub(super) const INT64: u8 = 9;
    pub(super) const UINT64: u8 = 10;
    pub(super) const DOUBLE: u8 = 11;
    pub(super) const STRING: u8 = 12;
    pub(super) const OPAQUE: u8 = 15;
}

/// `MYSQL_TYPE_*` of opaque values that have a text of their own.
mod sql {
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const NEWDECIMAL: u8 = 246;
}

/// The text of a document; none when it is no such document.
pub(super) fn text(document: &[u8]) -> Option<String> {
    let Some((kind, rest)) = document.split_first() else {
        // What could not be converted when a table was altered.
        return Some("null".to_owned());
    };
    let mut out = String::new();
    value(
        *kind,
        rest,
        Limits { depth: MAX_DEPTH, text: document.len().saturating_mul(MAX_GROWTH) },
        &mut out,
    )?;
    Some(out)
}

/// What is left of them.
#[derive(Clone, Copy)]
struct Limits {
    depth: usize,
    text: usize,
}

fn value(kind: u8, bytes: &[u8], limits: Limits, out: &mut String) -> Option<()> {
    if out.len() > limits.text {
        return None;
    }
    let mut rest = Bytes::new(bytes);
    match kind {
        kind::SMALL_OBJECT => container(bytes, true, 2, limits, out)?,
        kind::LARGE_OBJECT => container(bytes, true, 4, limits, out)?,
        kind::SMALL_ARRAY => container(bytes, false, 2, limits, out)?,
        kind::LARGE_ARRAY => container(bytes, false, 4, limits, out)?,
        kind::LITERAL => out.push_str(match rest.u8()? {
            0 => "null",
            1 => "true",
            2 => "false",
            _ => return None,
        }),
        kind::INT16 => write!(out, "{}", rest.u16()?.cast_signed()).ok()?,
        kind::UINT16 => write!(out, "{}", rest.u16()?).ok()?,
        kind::INT32 => write!(out, "{}", rest.u32()?.cast_signed()).ok()?,
        kind::UINT32 => write!(out, "{}", rest.u32()?).ok()?,
        kind::INT64 => write!(out, "{}", rest.u64()?.cast_signed()).ok()?,
        kind::UINT64 => write!(out, "{}", rest.u64()?).ok()?,
        kind::DOUBLE => {
            let double = f64::from_bits(rest.u64()?);
            let text = float::text(double);
            out.push_str(if double == 0.0 && double.is_sign_negative() { "-0" } else { &text });
            // A double stays one, whatever its value.
            if !text.contains(['.', 'e']) {
                out.push_str(".0");
            }
        }
        kind::STRING => quoted(std::str::from_utf8(counted(&mut rest)?).ok()?, out),
        kind::OPAQUE => opaque(rest.u8()?, counted(&mut rest)?, out)?,
        _ => return None,
    }
    Some(())
}

/// Members or elements, whose places are counted in `width` bytes from the container's start.
fn container(bytes: &[u8], is_object: bool, width: usize, limits: Limits, out: &mut String) -> Option<()> {
    let number = |at: usize, width: usize| -> Option<usize> {
        let mut at = Bytes::new(bytes.get(at..)?);
        usize::try_from(at.little(width)?).ok()
    };
    let within = Limits { depth: limits.depth.checked_sub(1)?, ..limits };
    let (count, size) = (number(0, width)?, number(width, width)?);
    let bytes = bytes.get(..size)?;
    let keys = 2 * width;
    let values = if is_object { keys.checked_add(count.checked_mul(width + 2)?)? } else { keys };
    out.push(if is_object { '{' } else { '[' });
    for at in 0..count {
        if at > 0 {
            out.push_str(", ");
        }
        if is_object {
            let entry = keys + at * (width + 2);
            let (start, length) = (number(entry, width)?, number(entry + width, 2)?);
            let key = bytes.get(start..start.checked_add(length)?)?;
            quoted(std::str::from_utf8(key).ok()?, out);
            out.push_str(": ");
        }
        let entry = values.checked_add(at.checked_mul(width + 1)?)?;
        let kind = *bytes.get(entry)?;
        let inlined = matches!(kind, kind::LITERAL | kind::INT16 | kind::UINT16)
            || width == 4 && matches!(kind, kind::INT32 | kind::UINT32);
        let start = if inlined { entry + 1 } else { number(entry + 1, width)? };
        value(kind, bytes.get(start..)?, within, out)?;
    }
    out.push(if is_object { '}' } else { ']' });
    Some(())
}

/// As many bytes as a number before them says, which has seven bits a byte, the least first.
fn counted<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21, 28] {
        let byte = bytes.u8()?;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return bytes.take(length);
        }
    }
    None
}

fn opaque(sql_type: u8, bytes: &[u8], out: &mut String) -> Option<()> {
    match sql_type {
        sql::NEWDECIMAL => {
            let mut bytes = Bytes::new(bytes);
            let (precision, scale) = (bytes.u8()?, bytes.u8()?);
            out.push_str(&decimal(precision, scale, &mut bytes)?);
        }
        sql::DATE | sql::TIME | sql::DATETIME | sql::TIMESTAMP => {
            let packed = Bytes::new(bytes).u64()?.cast_signed();
            let (sign, packed) = (if packed < 0 { "-" } else { "" }, packed.unsigned_abs());
            let (whole, microseconds) = (packed >> 24, packed & 0xff_ffff);
            let (hours, minutes, seconds) = (whole >> 12, whole >> 6 & 63, whole & 63);
            let (date, hour) = (whole >> 17, hours & 31);
            let (year, month, day) = (date / (13 << 5), (date >> 5) % 13, date & 31);
            match sql_type {
                sql::DATE => write!(out, "\"{year:04}-{month:02}-{day:02}\"").ok()?,
                sql::TIME => {
                    let hours = hours & 1023;
                    write!(out, "\"{sign}{hours:02}:{minutes:02}:{seconds:02}.{microseconds:06}\"").ok()?;
                }
                _ => write!(
                    out,
                    "\"{year:04}-{month:02}-{day:02} {hour:02}:{minutes:02}:{seconds:02}.{microseconds:06}\""
                )
                .ok()?,
            }
        }
        other => {
            /// The server breaks its lines there (`base64_encode`).
            const LINE: usize = 76;
            write!(out, "\"base64:type{other}:").ok()?;
            let encoded = BASE64_STANDARD.encode(bytes);
            for (at, character) in encoded.chars().enumerate() {
                if at > 0 && at % LINE == 0 {
                    out.push_str("\\n");
                }
                out.push(character);
            }
            out.push('"');
        }
    }
    Some(())
}

/// As `double_quote` of `json_dom.cc`.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_documents_are_refused_and_none_panics() {
        // {"a": [1, "x"]}
        let document = b"\x00\x01\x00\x1a\x00\x0b\x00\x01\x00\x02\x0c\x00a\x02\x00\x0c\x00\x05\x01\x00\x0c\x0a\x00\x01x\x00\x00";
        assert_eq!(text(document).as_deref(), Some(r#"{"a": [1, "x"]}"#));
        for length in 1..document.len() - 4 {
            assert_eq!(text(&document[..length]), None, "{length}");
        }
        for at in 0..document.len() {
            for flipped in 0..=255 {
                let mut other = document.to_vec();
                other[at] = flipped;
                let _ = text(&other);
            }
        }
        // An array whose element is itself.
        assert_eq!(text(b"\x02\x01\x00\x07\x00\x02\x00\x00"), None);
        assert_eq!(text(b"").as_deref(), Some("null"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken(kind in 0_u8..17, bytes in proptest::collection::vec(0_u8..40, 0..60)) {
            let _ = text(&[&[kind][..], &bytes].concat());
        }
    }
}
