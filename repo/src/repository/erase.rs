//! Erasing a tenant: tombstones, the destruction of keys and cards, and the proof that nothing opens what is left.
//! FORMAT.md §17. Absent from an agent-only build.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::crypto::envelope::Recipient;
use crate::crypto::sign::Kind;
use crate::format::names::{self, Place, Seq, place};
use crate::format::records::ErasureBody;
use crate::format::{self, FORMAT_VERSION, RECORD_MAX};
use crate::ids::{KeyId, Label, ObjectName, Tenant, TenantToken};
use crate::repository::RepositoryError;
use crate::repository::erasures::{Act, Erasures, GRAVE, may_be_grave, tenant_token};
use crate::repository::recover::Recovery;
use crate::repository::reseal::{Acting, DISORDER_MAX, bundled_until, in_lanes};
use crate::repository::signed::sign_object;
use crate::repository::snapshots::{Judge, Standing};
use crate::store::versions::Version;
use crate::store::{Created, Store};
use crate::units::{Bytes, Timestamp};

mod earlier;
mod places;
mod prove;
mod told;

pub use prove::{Proof, prove};

/// What an erasure would do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom it concerns.
    pub tenant: Tenant,
    /// The tenant's keys, sorted.
    pub keys: Vec<(Label, KeyId)>,
    /// What stands for the tenant, for each writer enrolled now.
    pub tokens: BTreeMap<Label, TenantToken>,
    /// Snapshots that hold data of the tenant: their names, with what of it they hold.
    pub snapshots: Vec<(ObjectName, Bytes)>,
    /// Until when bundles may hold the keys; nothing where there is no bundle.
    pub bundled: Option<Timestamp>,
    /// Keys that open in no place: any of them may be the tenant's.
    pub unopened: Vec<String>,
    /// Every tenant whose keys open in some place and were not erased.
    pub known: BTreeSet<Tenant>,
}

/// What came of a tombstone.
#[derive(Clone, Debug)]
pub struct Put {
    /// Its number.
    pub seq: Seq,
    /// Whether enough officers signed it.
    pub effective: bool,
    /// How many are still needed.
    pub wanted: usize,
    /// How many keys it names; none where a tenant is kept out in advance, or let in again.
    pub keys: usize,
}

/// What a sweep destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys that were made after a tombstone was put, and that another one names now.
    pub late: usize,
    /// Objects destroyed, every version, with a grave in their place.
    pub destroyed: usize,
    /// Graves that stand.
    pub graves: usize,
    /// Places whose trust knows too few of those who signed some tombstone, so that it does not hold there: until the next
    /// replication their readers see that keys are gone, and not why.
    pub untold: usize,
    /// Keys that open in no place, and why: whose they are, and whether they should have gone, cannot be told.
    pub unopened: Vec<String>,
    /// What was destroyed, place by place, as they were given.
    pub places: Vec<Destroyed>,
}

/// What a sweep destroyed in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// The objects that were there, each with how many versions of it. In a store that keeps none there is one of each.
    pub objects: BTreeMap<ObjectName, usize>,
    /// The names at which graves stand.
    pub graves: BTreeSet<ObjectName>,
}

impl Destroyed {
    /// Of all of it, what is of these keys: objects, versions, graves.
    #[must_use]
    pub fn of(&self, keys: &HashSet<KeyId>) -> (usize, usize, usize) {
        let own = |name: &&ObjectName| matches!(place(name), Some(Place::Key(_, _, key) | Place::Card(_, key)) if keys.contains(&key));
        let versions: Vec<usize> =
            self.objects.iter().filter(|(name, _)| own(name)).map(|(_, versions)| *versions).collect();
        (versions.len(), versions.iter().sum(), self.graves.iter().filter(own).count())
    }
}

/// Looks at what erasing a tenant in these places would do, and does nothing. Its keys are looked for in each of them.
///
/// # Errors
/// The tenant cannot be erased, or a store failed.
pub fn plan(acting: &Acting<'_>, tenant: &Tenant, places: &[&dyn Store]) -> Result<Plan, RepositoryError> {
    if *tenant == Tenant::System {
        return Err(RepositoryError::refused(
            "_system",
            "it is no tenant: what belongs to nobody ends by retention alone",
        ));
    }
    let (repository, recovery) = (acting.repository, acting.open()?);
    let all = places::keys(acting, &recovery, places)?;
    let known = all.opened.values().filter(|whose| **whose != Tenant::System).cloned().collect();
    let of_tenant = all.opened.into_iter().filter(|(_, whose)| whose == tenant);
    let keys: Vec<(Label, KeyId)> = of_tenant.map(|(slot, _)| slot).collect();
    let wanted: HashSet<KeyId> = keys.iter().map(|(_, key)| *key).collect();
    let mut snapshots = Vec::new();
    for one in Judge::new(repository, recovery.catalog())?.list(None)? {
        let Some(snapshot) = one.snapshot.filter(|_| one.standing != Standing::Expired) else { continue };
        let shares: Vec<_> = snapshot.keys.iter().filter(|share| wanted.contains(&share.key)).collect();
        if !shares.is_empty() {
            snapshots.push((one.name, shares.iter().map(|share| share.bytes).sum()));
        }
    }
    let tokens = tokens(&recovery, tenant)?;
    let mut bundled = None;
    for store in places {
        bundled = bundled.max(bundled_until(*store, None)?);
    }
    let unopened = all.unopened.iter().map(|one| one.error.to_string()).collect();
    Ok(Plan { tenant: tenant.clone(), keys, tokens, snapshots, bundled, unopened, known })
}

/// Puts the tombstone of a plan. From when enough officers signed it, nobody takes, keeps or gives back data of the tenant.
///
/// # Errors
/// The officer may not, another officer put a tombstone of that number, or the store failed.
pub fn put(acting: &Acting<'_>, plan: &Plan) -> Result<Put, RepositoryError> {
    put_act(acting, plan.keys.clone(), plan.tokens.clone(), false)
}

/// Lets a tenant in again: data of it is taken from now on, under keys that are made anew. What was erased stays erased.
///
/// # Errors
/// The tenant is not erased, the officer may not, or the store failed.
pub fn readmit(acting: &Acting<'_>, tenant: &Tenant) -> Result<Put, RepositoryError> {
    let recovery = acting.open()?;
    let erasures = Erasures::load(acting.repository)?;
    let tokens = tokens(&recovery, tenant)?;
    if !tokens.iter().any(|(writer, token)| erasures.tenant(writer, *token)) {
        return Err(RepositoryError::refused(
            format!("tenant {tenant}"),
            "it is not erased here; nothing keeps it out",
        ));
    }
    put_act(acting, Vec::new(), tokens, true)
}

/// Signs a tombstone that another officer put.
///
/// # Errors
/// There is none of that number, the officer may not or has signed it, or the store failed.
pub fn sign(acting: &Acting<'_>, seq: Seq) -> Result<Put, RepositoryError> {
    let erasures = Erasures::load(acting.repository)?;
    let act = erasures.acts().iter().find(|act| act.body.seq == seq).ok_or_else(|| {
        RepositoryError::refused(format!("erasures/{seq}"), "there is no such tombstone; look at the number")
    })?;
    if act.officers.contains_key(&acting.officer.name) {
        return Err(RepositoryError::refused(
            format!("erasures/{seq}"),
            format!(
                "{} signed it already; another officer must sign, or `lifeboat erase --sweep` goes on where enough have",
                acting.officer.name
            ),
        ));
    }
    let body = act.body.clone();
    put_body(acting, &body)
}

/// Destroys what tombstones name, in every place given; repeats harmlessly. Keys of erased tenants that were made after
/// their tombstone was put get one of their own first.
///
/// # Errors
/// The store failed, or refuses to delete.
pub fn sweep(acting: &Acting<'_>, places: &[&dyn Store]) -> Result<Swept, RepositoryError> {
    let mut swept = Swept::default();
    let (late, unopened) = late_keys(acting, places)?;
    swept.unopened = unopened;
    for ((_, tokens), keys) in late {
        swept.late += keys.len();
        put_act(acting, keys, tokens, false)?;
    }
    let erasures = Erasures::load(acting.repository)?;
    // Read after the last tombstone was put: whoever seals anew below a later seal has seen it.
    let everywhere = names_of(&erasures, &acting.open()?)?;
    for store in places {
        swept.untold += usize::from(!told::tell(acting, *store, &erasures)?);
        let (mut names, mut graves) = (everywhere.clone(), BTreeSet::new());
        let mut there = BTreeMap::new();
        for prefix in ["keys/", "cards/"] {
            let failed = |error| RepositoryError::store(prefix, error);
            let listed = store.list(prefix).map_err(failed)?;
            for object in listed.into_iter().filter(|object| is_erased(&erasures, &object.name)) {
                if may_be_grave(object.length) && is_grave(*store, &object.name)? {
                    graves.insert(object.name);
                } else {
                    there.insert(object.name.clone(), 1);
                    names.insert(object.name);
                }
            }
            for one in store.versioned(prefix).map_err(failed)? {
                there.entry(one.name).and_modify(|versions| *versions = content(&one.versions));
            }
        }
        let names: Vec<ObjectName> = names.difference(&graves).cloned().collect();
        in_lanes(acting.lanes, &names, |name| bury(*store, name, there.contains_key(name)))?;
        swept.destroyed += there.len();
        swept.graves += names.len() + graves.len();
        graves.extend(names);
        swept.places.push(Destroyed { objects: there, graves });
    }
    // Last: where it may not be done, keys are gone everywhere all the same.
    for store in places {
        forget_states(*store)?;
    }
    Ok(swept)
}

/// How many of these versions hold something, and are no markers.
fn content(versions: &[Version]) -> usize {
    versions.iter().filter(|version| !version.is_marker()).count().max(1)
}

/// Every name at which a key object or a card of what tombstones name may lie, or may still arrive: below each seal that
/// is in use, condemned or to come. A grave goes to each, whether anything is there or not: a sweep that was cut off after
/// it deleted left none, and a copy may be under way to a name where none ever lay.
fn names_of(erasures: &Erasures, recovery: &Recovery<'_>) -> Result<BTreeSet<ObjectName>, RepositoryError> {
    let to_come = recovery.officers_seal().next.map(|next| next.id);
    let seals: BTreeSet<_> = recovery.seals().iter().map(|(id, _)| *id).chain(to_come).collect();
    let mut names = BTreeSet::new();
    for (writer, key) in erasures.acts().iter().filter(|act| act.effective).flat_map(|act| &act.body.keys) {
        names.insert(names::card(writer, *key)?);
        for seal in &seals {
            names.insert(names::key(*seal, writer, *key)?);
        }
    }
    Ok(names)
}

/// Whether this is the name of a key object or card that is erased.
pub(crate) fn is_erased(erasures: &Erasures, name: &ObjectName) -> bool {
    matches!(place(name), Some(Place::Key(_, _, key) | Place::Card(_, key)) if erasures.key(key))
}

pub(crate) fn is_grave(store: &dyn Store, name: &ObjectName) -> Result<bool, RepositoryError> {
    match store.read(name, RECORD_MAX) {
        Ok(bytes) => Ok(bytes == GRAVE),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(RepositoryError::store(name.as_str(), error)),
    }
}

/// Destroys an object, every version, and puts a grave at its name, so that nothing late comes back. Where nothing was
/// `there`, the grave alone is put.
fn bury(store: &dyn Store, name: &ObjectName, mut there: bool) -> Result<(), RepositoryError> {
    let failed = |error| RepositoryError::store(name.as_str(), error);
    for _ in 0..2 {
        if there {
            store.delete(name).map_err(failed)?;
        }
        if store.create(name, GRAVE).map_err(failed)? == Created::New || is_grave(store, name)? {
            return Ok(());
        }
        // Somebody was faster with something else.
        there = true;
    }
    Err(RepositoryError::refused(
        name.as_str(),
        "somebody puts it again while it is destroyed; run `lifeboat erase --sweep` again",
    ))
}

/// What hosts remember names paths of tenants: whatever may be from before the newest tombstone goes, whoever swept before;
/// without a tombstone nothing does. It is a cache, which the next backup makes anew.
fn forget_states(store: &dyn Store) -> Result<(), RepositoryError> {
    let list = |prefix: &str| store.list(prefix).map_err(|error| RepositoryError::store(prefix, error));
    let newest = list("erasures/")?.into_iter().map(|object| object.modified).max();
    // A backup that committed just before the tombstone came puts what it remembers just after.
    let until = newest.map(|newest| newest.plus(DISORDER_MAX));
    for object in list("state/")?.into_iter().filter(|one| until.is_some_and(|until| one.modified <= until)) {
        store.delete(&object.name).map_err(|error| RepositoryError::store(object.name.as_str(), error))?;
    }
    Ok(())
}

/// What stands for a tenant, for each writer enrolled now.
fn tokens(recovery: &Recovery<'_>, tenant: &Tenant) -> Result<BTreeMap<Label, TenantToken>, RepositoryError> {
    let id = recovery.repository().id();
    let mut tokens = BTreeMap::new();
    for writer in recovery.officers_seal().writers {
        let card: Recipient = writer
            .recipient
            .parse()
            .map_err(|_| RepositoryError::damaged("seals/", "a writer's recipient in it is malformed"))?;
        tokens.insert(writer.name, tenant_token(&id, &card, tenant));
    }
    Ok(tokens)
}

type Late = BTreeMap<(Tenant, BTreeMap<Label, TenantToken>), Vec<(Label, KeyId)>>;

/// Keys of tenants that are erased, but which no tombstone names; and those that open nowhere.
fn late_keys(acting: &Acting<'_>, places: &[&dyn Store]) -> Result<(Late, Vec<String>), RepositoryError> {
    let recovery = acting.open()?;
    let erasures = recovery.erasures();
    let mut late = Late::new();
    let mut known: BTreeMap<Tenant, BTreeMap<Label, TenantToken>> = BTreeMap::new();
    let all = places::keys(acting, &recovery, places)?;
    for ((writer, key), tenant) in all.opened {
        if !known.contains_key(&tenant) {
            known.insert(tenant.clone(), tokens(&recovery, &tenant)?);
        }
        let Some(tokens) = known.get(&tenant) else { continue };
        if tokens.get(&writer).is_some_and(|token| erasures.tenant(&writer, *token)) {
            late.entry((tenant, tokens.clone())).or_default().push((writer, key));
        }
    }
    Ok((late, all.unopened.iter().map(|one| one.error.to_string()).collect()))
}

fn put_act(
    acting: &Acting<'_>,
    keys: Vec<(Label, KeyId)>,
    tenants: BTreeMap<Label, TenantToken>,
    readmit: bool,
) -> Result<Put, RepositoryError> {
    let listed = acting
        .repository
        .store()
        .list("erasures/")
        .map_err(|error| RepositoryError::store("erasures/", error))?;
    let newest = listed.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Erasure(seq, _)) => Some(seq),
        _ => None,
    });
    let seq = newest.max().map_or(Seq(0), Seq::next);
    let time = acting.clock.now();
    put_body(acting, &ErasureBody { format: FORMAT_VERSION, seq, time, keys, tenants, readmit })
}

fn put_body(acting: &Acting<'_>, body: &ErasureBody) -> Result<Put, RepositoryError> {
    let repository = acting.repository;
    let name = names::erasure(body.seq, &acting.officer.name)?;
    let bytes =
        format::encode(body, "tombstone").map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    let object = sign_object(acting.officer.signing, Kind::Erasure, &repository.id(), &name, &bytes)?;
    let created = repository
        .store()
        .create(&name, &object)
        .map_err(|error| RepositoryError::store(name.as_str(), error))?;
    if created == Created::Exists {
        return Err(RepositoryError::refused(
            name.as_str(),
            "there is one of that number by this officer; look at it and repeat the command",
        ));
    }
    let erasures = Erasures::load(repository)?;
    let quorum = (repository.trust().header.quorum as usize).max(1);
    let signed: BTreeSet<&Label> = erasures
        .acts()
        .iter()
        .filter(|act| act.body == *body)
        .flat_map(|act: &Act| act.officers.keys())
        .collect();
    let (effective, wanted) = (signed.len() >= quorum, quorum.saturating_sub(signed.len()));
    Ok(Put { seq: body.seq, effective, wanted, keys: body.keys.len() })
}
