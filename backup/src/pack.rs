//! The packer: sealed segments become packs, in the order they come.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::ids::{Label, RunId, SegmentId};
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::index::SegmentNumber;
use lifeboat_repo::repository::pack::{PACK_TARGET, PackBuilder, StagedPack};
use lifeboat_repo::store::Store;
use lifeboat_repo::units::LockClass;

use crate::error::BackupError;
use crate::seal::{Pool, Sealed};

/// A staged pack, and the names that its segments got.
pub(crate) struct Packed {
    pub(crate) pack: StagedPack,
    pub(crate) named: Vec<(SegmentNumber, SegmentId)>,
}

/// Writes packs.
pub(crate) struct Packer<'s> {
    pub(crate) store: &'s dyn Store,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) writer: Label,
    pub(crate) run: RunId,
    pub(crate) outputs: Pool,
    pub(crate) class: LockClass,
}

impl Packer<'_> {
    /// Takes segments until there are no more; the first error ends it.
    pub(crate) fn run(
        &self,
        segments: &Receiver<Result<Sealed, BackupError>>,
        to: &Sender<Result<Packed, BackupError>>,
    ) {
        let outcome = self.pack_all(segments, to);
        if let Err(error) = outcome {
            drop(to.send(Err(error)));
        }
    }

    fn pack_all(
        &self,
        segments: &Receiver<Result<Sealed, BackupError>>,
        to: &Sender<Result<Packed, BackupError>>,
    ) -> Result<(), BackupError> {
        let mut open: Option<(PackBuilder<'_>, Vec<(SegmentNumber, SegmentId)>)> = None;
        for sealed in segments {
            let sealed = sealed?;
            let (mut builder, mut named) = match open.take() {
                Some(open) => open,
                None => (PackBuilder::begin_as(self.store, self.class)?, Vec::new()),
            };
            named.push((sealed.number, sealed.line.segment));
            builder.append(&sealed.bytes, sealed.line)?;
            self.outputs.put(sealed.bytes);
            if builder.length() < PACK_TARGET {
                open = Some((builder, named));
            } else {
                self.finish(builder, named, to)?;
            }
        }
        match open {
            Some((builder, named)) => self.finish(builder, named, to),
            None => Ok(()),
        }
    }

    fn finish(
        &self,
        builder: PackBuilder<'_>,
        named: Vec<(SegmentNumber, SegmentId)>,
        to: &Sender<Result<Packed, BackupError>>,
    ) -> Result<(), BackupError> {
        let pack = builder.finish(&self.catalog, &self.writer, self.run)?;
        drop(to.send(Ok(Packed { pack, named })));
        Ok(())
    }
}
