//! What somebody may do to evidence, each with the reason for which it must be refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::SigningKey;
use lifeboat_verify::evidence::facts::{Facts, Verdict};
use lifeboat_verify::evidence::{Attachment, Reason};

use super::Scene;

/// One way to tamper, and what must be found.
pub(super) struct Tampering {
    pub(super) name: &'static str,
    pub(super) reason: Reason,
    /// Gives the directory that somebody hands over.
    pub(super) tamper: fn(&Scene, PathBuf) -> PathBuf,
}

const fn one(name: &'static str, reason: Reason, tamper: fn(&Scene, PathBuf) -> PathBuf) -> Tampering {
    Tampering { name, reason, tamper }
}

/// Changes a file's text where it stands.
fn edit(path: &Path, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "{} stays as it was", path.display());
    fs::write(path, changed).unwrap();
}

/// Flips the lowest bit of a byte in the middle.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn without_step(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    facts.steps.retain(|step| step.name != "check-planted");
    facts
}

/// The file of the newest ledger entry, without its ending.
fn head(scene: &Scene) -> String {
    format!("eu-fra.repository.{}", scene.facts.repositories[0].heads[0].entry.as_str().replace('/', "."))
}

/// An older entry of the same ledger that carries a checkpoint, as signature and body.
fn older(scene: &Scene) -> [Vec<u8>; 2] {
    let ledger = scene.world.dir.path().join("repository/ledger/w1");
    let mut entries: Vec<PathBuf> =
        fs::read_dir(ledger).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.pop();
    let older = entries.into_iter().rev().map(|path| fs::read_to_string(path).unwrap());
    let object = older.into_iter().find(|text| text.contains("\"checkpoint\"")).unwrap();
    let end = "-----END SSH SIGNATURE-----\n";
    let at = object.find(end).unwrap() + end.len();
    [object.as_bytes()[..at].to_vec(), object.as_bytes()[at..].to_vec()]
}

fn replace_head(scene: &Scene, path: &Path, with: &[Vec<u8>; 2]) {
    for (end, bytes) in ["sig", "json"].iter().zip(with) {
        fs::write(path.join(format!("{}.{end}", head(scene))), bytes).unwrap();
    }
}

/// All of them.
pub(super) fn all() -> Vec<Tampering> {
    let mut all = changed();
    all.extend(added_or_gone());
    all.extend(signed_otherwise());
    all.extend(ledgers());
    all
}

fn changed() -> Vec<Tampering> {
    vec![
        one("one bit of evidence.json", Reason::Changed, |_, path| {
            flip(&path.join("evidence.json"));
            path
        }),
        one("one bit of report.html", Reason::NotDerived, |_, path| {
            flip(&path.join("report.html"));
            path
        }),
        one("one bit of the OSCAL document", Reason::NotDerived, |_, path| {
            flip(&path.join("oscal-assessment-results.json"));
            path
        }),
        one("one bit of timeline.csv", Reason::Changed, |_, path| {
            flip(&path.join("timeline.csv"));
            path
        }),
        one("the fingerprint in VERIFY.md", Reason::Changed, |_, path| {
            edit(&path.join("VERIFY.md"), |text| text.replacen("SHA256:", "SHA256:x", 1));
            path
        }),
        one("the verdict, in evidence.json alone", Reason::Verdict, |_, path| {
            edit(&path.join("evidence.json"), |text| {
                text.replace("\"verdict\": \"failed\",\n  \"limits", "\"verdict\": \"met\",\n  \"limits")
            });
            path
        }),
        one("a step removed from evidence.json", Reason::StepRemoved, |scene, path| {
            let text = lifeboat_verify::evidence::canonical(&without_step(&scene.facts)).unwrap();
            fs::write(path.join("evidence.json"), text).unwrap();
            path
        }),
        one("a step removed from timeline.csv", Reason::StepRemoved, |_, path| {
            edit(&path.join("timeline.csv"), |text| {
                text.lines()
                    .filter(|line| !line.contains("dns-cutover"))
                    .map(|line| format!("{line}\n"))
                    .collect()
            });
            path
        }),
    ]
}

fn added_or_gone() -> Vec<Tampering> {
    vec![
        one("a file added", Reason::UnknownFile, |_, path| {
            fs::write(path.join("attestation.txt"), "all is well").unwrap();
            path
        }),
        one("a hidden file added", Reason::UnknownFile, |_, path| {
            fs::write(path.join(".note"), "x").unwrap();
            path
        }),
        one("a directory added", Reason::NotAFile, |_, path| {
            fs::create_dir(path.join("more")).unwrap();
            path
        }),
        one("a file that is a link to its content elsewhere", Reason::NotAFile, |scene, path| {
            let aside = scene.home.path().join("aside.html");
            fs::rename(path.join("report.html"), &aside).unwrap();
            symlink(&aside, path.join("report.html")).unwrap();
            path
        }),
        one("the report gone", Reason::MissingFile, |_, path| {
            fs::remove_file(path.join("report.html")).unwrap();
            path
        }),
        one("a file gone, and its line in SHA256SUMS", Reason::BadSignature, |_, path| {
            fs::remove_file(path.join("timeline.csv")).unwrap();
            edit(&path.join("SHA256SUMS"), |text| {
                text.lines()
                    .filter(|line| !line.contains("timeline"))
                    .map(|line| format!("{line}\n"))
                    .collect()
            });
            path
        }),
    ]
}

fn signed_otherwise() -> Vec<Tampering> {
    vec![
        one("the signature gone", Reason::Unsigned, |_, path| {
            fs::remove_file(path.join("SHA256SUMS.sig")).unwrap();
            path
        }),
        one("a line of SHA256SUMS twice", Reason::BadList, |_, path| {
            edit(&path.join("SHA256SUMS"), |text| format!("{text}{}\n", text.lines().last().unwrap()));
            path
        }),
        one("all of it made again without a step, by another key", Reason::WrongKey, |scene, _| {
            let other = SigningKey::from_seed([8; 32]);
            scene.write(&without_step(&scene.facts), &scene.attachments, &other)
        }),
        one(
            "all of it made again without a step, under the old signature",
            Reason::BadSignature,
            |scene, path| {
                let other = SigningKey::from_seed([8; 32]);
                let forged = scene.write(&without_step(&scene.facts), &scene.attachments, &other);
                for name in ["SHA256SUMS.sig", "allowed_signers"] {
                    fs::copy(path.join(name), forged.join(name)).unwrap();
                }
                forged
            },
        ),
        one("hashes and signature of other evidence", Reason::OtherEvidence, |scene, path| {
            let facts =
                Facts { id: "2026-10-01t09-00-00z-region-loss".parse().unwrap(), ..scene.facts.clone() };
            let other = scene.write(&facts, &scene.attachments, &scene.key);
            for name in ["SHA256SUMS", "SHA256SUMS.sig", "allowed_signers"] {
                fs::copy(other.join(name), path.join(name)).unwrap();
            }
            path
        }),
        one("a verdict that does not follow, by the right key", Reason::Verdict, |scene, _| {
            let facts = Facts { verdict: Verdict::Met, ..scene.facts.clone() };
            scene.write(&facts, &scene.attachments, &scene.key)
        }),
    ]
}

fn ledgers() -> Vec<Tampering> {
    vec![
        one("a ledger's last entry gone", Reason::LedgerCut, |scene, path| {
            for end in ["sig", "json"] {
                fs::remove_file(path.join(format!("{}.{end}", head(scene)))).unwrap();
            }
            path
        }),
        one("an older checkpoint in its place", Reason::CheckpointReplayed, |scene, path| {
            replace_head(scene, &path, &older(scene));
            path
        }),
        one("an older checkpoint in its place, by the right key", Reason::CheckpointReplayed, |scene, _| {
            let mut attachments = scene.attachments.clone();
            let older = older(scene);
            for file in &mut attachments {
                if file.name.starts_with(&head(scene)) {
                    file.bytes = older[usize::from(file.name.ends_with(".json"))].clone();
                }
            }
            scene.write(&scene.facts, &attachments, &scene.key)
        }),
        one("one bit of a ledger entry", Reason::LedgerChanged, |scene, path| {
            flip(&path.join(format!("{}.json", head(scene))));
            path
        }),
        one("one more signer in trust", Reason::LedgerChanged, |scene, path| {
            let trust = scene.facts.repositories[0].trust.entry.as_str().replace('/', ".");
            let key = SigningKey::from_seed([8; 32]).public();
            edit(&path.join(format!("eu-fra.repository.{trust}.signers")), |text| {
                format!("{text}writer:w1 namespaces=\"lifeboat-*\" {key}\n")
            });
            path
        }),
        one("a ledger said to end before its checkpoint, by the right key", Reason::LedgerCut, |scene, _| {
            let mut facts = scene.facts.clone();
            let mut attachments = scene.attachments.clone();
            let repository = &mut facts.repositories[0];
            let [signature, body] = older(scene);
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let head = &mut repository.heads[0];
            head.entry = format!("ledger/w1/{:08}", value["seq"].as_u64().unwrap()).parse().unwrap();
            head.run = value["run"].as_str().unwrap().parse().unwrap();
            head.sha256 = lifeboat_repo::ids::ObjectHash::from_bytes(lifeboat_repo::crypto::hash::sha256(
                &[signature.as_slice(), body.as_slice()].concat(),
            ));
            let stem = format!("eu-fra.repository.{}", head.entry.as_str().replace('/', "."));
            attachments.push(Attachment::new(format!("{stem}.sig"), signature));
            attachments.push(Attachment::new(format!("{stem}.json"), body));
            scene.write(&facts, &attachments, &scene.key)
        }),
    ]
}
