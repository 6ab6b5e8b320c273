//! Repair: what verification finds, healed from a copy; what no copy has, marked, so that nothing relies on it any more
//! and the next backup stores again what still exists at its source.
//!
//! First objects ([`plan_objects`], [`heal_objects`]): everything that is missing or not what it should be and that a
//! copy has whole. Then marks ([`plan_marks`], [`put_marks`]): live segments of packs that stay damaged are copied out of
//! them, or from the copy, into new packs; the damaged packs are condemned, segments that nobody has whole are given up
//! as lost, and index objects that stay damaged are written anew from the tables of packs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lifeboat_repo::clock::Clock;
use lifeboat_repo::crypto::sign::{Kind, VerifyingKey};
use lifeboat_repo::format::names::{self, Place, Seq, place};
use lifeboat_repo::format::records::{Head, Recorded};
use lifeboat_repo::ids::{IdentityId, Label, ObjectHash, ObjectName};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::erasures::Erasures;
use lifeboat_repo::repository::ledger::read_entry;
use lifeboat_repo::repository::repair::{check_copy, put_copy};
use lifeboat_repo::store::Store;
use serde::Serialize;

use crate::damage::{Severity, Subject};
use crate::error::VerifyError;
use crate::integrity::integrity;
use crate::ledgers::{Reach, may_record};
use crate::workers::Threads;

mod bundled;
mod marks;

pub use bundled::plan_bundled;
pub use marks::{Marked, Marks, plan_marks, put_marks};

/// Copies of a repository's objects: its replica, what a bundle holds.
#[derive(Clone)]
pub struct Copy {
    /// What it is called.
    pub name: String,
    /// Where it lies.
    pub store: Arc<dyn Store>,
}

/// What is wrong with an object, and which copy heals it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// The object.
    pub object: ObjectName,
    /// What is the matter.
    pub what: String,
    /// The copy that has it whole; none where no copy has.
    pub from: Option<String>,
    /// Why no copy heals it, and what does.
    pub left: Option<String>,
    #[serde(skip)]
    vouched: Option<ObjectHash>,
}

/// What can be healed object by object.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ObjectPlan {
    /// Everything that is wrong.
    pub wrong: Vec<Wrong>,
    /// Whether everything could be looked at; the text says what could not.
    pub unchecked: Vec<String>,
}

impl ObjectPlan {
    /// The objects that a copy heals.
    pub fn healed(&self) -> impl Iterator<Item = &Wrong> {
        self.wrong.iter().filter(|wrong| wrong.from.is_some())
    }

    /// The objects that stay as they are.
    pub fn left(&self) -> impl Iterator<Item = &Wrong> {
        self.wrong.iter().filter(|wrong| wrong.from.is_none())
    }
}

/// Looks at every object, and for whatever is missing or damaged at the copies. `trust` are trust files that are known to
/// be other than those of the first copy.
///
/// # Errors
/// A listing failed, or the observer asked to stop.
pub fn plan_objects(
    here: &Repository,
    trust: &[ObjectName],
    pins: &[VerifyingKey],
    copies: &[Copy],
    clock: &dyn Clock,
    threads: Threads,
    observer: &dyn Observer,
) -> Result<ObjectPlan, VerifyError> {
    let mut found: BTreeMap<ObjectName, (String, Option<ObjectHash>)> = BTreeMap::new();
    for name in trust {
        found.insert(name.clone(), ("it is missing or damaged".into(), None));
    }
    let vouched = vouched(here)?;
    wrong_records(here, copies, &vouched, &mut found)?;
    let report = integrity(here, pins, clock, threads, observer)?;
    // What a run that was cut off left, the next of its writer takes over without looking into it.
    let taken_over =
        |(name, _): &(ObjectName, String)| matches!(place(name), Some(Place::Pack(_) | Place::Index(..)));
    for (name, what) in report.spoilt.into_iter().filter(taken_over) {
        found.entry(name).or_insert((what, None));
    }
    let mut unchecked = Vec::new();
    for finding in report.findings {
        match (finding.severity, finding.object) {
            (Severity::Damage, Subject::Object(name)) => {
                let hash = vouched.get(&name).copied();
                found.entry(name).or_insert((finding.what, hash));
            }
            (Severity::Damage, Subject::Area(area)) if !area.starts_with("trust") => {
                unchecked.push(format!("{area}: {}", finding.what));
            }
            (Severity::CouldNotCheck, object) => unchecked.push(format!("{object}: {}", finding.what)),
            _ => {}
        }
    }
    let mut plan = ObjectPlan { wrong: Vec::new(), unchecked };
    let seals_here = seals_of_keys(here.store())?;
    // Names are in order of what depends on what but for ledgers, keys and trust; these go first when it is done.
    let erasures = Erasures::load(here)?;
    for (object, (what, hash)) in found {
        // What officers erased never comes back, whatever copy has it.
        if matches!(place(&object), Some(Place::Key(_, _, key) | Place::Card(_, key)) if erasures.key(key)) {
            continue;
        }
        let mut wrong = Wrong { object, what, from: None, left: None, vouched: hash };
        for copy in copies {
            look_in(here, copy, &seals_here, clock, &mut wrong);
        }
        if wrong.from.is_none() {
            wrong.left = Some(wrong.left.unwrap_or_default() + advice(&wrong.object));
        }
        plan.wrong.push(wrong);
    }
    plan.wrong.sort_by_key(|wrong| rank(&wrong.object));
    Ok(plan)
}

/// Puts whole copies in the place of what is missing or damaged, packs as the class that their tables say to the catalog. What fails is left, and the reason is in the plan.
pub fn heal_objects(
    here: &Repository,
    plan: &mut ObjectPlan,
    copies: &[Copy],
    catalog: Option<&Catalog>,
    clock: &dyn Clock,
    observer: &dyn Observer,
) {
    observer.tell(Event::Phase("healing from the copy"));
    for wrong in &mut plan.wrong {
        let Some(from) = copies.iter().find(|copy| Some(&copy.name) == wrong.from.as_ref()) else { continue };
        if let Err(why) = still_wanted(here, &wrong.object) {
            wrong.from = None;
            wrong.left = Some(why);
            continue;
        }
        let put = put_copy(here, from.store.as_ref(), &wrong.object, wrong.vouched, catalog, clock.now());
        if let Err(error) = put {
            wrong.from = None;
            wrong.left = Some(format!("it could not be put in its place: {error}"));
        }
    }
}

/// Looks into a copy for an object that none had whole so far. A key may have been sealed anew since its ledger named it:
/// then it lies under another seal, best under one that other keys here lie under, too.
fn look_in(
    here: &Repository,
    copy: &Copy,
    seals_here: &BTreeSet<IdentityId>,
    clock: &dyn Clock,
    wrong: &mut Wrong,
) {
    if wrong.from.is_some() {
        return;
    }
    let mut places = vec![(wrong.object.clone(), wrong.vouched)];
    if let Some(Place::Key(own, writer, key)) = place(&wrong.object) {
        let listed = copy.store.list("keys/").unwrap_or_default().into_iter().map(|object| object.name);
        let others = listed.filter(|name| match place(name) {
            Some(Place::Key(seal, its, id)) => (its, id) == (writer.clone(), key) && seal != own,
            _ => false,
        });
        places.extend(others.map(|name| (name, None)));
        places.sort_by_key(|(name, _)| match place(name) {
            Some(Place::Key(seal, ..)) => !seals_here.contains(&seal),
            _ => true,
        });
    }
    for (name, vouched) in places {
        match check_copy(here, copy.store.as_ref(), &name, vouched, clock.now()) {
            Ok(()) => {
                if name != wrong.object {
                    wrong.what = format!("{} ({})", wrong.what, wrong.object);
                    wrong.object = name;
                }
                (wrong.from, wrong.left, wrong.vouched) = (Some(copy.name.clone()), None, vouched);
                return;
            }
            Err(error) => wrong.left = Some(format!("{} has no whole copy: {}", copy.name, error.kind)),
        }
    }
}

/// The seals that keys here are sealed to.
fn seals_of_keys(store: &dyn Store) -> Result<BTreeSet<IdentityId>, VerifyError> {
    let listed = store.list("keys/")?;
    let seals = listed.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Key(seal, ..)) => Some(seal),
        _ => None,
    });
    Ok(seals.collect())
}

/// Whether nobody erased a key or card since it was planned to put it back.
fn still_wanted(here: &Repository, name: &ObjectName) -> Result<(), String> {
    let Some(Place::Key(_, _, key) | Place::Card(_, key)) = place(name) else { return Ok(()) };
    match Erasures::load(here) {
        Ok(erasures) if !erasures.key(key) => Ok(()),
        Ok(_) => Err("officers erased it meanwhile".into()),
        Err(error) => Err(format!("whether officers erased it cannot be told: {error}")),
    }
}

/// Trust opens everything, then seals, then ledgers, which vouch for the rest; snapshots last, since they need it all.
fn rank(name: &ObjectName) -> (usize, ObjectName) {
    let area = name.parts().next().unwrap_or_default();
    let order = ["trust", "seals", "ledger", "keys", "cards", "packs", "index", "runs"];
    (order.iter().position(|one| *one == area).unwrap_or(order.len()), name.clone())
}

/// What heals an object that no copy at hand has.
fn advice(name: &ObjectName) -> &'static str {
    match place(name) {
        Some(Place::Key(..)) => {
            "; a key heals from a replica or a bundle alone: without one, what was sealed to it is lost for ever, and \
             the next backup makes a new key and stores again what still exists at its source"
        }
        Some(Place::Seal(..)) => {
            "; a seal heals from a replica or a bundle alone: look for every copy before the next backup, and let an \
             officer see to it"
        }
        Some(Place::Card(..)) => {
            "; without its card the writer makes a new key at the next backup, and what is stored still opens"
        }
        Some(Place::Trust(_) | Place::Ledger(..) | Place::Gc(_)) => {
            "; it heals from a copy of this store alone"
        }
        Some(Place::Snapshot(..) | Place::Run(..)) => {
            "; that snapshot is lost; the next backup makes another"
        }
        Some(Place::Pack(_)) => {
            "; it is condemned, and the next backup stores again what still exists at its source"
        }
        Some(Place::Index(..)) => "; it is written anew from the tables of packs",
        _ => "",
    }
}

/// The hashes that whole ledger entries give: of what they name and may name, of the entries before them, and of what checkpoints saw.
fn vouched(here: &Repository) -> Result<HashMap<ObjectName, ObjectHash>, VerifyError> {
    let mut vouched = HashMap::new();
    let mut disputed: BTreeSet<ObjectName> = BTreeSet::new();
    for object in here.store().list("ledger/")? {
        let Some(Place::Ledger(writer, seq)) = place(&object.name) else { continue };
        if !binds(here, &writer, seq) {
            continue;
        }
        let Ok(entry) = read_entry(here, &writer, seq) else { continue };
        let mut vouch = |name: Result<ObjectName, _>, hash| {
            if let Ok(name) = name
                && *vouched.entry(name.clone()).or_insert(hash) != hash
                && matches!(place(&name), Some(Place::Snapshot(..)))
            {
                // Two writers of one component, of whom one lies: the snapshot's own signature decides.
                disputed.insert(name);
            }
        };
        if let (Some(previous), Some(before)) = (entry.body.previous, seq.0.checked_sub(1)) {
            vouch(names::ledger(&writer, Seq(before)), previous);
        }
        for Recorded(name, hash, _) in entry.body.objects {
            let may_sign = |name: &ObjectName| here.trust().may_ever_sign(&writer, Kind::Snapshot, name);
            if may_record(&writer, Reach::of(here, &writer), &name, hash, may_sign) {
                vouch(Ok(name), hash);
            }
        }
        let Some(checkpoint) = entry.body.checkpoint else { continue };
        vouch(names::trust(checkpoint.trust.0), checkpoint.trust.1);
        for Recorded(name, hash, _) in checkpoint.seals {
            vouch(Ok(name), hash);
        }
        for (writer, Head(seq, hash)) in checkpoint.heads {
            vouch(names::ledger(&writer, seq), hash);
        }
    }
    vouched.retain(|name, _| !disputed.contains(name));
    Ok(vouched)
}

/// Whether an entry counts: a revoked writer's do up to its cutoff.
fn binds(here: &Repository, writer: &Label, seq: Seq) -> bool {
    here.trust().cutoff(writer).is_none_or(|last| last.is_some_and(|last| seq <= last.0))
}

/// Ledger entries and seals that a copy has and the repository lacks or cannot read: with the end of a ledger gone,
/// nothing here knows that there was more. Ledgers of maintainers are each store's own.
fn wrong_records(
    here: &Repository,
    copies: &[Copy],
    vouched: &HashMap<ObjectName, ObjectHash>,
    found: &mut BTreeMap<ObjectName, (String, Option<ObjectHash>)>,
) -> Result<(), VerifyError> {
    let maintainers = here.trust().maintainers();
    let mut names: BTreeSet<ObjectName> = vouched.keys().cloned().collect();
    for copy in copies {
        for prefix in ["ledger/", "seals/"] {
            names.extend(copy.store.list(prefix)?.into_iter().map(|object| object.name));
        }
    }
    let there: BTreeSet<ObjectName> = ["ledger/", "seals/"]
        .into_iter()
        .map(|prefix| here.store().list(prefix))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .map(|object| object.name)
        .collect();
    for name in names {
        let hash = vouched.get(&name).copied();
        let what = match place(&name) {
            Some(Place::Ledger(writer, seq)) => {
                if !binds(here, &writer, seq) || (hash.is_none() && maintainers.contains(&writer)) {
                    continue;
                }
                match read_entry(here, &writer, seq) {
                    Ok(_) => continue,
                    Err(error) if error.is_damage() => error.kind.to_string(),
                    Err(error) => return Err(error.into()),
                }
            }
            // Below that they were destroyed on purpose.
            Some(Place::Seal(seq, _)) if !there.contains(&name) && seq >= here.trust().header.seals_from => {
                "it is missing".to_owned()
            }
            _ => continue,
        };
        found.entry(name).or_insert((what, hash));
    }
    Ok(())
}
