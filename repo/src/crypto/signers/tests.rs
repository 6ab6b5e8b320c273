use std::fs::{self, File};
use std::process::Command;

use proptest::prelude::*;
use ssh_key::{HashAlg, LineEnding};

use super::*;
use crate::crypto::ssh::SigningKey;

fn key(seed: u8) -> VerifyingKey {
    SigningKey::from_seed([seed; 32]).public()
}

/// 2026-11-23T18:43:39Z, and `20261123184339Z`.
const NOON: i64 = 1_795_459_419;

fn entry(principal: &str, namespaces: &str, seed: u8) -> Entry {
    Entry {
        principal: principal.to_owned(),
        namespaces: namespaces.split(',').map(str::to_owned).collect(),
        valid_after: None,
        valid_before: None,
        key: key(seed),
        comment: None,
    }
}

/// Whether stock ssh-keygen lets the key of `seed` sign for `namespace` at `second` under these lines.
fn ssh_keygen(lines: &str, principal: &str, seed: u8, namespace: &str, second: i64) -> bool {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = scratch.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let signing = SigningKey::from_seed([seed; 32]);
    let signature = signing.inner().sign(namespace, HashAlg::Sha512, b"body").unwrap();
    let signature = file("signature", &signature.to_pem(LineEnding::LF).unwrap());
    let output = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", principal, "-n", namespace])
        .arg("-f")
        .arg(file("allowed_signers", lines))
        .arg("-s")
        .arg(signature)
        .arg(format!("-Overify-time={}", render_time(Timestamp::new(second, 0))))
        .stdin(File::open(file("body", "body")).unwrap())
        .output();
    output.unwrap_or_else(|error| panic!("install ssh-keygen (openssh-client): {error}")).status.success()
}

fn ours(lines: &str, principal: &str, seed: u8, namespace: &str, second: i64) -> Result<Entry, Refusal> {
    let signers = AllowedSigners::parse(lines).unwrap();
    let at = Timestamp::new(second, 999_999_999);
    signers.check(Some(principal), &key(seed), namespace, at).cloned()
}

fn kind_of(text: &str) -> Option<SignersErrorKind> {
    AllowedSigners::parse(text).err().map(|error| error.kind)
}

#[test]
fn files_come_back_as_they_were() {
    let mut officer = entry("officer:alice", "lifeboat-*", 1);
    officer.comment = Some("alice's token, drawer 3".into());
    officer.valid_after = Some(Timestamp::new(NOON, 0));
    let precise = Entry { valid_after: Some(Timestamp::new(NOON, 5)), ..officer.clone() };
    let mut writer = entry("writer:fra-app-1", "lifeboat-index:*,lifeboat-run:*:runs/fra-app-?/*", 2);
    writer.valid_before = Some(Timestamp::new(NOON, 0));
    let header = r#"{"repository":"…","region":"eu-fra"}"#;
    let signers = AllowedSigners::new(header, vec![precise, writer.clone()]).unwrap();
    assert_eq!(signers.first_comment(), Some(header));
    assert_eq!(signers.entries().collect::<Vec<_>>(), [&officer, &writer]);
    let text = signers.render();
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains(&format!(
        "officer:alice namespaces=\"lifeboat-*\",valid-after=\"20261123184339Z\" {} alice's",
        key(1)
    )));
    assert_eq!(AllowedSigners::parse(&text), Ok(signers));
    let blanks = format!("#{{}}\n\n# more\n{} \n", writer.render());
    assert_eq!(AllowedSigners::parse(&blanks).unwrap().first_comment(), Some("{}"));
    assert_eq!(AllowedSigners::parse(&format!("\n{blanks}")).unwrap().first_comment(), None);
    assert_eq!(AllowedSigners::parse("").unwrap().first_comment(), None);
}

#[test]
fn fields_cannot_smuggle_lines_or_options() {
    let sound = entry("officer:alice", "lifeboat-*", 1);
    assert!(AllowedSigners::new("{}", vec![sound.clone()]).is_ok());
    assert!(AllowedSigners::new("{}\nx", vec![]).is_err());
    for broken in ["", "a b", "*", "a,b", "a\nb", "#a", "\"a\"", "!a", "ä"] {
        let entry = Entry { principal: broken.to_owned(), ..sound.clone() };
        assert!(AllowedSigners::new("{}", vec![entry]).is_err(), "{broken:?}");
    }
    for broken in [vec![], vec![""], vec!["!a"], vec!["a\",valid-after=\"20261123184339Z"], vec!["a b"]] {
        let namespaces = broken.iter().map(|text| (*text).to_owned()).collect();
        let entry = Entry { namespaces, ..sound.clone() };
        assert!(AllowedSigners::new("{}", vec![entry]).is_err(), "{broken:?}");
    }
    // A principal that is a whole entry, and makes the rest of the real one its comment.
    let whole = Entry { principal: sound.render(), ..sound.clone() };
    let error = AllowedSigners::new("{}", vec![sound.clone(), whole]).unwrap_err();
    assert_eq!(error, SignersError { line: 3, kind: SignersErrorKind::Respelled });
    let second_line = format!("x\n{}", sound.render());
    for comment in [second_line.as_str(), "x\n", "x\n# y", "x\0"] {
        let entry = Entry { comment: Some(comment.to_owned()), ..sound.clone() };
        assert!(AllowedSigners::new("{}", vec![entry]).is_err(), "{comment:?}");
    }
    for time in [Timestamp::new(0, 0), Timestamp::new(-5, 0), Timestamp::new(i64::MAX, 0)] {
        let entry = Entry { valid_before: Some(time), ..sound.clone() };
        assert!(AllowedSigners::new("{}", vec![entry]).is_err(), "{time}");
    }
}

#[test]
fn lines_that_could_mean_more_than_they_say_are_refused() {
    use SignersErrorKind as Kind;
    let key = key(1);
    let ns = "namespaces=\"a\"";
    let cases = [
        (format!(" a {ns} {key}"), Kind::Indented),
        (" # comment".to_owned(), Kind::Indented),
        (format!("a {ns} {key}\r"), Kind::Control),
        (format!("a {ns}\0 {key}"), Kind::Control),
        (format!("* {ns} {key}"), Kind::Principal),
        (format!("a,b {ns} {key}"), Kind::Principal),
        (format!("a {key}"), Kind::NoNamespaces),
        ("a".to_owned(), Kind::NoNamespaces),
        (format!("a valid-after=\"20261123184339Z\" {key}"), Kind::NoNamespaces),
        (format!("a cert-authority,{ns} {key}"), Kind::Option),
        (format!("a {ns},cert-authority {key}"), Kind::Option),
        (format!("a {ns},{ns} {key}"), Kind::Option),
        (format!("a {ns}, {key}"), Kind::Option),
        (format!("a {ns}x {key}"), Kind::Option),
        (format!("a NAMESPACES=\"a\" {key}"), Kind::Option),
        (format!("a namespaces=a {key}"), Kind::Option),
        (format!("a namespaces=\"a {key}"), Kind::Option),
        (format!("a namespaces=\"\" {key}"), Kind::Namespaces),
        (format!("a namespaces=\"a,!b\" {key}"), Kind::Namespaces),
        (format!("a namespaces=\"a,,b\" {key}"), Kind::Namespaces),
        (format!("a namespaces=\"a\\\" {key}"), Kind::Namespaces),
        (format!("a {ns},valid-after=\"20261123\" {key}"), Kind::Time),
        (format!("a {ns},valid-after=\"20261123184339\" {key}"), Kind::Time),
        (format!("a {ns},valid-after=\"20260230000000Z\" {key}"), Kind::Time),
        (format!("a {ns},valid-after=\"20261123184360Z\" {key}"), Kind::Time),
        (format!("a {ns},valid-after=\"19700101000000Z\" {key}"), Kind::Time),
        (format!("a {ns},valid-after=\"00000101000000Z\" {key}"), Kind::Time),
        (format!("a {ns},valid-after=\"+0261123184339Z\" {key}"), Kind::Time),
        (
            format!("a {ns},valid-after=\"20261123184339Z\",valid-before=\"20261123184339Z\" {key}"),
            Kind::Interval,
        ),
        (format!("a {ns} ssh-ed25519"), Kind::Key),
        (format!("a {ns}"), Kind::Key),
        (format!("a {ns} ssh-rsa AAAAB3NzaC1yc2E="), Kind::Key),
        (format!("a {ns} {ns} {key}"), Kind::Key),
    ];
    for (line, kind) in cases {
        assert_eq!(kind_of(&line), Some(kind), "{line:?}");
        let error = AllowedSigners::parse(&format!("# header\n{line}\n")).unwrap_err();
        assert_eq!(error.line, 2);
    }
    assert_eq!(kind_of(&format!("a  {ns}\t{key}  a comment\n")), None);
}

#[test]
fn namespaces_match_as_ssh_keygen_matches_them() {
    let patterns = [
        "*",
        "?",
        "a",
        "a*",
        "*a",
        "a?c",
        "a*c",
        "*b*",
        "a/*",
        "a/*/c",
        "a,b",
        "b,a*",
        "*/*",
        "a**c",
        "?*?",
        "lifeboat-index:*",
        "lifeboat-index:*:index/w1/*",
        "lifeboat-*:00*:index/w1/*",
        "A",
        "a.c",
        "a-c",
        "*a*b*c*",
        "c,?,*z",
    ];
    let namespaces = [
        "a",
        "b",
        "A",
        "ac",
        "abc",
        "a/b",
        "a/b/c",
        "a/b/c/d",
        "a-c",
        "a.c",
        "z",
        "aa",
        "lifeboat-index:00ff:index/w1/7",
        "lifeboat-index:00ff:index/w2/7",
        "lifeboat-indexes:00ff:x",
    ];
    for pattern in patterns {
        let lines = format!("p namespaces=\"{pattern}\" {}\n", key(1));
        for namespace in namespaces {
            let theirs = ssh_keygen(&lines, "p", 1, namespace, NOON);
            let ours = ours(&lines, "p", 1, namespace, NOON);
            assert_eq!(ours.is_ok(), theirs, "{pattern} and {namespace}: {ours:?}");
            assert!(matches!(ours, Ok(_) | Err(Refusal::WrongNamespace { .. })));
        }
    }
}

#[test]
fn times_are_judged_to_the_second_as_ssh_keygen_judges_them() {
    let time = |second| render_time(Timestamp::new(second, 0));
    let after = format!("valid-after=\"{}\"", time(NOON));
    let before = format!("valid-before=\"{}\"", time(NOON + 10));
    for options in [after.clone(), before.clone(), format!("{after},{before}"), format!("{before},{after}")] {
        let lines = format!("# header\np namespaces=\"n\",{options} {}\n", key(1));
        for second in [NOON - 1, NOON, NOON + 1, NOON + 9, NOON + 10, NOON + 11] {
            let ours = ours(&lines, "p", 1, "n", second);
            assert_eq!(ours.is_ok(), ssh_keygen(&lines, "p", 1, "n", second), "{options} at {second}");
            let expected = match &ours {
                Ok(_) => true,
                Err(Refusal::NotYetValid { from, .. }) => second < NOON && from.seconds() == NOON,
                Err(Refusal::Expired { until, .. }) => second > NOON + 10 && until.seconds() == NOON + 10,
                Err(_) => false,
            };
            assert!(expected, "{ours:?}");
        }
        let signers = AllowedSigners::parse(&lines).unwrap();
        assert!(signers.check(None, &key(1), "n", None).is_ok(), "no moment, no judgement");
    }
}

#[test]
fn the_right_entry_is_found_among_others_as_ssh_keygen_finds_it() {
    let time = |second| render_time(Timestamp::new(second, 0));
    let lines = format!(
        "# header\nw namespaces=\"n\",valid-before=\"{}\" {k1} closed\nw namespaces=\"n\",valid-after=\"{}\" {k1} \
         renewed\nw namespaces=\"m\" {k1}\n\n# another\nv namespaces=\"n\" {k2}\no namespaces=\"*\" {k1}\n",
        time(NOON),
        time(NOON + 100),
        k1 = key(1),
        k2 = key(2),
    );
    for (principal, seed) in [("w", 1), ("w", 2), ("v", 1), ("v", 2), ("o", 1), ("x", 1), ("w", 3)] {
        for namespace in ["n", "m", "l"] {
            for second in [NOON, NOON + 50, NOON + 100] {
                let ours = ours(&lines, principal, seed, namespace, second);
                let theirs = ssh_keygen(&lines, principal, seed, namespace, second);
                assert_eq!(ours.is_ok(), theirs, "{principal} {seed} {namespace} {second}: {ours:?}");
            }
        }
    }
    assert!(matches!(ours(&lines, "w", 1, "n", NOON + 50), Err(Refusal::NotYetValid { .. })));
    assert!(matches!(ours(&lines, "w", 1, "l", NOON), Err(Refusal::WrongNamespace { .. })));
    assert!(matches!(ours(&lines, "v", 1, "n", NOON), Err(Refusal::UnknownKey { .. })));
    let signers = AllowedSigners::parse(&lines).unwrap();
    let found = signers.check(None, &key(2), "n", Timestamp::new(NOON, 0)).unwrap();
    assert_eq!(found.principal, "v");
    let error = signers.check(None, &key(9), "n", Timestamp::new(NOON, 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the key {} is not among the allowed signers", key(9).fingerprint())
    );
}

proptest! {
    #[test]
    fn any_text_gives_a_value_or_an_error(text: String, line in "[a#] ?(namespaces=)?\"?[a*!,]{0,4}\"?,? ?(ssh-ed25519 )?[A-Za-z]{0,9}") {
        let _ = AllowedSigners::parse(&text);
        if let Ok(signers) = AllowedSigners::parse(&line) {
            prop_assert_eq!(AllowedSigners::parse(&signers.render()), Ok(signers));
        }
    }
}
