//! Comparing number tokens by value, exactly: `1.0`, `1` and `10e-1` are one number, 2^53 and 2^53 + 1 are two.

/// Whether two JSON number tokens mean the same number.
pub(crate) fn same_number(left: &str, right: &str) -> bool {
    left == right || matches!((normal(left), normal(right)), (Some(left), Some(right)) if left == right)
}

/// Sign, digits without zeros at either end, and the power of ten of the last digit. `None` when the exponent is too
/// large to be counted: such a token equals only itself.
fn normal(token: &str) -> Option<(bool, String, i64)> {
    let (negative, unsigned) = match token.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, token),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0));
    }
    let shift = i64::try_from(dropped).ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    Some((negative, significant.to_owned(), exponent.checked_add(shift)?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("1e9223372036854775807", "10e9223372036854775807", false),
            ("0.001", "1e-3", true),
            ("10", "1", false),
        ] {
            assert_eq!(same_number(left, right), same, "{left} {right}");
            assert_eq!(same_number(right, left), same, "{right} {left}");
        }
    }
}
