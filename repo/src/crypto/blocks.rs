//! Blocks of one length, each sealed by itself, so that any of them is opened without the others.
//!
//! For what a host keeps for itself. AES-256-GCM, whose tag makes a page of the plain length a page on disk; the
//! nonce is the block's number, so a block opens in its own place only. A key seals one file, once.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

/// Content of a block.
pub const BLOCK_PLAIN: usize = SEALED_BLOCK - TAG;
/// A block as it lies on disk: a page of memory.
pub const SEALED_BLOCK: usize = 4096;
/// What GCM adds.
const TAG: usize = 16;

/// The key of one file of blocks.
pub struct BlockKey(LessSafeKey);

/// A block that is not what was sealed, at that number, under that key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block is damaged, or belongs elsewhere")]
pub struct BadBlock;

impl From<Unspecified> for BadBlock {
    fn from(Unspecified: Unspecified) -> Self {
        Self
    }
}

impl BlockKey {
    /// The key for `context` under a secret. No two files may have one context.
    ///
    /// # Errors
    /// Never; the library cannot know.
    pub fn derive(secret: &[u8], context: &str) -> Result<Self, BadBlock> {
        let mut key = Zeroizing::new([0; 32]);
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"lifeboat blocks 0");
        salt.extract(secret).expand(&[context.as_bytes()], hkdf::HKDF_SHA256)?.fill(key.as_mut_slice())?;
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice())?)))
    }

    /// Seals the first [`BLOCK_PLAIN`] bytes in place; the tag follows them.
    ///
    /// # Errors
    /// Never; the library cannot know.
    pub fn seal(&self, number: u64, block: &mut [u8; SEALED_BLOCK]) -> Result<(), BadBlock> {
        let (plain, to) = block.split_at_mut(BLOCK_PLAIN);
        let tag = self.0.seal_in_place_separate_tag(nonce(number), Aad::empty(), plain)?;
        to.copy_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens a block in place.
    ///
    /// # Errors
    /// It is not the block of this number that this key sealed.
    pub fn open<'b>(&self, number: u64, block: &'b mut [u8; SEALED_BLOCK]) -> Result<&'b [u8], BadBlock> {
        Ok(self.0.open_in_place(nonce(number), Aad::empty(), block)?)
    }
}

fn nonce(number: u64) -> Nonce {
    let [_, _, _, _, bytes @ ..] = u128::from(number).to_be_bytes();
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_where_it_was_sealed_and_nowhere_else() {
        let key = BlockKey::derive(b"secret", "one").unwrap();
        let mut sealed = [7; SEALED_BLOCK];
        key.seal(3, &mut sealed).unwrap();
        assert!(!sealed[..BLOCK_PLAIN].contains(&7) || sealed[..64] != [7; 64]);
        assert_eq!(key.open(3, &mut sealed.clone()).unwrap(), [7; BLOCK_PLAIN]);
        assert_eq!(key.open(4, &mut sealed.clone()), Err(BadBlock));
        assert_eq!(BlockKey::derive(b"secret", "two").unwrap().open(3, &mut sealed.clone()), Err(BadBlock));
        assert_eq!(BlockKey::derive(b"Secret", "one").unwrap().open(3, &mut sealed.clone()), Err(BadBlock));
        for at in [0, BLOCK_PLAIN, SEALED_BLOCK - 1] {
            let mut flipped = sealed;
            flipped[at] ^= 1;
            assert_eq!(key.open(3, &mut flipped), Err(BadBlock));
        }
    }
}
