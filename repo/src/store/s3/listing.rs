//! Listing, looking up and deleting. A listing that does not hold together is an error, never a short list.

use std::collections::HashSet;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::Bucket;
use super::fault::{Fault, FaultKind};
use crate::ids::ObjectName;
use crate::store::Listed;
use crate::units::{Bytes, Timestamp};

/// A version of an object, or a marker that hides the versions before it.
struct Version {
    id: Option<String>,
    /// Whether it is what a reader would get.
    current: bool,
    marker: bool,
}

impl Bucket {
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Listed>, Fault> {
        let below = self.key(prefix);
        let mut listed = Vec::new();
        let mut token: Option<String> = None;
        let mut seen = HashSet::new();
        loop {
            let page = self.page(&below, token.as_deref(), None).await?;
            for object in page.contents() {
                listed.extend(self.listed(object, &below)?);
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            let next = page.next_continuation_token().filter(|next| !next.is_empty());
            let Some(next) = next else {
                return Err(Fault::last("a page of the listing says that there are more, and not where"));
            };
            if !seen.insert(next.to_owned()) {
                return Err(Fault::last("the listing leads back to a page it has shown already"));
            }
            token = Some(next.to_owned());
        }
        // Pages come in order from most servers; callers rely on it from all.
        listed.sort_by(|a: &Listed, b: &Listed| a.name.cmp(&b.name));
        let twice = listed.iter().zip(listed.iter().skip(1)).find(|(a, b)| a.name == b.name);
        match twice {
            Some((name, _)) => Err(Fault::last(format!("the listing shows {} twice", name.name))),
            None => Ok(listed),
        }
    }

    /// Looking up is listing: it needs no right to read, and says the same.
    pub(super) async fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, Fault> {
        let key = self.key(name.as_str());
        let page = self.page(&key, None, Some(1)).await?;
        // Whatever begins with the name comes after it.
        let object = page.contents().iter().find(|object| object.key() == Some(&key));
        match object {
            Some(object) => self.listed(object, &key),
            None => Ok(None),
        }
    }

    /// By the server's clock, to the second.
    pub(super) async fn now(&self) -> Result<Timestamp, Fault> {
        self.page(&self.key("lifeboat.json"), None, Some(1)).await?;
        let seconds = self.date.seconds();
        let seconds = seconds.ok_or_else(|| Fault::last("the server does not say what time it is"))?;
        Ok(Timestamp::new(seconds, 0))
    }

    async fn page(
        &self,
        prefix: &str,
        token: Option<&str>,
        most: Option<i32>,
    ) -> Result<ListObjectsV2Output, Fault> {
        self.ask(Bytes::ZERO, |client| async move {
            let request = client.list_objects_v2().bucket(&self.settings.bucket).prefix(prefix);
            let request = request.set_continuation_token(token.map(str::to_owned)).set_max_keys(most);
            let page = request.send().await?;
            let count = page.key_count().and_then(|count| usize::try_from(count).ok());
            if count.is_some_and(|count| count != page.contents().len()) {
                return Err(Fault::passing("a page of the listing holds less than it says"));
            }
            Ok(page)
        })
        .await
    }

    /// An object of a page; `None` for what is no object of ours.
    fn listed(&self, object: &aws_sdk_s3::types::Object, below: &str) -> Result<Option<Listed>, Fault> {
        let key = object.key().ok_or_else(|| Fault::last("the listing shows an object without a name"))?;
        if !key.starts_with(below) {
            return Err(Fault::last("the listing shows what was not asked for"));
        }
        let base = self.key("");
        let Ok(name) = key.strip_prefix(&base).unwrap_or(key).parse::<ObjectName>() else {
            tracing::warn!(key, "this is no object's name; passed over");
            return Ok(None);
        };
        let length = object.size().and_then(|size| u64::try_from(size).ok());
        let length =
            length.ok_or_else(|| Fault::last(format!("the listing does not say how long {name} is")))?;
        let modified = object.last_modified();
        let modified =
            modified.ok_or_else(|| Fault::last(format!("the listing does not say when {name} appeared")))?;
        let modified = Timestamp::new(modified.secs(), modified.subsec_nanos());
        Ok(Some(Listed { name, length: Bytes(length), modified }))
    }

    /// Every version goes, and every marker: in a bucket that keeps versions a deletion without a version's id hides
    /// an object and frees nothing.
    pub(super) async fn delete(&self, name: &ObjectName) -> Result<bool, Fault> {
        let versions = match self.versions(name).await {
            Ok(versions) => versions,
            Err(fault) if fault.kind == FaultKind::Unsupported => {
                let there = self.stat(name).await?.is_some();
                if there {
                    self.delete_version(name, None).await?;
                }
                return Ok(there);
            }
            Err(fault) => return Err(fault),
        };
        let there = versions.iter().any(|version| version.current && !version.marker);
        // What readers get goes last: cut off in between, an older version does not come back to light.
        for version in versions.iter().filter(|version| !version.current) {
            self.delete_version(name, version.id.as_deref()).await?;
        }
        for version in versions.iter().filter(|version| version.current) {
            self.delete_version(name, version.id.as_deref()).await?;
        }
        Ok(there)
    }

    pub(super) async fn delete_version(&self, name: &ObjectName, id: Option<&str>) -> Result<(), Fault> {
        let deleted = self.ask(Bytes::ZERO, |client| async move {
            let request = client.delete_object().bucket(&self.settings.bucket).key(self.key(name.as_str()));
            request.set_version_id(id.map(str::to_owned)).send().await?;
            Ok(())
        });
        match deleted.await {
            Err(fault) if fault.kind == FaultKind::Missing => Ok(()),
            other => other,
        }
    }

    async fn versions(&self, name: &ObjectName) -> Result<Vec<Version>, Fault> {
        let key = &self.key(name.as_str());
        let mut versions = Vec::new();
        let (mut after_key, mut after_version) = (None::<String>, None::<String>);
        loop {
            let (from_key, from_version) = (&after_key, &after_version);
            let page = self
                .ask(Bytes::ZERO, |client| async move {
                    let request = client.list_object_versions().bucket(&self.settings.bucket).prefix(key);
                    let request = request.set_key_marker(from_key.clone());
                    Ok(request.set_version_id_marker(from_version.clone()).send().await?)
                })
                .await?;
            for version in page.versions().iter().filter(|version| version.key() == Some(key)) {
                let id = version.version_id().map(str::to_owned);
                versions.push(Version { id, current: version.is_latest() != Some(false), marker: false });
            }
            for marker in page.delete_markers().iter().filter(|marker| marker.key() == Some(key)) {
                let id = marker.version_id().map(str::to_owned);
                versions.push(Version { id, current: marker.is_latest() != Some(false), marker: true });
            }
            let next = (page.next_key_marker(), page.next_version_id_marker());
            let next = (next.0.map(str::to_owned), next.1.map(str::to_owned));
            // Keys that begin with this one's name come after it and are of no interest.
            if page.is_truncated() != Some(true) || next.0.as_deref() != Some(key) {
                return Ok(versions);
            }
            if next == (after_key.clone(), after_version.clone()) {
                return Err(Fault::last("the listing of versions leads nowhere"));
            }
            (after_key, after_version) = next;
        }
    }
}
