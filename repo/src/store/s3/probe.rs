//! What `doctor` tries on a bucket besides the contract of all stores: whether a wrong checksum is noticed, and
//! whether a lock holds. A 200 to a header proves nothing; some servers accept what they ignore.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ObjectLockMode;

use super::fault::{Fault, FaultKind};
use super::{Bucket, S3Store, date_after};
use crate::ids::ObjectName;
use crate::store::contract::{Check, Outcome};
use crate::units::{Bytes, Timestamp};

/// SHA-256 of nothing, in base 64: right for no object that holds something.
const WRONG_CHECKSUM: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
/// How long the probe's lock holds: long enough to try to delete it, short enough to wait for.
const LOCK: Duration = Duration::from_secs(10);

pub(super) fn probe(store: &S3Store, scratch: &ObjectName) -> Vec<Check> {
    let bucket = &store.bucket;
    let name = |last: &str| format!("{scratch}/{last}").parse::<ObjectName>();
    let mut checks = Vec::new();
    let outcome = name("checksum").map_or_else(
        |error| Outcome::NotRun(error.to_string()),
        |name| store.wait(bucket.wrong_checksum(&name)).unwrap_or_else(not_run),
    );
    checks.push(Check { name: "an object that does not match its checksum is refused", outcome });
    if bucket.settings.locks.normal.is_some() {
        let outcome = name("locked").map_or_else(
            |error| Outcome::NotRun(error.to_string()),
            |name| store.wait(bucket.lock_holds(&name)).unwrap_or_else(not_run),
        );
        checks.push(Check { name: "what is locked cannot be deleted, and the lock not shortened", outcome });
    }
    checks
}

fn not_run(fault: Fault) -> Outcome {
    Outcome::NotRun(fault.message)
}

impl Bucket {
    async fn wrong_checksum(&self, name: &ObjectName) -> Result<Outcome, Fault> {
        let put = |client: aws_sdk_s3::Client| async move {
            let request = client.put_object().bucket(&self.settings.bucket).key(self.key(name.as_str()));
            let request = request.checksum_sha256(WRONG_CHECKSUM).body(ByteStream::from_static(b"something"));
            Ok::<_, Fault>(request.send().await?)
        };
        // Asked once: a refusal for this reason looks like damage on the way, which is worth another attempt elsewhere.
        let answer = put(self.client()).await;
        let there = self.stat(name).await?.is_some();
        Ok(match (answer, there) {
            (Ok(_), _) | (Err(_), true) => Outcome::Failed(
                "an object with a wrong SHA-256 was stored; damage on the way would be found by `verify` only"
                    .to_owned(),
            ),
            (Err(_), false) => Outcome::Passed,
        })
    }

    async fn lock_holds(&self, name: &ObjectName) -> Result<Outcome, Fault> {
        let now = self.now().await?;
        let until = date_after(now, LOCK);
        let put = self.ask(Bytes::ZERO, |client| async move {
            let request = client.put_object().bucket(&self.settings.bucket).key(self.key(name.as_str()));
            let request = request
                .object_lock_mode(ObjectLockMode::Compliance)
                .object_lock_retain_until_date(until)
                .body(ByteStream::from_static(b"locked"));
            Ok(request.send().await?)
        });
        if let Err(fault) = put.await {
            return Ok(Outcome::Failed(format!(
                "locks are configured, and the bucket takes none (it must be made with Object Lock): {}",
                fault.message
            )));
        }
        let outcome = self.try_to_break(name, now).await;
        self.wait_for_end(now).await?;
        self.delete(name).await?;
        outcome
    }

    async fn try_to_break(&self, name: &ObjectName, now: Timestamp) -> Result<Outcome, Fault> {
        let broken = |what: &str| Ok(Outcome::Failed(what.to_owned()));
        let shortened = self.put_retention(self.client(), name, now.plus(Duration::from_secs(1))).await;
        match self.locked_until(name).await {
            Ok(Some(until)) if until > now.plus(LOCK / 2) => {}
            Ok(Some(_)) => return broken("a lock was shortened"),
            Ok(None) => return broken("the lock was accepted, and there is none"),
            Err(fault) => return Err(fault),
        }
        drop(shortened);
        match self.delete(name).await {
            Err(fault) if fault.kind == FaultKind::Denied => {}
            Err(fault) => return Err(fault),
            Ok(_) => return broken("a locked object was deleted"),
        }
        if self.stat(name).await?.is_none() {
            return broken("a locked object is gone");
        }
        Ok(Outcome::Passed)
    }

    /// By the server's clock, so that a clock that is wrong here costs nothing.
    async fn wait_for_end(&self, from: Timestamp) -> Result<(), Fault> {
        while self.now().await? <= from.plus(LOCK) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }
}
