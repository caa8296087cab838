//! How a JSON number looks to a program.
//!
//! VRL has 64-bit integers and doubles. A number that one of them holds exactly is shown as that; any other as a string with its
//! token. A wrong number would be worse than a string: copied to another place it would become part of the log.

use vrl::compiler::prelude::NotNan;
use vrl::value::Value;

/// What a program sees of this number token; `None` when the token is not a number in JSON.
pub(crate) fn shown(token: &str) -> Option<Value> {
    if is_whole(token) {
        return Some(token.parse().map_or_else(|_| Value::from(token), Value::Integer));
    }
    let decimal = Decimal::parse(token)?;
    let number: f64 = token.parse().ok()?;
    let exact = if decimal.digits.len() <= SAFE_DIGITS && decimal.power.abs() < SAFE_POWER {
        true
    } else {
        number.is_finite() && Decimal::parse(&format!("{number:e}"))? == decimal
    };
    match NotNan::new(number) {
        Ok(number) if exact => Some(Value::Float(number)),
        _ => Some(Value::from(token)),
    }
}

/// Whether the token has neither a fraction nor an exponent.
fn is_whole(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    all_digits(digits) && (digits.len() == 1 || !digits.starts_with('0'))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Any decimal with so many digits survives the way into a double and back (DBL_DIG of IEEE 754) …
const SAFE_DIGITS: usize = 15;

/// … when its power of ten is far from the ends (±308) and its digits are counted as a whole number.
const SAFE_POWER: i64 = 280;

/// `digits` × 10^`power`, without zeros at either end.
#[derive(Debug, PartialEq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    power: i64,
}

impl Decimal {
    /// Reads a token by JSON's grammar (RFC 8259, section 6).
    fn parse(token: &str) -> Option<Decimal> {
        let (negative, rest) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (rest, None),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (mantissa, None),
        };
        if !is_whole(integer) || integer.starts_with('-') || fraction.is_some_and(|text| !all_digits(text)) {
            return None;
        }
        let mut power = match exponent {
            None => 0,
            Some(exponent) => {
                if !all_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)) {
                    return None;
                }
                // Beyond any double; what counts is that it is not taken for another number.
                let far = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
                exponent.parse().unwrap_or(far).clamp(i64::MIN / 4, i64::MAX / 4)
            }
        };
        let fraction_text = fraction.unwrap_or_default();
        let mut digits: Vec<u8> = integer.bytes().chain(fraction_text.bytes()).collect();
        power -= i64::try_from(fraction_text.len()).unwrap_or(i64::MAX / 4);
        while digits.last() == Some(&b'0') {
            digits.pop();
            power += 1;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            power = 0;
        }
        Some(Decimal { negative, digits, power })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_or_a_string() {
        let float = |number: f64| Some(Value::Float(NotNan::new(number).unwrap()));
        for (token, expected) in [
            ("0", Some(Value::Integer(0))),
            ("-0", Some(Value::Integer(0))),
            ("9007199254740993", Some(Value::Integer(9_007_199_254_740_993))),
            ("9223372036854775807", Some(Value::Integer(i64::MAX))),
            ("-9223372036854775808", Some(Value::Integer(i64::MIN))),
            ("9223372036854775808", Some(Value::from("9223372036854775808"))),
            ("18446744073709551615", Some(Value::from("18446744073709551615"))),
            ("1.10", float(1.1)),
            ("1e5", float(100_000.0)),
            ("1E+5", float(100_000.0)),
            ("-0.0", float(-0.0)),
            ("0.30000000000000004", float(0.300_000_000_000_000_04)),
            (
                "0.1000000000000000055511151231257827",
                Some(Value::from("0.1000000000000000055511151231257827")),
            ),
            ("12345678901234567.25", Some(Value::from("12345678901234567.25"))),
            ("1e308", float(1e308)),
            ("1e309", Some(Value::from("1e309"))),
            ("-1e999999999999999999999", Some(Value::from("-1e999999999999999999999"))),
            ("1e-400", Some(Value::from("1e-400"))),
            ("0e-400", float(0.0)),
            ("5e-324", float(5e-324)),
            ("", None),
            ("-", None),
            ("01", None),
            ("1.", None),
            (".5", None),
            ("+1", None),
            ("1e", None),
            ("1e+", None),
            ("0x10", None),
            ("NaN", None),
            ("inf", None),
            ("1_000", None),
        ] {
            assert_eq!(shown(token), expected, "{token}");
        }
    }
}
