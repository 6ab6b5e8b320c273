//! A witness that is a command: whatever keeps ledger entries where nobody who reaches the repository can take them away.
//!
//! It is run with what is asked for behind its own arguments, and must do three things:
//!
//! | called with     | does                                                                                                    |
//! | --------------- | ------------------------------------------------------------------------------------------------------- |
//! | `put NAME FILE` | keeps the file's content under that name for ever, or, if anything is kept there, leaves it as it is     |
//! | `get NAME`      | writes what it keeps there to standard output; nothing, if there is nothing                             |
//! | `list PREFIX`   | writes all names that begin so, a line each                                                             |
//!
//! It ends with 0 where that went well. What it says after a `put` is not believed: the entry is read back.

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_backup::Program;
use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::store::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use lifeboat_repo::units::{Bytes, Timestamp};

/// Names of entries are some hundred bytes long; nobody has a hundred thousand of them.
const LIST_MAX: Bytes = Bytes::mib(32);

const WHY: &str = "a witness command keeps ledger entries, and nothing else";

/// A witness command, as a store of ledger entries.
pub(crate) struct WitnessCommand {
    program: Program,
    cancelled: Arc<AtomicBool>,
}

impl WitnessCommand {
    /// That program; it is ended where somebody asks to stop.
    pub(crate) const fn new(program: Program, cancelled: Arc<AtomicBool>) -> Self {
        Self { program, cancelled }
    }

    fn run(&self, operation: &'static str, asked: &[OsString], limit: Bytes) -> Result<Vec<u8>, StoreError> {
        let mut program = self.program.clone();
        program.arguments.extend(asked.iter().cloned());
        let stop = || self.cancelled.load(Ordering::Relaxed);
        program.output(limit, &stop).map_err(|error| {
            let said = error.said.last().map(|line| format!(": {line}")).unwrap_or_default();
            let kind = StoreErrorKind::Unreachable(format!("{error}{said}").into());
            self.error(operation, asked, kind)
        })
    }

    fn error(&self, operation: &'static str, asked: &[OsString], kind: StoreErrorKind) -> StoreError {
        let subject = asked.get(1).map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        StoreError { operation, subject, location: self.location(), kind }
    }

    fn get(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        self.run("read", &["get".into(), name.as_str().into()], limit)
    }
}

impl Store for WitnessCommand {
    fn location(&self) -> String {
        format!("the witness command {}", self.program.name())
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        let failed = |error: std::io::Error| StoreError {
            operation: "create",
            subject: name.to_string(),
            location: self.location(),
            kind: StoreErrorKind::Io(error),
        };
        let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.flush()).map_err(failed)?;
        let asked = ["put".into(), name.as_str().into(), file.path().as_os_str().to_owned()];
        self.run("create", &asked, LIST_MAX)?;
        // Whoever keeps it need not know whether it was new; what counts is what is kept.
        let kept = self.get(name, Bytes(bytes.len() as u64 + 1));
        match kept {
            Ok(kept) if kept == bytes => Ok(Created::New),
            Ok(kept) if kept.is_empty() => {
                let why = "it said that it keeps the entry, and does not have it";
                Err(self.error("create", &asked, StoreErrorKind::Unreachable(why.into())))
            }
            Ok(_) => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    fn stage(&self, name: &ObjectName, _bytes: &[u8]) -> Result<(), StoreError> {
        Err(self.unsupported("stage", name, WHY))
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        Err(self.error("begin", &[], StoreErrorKind::Unsupported(WHY.into())))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        let bytes = self.get(name, limit)?;
        if bytes.is_empty() {
            return Err(self.error("read", &["get".into(), name.as_str().into()], StoreErrorKind::Missing));
        }
        Ok(bytes)
    }

    fn read_range(
        &self,
        name: &ObjectName,
        _offset: Bytes,
        _length: Bytes,
        _into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        Err(self.unsupported("read a part of", name, WHY))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let asked = ["list".into(), prefix.into()];
        let text = self.run("list", &asked, LIST_MAX)?;
        let bad = |line: &str| {
            let why = format!("it lists {line:?}, which is no name that begins so");
            self.error("list", &asked, StoreErrorKind::Other(why))
        };
        let text = String::from_utf8_lossy(&text);
        let mut listed = Vec::new();
        for line in text.lines() {
            let name: ObjectName = line.parse().map_err(|_| bad(line))?;
            if !line.starts_with(prefix) {
                return Err(bad(line));
            }
            // Nobody asks how long an entry is, or how old.
            listed.push(Listed { name, length: Bytes::ZERO, modified: Timestamp::new(0, 0) });
        }
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        Ok(self.list(name.as_str())?.into_iter().find(|listed| listed.name == *name))
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        Err(self.unsupported("delete", name, WHY))
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(SystemClock.now())
    }
}
