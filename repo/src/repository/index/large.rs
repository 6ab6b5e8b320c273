//! What of a table does not fit into memory: sorted on disk, by [`crate::repository::shelf`].

use std::collections::HashMap;

use super::{DedupTable, KnownSegment};
use crate::format::index::SegmentLine;
use crate::ids::{KeyId, ObjectName, PackId, RunId};
use crate::repository::shelf::{Shelf, ShelfBuilder, ShelfError, ShelfPlace, ShelfWriter, Slot};
use crate::store::private::PrivateFile;
use crate::units::Bytes;

/// The part on disk, and how it comes to be.
#[derive(Default)]
pub(super) struct Large {
    /// Where it may lie; without it everything stays in memory.
    place: Option<(ShelfPlace, RunId)>,
    building: Option<ShelfBuilder>,
    shelf: Option<Shelf>,
    /// Numbers in memory of the shelf's segments that were met.
    met: HashMap<u32, u32>,
    /// Something that was here could not be read or kept: what is written out now would lack it for ever.
    broken: bool,
}

/// The file that a table is built in from index objects, until a run keeps it.
const BUILT: &str = "built";

impl Large {
    /// Takes a segment and its chunks if this is where they belong by now.
    pub(super) fn take(&mut self, known: &KnownSegment, line: &SegmentLine) -> bool {
        let Some(building) = &mut self.building else { return false };
        let taken = building
            .segment(known)
            .and_then(|number| line.chunks.iter().try_for_each(|chunk| building.chunk(&chunk.0, number)));
        if let Err(error) = taken {
            self.give_up(&error);
        }
        true
    }

    /// Makes what was built a shelf.
    pub(super) fn settle(&mut self) {
        let (Some(building), Some((place, _))) = (self.building.take(), &self.place) else { return };
        let path = place.dir.join(BUILT);
        // It serves this run alone, which knows that what it absorbed is present.
        let built = building
            .finish(|_| None, std::iter::empty())
            .and_then(|()| Shelf::open(&path, place, |_, _| true, |_| None));
        let _ = PrivateFile::remove(&path);
        match built {
            Ok(shelf) => self.shelf = Some(shelf),
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &ShelfError) {
        tracing::warn!(%error, "the table of chunks on disk cannot be used; chunks that only it knew are stored again");
        self.building = None;
        self.shelf = None;
        self.broken = true;
    }
}

impl DedupTable {
    /// Lets what is beyond [`ShelfPlace::large`] chunks lie on disk, in the name of this run.
    pub fn shelve_in(&mut self, place: ShelfPlace, run: RunId) {
        self.large.place = Some((place, run));
    }

    /// Looks up in this shelf, too. Call it before anything is absorbed.
    pub fn take_shelf(&mut self, shelf: Shelf) {
        self.large.shelf = Some(shelf);
    }

    /// Whether there is too much for memory, so that [`Self::keep`] is to be called rather than [`Self::to_bytes`].
    #[must_use]
    pub fn is_large(&self) -> bool {
        let most = self.large.place.as_ref().map_or(usize::MAX, |(place, _)| place.large);
        self.large.shelf.is_some() || self.settled.len() + self.fresh.len() >= most
    }

    /// Whether part of it was lost on the way, so that it must not be kept.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.large.broken
    }

    /// Writes the whole table to a file: shelf and memory merged, in one pass over either.
    ///
    /// # Errors
    /// It was never told where, or the file cannot be written.
    pub fn keep<'n>(
        &self,
        path: &std::path::Path,
        length: impl Fn(PackId) -> Option<Bytes>,
        indexes: impl Iterator<Item = &'n ObjectName>,
    ) -> Result<(), ShelfError> {
        let Some((place, run)) = &self.large.place else {
            return Err(ShelfError::Malformed("nobody said where it may lie"));
        };
        let mut writer = ShelfWriter::create(path, place, *run)?;
        let mut numbers: Vec<Option<u32>> = vec![None; self.segments.len()];
        let mut renumbered = Vec::new();
        if let Some(shelf) = &self.large.shelf {
            renumbered = shelf.copy_segments(&mut writer, |segment, number| {
                let here = self.numbers.get(&segment.id).and_then(|here| numbers.get_mut(*here as usize));
                if let Some(here) = here {
                    *here = Some(number);
                }
            })?;
        }
        for (segment, number) in self.segments.iter().zip(&mut numbers) {
            if number.is_none() && segment.pack.is_some() {
                *number = Some(writer.segment(segment)?);
            }
        }
        let renumber = |chunk: [u8; 12], segment: u32| {
            let number = numbers.get(segment as usize).copied().flatten()?;
            Some(Slot { chunk, segment: number.to_le_bytes() })
        };
        let settled = self.settled.iter().map(|slot| (slot.chunk, u32::from_le_bytes(slot.segment)));
        let fresh = self.fresh.iter().map(|(chunk, segment)| (*chunk, *segment));
        let mut slots: Vec<Slot> =
            settled.chain(fresh).filter_map(|(chunk, segment)| renumber(chunk, segment)).collect();
        slots.sort_unstable();
        match &self.large.shelf {
            Some(shelf) => shelf.merge_slots(&renumbered, &slots, &mut writer)?,
            None => slots.into_iter().try_for_each(|slot| writer.slot(slot))?,
        }
        writer.finish(length, indexes)
    }

    /// Once too much was absorbed for memory, it and all that follows goes to disk.
    pub(super) fn shelve_if_many(&mut self) {
        let Some((place, run)) = &self.large.place else { return };
        // Beside a shelf that was kept there is little: a night's work.
        if self.settled.len() < place.large || self.large.shelf.is_some() || self.large.broken {
            return;
        }
        let begun =
            ShelfBuilder::create(place.dir.join(BUILT), place.clone(), *run).and_then(|mut building| {
                let numbers = self
                    .segments
                    .iter()
                    .map(|segment| segment.pack.map(|_| building.segment(segment)).transpose())
                    .collect::<Result<Vec<_>, _>>()?;
                for slot in &self.settled {
                    let segment = u32::from_le_bytes(slot.segment) as usize;
                    if let Some(number) = numbers.get(segment).copied().flatten() {
                        building.slot(Slot { chunk: slot.chunk, segment: number.to_le_bytes() })?;
                    }
                }
                Ok(building)
            });
        match begun {
            Ok(building) => {
                self.settled = Vec::new();
                self.large.building = Some(building);
            }
            // All goes on in memory, as long as that suffices.
            Err(error) => {
                tracing::warn!(%error, "the table of chunks cannot be built on disk; it stays in memory");
                self.large.place = None;
            }
        }
    }

    /// The segment on the shelf that holds a chunk of this key, under a number of its own in memory from now on.
    pub(super) fn find_shelved(&mut self, key: KeyId, chunk: &[u8; 12]) -> Option<u32> {
        let shelf = self.large.shelf.as_mut()?;
        let found = match shelf.find(chunk) {
            Ok(Some(at)) => match self.large.met.get(&at) {
                Some(number) => return Some(*number),
                None => shelf.segment(at).map(|segment| segment.map(|segment| (at, segment))),
            },
            Ok(None) => return None,
            Err(error) => Err(error),
        };
        match found {
            Ok(Some((at, segment))) if segment.key == key => {
                let number = self.number_of(&segment.id).or_else(|| self.add_segment(segment))?;
                self.large.met.insert(at, number.0);
                Some(number.0)
            }
            Ok(_) => None,
            Err(error) => {
                self.large.give_up(&error);
                None
            }
        }
    }
}
