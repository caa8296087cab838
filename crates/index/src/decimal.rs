//! Numbers, compared exactly.
//!
//! JSON number tokens are decimal and of any length: 9007199254740993 and 9007199254740992 differ although the
//! nearest 64-bit float is the same. The index sorts by that float, because rounding never changes the order, and
//! looks at the decimal only where two floats are equal.

use std::cmp::Ordering;
use std::fmt;

/// Exponents beyond this count as this: no number that means anything comes near.
const EXPONENT_LIMIT: i64 = 1 << 40;

/// A decimal number of any size: `±0.d₁d₂d₃… × 10^exponent`. Equal numbers are equal whatever their token was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// Zero for zero.
    exponent: i64,
    /// ASCII digits, no zero at either end; empty for zero.
    digits: Box<[u8]>,
}

impl Decimal {
    /// Reads a number token of JSON (RFC 8259 section 6; leading zeros and `+` are let through).
    pub fn parse(token: &str) -> Option<Decimal> {
        let (negative, unsigned) = match token.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, power) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(place) => (unsigned.get(..place)?, exponent(unsigned.get(place + 1..)?)?),
            None => (unsigned, 0),
        };
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let whole = mantissa.get(..point)?;
        let fraction = mantissa.get(point + 1..).unwrap_or(&[]);
        if whole.is_empty() || (point < mantissa.len() && fraction.is_empty()) {
            return None;
        }
        let digits: Vec<u8> = whole.iter().chain(fraction).copied().collect();
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let Some(first) = digits.iter().position(|digit| *digit != b'0') else {
            return Some(Decimal { negative: false, exponent: 0, digits: Box::new([]) });
        };
        let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(first);
        let exponent = power + point as i64 - first as i64;
        Some(Decimal { negative, exponent, digits: digits.get(first..=last)?.into() })
    }

    /// The nearest 64-bit float; infinite when the number is larger than any.
    pub fn to_f64(&self) -> f64 {
        let digits = std::str::from_utf8(&self.digits).unwrap_or_default();
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}0.{digits}0e{}", self.exponent).parse().unwrap_or(0.0)
    }

    fn magnitude(&self, other: &Decimal) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
            (left, right) => right.cmp(&left),
        }
    }
}

fn exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT));
    Some(if negative { -size } else { size })
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Decimal {
        Decimal::parse(&number.to_string()).unwrap_or(Decimal {
            negative: false,
            exponent: 0,
            digits: Box::new([]),
        })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// Plain digits where they are few, else with an exponent; a token that reads back as the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = std::str::from_utf8(&self.digits).unwrap_or_default();
        let len = digits.len() as i64;
        if self.negative {
            f.write_str("-")?;
        }
        match self.exponent {
            _ if digits.is_empty() => f.write_str("0"),
            exponent if exponent >= len && exponent <= 21 => {
                write!(f, "{digits}{:0<zeros$}", "", zeros = (exponent - len) as usize)
            }
            exponent if exponent > 0 && exponent < len => {
                let (whole, fraction) = digits.split_at(exponent as usize);
                write!(f, "{whole}.{fraction}")
            }
            exponent if exponent <= 0 && exponent > -7 => {
                write!(f, "0.{:0<zeros$}{digits}", "", zeros = exponent.unsigned_abs() as usize)
            }
            exponent => {
                let (first, rest) = digits.split_at(1);
                let point = if rest.is_empty() { "" } else { "." };
                write!(f, "{first}{point}{rest}e{}", exponent - 1)
            }
        }
    }
}

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
    Decimal::parse(&format!("{:e}", float_of(key))).unwrap_or_else(|| Decimal::from(0))
}

/// The sort key of a number token; `None` when it is not a number.
pub(crate) fn keyed(token: &str) -> Option<Keyed> {
    if let Some(float) = short(token) {
        return Some(Keyed { key: key_of(float), plain: true });
    }
    let decimal = Decimal::parse(token)?;
    let key = key_of(token.parse().ok()?);
    // Every decimal of at most 15 digits comes back from the nearest float (within its normal range).
    let plain = (decimal.digits.len() <= 15 && decimal.exponent.abs() < 300) || plain_decimal(key) == decimal;
    Some(Keyed { key, plain })
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
    fn decimals_are_in_order() {
        let numbers = RISING.map(|token| Decimal::parse(token).unwrap());
        for (i, left) in numbers.iter().enumerate() {
            for (j, right) in numbers.iter().enumerate() {
                assert_eq!(left.cmp(right), i.cmp(&j), "{} {}", RISING[i], RISING[j]);
            }
        }
    }

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
            assert_eq!(Decimal::parse(left).unwrap(), Decimal::parse(right).unwrap(), "{left} {right}");
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
    fn display_reads_back() {
        for token in RISING.iter().chain(&["100", "0.001", "12.5", "1e21", "1e22", "1.25e-9", "123e18"]) {
            let decimal = Decimal::parse(token).unwrap();
            assert_eq!(Decimal::parse(&decimal.to_string()), Some(decimal), "{token}");
        }
        for (token, shown) in
            [("1e3", "1000"), ("12.50", "12.5"), ("5e-3", "0.005"), ("-0.0", "0"), ("1e30", "1e30")]
        {
            assert_eq!(Decimal::parse(token).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn not_a_number() {
        for text in ["", "-", ".", "1.", ".5", "e5", "1e", "1e+", "0x10", "NaN", "inf", "1 ", "1_000", "--1"]
        {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
            assert!(keyed(text).is_none(), "{text:?}");
        }
    }
}
