//! Bytes as hexadecimal digits: how hashes are written in entries and beside them.

use std::fmt::Write;

/// Two small digits a byte.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_two_digits() {
        assert_eq!((hex([0, 9, 0xab, 255]), hex("")), ("0009abff".to_owned(), String::new()));
    }
}
