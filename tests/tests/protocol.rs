//! The protocol, explored: every state that runs, collectors, replication, officers and erasers can bring about, however
//! slow each is, wherever it stops, whatever answer is lost. As FORMAT.md words it, nothing is lost in any; each weaker
//! wording loses something, and the checker finds how.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::collection::Collection;
use crate::erasure::Erasure;
use crate::replica::Replica;
use crate::seals::Seals;

#[path = "protocol/collection.rs"]
mod collection;
#[path = "protocol/erasure.rs"]
mod erasure;
#[path = "protocol/replica.rs"]
mod replica;
#[path = "protocol/seals.rs"]
mod seals;
#[path = "protocol/sets.rs"]
mod sets;
#[path = "protocol/state.rs"]
mod state;
#[path = "protocol/steps.rs"]
mod steps;

/// Says what a test went through; shown with `--success-output`.
macro_rules! counted {
    ($($text:tt)*) => { eprintln!($($text)*) };
}

/// Whether there is time for all of it.
fn soak() -> bool {
    std::env::var_os("LIFEBOAT_SOAK").is_some()
}

/// Explores every state: what must always hold does, and what should be possible is.
fn holds<M>(what: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + PartialEq + Hash + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let began = Instant::now();
    let properties = model.properties();
    let checker = model.checker().threads(2).spawn_bfs().join();
    let found: BTreeMap<_, _> =
        checker.discoveries().into_iter().map(|(name, path)| (name, path.into_actions())).collect();
    counted!(
        "{what}: {} states explored, {} different, {} deep, {} properties, {:?}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        properties.len(),
        began.elapsed()
    );
    for property in &properties {
        match property.expectation {
            Expectation::Sometimes => {
                assert!(found.contains_key(property.name), "{what}: never comes about: {}", property.name);
            }
            _ => assert_eq!(found.get(property.name), None, "{what}: violated: {}", property.name),
        }
    }
}

/// Explores until something that must always hold does not.
fn breaks<M>(what: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + PartialEq + Hash + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let always: Vec<&str> = model
        .properties()
        .iter()
        .filter(|property| matches!(property.expectation, Expectation::Always))
        .map(|property| property.name)
        .collect();
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let broken = checker.discoveries().into_iter().find(|(name, _)| always.contains(name));
    let (name, path) = broken.unwrap_or_else(|| panic!("{what}: as safe as the wording it weakens"));
    let steps = path.into_actions();
    counted!("{what}: \"{name}\" violated in {} steps: {steps:?}", steps.len());
    assert!(!steps.is_empty());
}

/// A model of collection with nothing in it that can be left out.
fn plain<const R: usize>(wording: collection::Wording) -> Collection<R> {
    Collection { wording, records: 2, expire: false, indexes: false, open: false, fine: false, late: false }
}

#[test]
fn what_counts_is_never_lost_to_two_collectors() {
    use collection::Wording::AsWritten;
    let plain = |records| Collection { records, ..plain::<2>(AsWritten) };
    holds("2 runs, 2 collectors, 2 records", plain(2));
    let one = Collection { expire: true, open: true, fine: true, ..plain(1) };
    holds("2 runs, 2 collectors, 1 record, expiring, step by step", one);
    if soak() {
        holds("2 runs, 2 collectors, 2 records, expiring", Collection { expire: true, ..plain(2) });
        let all = Collection { expire: true, indexes: true, late: true, ..plain(1) };
        holds("2 runs, 2 collectors, 1 record, indexes, late arrivals", all);
        let three = self::plain::<3>(AsWritten);
        holds("3 runs, 2 collectors, 1 record", Collection { records: 1, fine: true, ..three });
    }
}

#[test]
fn what_counts_is_never_lost_to_records_that_expire_and_condemn_indexes() {
    let one = || plain::<1>(collection::Wording::AsWritten);
    holds(
        "1 run, expiring, open runs told by records",
        Collection { expire: true, open: true, fine: true, ..one() },
    );
    holds("1 run, index objects condemned", Collection { indexes: true, ..one() });
    let late = Collection { records: 1, expire: true, indexes: true, fine: true, late: true, ..one() };
    holds("1 run, everything late, twice, again", late);
}

#[test]
fn weaker_wordings_of_collection_lose_something() {
    use collection::Wording;
    for wording in [
        Wording::NoFence,
        Wording::SegmentsCondemned,
        Wording::OwnRecordOnly,
        Wording::DeleteBeforeCopy,
        Wording::RecordIgnored,
        Wording::RecordsBeforeAnnouncing,
        Wording::RunsBeforeRecord,
        Wording::OpenOfLostRace,
        Wording::NotExclusive,
        Wording::UnnamedAreEmptyNotListedAgain,
        Wording::IndexNotLookedAtAgain,
        Wording::CopyUnconfirmed,
    ] {
        let open = matches!(wording, Wording::RunsBeforeRecord | Wording::OpenOfLostRace);
        let indexes = wording == Wording::IndexNotLookedAtAgain;
        let expire = wording == Wording::SegmentsCondemned;
        breaks(&format!("{wording:?}"), Collection { open, indexes, expire, ..plain::<2>(wording) });
    }
    let index = plain::<1>(Wording::CopyWithoutChunks);
    breaks("CopyWithoutChunks", Collection { indexes: true, expire: true, ..index });
}

/// Of two precautions each is enough: packs' own tables are read where no index names them, and records are listed again.
#[test]
fn either_of_two_precautions_is_enough() {
    use collection::Wording::{NotListedAgain, UnnamedAreEmpty};
    for wording in [NotListedAgain, UnnamedAreEmpty] {
        if soak() {
            holds(&format!("{wording:?}, 2 runs"), plain::<2>(wording));
        }
        holds(&format!("{wording:?}, 1 run"), plain::<1>(wording));
    }
}

#[test]
fn what_counts_in_a_replica_is_never_lost() {
    use replica::Wording;
    let model = |wording, records, runs| Replica { wording, records, runs };
    holds("replica: 2 runs, 2 collectors, 1 record", model(Wording::AsWritten, 1, 2));
    holds("replica: 1 run, 2 collectors, 2 records", model(Wording::AsWritten, 2, 1));
    if soak() {
        holds("replica: 2 runs, 2 collectors, 2 records", model(Wording::AsWritten, 2, 2));
    }
    for wording in [Wording::NoFence, Wording::FenceElsewhere, Wording::CountsAlone, Wording::RecordIgnored] {
        breaks(&format!("replica: {wording:?}"), model(wording, 2, 2));
    }
}

#[test]
fn no_key_in_use_is_destroyed_with_its_seal() {
    use seals::Wording;
    holds("seals: 2 runs, 2 officers", Seals { wording: Wording::AsWritten });
    for wording in [
        Wording::NoFence,
        Wording::KeysBeforeRuns,
        Wording::RecordIgnored,
        Wording::SealReadEarly,
        Wording::RunsBeforeRecord,
    ] {
        breaks(&format!("seals: {wording:?}"), Seals { wording });
    }
}

#[test]
fn what_was_erased_never_comes_back() {
    use erasure::Wording;
    holds("erasure: 1 run, 2 erasers", Erasure { wording: Wording::AsWritten, runs: 1 });
    if soak() {
        holds("erasure: 2 runs, 2 erasers", Erasure { wording: Wording::AsWritten, runs: 2 });
    }
    for wording in [
        Wording::NotWrittenDown,
        Wording::NoGraves,
        Wording::GravesWhereListed,
        Wording::ListedBeforeTombstone,
        Wording::LookedOnce,
    ] {
        breaks(&format!("erasure: {wording:?}"), Erasure { wording, runs: 1 });
    }
}
