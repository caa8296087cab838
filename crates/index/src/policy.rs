//! Which parts are merged, and when.
//!
//! Queries visit every part, so there should be few; every merge writes each row again, so there should be few of
//! those as well. Parts of about one size are merged when there are several of them at the end: a row is written three
//! to five times in all.

use std::ops::Range;

use crate::index::Options;

/// What matters of a part here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rows: u32,
    pub(crate) bytes: usize,
    pub(crate) in_memory: bool,
}

/// Parts to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) parts: Range<usize>,
    pub(crate) to_file: bool,
}

/// Parts in memory with fewer rows than one of these are merged when there are [`MEMORY_FAN_IN`] of them at the end.
const MEMORY_STEPS: [u32; 5] = [8, 64, 512, 4_096, 32_768];
const MEMORY_STEP: u32 = 8;

/// So many of those steps are small: at most about 4,096 rows come together.
const SMALL_STEPS: usize = 3;
const MEMORY_FAN_IN: usize = 8;

/// The same for files; their steps are [`Options::max_file_rows`] and each an eighth of the next. With the defaults a
/// file written from memory is merged once.
const FILE_STEPS: u32 = 6;
const FILE_STEP: u32 = 8;
const FILE_FAN_IN: usize = 8;

/// What to do with the parts in memory, which come after all files.
pub(crate) fn memory_job(parts: &[Size], options: &Options) -> Option<Job> {
    let start = parts.iter().position(|part| part.in_memory)?;
    let memory = parts.get(start..)?;
    let rows: u64 = memory.iter().map(|part| u64::from(part.rows)).sum();
    let bytes: usize = memory.iter().map(|part| part.bytes).sum();
    // Half the limit, so that rows can come in while the other half is written.
    if rows >= u64::from(options.file_rows) || bytes >= options.memory_bytes / 2 {
        return Some(Job { parts: start..parts.len(), to_file: true });
    }
    merge_alike(parts, memory, &MEMORY_STEPS)
}

/// Which small parts in memory to merge: a matter of milliseconds.
pub(crate) fn small_job(parts: &[Size]) -> Option<Job> {
    let start = parts.iter().position(|part| part.in_memory)?;
    merge_alike(parts, parts.get(start..)?, MEMORY_STEPS.get(..SMALL_STEPS)?)
}

fn merge_alike(parts: &[Size], memory: &[Size], steps: &[u32]) -> Option<Job> {
    steps.iter().find_map(|step| {
        let small = alike(memory, *step, MEMORY_STEP, MEMORY_FAN_IN)?;
        Some(Job { parts: parts.len() - small..parts.len(), to_file: false })
    })
}

/// How many parts at the end have fewer rows than `step`, if at least `enough` of them are near it: within a factor of
/// `near`. Merging one large part with a few small ones again and again would write its rows each time.
fn alike(parts: &[Size], step: u32, near: u32, enough: usize) -> Option<usize> {
    let small = || parts.iter().rev().take_while(|part| part.rows < step);
    let count = small().filter(|part| part.rows >= step / near).count();
    (count >= enough).then(|| small().count())
}

/// Which files to merge.
pub(crate) fn file_job(parts: &[Size], options: &Options) -> Option<Job> {
    let files = parts.iter().position(|part| part.in_memory).unwrap_or(parts.len());
    let files = parts.get(..files)?;
    let steps = (0..FILE_STEPS).rev().map(|step| options.max_file_rows / FILE_STEP.pow(step));
    for step in steps {
        let Some(small) = alike(files, step, FILE_STEP, FILE_FAN_IN) else { continue };
        let start = files.len() - small;
        let (mut rows, mut bytes) = (0_u64, 0_usize);
        let fits = |part: &&Size| {
            rows += u64::from(part.rows);
            bytes = bytes.saturating_add(part.bytes);
            rows <= u64::from(options.max_file_rows) && bytes <= options.max_file_bytes
        };
        let count = files.get(start..)?.iter().take_while(fits).count();
        if count >= 2 {
            return Some(Job { parts: start..start + count, to_file: true });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(files: &[u32], memory: &[u32]) -> Vec<Size> {
        let size = |rows: &u32, in_memory| Size { rows: *rows, bytes: *rows as usize * 60, in_memory };
        files.iter().map(|rows| size(rows, false)).chain(memory.iter().map(|rows| size(rows, true))).collect()
    }

    #[test]
    fn memory_parts_are_merged_by_size() {
        let options = Options::default();
        let check = |files: &[u32], memory: &[u32], expected: Option<(Range<usize>, bool)>| {
            let job = memory_job(&sizes(files, memory), &options);
            assert_eq!(job.map(|job| (job.parts, job.to_file)), expected, "{files:?} {memory:?}");
        };
        check(&[], &[], None);
        check(&[1000], &[], None);
        check(&[1000], &[1; 7], None);
        check(&[1000], &[1; 8], Some((1..9, false)));
        check(&[], &[80_000, 600, 1, 1, 1, 1, 1, 1], None);
        check(&[], &[80_000, 600, 1, 1, 1, 1, 1, 1, 1, 1], Some((2..10, false)));
        check(&[], &[80_000, 600, 600, 600, 600, 600, 600, 600, 1], None);
        check(&[], &[80_000, 600, 600, 600, 600, 600, 600, 600, 1, 513], Some((1..10, false)));
        check(&[], &[10_000; 8], Some((0..8, false)));
        check(&[5], &[options.file_rows / 2; 2], Some((1..3, true)));
        check(&[], &[100_000; 5], None);
    }

    #[test]
    fn files_are_merged_up_to_a_limit() {
        let options = Options { max_file_rows: 1 << 20, max_file_bytes: usize::MAX, ..Options::default() };
        let check = |files: &[u32], expected: Option<Range<usize>>| {
            let job = file_job(&sizes(files, &[1, 1]), &options);
            assert_eq!(job.map(|job| job.parts), expected, "{files:?}");
        };
        check(&[], None);
        check(&[100; 7], None);
        check(&[100; 8], Some(0..8));
        let large = |small: &[u32]| [&[1 << 20, 100_000], small].concat();
        check(&large(&[100; 7]), None);
        check(&large(&[100; 8]), Some(2..10));
        check(&large(&[100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 100]), None);
        check(&large(&[100_000, 100_000, 100_000, 100, 100_000, 100_000, 100_000, 100_000]), Some(1..10));
        check(&[500_000; 8], Some(0..2));
        check(&[1 << 20; 9], None);
    }

    /// However rows come in, parts stay few and are not rewritten often.
    #[test]
    fn parts_stay_few() {
        for batch in [1, 100, 10_000, 32_768] {
            let options = Options { file_rows: 50_000, max_file_rows: 400_000, ..Options::default() };
            let mut parts: Vec<Size> = Vec::new();
            let (mut written, mut most) = (0_u64, 0);
            let total = 2_000_000_u32.min(batch * 100_000);
            for _ in 0..total / batch {
                parts.extend(sizes(&[], &[batch]));
                while let Some(job) = memory_job(&parts, &options).or_else(|| file_job(&parts, &options)) {
                    let rows: u32 = parts[job.parts.clone()].iter().map(|part| part.rows).sum();
                    written += u64::from(rows);
                    let merged = if job.to_file { sizes(&[rows], &[]) } else { sizes(&[], &[rows]) };
                    parts.splice(job.parts, merged);
                }
                most = most.max(parts.len());
            }
            assert!(most < 45, "{most} parts with batches of {batch}");
            assert!(
                written < u64::from(total) * 8,
                "{written} rows written for {total} with batches of {batch}"
            );
        }
    }
}
