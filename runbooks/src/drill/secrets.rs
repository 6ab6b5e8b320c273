//! Secrets are taken out of what steps print before anybody keeps or shows it. What looks like a key is one.

use lifeboat_repo::format::text;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Values shorter than this are no secrets: taking every `1` out of an output helps nobody.
const VALUE_LENGTH_MIN: usize = 6;

/// Beginnings of age's secrets, in capitals; the rest is letters and digits.
const KEYS: [&str; 2] = ["AGE-SECRET-KEY-", "AGE-PLUGIN-"];

/// Parts of names of environment variables whose values are secrets.
const NAMES: [&str; 6] = ["SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "CREDENTIAL"];

/// Whether an environment variable holds a secret, by its name.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    NAMES.iter().any(|part| name.contains(part)) || name == "PGPASS" || name.ends_with("ACCESS_KEY")
}

/// Takes secrets out of lines, one after another: a private key goes over many.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    values: Vec<String>,
    in_key: bool,
}

impl Redactor {
    /// Besides keys, takes these values out. One of several lines is taken out line by line.
    #[must_use]
    pub fn new<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Self {
        let mut all: Vec<String> = Vec::new();
        for value in values {
            let lines = value.as_ref().lines().map(str::trim);
            all.extend(lines.filter(|line| line.len() >= VALUE_LENGTH_MIN).map(str::to_owned));
        }
        // The longest first: one may hold another.
        all.sort_by_key(|value| std::cmp::Reverse(value.len()));
        all.dedup();
        Self { values: all, in_key: false }
    }

    /// A line without secrets and without anything that acts on a terminal, and whether anything was taken out.
    pub fn line(&mut self, line: &str) -> (String, bool) {
        let begins = line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----");
        if self.in_key || begins {
            self.in_key = !line.contains("-----END ");
            return (REDACTED.to_owned(), true);
        }
        let mut clean = line.to_owned();
        for value in &self.values {
            if clean.contains(value.as_str()) {
                clean = clean.replace(value.as_str(), REDACTED);
            }
        }
        for key in KEYS {
            clean = without(&clean, key);
        }
        let redacted = clean != line;
        (text::display(clean.as_bytes()).into_owned(), redacted)
    }
}

/// The text without what begins like this, in whatever case, and goes on with letters, digits and `-`.
fn without(text: &str, begin: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_uppercase().find(begin) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(from.len());
        clean.push_str(before);
        clean.push_str(REDACTED);
        rest = from.get(end..).unwrap_or_default();
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_nothing_else() {
        let mut redactor = Redactor::new(["hunter2hunter2", "short", "two\nlines-of-it"]);
        let mut line = |text: &str| redactor.line(text);
        let plain = "restored 12 files in short time";
        assert_eq!(line(plain), (plain.to_owned(), false));
        assert_eq!(line("PGPASSWORD=hunter2hunter2 x"), ("PGPASSWORD=[redacted] x".to_owned(), true));
        assert_eq!(line("two lines-of-it"), ("two [redacted]".to_owned(), true));
        let key = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0JQSCM3D0";
        assert_eq!(line(&format!("a {key}, b")), ("a [redacted], b".to_owned(), true));
        assert_eq!(line(&key.to_lowercase()), ("[redacted]".to_owned(), true));
        assert_eq!(line("bell \u{7} and \u{1b}[2J").0.chars().filter(|c| c.is_control()).count(), 0);
    }

    #[test]
    fn a_private_key_is_taken_out_to_its_last_line() {
        let mut redactor = Redactor::default();
        let text = "x\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\nAAAA\n-----END OPENSSH PRIVATE KEY-----\ny";
        let lines: Vec<String> = text.lines().map(|line| redactor.line(line).0).collect();
        assert_eq!(lines, ["x", REDACTED, REDACTED, REDACTED, REDACTED, "y"]);
    }

    #[test]
    fn names_of_secrets_are_known() {
        for secret in
            ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "PGPASSWORD", "AWS_SESSION_TOKEN", "api_token"]
        {
            assert!(is_secret(secret), "{secret}");
        }
        for open in ["PATH", "LIFEBOAT_IDENTITY", "REGION", "TARGET", "AWS_REGION"] {
            assert!(!is_secret(open), "{open}");
        }
    }
}
