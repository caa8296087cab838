//! How much of a list one answer holds.

use crate::problem::Problem;

/// How many alerts, violations or reports there are in an answer when nothing is said.
pub(crate) const USUAL: usize = 100;

/// How many are wanted: 1 to `most`.
pub(crate) fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit: found {limit}, expected 1 to {most}");
    Err(Problem::bad_request(detail).with("field", "limit"))
}

/// Leaves as many as are wanted of what was read up to one further; whether there are more.
pub(crate) fn cut<T>(found: &mut Vec<T>, limit: usize) -> bool {
    let more = found.len() > limit;
    found.truncate(limit);
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_within_its_bounds() {
        for (asked, expected) in
            [(None, Some(3)), (Some(1), Some(1)), (Some(7), Some(7)), (Some(0), None), (Some(8), None)]
        {
            assert_eq!(limit(asked, 3, 7).ok(), expected, "{asked:?}");
        }
    }

    #[test]
    fn one_further_tells_that_there_are_more() {
        for (found, expected, more) in [(1, 1, false), (2, 2, false), (3, 2, true)] {
            let mut list = vec![(); found];
            assert_eq!((cut(&mut list, 2), list.len()), (more, expected), "{found}");
        }
    }
}
