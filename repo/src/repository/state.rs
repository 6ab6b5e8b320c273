//! What a host without a disk remembers between backups, kept in the repository. FORMAT.md §16.
//!
//! It is a cache: whoever cannot have it reads every file anew. So all errors here may be told and passed over.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::crypto::envelope;
use crate::crypto::sign::Kind;
use crate::format::names::{self, Place, Seq, place};
use crate::format::{self, FORMAT_VERSION, RECORD_MAX};
use crate::ids::{Label, ObjectName, RunId};
use crate::repository::agent::Credentials;
use crate::repository::signed::sign_object;
use crate::repository::{JudgedAt, Repository, RepositoryError};
use crate::store::{Created, Listed};
use crate::units::Bytes;

/// Content of one part: whole in memory twice, while it is sealed.
pub const PART: Bytes = Bytes::mib(32);
/// What is kept at the most: beyond it, reading all files anew costs no more than fetching this every night.
pub const STATE_MAX: Bytes = Bytes::mib(8 << 10);

const _: () = assert!(PART.0 < RECORD_MAX.0);

/// What each part begins with, on a line of its own.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartHeader {
    format: u32,
    component: Label,
    writer: Label,
    run: RunId,
    /// How many parts follow.
    left: u32,
}

/// A whole state as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The run that left it.
    pub run: RunId,
    /// How many parts it has.
    pub parts: u32,
    /// What they take in the store.
    pub length: Bytes,
}

/// Keeps the state of one component for one writer.
pub struct StateKeeper<'r> {
    repository: &'r Repository,
    credentials: Arc<Credentials>,
    component: Label,
}

impl<'r> StateKeeper<'r> {
    /// For the component of a writer.
    #[must_use]
    pub fn new(repository: &'r Repository, credentials: Arc<Credentials>, component: Label) -> Self {
        Self { repository, credentials, component }
    }

    /// The newest whole state of the component, whoever left it.
    ///
    /// # Errors
    /// The store failed.
    pub fn newest(&self) -> Result<Option<Kept>, RepositoryError> {
        let prefix = format!("state/{}/", self.component);
        let listed =
            self.repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
        Ok(newest_whole(&listed).get(&self.component).cloned())
    }

    /// Reads a state, part by part, into `sink`. What it got before an error is worth nothing.
    ///
    /// # Errors
    /// A part is missing, damaged, not this writer's or not sealed to it; or store or sink failed.
    pub fn read(&self, kept: &Kept, sink: &mut dyn Write) -> Result<(), RepositoryError> {
        if u64::from(kept.parts) > STATE_MAX.0.div_ceil(PART.0) {
            let what = format!("state/{}/{}", self.component, kept.run);
            return Err(RepositoryError::damaged(what, format!("it has {} parts", kept.parts)));
        }
        for left in (0..kept.parts).rev() {
            let name = names::state(&self.component, kept.run, Seq(left))?;
            let content = self.read_part(&name, kept.run, left)?;
            sink.write_all(&content).map_err(|error| RepositoryError::machine(name.as_str(), error))?;
        }
        Ok(())
    }

    fn read_part(&self, name: &ObjectName, run: RunId, left: u32) -> Result<Vec<u8>, RepositoryError> {
        let at = JudgedAt::Moment(run.moment());
        let signed = self.repository.read_signed(name, &[Kind::State], at, RECORD_MAX)?;
        if !signed.principal.is_writer(&self.credentials.writer) {
            let who = signed.principal;
            return Err(RepositoryError::damaged(name.as_str(), format!("{who} left it, another writer")));
        }
        let mut plain = Vec::new();
        envelope::open_into(&signed.body, std::slice::from_ref(&self.credentials.card), &mut plain)
            .map_err(|error| RepositoryError::damaged(name.as_str(), error.to_string()))?;
        let end = memchr::memchr(b'\n', &plain)
            .ok_or_else(|| RepositoryError::damaged(name.as_str(), "it has no header"))?;
        let content = plain.split_off(end + 1);
        let header: PartHeader = format::decode(&plain, "state")
            .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        if header != self.header(run, left) {
            return Err(RepositoryError::damaged(name.as_str(), "it is another part than its name says"));
        }
        Ok(content)
    }

    /// Puts the state that a committed run leaves: `length` bytes of `content`. The last part is put once all others
    /// are confirmed.
    ///
    /// # Errors
    /// It is too large, the writer may not, or store or `content` failed.
    pub fn put(&self, run: RunId, length: Bytes, content: &mut dyn Read) -> Result<(), RepositoryError> {
        let what = format!("state/{}/{run}", self.component);
        if length > STATE_MAX {
            let why = format!(
                "{length} are too much to fetch every night (at most {STATE_MAX}); give this host a disk for its state"
            );
            return Err(RepositoryError::refused(what, why));
        }
        let parts = u32::try_from(length.0.div_ceil(PART.0).max(1))
            .map_err(|error| RepositoryError::machine(&what, error))?;
        self.may_put(run)?;
        let (mut plain, mut sealed) = (Vec::new(), Vec::new());
        let own = self.credentials.card.recipient();
        for left in (0..parts).rev() {
            let name = names::state(&self.component, run, Seq(left))?;
            plain = format::encode(&self.header(run, left), "state")
                .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
            let failed = |error: &dyn std::fmt::Display| RepositoryError::machine(name.as_str(), error);
            (&mut *content).take(PART.0).read_to_end(&mut plain).map_err(|error| failed(&error))?;
            sealed.clear();
            envelope::seal_into(&plain, std::slice::from_ref(&own), &mut sealed)
                .map_err(|error| failed(&error))?;
            let id = self.repository.id();
            let object = sign_object(&self.credentials.signing, Kind::State, &id, &name, &sealed)?;
            self.store(&name, &object, left == 0)?;
        }
        drop(plain);
        Ok(())
    }

    fn store(&self, name: &ObjectName, object: &[u8], last: bool) -> Result<(), RepositoryError> {
        let store = self.repository.store();
        let put =
            if last { store.create(name, object) } else { store.stage(name, object).map(|()| Created::New) };
        match put.map_err(|error| RepositoryError::store(name.as_str(), error))? {
            Created::New => Ok(()),
            Created::Exists => Err(RepositoryError::refused(
                name.as_str(),
                "an object of this name exists although its run has only now ended; find out who may write to this store",
            )),
        }
    }

    fn may_put(&self, run: RunId) -> Result<(), RepositoryError> {
        let name = names::state(&self.component, run, Seq(0))?;
        let key = self.credentials.signing.public();
        let judged = self.repository.judge(&key, Kind::State, &name, JudgedAt::Moment(run.moment()));
        judged.map(drop).map_err(|_| {
            RepositoryError::refused(
                name.as_str(),
                format!(
                    "writer {} was enrolled before hosts kept their state in repositories; an officer renews that with \
                     `lifeboat keys writer add {} --component {}`",
                    self.credentials.writer, self.credentials.writer, self.component
                ),
            )
        })
    }

    fn header(&self, run: RunId, left: u32) -> PartHeader {
        let (component, writer) = (self.component.clone(), self.credentials.writer.clone());
        PartHeader { format: FORMAT_VERSION, component, writer, run, left }
    }
}

/// The newest whole state of every component in a listing of `state/`.
#[must_use]
pub fn newest_whole(listed: &[Listed]) -> BTreeMap<Label, Kept> {
    let mut all: BTreeMap<(Label, RunId), (BTreeMap<Seq, Bytes>, Bytes)> = BTreeMap::new();
    for object in listed {
        if let Some(Place::State(component, run, left)) = place(&object.name) {
            let (parts, length) = all.entry((component, run)).or_default();
            parts.insert(left, object.length);
            *length += object.length;
        }
    }
    let mut newest = BTreeMap::new();
    for ((component, run), (parts, length)) in all {
        // The last part is put last, so what has it and no gap is whole.
        if parts.keys().map(|left| left.0).eq(0..u32::try_from(parts.len()).unwrap_or(0)) {
            let parts = u32::try_from(parts.len()).unwrap_or(0);
            newest.insert(component, Kept { run, parts, length });
        }
    }
    newest
}

/// What nobody needs any more of a listing of `state/`: all parts of runs before the newest whole state of their
/// component. What is newer than that may be on its way, and stays. Names that say nothing stay, too.
#[must_use]
pub fn superseded(listed: &[Listed]) -> Vec<ObjectName> {
    let newest = newest_whole(listed);
    let old = |name: &ObjectName| match place(name) {
        Some(Place::State(component, run, _)) => newest.get(&component).is_some_and(|kept| run < kept.run),
        _ => false,
    };
    listed.iter().filter(|object| old(&object.name)).map(|object| object.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;

    fn listed(names: &[&str]) -> Vec<Listed> {
        let one = |name: &&str| Listed {
            name: name.parse().unwrap(),
            length: Bytes(10),
            modified: Timestamp::new(0, 0),
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn what_is_older_than_the_newest_whole_state_is_superseded() {
        let run = |day: u32| format!("202611{day:02}t000000000z-0123456789abcdef");
        let part = |component: &str, day, left| format!("state/{component}/{}.{left:08}", run(day));
        let names = [
            part("chats", 1, 0),
            part("chats", 2, 0),
            part("chats", 2, 1),
            // Being put, or cut off: its last part is not there.
            part("chats", 3, 1),
            // Cut off long ago: a part in the middle is not there.
            part("mail", 4, 0),
            part("mail", 5, 0),
            part("mail", 5, 2),
            "state/chats/stranger".to_owned(),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let listed = listed(&names);
        let gone: Vec<String> = superseded(&listed).iter().map(ToString::to_string).collect();
        assert_eq!(gone, [part("chats", 1, 0)]);
        let newest = newest_whole(&listed);
        let runs: Vec<_> = newest.iter().map(|(name, kept)| (name.as_str(), kept.parts)).collect();
        assert_eq!(runs, [("chats", 2), ("mail", 1)]);
        assert_eq!(superseded(&[]), []);
    }
}
