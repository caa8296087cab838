//! Sums that lose nothing: money is not added up in floating point.

use std::cmp::Ordering;
use std::fmt;

/// The most digits after the point of a number that is added up.
const SCALE_MAX: u32 = 28;

/// A decimal number of up to 38 digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Exact {
    units: i128,
    /// Digits after the point.
    scale: u32,
}

impl Exact {
    /// Reads `-12.50` or `1.5e3`; none for anything else, and for what has too many digits.
    pub(crate) fn parse(text: &str) -> Option<Exact> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let digits = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let units: i128 = format!("{whole}{fraction}").parse().ok()?;
        let units = if mantissa.starts_with('-') { -units } else { units };
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(scale) {
            Ok(scale) if scale <= SCALE_MAX => Some(Exact { units, scale }.short()),
            Ok(_) => None,
            Err(_) => {
                let power = 10_i128.checked_pow(scale.unsigned_abs())?;
                Some(Exact { units: units.checked_mul(power)?, scale: 0 })
            }
        }
    }

    /// The sum; none when it has too many digits.
    pub(crate) fn add(self, other: Exact) -> Option<Exact> {
        let scale = self.scale.max(other.scale);
        let units = self.at(scale)?.checked_add(other.at(scale)?)?;
        Some(Exact { units, scale }.short())
    }

    fn at(self, scale: u32) -> Option<i128> {
        self.units.checked_mul(10_i128.checked_pow(scale - self.scale)?)
    }

    /// Without zeros at the end of the fraction.
    fn short(mut self) -> Exact {
        while self.scale > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Exact) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Exact) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.at(scale), other.at(scale)) {
            (Some(one), Some(other)) => one.cmp(&other),
            // The one that cannot be written with so many digits is the greater in size.
            (None, _) => self.units.signum().cmp(&0),
            (_, None) => 0.cmp(&other.units.signum()),
        }
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0width$}", self.units.unsigned_abs(), width = self.scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.scale as usize);
        let sign = if self.units < 0 { "-" } else { "" };
        match fraction {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, expected) in [
            ("0", Some("0")),
            ("-0.10", Some("-0.1")),
            ("1.5e3", Some("1500")),
            ("15e-4", Some("0.0015")),
            ("9007199254740993", Some("9007199254740993")),
            ("21000000.00000001", Some("21000000.00000001")),
            ("1e39", None),
            ("0.00000000000000000000000000001", None),
            ("", None),
            ("-", None),
            (".5", None),
            ("+1", None),
            ("1,5", None),
            ("NaN", None),
        ] {
            assert_eq!(Exact::parse(text).map(|number| number.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn nothing_is_lost() {
        let sum = ["0.1", "0.2", "9007199254740993", "-0.3"]
            .iter()
            .fold(Exact::default(), |sum, text| sum.add(Exact::parse(text).unwrap()).unwrap());
        assert_eq!(sum.to_string(), "9007199254740993");
        let most = Exact::parse("170141183460469231731687303715884105727").unwrap();
        assert_eq!(most.add(Exact::parse("1").unwrap()), None);
        assert!(most > Exact::parse("0.0000000000000000000000000001").unwrap());
        assert!(Exact::parse("-1.10").unwrap() < Exact::parse("-1.09").unwrap());
    }
}
