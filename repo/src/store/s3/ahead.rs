//! Reading ahead: ranges that somebody will soon ask for are on their way while what came before is worked on. Over a
//! network the time until the first byte comes is worth many a byte.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::Bucket;
use super::fault::Fault;
use super::get::Part;
use crate::ids::ObjectName;
use crate::units::Bytes;

/// What nobody came for in this time is not wanted any more, and gives its room to others.
const STALE: Duration = Duration::from_secs(60);

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
