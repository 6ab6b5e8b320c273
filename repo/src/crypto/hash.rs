//! Two hashes, each for its audience: SHA-256 is what strangers and object stores check, BLAKE3 names content.

use std::fmt;

use aws_lc_rs::digest;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{ChunkId, SegmentId};

/// SHA-256 of `bytes`, as `sha256sum` prints it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    as_array(&digest::digest(&digest::SHA256, bytes))
}

/// The UUID of version 5 (RFC 9562) that this name has in that namespace, as 16 bytes. SHA-1 is what that version is made
/// of; nothing is proven by it.
#[must_use]
pub fn uuid_v5(namespace: &[u8; 16], name: &[u8]) -> [u8; 16] {
    let hashed = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[namespace.as_slice(), name].concat());
    let mut uuid = [0; 16];
    for (byte, hashed) in uuid.iter_mut().zip(hashed.as_ref()) {
        *byte = *hashed;
    }
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
    *version = *version & 0x0f | 0x50;
    *variant = *variant & 0x3f | 0x80;
    uuid
}

/// SHA-256 of what arrives in parts.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// The hash of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Appends `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything appended.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        as_array(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha256").finish_non_exhaustive()
    }
}

/// A SHA-256 digest is 32 bytes by definition; copying pairwise needs no way to fail.
fn as_array(digest: &digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    bytes
}

/// The secret that chunk ids of one tenant key are made with: `K_id`. Without it an id says nothing about its
/// chunk, not even to someone who guesses the content.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChunkIdKey([u8; 32]);

impl ChunkIdKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for ChunkIdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkIdKey(redacted)")
    }
}

/// The name of a chunk of plaintext under its tenant key.
#[must_use]
pub fn chunk_id(key: &ChunkIdKey, chunk: &[u8]) -> ChunkId {
    ChunkId::from_bytes(*blake3::keyed_hash(&key.0, chunk).as_bytes())
}

/// The name of a segment, from its stored bytes.
#[must_use]
pub fn segment_id(stored: &[u8]) -> SegmentId {
    SegmentId::from_bytes(*blake3::hash(stored).as_bytes())
}

/// BLAKE3 of a text, keyed with a key that is derived from a secret for one context.
#[must_use]
pub fn keyed_text(context: &'static str, secret: &[u8], text: &str) -> [u8; 32] {
    *blake3::keyed_hash(&blake3::derive_key(context, secret), text.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_of_version_5_is_what_others_make() {
        // Python: uuid.uuid5(uuid.NAMESPACE_DNS, "python.org")
        let dns = hex::decode("6ba7b8109dad11d180b400c04fd430c8").unwrap().try_into().unwrap();
        assert_eq!(hex::encode(uuid_v5(&dns, b"python.org")), "886313e13b8a53729b900c9aee199e5d");
    }

    #[test]
    fn sha256_is_what_sha256sum_prints() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(sha256(b"abc")), abc);
        let mut parts = Sha256::new();
        parts.update(b"a");
        parts.update(b"");
        parts.update(b"bc");
        assert_eq!(hex::encode(parts.finish()), abc);
        assert_eq!(
            hex::encode(Sha256::default().finish()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn blake3_is_what_b3sum_prints() {
        assert_eq!(
            segment_id(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        // BLAKE3's own test vectors: key "whats the Elvish word for friend", input of one byte 0.
        let key = ChunkIdKey::from_bytes(*b"whats the Elvish word for friend");
        assert_eq!(
            chunk_id(&key, &[0]).to_string(),
            "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"
        );
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", ChunkIdKey::from_bytes([7; 32])), "ChunkIdKey(redacted)");
    }
}
