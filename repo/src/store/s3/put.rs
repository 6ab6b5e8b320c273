//! Creating objects: whole or in parts, once, and how it is told whether an answer that did not come was a yes.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ObjectLockMode, StorageClass,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes as Body;

use super::fault::{Fault, FaultKind};
use super::get::Whole;
use super::{Bucket, Created, date_after};
use crate::clock::{Clock, SystemClock};
use crate::ids::ObjectName;
use crate::units::{Bytes, LockClass, Timestamp};

/// Only if there is nothing of that name.
const IF_ABSENT: &str = "*";

impl Bucket {
    /// As [`Self::put_new`]; the first success is tried again, which a server that keeps conditions refuses.
    pub(super) async fn create(
        &self,
        name: &ObjectName,
        body: Body,
        class: LockClass,
    ) -> Result<Created, Fault> {
        let created = self.put_new(name, body.clone(), class).await?;
        if created == Created::New && !self.conditions.load(Ordering::Acquire) {
            let (name_again, body) = (name, body);
            let put = |client| self.put_once(client, name_again, body.clone(), class);
            match self.ask(Bytes::of(&body), put).await {
                Err(fault) if fault.kind == FaultKind::Taken => {
                    self.conditions.store(true, Ordering::Release)
                }
                Err(fault) => return Err(fault),
                Ok(()) => {
                    return Err(Fault::last(
                        "this server accepts If-None-Match and ignores it: two writers would overwrite each \
                         other's objects, so it cannot hold a repository",
                    ));
                }
            }
        }
        Ok(created)
    }

    /// Puts an object that must not exist yet.
    pub(super) async fn put_new(
        &self,
        name: &ObjectName,
        body: Body,
        class: LockClass,
    ) -> Result<Created, Fault> {
        // Whether an attempt may have succeeded without our learning it.
        let doubtful = AtomicBool::new(false);
        let length = Bytes::of(&body);
        let put = self.ask(length, |client| {
            let (doubtful, body) = (&doubtful, body.clone());
            async move {
                // Set while we wait, so that an attempt that is given up leaves its doubt behind.
                let before = doubtful.swap(true, Ordering::AcqRel);
                let parts = length > self.settings.bounds.part_size;
                let answer = if parts {
                    self.put_in_parts(&client, name, body, class).await
                } else {
                    self.put_once(client, name, body, class).await
                };
                match &answer {
                    Err(fault) if fault.ambiguous => {}
                    _ => doubtful.store(before, Ordering::Release),
                }
                answer
            }
        });
        match put.await {
            Ok(()) => Ok(Created::New),
            Err(fault) if fault.kind == FaultKind::Taken => {
                if doubtful.load(Ordering::Acquire) && self.is_ours(name, &body).await? {
                    Ok(Created::New)
                } else {
                    Ok(Created::Exists)
                }
            }
            Err(fault) => Err(fault),
        }
    }

    /// Whether an object is the one we tried to put. The server checked the SHA-256 of what it took, and names that we
    /// may not read (packs, keys) are such that nobody else can hit on them: there the length tells enough.
    async fn is_ours(&self, name: &ObjectName, body: &Body) -> Result<bool, Fault> {
        let length = Bytes::of(body);
        match self.read(name, length).await {
            Ok(Whole::Read(found)) => Ok(found == body.as_ref()),
            Ok(Whole::TooLong(_)) => Ok(false),
            Err(fault) if fault.kind == FaultKind::Denied => {
                Ok(self.stat(name).await?.is_some_and(|listed| listed.length == length))
            }
            Err(fault) => Err(fault),
        }
    }

    async fn put_once(
        &self,
        client: Client,
        name: &ObjectName,
        body: Body,
        class: LockClass,
    ) -> Result<(), Fault> {
        let mut request = client
            .put_object()
            .bucket(&self.settings.bucket)
            .key(self.key(name.as_str()))
            .if_none_match(IF_ABSENT)
            .checksum_sha256(checksum_of(&body));
        if let Some(class) = self.class(name) {
            request = request.storage_class(class);
        }
        if let Some(until) = self.lock_until(name, class) {
            request =
                request.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
        }
        request.body(ByteStream::new(SdkBody::from(body))).send().await?;
        Ok(())
    }

    /// Each part with its own SHA-256; the object appears, if its name is free, when the last request says so.
    async fn put_in_parts(
        &self,
        client: &Client,
        name: &ObjectName,
        body: Body,
        class: LockClass,
    ) -> Result<(), Fault> {
        let (bucket, key) = (&self.settings.bucket, self.key(name.as_str()));
        let mut begin = client
            .create_multipart_upload()
            .bucket(bucket)
            .key(&key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256);
        if let Some(class) = self.class(name) {
            begin = begin.storage_class(class);
        }
        if let Some(until) = self.lock_until(name, class) {
            begin = begin.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(until);
        }
        let begun = begin.send().await?;
        let Some(upload) = begun.upload_id() else {
            return Err(Fault::last("the server began an upload without an id"));
        };
        let put = self.parts(client, &key, upload, body).await;
        if put.is_err() {
            // Parts that nobody ends cost money; the bucket's own rule removes them if this does not.
            let abort = client.abort_multipart_upload().bucket(bucket).key(&key).upload_id(upload);
            if let Err(error) = abort.send().await {
                tracing::debug!(reason = %Fault::of(&error).message, "an upload was left unfinished");
            }
        }
        put
    }

    async fn parts(&self, client: &Client, key: &str, upload: &str, body: Body) -> Result<(), Fault> {
        let bucket = &self.settings.bucket;
        let size = self.settings.bounds.part_size.as_usize().max(1);
        let mut rest = body;
        let mut done = Vec::new();
        for number in 1.. {
            if rest.is_empty() {
                break;
            }
            let part = rest.split_to(size.min(rest.len()));
            let checksum = checksum_of(&part);
            let answer = client
                .upload_part()
                .bucket(bucket)
                .key(key)
                .upload_id(upload)
                .part_number(number)
                .checksum_sha256(&checksum)
                .body(ByteStream::new(SdkBody::from(part)))
                .send()
                .await?;
            let etag = answer.e_tag().map(str::to_owned);
            done.push(
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(etag)
                    .checksum_sha256(checksum)
                    .build(),
            );
        }
        client
            .complete_multipart_upload()
            .bucket(bucket)
            .key(key)
            .upload_id(upload)
            .if_none_match(IF_ABSENT)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(done)).build())
            .send()
            .await?;
        Ok(())
    }

    /// Packs may lie in a cheaper class; what is read every night may not.
    fn class(&self, name: &ObjectName) -> Option<StorageClass> {
        let class = self.settings.storage_class.as_deref()?;
        (name.parts().next() == Some("packs")).then(|| StorageClass::from(class))
    }

    fn lock_until(&self, name: &ObjectName, class: LockClass) -> Option<DateTime> {
        self.settings.locks.of(name, class).map(|by| date_after(self.moment(), by))
    }

    /// The time by the server's latest answer, else by this machine.
    fn moment(&self) -> Timestamp {
        self.date.seconds().map_or_else(|| SystemClock.now(), |seconds| Timestamp::new(seconds, 0))
    }
}

/// SHA-256 as S3 writes it.
pub(super) fn checksum_of(bytes: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, bytes))
}
