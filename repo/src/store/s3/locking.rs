//! Locks: until when nobody may delete an object, whoever asks.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockRetention, ObjectLockRetentionMode};

use super::Bucket;
use super::fault::{Fault, FaultKind};
use crate::ids::ObjectName;
use crate::units::{Bytes, Timestamp};

impl Bucket {
    pub(super) async fn locked_until(&self, name: &ObjectName) -> Result<Option<Timestamp>, Fault> {
        let asked = self.ask(Bytes::ZERO, |client| async move {
            let request =
                client.get_object_retention().bucket(&self.settings.bucket).key(self.key(name.as_str()));
            Ok(request.send().await?)
        });
        match asked.await {
            Ok(answer) => {
                let until = answer.retention().and_then(ObjectLockRetention::retain_until_date);
                Ok(until.map(|until| Timestamp::new(until.secs(), until.subsec_nanos())))
            }
            Err(fault) if is_unlocked(&fault) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Only ever longer: a lock that could be shortened would be none.
    pub(super) async fn lock(&self, name: &ObjectName, until: Timestamp) -> Result<(), Fault> {
        if self.locked_until(name).await?.is_some_and(|locked| locked >= until) {
            return Ok(());
        }
        self.ask(Bytes::ZERO, |client| self.put_retention(client, name, until)).await
    }

    pub(super) async fn put_retention(
        &self,
        client: Client,
        name: &ObjectName,
        until: Timestamp,
    ) -> Result<(), Fault> {
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Compliance)
            .retain_until_date(DateTime::from_secs(until.seconds()))
            .build();
        let request =
            client.put_object_retention().bucket(&self.settings.bucket).key(self.key(name.as_str()));
        request.retention(retention).send().await?;
        Ok(())
    }
}

/// What servers say of an object, or a bucket, without locks.
fn is_unlocked(fault: &Fault) -> bool {
    fault.kind == FaultKind::Unsupported
        || ["NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"]
            .iter()
            .any(|code| fault.message.contains(code))
}
