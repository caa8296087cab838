//! How fast groups are appended and synced: `cargo run --release --example append_speed [DIR] [GROUP_BYTES] [GROUPS]`.
//! Without a directory it uses a new one below the system's temporary one, and removes it.

#![allow(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::{
    env, fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use attestry_journal::{Item, Journal, Options, disk::RealDisk};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let (dir, ours) = match args.next() {
        Some(dir) => (PathBuf::from(dir), false),
        None => (env::temp_dir().join(format!("append_speed-{}", std::process::id())), true),
    };
    let group: usize = args.next().map_or(Ok(1 << 20), |arg| arg.parse())?;
    let groups: u64 = args.next().map_or(Ok(1_024), |arg| arg.parse())?;
    let payload: Vec<u8> = (0..group).map(|i| (i ^ (i >> 8)) as u8).collect();
    let (head, body) = payload.split_at(group.min(13));

    let (mut journal, _) = Journal::open(RealDisk, &dir, Options::default())?;
    let (mut appends, mut syncs) = (Vec::new(), Vec::new());
    for _ in 0..groups {
        let start = Instant::now();
        journal.append(&[head, body])?;
        let appended = Instant::now();
        journal.sync()?;
        appends.push(appended - start);
        syncs.push(appended.elapsed());
    }
    let bytes = group as f64 * groups as f64;
    let rate = |time: Duration| bytes / time.as_secs_f64() / 1e9;
    for (what, times) in [("append", &mut appends), ("sync", &mut syncs)] {
        times.sort_unstable();
        let (sum, median) = (times.iter().sum(), times[times.len() / 2]);
        println!("{what}: {:.2} GB/s, the median one {median:?}", rate(sum));
    }

    let start = Instant::now();
    let mut reader = journal.read(journal.first());
    let mut read = 0;
    while let Some(item) = reader.next()? {
        match item {
            Item::Record { payload, .. } => read += payload.len(),
            Item::Gap(gap) => return Err(io::Error::other(format!("a gap {gap:?}")).into()),
        }
    }
    println!("read: {:.2} GB/s", read as f64 / start.elapsed().as_secs_f64() / 1e9);
    drop(journal);
    let start = Instant::now();
    let (_, opened) = Journal::open(RealDisk, &dir, Options::default())?;
    println!("open: {:.2} GB/s, next {}", rate(start.elapsed()), opened.next);
    if ours {
        fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
