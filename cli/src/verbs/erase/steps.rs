//! The lines that `erase` says to run next, as they can be run: with the region, the number and the files of keys that this
//! one was given.

use std::path::Path;

use lifeboat_repo::format::names::Seq;

use super::Args;
use crate::context::Context;
use crate::failure::tame;

/// Makes them.
pub(super) struct Steps {
    /// What stands before each, and what behind it.
    program: String,
    region: String,
    keys: String,
}

impl Steps {
    /// Lines that go on with what this one was given. What the environment says it says to them too.
    pub(super) fn of(context: &Context, args: &Args) -> Self {
        let option = |name: &str, file: &Path| format!(" --{name} {}", word(file));
        let program = context.config_path.as_deref().map_or_else(String::new, |file| option("config", file));
        let mut keys = args.officer.file().map_or_else(String::new, |file| option("officer-key", file));
        for file in &args.officer.identities.files {
            keys.push_str(&option("identity", file));
        }
        Self {
            program: format!("lifeboat{program} erase"),
            region: format!(" --region {}", args.region),
            keys,
        }
    }

    pub(super) fn sweep(&self) -> String {
        format!("{}{} --sweep{}", self.program, self.region, self.keys)
    }

    pub(super) fn prove(&self, seq: Seq) -> String {
        format!("{}{} --prove {}{}", self.program, self.region, seq.0, self.keys)
    }

    /// For another officer, who has other keys.
    pub(super) fn sign(&self, seq: Seq) -> String {
        format!(
            "{}{} --sign {} --irrevocably --officer-key THEIR-KEY --identity THEIR-IDENTITY",
            self.program, self.region, seq.0
        )
    }
}

/// A file's name as a shell takes it for one word.
fn word(file: &Path) -> String {
    let text = tame(&file.to_string_lossy());
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_a_file_for_one_word() {
        for (file, shown) in [
            ("keys/officer-alice", "keys/officer-alice"),
            ("my keys/a", "'my keys/a'"),
            ("it's; rm", r"'it'\''s; rm'"),
            ("~x", "'~x'"),
        ] {
            assert_eq!(word(Path::new(file)), shown);
        }
    }
}
