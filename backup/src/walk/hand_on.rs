//! Hands on what the walk found: items in batches, and unchanged entries many in one.

use std::sync::Arc;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::units::Bytes;

use super::{Batch, Ended, Item, STREAMED_ABOVE, Same, TenantKeys, Walk};
use crate::source::Stat;
use crate::state::records::Record;

/// Content in a batch of small files.
const BATCH_BYTES: u64 = 1 << 20;
/// Items in a batch.
const BATCH_ITEMS: usize = 256;
/// Unchanged entries in one item.
const SAME_MAX: u64 = 1024;

impl Walk<'_> {
    /// Adds a record to those before it, or begins anew.
    pub(super) fn add_same(
        &mut self,
        record: Record,
        keys: Arc<TenantKeys>,
        stat: &Stat,
    ) -> Result<(), Ended> {
        let files = u64::from(stat.kind == EntryKind::File);
        let bytes = if files > 0 { stat.size } else { Bytes::ZERO };
        if let Some(same) = &mut self.same
            && Arc::ptr_eq(&same.block, &record.block)
            && same.range.end == record.range.start
            && same.keys.ordinal == keys.ordinal
            && same.entries < SAME_MAX
        {
            same.range.end = record.range.end;
            same.entries += 1;
            same.files += files;
            same.bytes += bytes;
            return Ok(());
        }
        let Record { block, range, base, .. } = record;
        let full = self.same.as_ref().is_some_and(|same| same.entries >= SAME_MAX);
        self.end_same();
        self.same = Some(Same { keys, block, range, base, entries: 1, files, bytes });
        if full || self.items.len() >= BATCH_ITEMS { self.send() } else { Ok(()) }
    }

    fn end_same(&mut self) {
        self.items.extend(self.same.take().map(Item::Same));
    }

    pub(super) fn push(&mut self, item: Item, size: Bytes) -> Result<(), Ended> {
        self.end_same();
        let streamed = size > STREAMED_ABOVE;
        if streamed && !self.items.is_empty() {
            self.send()?;
        }
        self.items.push(item);
        self.bytes += size.0;
        let full = self.items.len() >= BATCH_ITEMS || self.bytes >= BATCH_BYTES;
        if full { self.send() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<(), Ended> {
        self.end_same();
        self.send()
    }

    /// Sends the items there are; unchanged entries that are still being added to wait.
    fn send(&mut self) -> Result<(), Ended> {
        if self.observer.cancelled() {
            return Err(Ended::Stopped);
        }
        if self.items.is_empty() {
            return Ok(());
        }
        self.outlet.tokens.recv().map_err(|_| Ended::Stopped)?;
        let batch = Batch { number: self.number, items: std::mem::take(&mut self.items) };
        self.number += 1;
        self.bytes = 0;
        self.outlet.readers.send(batch).map_err(|_| Ended::Stopped)
    }
}
