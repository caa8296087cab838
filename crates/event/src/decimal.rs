//! Numbers, compared exactly.
//!
//! JSON number tokens are decimal and of any length: 9007199254740993 and 9007199254740992 differ although the nearest 64-bit float is the same;
//! `1.0`, `1` and `10e-1` are one number.

use std::cmp::Ordering;
use std::fmt;

/// Exponents beyond this count as this: no number that means anything comes near, and it is far inside `i64`.
const EXPONENT_LIMIT: i64 = 1 << 40;

/// Every decimal of so many digits comes back from the nearest double (DBL_DIG of IEEE 754) …
const F64_DIGITS: usize = 15;

/// … when its power of ten is not near the ends of what a double holds (±308).
const F64_POWER: i64 = 300;

/// `u64` has at most so many digits.
const U64_DIGITS: i64 = 20;

/// A number of JSON's grammar (RFC 8259 section 6): `±0.d₁d₂d₃… × 10^exponent`. Equal numbers are equal whatever their token was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    /// Zero for zero.
    exponent: i64,
    /// ASCII digits, no zero at either end; empty for zero.
    digits: Box<[u8]>,
}

impl Decimal {
    /// Reads a number token; `None` when the text is not one.
    pub fn parse(token: &str) -> Option<Decimal> {
        let (negative, unsigned) = match token.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
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
        if whole.len() > 1 && whole.starts_with(b"0") {
            return None;
        }
        let digits: Vec<u8> = whole.iter().chain(fraction).copied().collect();
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let Some(first) = digits.iter().position(|digit| *digit != b'0') else {
            return Some(Decimal::zero());
        };
        let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(first);
        let exponent = power + point as i64 - first as i64;
        Some(Decimal { negative, exponent, digits: digits.get(first..=last)?.into() })
    }

    fn zero() -> Decimal {
        Decimal { negative: false, exponent: 0, digits: Box::new([]) }
    }

    /// The number that a double is written as; `None` for what is none.
    pub fn of_f64(double: f64) -> Option<Decimal> {
        Decimal::parse(&format!("{double:e}"))
    }

    /// The nearest double; infinite when the number is larger than any.
    pub fn to_f64(&self) -> f64 {
        let digits = std::str::from_utf8(&self.digits).unwrap_or_default();
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}0.{digits}0e{}", self.exponent).parse().unwrap_or(0.0)
    }

    /// Whether it is the number that the nearest double is written as, so that nothing is lost on the way there and back.
    pub fn fits_f64(&self) -> bool {
        (self.digits.len() <= F64_DIGITS && self.exponent.abs() < F64_POWER)
            || Decimal::of_f64(self.to_f64()).as_ref() == Some(self)
    }

    /// The least whole number that is not below it, as far as `u64` reaches.
    pub fn ceil(&self) -> u64 {
        let (whole, exact) = self.truncate();
        if self.negative || exact { whole } else { whole.saturating_add(1) }
    }

    /// The whole number after the greatest one that is not above it: where a range up to it ends.
    pub fn floor_end(&self) -> u64 {
        if self.negative { 0 } else { self.truncate().0.saturating_add(1) }
    }

    /// The whole part, 0 for what is negative, and whether there is nothing more to it.
    fn truncate(&self) -> (u64, bool) {
        if self.negative || self.exponent <= 0 {
            return (0, self.digits.is_empty());
        }
        if self.exponent > U64_DIGITS {
            return (u64::MAX, true);
        }
        let places = self.exponent as usize;
        let digits = self.digits.get(..places).unwrap_or(&self.digits);
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let whole = format!("{digits:0<places$}").parse().unwrap_or(u64::MAX);
        (whole, self.digits.len() <= places)
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
        Decimal::parse(&number.to_string()).unwrap_or_else(Decimal::zero)
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

/// Whether two JSON number tokens mean the same number. A token with an exponent beyond the limit equals only itself.
pub(crate) fn same_number(left: &str, right: &str) -> bool {
    let counted = |token: &str| Decimal::parse(token).filter(|of| of.exponent.abs() < EXPONENT_LIMIT / 2);
    left == right || matches!((counted(left), counted(right)), (Some(left), Some(right)) if left == right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_json_reads() {
        for good in ["0", "-0", "1", "-1", "10", "0.5", "1e5", "1E+5", "1e-5", "1.25e300", "9007199254740993"]
        {
            assert!(Decimal::parse(good).is_some(), "{good}");
        }
        for bad in [
            "", "-", ".", "+1", "01", "-01", "00", "1.", ".5", "e5", "1e", "1e+", "0x1", "1_0", "NaN", "inf",
            "1 ", "--1", "1.5.2", "1e5e5", "٣",
        ] {
            assert_eq!(Decimal::parse(bad), None, "{bad:?}");
        }
    }

    const RISING: [&str; 23] = [
        "-1e999999999999999999",
        "-1e400",
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
        "1.25e300",
        "1e400",
        "1e401",
    ];

    #[test]
    fn orders_exactly() {
        let numbers = RISING.map(|token| Decimal::parse(token).unwrap());
        for (i, left) in numbers.iter().enumerate() {
            for (j, right) in numbers.iter().enumerate() {
                assert_eq!(left.cmp(right), i.cmp(&j), "{} {}", RISING[i], RISING[j]);
            }
        }
    }

    #[test]
    fn doubles_hold_some_of_them() {
        for token in ["0", "-7", "1e5", "0.1", "1e22", "-2.5e-8", "5e-324", "1.7976931348623157e308", "1e308"]
        {
            let decimal = Decimal::parse(token).unwrap();
            assert!(decimal.fits_f64(), "{token}");
            assert_eq!(Decimal::of_f64(decimal.to_f64()), Some(decimal), "{token}");
        }
        for token in
            ["9007199254740993", "0.10000000000000000001", "1e309", "-1e999999999999999999", "1e-400"]
        {
            assert!(!Decimal::parse(token).unwrap().fits_f64(), "{token}");
        }
        assert_eq!((Decimal::of_f64(f64::NAN), Decimal::of_f64(f64::INFINITY)), (None, None));
    }

    #[test]
    fn rounds() {
        for (text, ceil, floor_end) in [
            ("0", 0, 1),
            ("-0.5", 0, 0),
            ("-7", 0, 0),
            ("0.5", 1, 1),
            ("5", 5, 6),
            ("5.5", 6, 6),
            ("1e3", 1000, 1001),
            ("18446744073709551615", u64::MAX, u64::MAX),
            ("1e300", u64::MAX, u64::MAX),
        ] {
            let number = Decimal::parse(text).unwrap();
            assert_eq!((number.ceil(), number.floor_end()), (ceil, floor_end), "{text}");
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
    fn numbers_are_compared_by_value() {
        for (left, right, same) in [
            ("1", "1.0", true),
            ("1", "10e-1", true),
            ("100000", "1e5", true),
            ("1e5", "1E+05", true),
            ("0", "-0", true),
            ("0.0", "0e9", true),
            ("-1.50", "-15e-1", true),
            ("1", "-1", false),
            ("9007199254740993", "9007199254740992", false),
            ("1E400", "1e401", false),
            ("1E400", "10e399", true),
            ("1e99999999999999999999", "1e99999999999999999999", true),
            ("1e99999999999999999999", "10e99999999999999999998", false),
            ("1e99999999999999999999", "1e99999999999999999998", false),
            ("1e9223372036854775807", "10e9223372036854775807", false),
            ("0.001", "1e-3", true),
            ("10", "1", false),
        ] {
            assert_eq!(same_number(left, right), same, "{left} {right}");
            assert_eq!(same_number(right, left), same, "{right} {left}");
        }
    }
}
