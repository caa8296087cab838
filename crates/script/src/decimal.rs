//! Exact decimals of any size: what a bank's sums are compared and added with.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The most digits a decimal can have here, before and after its point together: those of PostgreSQL's literals and more than MySQL's 65.
/// Multiplying two takes at most a million steps then.
pub const MAX_DIGITS: usize = 1_000;

/// A decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// From the highest, each 0 to 9; without zeros in front.
    digits: Vec<u8>,
    /// How many of them stand after the point; zeros are thought in front where there are fewer.
    scale: usize,
}

/// A text is no decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Something else.
    #[error("this is no decimal such as -12.50")]
    Other,
    /// Too many digits.
    #[error("this has more than {MAX_DIGITS} digits")]
    TooLong,
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads `-?[0-9]*(.[0-9]*)?` with at least one digit and, for what a database computed in floating point, an exponent.
    fn from_str(text: &str) -> Result<Decimal, DecimalError> {
        let (number, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((number, exponent)) => (number, exponent.parse::<i16>().map_err(|_| DecimalError::Other)?),
        };
        let (negative, number) = match number.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let mut digits: Vec<u8> = Vec::with_capacity(whole.len() + part.len());
        for byte in whole.bytes().chain(part.bytes()) {
            if !byte.is_ascii_digit() {
                return Err(DecimalError::Other);
            }
            digits.push(byte - b'0');
        }
        if digits.is_empty() {
            return Err(DecimalError::Other);
        }
        let scale = i64::try_from(part.len()).map_err(|_| DecimalError::TooLong)? - i64::from(exponent);
        let shift = usize::try_from(scale.unsigned_abs()).map_err(|_| DecimalError::TooLong)?;
        if digits.len() > MAX_DIGITS || shift > MAX_DIGITS {
            return Err(DecimalError::TooLong);
        }
        if scale < 0 {
            digits.resize(digits.len() + shift, 0);
            return Decimal { negative, digits, scale: 0 }.bounded();
        }
        Decimal { negative, digits, scale: shift }.bounded()
    }
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Decimal = Decimal { negative: false, digits: Vec::new(), scale: 0 };

    fn bounded(mut self) -> Result<Decimal, DecimalError> {
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.negative &= !self.digits.is_empty();
        if self.digits.len().max(self.scale) > MAX_DIGITS { Err(DecimalError::TooLong) } else { Ok(self) }
    }

    /// Without its sign.
    pub fn abs(&self) -> Decimal {
        Decimal { negative: false, ..self.clone() }
    }

    /// With the other sign.
    pub fn negated(&self) -> Decimal {
        Decimal { negative: !self.negative && !self.digits.is_empty(), ..self.clone() }
    }

    /// The sum, with as many places after the point as the one that has more.
    ///
    /// # Errors
    /// When it has too many digits.
    pub fn add(&self, other: &Decimal) -> Result<Decimal, DecimalError> {
        let scale = self.scale.max(other.scale);
        let (one, two) = (self.lowest_first(scale), other.lowest_first(scale));
        let (digits, negative) = if self.negative == other.negative {
            (sum(&one, &two), self.negative)
        } else if compare_digits(&one, &two) == Ordering::Less {
            (difference(&two, &one), other.negative)
        } else {
            (difference(&one, &two), self.negative)
        };
        Decimal { negative, digits, scale }.bounded()
    }

    /// The product, with the places after the point of both.
    ///
    /// # Errors
    /// When it has too many digits.
    pub fn multiply(&self, other: &Decimal) -> Result<Decimal, DecimalError> {
        let mut places = vec![0_u32; self.digits.len() + other.digits.len()];
        // A place gets at most MAX_DIGITS × 81, and what is carried.
        for (at, one) in self.digits.iter().rev().enumerate() {
            for (place, two) in places.iter_mut().skip(at).zip(other.digits.iter().rev()) {
                *place += u32::from(*one) * u32::from(*two);
            }
        }
        let mut carried = 0;
        for place in &mut places {
            *place += carried;
            carried = *place / 10;
            *place %= 10;
        }
        let digits = places.iter().rev().map(|place| u8::try_from(*place).unwrap_or(0)).collect();
        let negative = self.negative != other.negative;
        Decimal { negative, digits, scale: self.scale + other.scale }.bounded()
    }

    /// The digits from the lowest, as many after the point as `scale` says.
    fn lowest_first(&self, scale: usize) -> Vec<u8> {
        let mut digits = vec![0; scale - self.scale.min(scale)];
        digits.extend(self.digits.iter().rev());
        digits
    }
}

fn sum(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(one.len().max(two.len()) + 1);
    let mut carried = 0;
    for at in 0..one.len().max(two.len()) {
        let digit = one.get(at).unwrap_or(&0) + two.get(at).unwrap_or(&0) + carried;
        carried = digit / 10;
        out.push(digit % 10);
    }
    out.push(carried);
    out.reverse();
    out
}

/// Of a greater one and a smaller.
fn difference(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(one.len());
    let mut borrowed = 0;
    for (at, digit) in one.iter().enumerate() {
        let less = two.get(at).unwrap_or(&0) + borrowed;
        borrowed = u8::from(*digit < less);
        out.push(digit + 10 * borrowed - less);
    }
    out.reverse();
    out
}

fn compare_digits(one: &[u8], two: &[u8]) -> Ordering {
    let places = (0..one.len().max(two.len())).rev();
    let each = places.map(|at| one.get(at).unwrap_or(&0).cmp(two.get(at).unwrap_or(&0)));
    each.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

impl Ord for Decimal {
    /// By value: 1.0 is not less than 1.00, though they are not written alike.
    fn cmp(&self, other: &Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        let order = compare_digits(&self.lowest_first(scale), &other.lowest_first(scale));
        match (self.negative, other.negative) {
            (false, false) => order,
            (true, true) => order.reverse(),
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let zeros = (self.scale + 1).saturating_sub(self.digits.len());
        let digits = std::iter::repeat_n(&0, zeros).chain(&self.digits);
        let point = (zeros + self.digits.len()) - self.scale;
        for (at, digit) in digits.enumerate() {
            if at == point {
                f.write_str(".")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn texts_are_decimals_or_not() {
        for (text, written) in [
            ("0", "0"),
            ("-0.00", "0.00"),
            ("007.50", "7.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+3", "3"),
            (
                "-12345678901234567890123456789012345.000000000000000000000000000001",
                "-12345678901234567890123456789012345.000000000000000000000000000001",
            ),
            ("1.5e3", "1500"),
            ("-1e-05", "-0.00001"),
        ] {
            assert_eq!(of(text).to_string(), written, "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "1,5", "NaN", "Infinity", "0x1", "1e", "1e99999", "--1", "١"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        assert_eq!("1e1000".parse::<Decimal>(), Err(DecimalError::TooLong));
        assert_eq!("9".repeat(MAX_DIGITS + 1).parse::<Decimal>(), Err(DecimalError::TooLong));
    }

    #[test]
    fn what_floats_lose_is_kept() {
        assert_eq!(of("0.1").add(&of("0.2")).unwrap().to_string(), "0.3");
        let large = of("90071992547409930.01");
        assert_eq!(large.add(&of("0.01")).unwrap().to_string(), "90071992547409930.02");
        assert_eq!(large.add(&large.negated()).unwrap().cmp(&Decimal::ZERO), Ordering::Equal);
        assert!(of("18446744073709551615") > of("18446744073709551614"));
        assert!(of("9") < of("10") && of("-10") < of("-9") && of("-0.1") < of("0"));
        assert_eq!(of("1.0").cmp(&of("1.00")), Ordering::Equal);
        assert_eq!(of("-1.50").multiply(&of("0.20")).unwrap().to_string(), "-0.3000");
        assert_eq!(of("-1").multiply(&of("0.0")).unwrap().to_string(), "0.0");
        let nines = of(&"9".repeat(MAX_DIGITS));
        assert_eq!(nines.add(&nines), Err(DecimalError::TooLong));
        assert_eq!(nines.multiply(&nines), Err(DecimalError::TooLong));
    }

    proptest! {
        #[test]
        fn they_reckon_as_integers_do(one in any::<i64>(), two in any::<i64>(), places in 0_usize..30) {
            let scaled = |number: i64| Decimal { scale: places, ..of(&number.to_string()) };
            let expect = |number: i128, scale| Decimal { scale, ..of(&number.to_string()) };
            let (a, b) = (scaled(one), scaled(two));
            prop_assert_eq!(a.add(&b).unwrap(), expect(i128::from(one) + i128::from(two), places));
            prop_assert_eq!(a.multiply(&b).unwrap(), expect(i128::from(one) * i128::from(two), 2 * places));
            prop_assert_eq!(a.cmp(&b), one.cmp(&two));
            prop_assert_eq!(of(&a.to_string()), a);
        }

        #[test]
        fn no_text_panics(text in "[-+.0-9eE]{0,12}|.{0,8}") {
            let _ = text.parse::<Decimal>();
        }
    }
}
