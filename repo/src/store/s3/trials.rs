//! What tests and trials do with a bucket that Lifeboat never does.

use super::{S3Settings, S3Store};
use crate::ids::ObjectName;
use crate::store::StoreError;
use crate::units::Bytes;

/// Makes a bucket, with Object Lock if that is wanted: versions are kept then, and locks can be set. Whoever runs
/// a bucket makes it as its provider says; this is for tests and trials.
///
/// # Errors
/// The server refused or failed.
pub fn make_bucket(settings: &S3Settings, locks: bool) -> Result<(), StoreError> {
    let store = S3Store::open(settings.clone())?;
    let bucket = &store.bucket;
    let made = store.wait(bucket.ask(Bytes::ZERO, |client| async move {
        let request = client.create_bucket().bucket(&settings.bucket);
        request.object_lock_enabled_for_bucket(locks).send().await?;
        Ok(())
    }));
    made.map_err(|fault| store.fail("make", &settings.bucket, fault))
}

/// Sets a bucket's policy; for tests, as [`make_bucket`].
///
/// # Errors
/// The server refused or failed.
pub fn set_policy(settings: &S3Settings, policy: &str) -> Result<(), StoreError> {
    let store = S3Store::open(settings.clone())?;
    let bucket = &store.bucket;
    let set = store.wait(bucket.ask(Bytes::ZERO, |client| async move {
        client.put_bucket_policy().bucket(&settings.bucket).policy(policy).send().await?;
        Ok(())
    }));
    set.map_err(|fault| store.fail("set the policy of", &settings.bucket, fault))
}

/// What somebody with stolen credentials tries who does not use Lifeboat: deleting without a version, and putting over
/// what is there without a condition; for tests.
///
/// # Errors
/// The server refused or failed: first of the deletion, then of the overwriting.
pub fn attack(settings: &S3Settings, name: &ObjectName) -> [Result<(), StoreError>; 2] {
    [hide(settings, name), overlay(settings, name)]
}

/// Deletes an object without a version: in a bucket that keeps versions, a marker hides it; for tests.
///
/// # Errors
/// The server refused or failed.
pub fn hide(settings: &S3Settings, name: &ObjectName) -> Result<(), StoreError> {
    let store = S3Store::open(settings.clone())?;
    let (bucket, key) = (&store.bucket, store.bucket.key(name.as_str()));
    let asked = store.wait(bucket.ask(Bytes::ZERO, |client| {
        let key = key.clone();
        async move {
            client.delete_object().bucket(&settings.bucket).key(key).send().await?;
            Ok(())
        }
    }));
    asked.map_err(|fault| store.fail("hide", name.as_str(), fault))
}

/// Puts something over an object, without a condition; for tests.
///
/// # Errors
/// The server refused or failed.
pub fn overlay(settings: &S3Settings, name: &ObjectName) -> Result<(), StoreError> {
    let store = S3Store::open(settings.clone())?;
    let (bucket, key) = (&store.bucket, store.bucket.key(name.as_str()));
    let asked = store.wait(bucket.ask(Bytes::ZERO, |client| {
        let key = key.clone();
        async move {
            let body = aws_sdk_s3::primitives::ByteStream::from_static(b"forged");
            client.put_object().bucket(&settings.bucket).key(key).body(body).send().await?;
            Ok(())
        }
    }));
    asked.map_err(|fault| store.fail("overlay", name.as_str(), fault))
}
