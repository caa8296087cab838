//! Floats as MySQL and MariaDB write them: the shortest digits that read back as the same double (`my_gcvt` of `strings/dtoa.c`), plain up to 15 places
//! before or 14 zeros after the point, else with an exponent.

/// The text of a double. That of a FLOAT is its double's.
pub(super) fn text(value: f64) -> String {
    /// `MAX_DECPT_FOR_F_FORMAT`.
    const PLAIN: i32 = 15;
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        some => some,
    };
    // Where the point is, counted from the first digit.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if point > -PLAIN && (point <= PLAIN || count > point) {
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
        match usize::try_from(point) {
            Ok(before) if before > 0 && count > point => {
                let (whole, part) = digits.split_at(before);
                format!("{sign}{whole}.{part}")
            }
            Ok(before) if before > 0 => format!("{sign}{digits}{}", zeros(point - count)),
            _ => format!("{sign}0.{}{digits}", zeros(-point)),
        }
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}e{}", point - 1)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn floats_are_written_as_the_server_writes_them() {
        // Seen in MariaDB 10.11.
        for (value, expected) in [
            (0.0, "0"),
            (f64::from(0.1_f32), "0.10000000149011612"),
            (f64::from(1.1_f32), "1.100000023841858"),
            (-1e-320, "-1e-320"),
            (1e14, "100000000000000"),
            (1e15, "1e15"),
            (123_456_789_012_345_678.0, "1.2345678901234568e17"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.23e-14, "0.0000000000000123"),
            (1.2e300, "1.2e300"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (-1234.5, "-1234.5"),
        ] {
            assert_eq!(super::text(value), expected);
        }
    }
}
