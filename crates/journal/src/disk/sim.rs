use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};

use self::content::{Chance, Content};
use super::{Disk, File, parent};

mod content;

/// A disk in memory that tells every lie a disk may tell, the same ones for the same seed.
///
/// What is not synced is lost or kept at a crash, each sector of 512 bytes and each change of a name on its own, so writes
/// tear and overtake each other. Every call that changes something counts as one operation, which a test can make fail
/// ([`fail_at`](Self::fail_at)) or be the one during which the power goes ([`crash_at`](Self::crash_at)). After a crash
/// everything fails until [`restart`](Self::restart). Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

/// A file of a [`SimDisk`]. A crash makes it useless.
pub struct SimFile {
    disk: SimDisk,
    inode: u64,
    boot: u64,
}

/// How much a call does that returns an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing. A sync forgets what it was to write: reads still see it, later syncs do not bring it to the disk.
    Lost,
    /// Everything.
    Kept,
    /// Some of it: a write its beginning, a sync any sectors, forgetting the others.
    Part,
}

#[derive(Clone)]
struct State {
    chance: Chance,
    inodes: BTreeMap<u64, Content>,
    next_inode: u64,
    /// What calls see.
    names: BTreeMap<PathBuf, u64>,
    /// What is surely there after a crash.
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    operations: u64,
    crash_at: Option<u64>,
    lies: BTreeMap<u64, Lie>,
    lie_one_in: u64,
    failing_reads: u64,
    capacity: u64,
    write_budget: u64,
    /// Counts restarts, so that files from before a crash are told apart.
    boot: u64,
    down: bool,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

enum Fate {
    Works,
    Lies(Lie),
    Crashes,
}

impl SimDisk {
    /// An empty disk without limits, whose every accident follows from the seed.
    pub fn new(seed: u64) -> Self {
        SimDisk(Arc::new(Mutex::new(State {
            chance: Chance(seed),
            inodes: BTreeMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            dirs: BTreeSet::new(),
            operations: 0,
            crash_at: None,
            lies: BTreeMap::new(),
            lie_one_in: 0,
            failing_reads: 0,
            capacity: u64::MAX,
            write_budget: u64::MAX,
            boot: 0,
            down: false,
        })))
    }

    /// How many calls have changed, or tried to change, something.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// The power goes during the operation of this number, counted from 0.
    pub fn crash_at(&self, operation: u64) {
        self.0.lock().crash_at = Some(operation);
    }

    /// The operation of this number, counted from 0, fails.
    pub fn fail_at(&self, operation: u64, lie: Lie) {
        self.0.lock().lies.insert(operation, lie);
    }

    /// From now on one operation in this many fails, by chance and with any lie. 0 ends it.
    pub fn fail_one_in(&self, operations: u64) {
        self.0.lock().lie_one_in = operations;
    }

    /// The next so many reads fail.
    pub fn fail_reads(&self, count: u64) {
        self.0.lock().failing_reads = count;
    }

    /// The lengths of all files together cannot exceed this many bytes; `u64::MAX` lifts it.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.lock().capacity = bytes;
    }

    /// After this many bytes more, writes find the disk full even where space was allocated, as on thin volumes and where
    /// files are not reserved; `u64::MAX` lifts it.
    pub fn set_write_budget(&self, bytes: u64) {
        self.0.lock().write_budget = bytes;
    }

    /// The power goes now.
    pub fn crash(&self) {
        self.0.lock().crash();
    }

    /// The power is back: what survived is there to be opened.
    pub fn restart(&self) {
        let mut state = self.0.lock();
        state.down = false;
        state.crash_at = None;
    }

    /// Whether the power is gone.
    pub fn is_down(&self) -> bool {
        self.0.lock().down
    }

    /// Another disk in the same state. Files that are open stay with this one.
    pub fn fork(&self) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// The bytes of a file as a reader sees them now, whatever state the disk is in.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let inode = state.names.get(path)?;
        Some(state.inodes.get(inode)?.live.clone())
    }

    /// Turns one bit of a file over, for now and after a crash. Beyond the end there is none.
    pub fn flip(&self, path: &Path, offset: usize, bit: u32) {
        let mut state = self.0.lock();
        if let Some(inode) = state.names.get(path).copied()
            && let Some(content) = state.inodes.get_mut(&inode)
        {
            for bytes in [&mut content.live, &mut content.durable] {
                bytes.get_mut(offset).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
            }
        }
    }

    fn up(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.0.lock();
        if state.down { Err(powerless()) } else { Ok(state) }
    }

    /// One operation on names: all or nothing, whatever the lie.
    fn rename_operation(
        &self,
        change: impl FnOnce(&mut State) -> io::Result<(NameChange, u64)>,
    ) -> io::Result<SimFile> {
        let mut state = self.up()?;
        let fate = state.fate();
        if let Fate::Lies(Lie::Lost) = fate {
            return Err(failure());
        }
        let (change, inode) = change(&mut state)?;
        apply(&mut state.names, &change);
        state.pending_names.push(change);
        state.end(fate)?;
        Ok(SimFile { disk: self.clone(), inode, boot: state.boot })
    }
}

impl State {
    fn fate(&mut self) -> Fate {
        let operation = self.operations;
        self.operations += 1;
        if self.crash_at == Some(operation) {
            Fate::Crashes
        } else if let Some(lie) = self.lies.remove(&operation) {
            Fate::Lies(lie)
        } else if self.lie_one_in > 0 && self.chance.below(self.lie_one_in) == 0 {
            Fate::Lies([Lie::Lost, Lie::Kept, Lie::Part][self.chance.below(3) as usize])
        } else {
            Fate::Works
        }
    }

    /// What a call returns that has had its effect.
    fn end(&mut self, fate: Fate) -> io::Result<()> {
        match fate {
            Fate::Works => Ok(()),
            Fate::Lies(_) => Err(failure()),
            Fate::Crashes => {
                self.crash();
                Err(powerless())
            }
        }
    }

    fn crash(&mut self) {
        for content in self.inodes.values_mut() {
            content.crash(&mut self.chance);
        }
        let keep = self.chance.odds();
        for change in std::mem::take(&mut self.pending_names) {
            if self.chance.percent(keep) {
                apply(&mut self.durable_names, &change);
            }
        }
        self.names = self.durable_names.clone();
        let linked: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| linked.contains(inode));
        self.down = true;
        self.boot += 1;
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|inode| self.inodes.get(inode))
            .map(|content| content.live.len() as u64)
            .sum()
    }

    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Content::default());
        self.next_inode
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let state = self.up()?;
        Ok(SimFile { disk: self.clone(), inode: state.inode(path)?, boot: state.boot })
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        if self.exists(path)? {
            let file = self.open(path)?;
            file.set_len(0)?;
            return Ok(file);
        }
        self.create_new(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<SimFile> {
        self.rename_operation(|state| {
            if !state.dirs.contains(parent(path)) {
                return Err(io::ErrorKind::NotFound.into());
            }
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = state.new_inode();
            Ok((NameChange::Set(path.to_owned(), inode), inode))
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.up()?;
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut names: Vec<String> = state
            .names
            .keys()
            .chain(&state.dirs)
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.up()?;
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.rename_operation(|state| Ok((NameChange::Remove(path.to_owned()), state.inode(path)?)))?;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_operation(|state| {
            let inode = state.inode(from)?;
            Ok((NameChange::Rename(from.to_owned(), to.to_owned(), inode), inode))
        })?;
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.up()?;
        let fate = state.fate();
        let touched = |change: &NameChange| match change {
            NameChange::Set(path, _) | NameChange::Remove(path) => parent(path) == dir,
            NameChange::Rename(from, to, _) => parent(from) == dir || parent(to) == dir,
        };
        let (mine, other): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending_names).into_iter().partition(touched);
        let done = match fate {
            Fate::Works | Fate::Lies(Lie::Kept) => mine.len(),
            Fate::Lies(Lie::Part) => state.chance.below(mine.len() as u64 + 1) as usize,
            Fate::Lies(Lie::Lost) | Fate::Crashes => 0,
        };
        for change in &mine[..done] {
            apply(&mut state.durable_names, change);
        }
        state.pending_names = mine[done..].iter().cloned().chain(other).collect();
        state.end(fate)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.up()?;
        if state.dirs.contains(dir) {
            return Ok(());
        }
        let fate = state.fate();
        if let Fate::Works | Fate::Lies(Lie::Kept | Lie::Part) = fate {
            state.dirs.extend(dir.ancestors().map(Path::to_owned));
        }
        state.end(fate)
    }

    fn random(&self) -> u64 {
        self.0.lock().chance.next()
    }
}

impl SimFile {
    fn up(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.up()?;
        if state.boot == self.boot { Ok(state) } else { Err(powerless()) }
    }

    fn resize(&self, len: u64, shrink: bool) -> io::Result<()> {
        let mut state = self.up()?;
        let used = state.used();
        let fate = state.fate();
        let old = state.content(self.inode)?.live.len() as u64;
        if len > old && used.saturating_add(len - old) > state.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if !matches!(fate, Fate::Lies(Lie::Lost)) && (shrink || len > old) {
            state.content(self.inode)?.resize(len as usize);
        }
        state.end(fate)
    }
}

impl State {
    fn content(&mut self, inode: u64) -> io::Result<&mut Content> {
        self.inodes.get_mut(&inode).ok_or_else(powerless)
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.up()?;
        if state.failing_reads > 0 {
            state.failing_reads -= 1;
            return Err(failure());
        }
        let live = &state.content(self.inode)?.live;
        let rest = live.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.up()?;
        let fate = state.fate();
        let room = state.capacity.saturating_sub(state.used());
        let len = state.content(self.inode)?.live.len() as u64;
        let fits =
            (len.saturating_add(room)).saturating_sub(offset).min(state.write_budget).min(bytes.len() as u64);
        let written = match fate {
            Fate::Lies(Lie::Lost) => 0,
            Fate::Lies(Lie::Part) => state.chance.below(fits + 1),
            _ => fits,
        };
        state.write_budget -= if state.write_budget == u64::MAX { 0 } else { written };
        state.content(self.inode)?.write(offset as usize, &bytes[..written as usize]);
        state.end(fate)?;
        if written < bytes.len() as u64 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.up()?;
        let fate = state.fate();
        let State { chance, inodes, .. } = &mut *state;
        let content = inodes.get_mut(&self.inode).ok_or_else(powerless)?;
        match fate {
            Fate::Works | Fate::Lies(Lie::Kept) => content.sync(),
            Fate::Lies(Lie::Lost) => content.forget(),
            Fate::Lies(Lie::Part) => content.sync_part(chance),
            Fate::Crashes => {}
        }
        state.end(fate)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.resize(len, false)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.up()?.content(self.inode)?.live.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.resize(len, true)
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
    match change {
        NameChange::Set(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
    }
}

fn failure() -> io::Error {
    io::Error::other("a simulated failure")
}

fn powerless() -> io::Error {
    io::Error::other("the simulated disk is without power")
}
