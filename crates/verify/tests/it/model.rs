//! A ledger as data, which can be written as a data directory after a forger had his way with it.

use std::convert::Infallible;
use std::fs;
use std::ops::Range;
use std::path::Path;

use attestry_event::{Entry, Nanos, value_hash};
use attestry_segment::{Segment, ValuesWriter, Writer};
use attestry_tlog::{Checkpoint, Hash, Nodes, Pin, SigningKey, leaf_hash, subtree_root, tile};

pub(crate) const INSTALLATION: &str = "0123456789abcdef0123456789abcdef";
const SALT: [u8; 4] = [0xa5, 0x5a, 0x11, 0xee];

/// A large value of an entry.
#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) hash: [u8; 32],
    pub(crate) salt: [u8; 16],
    pub(crate) content: Vec<u8>,
}

/// Everything that is in the directory of one ledger.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) key: SigningKey,
    pub(crate) entries: Vec<Vec<u8>>,
    /// What the stored nodes and prefixes of segments are made from: the honest leaves, until a forger recomputes them.
    pub(crate) leaves: Vec<Hash>,
    pub(crate) values: Vec<(u64, Value)>,
    pub(crate) segments: Vec<Range<u64>>,
    /// How many of the segments are pruned.
    pub(crate) pruned: usize,
    /// Entries a journal record.
    pub(crate) batch: u64,
    pub(crate) checkpoint: Option<String>,
    pub(crate) vkey: String,
}

/// Of the sample: two sealed segments, the rest in the journal, the last ten entries not signed yet.
pub(crate) const SEALED: u64 = 1_024;
pub(crate) const SIGNED: u64 = 1_090;
pub(crate) const ENTRIES: u64 = 1_100;
pub(crate) const PINNED: u64 = 700;
/// Entries with a large value: in the first segment, in the second, in the journal.
pub(crate) const WITH_VALUE: [u64; 3] = [77, 600, 1_050];

impl Model {
    pub(crate) fn sample() -> Self {
        let key = SigningKey::generate(&format!("{INSTALLATION}.attestry/audit"), [7; 32]).unwrap();
        let values: Vec<(u64, Value)> = WITH_VALUE.iter().map(|index| (*index, value(*index))).collect();
        let entries: Vec<Vec<u8>> = (0..ENTRIES)
            .map(|index| match values.iter().find(|(with, _)| *with == index) {
                Some((_, value)) => {
                    event(index, "note.added", "web", &format!("{{\"text\":{}}}", reference(value)))
                }
                None => {
                    event(index, "order.paid", "web", &format!("{{\"amount\":{index}.50,\"by\":\"card\"}}"))
                }
            })
            .collect();
        let mut model = Model {
            vkey: key.verifier().to_string(),
            key,
            leaves: Vec::new(),
            entries,
            values,
            segments: vec![0..512, 512..SEALED],
            pruned: 0,
            batch: 20,
            checkpoint: None,
        };
        model.recompute();
        model.sign(SIGNED);
        model
    }

    /// Makes the stored hashes those of the entries as they are now.
    pub(crate) fn recompute(&mut self) {
        self.leaves = self.entries.iter().map(|entry| leaf_hash(entry)).collect();
    }

    /// Signs the tree of the first `size` entries as they are now.
    pub(crate) fn sign(&mut self, size: u64) {
        self.checkpoint = Some(self.signed(size));
    }

    pub(crate) fn signed(&self, size: u64) -> String {
        let leaves: Vec<Hash> = self.entries[..size as usize].iter().map(|entry| leaf_hash(entry)).collect();
        Checkpoint::new(self.key.name(), size, subtree_root(&leaves)).sign(&self.key)
    }

    pub(crate) fn pin(&self, size: u64) -> Pin {
        Pin { key: self.key.verifier(), checkpoint: self.signed(size) }
    }

    pub(crate) fn set(&mut self, index: u64, entry: Vec<u8>) {
        self.entries[index as usize] = entry;
    }

    /// The tree over the entries as they are, for proofs.
    pub(crate) fn tree(&self) -> Tree {
        Tree(self.entries.iter().map(|entry| leaf_hash(entry)).collect())
    }

    pub(crate) fn write(&self, dir: &Path) {
        let ledger = dir.join("ledgers/audit");
        for folder in ["segments", "wal"] {
            fs::create_dir_all(ledger.join(folder)).unwrap();
        }
        fs::create_dir_all(dir.join("keys")).unwrap();
        fs::write(dir.join("FORMAT"), "attestry-data 1\n").unwrap();
        fs::write(dir.join("installation"), format!("{INSTALLATION}\n")).unwrap();
        fs::write(dir.join("keys/audit.key"), format!("{}\n", self.key.to_private_text())).unwrap();
        fs::write(ledger.join("vkey"), format!("{}\n", self.vkey)).unwrap();
        if let Some(checkpoint) = &self.checkpoint {
            fs::write(ledger.join("checkpoint"), checkpoint).unwrap();
        }
        for (nth, range) in self.segments.iter().enumerate() {
            self.write_segment(&ledger.join("segments"), range.clone(), nth < self.pruned);
        }
        self.write_journal(&ledger.join("wal"));
    }

    fn sealed(&self) -> u64 {
        self.segments.last().map_or(0, |range| range.end)
    }

    fn write_segment(&self, dir: &Path, range: Range<u64>, pruned: bool) {
        let mut writer = Writer::new(Vec::new(), range.start, 128, 3).unwrap();
        for index in range.clone() {
            let (entry, leaf) = (&self.entries[index as usize], &self.leaves[index as usize]);
            let times = Entry::parse(entry)
                .map_or((Nanos(0), Nanos(0)), |entry| (entry.event_time(), entry.received_at()));
            writer.push(entry, leaf, times.0, times.1).unwrap();
        }
        let mut bytes = writer.finish().unwrap().0;
        if pruned {
            bytes = Segment::open(bytes).unwrap().write_pruned(Vec::new()).unwrap();
        }
        let stem = format!("{:020}-{:020}", range.start, range.end);
        fs::write(dir.join(format!("{stem}.{}", if pruned { "pruned" } else { "seg" })), bytes).unwrap();
        let values: Vec<_> = self.values.iter().filter(|(index, _)| range.contains(index)).collect();
        if !values.is_empty() && !pruned {
            let mut writer = ValuesWriter::new(Vec::new(), 3).unwrap();
            for (_, value) in values {
                writer.push(&Hash(value.hash), &value.salt, &value.content).unwrap();
            }
            fs::write(dir.join(format!("{stem}.val")), writer.finish().unwrap()).unwrap();
        }
    }

    /// Two files, split in the middle, with zeros behind the records of the last.
    fn write_journal(&self, dir: &Path) {
        let mut records: Vec<Vec<u8>> = Vec::new();
        let mut first = self.sealed();
        while first < self.entries.len() as u64 {
            let end = (first + self.batch).min(self.entries.len() as u64);
            for (_, value) in self.values.iter().filter(|(index, _)| (first..end).contains(index)) {
                records.push([&[2][..], &value.hash, &value.salt, &value.content].concat());
            }
            let mut record = [&[1][..], &first.to_le_bytes(), &((end - first) as u32).to_le_bytes()].concat();
            (first..end)
                .for_each(|index| tile::push_entry(&mut record, &self.entries[index as usize]).unwrap());
            records.push(record);
            first = end;
        }
        let first_sequence = 40;
        let middle = records.len() / 2;
        for (from, to) in [(0, middle), (middle, records.len())] {
            let sequence = first_sequence + from as u64;
            let mut file = journal_header(sequence);
            for (sequence, record) in (sequence..).zip(&records[from..to]) {
                push_record(&mut file, sequence, sequence, record);
            }
            file.extend([0; 4096]);
            fs::write(dir.join(format!("{sequence:020}.jnl")), file).unwrap();
        }
    }
}

/// The head of a journal file, up to its first record.
pub(crate) fn journal_header(sequence: u64) -> Vec<u8> {
    let mut header = [&b"ATTESTRY-JNL-1\n\0"[..], &sequence.to_le_bytes(), &SALT].concat();
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    header.resize(512, 0);
    header.extend_from_within(..);
    header
}

pub(crate) fn push_record(file: &mut Vec<u8>, sequence: u64, durable: u64, payload: &[u8]) {
    let start = file.len();
    file.extend(b"JRNL");
    file.extend((payload.len() as u32).to_le_bytes());
    file.extend(sequence.to_le_bytes());
    file.extend(durable.to_le_bytes());
    file.extend(crc32c::crc32c(payload).to_le_bytes());
    file.extend(crc32c::crc32c_append(crc32c::crc32c(&SALT), &file[start..]).to_le_bytes());
    file.extend(payload);
    file.resize(file.len().next_multiple_of(8), 0);
}

pub(crate) fn event(index: u64, name: &str, source: &str, data: &str) -> Vec<u8> {
    let time = format!("2026-01-01T{:02}:{:02}:{:02}.000000000Z", index / 3600, index / 60 % 60, index % 60);
    format!(
        "{{\"v\":1,\"event_id\":\"e{index}\",\"event_time\":\"{time}\",\"received_at\":\"{time}\",\
         \"event_name\":\"{name}\",\"username\":\"alice\",\"event_source\":\"{source}\",\
         \"source_ip_address\":\"-\",\"read_only\":false,\"event_data\":{data}}}"
    )
    .into_bytes()
}

/// The event at `index` as a forger would like it to be.
pub(crate) fn edited(index: u64) -> Vec<u8> {
    event(index, "order.paid", "web", &format!("{{\"amount\":{index}.99,\"by\":\"card\"}}"))
}

fn value(index: u64) -> Value {
    let content = format!("value {index} ").repeat(600).into_bytes();
    let salt = [index as u8; 16];
    Value { hash: value_hash(&salt, &content), salt, content }
}

pub(crate) fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn reference(value: &Value) -> String {
    format!("{{\"$ref\":\"sha256:{}\",\"bytes\":{}}}", hex(&value.hash), value.content.len())
}

/// Nodes computed from leaves whenever they are asked for.
pub(crate) struct Tree(pub(crate) Vec<Hash>);

impl Nodes for Tree {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let width = 1_usize << level;
        Ok(subtree_root(&self.0[index as usize * width..(index as usize + 1) * width]))
    }
}
