//! Predictions of recovery times that this host keeps, and what was measured afterwards: `predictions.jsonl` in its state.
//!
//! Like [`measured`](crate::measured) a note for people, and no evidence.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lifeboat_verify::history::Line;

/// A file of a hundred thousand lines has seen enough.
const LENGTH_MAX: u64 = 64 << 20;

fn file(state: &Path) -> PathBuf {
    state.join("predictions.jsonl")
}

/// Keeps a line. That it cannot be kept is no reason to fail.
pub(crate) fn keep(state: &Path, line: &Line) {
    // A machine that only restores has no state, and none is made for this.
    if !state.is_dir() {
        return;
    }
    let written = serde_json::to_vec(line).map_err(std::io::Error::other).and_then(|mut text| {
        text.push(b'\n');
        OpenOptions::new().mode(0o600).append(true).create(true).open(file(state))?.write_all(&text)
    });
    if let Err(error) = written {
        tracing::warn!(%error, "the prediction is not kept");
    }
}

/// What was kept. Lines that say nothing, of a write that was cut off, are passed over.
pub(crate) fn load(state: &Path) -> Vec<Line> {
    let path = file(state);
    let small = std::fs::metadata(&path).is_ok_and(|found| found.len() <= LENGTH_MAX);
    let text = if small { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
