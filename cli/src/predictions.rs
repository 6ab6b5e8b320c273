//! Predictions of recovery times that this host keeps, and what was measured afterwards: `predictions.jsonl` in its state.
//!
//! Like [`measured`](crate::measured) a note for people, and no evidence.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
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
    let written = serde_json::to_vec(line).map_err(io::Error::other).and_then(|text| {
        let mut open = OpenOptions::new();
        let mut to = open.mode(0o600).read(true).append(true).create(true).open(file(state))?;
        // A line that was cut off must not take this one with it.
        let begin: &[u8] = if is_cut(&mut to)? { b"\n" } else { b"" };
        to.write_all(&[begin, text.as_slice(), b"\n"].concat())
    });
    if let Err(error) = written {
        tracing::warn!(%error, "the prediction is not kept");
    }
}

/// Keeps what a drill measured, but for what is kept of it already: a drill that was cut off comes here again.
pub(crate) fn keep_once(state: &Path, measured: &[Line]) {
    let known = load(state);
    let same = |one: &Line, other: &Line| match (one, other) {
        (Line::Measured(one), Line::Measured(other)) => {
            (one.at, &one.component, &one.by) == (other.at, &other.component, &other.by)
        }
        _ => one == other,
    };
    let fresh = measured.iter().filter(|line| !known.iter().any(|known| same(known, line)));
    fresh.for_each(|line| keep(state, line));
}

/// Whether the last line has no end.
fn is_cut(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// What was kept. Lines that say nothing, of a write that was cut off, are passed over.
pub(crate) fn load(state: &Path) -> Vec<Line> {
    let path = file(state);
    let small = std::fs::metadata(&path).is_ok_and(|found| found.len() <= LENGTH_MAX);
    let text = if small { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
