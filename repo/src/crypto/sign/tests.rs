use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn place() -> (RepositoryId, ObjectName) {
    (RepositoryId::from_bytes([0xab; 16]), "ledger/fra-app-1/00000007".parse().unwrap())
}

fn signed(body: &[u8]) -> (SigningKey, Vec<u8>, String) {
    let key = SigningKey::from_seed([3; 32]);
    let (repository, name) = place();
    let object = sign_object(&key, Kind::Ledger, &repository, &name, body).unwrap();
    (key, object, namespace(Kind::Ledger, &repository, &name))
}

fn checked(object: &[u8], namespace: &str) -> Option<VerifyingKey> {
    let (block, body) = split_object(object).ok()?;
    verify(&block, body, namespace).ok()
}

fn ssh_keygen(arguments: &[&str], file: Option<&Path>, input: Option<&Path>) -> bool {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).args(file);
    if let Some(input) = input {
        command.stdin(File::open(input).unwrap());
    }
    command
        .output()
        .unwrap_or_else(|error| panic!("install ssh-keygen (openssh-client): {error}"))
        .status
        .success()
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = directory.join(name);
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

#[test]
fn ssh_keygen_accepts_what_we_sign() {
    let scratch = tempfile::tempdir().unwrap();
    for body in [&b""[..], b"{}\n", b"-----BEGIN SSH SIGNATURE-----\n", &[0xff; 70_000]] {
        let (key, object, namespace) = signed(body);
        let (_, rest) = split_object(&object).unwrap();
        assert_eq!(rest, body);
        let block = &object[..object.len() - body.len()];
        assert!(block.ends_with(END) && block.len() < 4096);
        let signature = write(scratch.path(), "signature", block);
        let body_file = write(scratch.path(), "body", body);
        let line = format!("writer:fra-app-1 namespaces=\"lifeboat-ledger:*\" {}\n", key.public());
        let signers = write(scratch.path(), "allowed_signers", line.as_bytes());
        let verify = |namespace: &str, body: &Path| {
            let arguments = ["-Y", "verify", "-I", "writer:fra-app-1", "-n", namespace, "-s"];
            let paths = [signature.to_str().unwrap(), "-f", signers.to_str().unwrap()];
            ssh_keygen(&[&arguments[..], &paths].concat(), None, Some(body))
        };
        assert!(verify(&namespace, &body_file));
        assert!(!verify(&namespace.replace("00000007", "00000008"), &body_file));
        let other = write(scratch.path(), "other", b"another body");
        assert!(!verify(&namespace, &other));
    }
}

#[test]
fn we_accept_what_ssh_keygen_signs_with_ed25519_and_sha512() {
    let scratch = tempfile::tempdir().unwrap();
    let key = SigningKey::from_seed([3; 32]);
    let key_file = write(scratch.path(), "key", key.to_openssh().unwrap().as_bytes());
    let (repository, name) = place();
    let namespace = namespace(Kind::Trust, &repository, &name);
    let sign = |options: &[&str], key_file: &Path, body: &[u8]| {
        let body_file = write(scratch.path(), "body", body);
        let signature = scratch.path().join("body.sig");
        let _ = fs::remove_file(&signature);
        let start = ["-Y", "sign", "-q", "-f", key_file.to_str().unwrap(), "-n", &namespace];
        assert!(ssh_keygen(&[&start[..], options].concat(), Some(&body_file), None));
        [fs::read(&signature).unwrap().as_slice(), body].concat()
    };
    for body in [&b""[..], b"signed by an officer's own ssh-keygen\n", &[0xff; 70_000]] {
        let object = sign(&[], &key_file, body);
        assert_eq!(checked(&object, &namespace), Some(key.public()));
        // Ed25519 is deterministic, so both make the same object.
        assert_eq!(sign_object(&key, Kind::Trust, &repository, &name, body).unwrap(), object);
    }
    let weaker = sign(&["-O", "hashalg=sha256"], &key_file, b"body");
    assert!(matches!(split_object(&weaker), Err(FrameError::Unsupported(_))));
    let rsa = scratch.path().join("rsa");
    assert!(ssh_keygen(&["-q", "-t", "rsa", "-N", "", "-f"], Some(&rsa), None));
    let rsa = sign(&[], &rsa, b"body");
    assert!(split_object(&rsa).is_err());
}

#[test]
fn no_bit_can_change() {
    let (key, object, namespace) = signed(b"body");
    assert_eq!(checked(&object, &namespace), Some(key.public()));
    for at in 0..object.len() {
        for bit in 0..8 {
            let mut flipped = object.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(checked(&flipped, &namespace), None, "bit {bit} of byte {at}");
        }
    }
    for cut in 0..object.len() {
        assert_eq!(checked(&object[..cut], &namespace), None, "{cut}");
    }
    assert_eq!(checked(&[&object[..], b"\n"].concat(), &namespace), None);
    assert_eq!(checked(&[b"\n", &object[..]].concat(), &namespace), None);
}

#[test]
fn nothing_passes_under_another_name() {
    let (_, object, own) = signed(b"body");
    let (repository, name) = place();
    let (block, body) = split_object(&object).unwrap();
    assert_eq!(block.namespace(), own);
    let others = [
        namespace(Kind::Snapshot, &repository, &name),
        namespace(Kind::Ledger, &RepositoryId::from_bytes([0xac; 16]), &name),
        namespace(Kind::Ledger, &repository, &"ledger/fra-app-1/00000008".parse().unwrap()),
        String::new(),
    ];
    for other in others {
        let error = verify(&block, body, &other).unwrap_err();
        assert!(matches!(error, VerifyError::Renamed { .. }), "{error}");
    }
    assert_eq!(verify(&block, b"another", &own), Err(VerifyError::Mismatch));
}

/// A block with one part changed, in the one right spelling.
fn block_of(version: u32, reserved: &[u8], hash: &str) -> Vec<u8> {
    let key = SigningKey::from_seed([3; 32]);
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let public = key.inner().public_key().to_bytes().unwrap();
    let signature = [string(b"ssh-ed25519"), string(&[1; 64])].concat();
    let blob = [
        b"SSHSIG".to_vec(),
        version.to_be_bytes().to_vec(),
        string(&public),
        string(b"namespace"),
        string(reserved),
        string(hash.as_bytes()),
        string(&signature),
    ]
    .concat();
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(blob);
    let lines: Vec<_> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    [BEGIN, lines.join("\n").as_bytes(), END].concat()
}

#[test]
fn only_what_we_sign_is_taken() {
    assert!(split_object(&block_of(1, b"", "sha512")).is_ok());
    for (version, reserved, hash) in [(0, &b""[..], "sha512"), (1, b"x", "sha512"), (1, b"", "sha256")] {
        let error = split_object(&block_of(version, reserved, hash)).unwrap_err();
        assert!(matches!(error, FrameError::Unsupported(_)), "{error}");
    }
    for (version, hash) in [(2, "sha512"), (1, "sha1"), (1, "")] {
        assert!(matches!(split_object(&block_of(version, b"", hash)), Err(FrameError::Malformed(_))));
    }
    let (_, object, _) = signed(b"");
    let text = String::from_utf8(object).unwrap();
    let crlf = text.replace('\n', "\r\n");
    assert_eq!(split_object(crlf.as_bytes()), Err(FrameError::Unsigned));
    let respelled = text.replacen('\n', "\n\n", 1);
    assert!(matches!(split_object(respelled.as_bytes()), Err(FrameError::Malformed(_))));
}

#[test]
fn a_block_is_measured_before_it_is_read() {
    let long = [BEGIN, &[b'A'; 1 << 20], END].concat();
    assert_eq!(split_object(&long), Err(FrameError::Unended));
    let exact = [BEGIN, &vec![b'A'; 4096 - BEGIN.len() - END.len()], END].concat();
    assert!(matches!(split_object(&exact), Err(FrameError::Malformed(_))));
    let longer = [BEGIN, &vec![b'A'; 4097 - BEGIN.len() - END.len()], END].concat();
    assert_eq!(split_object(&longer), Err(FrameError::Unended));
    assert_eq!(split_object(b"{}"), Err(FrameError::Unsigned));
    assert_eq!(split_object(b""), Err(FrameError::Unsigned));
    let name: ObjectName = "a".repeat(crate::ids::OBJECT_NAME_MAX).parse().unwrap();
    let longest =
        sign_object(&SigningKey::from_seed([3; 32]), Kind::Snapshot, &place().0, &name, b"").unwrap();
    assert!(longest.len() < 1300, "{}", longest.len());
    assert!(split_object(&longest).is_ok());
}

#[test]
fn kinds_have_one_spelling() {
    for kind in Kind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(*kind));
    }
    assert_eq!(Kind::ALL.len(), 15);
    assert!("Trust".parse::<Kind>().is_err());
}

proptest! {
    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes: Vec<u8>, base64 in "[A-Za-z0-9+/\n=]{0,400}") {
        let _ = split_object(&bytes);
        let _ = split_object(&[BEGIN, &bytes, END, &bytes].concat());
        let _ = split_object(&[BEGIN, base64.as_bytes(), END, &bytes].concat());
    }
}
