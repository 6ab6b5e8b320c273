//! What runs saw of the whole repository, against what is there now: this is what shows that the end of a ledger,
//! the newest trust, or a snapshot that no ledger names was taken away.

use std::collections::{BTreeMap, HashMap, HashSet};

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::format::RECORD_MAX;
use lifeboat_repo::format::names::{self, Place, Seq, place};
use lifeboat_repo::format::records::{Census, Checkpoint, Head, Recorded};
use lifeboat_repo::ids::{Label, ObjectHash, ObjectName};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::store::Listed;

use super::gc::GcRecords;
use crate::damage::{Finding, Subject};
use crate::ledgers::{Ledgers, Link};

/// Of so many names at the most every choice is tried. Names beside the certain ones are those put since the
/// checkpoint and fences; eight of them make at most 70 choices.
const AMBIGUOUS_MAX: usize = 8;

/// Compares every checkpoint with what is there now.
pub(super) fn check(
    repository: &Repository,
    ledgers: &Ledgers,
    listed: &[Listed],
    gc: &GcRecords,
    findings: &mut Vec<Finding>,
) {
    check_trust(repository, ledgers, findings);
    check_seals(repository, ledgers, findings);
    check_heads(repository, ledgers, findings);
    // What entries or records that the store would not give name cannot be counted; that they were not read is a
    // finding already, as is a damaged record.
    if let Some((link, checkpoint)) = ledgers.newest_checkpoint()
        && ledgers.unread.is_empty()
        && gc.sound
    {
        check_census(ledgers, link, checkpoint, listed, gc, findings);
    }
}

/// Every trust that a checkpoint saw must still be in the chain.
fn check_trust(repository: &Repository, ledgers: &Ledgers, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<Seq, (ObjectHash, &ObjectName)> = BTreeMap::new();
    for link in ledgers.chains.values().flatten() {
        let Some(checkpoint) = &link.checkpoint else { continue };
        let Head(seq, hash) = checkpoint.trust;
        let (known, by) = *seen.entry(seq).or_insert((hash, &link.name));
        if known != hash {
            let what = format!("its checkpoint and that of {by} disagree about trust/{seq}");
            findings.push(Finding::damage(&link.name, what));
        }
    }
    for (seq, (hash, by)) in seen {
        let Ok(name) = names::trust(seq) else { continue };
        match repository.store().read(&name, RECORD_MAX) {
            Ok(bytes) if ObjectHash::from_bytes(sha256(&bytes)) == hash => {}
            Ok(_) => findings.push(Finding::damage(name, format!("it is not the trust that {by} saw"))),
            Err(error) if error.is_missing() => findings.push(Finding::damage(
                name,
                format!("it is missing, although {by} saw it: an older trust is passed off as the newest"),
            )),
            Err(error) => findings.push(Finding::of_store_error(name, &error)),
        }
    }
}

/// Every seal that a checkpoint saw must still be there: only so is it noticed that the newest was taken away, both
/// objects of it, and an older one with recipients that were removed since is passed off as the newest.
fn check_seals(repository: &Repository, ledgers: &Ledgers, findings: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&ObjectName, (ObjectHash, &ObjectName)> = BTreeMap::new();
    for link in ledgers.chains.values().flatten() {
        for Recorded(name, hash, _) in link.checkpoint.iter().flat_map(|checkpoint| &checkpoint.seals) {
            let (known, by) = *seen.entry(name).or_insert((*hash, &link.name));
            if known != *hash || !matches!(place(name), Some(Place::Seal(..))) {
                let what = format!("its checkpoint and that of {by} disagree about {name}");
                findings.push(Finding::damage(&link.name, what));
            }
        }
    }
    for (name, (hash, by)) in seen {
        // Those that officers gave up since may be gone.
        let from = repository.trust().header.seals_from;
        if !matches!(place(name), Some(Place::Seal(seq, _)) if seq >= from) {
            continue;
        }
        match repository.store().read(name, RECORD_MAX) {
            Ok(bytes) if ObjectHash::from_bytes(sha256(&bytes)) == hash => {}
            Ok(_) => findings.push(Finding::damage(name, format!("it is not the seal that {by} saw"))),
            Err(error) if error.is_missing() => findings.push(Finding::damage(
                name,
                format!("it is missing, although {by} saw it: an older seal may be passed off as the newest"),
            )),
            Err(error) => findings.push(Finding::of_store_error(name, &error)),
        }
    }
}

/// Every ledger entry that a checkpoint saw must still be in its chain. One finding a ledger.
fn check_heads(repository: &Repository, ledgers: &Ledgers, findings: &mut Vec<Finding>) {
    let known: HashMap<(&Label, Seq), ObjectHash> = ledgers
        .chains
        .iter()
        .flat_map(|(writer, chain)| chain.iter().map(move |link| ((writer, link.head.0), link.head.1)))
        .collect();
    let mut cut: BTreeMap<&Label, (Seq, &ObjectName)> = BTreeMap::new();
    let mut rewritten: BTreeMap<&Label, (Seq, &ObjectName)> = BTreeMap::new();
    for link in ledgers.chains.values().flatten() {
        for (writer, Head(seq, hash)) in link.checkpoint.iter().flat_map(|checkpoint| &checkpoint.heads) {
            let beyond_cutoff = match repository.trust().cutoff(writer) {
                Some(Some(last)) => *seq > last.0,
                Some(None) => true,
                None => false,
            };
            match known.get(&(writer, *seq)) {
                Some(there) if there == hash => {}
                Some(_) => {
                    rewritten.entry(writer).or_insert((*seq, &link.name));
                }
                // That the store would not give it is a finding already.
                None if beyond_cutoff || ledgers.unread.contains(&(writer.clone(), *seq)) => {}
                None => {
                    let slot = cut.entry(writer).or_insert((*seq, &link.name));
                    *slot = (*slot).max((*seq, &link.name));
                }
            }
        }
    }
    for (writer, (seq, by)) in rewritten {
        let what = format!("it is not the entry that {by} saw: the ledger was rewritten");
        findings.push(Finding::damage(entry_name(writer, seq), what));
    }
    for (writer, (seq, by)) in cut {
        let what = format!("it is not there or cannot be read, although {by} saw it");
        findings.push(Finding::damage(entry_name(writer, seq), what));
    }
}

fn entry_name(writer: &Label, seq: Seq) -> Subject {
    names::ledger(writer, seq).map_or(Subject::Area("ledger/"), Subject::Object)
}

/// Every name that the newest checkpoint counted must be there or be expired by now.
fn check_census(
    ledgers: &Ledgers,
    link: &Link,
    checkpoint: &Checkpoint,
    listed: &[Listed],
    gc: &GcRecords,
    findings: &mut Vec<Finding>,
) {
    let Some(expired) = gc.expired_at(&checkpoint.gc) else {
        let what =
            format!("{} gc records that {} saw are not there as it saw them", checkpoint.gc.0, link.name);
        findings.push(Finding::damage(Subject::Area("gc/"), what));
        return;
    };
    let certain: HashSet<&ObjectName> =
        counted(ledgers, link, checkpoint).filter(|name| !expired.contains(name)).collect();
    let mut others: Vec<_> = listed
        .iter()
        .filter(|object| matches!(place(&object.name), Some(Place::Snapshot(..))))
        .filter(|object| !certain.contains(&object.name) && !expired.contains(&object.name))
        .collect();
    // A checkpoint counts what was there when it was made: of these the oldest by the store's clock.
    others.sort_by_key(|object| (object.modified, object.name.last().to_owned()));
    let mut others: Vec<&ObjectName> = others.into_iter().map(|object| &object.name).collect();
    // Some of it expired since, and is gone although nobody had recorded it by then.
    let there: HashSet<&ObjectName> = listed.iter().map(|object| &object.name).collect();
    let mut gone: Vec<&ObjectName> = gc
        .expired()
        .filter(|name| !certain.contains(name) && !expired.contains(name) && !there.contains(name))
        .collect();
    gone.sort_unstable();
    others.append(&mut gone);
    let certain: Vec<&ObjectName> = certain.into_iter().collect();
    match compare(&certain, &others, &checkpoint.snapshots) {
        Match::Same => {}
        Match::Gone => findings.push(Finding::damage(
            Subject::Area("snapshots/"),
            format!(
                "{} counted {} names here; one of them is gone that nothing expired and no ledger names",
                link.name, checkpoint.snapshots.0
            ),
        )),
        Match::Unclear => findings.push(Finding::unchecked(
            Subject::Area("snapshots/"),
            format!(
                "which of {} names were there when {} counted {} cannot be told",
                certain.len() + others.len(),
                link.name,
                checkpoint.snapshots.0
            ),
        )),
    }
}

/// The snapshots that ledgers named by the time of a checkpoint: up to the heads it saw, and its own entry. What another
/// run of its writer appended between that head and its own entry it did not count.
fn counted<'l>(
    ledgers: &'l Ledgers,
    link: &'l Link,
    checkpoint: &'l Checkpoint,
) -> impl Iterator<Item = &'l ObjectName> {
    ledgers
        .chains
        .iter()
        .flat_map(move |(writer, chain)| {
            let last = checkpoint.heads.get(writer).map(|head| head.0);
            chain
                .iter()
                .filter(move |other| other.name == link.name || last.is_some_and(|last| other.head.0 <= last))
        })
        .flat_map(|link| &link.snapshots)
}

#[derive(Debug, PartialEq, Eq)]
enum Match {
    /// The names make the census.
    Same,
    /// No choice of them does.
    Gone,
    /// There are too many choices.
    Unclear,
}

/// Whether the certain names and some of the others, likeliest first, make the census.
fn compare(certain: &[&ObjectName], others: &[&ObjectName], census: &Census) -> Match {
    let names = |chosen: &[&ObjectName]| {
        let all: Vec<&ObjectName> = certain.iter().chain(chosen).copied().collect();
        Census::of(all.into_iter()) == *census
    };
    let wanted = usize::try_from(census.0).ok().and_then(|count| count.checked_sub(certain.len()));
    let Some(likeliest) = wanted.and_then(|wanted| others.get(..wanted)) else { return Match::Gone };
    if names(likeliest) {
        return Match::Same;
    }
    if others.len() > AMBIGUOUS_MAX {
        return Match::Unclear;
    }
    let any = (0_u32..1 << others.len())
        .filter(|choice| choice.count_ones() as usize == likeliest.len())
        .any(|choice| {
            let chosen: Vec<&ObjectName> = others
                .iter()
                .enumerate()
                .filter(|(at, _)| choice >> at & 1 == 1)
                .map(|(_, name)| *name)
                .collect();
            names(&chosen)
        });
    if any { Match::Same } else { Match::Gone }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u64) -> Vec<ObjectName> {
        (0..count).map(|n| format!("snapshots/chats/20251123t184416123z-{n:016x}").parse().unwrap()).collect()
    }

    #[test]
    fn a_census_is_matched_whatever_came_later() {
        let all = names(8);
        let all: Vec<&ObjectName> = all.iter().collect();
        let census = |chosen: &[usize]| Census::of(chosen.iter().map(|at| all[*at]));
        assert_eq!(compare(&all[..3], &[], &census(&[0, 1, 2])), Match::Same);
        assert_eq!(compare(&all[..3], &all[3..], &census(&[2, 1, 0])), Match::Same);
        assert_eq!(compare(&all[..3], &all[3..], &census(&[0, 1, 2, 3, 4])), Match::Same);
        // Not the oldest by the store's clock: a copied repository.
        assert_eq!(compare(&all[..3], &all[3..], &census(&[0, 1, 2, 5, 7])), Match::Same);
    }

    #[test]
    fn a_name_that_is_gone_is_missed() {
        let all = names(30);
        let all: Vec<&ObjectName> = all.iter().collect();
        let census = Census::of(all[..5].iter().copied());
        assert_eq!(compare(&all[..4], &[], &census), Match::Gone);
        assert_eq!(compare(&all[..4], &all[5..8], &census), Match::Gone);
        assert_eq!(compare(&all[..6], &[], &census), Match::Gone);
        assert_eq!(compare(&all[..4], &all[5..], &census), Match::Unclear);
    }
}
