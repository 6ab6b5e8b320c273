//! Values of extended attributes that are stored as chunks, held from when they come until they are set.
//!
//! A manifest line of a hundred bytes can ask for a value of 64 KiB, so what is held is bounded, and nothing is
//! allocated before its bytes are here.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_repo::units::Bytes;

use super::site::lock;

/// Values held at once at the most. They mostly come beside the content of their file and leave at once; four
/// thousand of the longest kind fit.
pub(super) const HELD_MAX: Bytes = Bytes::mib(256);

/// The values of a plan, by their number.
pub(super) struct Values {
    slots: Vec<Mutex<Slot>>,
    held: AtomicU64,
    held_max: u64,
}

/// What became of a value.
#[derive(Default)]
pub(super) enum Slot {
    /// None of it has come.
    #[default]
    Empty,
    /// It is here, or some of it is.
    Held(Vec<u8>),
    /// Some of it cannot be had.
    Lost,
    /// There was no room for it.
    NoRoom,
}

impl Values {
    pub(super) fn new(count: usize, held_max: Bytes) -> Self {
        Self {
            slots: std::iter::repeat_with(Mutex::default).take(count).collect(),
            held: AtomicU64::new(0),
            held_max: held_max.0,
        }
    }

    /// Takes some of a value that is `length` bytes in all.
    pub(super) fn put(&self, number: u32, length: u32, offset: u64, bytes: &[u8]) {
        let Some(slot) = self.slots.get(number as usize) else { return };
        let mut slot = lock(slot);
        if matches!(*slot, Slot::Empty) {
            let before = self.held.fetch_add(u64::from(length), Ordering::Relaxed);
            if before.saturating_add(u64::from(length)) > self.held_max {
                self.held.fetch_sub(u64::from(length), Ordering::Relaxed);
                *slot = Slot::NoRoom;
            } else {
                *slot = Slot::Held(vec![0; length as usize]);
            }
        }
        if let Slot::Held(held) = &mut *slot {
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            if let Some(room) = held.get_mut(at..at.saturating_add(bytes.len())) {
                room.copy_from_slice(bytes);
            }
        }
    }

    /// Notes that some of a value cannot be had.
    pub(super) fn lose(&self, number: u32) {
        if let Some(slot) = self.slots.get(number as usize) {
            let before = std::mem::replace(&mut *lock(slot), Slot::Lost);
            self.release(&before);
        }
    }

    /// Gives a value up to whoever sets it; it is not held any more.
    pub(super) fn take(&self, number: u32) -> Slot {
        let Some(slot) = self.slots.get(number as usize) else { return Slot::Lost };
        let taken = std::mem::take(&mut *lock(slot));
        self.release(&taken);
        taken
    }

    fn release(&self, slot: &Slot) {
        if let Slot::Held(held) = slot {
            self.held.fetch_sub(held.len() as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_leaves_again() {
        let values = Values::new(3, Bytes(100));
        values.put(0, 60, 0, &[1; 30]);
        values.put(1, 60, 0, &[2; 60]);
        values.put(0, 60, 30, &[3; 30]);
        assert!(matches!(values.take(1), Slot::NoRoom), "40 bytes of room were left");
        assert!(matches!(values.take(0), Slot::Held(held) if held == [[1; 30], [3; 30]].concat()));
        values.put(2, 100, 0, &[4; 100]);
        values.lose(2);
        values.put(2, 100, 0, &[4; 100]);
        assert!(matches!(values.take(2), Slot::Lost), "what is lost stays lost");
        values.put(1, 100, 0, &[5; 100]);
        assert!(matches!(values.take(1), Slot::Held(_)), "all room is free again");
    }
}
