//! The payload of an age file: STREAM, 64 KiB chunks of ChaCha20-Poly1305.
//!
//! Source: <https://c2sp.org/age#payload>. The nonce is an 11-byte big-endian counter and a byte that is 1 for
//! the last chunk only; every chunk but the last is full; the last is empty only where the whole plaintext is.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

/// What a chunk holds. Fixed by age.
const CHUNK: usize = 64 * 1024;
/// What Poly1305 adds to a chunk.
const TAG: usize = 16;
const SEALED_CHUNK: usize = CHUNK + TAG;
/// The nonce between header and payload, the salt of the payload key.
pub(super) const NONCE: usize = 16;

/// The key of one payload.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// The payload key of a file: HKDF-SHA256 of its file key, salted with its nonce.
pub(super) fn payload_key(file_key: &[u8; 16], nonce: &[u8]) -> Result<Key, Unspecified> {
    let mut key = Zeroizing::new([0; 32]);
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, nonce);
    salt.extract(file_key).expand(&[b"payload"], hkdf::HKDF_SHA256)?.fill(key.as_mut_slice())?;
    Ok(key)
}

/// How many bytes `plain` bytes become.
pub(super) const fn sealed_len(plain: usize) -> usize {
    let chunks = if plain == 0 { 1 } else { plain.div_ceil(CHUNK) };
    plain.saturating_add(chunks.saturating_mul(TAG))
}

/// How many bytes `sealed` bytes hold, or the chunk that no sealer could have left so short.
pub(super) const fn plain_len(sealed: usize) -> Result<usize, BadChunk> {
    let chunks = sealed.div_ceil(SEALED_CHUNK);
    let Some(last) = chunks.checked_sub(1) else { return Err(BadChunk(0)) };
    let tail = sealed - last * SEALED_CHUNK;
    if tail < TAG || (tail == TAG && last > 0) {
        return Err(BadChunk(last as u64));
    }
    Ok(sealed - chunks * TAG)
}

/// The chunk (from 0) that is damaged, cut off or followed by something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadChunk(pub(super) u64);

/// Seals `plain` into `sealed`, which must be [`sealed_len`] bytes; whatever it held is overwritten.
pub(super) fn seal(key: &Key, plain: &[u8], sealed: &mut [u8]) -> Result<(), Unspecified> {
    let key = aead(key)?;
    let chunks = plain.chunks(CHUNK).chain(plain.is_empty().then_some(plain));
    let mut left = plain.len();
    let mut count = 0;
    for (at, (from, to)) in (0..).zip(chunks.zip(sealed.chunks_mut(SEALED_CHUNK))) {
        left = left.saturating_sub(from.len());
        let (text, tag) = to.split_at_mut_checked(from.len()).ok_or(Unspecified)?;
        key.seal_out_of_place_scatter(nonce(at, left == 0), Aad::empty(), from, text, &[], tag)?;
        count += 1;
    }
    // A destination of another length would leave chunks unsealed.
    if sealed.len() == sealed_len(plain.len()) && count == sealed.len().div_ceil(SEALED_CHUNK) {
        Ok(())
    } else {
        Err(Unspecified)
    }
}

/// Opens `sealed` into `plain`, which must be [`plain_len`] bytes. On an error `plain` holds nothing to rely on.
pub(super) fn open(key: &Key, sealed: &[u8], plain: &mut [u8]) -> Result<(), BadChunk> {
    let key = aead(key).map_err(|Unspecified| BadChunk(0))?;
    if plain_len(sealed.len())? != plain.len() {
        return Err(BadChunk(0));
    }
    let mut rest = plain;
    let mut left = sealed.len();
    for (at, from) in (0..).zip(sealed.chunks(SEALED_CHUNK)) {
        left = left.saturating_sub(from.len());
        let (text, tag) = from.split_last_chunk::<TAG>().ok_or(BadChunk(at))?;
        let (here, later) = rest.split_at_mut_checked(text.len()).ok_or(BadChunk(at))?;
        key.open_separate_gather(nonce(at, left == 0), Aad::empty(), text, tag, here)
            .map_err(|Unspecified| BadChunk(at))?;
        rest = later;
    }
    Ok(())
}

fn aead(key: &Key) -> Result<LessSafeKey, Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key.as_slice())?))
}

/// The nonce of chunk `at`. Unique for its key: counters do not repeat within a file, and no two files share a
/// payload key.
fn nonce(at: u64, last: bool) -> Nonce {
    let [_, _, _, _, bytes @ ..] = ((u128::from(at) << 8) | u128::from(last)).to_be_bytes();
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_go_both_ways() {
        for plain in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 4 * 1024 * 1024 + 3] {
            assert_eq!(plain_len(sealed_len(plain)), Ok(plain));
        }
        for (sealed, chunk) in [(0, 0), (15, 0), (SEALED_CHUNK + 1, 1), (SEALED_CHUNK + TAG, 1)] {
            assert_eq!(plain_len(sealed), Err(BadChunk(chunk)));
        }
    }

    #[test]
    fn a_destination_of_the_wrong_length_is_refused() {
        let key = Zeroizing::new([1; 32]);
        for wrong in [0, TAG, sealed_len(CHUNK + 1) - 1, sealed_len(CHUNK + 1) + 1, 3 * SEALED_CHUNK] {
            assert!(seal(&key, &[0; CHUNK + 1], &mut vec![0; wrong]).is_err(), "{wrong}");
        }
        assert!(seal(&key, &[], &mut []).is_err());
        assert!(open(&key, &[0; TAG], &mut [0]).is_err());
    }

    #[test]
    fn an_empty_last_chunk_after_a_full_one_is_refused_though_its_tag_is_right() {
        let key = Zeroizing::new([1; 32]);
        let cipher = aead(&key).ok();
        let mut sealed = vec![0; SEALED_CHUNK + TAG];
        let (first, second) = sealed.split_at_mut(SEALED_CHUNK);
        for (at, last, plain, to) in [(0, false, vec![7; CHUNK], first), (1, true, Vec::new(), second)] {
            let (text, tag) = to.split_at_mut(plain.len());
            let sealed = cipher
                .as_ref()
                .map(|c| c.seal_out_of_place_scatter(nonce(at, last), Aad::empty(), &plain, text, &[], tag));
            assert!(matches!(sealed, Some(Ok(()))));
        }
        assert_eq!(plain_len(sealed.len()), Err(BadChunk(1)));
        assert_eq!(open(&key, &sealed, &mut vec![0; CHUNK]), Err(BadChunk(1)));
    }
}
