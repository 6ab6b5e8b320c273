//! What repair does to a store: whole copies in the place of what is missing or damaged, the tables of packs read back,
//! and segments copied out of packs that are to be condemned. FORMAT.md §7, §11, §14.
//!
//! Nothing is replaced before its copy was checked: by the hash that a ledger or a checkpoint vouches for, or else by
//! the signature of whom alone such an object may come from.

use std::sync::Arc;

use crate::crypto::hash::{Sha256, segment_id, sha256};
use crate::crypto::sign::{Kind, VerifyingKey};
use crate::format::index::{PackRef, SegmentLine, decode_table};
use crate::format::names::{self, Place, place};
use crate::format::pack::{FOOTER_LEN, Footer};
use crate::format::records::Recorded;
use crate::format::{CATALOGED_STORED_MAX, PACK_MAX, RECORD_MAX};
use crate::ids::{ObjectHash, ObjectName, PackId};
use crate::repository::catalog::Catalog;
use crate::repository::maintainer::{Maintainer, MaintenanceRun};
use crate::repository::pack::{self, PACK_TARGET, PackBuilder};
use crate::repository::trust::Trust;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError, Role, versions};
use crate::store::{Store, StoreErrorKind};
use crate::units::{Bytes, LockClass, Timestamp};

/// Packs are copied in pieces of this length.
const PIECE: Bytes = Bytes::mib(4);

/// A repository whose trust may be damaged, and what of its trust a copy can heal.
pub struct Opened {
    /// The repository, judged by the newest trust of both.
    pub repository: Repository,
    /// Trust files that are missing here or not those of the copy.
    pub trust: Vec<ObjectName>,
}

/// Opens a repository, by the trust of its copy where its own does not hold or is older. Both chains begin with a pinned
/// officer.
///
/// # Errors
/// Neither chain holds, they fork, or a store failed.
pub fn open(
    store: Arc<dyn Store>,
    copy: Option<&dyn Store>,
    pins: &[VerifyingKey],
) -> Result<Opened, RepositoryError> {
    let own = own_trust(store.as_ref(), pins);
    let Some(copy) = copy else {
        let repository = Repository::by(store, own?, Role::Primary);
        return Ok(Opened { repository, trust: Vec::new() });
    };
    let theirs = Trust::load(copy, pins);
    let trust = match (own, theirs) {
        (Ok(own), Ok(theirs)) if theirs.head.0 > own.head.0 => theirs,
        (Ok(own), _) => {
            return Ok(Opened { repository: Repository::by(store, own, Role::Primary), trust: Vec::new() });
        }
        (Err(error), Ok(theirs)) if error.is_damage() || is_refusal(&error) => theirs,
        (Err(error), _) => return Err(error),
    };
    let mut differ = Vec::new();
    for number in 0..=trust.head.0.0 {
        let name = names::trust(names::Seq(number))?;
        let whole =
            copy.read(&name, RECORD_MAX).map_err(|error| RepositoryError::store(name.as_str(), error))?;
        match store.read(&name, RECORD_MAX) {
            Ok(there) if there == whole => {}
            Ok(_) => differ.push(name),
            Err(error) if matches!(error.kind, StoreErrorKind::Missing | StoreErrorKind::TooLong { .. }) => {
                differ.push(name);
            }
            Err(error) => return Err(RepositoryError::store(name.as_str(), error)),
        }
    }
    Ok(Opened { repository: Repository::by(store, trust, Role::Primary), trust: differ })
}

/// The newest trust here: what was hidden or overlaid counts, too, where the store keeps versions.
fn own_trust(store: &dyn Store, pins: &[VerifyingKey]) -> Result<Trust, RepositoryError> {
    let shown = Trust::load(store, pins);
    match (versions::first_trust(store, pins), shown) {
        (Ok(Some(first)), Ok(shown)) if first.head.0 > shown.head.0 => Ok(first),
        (Ok(Some(first)), Err(_)) => Ok(first),
        (_, shown) => shown,
    }
}

/// An empty `trust/`, or one whose first file nobody pinned signed.
fn is_refusal(error: &RepositoryError) -> bool {
    matches!(error.kind, super::RepositoryErrorKind::Refused(_))
}

/// Whether a copy has an object whole: `vouched` is the hash that something signed in the repository gives for it.
///
/// # Errors
/// The copy has none, or it is not whole, or not of whom it must be, or what is here is the same; or the copy's store failed.
pub fn check_copy(
    here: &Repository,
    copy: &dyn Store,
    name: &ObjectName,
    vouched: Option<ObjectHash>,
    now: Timestamp,
) -> Result<(), RepositoryError> {
    let same = || RepositoryError::damaged(name.as_str(), "it has the same bytes as are here");
    match place(name) {
        Some(Place::Pack(pack)) => {
            pieces(copy, name, pack, &mut |_| Ok(()))?;
            // Whoever says that it is damaged is wrong, or lies.
            if pieces(here.store(), name, pack, &mut |_| Ok(())).is_ok() { Err(same()) } else { Ok(()) }
        }
        Some(place) => {
            let bytes = read_copy(here, copy, name, &place, vouched, now)?;
            let there = here.store().read(name, Bytes::of(&bytes));
            if there.is_ok_and(|there| there == bytes) { Err(same()) } else { Ok(()) }
        }
        None => Err(RepositoryError::refused(name.as_str(), "no object of this version has such a name")),
    }
}

/// Puts a checked copy of an object in its place; what was there is deleted once the copy is known to be whole. With the
/// catalog a pack is locked as the class that its own table says, without it as the normal one.
///
/// # Errors
/// As [`check_copy`], or what is there cannot be deleted (it may be locked), or the store failed: then the object may
/// be missing, and the same done again puts it.
pub fn put_copy(
    here: &Repository,
    copy: &dyn Store,
    name: &ObjectName,
    vouched: Option<ObjectHash>,
    catalog: Option<&Catalog>,
    now: Timestamp,
) -> Result<(), RepositoryError> {
    let store = here.store();
    let failed = |error| RepositoryError::store(name.as_str(), error);
    if let Some(Place::Pack(pack)) = place(name) {
        let whole = copy.stat(name).map_err(failed)?.ok_or_else(|| missing(name))?.length;
        let class = match catalog.map(|catalog| pack::class_at(copy, catalog, pack, whole)) {
            Some(Ok(class)) => class,
            // Neither whoever opens no catalog nor whoever reads a damaged table can tell.
            None => LockClass::default(),
            Some(Err(error)) if error.is_damage() => LockClass::default(),
            Some(Err(error)) => return Err(error),
        };
        let mut upload = store.upload_as(class).map_err(failed)?;
        pieces(copy, name, pack, &mut |piece| upload.write(piece).map_err(failed))?;
        store.delete(name).map_err(failed)?;
        upload.finish(name).map_err(failed)?;
        return store.barrier().map_err(failed);
    }
    let Some(place) = place(name) else {
        return Err(RepositoryError::refused(name.as_str(), "no object of this version has such a name"));
    };
    let bytes = read_copy(here, copy, name, &place, vouched, now)?;
    store.delete(name).map_err(failed)?;
    store.create(name, &bytes).map(drop).map_err(failed)
}

/// Streams a copy of a pack, which is good if its SHA-256 is its name.
fn pieces(
    copy: &dyn Store,
    name: &ObjectName,
    pack: PackId,
    take: &mut dyn FnMut(&[u8]) -> Result<(), RepositoryError>,
) -> Result<(), RepositoryError> {
    let failed = |error| RepositoryError::store_read(name.as_str(), error);
    let listed = copy.stat(name).map_err(failed)?;
    let length = listed.ok_or_else(|| missing(name))?.length;
    if length > PACK_MAX {
        return Err(RepositoryError::damaged(name.as_str(), "the copy is longer than any pack"));
    }
    let (mut hash, mut done, mut piece) = (Sha256::new(), Bytes::ZERO, Vec::new());
    while done < length {
        let now = Bytes(length.0 - done.0).min(PIECE);
        piece.clear();
        copy.read_range(name, done, now, &mut piece).map_err(failed)?;
        hash.update(&piece);
        take(&piece)?;
        done += now;
    }
    if hash.finish() == *pack.as_bytes() {
        Ok(())
    } else {
        Err(RepositoryError::damaged(name.as_str(), "the copy is damaged too: its SHA-256 is another"))
    }
}

fn missing(name: &ObjectName) -> RepositoryError {
    RepositoryError { what: name.to_string(), kind: super::RepositoryErrorKind::Missing }
}

/// Reads a copy of an object that is no pack, and checks it.
fn read_copy(
    here: &Repository,
    copy: &dyn Store,
    name: &ObjectName,
    place: &Place,
    vouched: Option<ObjectHash>,
    now: Timestamp,
) -> Result<Vec<u8>, RepositoryError> {
    let limit = match place {
        Place::Index(..) | Place::Snapshot(..) => CATALOGED_STORED_MAX,
        _ => RECORD_MAX,
    };
    let bytes = copy.read(name, limit).map_err(|error| RepositoryError::store(name.as_str(), error))?;
    match vouched {
        Some(hash) if ObjectHash::from_bytes(sha256(&bytes)) == hash => return Ok(bytes),
        Some(_) => {
            return Err(RepositoryError::damaged(
                name.as_str(),
                "the copy is not the object that was stored",
            ));
        }
        None => {}
    }
    let (kinds, owner): (&[Kind], _) = match place {
        Place::Trust(_) => (&[Kind::Trust], None),
        Place::Seal(..) => (&[Kind::Seal], None),
        Place::Key(_, writer, _) => (&[Kind::Key], Some(writer)),
        Place::Card(writer, _) => (&[Kind::Card], Some(writer)),
        Place::Index(writer, ..) => (&[Kind::Index], Some(writer)),
        Place::Run(writer, _) => (&[Kind::Run], Some(writer)),
        Place::Ledger(writer, _) => (&[Kind::Ledger], Some(writer)),
        Place::Snapshot(..) => (&[Kind::Snapshot, Kind::Fence], None),
        _ => return Err(RepositoryError::refused(name.as_str(), "no copy of it may come from elsewhere")),
    };
    let at = if matches!(place, Place::Seal(..)) { JudgedAt::Moment(now) } else { JudgedAt::Any };
    let signed = here.check_signed(name, bytes.clone(), kinds, at)?;
    let right = match (&signed.principal, place, owner) {
        (Principal::Officer(_), Place::Trust(_) | Place::Seal(..), _) => true,
        (Principal::Officer(_), Place::Key(..), _) => {
            here.judge(&signed.key, Kind::Key, name, JudgedAt::Moment(now))?;
            true
        }
        (Principal::Writer(writer), _, Some(owner)) => {
            writer == owner && here.trust().cutoff(owner).is_none()
        }
        (Principal::Writer(writer), Place::Snapshot(..), None) => here.trust().cutoff(writer).is_none(),
        (Principal::Maintainer(_), Place::Snapshot(..), None) => signed.kind == Kind::Fence,
        _ => false,
    };
    if right {
        Ok(bytes)
    } else {
        Err(RepositoryError::damaged(name.as_str(), "nothing vouches for the copy"))
    }
}

/// The lines of a pack's table, with the pack in them, if all of the pack is what its name says.
///
/// # Errors
/// The pack is missing or damaged, its table does not open, or the store failed.
pub fn read_table(
    repository: &Repository,
    catalog: &Catalog,
    pack: PackId,
) -> Result<(PackRef, Vec<SegmentLine>), RepositoryError> {
    pieces(repository.store(), &names::pack(pack)?, pack, &mut |_| Ok(()))?;
    read_table_alone(repository, catalog, pack)
}

/// The same of a pack that may be damaged elsewhere. What the lines say nobody vouches for: that a segment is whole its own
/// name tells, that a chunk is the one it is taken for its own id, to whoever opens it.
///
/// # Errors
/// The pack is missing, its table is damaged or does not open, or the store failed.
pub fn read_table_alone(
    repository: &Repository,
    catalog: &Catalog,
    pack: PackId,
) -> Result<(PackRef, Vec<SegmentLine>), RepositoryError> {
    let name = names::pack(pack)?;
    let store = repository.store();
    let failed = |error| RepositoryError::store_read(name.as_str(), error);
    let damaged = |why: String| RepositoryError::damaged(name.as_str(), why);
    let length = store.stat(&name).map_err(failed)?.ok_or_else(|| missing(&name))?.length;
    let foot = Bytes(FOOTER_LEN as u64);
    let start = length.0.checked_sub(foot.0).ok_or_else(|| damaged("it is shorter than a footer".into()))?;
    let mut bytes = Vec::new();
    store.read_range(&name, Bytes(start), foot, &mut bytes).map_err(failed)?;
    let footer = Footer::decode(&bytes, length).map_err(|error| damaged(error.to_string()))?;
    bytes.clear();
    store.read_range(&name, footer.offset, footer.length, &mut bytes).map_err(failed)?;
    let plain = catalog.open(&bytes, name.as_str())?;
    let (_, mut lines) = decode_table(&plain).map_err(|error| damaged(error.to_string()))?;
    for line in &mut lines {
        line.pack = Some(pack);
    }
    Ok((PackRef(pack, length), lines))
}

/// The stored bytes of a segment at a place, if they are whole there.
#[must_use]
pub fn segment_at(store: &dyn Store, line: &SegmentLine) -> Option<Vec<u8>> {
    let name = names::pack(line.pack?).ok()?;
    let mut bytes = Vec::new();
    store.read_range(&name, line.offset, line.length, &mut bytes).ok()?;
    (segment_id(&bytes) == line.segment).then_some(bytes)
}

/// Copies segments, as they are stored, into new packs, and tells where in an index object. `segments` are whole at the
/// places that their lines give in the store beside them.
///
/// # Errors
/// A segment is not whole any more, or something could not be confirmed.
pub fn refill(
    maintainer: &Maintainer<'_>,
    run: &mut MaintenanceRun<'_>,
    segments: &[(SegmentLine, &dyn Store)],
) -> Result<(), RepositoryError> {
    let store = maintainer.repository().store();
    let (mut packs, mut lines) = (Vec::new(), Vec::new());
    let mut segments: Vec<_> = segments.iter().collect();
    segments.sort_by_key(|(line, _)| line.lock);
    let mut rest = segments.into_iter().peekable();
    while let Some(class) = rest.peek().map(|(line, _)| line.lock) {
        // A pack holds segments of one class.
        let mut builder = PackBuilder::begin_as(store, class)?;
        while builder.length() < PACK_TARGET
            && let Some((line, from)) = rest.next_if(|(line, _)| line.lock == class)
        {
            let bytes = segment_at(*from, line).ok_or_else(|| {
                RepositoryError::damaged(format!("segment {}", line.segment), "it is not whole any more")
            })?;
            builder.append(&bytes, line.clone())?;
        }
        let staged = builder.finish(maintainer.catalog(), maintainer.name(), run.id())?;
        run.record(Recorded(staged.name.clone(), staged.hash(), staged.pack.1));
        packs.push(staged.pack);
        // Whoever looks for a segment finds its chunks where it was told first.
        lines.extend(staged.segments);
    }
    run.put_index(&packs, lines).map(drop)
}
