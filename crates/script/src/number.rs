//! How a JSON number looks to a program.
//!
//! VRL has 64-bit integers and doubles. A number that one of them holds exactly is shown as that; any other as a string with its
//! token. A wrong number would be worse than a string: copied to another place it would become part of the log.

use attestry_event::Decimal;
use vrl::compiler::prelude::NotNan;
use vrl::value::Value;

/// What a program sees of this number token; `None` when the token is not a number in JSON.
pub(crate) fn shown(token: &str) -> Option<Value> {
    if is_whole(token) {
        return Some(token.parse().map_or_else(|_| Value::from(token), Value::Integer));
    }
    let decimal = Decimal::parse(token)?;
    let number: f64 = token.parse().ok()?;
    match NotNan::new(number) {
        Ok(number) if decimal.fits_f64() => Some(Value::Float(number)),
        _ => Some(Value::from(token)),
    }
}

/// Whether the token has neither a fraction nor an exponent.
fn is_whole(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits && (digits.len() == 1 || !digits.starts_with('0'))
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
