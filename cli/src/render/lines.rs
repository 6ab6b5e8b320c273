//! Lines shown as they come, however many there are; `--json` gathers them.

use std::io::{self, BufWriter, Write};

use serde_json::Value;

use super::clean;
use crate::codes::Code;
use crate::failure::{Failure, Result};

/// Lines on standard output, or values for `--json`.
pub(crate) struct Lines {
    gathered: Option<Vec<Value>>,
    out: BufWriter<io::Stdout>,
    failed: Option<io::Error>,
}

impl Lines {
    /// None yet.
    pub(crate) fn new(json: bool) -> Self {
        Self { gathered: json.then(Vec::new), out: BufWriter::new(io::stdout()), failed: None }
    }

    /// Shows one, or gathers it; whether more make sense. Only what is needed is made. What would act on a terminal
    /// is written out; the text may be several lines and ends with one.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) -> bool {
        if let Some(gathered) = &mut self.gathered {
            gathered.push(value());
            return true;
        }
        if self.failed.is_none() {
            self.failed = self.out.write_all(clean(&text()).as_bytes()).err();
        }
        self.failed.is_none()
    }

    /// Everything is written; the values gathered. A reader that went away (`| head`) is no error.
    pub(crate) fn finish(mut self) -> Result<Option<Vec<Value>>> {
        match self.failed.take().map_or_else(|| self.out.flush(), Err) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot write to standard output: {error}")).code(Code::Output))
            }
            _ => Ok(self.gathered),
        }
    }
}
