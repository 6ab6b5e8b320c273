//! Seams for tests of what is private here. No release has them.

use std::sync::{Mutex, PoisonError};

use crate::state::Table;
use crate::state::records::{parse, take_long};

/// Where bytes lie in memory between two steps of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Chunks that have their ids, before they are compressed.
    Plain,
    /// Compressed, before it is sealed.
    Packed,
    /// Sealed, before it is opened again and compared.
    Sealed,
    /// Compared, before it is put into a pack.
    Checked,
}

type Meddler = Box<dyn FnMut(Stage, &mut [u8]) + Send>;

static MEDDLER: Mutex<Option<Meddler>> = Mutex::new(None);

/// Lets a test do to the bytes between stages what failing memory does, in this process.
pub fn meddle(with: impl FnMut(Stage, &mut [u8]) + Send + 'static) {
    *MEDDLER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(with));
}

pub(crate) fn pass(stage: Stage, bytes: &mut [u8]) {
    if let Some(meddler) = MEDDLER.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        meddler(stage, bytes);
    }
}

/// Whether these bytes, the opened blocks of a table of local state, can be read as one.
#[must_use]
pub fn reads_state_table(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Table>(bytes).is_ok()
}

/// Whether these bytes, an opened block of a walk in local state, can be read to their end.
#[must_use]
pub fn reads_state_records(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some((_, next)) = parse(bytes, at) {
        at = next;
    }
    at == bytes.len() && at > 0
}

/// Whether these bytes, an opened block of a walk that was kept as changes of another, can be read to their end.
#[must_use]
pub fn reads_state_changes(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(mut rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        // A record of its own, or how many of the base are taken and passed over.
        let next = match take_long(&mut rest) {
            None => return false,
            Some(0) => parse(bytes, bytes.len() - rest.len()).map(|(_, next)| next),
            Some(_) => take_long(&mut rest).map(|_| bytes.len() - rest.len()),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    at > 0
}

/// Lets tables of so many chunks lie on disk already, in this process.
pub fn keep_tables_on_disk_from(chunks: usize) {
    crate::state::LARGE.store(chunks, std::sync::atomic::Ordering::Relaxed);
}
