//! Decimal numbers compared exactly: 9007199254740993 is not 9007199254740992, and 5e2 is 500.

use std::cmp::Ordering;
use std::fmt;

/// Exponents beyond this are taken for this: far outside anything a number in an event means, and far inside `i64`.
const EXPONENT_LIMIT: i64 = 1 << 40;

/// A number of JSON's grammar (RFC 8259 section 6), normalised: `±0.d₁d₂…dₙ × 10^exponent`, without zeros at
/// either end of the digits. Zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    exponent: i64,
    digits: Box<str>,
}

impl Decimal {
    /// Reads a number token; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) {
            return None;
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let stripped = all.trim_start_matches('0');
        let leading = all.len() - stripped.len();
        let digits = stripped.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Decimal { negative: false, exponent: 0, digits: "".into() });
        }
        let exponent = exponent + whole.len() as i64 - leading as i64;
        Some(Decimal { negative, exponent, digits: digits.into() })
    }

    /// The least whole number that is not below it, as far as `u64` reaches.
    pub(crate) fn ceil(&self) -> u64 {
        let (whole, exact) = self.truncate();
        if self.negative || exact { whole } else { whole.saturating_add(1) }
    }

    /// The whole number after the greatest one that is not above it: where a range up to it ends.
    pub(crate) fn floor_end(&self) -> u64 {
        if self.negative { 0 } else { self.truncate().0.saturating_add(1) }
    }

    /// The whole part, 0 for what is negative, and whether there is nothing more to it.
    fn truncate(&self) -> (u64, bool) {
        if self.negative || self.exponent <= 0 {
            return (0, self.digits.is_empty());
        }
        // u64 has at most 20 digits.
        if self.exponent > 20 {
            return (u64::MAX, true);
        }
        let places = self.exponent as usize;
        let digits = self.digits.get(..places).unwrap_or(&self.digits);
        let whole = format!("{digits:0<places$}").parse().unwrap_or(u64::MAX);
        (whole, self.digits.len() <= places)
    }

    fn magnitude(&self, other: &Decimal) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size =
        digits.bytes().fold(0_i64, |sum, byte| (sum * 10 + i64::from(byte - b'0')).min(EXPONENT_LIMIT));
    Some(if negative { -size } else { size })
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
    /// A token of JSON's grammar that parses to the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let count = self.digits.len() as i64;
        match self.exponent {
            exponent if exponent >= count && exponent <= 20 => {
                write!(f, "{}{:0<zeros$}", self.digits, "", zeros = (exponent - count) as usize)
            }
            exponent if exponent > 0 && exponent < count => {
                let (whole, fraction) = self.digits.split_at(exponent as usize);
                write!(f, "{whole}.{fraction}")
            }
            exponent if (-5..=0).contains(&exponent) => {
                write!(f, "0.{:0<zeros$}{}", "", self.digits, zeros = exponent.unsigned_abs() as usize)
            }
            exponent => write!(f, "{}e{}", self.digits, exponent - count),
        }
    }
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
        for bad in
            ["", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1_0", "NaN", "inf", "1 ", "--1", "1.5.2"]
        {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn orders_exactly() {
        let rising = [
            "-1e999999999999999999",
            "-9007199254740993",
            "-9007199254740992",
            "-0.5",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000001",
            "9.99",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e400",
        ];
        let numbers: Vec<Decimal> = rising.iter().map(|text| Decimal::parse(text).unwrap()).collect();
        for (i, left) in numbers.iter().enumerate() {
            for (j, right) in numbers.iter().enumerate() {
                assert_eq!(left.cmp(right), i.cmp(&j), "{} and {}", rising[i], rising[j]);
            }
        }
        for (left, right) in
            [("500", "5e2"), ("500", "500.0"), ("-0", "0.00"), ("0.05", "5e-2"), ("1e2", "100")]
        {
            assert_eq!(Decimal::parse(left), Decimal::parse(right), "{left} {right}");
        }
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
    fn displays_the_same_number() {
        for text in
            ["0", "-1", "500", "5e2", "0.05", "-12.5", "1e300", "123456789012345678901234567890", "1e-30"]
        {
            let number = Decimal::parse(text).unwrap();
            assert_eq!(Decimal::parse(&number.to_string()), Some(number), "{text}");
        }
        assert_eq!(Decimal::parse("500").unwrap().to_string(), "500");
        assert_eq!(Decimal::parse("12.50").unwrap().to_string(), "12.5");
        assert_eq!(Decimal::parse("0.05").unwrap().to_string(), "0.05");
    }
}
