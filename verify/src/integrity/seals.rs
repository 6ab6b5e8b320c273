//! Which seals there are, and whether one is missing. The highest number counts, so taking it away would pass an
//! older one off as the newest, with recipients that were removed since.

use std::collections::BTreeSet;

use lifeboat_repo::format::names::{self, Place, SealFor, Seq, place};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::store::Listed;

use crate::damage::{Finding, Subject};

/// The highest numbers of seals.
#[derive(Clone, Debug, Default)]
pub(super) struct NewestSeals {
    pub(super) officers: Option<Seq>,
    pub(super) writers: Option<Seq>,
}

impl NewestSeals {
    pub(super) fn see(&mut self, seq: Seq, which: SealFor) {
        let slot = match which {
            SealFor::Officers => &mut self.officers,
            SealFor::Writers => &mut self.writers,
        };
        *slot = (*slot).max(Some(seq));
    }

    /// Seals that are missing. That both newest ones are gone nothing here can show.
    pub(super) fn report(&self, repository: &Repository, listed: &[Listed], findings: &mut Vec<Finding>) {
        let from = repository.trust().header.seals_from;
        let Some(newest) = self.officers.max(self.writers).filter(|newest| *newest >= from) else {
            findings.push(Finding::damage(
                Subject::Area("seals/"),
                format!("there is none from number {} on, and those before were given up; without it no key can be opened", from.0),
            ));
            return;
        };
        let there: BTreeSet<Seq> = listed
            .iter()
            .filter_map(|object| match place(&object.name) {
                Some(Place::Seal(seq, SealFor::Officers)) => Some(seq),
                _ => None,
            })
            .collect();
        // The first of each hole: whoever may put an object may put one under the last of all numbers.
        let firsts = std::iter::once(from).chain(there.iter().map(|seq| seq.next()));
        let gone = firsts
            .filter(|seq| (from..=newest).contains(seq) && !there.contains(seq))
            .map(|seq| (seq, SealFor::Officers));
        let enrolled = repository
            .trust()
            .signers
            .entries()
            .any(|entry| entry.principal.starts_with("writer:") && entry.valid_before.is_none());
        let writers_gone = (enrolled && self.writers != Some(newest)).then_some((newest, SealFor::Writers));
        for (seq, which) in gone.chain(writers_gone) {
            let subject = names::seal(seq, which).map_or(Subject::Area("seals/"), Subject::Object);
            let what = "it is missing; if an officer was at work just now, let them repeat the command";
            findings.push(Finding::damage(subject, what));
        }
    }
}
