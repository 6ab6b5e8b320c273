//! Evidence: a stranger checks it with ssh-keygen, sha256sum and jq, as VERIFY.md says; `check` says what is wrong with it;
//! and everything that it shows is valid, whole, and asks nobody for anything.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lifeboat_repo::crypto::SigningKey;
use lifeboat_tests::{World, label, write as put};
use lifeboat_verify::evidence::facts::{Facts, Freshness, Role};
use lifeboat_verify::evidence::{self, Attachment, Reason, Signer, Vouch};

#[path = "evidence/shown.rs"]
mod shown;
#[path = "evidence/tamperings.rs"]
mod tamperings;

/// A drill that went badly in every way there is, by hand.
fn drill() -> Facts {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/evidence/drill.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Evidence of it over a real repository, and what is needed to make more.
struct Scene {
    world: World,
    home: tempfile::TempDir,
    key: SigningKey,
    facts: Facts,
    attachments: Vec<Attachment>,
}

impl Scene {
    /// Two backups have run, so that there is an older checkpoint.
    fn new() -> Self {
        let world = World::new();
        for content in ["first", "second"] {
            put(&world.source(), "tenants/acme/a", content.as_bytes());
            world.backup().unwrap();
        }
        let mut facts = drill();
        let freshness = Freshness::NotProven("there is no witness".into());
        let (repository, attachments) =
            evidence::extract(&world.repository(), Role::Repository, freshness).unwrap();
        facts.repositories = vec![repository];
        let home = tempfile::tempdir().unwrap();
        Self { world, home, key: SigningKey::from_seed([7; 32]), facts, attachments }
    }

    fn write(&self, facts: &Facts, attachments: &[Attachment], key: &SigningKey) -> PathBuf {
        let home = self.home.path().join(format!("{}", fs::read_dir(self.home.path()).unwrap().count()));
        let signer = Signer { principal: "officer:alice".into(), key };
        evidence::write(&home, facts, attachments, &signer).unwrap()
    }

    /// The evidence, as it was signed.
    fn evidence(&self) -> PathBuf {
        self.write(&self.facts, &self.attachments, &self.key)
    }

    fn reasons(&self, path: &Path) -> BTreeSet<Reason> {
        let vouch = Vouch::Keys(vec![self.key.public()]);
        let checked = evidence::check(path, &vouch, &self.facts.tool.version).unwrap();
        checked.problems.iter().map(|problem| problem.reason).collect()
    }
}

/// The commands of VERIFY.md, one after another.
fn commands(path: &Path) -> String {
    let text = fs::read_to_string(path.join("VERIFY.md")).unwrap();
    let blocks: Vec<&str> =
        text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 5, "{text}");
    blocks.concat()
}

/// Runs commands as a stranger would: in the evidence, with three programs and a shell and no other, and the fingerprint
/// from paper.
fn follow(commands: &str, path: &Path, fingerprint: &str) -> (bool, String) {
    let tools = tempfile::tempdir().unwrap();
    for tool in ["ssh-keygen", "sha256sum", "jq"] {
        let found = std::env::var("PATH").unwrap();
        let found = found.split(':').map(|dir| Path::new(dir).join(tool)).find(|file| file.is_file());
        symlink(found.unwrap_or_else(|| panic!("install {tool}")), tools.path().join(tool)).unwrap();
    }
    let mut child = Command::new("/bin/sh")
        .arg("-eu")
        .current_dir(path)
        .env_clear()
        .env("PATH", tools.path())
        .env("FINGERPRINT", fingerprint)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_stranger_checks_it_with_three_stock_tools() {
    let scene = Scene::new();
    let path = scene.evidence();
    let (held, said) = follow(&commands(&path), &path, &scene.key.public().fingerprint());
    assert!(held && said.ends_with(&format!("VERIFIED: drill {}: failed\n", scene.facts.id)), "{said}");
    assert_eq!(scene.reasons(&path), BTreeSet::new());
    // What is named is what the repository has, byte for byte.
    let head = &scene.facts.repositories[0].heads[0];
    let stored = scene.world.dir.path().join("repository").join(head.entry.as_str());
    let stem = format!("eu-fra.repository.{}", head.entry.as_str().replace('/', "."));
    let parts = ["sig", "json"].map(|end| fs::read(path.join(format!("{stem}.{end}"))).unwrap());
    assert_eq!(parts.concat(), fs::read(stored).unwrap());
    // A fingerprint that somebody else wrote on paper, and none at all.
    let other = SigningKey::from_seed([8; 32]).public().fingerprint();
    assert!(!follow(&commands(&path), &path, &other).0);
    assert!(!follow(&commands(&path), &path, "").0);
}

#[test]
fn every_tampering_is_refused_with_its_own_reason() {
    let scene = Scene::new();
    let genuine = scene.evidence();
    let commands = commands(&genuine);
    let fingerprint = scene.key.public().fingerprint();
    let all = tamperings::all();
    assert!(all.len() >= 20);
    for one in all {
        let path = (one.tamper)(&scene, scene.evidence());
        let found = scene.reasons(&path);
        println!("{:55} {:?}", one.name, found.iter().map(|reason| reason.word()).collect::<Vec<_>>());
        assert!(found.contains(&one.reason), "{}: {found:?}", one.name);
        // The commands are those of the genuine instructions: who got forged ones learns nothing from them.
        let (held, said) = follow(&commands, &path, &fingerprint);
        assert!(!held, "{}: {said}", one.name);
    }
}

#[test]
fn a_revoked_writers_ledger_ends_where_trust_says() {
    let scene = Scene::new();
    let repository = scene.world.repository();
    let recovery = scene.world.recovery(&repository);
    lifeboat_repo::repository::officer::revoke_writer(
        &recovery,
        &scene.world.alice(),
        &label("w1"),
        &lifeboat_repo::clock::SystemClock,
    )
    .unwrap();
    let freshness = Freshness::NotProven("there is no witness".into());
    let (repository, attachments) =
        evidence::extract(&scene.world.repository(), Role::Repository, freshness).unwrap();
    assert!(repository.heads.is_empty() && repository.checkpoint.is_none());
    let facts = Facts { repositories: vec![repository], ..scene.facts.clone() };
    let path = scene.write(&facts, &attachments, &scene.key);
    assert_eq!(scene.reasons(&path), BTreeSet::new());
    let (held, said) = follow(&commands(&path), &path, &scene.key.public().fingerprint());
    assert!(held, "{said}");
}
