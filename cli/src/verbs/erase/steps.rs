//! The lines that `erase` says to run next, as they can be run: with the region, the number and the files of keys that this
//! one was given.

use std::fmt;
use std::path::Path;

use lifeboat_repo::format::names::Seq;

use super::Args;
use crate::context::Context;
use crate::failure::word;
use crate::render::{WIDTH, fill};

/// What stands before a line, and before what goes on with it.
const INDENT: &str = "      ";

/// Makes them.
pub(super) struct Steps {
    /// What stands before, and what behind.
    head: Vec<String>,
    keys: Vec<String>,
}

/// A command, in pieces that belong together.
pub(super) struct Line(Vec<String>);

impl Steps {
    /// Lines that go on with what this one was given. What the environment says it says to them too.
    pub(super) fn of(context: &Context, args: &Args) -> Self {
        let option = |name: &str, file: &Path| format!("--{name} {}", word(file));
        let mut head = vec!["lifeboat erase".to_owned()];
        head.extend(context.config_path.as_deref().map(|file| option("config", file)));
        head.push(format!("--region {}", args.region));
        let mut keys = Vec::from_iter(args.officer.file().map(|file| option("officer-key", file)));
        keys.extend(args.officer.identities.files.iter().map(|file| option("identity", file)));
        Self { head, keys }
    }

    pub(super) fn sweep(&self) -> Line {
        self.line(vec!["--sweep".into()], &self.keys)
    }

    pub(super) fn prove(&self, seq: Seq) -> Line {
        self.line(vec![format!("--prove {}", seq.0)], &self.keys)
    }

    /// For another officer, who has other keys.
    pub(super) fn sign(&self, seq: Seq) -> Line {
        let theirs = ["--irrevocably", "--officer-key THEIR-KEY", "--identity THEIR-IDENTITY"];
        self.line(vec![format!("--sign {}", seq.0)], &theirs.map(ToOwned::to_owned))
    }

    fn line(&self, what: Vec<String>, keys: &[String]) -> Line {
        Line([&self.head, &what[..], keys].concat())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl Line {
    /// In lines of a page, which a shell takes for one.
    pub(super) fn folded(&self) -> String {
        let mut text = INDENT.to_owned();
        // Room for what says that it goes on.
        let columns = (INDENT.len(), WIDTH - 2);
        fill(&mut text, self.0.iter().map(|piece| &**piece), columns, " \\\n", INDENT.len() + 4);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_as_a_shell_does() {
        let pieces = ["lifeboat erase", "--region eu-fra", "--sweep", "--officer-key keys/officer-alice"];
        let line = Line(
            [&pieces[..], &["--identity keys/recovery-eu-fra.txt"]]
                .concat()
                .iter()
                .map(|one| (*one).to_owned())
                .collect(),
        );
        let folded = "      lifeboat erase --region eu-fra --sweep --officer-key keys/officer-alice \\\n          --identity \
                      keys/recovery-eu-fra.txt";
        assert_eq!(line.folded(), folded);
        assert_eq!(line.to_string(), folded.trim().replace(" \\\n          ", " "));
    }
}
