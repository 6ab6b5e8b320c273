//! What a gc record is to say, and how much of it one record says.

use crate::format::records::Locked;
use crate::ids::{KeyId, ObjectName, PackId, SegmentId};
use crate::units::Bytes;

/// One record says about so much: whoever reads any reads all, each of them whole, and refuses one beyond 64 MiB. FORMAT.md
/// §11, §13.
const RECORD_TARGET: Bytes = Bytes::mib(4);
/// An id as JSON with what parts it from the next.
const ID_LENGTH: usize = 67;

const _: () = assert!(RECORD_TARGET.0 * 4 < crate::format::RECORD_MAX.0);

/// What gc records are to say. Which runs may not have seen the records before is looked up as each is put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcDraft {
    /// Packs condemned.
    pub packs: Vec<PackId>,
    /// Snapshots expired.
    pub snapshots: Vec<ObjectName>,
    /// Keys expired in a snapshot.
    pub keys: Vec<(ObjectName, KeyId)>,
    /// Index objects condemned.
    pub indexes: Vec<ObjectName>,
    /// Segments that no place has whole any more.
    pub lost: Vec<SegmentId>,
    /// How far locks were extended before.
    pub locked: Option<Locked>,
}

impl GcDraft {
    /// The same in as many drafts as records it takes: at least one. Each holds by itself: what is lost is said before the
    /// packs that go, index objects are condemned after their packs, and of locks it is spoken last.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let mut parts = Parts { full: Vec::new(), next: Self::default(), length: 0 };
        for segment in &self.lost {
            parts.room(ID_LENGTH).lost.push(*segment);
        }
        for name in &self.snapshots {
            parts.room(name.as_str().len() + 3).snapshots.push(name.clone());
        }
        for key in &self.keys {
            parts.room(key.0.as_str().len() + ID_LENGTH + 5).keys.push(key.clone());
        }
        for pack in &self.packs {
            parts.room(ID_LENGTH).packs.push(*pack);
        }
        for name in &self.indexes {
            parts.room(name.as_str().len() + 3).indexes.push(name.clone());
        }
        parts.next.locked = self.locked;
        parts.full.push(parts.next);
        parts.full
    }
}

struct Parts {
    full: Vec<GcDraft>,
    next: GcDraft,
    length: usize,
}

impl Parts {
    /// Where the next so many bytes of JSON belong.
    fn room(&mut self, bytes: usize) -> &mut GcDraft {
        if self.length + bytes > RECORD_TARGET.as_usize() {
            self.full.push(std::mem::take(&mut self.next));
            self.length = 0;
        }
        self.length += bytes;
        &mut self.next
    }
}
