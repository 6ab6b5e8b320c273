//! Planted faults: a drill that would not notice these proves nothing. Each is planted in what a drill alone sees, an
//! [`Overlay`] of the repository or a copy of restored files, and must be caught by the very checks that real recovery
//! relies on.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_repo::clock::Clock;
use lifeboat_repo::crypto::Identity;
use lifeboat_repo::format::names;
use lifeboat_repo::ids::{Label, ObjectName};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::recover::{Recovery, TenantKey};
use lifeboat_repo::repository::segments::SegmentMap;
use lifeboat_repo::repository::snapshots::{Judge, Listed};
use lifeboat_repo::repository::{Repository, RepositoryErrorKind};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::diff::{Against, Aspect, Change, with_directory};
use lifeboat_restore::report::LossKind;
use lifeboat_restore::{Options, Selection, perform, plan};
use lifeboat_verify::objective::{RpoVerdict, rpo};
use lifeboat_verify::{Outcome, Scope, Seed, inventory};

use super::overlay::{Fault, Overlay};

/// A fault that a drill plants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    /// One bit of a stored segment is another.
    CorruptedSegment,
    /// A pack is gone.
    MissingObject,
    /// All that says how new the data is, is older than may be.
    StaleSentinel,
    /// The recovery identity is another's.
    WrongKey,
    /// One bit of a restored file is another, and its length and time are right.
    AlteredFile,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::CorruptedSegment, Self::MissingObject, Self::StaleSentinel, Self::WrongKey, Self::AlteredFile];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CorruptedSegment => "corrupted-segment",
            Self::MissingObject => "missing-object",
            Self::StaleSentinel => "stale-sentinel",
            Self::WrongKey => "wrong-key",
            Self::AlteredFile => "altered-file",
        }
    }

    /// What is done, in a sentence.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::CorruptedSegment => {
                "One bit in the middle of a drawn segment is another, in every copy of it."
            }
            Self::MissingObject => "A drawn pack that the snapshot needs is neither listed nor found.",
            Self::StaleSentinel => "Every snapshot younger than the promised loss is taken away.",
            Self::WrongKey => "The repository is opened with an identity that was made a moment ago.",
            Self::AlteredFile => {
                "One bit of a file restored to scratch space is another; length and time stay."
            }
        }
    }

    /// What must happen.
    #[must_use]
    pub const fn expected(self) -> &'static str {
        match self {
            Self::CorruptedSegment => "the restore of its tenant reports damage and writes none of it",
            Self::MissingObject => "the inventory reports damage and names the pack",
            Self::StaleSentinel => "the loss is not within what was promised",
            Self::WrongKey => "nothing opens (wrong key)",
            Self::AlteredFile => "the comparison reports that its content differs",
        }
    }
}

/// Whether a fault is really planted. Planting none shows that a check does not cry wolf, and that a fault nobody plants
/// counts as uncaught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Really {
    /// It is.
    Planted,
    /// Everything is done as if.
    Pretended,
}

/// What became of a planted fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Which.
    pub plant: Plant,
    /// Where it was planted.
    pub place: String,
    /// What caught it; nothing where nothing did.
    pub by: Option<String>,
}

/// Where faults are planted: one component's snapshot that a drill restores.
pub struct Field<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What opens it.
    pub identities: &'a [Identity],
    /// The component.
    pub component: &'a Label,
    /// Its snapshot.
    pub pinned: &'a Listed,
    /// When the disaster strikes.
    pub disruption: Timestamp,
    /// How much may be lost.
    pub objective: Duration,
    /// Draws segment, pack and file.
    pub seed: Seed,
    /// Scratch space.
    pub scratch: &'a Path,
    /// The machine's clock.
    pub clock: &'a dyn Clock,
}

/// Why a fault could not be planted: then it was not caught either, and the check did not run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotPlanted(pub String);

fn cannot(error: impl std::fmt::Display) -> NotPlanted {
    NotPlanted(error.to_string())
}

/// Plants one fault and sees whether it is caught.
///
/// # Errors
/// It could not be planted, or the check could not run.
pub fn plant(
    field: &Field<'_>,
    which: Plant,
    really: Really,
    observer: &dyn Observer,
) -> Result<Caught, NotPlanted> {
    let (place, by) = match which {
        Plant::CorruptedSegment => field.corrupted_segment(really, observer)?,
        Plant::MissingObject => field.missing_object(really, observer)?,
        Plant::StaleSentinel => field.stale_sentinel(really)?,
        Plant::WrongKey => field.wrong_key(really)?,
        Plant::AlteredFile => field.altered_file(really, observer)?,
    };
    Ok(Caught { plant: which, place, by })
}

/// A place, and what caught the fault there.
type Found = (String, Option<String>);

/// A drawn segment.
struct Drawn {
    tenant: Arc<TenantKey>,
    /// Every copy: its pack, and a byte in the middle of it.
    copies: Vec<(ObjectName, Bytes)>,
}

impl Field<'_> {
    fn with<T>(
        &self,
        fault: Fault,
        really: Really,
        work: impl FnOnce(&Recovery<'_>) -> Result<T, NotPlanted>,
    ) -> Result<T, NotPlanted> {
        let fault = if really == Really::Planted { fault } else { Fault::default() };
        let overlay = Overlay::new(self.repository.store_shared(), fault);
        let repository = self.repository.over(Arc::new(overlay));
        work(&Recovery::open(&repository, self.identities, self.clock).map_err(cannot)?)
    }

    /// A segment of the pinned snapshot, of a tenant with little content that is not erased.
    fn draw(&self, recovery: &Recovery<'_>) -> Result<Drawn, NotPlanted> {
        let snapshot =
            self.pinned.snapshot.as_ref().ok_or_else(|| cannot("the pinned snapshot cannot be read"))?;
        let mut shares: Vec<_> = snapshot.keys.iter().filter(|share| share.bytes > Bytes::ZERO).collect();
        shares.sort_by_key(|share| (share.bytes, self.seed.score(&share.key.as_bytes()[..])));
        for share in shares {
            let Ok(tenant) = recovery.unwrap_tenant_key(&snapshot.writer, share.key) else { continue };
            let prefixes: HashSet<_> = share.segments.iter().copied().collect();
            let map = SegmentMap::load(self.repository, recovery.catalog(), &snapshot.writer, &prefixes)
                .map_err(cannot)?;
            let own = map.segments().iter().filter(|segment| segment.key == share.key);
            let Some(segment) = own.min_by_key(|segment| self.seed.score(&segment.id.as_bytes()[..])) else {
                continue;
            };
            let copy = |at: &lifeboat_repo::repository::segments::Place| {
                Ok((names::pack(at.pack).map_err(cannot)?, at.offset + Bytes(at.length.0 / 2)))
            };
            return Ok(Drawn { tenant, copies: segment.places.iter().map(copy).collect::<Result<_, _>>()? });
        }
        Err(cannot("no tenant of the pinned snapshot has content that opens"))
    }

    fn place(drawn: &Drawn) -> String {
        drawn.copies.first().map_or_else(String::new, |(name, at)| format!("{name}, byte {}", at.0))
    }

    fn corrupted_segment(&self, really: Really, observer: &dyn Observer) -> Result<Found, NotPlanted> {
        let drawn = self.with(Fault::default(), really, |recovery| self.draw(recovery))?;
        let fault = Fault { altered: drawn.copies.clone(), ..Fault::default() };
        let scratch = Scratch::below(self.scratch, "corrupted-segment")?;
        let lost =
            self.with(fault, really, |recovery| self.restore(recovery, &drawn, &scratch.0, observer))?;
        let by = (lost > 0).then(|| format!("the restore: {lost} damaged, and left out"));
        Ok((Self::place(&drawn), by))
    }

    /// Restores the drawn tenant; how many shares or paths are damaged.
    fn restore(
        &self,
        recovery: &Recovery<'_>,
        drawn: &Drawn,
        to: &Path,
        observer: &dyn Observer,
    ) -> Result<u64, NotPlanted> {
        let snapshot =
            self.pinned.snapshot.as_ref().ok_or_else(|| cannot("the pinned snapshot cannot be read"))?;
        let plan = plan(recovery, snapshot, &selection(drawn), observer).map_err(cannot)?;
        let store = recovery.repository().store();
        let report = perform(store, &plan, to, &Options::default(), observer).map_err(cannot)?;
        let damaged = report.losses.iter().filter(|loss| loss.kind == LossKind::Damaged);
        Ok(damaged.map(|loss| loss.path_count.max(1)).sum())
    }

    fn missing_object(&self, really: Really, observer: &dyn Observer) -> Result<Found, NotPlanted> {
        let drawn = self.with(Fault::default(), really, |recovery| self.draw(recovery))?;
        let hidden: Vec<ObjectName> = drawn.copies.iter().map(|(name, _)| name.clone()).collect();
        let fault = Fault { hidden: hidden.iter().cloned().collect(), ..Fault::default() };
        let scope = Scope { component: Some(self.component.clone()), ..Scope::default() };
        let report = self.with(fault, really, |recovery| {
            inventory(recovery.repository(), recovery.catalog(), &scope, observer).map_err(cannot)
        })?;
        let named = |name: &ObjectName| {
            report.findings.iter().any(|finding| finding.to_string().contains(name.as_str()))
        };
        let caught = report.outcome == Outcome::Failed && hidden.iter().any(named);
        Ok((
            hidden.first().map(ToString::to_string).unwrap_or_default(),
            caught.then(|| "the inventory, which names it".into()),
        ))
    }

    fn stale_sentinel(&self, really: Really) -> Result<Found, NotPlanted> {
        let listed = |recovery: &Recovery<'_>| {
            Judge::new(recovery.repository(), recovery.catalog())
                .and_then(|judge| judge.list(Some(self.component)))
                .map_err(cannot)
        };
        let all = self.with(Fault::default(), really, listed)?;
        let young = |one: &&Listed| {
            let point = one.snapshot.as_ref().map(|snapshot| snapshot.recovery_point);
            point
                .is_none_or(|point| point > self.disruption || self.disruption.since(point) <= self.objective)
        };
        let hidden = all.iter().filter(young).map(|one| one.name.clone()).collect();
        let left = self.with(Fault { hidden, ..Fault::default() }, really, listed)?;
        let by = match rpo(&left, self.component, self.disruption, self.objective).verdict {
            RpoVerdict::Met => None,
            verdict => Some(format!("the age of what can be restored: {verdict}")),
        };
        Ok((format!("snapshots/{}/", self.component), by))
    }

    fn wrong_key(&self, really: Really) -> Result<Found, NotPlanted> {
        let stranger = [Identity::generate()];
        let identities = if really == Really::Planted { &stranger[..] } else { self.identities };
        let opened = Recovery::open(self.repository, identities, self.clock);
        let by = match opened {
            Err(error) if matches!(error.kind, RepositoryErrorKind::WrongKey(_)) => {
                Some("the seal, which does not open".into())
            }
            Err(error) => return Err(cannot(error)),
            Ok(_) => None,
        };
        Ok(("seals/".to_owned(), by))
    }

    fn altered_file(&self, really: Really, observer: &dyn Observer) -> Result<Found, NotPlanted> {
        let scratch = Scratch::below(self.scratch, "altered-file")?;
        let snapshot =
            self.pinned.snapshot.as_ref().ok_or_else(|| cannot("the pinned snapshot cannot be read"))?;
        self.with(Fault::default(), really, |recovery| {
            let drawn = self.draw(recovery)?;
            self.restore(recovery, &drawn, &scratch.0, observer)?;
            let file = self.a_file(&scratch.0)?;
            if really == Really::Planted {
                alter(&file).map_err(cannot)?;
            }
            let mut seen = false;
            let own = |path: &[u8]| {
                use std::os::unix::ffi::OsStrExt;
                scratch.0.join(std::ffi::OsStr::from_bytes(path)) == file
            };
            let against = Against { contents: true, ..Against::default() };
            with_directory(
                recovery,
                snapshot,
                &selection(&drawn),
                &scratch.0,
                against,
                observer,
                &mut |one| {
                    let content =
                        matches!(&one.change, Change::Changed(aspects) if aspects.contains(&Aspect::Content));
                    seen |= content && own(&one.path);
                },
            )
            .map_err(cannot)?;
            // The name of a customer's file is no business of whoever reads the evidence.
            let place = "a file of the drawn tenant, restored to scratch space".to_owned();
            Ok((place, seen.then(|| "the comparison of contents".to_owned())))
        })
    }

    /// A regular file with content in a restored tree, drawn.
    fn a_file(&self, tree: &Path) -> Result<PathBuf, NotPlanted> {
        use std::os::unix::ffi::OsStrExt;
        let mut files = Vec::new();
        let mut directories = vec![tree.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).map_err(cannot)? {
                let path = entry.map_err(cannot)?.path();
                let meta = path.symlink_metadata().map_err(cannot)?;
                if meta.is_dir() {
                    directories.push(path);
                } else if meta.is_file() && meta.blocks() > 0 {
                    files.push(path);
                }
            }
        }
        let score =
            |path: &PathBuf| self.seed.score(path.strip_prefix(tree).unwrap_or(path).as_os_str().as_bytes());
        files.into_iter().min_by_key(score).ok_or_else(|| cannot("the drawn tenant has no file with content"))
    }
}

fn selection(drawn: &Drawn) -> Selection {
    Selection { paths: Vec::new(), tenants: [drawn.tenant.tenant.clone()].into() }
}

/// Makes one bit of a file another, and gives it its time back.
fn alter(path: &Path) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let meta = file.metadata()?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, meta.len() / 2)?;
    file.write_all_at(&[byte[0] ^ 1], meta.len() / 2)?;
    let times = fs::FileTimes::new().set_modified(meta.modified()?).set_accessed(meta.accessed()?);
    file.set_times(times)
}

/// A directory that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn below(parent: &Path, name: &str) -> Result<Self, NotPlanted> {
        let path = parent.join(name);
        // What an attempt that was cut off left there.
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot(error)),
            _ => {}
        }
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The target is cleaned up as a whole in the end, and says what it could not remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}
