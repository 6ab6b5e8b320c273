//! What a drill finds out by itself, whatever its book does: which snapshots a disaster at that moment leaves, whether what
//! was restored is what they hold, whether the erased stay away.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{Label, ObjectHash, Tenant};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::{Judge, Listed};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::diff::{Against, Aspect, Change, with_directory};
use lifeboat_restore::{RestoreError, Selection};
use lifeboat_verify::evidence::facts::{EntryFact, Moment, Ratio, SampleFact};
use lifeboat_verify::objective::rpo;
use lifeboat_verify::{Bound, Seed};

use super::journal::Pin;

mod absent;

pub use absent::{Absent, Erased, absent, erased_as};

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
#[must_use]
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
    /// The highest failure rate that nothing wrong with them leaves room for.
    #[must_use]
    pub fn bound(&self) -> Option<Ratio> {
        Bound::of_clean(self.drawn, self.population).map(|bound| Ratio::new(bound.failure_rate_max))
    }

    /// What was drawn of all components together, and what nothing wrong with it leaves room for. Each was drawn from by
    /// itself, so no more is known of the whole than of whichever least is known of.
    #[must_use]
    pub fn together(all: &[Self]) -> (Self, Option<Ratio>) {
        let own = all.iter().filter(|one| one.population > 0).map(Self::bound);
        let bounds: Option<Vec<Ratio>> = own.collect();
        let widest = bounds.and_then(|all| all.into_iter().max_by(|a, b| a.number().total_cmp(&b.number())));
        let sum = |of: fn(&Self) -> u64| all.iter().map(of).sum();
        let whole = Self {
            tenants: BTreeSet::new(),
            population: sum(|one| one.population),
            drawn: sum(|one| one.drawn),
        };
        (whole, widest)
    }

    /// As evidence says it; `bound` is of the whole of what was drawn, where nothing was wrong with it.
    #[must_use]
    pub fn fact(
        &self,
        seed: Seed,
        checkpoint: Option<String>,
        nonce: &str,
        bound: Option<Ratio>,
    ) -> SampleFact {
        let share = if self.population == 0 { 0.0 } else { self.drawn as f64 / self.population as f64 };
        SampleFact {
            of: "tenants".into(),
            seed: seed.to_string(),
            checkpoint,
            nonce: Some(nonce.to_owned()),
            population: self.population,
            drawn: self.drawn,
            coverage: Ratio::new(share),
            bound,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_whole_no_more_is_known_than_of_the_least_known() {
        let drawn = |drawn, population| DrawnTenants { tenants: BTreeSet::new(), population, drawn };
        let bound = |drawn: DrawnTenants| drawn.bound().map(Ratio::number);
        let (whole, widest) = DrawnTenants::together(&[drawn(25, 1000), drawn(25, 25), drawn(0, 0)]);
        assert_eq!((whole.drawn, whole.population), (50, 1025));
        assert_eq!(widest.map(Ratio::number), bound(drawn(25, 1000)));
        // Fifty drawn from all of them at once would say more than these do.
        assert!(widest.map(Ratio::number) > bound(drawn(50, 1025)));
        assert_eq!(DrawnTenants::together(&[drawn(25, 25), drawn(0, 9)]).1, None);
    }
}
