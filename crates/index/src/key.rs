//! How numbers are sorted: by the nearest 64-bit float, because rounding never changes the order, and where two floats are equal by the decimal.

use attestry_event::Decimal;

/// A number as the index sorts it: by `key`, and where keys are equal by the decimal.
pub(crate) struct Keyed {
    /// The nearest float in the order of `u64`.
    pub(crate) key: u64,
    /// Whether the number is the one that the float is written as, so that the key says everything.
    pub(crate) plain: bool,
}

/// Sorts floats as unsigned integers; no NaN comes here, and zero has one form.
pub(crate) fn key_of(float: f64) -> u64 {
    let bits = if float == 0.0 { 0 } else { float.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The float of a key.
pub(crate) fn float_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// The number that a key without a token stands for.
pub(crate) fn plain_decimal(key: u64) -> Decimal {
    Decimal::of_f64(float_of(key)).unwrap_or_else(|| Decimal::from(0))
}

/// The sort key of a number token; `None` when it is not a number.
pub(crate) fn keyed(token: &str) -> Option<Keyed> {
    if let Some(float) = short(token) {
        return Some(Keyed { key: key_of(float), plain: true });
    }
    let decimal = Decimal::parse(token)?;
    let key = key_of(token.parse().ok()?);
    Some(Keyed { key, plain: decimal.fits_f64() })
}

/// The nearest float of a token with at most 15 digits and no exponent. Digits and power of ten are both exact floats
/// then, so their quotient is the nearest one, and it is written as this decimal.
fn short(token: &str) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match token.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.len() > 16 {
        return None;
    }
    let (mut value, mut count, mut point) = (0_i64, 0, None);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value * 10 + i64::from(digit);
            count += 1;
        } else if *byte == b'.' && point.is_none() && count > 0 {
            point = Some(count);
        } else {
            return None;
        }
    }
    let fraction = point.map_or(0, |point| count - point);
    if count == 0 || count > 15 || (point.is_some() && fraction == 0) {
        return None;
    }
    let float = value as f64 / POWERS.get(fraction).copied()?;
    Some(if negative { -float } else { float })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISING: [&str; 22] = [
        "-1e400",
        "-1.7976931348623157e308",
        "-9007199254740993",
        "-9007199254740992",
        "-1.5",
        "-1e-400",
        "0",
        "1e-400",
        "2e-400",
        "5e-324",
        "0.1",
        "0.10000000000000000001",
        "1",
        "1.0000000000000001",
        "9.99",
        "10",
        "9007199254740992",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
        "1e401",
    ];

    #[test]
    fn keys_never_contradict_the_order() {
        let keys = RISING.map(|token| keyed(token).unwrap());
        for i in 1..keys.len() {
            let (left, right) = (&keys[i - 1], &keys[i]);
            assert!(left.key <= right.key, "{} {}", RISING[i - 1], RISING[i]);
            assert!(left.key < right.key || !(left.plain && right.plain), "{} {}", RISING[i - 1], RISING[i]);
        }
    }

    #[test]
    fn tokens_of_one_number_are_equal() {
        for (left, right) in [
            ("1e5", "100000"),
            ("100000", "100000.0"),
            ("-0", "0"),
            ("0e7", "0.000"),
            ("0.5", "5e-1"),
            ("1E+2", "100"),
        ] {
            assert_eq!(keyed(left).unwrap().key, keyed(right).unwrap().key, "{left} {right}");
        }
    }

    #[test]
    fn plain_numbers_come_back_from_their_key() {
        for token in [
            "0",
            "-7",
            "1e5",
            "0.1",
            "123456.789",
            "999999999999999",
            "1e22",
            "-2.5e-8",
            "1.7976931348623157e308",
        ] {
            let keyed = keyed(token).unwrap();
            assert!(keyed.plain, "{token}");
            assert_eq!(plain_decimal(keyed.key), Decimal::parse(token).unwrap(), "{token}");
        }
        for token in ["9007199254740993", "0.10000000000000000001", "1e400", "1e-400"] {
            assert!(!keyed(token).unwrap().plain, "{token}");
        }
    }

    #[test]
    fn short_tokens_are_read_as_the_library_reads_them() {
        for whole in ["0", "7", "-3", "123456", "99999999999999", "-0", "007"] {
            for fraction in ["", ".0", ".1", ".10", ".333", ".000001", ".99999999"] {
                let token = format!("{whole}{fraction}");
                let read = short(&token);
                let digits = token.bytes().filter(u8::is_ascii_digit).count();
                assert_eq!(read, (digits <= 15).then(|| token.parse().unwrap()), "{token}");
            }
        }
        for token in ["", "-", ".", ".5", "5.", "1..2", "1e5", "1.2.3", "+1", "1234567890123456"] {
            assert_eq!(short(token), None, "{token}");
        }
    }

    #[test]
    fn not_a_number() {
        for text in ["", "-", ".", "1.", ".5", "e5", "1e", "1e+", "0x10", "NaN", "inf", "1 ", "1_000", "--1"]
        {
            assert!(keyed(text).is_none(), "{text:?}");
        }
    }
}
