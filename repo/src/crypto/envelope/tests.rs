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
            assert!(matches!(opened(&longer, &identity), Err(OpenError::PayloadDamaged { .. })), "{added}");
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
    let stanzas =
        ["-> a\n\n", "-> a\nA\n", "-> a\n", &format!("-> a\n{line}"), &line, &endless, &ours, "\n", "-> "];
    for stanza in stanzas {
        let start = Instant::now();
        assert_eq!(opened(&bomb(stanza, 1 << 20), &identity), Err(OpenError::HeaderTooLong), "{stanza:?}");
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
