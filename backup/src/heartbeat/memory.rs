//! What a host remembers of its heartbeats: numbers that are spent, and what is not logged yet.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lifeboat_repo::format::heartbeat::{Beat, Counter};
use lifeboat_repo::ids::{Label, ObjectHash, ObjectName, RepositoryId, TenantToken};
use lifeboat_repo::units::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::BeatError;

/// Beats that are not logged yet are forgotten beyond so many: about a week of one component. The records are there all the
/// same; but the log says of them nothing, and that it is not whole.
const PENDING_MAX: usize = 10_000;

/// Numbers, open for one beat.
pub(super) struct Memory {
    path: PathBuf,
    new: bool,
    kept: Kept,
    _lock: File,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    repository: Option<RepositoryId>,
    previous: Option<(ObjectName, ObjectHash)>,
    /// By `component` or `component/token`.
    numbers: BTreeMap<String, u64>,
    counted: BTreeMap<Label, Timestamp>,
    beats: Vec<Beat>,
    counters: Vec<Counter>,
}

impl Memory {
    pub(super) fn open(path: &Path) -> Result<Self, BeatError> {
        let state = |error| BeatError::State { path: path.display().to_string(), error };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(state)?;
        }
        let lock = path.with_extension("lock");
        let lock = OpenOptions::new().mode(0o600).write(true).create(true).truncate(false).open(lock);
        let lock = lock.map_err(state)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(BeatError::Busy),
            Err(error) => return Err(state(error.into())),
        }
        // What cannot be read is as good as forgotten: numbers are recalled from records and log.
        let kept = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(state(error)),
        };
        Ok(Self { path: path.to_owned(), new: kept.is_none(), kept: kept.unwrap_or_default(), _lock: lock })
    }

    /// Whether nothing was remembered.
    pub(super) fn is_new(&self) -> bool {
        self.new
    }

    pub(super) fn repository(&self) -> Option<RepositoryId> {
        self.kept.repository
    }

    /// Another repository knows nothing of what was logged before.
    pub(super) fn know(&mut self, repository: RepositoryId) {
        if self.kept.repository.is_some_and(|known| known != repository) {
            self.kept.previous = None;
        }
        self.kept.repository = Some(repository);
    }

    pub(super) fn previous(&self) -> Option<(ObjectName, ObjectHash)> {
        self.kept.previous.clone()
    }

    pub(super) fn beats(&self) -> &[Beat] {
        &self.kept.beats
    }

    pub(super) fn counters(&self) -> &[Counter] {
        &self.kept.counters
    }

    /// A number that was spent, as others know.
    pub(super) fn seen(&mut self, component: &Label, tenant: Option<TenantToken>, seq: u64) {
        let known = self.kept.numbers.entry(name(component, tenant)).or_default();
        *known = seq.max(*known);
    }

    /// Spends the next number, behind whatever is in the data already. It is spent once it is on the disk.
    pub(super) fn spend(
        &mut self,
        component: &Label,
        tenant: Option<TenantToken>,
        in_data: Option<u64>,
    ) -> Result<u64, BeatError> {
        let known = self.kept.numbers.entry(name(component, tenant)).or_default();
        *known = in_data.unwrap_or_default().max(*known).saturating_add(1);
        let seq = *known;
        self.keep()?;
        Ok(seq)
    }

    pub(super) fn wrote(&mut self, beat: Beat) {
        self.kept.beats.push(beat);
        let drop = self.kept.beats.len().saturating_sub(PENDING_MAX);
        if drop > 0 {
            self.kept.beats.drain(..drop);
            // What comes next follows nothing: whoever reads it sees that some are missing.
            self.kept.previous = None;
        }
    }

    /// A count is begun, whatever comes of it.
    pub(super) fn begin_count(&mut self, component: &Label, time: Timestamp) {
        self.kept.counted.insert(component.clone(), time);
    }

    pub(super) fn count(&mut self, counter: Counter) {
        self.kept
            .counters
            .retain(|known| known.component != counter.component || known.tenant != counter.tenant);
        self.kept.counters.push(counter);
    }

    pub(super) fn counted(&self, component: &Label) -> Option<Timestamp> {
        self.kept.counted.get(component).copied()
    }

    /// All that was written is in the log.
    pub(super) fn logged(&mut self, name: ObjectName, hash: ObjectHash) {
        self.kept.previous = Some((name, hash));
        self.kept.beats.clear();
        self.kept.counters.clear();
    }

    /// Puts it on the disk.
    pub(super) fn keep(&self) -> Result<(), BeatError> {
        let state = |error| BeatError::State { path: self.path.display().to_string(), error };
        let fresh = self.path.with_extension("new");
        let text = serde_json::to_vec(&self.kept).map_err(|error| state(io::Error::other(error)))?;
        let file = OpenOptions::new().mode(0o600).write(true).create(true).truncate(true).open(&fresh);
        let mut file = file.map_err(state)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(state)?;
        fs::rename(&fresh, &self.path).map_err(state)
    }
}

fn name(component: &Label, tenant: Option<TenantToken>) -> String {
    tenant.map_or_else(|| component.to_string(), |token| format!("{component}/{token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_before_it_was_logged_leaves_a_gap_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(&dir.path().join("memory.json")).unwrap();
        memory.logged("heartbeats/w1/20261127/x".parse().unwrap(), ObjectHash::from_bytes([1; 32]));
        let component: Label = "chats".parse().unwrap();
        for seq in 1..=PENDING_MAX as u64 + 1 {
            assert!(memory.previous().is_some() || seq == PENDING_MAX as u64 + 1, "{seq}");
            let time = Timestamp::new(60 * seq as i64, 0);
            memory.wrote(Beat { component: component.clone(), tenant: None, seq, time, written: time });
        }
        assert_eq!((memory.beats().len(), memory.previous()), (PENDING_MAX, None));
        assert_eq!(memory.beats()[0].seq, 2);
    }
}
