//! What a drill finds out by itself, whatever its book does: which snapshots a disaster at that moment leaves, whether what
//! was restored is what they hold, whether the erased stay away, how far the repository had got.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::format::names;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{Label, ObjectHash, Tenant, TenantToken};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::erasures::{Erasures, may_be_grave};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::{Judge, Listed};
use lifeboat_repo::repository::{Repository, RepositoryError, ledger};
use lifeboat_repo::store::StoreError;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::diff::{Against, Aspect, Change, with_directory};
use lifeboat_restore::{RestoreError, Selection};
use lifeboat_verify::evidence::facts::{AbsentFact, EntryFact, Moment, Ratio, SampleFact};
use lifeboat_verify::objective::rpo;
use lifeboat_verify::{Bound, Seed};

use super::journal::Pin;

/// A component that is to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: Label,
    /// Those that must be back before it.
    pub needs: Vec<Label>,
    /// How much may be lost.
    pub rpo: Duration,
    /// How long its restore may take: what is aimed for, and what was promised.
    pub rto: (Duration, Duration),
}

/// Everything below snapshots' names.
///
/// # Errors
/// The store failed, or gc records are damaged.
pub fn listed(recovery: &Recovery<'_>) -> Result<Vec<Listed>, RepositoryError> {
    Judge::new(recovery.repository(), recovery.catalog())?.list(None)
}

/// What a disaster at that moment leaves of each component.
#[must_use]
pub fn pin(listed: &[Listed], wanted: &[Wanted], disruption: Timestamp) -> Vec<Pin> {
    let one = |wanted: &Wanted| {
        let left = rpo(listed, &wanted.name, disruption, wanted.rpo);
        let found = left.run.and_then(|run| snapshot_of(listed, &wanted.name, run));
        let counts =
            found.and_then(|one| one.snapshot.as_ref()).map(|snapshot| snapshot.counts).unwrap_or_default();
        Pin {
            component: wanted.name.clone(),
            run: left.run,
            recovery_point: left.recovery_point.map(Moment::new),
            bytes: counts.bytes,
            files: counts.files,
        }
    };
    wanted.iter().map(one).collect()
}

/// A component's snapshot by its run.
#[must_use]
pub fn snapshot_of<'l>(
    listed: &'l [Listed],
    component: &Label,
    run: lifeboat_repo::ids::RunId,
) -> Option<&'l Listed> {
    listed.iter().find(|one| one.component == *component && one.run == run)
}

/// How a restored tree compares with the snapshot it was pinned to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Entries looked at.
    pub entries: u64,
    /// Entries that are missing, strange, or of other content.
    pub mismatches: u64,
    /// Entries of which only owner, mode, time or attributes differ.
    pub dressed: u64,
    /// Entries that could not be looked at.
    pub unread: u64,
    /// Paths that stored data does not give.
    pub lost: u64,
}

/// The tenants drawn to be compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnTenants {
    /// They; none: everybody.
    pub tenants: BTreeSet<Tenant>,
    /// How many there are.
    pub population: u64,
    /// How many were drawn.
    pub drawn: u64,
}

/// Draws at most so many tenants of a snapshot by their keys. Whoever is erased is not drawn: nothing of them is there.
///
/// # Errors
/// The store failed.
pub fn draw(recovery: &Recovery<'_>, snapshot: &Snapshot, seed: Seed, most: usize) -> DrawnTenants {
    let open =
        snapshot.keys.iter().filter_map(|share| recovery.unwrap_tenant_key(&snapshot.writer, share.key).ok());
    let mut all: Vec<_> = open.map(|key| (seed.score(&key.key.as_bytes()[..]), key.tenant.clone())).collect();
    let population = all.len() as u64;
    all.sort();
    let everybody = all.len() <= most;
    all.truncate(most);
    let drawn = all.len() as u64;
    let tenants =
        if everybody { BTreeSet::new() } else { all.into_iter().map(|(_, tenant)| tenant).collect() };
    DrawnTenants { tenants, population, drawn }
}

impl DrawnTenants {
    /// As evidence says it.
    #[must_use]
    pub fn fact(&self, seed: Seed, checkpoint: Option<String>, nonce: &str, clean: bool) -> SampleFact {
        let share = if self.population == 0 { 0.0 } else { self.drawn as f64 / self.population as f64 };
        SampleFact {
            of: "tenants".into(),
            seed: seed.to_string(),
            checkpoint,
            nonce: Some(nonce.to_owned()),
            population: self.population,
            drawn: self.drawn,
            coverage: Ratio::new(share),
            bound: Bound::of_clean(self.drawn, self.population)
                .filter(|_| clean)
                .map(|bound| Ratio::new(bound.failure_rate_max)),
        }
    }
}

/// Compares a restored tree with its snapshot: contents of the drawn tenants byte by byte.
///
/// # Errors
/// The tree cannot be listed, the store failed, or the observer asked to stop.
pub fn compare(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    tree: &Path,
    drawn: &DrawnTenants,
    observer: &dyn Observer,
) -> Result<Compared, RestoreError> {
    let selection = Selection { paths: Vec::new(), tenants: drawn.tenants.clone() };
    let against = Against { contents: true, ..Against::default() };
    let mut found = Compared::default();
    let compared =
        with_directory(
            recovery,
            snapshot,
            &selection,
            tree,
            against,
            observer,
            &mut |one| match &one.change {
                Change::Added | Change::Removed => found.mismatches += 1,
                Change::Unread(_) => found.unread += 1,
                Change::Changed(aspects) => {
                    let grave = |aspect: &Aspect| {
                        matches!(
                            aspect,
                            Aspect::Type | Aspect::Content | Aspect::Target | Aspect::Link | Aspect::Device
                        )
                    };
                    if aspects.iter().any(grave) {
                        found.mismatches += 1;
                    } else {
                        found.dressed += 1;
                    }
                }
            },
        )?;
    found.entries = compared.same + compared.changed + compared.removed + compared.unread;
    // What belongs to the erased is not lost, but gone on purpose.
    let losses = compared.losses.iter().filter(|loss| loss.kind != lifeboat_restore::report::LossKind::Key);
    found.lost = losses.map(|loss| loss.path_count.max(1)).sum();
    Ok(found)
}

/// Every tombstone's keys must be gone, and no directory of a named tenant may be in what was restored.
///
/// # Errors
/// The store failed, or a tombstone is damaged: then nobody can say who is erased.
pub fn absent(recovery: &Recovery<'_>, restored: &Path, named: &[String]) -> Result<Vec<AbsentFact>, String> {
    let repository = recovery.repository();
    let erasures = Erasures::load(repository).map_err(|error| error.to_string())?;
    let mut facts = Vec::new();
    let names = directories(restored);
    let seen = named.iter().any(|tenant| names.contains(tenant));
    for act in erasures.acts().iter().filter(|act| act.effective && !act.body.readmit) {
        let mut left = 0;
        for (writer, key) in &act.body.keys {
            left += u64::from(recovery.unwrap_tenant_key(writer, *key).is_ok());
            left += keys_left(repository, key).map_err(|error| error.to_string())?;
        }
        let how = format!(
            "{} erased keys: none opens and only graves are at their names; {}",
            act.body.keys.len(),
            match named.len() {
                0 => "no canary was named, so no path was looked for".to_owned(),
                _ => format!("{} restored directory names: none is the canary's", names.len()),
            }
        );
        for (writer, token) in &act.body.tenants {
            if erasures.tenant(writer, *token) {
                facts.push(fact(*token, how.clone(), left == 0 && !seen));
            }
        }
    }
    Ok(facts)
}

const fn fact(tenant_token: TenantToken, looked_by: String, absent: bool) -> AbsentFact {
    AbsentFact { tenant_token, looked_by, absent }
}

/// Objects at names of a key that are no graves.
fn keys_left(repository: &Repository, key: &lifeboat_repo::ids::KeyId) -> Result<u64, StoreError> {
    let ending = format!("/{key}");
    let listed = repository.store().list("keys/")?;
    let own = listed.iter().filter(|object| object.name.as_str().ends_with(&ending));
    Ok(own.filter(|object| !may_be_grave(object.length)).count() as u64)
}

/// The names of all directories in a tree. What cannot be listed is what the comparison tells of.
fn directories(tree: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![tree.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                names.insert(entry.file_name().to_string_lossy().into_owned());
                waiting.push(entry.path());
            }
        }
    }
    names
}

/// How far the ledgers had got.
///
/// # Errors
/// An entry is missing or damaged, or the store failed.
pub fn heads(repository: &Repository) -> Result<(Vec<EntryFact>, Option<EntryFact>), RepositoryError> {
    let (mut heads, mut newest) = (Vec::new(), None::<EntryFact>);
    for (writer, last) in ledger::newest(repository)? {
        let mut seq = last;
        loop {
            let entry = ledger::read_entry(repository, &writer, seq)?;
            let fact = EntryFact {
                writer: writer.clone(),
                entry: names::ledger(&writer, seq)?,
                sha256: entry.head.1,
                run: entry.body.run,
            };
            if seq == last {
                heads.push(fact.clone());
            }
            if entry.body.checkpoint.is_some() {
                newest = newest.filter(|known| known.run > fact.run).or(Some(fact));
                break;
            }
            match seq.0.checked_sub(1) {
                Some(before) => seq = names::Seq(before),
                None => break,
            }
        }
    }
    Ok((heads, newest))
}

/// The seed of all that is drawn: of the newest checkpoint, published before, and the auditor's nonce.
#[must_use]
pub fn seed(checkpoint: Option<&EntryFact>, nonce: &str) -> Seed {
    let hash = checkpoint.map_or_else(|| ObjectHash::from_bytes([0; 32]), |checkpoint| checkpoint.sha256);
    Seed::from_checkpoint(&hash, nonce.as_bytes())
}

/// How much content a region has, as its pins say.
#[must_use]
pub fn content(pins: &[Pin]) -> Bytes {
    pins.iter().map(|pin| pin.bytes).fold(Bytes::ZERO, |all, one| all + one)
}
