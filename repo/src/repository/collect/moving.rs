//! Copying segments as stored into new packs, and saying where they lie.

use std::collections::BTreeMap;

use super::Moved;
use super::held::Held;
use crate::format::index::{PackRef, SegmentLine};
use crate::format::records::Recorded;
use crate::repository::catalog::Catalog;
use crate::repository::maintainer::MaintenanceRun;
use crate::repository::pack::{PACK_TARGET, PackBuilder};
use crate::repository::run::PACKS_PER_INDEX;
use crate::repository::{Repository, RepositoryError};
use crate::units::LockClass;

/// Copies segments. What it copied counts once [`Self::confirm`] has returned.
pub(super) struct Mover<'m, 'r> {
    repository: &'m Repository,
    catalog: &'m Catalog,
    run: &'m mut MaintenanceRun<'r>,
    /// By the class of their segments: what may not be locked for long must not be copied to where it is.
    builders: BTreeMap<LockClass, PackBuilder<'m>>,
    packs: Vec<PackRef>,
    lines: Vec<SegmentLine>,
    pub(super) moved: Moved,
}

impl<'m, 'r> Mover<'m, 'r> {
    pub(super) fn new(
        repository: &'m Repository,
        catalog: &'m Catalog,
        run: &'m mut MaintenanceRun<'r>,
    ) -> Self {
        let (packs, lines) = (Vec::new(), Vec::new());
        let (builders, moved) = (BTreeMap::new(), Moved::default());
        Self { repository, catalog, run, builders, packs, lines, moved }
    }

    /// Takes a segment, whose bytes were compared with its id.
    ///
    /// # Errors
    /// The store failed.
    pub(super) fn add(&mut self, held: &Held, bytes: &[u8]) -> Result<(), RepositoryError> {
        let class = held.line.lock;
        let mut builder = match self.builders.remove(&class) {
            Some(builder) => builder,
            None => PackBuilder::begin_as(self.repository.store(), class)?,
        };
        builder.append(bytes, held.line.clone())?;
        self.moved.segments += 1;
        self.moved.bytes += crate::units::Bytes::of(bytes);
        if builder.length() < PACK_TARGET {
            self.builders.insert(class, builder);
            return Ok(());
        }
        self.end_pack(builder)?;
        if self.packs.len() >= PACKS_PER_INDEX { self.put_index() } else { Ok(()) }
    }

    /// Confirms everything: packs, then the index object that says what lies in them.
    ///
    /// # Errors
    /// Something could not be confirmed.
    pub(super) fn confirm(&mut self) -> Result<(), RepositoryError> {
        while let Some((_, builder)) = self.builders.pop_first() {
            self.end_pack(builder)?;
        }
        self.put_index()
    }

    fn end_pack(&mut self, builder: PackBuilder<'m>) -> Result<(), RepositoryError> {
        let staged = builder.finish(self.catalog, self.run.writer(), self.run.id())?;
        self.run.record(Recorded(staged.name.clone(), staged.hash(), staged.pack.1));
        self.packs.push(staged.pack);
        self.moved.packs += 1;
        // With their chunks: a writer remembers those of a segment, finds its new place here and relies on it, and what told
        // the chunks before may be condemned.
        self.lines.extend(staged.segments);
        Ok(())
    }

    fn put_index(&mut self) -> Result<(), RepositoryError> {
        let lines = std::mem::take(&mut self.lines);
        self.run.put_index(&std::mem::take(&mut self.packs), lines)?;
        Ok(())
    }
}
