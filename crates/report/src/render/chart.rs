//! Counts over time as inline SVG: stacked bars, no script, legible in print.

use std::fmt::Write;

use super::printable;
use crate::body::Chart;

const WIDTH: u64 = 720;
const HEIGHT: u64 = 150;
/// Room for the numbers at the left, and the times below.
const LEFT: u64 = 48;
const BELOW: u64 = 22;

/// Told apart on paper without colour as well.
const COLOURS: [&str; 8] =
    ["#30597c", "#b3541e", "#6f9b3c", "#8a6bb1", "#c29b1f", "#3f8f8f", "#a34a6b", "#8c8c8c"];

/// The colour of a series.
pub(super) fn colour(nth: usize, name: &str) -> &'static str {
    match name {
        "others" => "#bdbdbd",
        _ => COLOURS.get(nth % COLOURS.len()).copied().unwrap_or("#30597c"),
    }
}

/// The chart. Everything in it is a number, a time, or escaped.
pub(super) fn svg(chart: &Chart) -> String {
    let buckets = chart.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
    let sum = |bucket: usize| {
        let values = chart.series.iter().filter_map(|of| of.values.get(bucket));
        values.fold(0_u64, |sum, value| sum.saturating_add(*value))
    };
    let highest = (0..buckets).map(sum).max().unwrap_or(0).max(1);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"counts over time\" xmlns=\"http://www.w3.org/2000/svg\">",
        HEIGHT + BELOW
    );
    for (part, value) in [(0, highest), (2, highest / 2), (4, 0)] {
        let y = 4 + (HEIGHT - 8) * part / 4;
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\" class=\"grid\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{value}</text>",
            LEFT - 6,
            y + 3
        );
    }
    let base = 4 + (HEIGHT - 8);
    // In hundredths, so that bars of sixty and of seven buckets end in the same place, and no floating point is printed.
    let step = (WIDTH - LEFT) * 100 / (buckets.max(1) as u64);
    for bucket in 0..buckets {
        let x = LEFT * 100 + step * bucket as u64;
        let mut top: u64 = base * 100;
        let time = chart.begin_of(bucket);
        for (nth, series) in chart.series.iter().enumerate() {
            let value = series.values.get(bucket).copied().unwrap_or(0);
            if value == 0 {
                continue;
            }
            let height = (u128::from(value) * u128::from((HEIGHT - 8) * 100) / u128::from(highest)) as u64;
            top = top.saturating_sub(height);
            let _ = write!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{}: {value} {}</title></rect>",
                hundredths(x + step / 20),
                hundredths(top),
                hundredths((step * 9 / 10).max(20)),
                hundredths(height),
                colour(nth, &series.name),
                crate::cells::time(time),
                escape(&printable(&series.name))
            );
        }
    }
    let end = chart.begin_of(buckets);
    for (x, time, anchor) in [(LEFT, chart.from, "start"), (WIDTH, end, "end")] {
        let text = time.to_string();
        let text = text.get(..16).unwrap_or_default().replace('T', " ");
        let _ = write!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{text}</text>", HEIGHT + 14);
    }
    svg.push_str("</svg>");
    svg
}

fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use attestry_event::Nanos;

    use super::*;
    use crate::body::Series;

    #[test]
    fn bars_fill_the_height_and_names_are_escaped() {
        let series = |name: &str, values: &[u64]| Series { name: name.to_owned(), values: values.to_vec() };
        let chart = Chart {
            from: Nanos(0),
            interval_s: 3_600,
            series: vec![series("<b>\"", &[1, 0, u64::MAX / 4]), series("others", &[0, 0, u64::MAX / 4])],
        };
        let svg = svg(&chart);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.contains("&lt;b&gt;&quot;") && !svg.contains("<b>"), "{svg}");
        assert!(svg.contains("y=\"4.00\""), "the highest bar ends at the top: {svg}");
        assert!(super::svg(&Chart { from: Nanos(0), interval_s: 1, series: Vec::new() }).ends_with("</svg>"));
    }
}
