//! Trust: who may sign what, from a pinned officer to the newest word. FORMAT.md §4.

use std::collections::BTreeSet;

use crate::crypto::hash::sha256;
use crate::crypto::sign::{self, Kind, VerifyingKey};
use crate::crypto::signers::AllowedSigners;
use crate::format::names::{self, Place, Seq};
use crate::format::records::Head;
use crate::format::trust::TrustHeader;
use crate::format::{RECORD_MAX, names::place};
use crate::ids::{Label, ObjectHash, ObjectName};
use crate::repository::{Ahead, JudgedAt, Principal, RepositoryError};
use crate::store::{Listed, Store};
use crate::units::Timestamp;

/// A trust file, checked.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Its header.
    pub header: TrustHeader,
    /// Its entries.
    pub signers: AllowedSigners,
    /// Its place in the chain.
    pub head: Head,
}

impl Trust {
    /// Reads and checks the whole chain; the newest is the result.
    ///
    /// # Errors
    /// There is none, a link does not hold, or no pinned officer signed the first.
    pub fn load(store: &dyn Store, pins: &[VerifyingKey]) -> Result<Self, RepositoryError> {
        let listed = store.list("trust/").map_err(|error| RepositoryError::store("trust/", error))?;
        if listed.is_empty() {
            return Err(RepositoryError::refused(
                store.location(),
                "there is no repository here; check the address, or make one with `lifeboat init`",
            ));
        }
        Self::follow(store, &listed, None, pins)?
            .ok_or_else(|| RepositoryError::damaged("trust/", "no trust file is there"))
    }

    /// The newest trust by now: this one, or what officers put after it.
    ///
    /// # Errors
    /// A link does not hold, this one is gone, or the store failed.
    pub fn renewed(&self, store: &dyn Store) -> Result<Self, RepositoryError> {
        let listed = store.list("trust/").map_err(|error| RepositoryError::store("trust/", error))?;
        let newest = Self::follow(store, &listed, Some(self.clone()), &[])?;
        newest.ok_or_else(|| RepositoryError::damaged("trust/", "no trust file is there"))
    }

    /// Reads and checks what a listing has after `newest`.
    fn follow(
        store: &dyn Store,
        listed: &[Listed],
        mut newest: Option<Self>,
        pins: &[VerifyingKey],
    ) -> Result<Option<Self>, RepositoryError> {
        let mut expected = Seq(0);
        let known = newest.as_ref().map(|known| known.head.0);
        let unknown = listed.iter().filter(|object| match place(&object.name) {
            Some(Place::Trust(seq)) => known.is_none_or(|known| seq > known),
            _ => false,
        });
        let _ahead = Ahead::of(store, unknown.map(|object| object.name.clone()).collect());
        for object in listed {
            let Some(Place::Trust(found)) = place(&object.name) else {
                tracing::warn!(object = %object.name, "no trust file has such a name; passed over");
                continue;
            };
            if found != expected {
                return Err(RepositoryError::damaged(
                    object.name.as_str(),
                    format!("trust files must be numbered without gaps, and trust/{expected} is missing"),
                ));
            }
            expected = expected.next();
            if newest.as_ref().is_some_and(|known| found <= known.head.0) {
                continue;
            }
            let bytes = store
                .read(&object.name, RECORD_MAX)
                .map_err(|error| RepositoryError::store(object.name.as_str(), error))?;
            newest = Some(Self::check(&object.name, &bytes, newest.as_ref(), pins)?);
        }
        match &newest {
            Some(known) if known.head.0 >= expected => Err(RepositoryError::damaged(
                known.name()?.as_str(),
                "it is missing, although it was read before: an older trust is passed off as the newest",
            )),
            _ => Ok(newest),
        }
    }

    /// Checks one trust file against the one before, or against the pins.
    pub(crate) fn check(
        name: &ObjectName,
        bytes: &[u8],
        previous: Option<&Self>,
        pins: &[VerifyingKey],
    ) -> Result<Self, RepositoryError> {
        let damaged = |why: String| RepositoryError::damaged(name.as_str(), why);
        let (block, body) = sign::split_object(bytes).map_err(|error| damaged(error.to_string()))?;
        let text = std::str::from_utf8(body).map_err(|_| damaged("it is not text".into()))?;
        let signers = AllowedSigners::parse(text).map_err(|error| damaged(error.to_string()))?;
        let comment = signers.first_comment().ok_or_else(|| damaged("its first line is no header".into()))?;
        let header =
            TrustHeader::decode(comment).map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let namespace = sign::namespace(Kind::Trust, &header.repository, name);
        let key = sign::verify(&block, body, &namespace).map_err(|error| damaged(error.to_string()))?;
        match previous {
            None if pins.contains(&key) => {}
            None => {
                return Err(RepositoryError::refused(
                    name.as_str(),
                    format!(
                        "it is signed by {}, which is none of the officers pinned for this region; compare the pinned \
                         keys and this one with the paper in the safe: where the paper does not have it, somebody else \
                         put it there, so treat it as an attack and leave the store as it is",
                        key.fingerprint()
                    ),
                ));
            }
            Some(before) => {
                let linked = header.previous == Some(before.head.1)
                    && header.repository == before.header.repository
                    && header.created >= before.header.created;
                if !linked {
                    return Err(damaged("it does not follow the trust before it".into()));
                }
                let admitted = before.admit(&key, &namespace, JudgedAt::Moment(header.created));
                // Whoever signs says when: only who is an officer still may.
                if !matches!(admitted, Ok(Principal::Officer(name)) if !before.is_removed(&name)) {
                    return Err(damaged("no officer of the trust before it signed it".into()));
                }
            }
        }
        let seq = previous.map_or(Seq(0), |before| before.head.0.next());
        if header.seq != seq || (previous.is_none() && header.previous.is_some()) {
            return Err(damaged("its number is not that of its name".into()));
        }
        let head = Head(seq, ObjectHash::from_bytes(sha256(bytes)));
        Ok(Self { header, signers, head })
    }

    /// Who may have made a signature with this key in this namespace.
    ///
    /// # Errors
    /// Nobody may; the text says why.
    pub fn admit(&self, key: &VerifyingKey, namespace: &str, at: JudgedAt) -> Result<Principal, String> {
        let moment = match at {
            JudgedAt::Moment(moment) => Some(moment),
            JudgedAt::Any => None,
        };
        let entry =
            self.signers.check(None, key, namespace, moment).map_err(|refusal| refusal.to_string())?;
        Principal::parse(&entry.principal)
            .ok_or_else(|| format!("the signer {:?} has no known role", entry.principal))
    }

    /// Whether a writer's key may sign something of this kind and name, or might once.
    #[must_use]
    pub fn may_ever_sign(&self, writer: &Label, kind: Kind, name: &ObjectName) -> bool {
        let namespace = sign::namespace(kind, &self.header.repository, name);
        self.signers.covers(&format!("writer:{writer}"), &namespace)
    }

    /// Every maintainer that trust knows, those of the past too.
    #[must_use]
    pub fn maintainers(&self) -> BTreeSet<Label> {
        let named = self.signers.entries().filter_map(|entry| match Principal::parse(&entry.principal) {
            Some(Principal::Maintainer(name)) => Some(name),
            _ => None,
        });
        named.collect()
    }

    /// Whether somebody of this name was an officer and is none any more.
    #[must_use]
    pub fn is_removed(&self, officer: &Label) -> bool {
        let principal = format!("officer:{officer}");
        let mut entries = self.signers.entries().filter(|entry| entry.principal == principal).peekable();
        entries.peek().is_some() && entries.all(|entry| entry.valid_before.is_some())
    }

    /// The tombstones of an officer who was removed that count, and no other of theirs does; nothing where whoever has this
    /// name was not removed. A tombstone says its own time, so who was removed could date one back.
    #[must_use]
    pub fn tombstones(&self, officer: &Label) -> Option<&[Head]> {
        let counting = || self.header.tombstones.get(officer).map_or(&[][..], Vec::as_slice);
        self.is_removed(officer).then(counting)
    }

    /// Since when a writer is enrolled with this key, where that is later than now: then a clock is wrong.
    #[must_use]
    pub fn enrolled_later(&self, writer: &Label, key: &VerifyingKey, now: Timestamp) -> Option<Timestamp> {
        let principal = format!("writer:{writer}");
        let mut entries =
            self.signers.entries().filter(|entry| entry.principal == principal && entry.key == *key);
        entries
            .find(|entry| entry.valid_before.is_none())
            .and_then(|entry| entry.valid_after)
            .filter(|since| *since > now)
    }

    /// Every writer that trust knows, those of the past too.
    #[must_use]
    pub fn writers(&self) -> BTreeSet<Label> {
        let named = self.signers.entries().filter_map(|entry| match Principal::parse(&entry.principal) {
            Some(Principal::Writer(name)) => Some(name),
            _ => None,
        });
        named.collect()
    }

    /// For a revoked writer, the last entry of its ledger that counts, if any of it does.
    #[must_use]
    pub fn cutoff(&self, writer: &Label) -> Option<Option<Head>> {
        self.header.cutoffs.get(writer).copied()
    }

    /// Whether somebody of this name is, or was, a maintainer: who puts gc records, and whose ledger speaks of one store.
    #[must_use]
    pub fn is_maintainer(&self, name: &Label) -> bool {
        let principal = format!("maintainer:{name}");
        self.signers.entries().any(|entry| entry.principal == principal)
    }

    /// The object this trust is.
    ///
    /// # Errors
    /// Its number is beyond eight digits.
    pub fn name(&self) -> Result<ObjectName, RepositoryError> {
        Ok(names::trust(self.head.0)?)
    }
}
