//! age files at machine speed.
//!
//! The age crate writes the header and checks its MAC; what wraps or unwraps the file key is its code. We only
//! look over its shoulder: a recipient or identity of ours captures the file key, and the payload is sealed and
//! opened by aws-lc-rs (1.7 to 1.8 times as fast). What stock `age` writes opens here, and the reverse.
//!
//! [`PayloadKey`] is what an agent keeps of a file for the moment it takes to check it: it re-opens every
//! segment it sealed, without any identity, before the segment leaves the machine.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead, Read};

use age::secrecy::ExposeSecret;
use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use super::stream::{self, BadChunk, NONCE};
use crate::units::Bytes;

pub use super::identity::{
    BadIdentity, BadRecipient, Identity, IdentityFileError, Recipient, read_identity_file,
};

/// The most of a file that is searched for the end of its header.
///
/// age's header parser is quadratic: a header of 64 KB took it 21 s, one of 16 KiB 1.2 s (0.6 ms the way we feed
/// it, but that is ours to lose). 16 KiB hold 160 recipients: officers, or writers, of a repository.
pub const AGE_HEADER_MAX: Bytes = Bytes::kib(16);

/// How every version of an age file begins.
const MAGIC: &[u8] = b"age-encryption.org/";
const MAGIC_V1: &[u8] = b"age-encryption.org/v1\n";
/// How the last line of a header begins. No other line can: they begin with `-> ` or are base64.
const LAST_LINE: &[u8] = b"\n--- ";
/// The last line: `--- `, 32 bytes in base64 without padding, a line end.
const LAST_LINE_LEN: usize = 4 + 43 + 1;

/// The key of one file's payload, and where the payload begins. Wiped when dropped.
pub struct PayloadKey {
    key: stream::Key,
    offset: usize,
    /// BLAKE3 of header and nonce, so that a re-opened file is known to be whole, not only its payload.
    header: [u8; 32],
}

impl PayloadKey {
    /// Where the payload begins: the length of header and nonce.
    #[must_use]
    pub const fn payload_offset(&self) -> Bytes {
        Bytes(self.offset as u64)
    }
}

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadKey").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// A file that could not be sealed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Sealed to nobody, nobody could open it.
    #[error("no recipient to seal to")]
    NoRecipients,
    /// So many recipients that [`open_into`] would refuse the header.
    #[error("too many recipients: their header is {length} long, the limit is {AGE_HEADER_MAX}")]
    TooManyRecipients {
        /// The header's length.
        length: Bytes,
    },
    /// age made no header.
    #[error("cannot make the age header: {0}")]
    Header(String),
    /// aws-lc refused to encrypt.
    #[error("cannot encrypt the payload")]
    Cipher,
}

/// A file that could not be opened. The destination is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Other bytes, an armoured file, or a version of age to come.
    #[error("not an age file (version 1, binary)")]
    NotAge,
    /// No header of ours is that long; see [`AGE_HEADER_MAX`].
    #[error("the age header does not end within {AGE_HEADER_MAX}")]
    HeaderTooLong,
    /// The file ends within header or nonce.
    #[error("the age file ends before its payload begins")]
    Truncated,
    /// The header is not well formed, or its MAC is wrong.
    #[error("the age header is damaged")]
    HeaderDamaged,
    /// The file is for somebody else, or the header is damaged where it names its recipients.
    #[error("no identity given opens this age file")]
    NoIdentityFits,
    /// A chunk of 64 KiB is changed, cut off, or followed by something.
    #[error("the payload of the age file is damaged at chunk {chunk}")]
    PayloadDamaged {
        /// Counted from 0.
        chunk: u64,
    },
}

impl OpenError {
    /// Whether another identity may open the file; everything else says that the file is not what was sealed.
    #[must_use]
    pub const fn is_wrong_identity(&self) -> bool {
        matches!(self, Self::NoIdentityFits)
    }
}

impl From<BadChunk> for OpenError {
    fn from(BadChunk(chunk): BadChunk) -> Self {
        Self::PayloadDamaged { chunk }
    }
}

type Captured = RefCell<Option<Zeroizing<[u8; 16]>>>;

/// A recipient that adds nothing to the header and remembers the file key.
#[derive(Default)]
struct CapturingRecipient(Captured);

impl age::Recipient for CapturingRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        self.0.replace(Some(Zeroizing::new(*file_key.expose_secret())));
        Ok((Vec::new(), HashSet::new()))
    }
}

/// An identity that unwraps as `inner` does and remembers the file key.
struct CapturingIdentity<'a> {
    inner: &'a age::x25519::Identity,
    captured: &'a Captured,
}

impl age::Identity for CapturingIdentity<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        let unwrapped = self.inner.unwrap_stanza(stanza);
        if let Some(Ok(file_key)) = &unwrapped {
            self.captured.replace(Some(Zeroizing::new(*file_key.expose_secret())));
        }
        unwrapped
    }
}

/// Seals `plain` to `recipients` as a whole age file in `out`, whose contents are replaced and whose memory is
/// reused.
///
/// # Errors
/// See [`SealError`]; `out` is then empty.
pub fn seal_into(plain: &[u8], recipients: &[Recipient], out: &mut Vec<u8>) -> Result<PayloadKey, SealError> {
    let sealed = write_header(recipients).and_then(|(header, file_key)| {
        let nonce = header.last_chunk::<NONCE>().ok_or(SealError::Cipher)?;
        let key = stream::payload_key(&file_key, nonce).map_err(|_| SealError::Cipher)?;
        resize_for_overwrite(out, header.len().saturating_add(stream::sealed_len(plain.len())));
        let (start, payload) = out.split_at_mut_checked(header.len()).ok_or(SealError::Cipher)?;
        start.copy_from_slice(&header);
        stream::seal(&key, plain, payload).map_err(|_| SealError::Cipher)?;
        Ok(PayloadKey { key, offset: header.len(), header: *blake3::hash(&header).as_bytes() })
    });
    if sealed.is_err() {
        out.clear();
    }
    sealed
}

/// Header and nonce of a new file, and its file key.
fn write_header(recipients: &[Recipient]) -> Result<(Vec<u8>, Zeroizing<[u8; 16]>), SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipients);
    }
    let capturing = CapturingRecipient::default();
    let everybody = std::iter::once(&capturing as &dyn age::Recipient)
        .chain(recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient));
    let refused = |reason: &dyn fmt::Display| SealError::Header(reason.to_string());
    let encryptor = age::Encryptor::with_recipients(everybody).map_err(|e| refused(&e))?;
    let mut header = Vec::new();
    // Header and nonce are written at once; the payload's writer is dropped, with nothing in it.
    drop(encryptor.wrap_output(&mut header).map_err(|e| refused(&e))?);
    let length = Bytes(Bytes::of(&header).0.saturating_sub(NONCE as u64));
    if length > AGE_HEADER_MAX {
        return Err(SealError::TooManyRecipients { length });
    }
    let file_key = capturing.0.take().ok_or_else(|| refused(&"age asked no recipient"))?;
    Ok((header, file_key))
}

/// Opens a file that [`seal_into`] just made, with the key it gave, into `out`, whose contents are replaced.
///
/// # Errors
/// The file is not, byte for byte, what `key` came with; `out` is then empty.
pub fn reopen_into(sealed: &[u8], key: &PayloadKey, out: &mut Vec<u8>) -> Result<(), OpenError> {
    let opened =
        sealed.split_at_checked(key.offset).ok_or(OpenError::Truncated).and_then(|(header, payload)| {
            if blake3::hash(header) != key.header {
                return Err(OpenError::HeaderDamaged);
            }
            open_payload(&key.key, payload, out)
        });
    if opened.is_err() {
        out.clear();
    }
    opened
}

/// Opens an age file with whichever of `identities` fits into `out`, whose contents are replaced. `out` never
/// gets longer than `sealed`.
///
/// # Errors
/// See [`OpenError`]; `out` is then empty.
pub fn open_into(sealed: &[u8], identities: &[Identity], out: &mut Vec<u8>) -> Result<(), OpenError> {
    let opened = split_header(sealed).and_then(|(header, nonce, payload)| {
        let file_key = unwrap_file_key(header, nonce, identities)?;
        let key = stream::payload_key(&file_key, nonce).map_err(|_| OpenError::HeaderDamaged)?;
        open_payload(&key, payload, out)
    });
    if opened.is_err() {
        out.clear();
    }
    opened
}

/// Header, nonce and payload of a file.
type Parts<'a> = (&'a [u8], &'a [u8; NONCE], &'a [u8]);

/// Takes a file apart before age parses anything.
fn split_header(sealed: &[u8]) -> Result<Parts<'_>, OpenError> {
    if !sealed.starts_with(MAGIC_V1) {
        let cut = sealed.starts_with(MAGIC) && MAGIC_V1.starts_with(sealed)
            || !sealed.is_empty() && MAGIC.starts_with(sealed);
        return Err(if cut { OpenError::Truncated } else { OpenError::NotAge });
    }
    let limit = AGE_HEADER_MAX.as_usize();
    let searched = sealed.get(..limit).unwrap_or(sealed);
    let too_short = if sealed.len() > limit { OpenError::HeaderTooLong } else { OpenError::Truncated };
    let last_line = find(searched, LAST_LINE).ok_or(too_short)?.saturating_add(1);
    let (header, rest) = sealed.split_at_checked(last_line + LAST_LINE_LEN).ok_or(OpenError::Truncated)?;
    if header.len() > limit {
        return Err(OpenError::HeaderTooLong);
    }
    let (nonce, payload) = rest.split_first_chunk::<NONCE>().ok_or(OpenError::Truncated)?;
    Ok((header, nonce, payload))
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

/// The file key, once age has unwrapped it and found the header's MAC right.
fn unwrap_file_key(
    header: &[u8],
    nonce: &[u8; NONCE],
    identities: &[Identity],
) -> Result<Zeroizing<[u8; 16]>, OpenError> {
    let decryptor = age::Decryptor::new_buffered(HeaderReader { header, nonce }).map_err(|e| why(&e))?;
    let captured = Captured::default();
    let capturing: Vec<_> = identities
        .iter()
        .map(|identity| CapturingIdentity { inner: &identity.0, captured: &captured })
        .collect();
    decryptor
        .decrypt(capturing.iter().map(|identity| identity as &dyn age::Identity))
        .map_err(|e| why(&e))?;
    captured.take().ok_or(OpenError::NoIdentityFits)
}

fn why(error: &age::DecryptError) -> OpenError {
    match error {
        age::DecryptError::NoMatchingKeys => OpenError::NoIdentityFits,
        // `UnknownFormat` among them: the version was read before, so age only means that it parses nothing.
        _ => OpenError::HeaderDamaged,
    }
}

/// Gives age the whole header where it asks for one more line.
///
/// age parses again from the start after every line, which is what makes it quadratic. Asked for a line, this
/// reader answers with all the header there is: one pass, same result. It is a reader for age's parser and
/// nothing else; should age come to read lines in another way, the tests here fail.
struct HeaderReader<'a> {
    header: &'a [u8],
    nonce: &'a [u8],
}

impl Read for HeaderReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let source = if self.header.is_empty() { &mut self.nonce } else { &mut self.header };
        source.read(buffer)
    }
}

impl BufRead for HeaderReader<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        Ok(if self.header.is_empty() { self.nonce } else { self.header })
    }

    fn consume(&mut self, amount: usize) {
        let source = if self.header.is_empty() { &mut self.nonce } else { &mut self.header };
        *source = source.get(amount..).unwrap_or_default();
    }

    fn read_until(&mut self, _: u8, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
        let header = std::mem::take(&mut self.header);
        buffer.extend_from_slice(header);
        Ok(header.len())
    }
}

fn open_payload(key: &stream::Key, payload: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
    resize_for_overwrite(out, stream::plain_len(payload.len())?);
    Ok(stream::open(key, payload, out)?)
}

/// Makes `out` `length` bytes long without clearing what will be overwritten anyway: on a reused buffer that
/// would cost a pass over 4 MiB for every segment. What it held is not copied to new memory either.
fn resize_for_overwrite(out: &mut Vec<u8>, length: usize) {
    if out.capacity() < length {
        out.clear();
        out.reserve_exact(length);
    }
    out.resize(length, 0);
}

#[cfg(test)]
mod tests;
