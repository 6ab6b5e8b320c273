//! A tree that changes between snapshots, and what a naive person writes down of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use lifeboat_backup::Job;
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::RunId;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::trees::{Maker, noise};
use lifeboat_tests::{World, copy, label};

/// What is seen of one path at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: &'static str,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    /// Of files; empty otherwise.
    pub(crate) content: Vec<u8>,
}

/// Everything by its path.
pub(crate) type Look = BTreeMap<Vec<u8>, Seen>;

/// Looks at a whole tree.
pub(crate) fn look(root: &Path) -> Look {
    let mut all = Look::new();
    add(root, b".".to_vec(), &mut all);
    all
}

fn add(at: &Path, path: Vec<u8>, all: &mut Look) {
    let meta = fs::symlink_metadata(at).unwrap();
    let kind = if meta.is_dir() { "dir" } else { "file" };
    if meta.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            let name = entry.unwrap().file_name().into_vec();
            let below = if path == b"." { name.clone() } else { [path.as_slice(), b"/", &name].concat() };
            add(&at.join(OsStr::from_bytes(&name)), below, all);
        }
    }
    let content = if meta.is_file() { fs::read(at).unwrap() } else { Vec::new() };
    let seen = Seen {
        kind,
        mode: meta.permissions().mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        content,
    };
    all.insert(path, seen);
}

/// What differs between two looks at one path, in the words of `diff`.
pub(crate) fn aspects(was: &Seen, is: &Seen) -> Vec<&'static str> {
    if was.kind != is.kind {
        return vec!["type"];
    }
    let all = [
        (was.content != is.content, "content"),
        (was.mode != is.mode, "mode"),
        (was.owner != is.owner, "owner"),
        (was.mtime != is.mtime, "mtime"),
    ];
    all.into_iter().filter(|(differs, _)| *differs).map(|(_, word)| word).collect()
}

/// Snapshots, and what was there when each was made.
pub(crate) struct History {
    pub(crate) world: World,
    /// Oldest first.
    pub(crate) moments: Vec<(RunId, Look)>,
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn index(&mut self, sides: u64) -> usize {
        usize::try_from(self.roll(sides)).unwrap()
    }
}

/// Names of which some are no text.
const NAMES: [&[u8]; 8] =
    [b"a", b"b.txt", b"c d", b"\xff\xfe", b"new\nline", b"back\\slash", b"*?[x]", b"A.txt"];
const PLACES: [&str; 4] = ["", "tenants/acme/", "tenants/acme/deep/", "tenants/beta/"];
/// Enough for manifests of several chunks.
const FILLING: u32 = 1200;

impl History {
    /// Makes snapshots of a tree that changes at random; two writers take turns now and then.
    pub(crate) fn new(seed: u64, snapshots: usize) -> Self {
        let world = World::over(Arc::new(MemoryStore::new()), scratch());
        let card = Identity::generate();
        world.enrol("w2", &SigningKey::from_seed([9; 32]).public(), &card, &["files"]);
        let m = Maker::new(&world.source());
        m.dir("tenants/acme/deep");
        m.dir("tenants/beta");
        m.dir("tenants/acme/filling");
        for number in 0..FILLING {
            m.file(format!("tenants/acme/filling/{number:05}"), format!("file {number}").as_bytes());
        }
        let mut dice = Dice(seed);
        let mut moments = Vec::new();
        for number in 0..snapshots {
            // Now and then nothing happens, and the snapshot is as the one before.
            for _ in 0..dice.roll(4) * 3 {
                change(&world, &m, &mut dice);
            }
            let seen = look(&world.source());
            let run = if is_second(number) { second(&world, &card) } else { world.backup().unwrap().run };
            moments.push((run, seen));
        }
        Self { world, moments }
    }
}

/// Whether the other writer made the snapshot of this number.
pub(crate) fn is_second(number: usize) -> bool {
    number % 5 == 4
}

/// A backup by the other writer.
fn second(world: &World, card: &Identity) -> RunId {
    let credentials =
        Credentials { writer: label("w2"), signing: SigningKey::from_seed([9; 32]), card: copy(card) };
    let job = Job { state: world.dir.path().join("state of w2"), ..world.job() };
    let repository = world.repository();
    lifeboat_backup::run(&repository, credentials, &job, &SystemClock, &SystemEntropy, &Silent).unwrap().run
}

fn change(world: &World, m: &Maker, dice: &mut Dice) {
    let place = PLACES[dice.index(4)];
    let name = NAMES[dice.index(8)];
    let path = [place.as_bytes(), name].concat();
    if !m.path(place).is_dir() {
        return;
    }
    let there = fs::symlink_metadata(m.path(&path)).ok();
    let file = there.as_ref().is_some_and(fs::Metadata::is_file);
    let dir = there.as_ref().is_some_and(fs::Metadata::is_dir);
    match dice.roll(9) {
        0..=2 if !dir => m.file(&path, &noise(dice.roll(1 << 40), dice.index(3000))),
        3 if file => fs::remove_file(m.path(&path)).unwrap(),
        3 if there.is_none() => m.dir(&path),
        4 if dir => fs::remove_dir_all(m.path(&path)).unwrap(),
        4 if file => m.mode(&path, 0o600 + u32::try_from(dice.roll(8)).unwrap()),
        5 if file => m.owner(&path, u32::try_from(dice.roll(3)).unwrap(), 7),
        // The same content at another time.
        6 if file => m.time(&path, 1_600_000_000 + dice.roll(1000).cast_signed(), 5),
        7 => m.file(
            format!("tenants/acme/filling/{:05}", dice.roll(u64::from(FILLING))),
            &noise(dice.roll(1 << 40), 20),
        ),
        // A tenant leaves, and comes back as it was.
        8 => {
            let (here, away) = (m.path("tenants/beta"), world.dir.path().join("beta, away"));
            if here.exists() { fs::rename(here, away) } else { fs::rename(away, here) }.unwrap();
        }
        _ => {}
    }
}
