//! Reading ahead: ranges that somebody will soon ask for are on their way while what came before is worked on. Over a
//! network the time until the first byte comes is worth many a byte.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::Bucket;
use super::fault::Fault;
use super::get::{Part, Whole};
use crate::ids::ObjectName;
use crate::units::Bytes;

/// What nobody came for in this time is not wanted any more, and gives its room to others.
const STALE: Duration = Duration::from_secs(60);

/// So many whole objects are on their way at once at the most.
const WHOLE_MAX: usize = 32;
/// Whoever reads asks for them in order, or nearly: of what was to come so many places before, nobody will take any more.
const BEHIND_MAX: usize = WHOLE_MAX / 2;
/// No longer ones are read ahead whole: whoever asks for one reads it then.
const WHOLE_LENGTH_MAX: Bytes = Bytes::kib(256);

/// A range of an object.
type Range = (ObjectName, Bytes, Bytes);

/// What is on its way.
pub(super) struct Ahead {
    coming: Mutex<HashMap<Range, Coming>>,
    room: Arc<Semaphore>,
    unit: Bytes,
}

struct Coming {
    read: JoinHandle<Result<Part, Fault>>,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

impl Ahead {
    /// With room for so many bytes, counted in such units.
    pub(super) fn new(room: Bytes, unit: Bytes) -> Self {
        let units = usize::try_from(room.0 / unit.0.max(1)).unwrap_or(usize::MAX);
        let room = Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)));
        Self { coming: Mutex::default(), room, unit }
    }

    /// Sets out to read a range, if there is room for it. Asked for twice it is read once.
    pub(super) fn expect(
        &self,
        runtime: &Handle,
        bucket: &Arc<Bucket>,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
    ) {
        let range = (name.clone(), offset, length);
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if coming.contains_key(&range) {
            return;
        }
        let units = u32::try_from(length.0.div_ceil(self.unit.0.max(1))).unwrap_or(u32::MAX);
        let enter = || Arc::clone(&self.room).try_acquire_many_owned(units.max(1)).ok();
        let room = enter().or_else(|| {
            coming.retain(|_, one| one.since.elapsed() < STALE);
            enter()
        });
        let Some(room) = room else { return };
        let (bucket, name) = (Arc::clone(bucket), name.clone());
        let read = runtime.spawn(async move { bucket.read_range(&name, offset, length).await });
        coming.insert(range, Coming { read, since: Instant::now(), _room: room });
    }

    /// What was set out to be read, if it was.
    pub(super) fn take(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
    ) -> Option<JoinHandle<Result<Part, Fault>>> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        // The room is free again: what is taken belongs to whoever took it.
        coming.remove(&(name.clone(), offset, length)).map(|coming| coming.read)
    }
}

/// Whole objects on their way: a listing's, mostly, which somebody reads one by one.
#[derive(Default)]
pub(super) struct WholeAhead(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// What nobody set out to read yet.
    waiting: VecDeque<ObjectName>,
    coming: VecDeque<(ObjectName, JoinHandle<Result<Whole, Fault>>)>,
}

impl WholeAhead {
    /// These are wanted next, in this order, and nothing that was expected before.
    pub(super) fn expect(&self, runtime: &Handle, bucket: &Arc<Bucket>, names: Vec<ObjectName>) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, read) in queue.coming.drain(..) {
            read.abort();
        }
        queue.waiting = names.into();
        queue.set_out(runtime, bucket);
    }

    /// What was set out to be read, if it was; then the next sets out.
    pub(super) fn take(
        &self,
        runtime: &Handle,
        bucket: &Arc<Bucket>,
        name: &ObjectName,
    ) -> Option<JoinHandle<Result<Whole, Fault>>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = queue.coming.iter().position(|(coming, _)| coming == name)?;
        let (_, read) = queue.coming.remove(at)?;
        for (_, left) in queue.coming.drain(..at.saturating_sub(BEHIND_MAX)) {
            left.abort();
        }
        queue.set_out(runtime, bucket);
        Some(read)
    }
}

impl Queue {
    fn set_out(&mut self, runtime: &Handle, bucket: &Arc<Bucket>) {
        while self.coming.len() < WHOLE_MAX
            && let Some(name) = self.waiting.pop_front()
        {
            let (bucket, wanted) = (Arc::clone(bucket), name.clone());
            let read = runtime.spawn(async move { bucket.read(&wanted, WHOLE_LENGTH_MAX).await });
            self.coming.push_back((name, read));
        }
    }
}
