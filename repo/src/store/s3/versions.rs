//! Versions: which names have more than one, reading one, and making one the newest again.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_sdk_s3::types::ObjectLockMode;
use bytes::Bytes as Body;

use super::Bucket;
use super::fault::{Fault, FaultKind};
use super::put::checksum_of;
use crate::ids::ObjectName;
use crate::store::versions::{Version, VersionId, Versioned};
use crate::units::{Bytes, Timestamp};

/// A version as a page shows it, and whether it is the newest.
type Shown = (Version, bool);

impl Bucket {
    /// Names below a prefix with more than one version, or hidden by a marker. A bucket without versions has none.
    pub(super) async fn versioned(&self, prefix: &str) -> Result<Vec<Versioned>, Fault> {
        let shown = match self.all_versions(&self.key(prefix)).await {
            Err(fault) if fault.kind == FaultKind::Unsupported => return Ok(Vec::new()),
            shown => shown?,
        };
        let base = self.key("");
        let mut found = Vec::new();
        for (key, mut versions) in shown {
            let Ok(name) = key.strip_prefix(&base).unwrap_or(&key).parse::<ObjectName>() else { continue };
            // The newest last; what is as old as another keeps the order of the listing, which is newest first.
            versions.reverse();
            versions.sort_by_key(|(version, newest)| (*newest, version.modified));
            let versions: Vec<Version> = versions.into_iter().map(|(version, _)| version).collect();
            let disturbed = versions.len() > 1 || versions.iter().any(Version::is_marker);
            found.extend(disturbed.then_some(Versioned { name, versions }));
        }
        Ok(found)
    }

    pub(super) async fn read_version(
        &self,
        name: &ObjectName,
        version: &VersionId,
        limit: Bytes,
    ) -> Result<Vec<u8>, Fault> {
        self.ask(limit, |client| async move {
            let request = client.get_object().bucket(&self.settings.bucket).key(self.key(name.as_str()));
            let answer = request.version_id(&version.0).send().await?;
            let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
            if length.is_none_or(|length| length > limit.0) {
                return Err(Fault::last("a version is longer than what may lie there"));
            }
            let bytes = answer.body.collect().await;
            let bytes = bytes.map_err(|error| Fault::passing(format!("the answer broke off: {error}")))?;
            Ok(bytes.into_bytes().to_vec())
        })
        .await
    }

    /// Removes what lies over a version; where that is locked, puts the version's content over it.
    pub(super) async fn reinstate(
        &self,
        name: &ObjectName,
        version: &VersionId,
        limit: Bytes,
    ) -> Result<(), Fault> {
        let key = self.key(name.as_str());
        let mut all = self.all_versions(&key).await?.remove(&key).unwrap_or_default();
        all.reverse();
        all.sort_by_key(|(version, newest)| (*newest, version.modified));
        let at = all.iter().position(|(one, _)| one.id == *version);
        let at = at.ok_or_else(|| Fault::last("the version is gone"))?;
        // A marker is never wanted, and one of the same second as the version may seem to be older.
        let (earlier, later) = all.split_at(at);
        let markers = earlier.iter().filter(|(one, _)| one.is_marker());
        let over = markers.chain(later.iter().skip(1));
        let mut locked = false;
        // The newest goes last, so that nothing older comes to light but what shall.
        for (one, _) in over {
            match self.delete_version(name, Some(&one.id.0)).await {
                Ok(()) => {}
                Err(fault) if fault.kind == FaultKind::Denied => locked = true,
                Err(fault) => return Err(fault),
            }
        }
        if !locked {
            return Ok(());
        }
        let content = Body::from(self.read_version(name, version, limit).await?);
        let until = self.lock_of_version(name, version).await?;
        self.ask(Bytes::of(&content), |client| {
            let content = content.clone();
            async move {
                let request = client.put_object().bucket(&self.settings.bucket).key(self.key(name.as_str()));
                let mut request = request.checksum_sha256(checksum_of(&content));
                if let Some(until) = until {
                    request = request.object_lock_mode(ObjectLockMode::Compliance);
                    request = request.object_lock_retain_until_date(until);
                }
                request.body(ByteStream::new(SdkBody::from(content))).send().await?;
                Ok(())
            }
        })
        .await
    }

    async fn lock_of_version(
        &self,
        name: &ObjectName,
        version: &VersionId,
    ) -> Result<Option<DateTime>, Fault> {
        let asked = self.ask(Bytes::ZERO, |client| async move {
            let request =
                client.get_object_retention().bucket(&self.settings.bucket).key(self.key(name.as_str()));
            Ok(request.version_id(&version.0).send().await?)
        });
        match asked.await {
            Ok(answer) => Ok(answer.retention().and_then(|retention| retention.retain_until_date().copied())),
            // A lock that cannot be read is no reason to leave the object hidden.
            Err(_) => Ok(None),
        }
    }

    async fn all_versions(&self, prefix: &str) -> Result<BTreeMap<String, Vec<Shown>>, Fault> {
        let mut found: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
        let mut after = (None::<String>, None::<String>);
        loop {
            let from = &after;
            let page = self
                .ask(Bytes::ZERO, |client| async move {
                    let request = client.list_object_versions().bucket(&self.settings.bucket).prefix(prefix);
                    let request = request.set_key_marker(from.0.clone());
                    Ok(request.set_version_id_marker(from.1.clone()).send().await?)
                })
                .await?;
            take(&page, &mut found)?;
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            let next =
                (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
            if next == after || next.0.is_none() {
                return Err(Fault::last("the listing of versions leads nowhere"));
            }
            after = next;
        }
    }
}

fn take(page: &ListObjectVersionsOutput, found: &mut BTreeMap<String, Vec<Shown>>) -> Result<(), Fault> {
    let mut add = |key: Option<&str>,
                   id: Option<&str>,
                   modified: Option<&DateTime>,
                   length: Option<Bytes>,
                   newest: Option<bool>| {
        let (Some(key), Some(modified)) = (key, modified) else {
            return Err(Fault::last("the listing of versions does not say which, or of when"));
        };
        // What a bucket held before it kept versions has none but this.
        let id = VersionId(id.unwrap_or("null").to_owned());
        let modified = Timestamp::new(modified.secs(), modified.subsec_nanos());
        let version = Version { id, modified, length };
        found.entry(key.to_owned()).or_default().push((version, newest != Some(false)));
        Ok(())
    };
    for version in page.versions() {
        let length = version.size().and_then(|size| u64::try_from(size).ok()).map(Bytes);
        let length = length.or(Some(Bytes::ZERO));
        add(version.key(), version.version_id(), version.last_modified(), length, version.is_latest())?;
    }
    for marker in page.delete_markers() {
        add(marker.key(), marker.version_id(), marker.last_modified(), None, marker.is_latest())?;
    }
    Ok(())
}
