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
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    const SIZES: [usize; 6] = [0, 1, 65_535, 65_536, 65_537, 4 * 1024 * 1024 + 3];

    fn plain(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn sealed(plain: &[u8], identity: &Identity) -> (Vec<u8>, PayloadKey) {
        let mut out = Vec::new();
        let key = seal_into(plain, &[identity.recipient()], &mut out).unwrap();
        (out, key)
    }

    fn opened(sealed: &[u8], identity: &Identity) -> Result<Vec<u8>, OpenError> {
        let mut out = b"what was there before".to_vec();
        let done = open_into(sealed, std::slice::from_ref(identity), &mut out);
        assert!(done.is_ok() || out.is_empty());
        assert!(out.len() <= sealed.len());
        done.map(|()| out)
    }

    fn reopened(sealed: &[u8], key: &PayloadKey) -> Result<Vec<u8>, OpenError> {
        let mut out = vec![1; 100];
        let done = reopen_into(sealed, key, &mut out);
        assert!(done.is_ok() || out.is_empty());
        done.map(|()| out)
    }

    /// Whether stock age is to be tested against. It must be there, unless somebody says it need not.
    fn has_age() -> bool {
        if std::env::var_os("LIFEBOAT_TEST_WITHOUT_AGE").is_some() {
            return false;
        }
        let found = Command::new("age").arg("--version").output();
        assert!(found.is_ok(), "install age (apt install age), or set LIFEBOAT_TEST_WITHOUT_AGE");
        true
    }

    fn age(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let mut child = Command::new("age")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join();
        output.status.success().then_some(output.stdout)
    }

    #[test]
    fn the_age_crate_and_we_read_each_other() {
        let identity = Identity::generate();
        for size in SIZES {
            let text = plain(size);
            let (ours, key) = sealed(&text, &identity);
            let decryptor = age::Decryptor::new_buffered(&ours[..]).unwrap();
            let mut read = Vec::new();
            let mut reader = decryptor.decrypt(std::iter::once(&identity.0 as &dyn age::Identity)).unwrap();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == text, "age misreads {size} bytes of ours");
            assert!(opened(&ours, &identity).unwrap() == text);
            assert!(reopened(&ours, &key).unwrap() == text);

            let to = identity.recipient();
            let encryptor =
                age::Encryptor::with_recipients(std::iter::once(&to.0 as &dyn age::Recipient)).unwrap();
            let mut theirs = Vec::new();
            let mut writer = encryptor.wrap_output(&mut theirs).unwrap();
            writer.write_all(&text).unwrap();
            writer.finish().unwrap();
            assert!(opened(&theirs, &identity).unwrap() == text, "we misread {size} bytes of age's");
            assert!(Bytes::of(&ours).0 - key.payload_offset().0 == stream::sealed_len(size) as u64);
        }
    }

    #[test]
    fn stock_age_and_we_read_each_other() {
        if !has_age() {
            return;
        }
        let identity = Identity::generate();
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("identity.txt");
        std::fs::write(&file, identity.to_secret_string().as_bytes()).unwrap();
        let (file, to) = (file.to_str().unwrap(), identity.recipient().to_string());
        for size in SIZES {
            let text = plain(size);
            let (ours, _) = sealed(&text, &identity);
            assert!(age(&["-d", "-i", file], &ours).unwrap() == text, "age misreads {size} bytes of ours");
            let theirs = age(&["-r", &to], &text).unwrap();
            assert!(opened(&theirs, &identity).unwrap() == text, "we misread {size} bytes of age's");
        }
        let (mut damaged, _) = sealed(b"text", &identity);
        *damaged.last_mut().unwrap() ^= 1;
        assert!(age(&["-d", "-i", file], &damaged).is_none());
    }

    #[test]
    fn every_recipient_opens_and_nobody_else() {
        let identities: Vec<_> = (0..5).map(|_| Identity::generate()).collect();
        let recipients: Vec<_> = identities[..4].iter().map(Identity::recipient).collect();
        let mut file = Vec::new();
        seal_into(b"for four", &recipients, &mut file).unwrap();
        for identity in &identities[..4] {
            assert_eq!(opened(&file, identity).unwrap(), b"for four");
        }
        assert_eq!(opened(&file, &identities[4]), Err(OpenError::NoIdentityFits));
        let mut out = Vec::new();
        open_into(&file, &identities[3..], &mut out).unwrap();
        assert_eq!(open_into(&file, &[], &mut out), Err(OpenError::NoIdentityFits));
        assert!(OpenError::NoIdentityFits.is_wrong_identity());
    }

    #[test]
    fn what_nobody_could_open_is_not_sealed() {
        let mut out = b"x".to_vec();
        assert!(matches!(seal_into(b"", &[], &mut out), Err(SealError::NoRecipients)));
        assert!(out.is_empty());
        let identity = Identity::generate();
        let error = seal_into(b"", &vec![identity.recipient(); 170], &mut out).unwrap_err();
        assert!(matches!(error, SealError::TooManyRecipients { .. }), "{error}");
        assert!(out.is_empty());
        seal_into(b"many", &vec![identity.recipient(); 160], &mut out).unwrap();
        assert_eq!(opened(&out, &identity).unwrap(), b"many");
    }

    #[test]
    fn reused_buffers_hold_only_the_last_file() {
        let identity = Identity::generate();
        let (mut file, mut text) = (Vec::new(), Vec::new());
        for size in [100_000, 3, 200_000, 0, 65_536] {
            seal_into(&plain(size), &[identity.recipient()], &mut file).unwrap();
            open_into(&file, std::slice::from_ref(&identity), &mut text).unwrap();
            assert!(text == plain(size));
        }
    }

    #[test]
    fn no_bit_can_change() {
        let identity = Identity::generate();
        let (file, key) = sealed(b"a small file", &identity);
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut flipped = file.clone();
                flipped[at] ^= 1 << bit;
                assert!(opened(&flipped, &identity).is_err(), "bit {bit} of byte {at}");
                assert!(reopened(&flipped, &key).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(opened(&file, &identity).is_ok());
    }

    #[test]
    fn nothing_can_be_cut_off_or_added() {
        let identity = Identity::generate();
        for size in [0, 1, 20, 65_536, 65_537] {
            let (file, key) = sealed(&plain(size), &identity);
            let head = usize::try_from(key.payload_offset().0).unwrap();
            let cuts = (0..head + 40).chain(head + 65_536..file.len()).filter(|cut| *cut < file.len());
            for cut in cuts {
                assert!(opened(&file[..cut], &identity).is_err(), "{cut} of {size}");
                assert!(reopened(&file[..cut], &key).is_err(), "{cut} of {size}");
            }
            for added in [1, 15, 16, 17, 65_552, 65_553] {
                let longer = [file.as_slice(), &vec![0; added]].concat();
                assert!(
                    matches!(opened(&longer, &identity), Err(OpenError::PayloadDamaged { .. })),
                    "{added}"
                );
                assert!(reopened(&longer, &key).is_err(), "{added}");
            }
        }
    }

    #[test]
    fn chunks_cannot_change_places() {
        let identity = Identity::generate();
        let (file, key) = sealed(&plain(3 * 65_536), &identity);
        let (head, payload) = file.split_at(key.offset);
        let chunks: Vec<_> = payload.chunks(65_552).collect();
        let swapped = [head, chunks[1], chunks[0], chunks[2]].concat();
        assert_eq!(opened(&swapped, &identity), Err(OpenError::PayloadDamaged { chunk: 0 }));
        let shortened = [head, chunks[0], chunks[1]].concat();
        assert_eq!(opened(&shortened, &identity), Err(OpenError::PayloadDamaged { chunk: 1 }));
    }

    #[test]
    fn errors_tell_causes_apart() {
        let identity = Identity::generate();
        let (file, key) = sealed(&plain(70_000), &identity);
        let changed = |at: usize| {
            let mut file = file.clone();
            file[at] ^= 1;
            opened(&file, &identity)
        };
        assert_eq!(opened(b"", &identity), Err(OpenError::NotAge));
        assert_eq!(opened(b"PK\x03\x04", &identity), Err(OpenError::NotAge));
        assert_eq!(opened(b"-----BEGIN AGE ENCRYPTED FILE-----\n", &identity), Err(OpenError::NotAge));
        assert_eq!(opened(b"age-encryption.org/v2\n-> x\n\n--- \n", &identity), Err(OpenError::NotAge));
        assert_eq!(opened(&file[..10], &identity), Err(OpenError::Truncated));
        assert_eq!(opened(&file[..21], &identity), Err(OpenError::Truncated));
        assert_eq!(opened(&file[..key.offset - 1], &identity), Err(OpenError::Truncated));
        assert_eq!(opened(&file[..key.offset], &identity), Err(OpenError::PayloadDamaged { chunk: 0 }));
        // The last base64 digit but one of the MAC.
        assert_eq!(changed(key.offset - NONCE - 3), Err(OpenError::HeaderDamaged));
        // The grease stanza, which only the MAC covers, or the stanza for us.
        let stanza = find(&file, b"X25519").unwrap();
        assert_eq!(changed(stanza), Err(OpenError::NoIdentityFits));
        assert_eq!(changed(key.offset), Err(OpenError::PayloadDamaged { chunk: 0 }));
        assert_eq!(changed(key.offset + 65_552), Err(OpenError::PayloadDamaged { chunk: 1 }));
        let other = Identity::generate();
        assert_eq!(opened(&file, &other), Err(OpenError::NoIdentityFits));
    }

    #[test]
    fn a_passphrase_is_no_identity() {
        let header = "age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 18\n\
            ZV8Bd4NTFJRGsSsnqYXAXfO2crpNCFQ8EpkPBZoNQqg\n--- ";
        let file = [header.as_bytes(), &[b'A'; 43], b"\n", &[0; 32]].concat();
        assert_eq!(opened(&file, &Identity::generate()), Err(OpenError::NoIdentityFits));
    }

    #[test]
    fn header_bombs_are_refused_at_once() {
        let identity = Identity::generate();
        let bomb = |stanza: &str, length: usize| {
            let mut bomb = MAGIC_V1.to_vec();
            while bomb.len() + stanza.len() < length {
                bomb.extend_from_slice(stanza.as_bytes());
            }
            bomb.extend_from_slice(b"--- ");
            bomb.extend_from_slice(&[b'A'; 43]);
            bomb.push(b'\n');
            bomb.resize(bomb.len() + 32, 0);
            bomb
        };
        let line = format!("{}\n", "A".repeat(64));
        let endless = format!("-> {}\n\n", "a ".repeat(5000));
        let ours = format!("-> X25519 {}\n{}\n", "A".repeat(43), "A".repeat(43));
        let stanzas = [
            "-> a\n\n",
            "-> a\nA\n",
            "-> a\n",
            &format!("-> a\n{line}"),
            &line,
            &endless,
            &ours,
            "\n",
            "-> ",
        ];
        for stanza in stanzas {
            let start = Instant::now();
            assert_eq!(
                opened(&bomb(stanza, 1 << 20), &identity),
                Err(OpenError::HeaderTooLong),
                "{stanza:?}"
            );
            assert!(start.elapsed() < Duration::from_millis(100), "{stanza:?} took {:?}", start.elapsed());
            // Just short enough to be parsed.
            let start = Instant::now();
            let error = opened(&bomb(stanza, (16 << 10) - 64), &identity).unwrap_err();
            assert!(start.elapsed() < Duration::from_millis(300), "{stanza:?} took {:?}", start.elapsed());
            let expected = match error {
                OpenError::HeaderDamaged | OpenError::NoIdentityFits => stanza.ends_with('\n'),
                // `--- ` does not begin a line.
                OpenError::HeaderTooLong => !stanza.ends_with('\n'),
                _ => false,
            };
            assert!(expected, "{stanza:?} {error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let (_, key) = sealed(b"", &Identity::generate());
        let printed = format!("{key:?}");
        assert_eq!(printed, format!("PayloadKey {{ offset: {}, .. }}", key.offset));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes: Vec<u8>, header in "(-> [ -~]{0,80}\n([A-Za-z0-9+/]{0,64}\n)?){0,5}") {
            let identity = Identity::generate();
            prop_assert!(opened(&bytes, &identity).is_err());
            let started = [MAGIC_V1, &bytes].concat();
            prop_assert!(opened(&started, &identity).is_err());
            let mac = "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
            let whole = [MAGIC_V1, header.as_bytes(), mac.as_bytes(), &[0; 40], &bytes].concat();
            prop_assert!(opened(&whole, &identity).is_err());
        }

        #[test]
        fn any_size_comes_back(size in 0_usize..200_000) {
            let identity = Identity::generate();
            let text = plain(size);
            let (file, key) = sealed(&text, &identity);
            prop_assert!(opened(&file, &identity).unwrap() == text);
            prop_assert!(reopened(&file, &key).unwrap() == text);
        }
    }
}
