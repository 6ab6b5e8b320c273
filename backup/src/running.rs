//! A program under way: read, listened to, waited for, and ended with all it started.

use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use lifeboat_repo::format::text;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::program::{Fault, ProgramError};

/// How often a waiting program is looked after: whether somebody asked to stop, whether its time is up.
const TICK: Duration = Duration::from_millis(100);
/// How long a program that is asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// How much of what a program said is kept: its last words.
const SAID_MAX: usize = 4 << 10;
/// How often an ended program is still listened to; a full pipe takes 16 reads.
const LAST_READS: u32 = 16;
/// Lines of it that an error shows.
const SAID_LINES: usize = 8;

/// A program under way. Dropped, it and all it started are ended.
pub(crate) struct Running {
    child: Child,
    pid: Pid,
    /// Ready to read when it has ended.
    handle: Option<OwnedFd>,
    written: Option<PipeReader>,
    said: Option<PipeReader>,
    words: Words,
    timeout: Option<Duration>,
    began: Instant,
    reaped: bool,
}

/// What is ready.
#[derive(Default)]
struct Ready {
    written: bool,
    said: bool,
    ended: bool,
}

impl Running {
    /// Watches a child that leads a process group of its own, from its beginning.
    pub(crate) fn watch(
        child: Child,
        program: String,
        timeout: Option<Duration>,
        written: Option<PipeReader>,
        said: PipeReader,
    ) -> Result<Self, Fault> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Fault::Machine(std::io::Error::other("a process without a number")))?;
        let mut running = Self {
            child,
            pid,
            handle: None,
            written,
            said: Some(said),
            words: Words::new(program),
            timeout,
            began: Instant::now(),
            reaped: false,
        };
        running.handle = Some(rustix::process::pidfd_open(pid, PidfdFlags::empty())?);
        Ok(running)
    }

    /// Appends what the program wrote next, at most so many bytes; whether there may be more.
    pub(crate) fn read(
        &mut self,
        into: &mut Vec<u8>,
        most: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, ProgramError> {
        self.read_some(into, most, stop).map_err(|fault| self.failed(fault))
    }

    fn read_some(&mut self, into: &mut Vec<u8>, most: usize, stop: &dyn Fn() -> bool) -> Result<bool, Fault> {
        let mut alive = true;
        while self.written.is_some() {
            let ready = self.wait_for(alive, stop)?;
            if ready.said {
                self.listen()?;
            }
            if ready.ended {
                // It may have left others to write the rest; but if it failed, nothing of it is wanted.
                alive = false;
                judge(&self.peek(WaitIdOptions::EXITED)?)?;
            }
            let Some(pipe) = self.written.as_mut().filter(|_| ready.written) else { continue };
            let start = into.len();
            into.resize(start + most, 0);
            let got = pipe.read(into.get_mut(start..).unwrap_or_default());
            into.truncate(start + *got.as_ref().unwrap_or(&0));
            match got {
                Ok(0) => self.written = None,
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Machine(error)),
            }
        }
        Ok(false)
    }

    /// Waits until the program has ended, and well. What it started may go on. Its last words.
    pub(crate) fn finish(mut self, stop: &dyn Fn() -> bool) -> Result<Vec<String>, ProgramError> {
        self.finish_well(stop).map_err(|fault| self.failed(fault))?;
        Ok(self.words.last())
    }

    fn finish_well(&mut self, stop: &dyn Fn() -> bool) -> Result<(), Fault> {
        // What it left behind may go on talking; that is not waited for.
        let mut heard = 0;
        loop {
            let ready = self.wait_for(true, stop)?;
            if ready.said {
                self.listen()?;
                heard += u32::from(ready.ended);
            }
            if ready.ended && (!ready.said || heard > LAST_READS) {
                break;
            }
        }
        let status = self.peek(WaitIdOptions::EXITED)?;
        judge(&status)?;
        self.child.wait().map_err(Fault::Machine)?;
        self.reaped = true;
        Ok(())
    }

    /// Ends it, and says why, with its last words.
    fn failed(&mut self, fault: Fault) -> ProgramError {
        self.end();
        ProgramError { fault, said: self.words.last() }
    }

    /// Waits until there is something to read, or, while `alive`, until it has ended.
    fn wait_for(&self, alive: bool, stop: &dyn Fn() -> bool) -> Result<Ready, Fault> {
        loop {
            if stop() {
                return Err(Fault::Interrupted);
            }
            let left = self.timeout.map(|timeout| (timeout, timeout.checked_sub(self.began.elapsed())));
            if let Some((timeout, None)) = left {
                return Err(Fault::Timeout(timeout));
            }
            let tick = left.and_then(|(_, left)| left).map_or(TICK, |left| left.min(TICK));
            let ready = self.poll(alive, tick)?;
            if ready.written || ready.said || ready.ended {
                return Ok(ready);
            }
            self.refuse_questions()?;
        }
    }

    fn poll(&self, alive: bool, how_long: Duration) -> Result<Ready, Fault> {
        let sources = [
            self.written.as_ref().map(AsFd::as_fd),
            self.said.as_ref().map(AsFd::as_fd),
            self.handle.as_ref().map(AsFd::as_fd).filter(|_| alive),
        ];
        let mut polled: Vec<PollFd<'_>> =
            sources.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let how_long = Timespec { tv_sec: 0, tv_nsec: i64::from(how_long.subsec_nanos()) };
        match poll(&mut polled, Some(&how_long)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut answers = polled.iter().map(|fd| !fd.revents().is_empty());
        let mut answer = |there: bool| there && answers.next().unwrap_or(false);
        let [written, said, ended] = sources.map(|source| source.is_some());
        Ok(Ready { written: answer(written), said: answer(said), ended: answer(ended) })
    }

    /// Takes what it said; only when there is something.
    fn listen(&mut self) -> Result<(), Fault> {
        let Some(pipe) = &mut self.said else { return Ok(()) };
        let mut buffer = [0; 4096];
        match pipe.read(&mut buffer) {
            Ok(0) => self.said = None,
            Ok(count) => self.words.hear(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Machine(error)),
        }
        Ok(())
    }

    /// What became of it, without forgetting it: its number stays its own.
    fn peek(&self, what: WaitIdOptions) -> Result<Option<WaitIdStatus>, Fault> {
        let options = what | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::process::waitid(WaitId::Pid(self.pid), options)?)
    }

    /// In a group of its own, a program that reads from the terminal is stopped, for ever.
    fn refuse_questions(&self) -> Result<(), Fault> {
        // Where it has just ended the kernel knows nothing of stopping; that is seen next.
        let status = self.peek(WaitIdOptions::STOPPED).ok().flatten();
        let signal = status.and_then(|status| status.stopping_signal());
        let asks = [Signal::TTIN, Signal::TTOU].iter().any(|asking| signal == Some(asking.as_raw()));
        if asks { Err(Fault::Terminal) } else { Ok(()) }
    }

    /// Ends the whole group.
    fn end(&mut self) {
        if self.reaped {
            return;
        }
        self.reaped = true;
        self.written = None;
        // Whoever is stopped hears nothing before it continues. Those that are gone need nothing more.
        for signal in [Signal::TERM, Signal::CONT] {
            let _ = rustix::process::kill_process_group(self.pid, signal);
        }
        let until = Instant::now() + GRACE;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            match self.poll(true, left.min(TICK)) {
                Ok(ready) if ready.said => drop(self.listen()),
                Ok(ready) if ready.ended => break,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        if let Err(error) = self.child.wait() {
            tracing::warn!(program = self.words.program, %error, "a program could not be waited for");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn judge(status: &Option<WaitIdStatus>) -> Result<(), Fault> {
    let Some(status) = status else { return Ok(()) };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Fault::Status(code)),
        (None, signal) => Err(Fault::Signal(signal.unwrap_or_default())),
    }
}

/// What a program says: logged line by line, the last of it kept.
struct Words {
    program: String,
    said: Vec<u8>,
    /// How much of it is logged.
    logged: usize,
}

impl Words {
    fn new(program: String) -> Self {
        Self { program, said: Vec::new(), logged: 0 }
    }

    fn hear(&mut self, words: &[u8]) {
        self.said.extend_from_slice(words);
        while let Some(line) = self.unlogged().split_inclusive(|byte| *byte == b'\n').next() {
            if line.last() != Some(&b'\n') && line.len() < SAID_MAX {
                break;
            }
            let length = line.len();
            tracing::info!(program = self.program, "{}", text::display(line.trim_ascii_end()));
            self.logged += length;
        }
        let over = self.said.len().saturating_sub(SAID_MAX).min(self.logged);
        self.said.drain(..over);
        self.logged -= over;
    }

    fn unlogged(&self) -> &[u8] {
        self.said.get(self.logged..).unwrap_or_default()
    }

    fn last(&self) -> Vec<String> {
        let lines = self.said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        let from = lines.len().saturating_sub(SAID_LINES);
        lines.iter().skip(from).map(|line| text::display(line).into_owned()).collect()
    }
}
