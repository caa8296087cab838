use std::collections::HashMap;

/// What a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

/// A file's bytes as they are seen, as they surely are on the disk, and what is between the two.
#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// What the next sync brings to the disk. It is applied to `durable` and not `live` copied, because a failed sync makes
    /// the kernel forget some of this while reads go on to see it.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Content {
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write(at, bytes.to_vec()));
        }
    }

    pub(super) fn resize(&mut self, len: usize) {
        self.change(Change::Resize(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn forget(&mut self) {
        self.pending.clear();
    }

    /// Every sector that was changed, and the length, end up as they were at some moment since the last sync.
    pub(super) fn sync_part(&mut self, chance: &mut Chance) {
        let changes = std::mem::take(&mut self.pending);
        let keep = chance.odds();
        let moment = |chance: &mut Chance| match chance.percent(keep) {
            true => 1 + chance.below(changes.len() as u64) as usize,
            false => 0,
        };
        if changes.is_empty() {
            return;
        }
        let (mut lens, mut most) = (vec![self.durable.len()], self.durable.len());
        for change in &changes {
            let len = change.len_after(lens[lens.len() - 1]);
            lens.push(len);
            most = most.max(len);
        }
        let len = lens[moment(chance)];
        self.durable.resize(most, 0);
        let mut moments: HashMap<usize, usize> = HashMap::new();
        for (i, change) in changes.iter().enumerate() {
            let (from, to) = match change {
                Change::Write(at, bytes) => (*at, at + bytes.len()),
                Change::Resize(len) => (*len, lens[i].max(*len)),
            };
            let mut at = from;
            while at < to {
                let end = (at / SECTOR * SECTOR + SECTOR).min(to);
                let kept = *moments.entry(at / SECTOR).or_insert_with(|| moment(chance));
                if i < kept {
                    match change {
                        Change::Write(start, bytes) => {
                            self.durable[at..end].copy_from_slice(&bytes[at - start..end - start]);
                        }
                        Change::Resize(_) => self.durable[at..end].fill(0),
                    }
                }
                at = end;
            }
        }
        self.durable.truncate(len);
    }

    pub(super) fn crash(&mut self, chance: &mut Chance) {
        self.sync_part(chance);
        self.live.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = self.len_after(bytes.len());
        bytes.resize(len, 0);
        if let Change::Write(at, new) = self {
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
    }

    fn len_after(&self, len: usize) -> usize {
        match self {
            Change::Write(at, bytes) => len.max(at + bytes.len()),
            Change::Resize(len) => *len,
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough for accidents.
#[derive(Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// How likely something unsynced is kept, in percent: none and all are as interesting as some.
    pub(super) fn odds(&mut self) -> u64 {
        [0, 10, 50, 90, 100][self.below(5) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcomes of a hundred crashes after these changes.
    fn outcomes(changes: impl Fn(&mut Content)) -> Vec<Vec<u8>> {
        let mut outcomes: Vec<Vec<u8>> = (0..100)
            .map(|seed| {
                let mut content = Content::default();
                changes(&mut content);
                content.crash(&mut Chance(seed));
                content.live
            })
            .collect();
        outcomes.sort();
        outcomes.dedup();
        outcomes
    }

    #[test]
    fn what_is_synced_stays() {
        let kept = outcomes(|content| {
            content.write(0, &[1; 2_000]);
            content.sync();
        });
        assert_eq!(kept, [vec![1; 2_000]]);
    }

    #[test]
    fn what_is_not_is_kept_in_any_subset_of_sectors() {
        let kept = outcomes(|content| {
            content.resize(3 * SECTOR);
            content.sync();
            content.write(0, &[1; 3 * SECTOR]);
        });
        assert_eq!(kept.len(), 8);
        assert!(
            kept.iter()
                .all(|bytes| bytes.chunks(SECTOR).all(|sector| sector.iter().all(|b| *b == sector[0])))
        );
    }

    #[test]
    fn a_later_write_may_overtake_and_a_length_may_be_lost() {
        let kept = outcomes(|content| {
            content.write(0, &[1; SECTOR]);
            content.write(SECTOR, &[2; SECTOR]);
        });
        assert!(kept.contains(&vec![]));
        assert!(kept.contains(&[vec![0; SECTOR], vec![2; SECTOR]].concat()));
    }

    #[test]
    fn a_failed_sync_hides_the_loss_until_the_crash() {
        let mut content = Content::default();
        content.write(0, b"lost");
        content.forget();
        content.sync();
        assert_eq!(content.live, b"lost");
        content.crash(&mut Chance(4));
        assert_eq!(content.live, b"");
    }

    #[test]
    fn a_cut_forgets_what_was_beyond() {
        let kept = outcomes(|content| {
            content.write(0, &[1; 1_000]);
            content.sync();
            content.resize(10);
            content.resize(1_000);
            content.sync();
        });
        assert_eq!(kept, [[vec![1; 10], vec![0; 990]].concat()]);
    }
}
