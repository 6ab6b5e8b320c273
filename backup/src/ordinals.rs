//! How the records of a walk count: segments and tenants by small numbers, so that a record costs little.

use std::collections::HashMap;
use std::sync::Arc;

use lifeboat_repo::ids::{KeyId, Tenant};
use lifeboat_repo::repository::index::SegmentNumber;

use crate::walk::TenantKeys;

/// The ordinals of segments and tenants in the records of one walk.
#[derive(Default)]
pub(crate) struct Ordinals {
    /// By segment number: one more than its ordinal, or 0.
    of: Vec<u32>,
    segments: Vec<Option<SegmentNumber>>,
    tenants: Vec<(Tenant, KeyId)>,
    keys: HashMap<KeyId, u32>,
}

impl Ordinals {
    /// Goes on counting where the last walk ended, so that its records stay true.
    pub(crate) fn continued(segments: &Arc<[Option<SegmentNumber>]>, tenants: Vec<(Tenant, KeyId)>) -> Self {
        let keys = tenants.iter().zip(0..).map(|((_, key), at)| (*key, at)).collect();
        let mut ordinals = Self { of: Vec::new(), segments: Vec::new(), tenants, keys };
        for number in segments.iter() {
            if let Some(number) = number {
                ordinals.set(*number);
            }
            ordinals.segments.push(*number);
        }
        ordinals
    }

    fn set(&mut self, number: SegmentNumber) {
        let at = number.0 as usize;
        if self.of.len() <= at {
            self.of.resize(at + 1, 0);
        }
        if let Some(slot) = self.of.get_mut(at) {
            *slot = u32::try_from(self.segments.len() + 1).unwrap_or(u32::MAX);
        }
    }

    /// The ordinal of a segment.
    pub(crate) fn segment(&mut self, number: SegmentNumber) -> u32 {
        match self.of.get(number.0 as usize) {
            Some(known) if *known > 0 => known - 1,
            _ => {
                self.set(number);
                self.segments.push(Some(number));
                u32::try_from(self.segments.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    /// The ordinal of a tenant's key.
    pub(crate) fn tenant(&mut self, keys: &TenantKeys) -> u32 {
        *self.keys.entry(keys.card.key).or_insert_with(|| {
            self.tenants.push((keys.card.tenant.clone(), keys.card.key));
            u32::try_from(self.tenants.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Segments in the order of their ordinals.
    pub(crate) fn segments(&self) -> &[Option<SegmentNumber>] {
        &self.segments
    }

    /// Tenants in the order of theirs.
    pub(crate) fn into_tenants(self) -> Vec<(Tenant, KeyId)> {
        self.tenants
    }
}

/// A set of segments.
#[derive(Default)]
pub(crate) struct Marks {
    words: Vec<u64>,
}

impl Marks {
    pub(crate) fn insert(&mut self, number: SegmentNumber) {
        let (word, bit) = (number.0 as usize / 64, number.0 % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = SegmentNumber> {
        self.words.iter().zip((0_u32..).step_by(64)).flat_map(|(word, first)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| SegmentNumber(first + bit))
        })
    }
}
