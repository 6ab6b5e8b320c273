//! Hashes, compression, cut points, encryption and signatures: the stored form, without I/O.
//!
//! Everything that leaves a machine is sealed to age recipients ([`envelope`]) and named or signed ([`hash`],
//! [`sign`]); stock `age`, `zstd`, `sha256sum` and `ssh-keygen` read all of it, and the tests here hold us to
//! that. Every function that takes stored bytes is total: any bytes give a value or an error, never a panic,
//! and never more memory than the input or a stated limit.
//!
//! | module       | what it is                                                          |
//! | ------------ | ------------------------------------------------------------------- |
//! | [`hash`]     | SHA-256 for strangers, BLAKE3 for segments and chunks               |
//! | [`chunk`]    | content-defined cut points under a secret gear table                |
//! | [`codec`]    | zstd with reused contexts and a cap on what comes out               |
//! | [`identity`] | age recipients and identities as text                               |
//! | [`envelope`] | whole age files: header by the age crate, payload at machine speed  |
//! | [`ssh`]      | Ed25519 keys in OpenSSH's forms                                     |
//! | [`sign`]     | signed objects: an SSHSIG block, then the body                      |
//! | [`signers`]  | who may sign what, and when: `allowed_signers`                      |

pub mod blocks;
pub mod chunk;
pub mod codec;
pub mod envelope;
pub mod hash;
pub mod identity;
mod pattern;
pub mod sign;
pub mod signers;
pub mod ssh;
mod stream;

pub use blocks::{BLOCK_PLAIN, BlockKey, SEALED_BLOCK};
pub use chunk::{Chunker, ChunkerParams, ChunkingKey};
pub use codec::{Compressor, Decompressor, Level};
pub use envelope::{OpenError, PayloadKey, SealError, open_into, reopen_into, seal_into};
pub use hash::{ChunkIdKey, Sha256, chunk_id, segment_id, sha256};
pub use identity::{Identity, Recipient, read_identity_file};
pub use sign::{Kind, SshsigBlock, namespace, sign_object, split_object, verify};
pub use signers::{AllowedSigners, Refusal};
pub use ssh::{SigningKey, VerifyingKey};
