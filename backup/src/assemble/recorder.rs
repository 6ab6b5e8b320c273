//! The records of this walk, for the next one.

use std::sync::Arc;

use lifeboat_repo::ids::{KeyId, Tenant};
use lifeboat_repo::repository::index::SegmentNumber;
use lifeboat_repo::units::Bytes;

use crate::error::BackupError;
use crate::ordinals::Ordinals;
use crate::state::records::{self, WalkWriter};
use crate::walk::{ReadyLine, Same};

/// Writes the records of a walk as the assembler takes its lines.
pub(crate) struct Recorder {
    walk: WalkWriter,
    ordinals: Ordinals,
    /// What the ordinals of the last walk's records stand for.
    last: Arc<[Option<SegmentNumber>]>,
}

impl Recorder {
    /// Begins; `last` and `tenants` are as the records of the last walk count them, both empty if there was none.
    pub(crate) fn new(
        walk: WalkWriter,
        last: Arc<[Option<SegmentNumber>]>,
        tenants: Vec<(Tenant, KeyId)>,
    ) -> Self {
        // Records that are referred to stay as they are, and so must what they count by.
        let ordinals =
            if walk.is_changes() { Ordinals::continued(&last, tenants) } else { Ordinals::default() };
        Self { walk, ordinals, last }
    }

    /// Records a line.
    pub(super) fn line(&mut self, line: &ReadyLine) -> Result<(), BackupError> {
        let tenant = self.ordinals.tenant(&line.keys);
        let count = |(number, bytes): &(SegmentNumber, Bytes)| (self.ordinals.segment(*number), *bytes);
        let needs: Vec<(u32, Bytes)> = line.needs.iter().map(count).collect();
        self.walk.push(tenant, line.stable, &needs, &line.path, &line.line)
    }

    /// Records entries that look as they did, by reference if they may be referred to, and shows each line and what
    /// it needs.
    pub(super) fn same(
        &mut self,
        same: &Same,
        mut show: impl FnMut(&[u8], &[(SegmentNumber, Bytes)]),
    ) -> Result<(), BackupError> {
        let base = same.base.filter(|_| self.walk.is_changes());
        let tenant = self.ordinals.tenant(&same.keys);
        let (mut needs, mut counted) = (Vec::new(), Vec::new());
        let mut at = same.range.start;
        while at < same.range.end {
            let (fields, next) = records::parse(&same.block, at)
                .ok_or_else(|| BackupError::state("a record of the last walk", "it is malformed"))?;
            let line = fields.line(&same.block);
            let need = |(ordinal, bytes)| Some(((*self.last.get(ordinal as usize)?)?, bytes));
            needs.clear();
            needs.extend(fields.needs(&same.block).filter_map(need));
            show(line, &needs);
            if base.is_none() {
                counted.clear();
                counted.extend(needs.iter().map(|(number, bytes)| (self.ordinals.segment(*number), *bytes)));
                self.walk.push(tenant, true, &counted, fields.path(&same.block), line)?;
            }
            at = next;
        }
        if let Some(base) = base {
            self.walk.take(base, same.entries);
        }
        Ok(())
    }

    /// The walk, and what its records count by.
    pub(super) fn end(self) -> (WalkWriter, Ordinals) {
        (self.walk, self.ordinals)
    }
}
