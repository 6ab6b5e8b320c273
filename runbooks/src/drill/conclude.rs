//! What a drill proves once its steps are done: it looks at what was restored, plants faults, looks for the erased, and puts
//! all of it together as facts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lifeboat_repo::clock::Clock;
use lifeboat_repo::crypto::Identity;
use lifeboat_repo::ids::Label;
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Listed;
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::units::Timestamp;
use lifeboat_verify::Seed;
use lifeboat_verify::evidence::facts::SampleFact;
use lifeboat_verify::loss::Loss;
use lifeboat_verify::objective::{Rpo, rpo};

use super::journal::Body;
use super::measure::{self, Absent, Compared, DrawnTenants, Wanted};
use super::planted::{self, Caught, Field, Plant, Really};

/// Tenants of a component that are compared byte by byte; all of them where there are no more.
pub const TENANTS_DRAWN: usize = 25;

/// What a region's restore writes down in its target, so that it can go on.
pub const REGION_JOURNAL: &str = "lifeboat-region-restore.json";

/// Where a drill looks.
pub struct Scene<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What opens it.
    pub identities: &'a [Identity],
    /// The components of the drill, those that others need first.
    pub wanted: &'a [Wanted],
    /// The drill so far.
    pub journal: &'a Body,
    /// The machine's clock.
    pub clock: &'a dyn Clock,
    /// Tenants to compare byte by byte, of each component.
    pub tenants: usize,
    /// Whether faults are really planted.
    pub really: Really,
    /// Listens for heartbeats.
    pub listen: &'a Listen<'a>,
}

/// What a component lost, by the heartbeats in what was restored of it there: nothing where it has none, a text where nobody
/// can say.
pub type Listen<'a> = dyn Fn(&Recovery<'_>, &Label, Option<&Path>) -> Option<Result<Loss, String>> + 'a;

/// What was found.
pub struct Found {
    /// How each component compares with its snapshot; the text says why one could not be compared.
    pub compared: BTreeMap<Label, Result<Compared, String>>,
    /// What heartbeats say that each component lost, of those that have any; the text says why nobody knows.
    pub heard: BTreeMap<Label, Result<Loss, String>>,
    /// How much of each component would be lost by the age of its snapshot.
    pub losses: BTreeMap<Label, Rpo>,
    /// The tenants that were drawn; none where nothing was compared.
    pub sample: Option<SampleFact>,
    /// Every fault: what caught it, or why it could not be planted.
    pub planted: Vec<(Plant, Result<Caught, String>)>,
    /// Whether the erased are absent; the text says why that is not known.
    pub absent: Result<Absent, String>,
}

/// Looks at all of it.
///
/// # Errors
/// The repository does not open, or snapshots cannot be listed: then nothing is known.
pub fn look(scene: &Scene<'_>, observer: &dyn Observer) -> Result<Found, RepositoryError> {
    let recovery = Recovery::open(scene.repository, scene.identities, scene.clock)?;
    let listed = measure::listed(&recovery)?;
    let disruption = scene.journal.disruption.timestamp();
    let seed: Seed = scene.journal.seed.parse().unwrap_or_else(|_| measure::seed(None, &scene.journal.nonce));
    let losses = scene
        .wanted
        .iter()
        .map(|wanted| (wanted.name.clone(), rpo(&listed, &wanted.name, disruption, wanted.rpo)))
        .collect();
    let (mut compared, mut drawn, mut heard) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for wanted in scene.wanted {
        let one = compare(scene, &recovery, &listed, wanted, seed, observer).map(|(found, tenants)| {
            drawn.push(tenants);
            found
        });
        compared.insert(wanted.name.clone(), one);
        let place = place_of(scene, &wanted.name);
        if let Some(loss) = (scene.listen)(&recovery, &wanted.name, place.as_deref()) {
            heard.insert(wanted.name.clone(), loss);
        }
    }
    let clean = compared
        .values()
        .all(|one| one.as_ref().is_ok_and(|found| found.mismatches + found.unread + found.lost == 0));
    let (all, bound) = DrawnTenants::together(&drawn);
    let (checkpoint, nonce) = (scene.journal.checkpoint.clone(), &scene.journal.nonce);
    let sample = (all.population > 0).then(|| all.fact(seed, checkpoint, nonce, bound.filter(|_| clean)));
    let planted = plant(scene, &listed, seed, disruption, observer);
    let absent = measure::absent(&recovery, &scene.journal.target.restored(), &scene.journal.erased);
    Ok(Found { compared, heard, losses, sample, planted, absent })
}

/// Where a component was restored to: a directory of its own in a region's restore, or the whole.
fn place_of(scene: &Scene<'_>, component: &Label) -> Option<PathBuf> {
    let restored = scene.journal.target.restored();
    let own = restored.join(component.as_str());
    let single = scene.journal.component.as_ref() == Some(component);
    let place = if single && !is_region(&restored) { restored } else { own };
    place.is_dir().then_some(place)
}

/// Whether a region was restored there.
fn is_region(restored: &Path) -> bool {
    restored.join(REGION_JOURNAL).is_file()
}

fn compare(
    scene: &Scene<'_>,
    recovery: &Recovery<'_>,
    listed: &[Listed],
    wanted: &Wanted,
    seed: Seed,
    observer: &dyn Observer,
) -> Result<(Compared, DrawnTenants), String> {
    let pin = scene.journal.pins.iter().find(|pin| pin.component == wanted.name);
    let run = pin.and_then(|pin| pin.run).ok_or("no snapshot of it would have been there")?;
    let snapshot = measure::snapshot_of(listed, &wanted.name, run).and_then(|one| one.snapshot.as_ref());
    let snapshot = snapshot.ok_or("its pinned snapshot is gone or cannot be read")?;
    let tree = place_of(scene, &wanted.name).ok_or("nothing was restored of it")?;
    let drawn = measure::draw(recovery, snapshot, seed, scene.tenants);
    let found =
        measure::compare(recovery, snapshot, &tree, &drawn, observer).map_err(|error| error.to_string())?;
    Ok((found, drawn))
}

fn plant(
    scene: &Scene<'_>,
    listed: &[Listed],
    seed: Seed,
    disruption: Timestamp,
    observer: &dyn Observer,
) -> Vec<(Plant, Result<Caught, String>)> {
    // In the smallest component that has content: the check is the same, and costs least.
    let candidates = scene.wanted.iter().filter_map(|wanted| {
        let pin = scene.journal.pins.iter().find(|pin| pin.component == wanted.name && pin.bytes.0 > 0)?;
        Some((pin.bytes, wanted, measure::snapshot_of(listed, &wanted.name, pin.run?)?))
    });
    let Some((_, wanted, pinned)) = candidates.min_by_key(|(bytes, ..)| *bytes) else {
        let why = || Err("no component has a snapshot with content from before the disruption".to_owned());
        return Plant::ALL.map(|which| (which, why())).into();
    };
    let scratch = scene.journal.target.work();
    let field = Field {
        repository: scene.repository,
        identities: scene.identities,
        component: &wanted.name,
        pinned,
        disruption,
        objective: wanted.rpo,
        seed,
        scratch: &scratch,
        clock: scene.clock,
    };
    let one = |which| (which, planted::plant(&field, which, scene.really, observer).map_err(|error| error.0));
    Plant::ALL.map(one).into()
}
