//! Writing packs. FORMAT.md §7.

use crate::crypto::hash::Sha256;
use crate::format::index::{self, PackRef, SegmentLine, TableHeader};
use crate::format::pack::{FOOTER_LEN, Footer};
use crate::format::{FORMAT_VERSION, PACK_MAX, names};
use crate::ids::{Label, ObjectHash, ObjectName, PackId, RunId};
use crate::repository::RepositoryError;
use crate::repository::catalog::Catalog;
use crate::store::{Store, Upload};
use crate::units::{Bytes, LockClass};

/// A pack is ended once it holds this much: large enough that a night makes few objects, small enough to buffer.
pub const PACK_TARGET: Bytes = Bytes::mib(32);

const _: () = assert!(PACK_TARGET.0 * 2 < PACK_MAX.0);

/// The class of a pack, by its own table.
///
/// # Errors
/// It has no table that opens.
#[cfg(feature = "recover")]
pub(crate) fn class_of(pack: &[u8], catalog: &Catalog, name: &str) -> Result<LockClass, RepositoryError> {
    let damaged = |why: &str| RepositoryError::damaged(name, why);
    let start = pack.len().saturating_sub(FOOTER_LEN);
    let footer = Footer::decode(pack.get(start..).unwrap_or_default(), Bytes::of(pack))
        .map_err(|error| damaged(&error.to_string()))?;
    let table = footer.offset.as_usize()..(footer.offset + footer.length).as_usize();
    class_in(pack.get(table).ok_or_else(|| damaged("its table lies outside of it"))?, catalog, name)
}

/// The same for a pack in a store, of which no more than the table is read.
///
/// # Errors
/// It has no table that opens, or the store failed.
#[cfg(feature = "recover")]
pub(crate) fn class_at(
    store: &dyn Store,
    catalog: &Catalog,
    pack: PackId,
    length: Bytes,
) -> Result<LockClass, RepositoryError> {
    let name = names::pack(pack)?;
    let failed = |error| RepositoryError::store_read(name.as_str(), error);
    let foot = Bytes(FOOTER_LEN as u64);
    let start = Bytes(length.0.saturating_sub(foot.0));
    let mut bytes = Vec::new();
    store.read_range(&name, start, foot, &mut bytes).map_err(failed)?;
    let footer = Footer::decode(&bytes, length)
        .map_err(|error| RepositoryError::damaged(name.as_str(), error.to_string()))?;
    bytes.clear();
    store.read_range(&name, footer.offset, footer.length, &mut bytes).map_err(failed)?;
    class_in(&bytes, catalog, name.as_str())
}

#[cfg(feature = "recover")]
fn class_in(table: &[u8], catalog: &Catalog, name: &str) -> Result<LockClass, RepositoryError> {
    let plain = catalog.open(table, name)?;
    let (_, lines) = index::decode_table(&plain).map_err(|error| RepositoryError::format(name, &error))?;
    let short = lines.iter().any(|line| !line.lock.is_normal());
    Ok(if short { LockClass::Short } else { LockClass::Normal })
}

/// A pack being written.
pub struct PackBuilder<'s> {
    upload: Box<dyn Upload + 's>,
    hash: Sha256,
    length: Bytes,
    lines: Vec<SegmentLine>,
    class: LockClass,
}

/// A pack that is staged; it counts once the next barrier has returned.
pub struct StagedPack {
    /// Its name and length.
    pub pack: PackRef,
    /// Its object name.
    pub name: ObjectName,
    /// Its segments, with their place.
    pub segments: Vec<SegmentLine>,
}

impl StagedPack {
    /// The pack's SHA-256, as ledgers record it.
    #[must_use]
    pub fn hash(&self) -> ObjectHash {
        ObjectHash::from_bytes(*self.pack.0.as_bytes())
    }
}

impl<'s> PackBuilder<'s> {
    /// Begins a pack.
    ///
    /// # Errors
    /// The store failed.
    pub fn begin(store: &'s dyn Store) -> Result<Self, RepositoryError> {
        Self::begin_as(store, LockClass::Normal)
    }

    /// Begins a pack that is locked as this class: all its segments are of it.
    ///
    /// # Errors
    /// The store failed.
    pub fn begin_as(store: &'s dyn Store, class: LockClass) -> Result<Self, RepositoryError> {
        let upload = store.upload_as(class).map_err(|error| RepositoryError::store("a new pack", error))?;
        Ok(Self { upload, hash: Sha256::new(), length: Bytes::ZERO, lines: Vec::new(), class })
    }

    /// Appends a segment; its line's offset, length, pack and class are set here.
    ///
    /// # Errors
    /// The store failed.
    pub fn append(&mut self, segment: &[u8], mut line: SegmentLine) -> Result<(), RepositoryError> {
        line.offset = self.length;
        line.length = Bytes::of(segment);
        line.pack = None;
        line.lock = self.class;
        self.write(segment)?;
        self.lines.push(line);
        Ok(())
    }

    /// How long the pack is by now.
    #[must_use]
    pub fn length(&self) -> Bytes {
        self.length
    }

    /// Adds table and footer and stages the pack under its hash.
    ///
    /// # Errors
    /// The store or the machine failed.
    pub fn finish(
        mut self,
        catalog: &Catalog,
        writer: &Label,
        run: RunId,
    ) -> Result<StagedPack, RepositoryError> {
        let header = TableHeader { format: FORMAT_VERSION, writer: writer.clone(), run };
        let table = index::encode_table(&header, &self.lines)
            .map_err(|error| RepositoryError::format("a pack table", &error))?;
        let table = catalog.seal(&table, "a pack table")?;
        let footer = Footer { offset: self.length, length: Bytes::of(&table) }.encode();
        debug_assert_eq!(footer.len(), FOOTER_LEN);
        self.write(&table)?;
        self.write(&footer)?;
        let id = PackId::from_bytes(self.hash.finish());
        let name = names::pack(id)?;
        self.upload.finish(&name).map_err(|error| RepositoryError::store(name.as_str(), error))?;
        let mut segments = self.lines;
        for line in &mut segments {
            line.pack = Some(id);
        }
        Ok(StagedPack { pack: PackRef(id, self.length), name, segments })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RepositoryError> {
        self.hash.update(bytes);
        self.upload.write(bytes).map_err(|error| RepositoryError::store("a new pack", error))?;
        self.length += Bytes::of(bytes);
        Ok(())
    }
}
