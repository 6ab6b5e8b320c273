//! A store in a bucket of an S3-compatible server.
//!
//! Callers block; requests are driven by a runtime of the store's own, as many at once as the server takes (`attempts`).
//! What is staged is sent in the background, within a bound of bytes; the barrier waits for it. Every object is put
//! with `If-None-Match: *` and its SHA-256: a name is taken once, and what arrives is what was meant. A server that
//! ignores the condition is found out by the first creation. Where an answer did not come, the store looks again:
//! equal bytes are ours, and where we may not read, so is an object of that name and length (`put`).

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_s3::Client;
use bytes::Bytes as Body;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{Created, Listed, Store, StoreError, StoreErrorKind, Upload, contract};
use crate::ids::ObjectName;
use crate::store::versions::{VersionId, Versioned};
use crate::units::{Bytes, LockClass, LockTerms, Timestamp};
use ahead::{Ahead, WholeAhead};
use attempts::Gate;
use client::ServerDate;
use fault::{Fault, FaultKind};
pub use settings::{Bounds, Keys, Locks, S3Settings};
use staging::S3Upload;
#[cfg(any(test, feature = "testing"))]
pub use trials::{attack, hide, make_bucket, overlay, set_policy};

mod ahead;
mod attempts;
pub(super) mod client;
mod fault;
mod get;
mod listing;
mod locking;
mod probe;
mod put;
mod settings;
mod staging;
#[cfg(any(test, feature = "testing"))]
mod trials;
mod versions;

/// Threads that drive requests; they only wait and copy.
const DRIVERS: usize = 2;
/// The unit in which bytes on their way are counted.
const STAGED_UNIT: Bytes = Bytes::kib(1);

/// A store in a bucket.
pub struct S3Store {
    bucket: Arc<Bucket>,
    staged: Mutex<Vec<JoinHandle<Result<(), StoreError>>>>,
    /// One barrier at a time: whoever comes second waits for what the first took.
    barrier: Mutex<()>,
    /// Set for good once something staged is lost: whoever waits later must not think it stored.
    lost: Mutex<Option<String>>,
    room: Arc<Semaphore>,
    ahead: Ahead,
    whole_ahead: WholeAhead,
    runtime: Option<Runtime>,
}

/// What requests share.
struct Bucket {
    settings: S3Settings,
    client: RwLock<Client>,
    date: ServerDate,
    gate: Gate,
    /// Whether this server was seen to refuse a second creation.
    conditions: AtomicBool,
}

impl S3Store {
    /// Connects. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// The endpoint is refused, certificates or credentials cannot be used, or the machine failed.
    pub fn open(settings: S3Settings) -> Result<Self, StoreError> {
        let url = settings.url();
        let fail = |why: String| StoreError {
            operation: "open",
            subject: "the bucket".to_owned(),
            location: url.clone(),
            kind: StoreErrorKind::Other(why),
        };
        if let Some(why) = client::refuse_endpoint(&settings) {
            return Err(fail(why));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(DRIVERS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| fail(error.to_string()))?;
        let date = ServerDate::new();
        let client = runtime.block_on(client::connect(&settings, &date)).map_err(fail)?;
        let room = usize::try_from(settings.bounds.staged_max.0 / STAGED_UNIT.0).unwrap_or(usize::MAX);
        let room = Arc::new(Semaphore::new(room.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize))));
        let ahead = Ahead::new(settings.bounds.ahead_max, STAGED_UNIT);
        let gate = Gate::new(&settings.bounds);
        let conditions = AtomicBool::new(false);
        let bucket = Bucket { settings, client: RwLock::new(client), date, gate, conditions };
        Ok(Self {
            bucket: Arc::new(bucket),
            staged: Mutex::default(),
            barrier: Mutex::default(),
            lost: Mutex::default(),
            room,
            ahead,
            whole_ahead: WholeAhead::default(),
            runtime: Some(runtime),
        })
    }

    /// Drives something to its end.
    fn wait<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(Fault::last("the store is closed")),
        }
    }

    /// What was read ahead, where that went well: what did not is asked for anew.
    fn came(&self, name: &ObjectName, limit: Bytes) -> Option<Vec<u8>> {
        let runtime = self.runtime.as_ref()?;
        let coming = self.whole_ahead.take(runtime.handle(), &self.bucket, name)?;
        match runtime.block_on(coming) {
            Ok(Ok(get::Whole::Read(bytes))) if Bytes::of(&bytes) <= limit => Some(bytes),
            _ => None,
        }
    }

    fn fail(&self, operation: &'static str, subject: &str, fault: Fault) -> StoreError {
        self.bucket.fail(operation, subject, fault.into_kind())
    }
}

impl Drop for S3Store {
    /// Does not wait: what nobody waited for may be lost.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bucket {
    fn fail(&self, operation: &'static str, subject: &str, kind: StoreErrorKind) -> StoreError {
        StoreError { operation, subject: subject.to_owned(), location: self.settings.url(), kind }
    }

    /// What an object is called in the bucket.
    fn key(&self, name: &str) -> String {
        if self.settings.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.settings.prefix)
        }
    }

    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks for credentials anew: those in use have expired, and whoever hands them out may have others by now.
    async fn renew(&self) {
        match client::connect(&self.settings, &self.date).await {
            Ok(client) => *self.client.write().unwrap_or_else(PoisonError::into_inner) = client,
            Err(why) => tracing::warn!(%why, "cannot renew the credentials"),
        }
    }

    /// Asks until there is an answer to a request that moves so many bytes, as `attempts` says.
    async fn ask<T, F>(&self, bytes: Bytes, request: impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.ask_patiently(|client| attempts::within(&self.settings.bounds, bytes, request(client))).await
    }

    /// The same for a request that minds the time itself.
    async fn ask_patiently<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let bounds = &self.settings.bounds;
        attempts::repeat(&self.gate, bounds, || request(self.client()), || self.renew()).await
    }
}

impl Store for S3Store {
    fn location(&self) -> String {
        self.bucket.settings.url()
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.create_as(name, bytes, LockClass::Normal)
    }

    fn create_as(&self, name: &ObjectName, bytes: &[u8], class: LockClass) -> Result<Created, StoreError> {
        self.confirm()?;
        let body = Body::copy_from_slice(bytes);
        self.wait(self.bucket.create(name, body, class))
            .map_err(|fault| self.fail("create", name.as_str(), fault))
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.send(name, Body::copy_from_slice(bytes), LockClass::Normal)
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        self.upload_as(LockClass::Normal)
    }

    fn upload_as(&self, class: LockClass) -> Result<Box<dyn Upload + '_>, StoreError> {
        Ok(Box::new(S3Upload { store: self, bytes: Vec::new(), class }))
    }

    fn lock_terms(&self, class: LockClass) -> Option<LockTerms> {
        self.bucket.settings.locks.terms(class)
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.confirm()
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        if let Some(bytes) = self.came(name, limit) {
            return Ok(bytes);
        }
        let read = self.wait(self.bucket.read(name, limit));
        match read.map_err(|fault| self.fail("read", name.as_str(), fault))? {
            get::Whole::Read(bytes) => Ok(bytes),
            get::Whole::TooLong(length) => {
                let kind = StoreErrorKind::TooLong { length, limit };
                Err(self.bucket.fail("read", name.as_str(), kind))
            }
        }
    }

    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let read = match self.ahead.take(name, offset, length) {
            Some(coming) => self.wait(async {
                coming.await.unwrap_or_else(|error| Err(Fault::last(format!("its reader ended: {error}"))))
            }),
            None => self.wait(self.bucket.read_range(name, offset, length)),
        };
        match read.map_err(|fault| self.fail("read", name.as_str(), fault))? {
            get::Part::Read(bytes) => {
                into.extend_from_slice(&bytes);
                Ok(())
            }
            get::Part::Short(length) => {
                Err(self.bucket.fail("read", name.as_str(), StoreErrorKind::Short { length }))
            }
        }
    }

    fn expect_whole(&self, names: Vec<ObjectName>) {
        if let Some(runtime) = &self.runtime {
            self.whole_ahead.expect(runtime.handle(), &self.bucket, names);
        }
    }

    fn expect(&self, name: &ObjectName, offset: Bytes, length: Bytes) {
        if let Some(runtime) = &self.runtime {
            self.ahead.expect(runtime.handle(), &self.bucket, name, offset, length);
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        super::local::place(prefix).map_err(|kind| self.bucket.fail("list", prefix, kind))?;
        self.wait(self.bucket.list(prefix)).map_err(|fault| self.fail("list", prefix, fault))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        self.wait(self.bucket.stat(name)).map_err(|fault| self.fail("look up", name.as_str(), fault))
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        let deleted = self.wait(self.bucket.delete(name));
        deleted.map_err(|fault| match fault.kind {
            // A refusal has one cause people can wait for, and others they must mend.
            FaultKind::Denied if fault.message.to_lowercase().contains("lock") || self.is_locked(name) => {
                self.bucket.fail("delete", name.as_str(), StoreErrorKind::Locked(fault.message.into()))
            }
            _ => self.fail("delete", name.as_str(), fault),
        })
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        self.wait(self.bucket.now()).map_err(|fault| self.fail("ask", "the time", fault))
    }

    fn locked_until(&self, name: &ObjectName) -> Result<Option<Timestamp>, StoreError> {
        let until = self.wait(self.bucket.locked_until(name));
        until.map_err(|fault| self.fail("look up the lock of", name.as_str(), fault))
    }

    fn lock(&self, name: &ObjectName, until: Timestamp) -> Result<(), StoreError> {
        self.wait(self.bucket.lock(name, until)).map_err(|fault| self.fail("lock", name.as_str(), fault))
    }

    fn versioned(&self, prefix: &str) -> Result<Vec<Versioned>, StoreError> {
        self.wait(self.bucket.versioned(prefix))
            .map_err(|fault| self.fail("list the versions of", prefix, fault))
    }

    fn read_version(
        &self,
        name: &ObjectName,
        version: &VersionId,
        limit: Bytes,
    ) -> Result<Vec<u8>, StoreError> {
        let read = self.wait(self.bucket.read_version(name, version, limit));
        read.map_err(|fault| self.fail("read a version of", name.as_str(), fault))
    }

    fn reinstate(&self, name: &ObjectName, version: &VersionId, limit: Bytes) -> Result<(), StoreError> {
        let done = self.wait(self.bucket.reinstate(name, version, limit));
        done.map_err(|fault| self.fail("reinstate", name.as_str(), fault))
    }

    fn probes(&self, scratch: &ObjectName) -> Vec<contract::Check> {
        probe::probe(self, scratch)
    }
}

impl S3Store {
    fn is_locked(&self, name: &ObjectName) -> bool {
        matches!((self.locked_until(name), self.now()), (Ok(Some(until)), Ok(now)) if until > now)
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({})", self.location())
    }
}

/// The moment so long after another, as the SDK has it; past its end there is none.
fn date_after(moment: Timestamp, by: Duration) -> aws_sdk_s3::primitives::DateTime {
    aws_sdk_s3::primitives::DateTime::from_secs(moment.plus(by).seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lie_below_the_prefix() {
        let bucket = |prefix: &str| {
            let settings = S3Settings { allow_http: true, ..S3Settings::of("b", prefix) };
            S3Store::open(S3Settings { keys: given(), ..settings }).unwrap()
        };
        assert_eq!(bucket("").bucket.key("packs/0"), "packs/0");
        assert_eq!(bucket("a/b").bucket.key("packs/0"), "a/b/packs/0");
        assert_eq!(bucket("a/b").location(), "s3://b/a/b");
        assert_eq!(bucket("").location(), "s3://b");
    }

    fn given() -> Keys {
        Keys::Given { access: "a".to_owned(), secret: "s".to_owned().into() }
    }
}
