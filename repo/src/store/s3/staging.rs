//! What is sent in the background, within a bound of bytes, and waited for at the barrier.

use std::sync::{Arc, PoisonError};

use bytes::Bytes as Body;

use super::fault::Fault;
use super::{S3Store, STAGED_UNIT};
use crate::ids::ObjectName;
use crate::store::{Created, StoreError, StoreErrorKind, Upload};
use crate::units::{Bytes, LockClass};

impl S3Store {
    /// Sends an object in the background, once there is room for it.
    pub(super) fn send(&self, name: &ObjectName, body: Body, class: LockClass) -> Result<(), StoreError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let all = u32::try_from(self.bucket.settings.bounds.staged_max.0 / STAGED_UNIT.0).unwrap_or(u32::MAX);
        let units = u32::try_from(Bytes::of(&body).0.div_ceil(STAGED_UNIT.0)).unwrap_or(u32::MAX);
        let units = units.clamp(1, all.max(1));
        let room = runtime.block_on(Arc::clone(&self.room).acquire_many_owned(units));
        let room = room.map_err(|_| self.fail("stage", name.as_str(), Fault::last("the store is closed")))?;
        let (bucket, name) = (Arc::clone(&self.bucket), name.clone());
        let sending = runtime.spawn(async move {
            let answer = bucket.put_new(&name, body, class).await;
            drop(room);
            match answer {
                Ok(Created::New) => Ok(()),
                Ok(Created::Exists) => Err(bucket.fail("stage", name.as_str(), StoreErrorKind::Exists)),
                Err(fault) => Err(bucket.fail("stage", name.as_str(), fault.into_kind())),
            }
        });
        self.staged.lock().unwrap_or_else(PoisonError::into_inner).push(sending);
        Ok(())
    }

    /// Waits for everything staged.
    pub(super) fn confirm(&self) -> Result<(), StoreError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let _turn = self.barrier.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = std::mem::take(&mut *self.staged.lock().unwrap_or_else(PoisonError::into_inner));
        let mut first = None;
        for sending in sent {
            let answer = runtime.block_on(sending).unwrap_or_else(|error| {
                Err(self.fail("stage", "an object", Fault::last(format!("its sender ended: {error}"))))
            });
            if let Err(error) = answer {
                first.get_or_insert(error);
            }
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = first {
            if !matches!(error.kind, StoreErrorKind::Exists) {
                lost.get_or_insert_with(|| {
                    format!("{}, staged earlier, was not stored: {}", error.subject, error.kind)
                });
            }
            return Err(error);
        }
        match lost.as_ref() {
            None => Ok(()),
            Some(why) => Err(self.fail("confirm", "what was staged", Fault::last(why.clone()))),
        }
    }
}

/// An object whose name is its hash is held until its end: S3 wants the name first.
pub(super) struct S3Upload<'s> {
    pub(super) store: &'s S3Store,
    pub(super) bytes: Vec<u8>,
    pub(super) class: LockClass,
}

impl Upload for S3Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        self.store.send(name, Body::from(self.bytes), self.class)
    }
}
