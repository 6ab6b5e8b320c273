//! Frames around the plain forms: signatures, age, zstd, key files. What stock tools make of the same bytes is the
//! yardstick.

#![expect(clippy::indexing_slicing, reason = "test support fails loudly")]

use std::io::Read;

use lifeboat_repo::crypto::sign::VerifyError;
use lifeboat_repo::crypto::{
    Compressor, Decompressor, Identity, Level, SshsigBlock, open_into, read_identity_file, seal_into,
    split_object, verify,
};
use lifeboat_repo::units::Bytes;

/// The identity that corpora are sealed to. It protects nothing.
pub const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

/// What may come out of the frames of a corpus.
const UNPACKED_MAX: Bytes = Bytes::mib(1);

/// Longer inputs are not given to age's own parser, which is quadratic.
const FOR_STOCK_AGE: usize = 8 << 10;

fn identity() -> Identity {
    IDENTITY.parse().expect("an identity")
}

fn by_stock_age(sealed: &[u8]) -> Option<Vec<u8>> {
    let identity: age::x25519::Identity = IDENTITY.parse().expect("an identity");
    let decryptor = age::Decryptor::new_buffered(sealed).ok()?;
    let mut reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).ok()?;
    let mut plain = Vec::new();
    reader.read_to_end(&mut plain).ok()?;
    Some(plain)
}

/// An age file gives what age itself gives, or nothing.
pub(super) fn age(bytes: &[u8]) -> bool {
    let mut plain = b"before".to_vec();
    let opened = open_into(bytes, &[identity()], &mut plain);
    assert!(opened.is_ok() || plain.is_empty());
    assert!(plain.len() <= bytes.len());
    if bytes.len() <= FOR_STOCK_AGE {
        assert_eq!(by_stock_age(bytes), opened.as_ref().ok().map(|()| plain), "{opened:?}");
    }
    opened.is_ok()
}

/// No change of an age file passes. The bytes are pairs of place and change.
pub(super) fn age_edits(bytes: &[u8]) -> bool {
    let plain: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let mut sealed = Vec::new();
    seal_into(&plain, &[identity().recipient()], &mut sealed).expect("an age file");
    let mut edited = sealed.clone();
    for edit in bytes.chunks_exact(4).take(64) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) * (1 + usize::from(edit[2] & 3));
        let length = edited.len();
        match edit[2] >> 4 {
            0 => edited.truncate(at.min(length)),
            1 => edited.extend_from_slice(edit),
            2 => edited.rotate_left(at.min(length)),
            _ => {
                if let Some(byte) = edited.get_mut(at) {
                    *byte ^= edit[3];
                }
            }
        }
    }
    let mut opened = Vec::new();
    let outcome = open_into(&edited, &[identity()], &mut opened);
    assert_eq!(outcome.is_ok(), edited == sealed, "{outcome:?}");
    assert_eq!(opened.is_empty(), outcome.is_err());
    outcome.is_ok()
}

/// Frames give what zstd itself gives, and never more than the limit.
pub(super) fn zstd(bytes: &[u8]) -> bool {
    let mut codec = Decompressor::new().expect("a decompressor");
    let mut plain = Vec::new();
    let done = codec.decompress_into(bytes, UNPACKED_MAX, &mut plain);
    assert!(Bytes::of(&plain) <= UNPACKED_MAX && plain.capacity() as u64 <= UNPACKED_MAX.0);
    let mut stock = Vec::new();
    let stocks = zstd::stream::read::Decoder::with_buffer(bytes)
        .and_then(|decoder| decoder.take(UNPACKED_MAX.0 + 1).read_to_end(&mut stock));
    // Each refuses forgeries that the other takes: the one-shot decoder that we use takes run-length blocks beyond the
    // format's length, the streaming one frames that are emptier than they say. What both take is the same.
    match (&done, stocks) {
        (Ok(()), Ok(_)) => assert_eq!(stock, plain),
        (Ok(()), Err(_)) => {}
        (Err(_), _) => assert!(plain.is_empty()),
    }
    if done.is_ok() {
        let mut packed = Vec::new();
        let mut compressor = Compressor::new().expect("a compressor");
        compressor.compress_into(&plain, Level::FAST, &mut packed).expect("zstd");
        let mut again = Vec::new();
        codec.decompress_into(&packed, Bytes::of(&plain), &mut again).expect("a frame");
        assert_eq!(again, plain);
    }
    done.is_ok()
}

/// A signature holds for the body it was made over, in the namespace it names, and for no other.
pub(super) fn signed(bytes: &[u8]) -> bool {
    let Ok((block, body)) = split_object(bytes) else { return false };
    assert!(bytes.ends_with(body) && bytes.len() - body.len() <= 4096);
    let holds = |block: &SshsigBlock, body: &[u8], namespace: &str| verify(block, body, namespace);
    let namespace = block.namespace().to_owned();
    assert!(matches!(holds(&block, body, &format!("{namespace}x")), Err(VerifyError::Renamed { .. })));
    let longer = [body, b"\n"].concat();
    assert!(holds(&block, &longer, &namespace).is_err());
    match holds(&block, body, &namespace) {
        Ok(key) => {
            assert_eq!(key, block.public_key());
            true
        }
        Err(error) => {
            assert_eq!(error, VerifyError::Mismatch);
            false
        }
    }
}

/// Key files: identities are taken whole or refused with the line.
pub(super) fn identities(bytes: &[u8]) -> bool {
    drop(lifeboat_repo::crypto::SigningKey::from_openssh(bytes));
    match read_identity_file(bytes) {
        Ok(identities) => {
            assert!(!identities.is_empty());
            for identity in &identities {
                let again: Identity = identity.to_secret_string().parse().expect("an identity");
                assert_eq!(again.recipient(), identity.recipient());
            }
            true
        }
        Err(error) => {
            assert!(!error.to_string().contains("AGE-SECRET-KEY-1Q"), "a secret in an error");
            false
        }
    }
}
