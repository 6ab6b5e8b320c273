//! Sealing anew: a new seal identity, every key object sealed to it, and the seal before it destroyed. FORMAT.md §5.
//!
//! In order, each step confirmed before the next, and all of it repeatable from wherever it was cut off:
//!
//! 1. seals that hold the seal to come beside the one in use; nothing else changes
//! 2. every key object sealed to the seal to come, and opened again
//! 3. seals that put it in use: the plan. It condemns the one before, which recovery still opens
//! 4. (a day later, [`finish`]) runs that may not have seen the plan are over; what they left is sealed anew
//! 5. every key is opened below the new seal, then the key objects below the old one are destroyed
//! 6. once the last bundle that holds such key objects has expired: seals without the old one, trust that gives up the
//!    seals before them, and those are destroyed
//!
//! Absent from an agent-only build.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::clock::Clock;
use crate::crypto::envelope::{self, Identity};
use crate::crypto::sign::Kind;
use crate::format::keys::{NamedIdentity, OfficersSeal, OlderSeal, seal_id};
use crate::format::names::{self, SealFor};
use crate::ids::{IdentityId, KeyId, Label};
use crate::repository::erasures::Erasures;
use crate::repository::officer::Officer;
use crate::repository::recover::Recovery;
use crate::repository::renewal::Renewal;
use crate::repository::seals::newest_of;
use crate::repository::signed::sign_object;
use crate::repository::signing::{next_seal_number, put_seals, put_seals_after};
use crate::repository::{Repository, RepositoryError};
use crate::store::Created;

mod finish;
mod replica;

pub use finish::{BUNDLE_AGE_MAX, Finished, Outlook, Step, finish, outlook};
pub(crate) use finish::{DISORDER_MAX, bundled_until};
pub use replica::{InReplica, finish_replica};

/// Who seals anew, and with what.
pub struct Acting<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Recovery identities.
    pub identities: &'a [Identity],
    /// Signs seals, trust and the keys that are sealed anew.
    pub officer: &'a Officer<'a>,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// How many key objects are worked on at once: each takes three requests to the store.
    pub lanes: NonZeroUsize,
}

/// What a sealing anew did.
#[derive(Debug, Default)]
pub struct Resealed {
    /// The seal that is in use now.
    pub seal: Option<IdentityId>,
    /// Keys below it, each of which was opened.
    pub keys: usize,
    /// How many of them were sealed anew by this call.
    pub sealed: usize,
    /// Whether it went on where an earlier one was cut off.
    pub resumed: bool,
    /// Key objects that do not open, for whatever reason; they were left as they are.
    pub unusable: Vec<Unusable>,
}

/// A key object that does not open.
#[derive(Debug)]
pub struct Unusable {
    /// Whose it should be.
    pub writer: Label,
    /// Which it should be.
    pub key: KeyId,
    /// What is the matter.
    pub error: RepositoryError,
}

impl Acting<'_> {
    /// The repository as it is now, opened.
    ///
    /// # Errors
    /// As [`Recovery::open`].
    pub fn open(&self) -> Result<Recovery<'_>, RepositoryError> {
        Recovery::open(self.repository, self.identities, self.clock)
    }
}

/// Makes a new seal, seals every key to it and puts it in use; or goes on where that was cut off.
///
/// # Errors
/// The identities do not open the repository, the officer may not, another officer is at work, or the store failed. Then
/// nothing is lost, and the same call goes on.
pub fn reseal(acting: &Acting<'_>, renewal: &Renewal) -> Result<Resealed, RepositoryError> {
    let recovery = acting.open()?;
    let mut seal = recovery.officers_seal();
    let pending = renewal.is_pending(&seal);
    // Hosts go on with the seal before until they have theirs.
    if !pending && is_half_put(acting.repository, &seal)? {
        let plan = seal.seq;
        put_plan(acting, &mut seal, Some(plan))?;
        return Ok(Resealed { resumed: true, ..seal_stragglers(acting)? });
    }
    let resumed = seal.next.is_some() && !pending;
    if !resumed {
        // Who is to be shut out has seen the seal that was to come.
        if let Some(seen) = seal.next.take() {
            let plan = seal.seq.next();
            seal.older.push(OlderSeal { id: seen.id, identity: seen.identity.clone(), plan, emptied: None });
        }
        let next = Identity::generate();
        let id = seal_id(&next.recipient().to_string());
        seal.next = Some(NamedIdentity { id, identity: next.to_secret_string().to_string() });
        renewal.apply(&mut seal);
        put_seals_after(acting.repository, acting.officer, &mut seal)?;
    }
    let Some(next) = seal.next.take() else {
        return Err(RepositoryError::damaged("seals/", "no seal is to come"));
    };
    let to = identity_of(&next)?;
    let recovery = acting.open()?;
    let first = seal_anew(acting, &recovery, (next.id, &to))?;
    let old = std::mem::replace(&mut seal.seal, next);
    seal.since = Some(acting.clock.now());
    let (id, identity) = (old.id, old.identity.clone());
    seal.older.insert(0, OlderSeal { id, identity, plan: seal.seq, emptied: None });
    put_plan(acting, &mut seal, None)?;
    let after = seal_stragglers(acting)?;
    Ok(Resealed { sealed: first.sealed + after.sealed, resumed, ..after })
}

/// Seals what runs that did not see the plan have put below condemned seals meanwhile.
pub(crate) fn seal_stragglers(acting: &Acting<'_>) -> Result<Resealed, RepositoryError> {
    let recovery = acting.open()?;
    match recovery.seals().first() {
        Some((id, identity)) => seal_anew(acting, &recovery, (*id, identity)),
        None => Ok(Resealed::default()),
    }
}

/// Whether the newest seals are there for writers too.
pub(crate) fn is_published(repository: &Repository) -> Result<bool, RepositoryError> {
    Ok(newest_of(repository, SealFor::Writers)? == newest_of(repository, SealFor::Officers)?)
}

/// Whether the plan was cut off between its two objects: officers have theirs, hosts go on with the seal before.
pub(crate) fn is_half_put(repository: &Repository, seal: &OfficersSeal) -> Result<bool, RepositoryError> {
    let newest = seal.older.iter().any(|older| older.plan == seal.seq);
    Ok(newest && !seal.writers.is_empty() && !is_published(repository)?)
}

/// Puts the seals that condemn; those condemned by the seals of number `was`, or by none yet, are condemned by these.
pub(crate) fn put_plan(
    acting: &Acting<'_>,
    seal: &mut OfficersSeal,
    was: Option<names::Seq>,
) -> Result<(), RepositoryError> {
    let plan = next_seal_number(acting.repository)?;
    let before = was.unwrap_or(seal.seq);
    for older in seal.older.iter_mut().filter(|older| older.plan >= before) {
        older.plan = plan;
    }
    put_seals(acting.repository, acting.officer, seal, plan)
}

/// Seals every key object below the seals of `recovery` to another, unless a good one is there; opens each again.
fn seal_anew(
    acting: &Acting<'_>,
    recovery: &Recovery<'_>,
    to: (IdentityId, &Identity),
) -> Result<Resealed, RepositoryError> {
    let mut keys: BTreeSet<(Label, KeyId)> = recovery.keys()?.into_iter().collect();
    let there: BTreeSet<(Label, KeyId)> = recovery.keys_below(to.0)?.into_iter().collect();
    keys.extend(there.iter().cloned());
    let keys: Vec<(Label, KeyId)> = keys.into_iter().collect();
    let work = Work { acting, recovery, to, there: &there };
    let done = in_lanes(acting.lanes, &keys, |(writer, key)| work.key(writer, *key))?;
    let mut resealed = Resealed { seal: Some(to.0), ..Resealed::default() };
    for ((writer, key), outcome) in keys.into_iter().zip(done) {
        match outcome {
            Ok(sealed) => {
                resealed.keys += 1;
                resealed.sealed += usize::from(sealed);
            }
            Err(error) => resealed.unusable.push(Unusable { writer, key, error }),
        }
    }
    Ok(resealed)
}

struct Work<'w> {
    acting: &'w Acting<'w>,
    recovery: &'w Recovery<'w>,
    to: (IdentityId, &'w Identity),
    there: &'w BTreeSet<(Label, KeyId)>,
}

/// Whether a key was sealed anew, or why it cannot be.
type Outcome = Result<bool, RepositoryError>;

impl Work<'_> {
    /// # Errors
    /// Nothing is known, as the store failed; what is damaged is an outcome.
    fn key(&self, writer: &Label, key: KeyId) -> Result<Outcome, RepositoryError> {
        let (to, identity) = self.to;
        let slot = (writer.clone(), key);
        let name = names::key(to, writer, key)?;
        let store = self.acting.repository.store();
        if self.there.contains(&slot) {
            match self.recovery.open_key_below(to, identity, writer, key) {
                Ok(_) => return Ok(Ok(false)),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        let mut body = None;
        let mut why = RepositoryError::damaged(name.as_str(), "it does not open, and there is no other copy");
        for (id, seal) in self.recovery.seals().iter().filter(|(id, _)| *id != to) {
            match self.recovery.open_key_below(*id, seal, writer, key) {
                Ok((_, plain)) => body = body.or(Some(plain)),
                Err(error) if error.is_missing() => {}
                Err(error) if error.is_damage() => why = error,
                Err(error) => return Err(error),
            }
        }
        let Some(plain) = body else { return Ok(Err(why)) };
        let mut sealed = Vec::new();
        envelope::seal_into(&plain, &[identity.recipient()], &mut sealed)
            .map_err(|error| RepositoryError::machine(name.as_str(), error))?;
        let signing = self.acting.officer.signing;
        let object = sign_object(signing, Kind::Key, &self.acting.repository.id(), &name, &sealed)?;
        let failed = |error| RepositoryError::store(name.as_str(), error);
        if store.create(&name, &object).map_err(failed)? == Created::Exists {
            if Erasures::load(self.acting.repository)?.key(key) {
                let why = "officers erased it meanwhile; what stands at its name stays";
                return Ok(Err(RepositoryError::refused(name.as_str(), why)));
            }
            // What stands there does not open: whoever may put key objects of this writer put it.
            store.delete(&name).map_err(failed)?;
            if store.create(&name, &object).map_err(failed)? == Created::Exists {
                return Err(RepositoryError::refused(
                    name.as_str(),
                    "somebody else puts an object of this name",
                ));
            }
        }
        let (_, again) = self.recovery.open_key_below(to, identity, writer, key)?;
        if *again == *plain {
            Ok(Ok(true))
        } else {
            Err(RepositoryError::damaged(name.as_str(), "it is not what was put just now"))
        }
    }
}

fn identity_of(named: &NamedIdentity) -> Result<Identity, RepositoryError> {
    let damaged = || RepositoryError::damaged("seals/", "the seal to come is malformed");
    let identity: Identity = named.identity.parse().map_err(|_| damaged())?;
    if seal_id(&identity.recipient().to_string()) == named.id { Ok(identity) } else { Err(damaged()) }
}

/// Works on items side by side; the outcomes in their order, or the first error met.
pub(crate) fn in_lanes<T: Sync, O: Send>(
    lanes: NonZeroUsize,
    items: &[T],
    work: impl Fn(&T) -> Result<O, RepositoryError> + Sync,
) -> Result<Vec<O>, RepositoryError> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let failed = Mutex::new(None);
    let lane = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let stop = failed.lock().is_ok_and(|failed| failed.is_some());
            let Some(item) = items.get(at).filter(|_| !stop) else { return };
            match work(item) {
                Ok(outcome) => {
                    if let Ok(mut done) = done.lock() {
                        done.push((at, outcome));
                    }
                }
                Err(error) => {
                    if let Ok(mut failed) = failed.lock() {
                        failed.get_or_insert(error);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..lanes.get().min(items.len()) {
            scope.spawn(lane);
        }
        lane();
    });
    if let Ok(Some(error)) = failed.into_inner() {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_unstable_by_key(|(at, _)| *at);
    if done.len() == items.len() {
        return Ok(done.into_iter().map(|(_, outcome)| outcome).collect());
    }
    Err(RepositoryError::machine("keys/", "a lane ended before its time"))
}
