//! What a step prints: read until it has ended, hashed as it is, kept without secrets.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_repo::crypto::hash::Sha256;
use lifeboat_repo::ids::ObjectHash;
use lifeboat_repo::units::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::secrets::Redactor;
use super::{LOOK_EVERY, Printed, TAIL, Watch};

/// No line is longer that is shown: what prints without an end must not fill memory.
pub(super) const LINE_MAX: u64 = 16 << 10;
/// What stands for one that is.
pub(super) const LEFT_OUT: &str = "[a line of more than 16 KiB]";
/// So much of a piece of a line is looked at again with the next.
const OVERLAP: usize = 64;

/// What a step prints, until it has ended and all of that is read. What it started in a session of its own, a server, may
/// hold the pipe open for ever: what comes after the end is not the step's.
pub(super) struct Output<'a> {
    pipe: PipeReader,
    over: &'a AtomicBool,
    /// Once the step has ended: what of it is still to be read.
    left: Option<u64>,
}

impl<'a> Output<'a> {
    pub(super) const fn new(pipe: PipeReader, over: &'a AtomicBool) -> Self {
        Self { pipe, over, left: None }
    }

    /// Whoever still prints must not die of it, nor wait for somebody to read: from now on nobody keeps what it says.
    fn drain(self) {
        let mut pipe = self.pipe;
        if self.left.is_some() {
            std::thread::spawn(move || io::copy(&mut pipe, &mut io::sink()));
        }
    }
}

impl Read for Output<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let wait = Timespec::try_from(LOOK_EVERY).map_err(io::Error::other)?;
        while self.left.is_none() {
            if self.over.load(Ordering::Acquire) {
                self.left = Some(rustix::io::ioctl_fionread(&self.pipe)?);
            } else {
                match poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&wait)) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => {}
                    Ok(_) => return self.pipe.read(into),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let left = self.left.unwrap_or_default();
        let read = self.pipe.by_ref().take(left).read(into)?;
        self.left = Some(left.saturating_sub(read as u64));
        Ok(read)
    }
}

/// Reads all of it.
pub(super) fn read(output: Output<'_>, mut redactor: Redactor, watch: &dyn Watch) -> Printed {
    let mut gathered = Gathered::default();
    let mut reader = BufReader::new(output);
    let mut long: Option<Long> = None;
    loop {
        let mut piece = Vec::new();
        match reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                gathered.hash.update(&piece);
                gathered.bytes = gathered.bytes.saturating_add(count as u64);
            }
        }
        let whole = piece.last() == Some(&b'\n');
        if long.is_some() || (!whole && piece.len() as u64 == LINE_MAX) {
            long.get_or_insert_default().take(&piece, &mut redactor);
        }
        match (whole, long.take()) {
            (false, some @ Some(_)) => long = some,
            (true, Some(long)) => gathered.keep(long.shown(), watch),
            (_, None) => gathered.keep(cleaned(&piece, &mut redactor), watch),
        }
    }
    if let Some(long) = long {
        gathered.keep(long.shown(), watch);
    }
    reader.into_inner().drain();
    gathered.printed()
}

/// What was printed where nothing was.
pub(super) fn nothing() -> Printed {
    Gathered::default().printed()
}

#[derive(Default)]
struct Gathered {
    hash: Sha256,
    bytes: u64,
    redacted_lines: u64,
    tail: VecDeque<String>,
}

impl Gathered {
    fn printed(self) -> Printed {
        Printed {
            sha256: ObjectHash::from_bytes(self.hash.finish()),
            bytes: Bytes(self.bytes),
            redacted_lines: self.redacted_lines,
            tail: self.tail.into(),
        }
    }

    fn keep(&mut self, (clean, redacted): (String, bool), watch: &dyn Watch) {
        self.redacted_lines += u64::from(redacted);
        watch.line(&clean);
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(clean);
    }
}

/// A line without its secrets, and whether there were any. Of a progress that writes over itself, its last word.
fn cleaned(line: &[u8], redactor: &mut Redactor) -> (String, bool) {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    redactor.line(text.rsplit('\r').next().unwrap_or_default())
}

/// A line that is longer than is shown. A secret may lie across any cut, so of its pieces nothing is shown but a last word
/// that is whole.
#[derive(Default)]
struct Long {
    /// The end of the piece before: where a private key begins may lie across a cut too.
    before: Vec<u8>,
    word: Option<String>,
    redacted: bool,
}

impl Long {
    fn take(&mut self, piece: &[u8], redactor: &mut Redactor) {
        let both = [&self.before, piece].concat();
        let text = String::from_utf8_lossy(&both);
        let trimmed = text.trim_end_matches(['\n', '\r']);
        let ends = trimmed.len() < text.len();
        self.redacted |= redactor.line(trimmed).1;
        // Between a carriage return and the end of the line: nothing is cut off there.
        self.word = trimmed.rsplit_once('\r').filter(|_| ends).map(|(_, word)| redactor.line(word)).map(
            |(word, redacted)| {
                self.redacted |= redacted;
                word
            },
        );
        self.before = both.get(both.len().saturating_sub(OVERLAP)..).unwrap_or_default().to_vec();
    }

    fn shown(self) -> (String, bool) {
        (self.word.unwrap_or_else(|| LEFT_OUT.to_owned()), self.redacted)
    }
}
