use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::crypto::sha256;

use super::printing::{LEFT_OUT, LINE_MAX};
use super::*;

#[derive(Default)]
struct Quiet {
    stop: AtomicBool,
}

impl Watch for Quiet {
    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    fn line(&self, line: &str) {
        // The test's script says when it is ready.
        self.stop.store(line == "stop me", Ordering::Relaxed);
    }
    fn tick(&self, _running: Duration) {}
}

fn ran(script: &str, environment: &[(&str, &str)], timeout: Option<Duration>) -> Ran {
    let path = std::env::var_os("PATH").unwrap();
    let mut all: Vec<(OsString, OsString)> = vec![("PATH".into(), path)];
    all.extend(environment.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    let redactor = Redactor::new(["secret-value"]);
    run(script, Shell { environment: &all, redactor, timeout, clock: &SystemClock }, &Quiet::default())
}

#[test]
fn what_a_script_prints_is_hashed_as_it_is_and_kept_clean() {
    let done = ran("echo one; echo secret-value >&2; printf '\\033[2J'; exit 3", &[], None);
    assert_eq!(done.end, End::Exit(3));
    let raw = b"one\nsecret-value\n\x1b[2J";
    assert_eq!(done.printed.sha256, ObjectHash::from_bytes(sha256(raw)));
    assert_eq!((done.printed.bytes, done.printed.redacted_lines), (Bytes::of(raw), 1));
    assert_eq!(done.printed.tail[..2], ["one", "[redacted]"]);
    assert!(!done.printed.tail.concat().contains('\u{1b}'));
}

#[test]
fn a_name_is_never_a_command() {
    let evil = "x; touch /tmp/pwned-$(id -u) `touch /tmp/pwned` && exit 9";
    let done = ran(
        "test \"$TENANT\" = \"$(printenv TENANT)\"; printf '%s\\n' \"$TENANT\"",
        &[("TENANT", evil)],
        None,
    );
    assert_eq!((done.end, done.printed.tail), (End::Exit(0), vec![evil.to_owned()]));
}

#[test]
fn a_step_fails_where_a_command_of_it_fails_or_a_variable_is_not_set() {
    assert_eq!(ran("false; echo on", &[], None).end, End::Exit(1));
    assert!(matches!(ran("echo \"$NOBODY_SET_THIS\"", &[], None).end, End::Exit(code) if code != 0));
}

#[test]
fn what_takes_too_long_or_is_stopped_is_ended_with_all_it_started() {
    let done = ran("sleep 1000 & sleep 1000", &[], Some(Duration::from_millis(50)));
    assert_eq!(done.end, End::TimedOut);
    let done = ran("sleep 1000 & echo stop me; wait", &[], None);
    assert_eq!(done.end, End::Interrupted);
    // What is left behind ends with it: otherwise reading would never end.
    assert_eq!(ran("sleep 1000 & true", &[], None).end, End::Exit(0));
}

/// A server in a session of its own keeps the step's output open: the step is over all the same, all it printed is there,
/// and the server runs until the drill ends what is left of it.
#[test]
fn a_step_that_leaves_a_server_behind_ends() {
    let mark = format!("step-test-{}", std::process::id());
    let script = "echo before; setsid sleep 10000 & while [ \"$(cut -d' ' -f6 /proc/$!/stat)\" != $! ]; do :; done; \
                  head -c 70000 /dev/zero | tr '\\0' '\\n'; echo after";
    let marked = [("LIFEBOAT_DRILL", mark.as_str()), ("DRILL_TARGET", "/srv/one")];
    let done = ran(script, &marked, None);
    assert_eq!((done.end, done.printed.bytes), (End::Exit(0), Bytes(70_013)));
    assert_eq!(done.printed.tail.last().map(String::as_str), Some("after"));
    // Another drill of the same second bears the same id, and is let alone.
    assert_eq!(end_leftovers(&mark, Path::new("/srv/other")), 0);
    assert_eq!(end_leftovers(&mark, Path::new("/srv/one")), 1);
    assert_eq!(end_leftovers(&mark, Path::new("/srv/one")), 0);
    // Nor does one that prints for ever; it does not die of it either.
    let done = ran(&script.replace("sleep 10000", "yes"), &marked, None);
    assert_eq!((done.end, end_leftovers(&mark, Path::new("/srv/one"))), (End::Exit(0), 1));
}

/// A secret lies across each place where a long line is cut: neither half of it is shown.
#[test]
fn a_secret_across_a_cut_is_not_shown() {
    let key = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0JQSCM3D0";
    for (secret, half) in [(key, "QPZYSNZS23V9CCRYDPK8QARC0JQSCM3D0"), ("secret-value", "value")] {
        let before = LINE_MAX - secret.len() as u64 / 2;
        let script = format!("head -c {before} /dev/zero | tr '\\0' ' '; echo {secret}; echo next");
        let done = ran(&script, &[], None);
        let shown = done.printed.tail.concat();
        assert!(!shown.contains(half) && !shown.contains(&secret[..6]), "{shown}");
        assert_eq!(done.printed.tail, [LEFT_OUT, "next"]);
    }
    // A private key whose beginning is cut is taken out to its end; a progress keeps its last word.
    let before = LINE_MAX - 5;
    let private =
        "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1r\\n-----END OPENSSH PRIVATE KEY-----\\nend\\n";
    let done = ran(&format!("head -c {before} /dev/zero | tr '\\0' ' '; printf -- '{private}'"), &[], None);
    assert_eq!(done.printed.tail, [LEFT_OUT, "[redacted]", "[redacted]", "end"]);
    let done = ran("yes word | head -9000 | tr '\\n' '\\r'; printf 'last secret-value\\n'", &[], None);
    assert_eq!((done.printed.tail, done.printed.redacted_lines), (vec!["last [redacted]".to_owned()], 1));
}

#[test]
fn a_line_without_an_end_fills_no_memory() {
    let done = ran("head -c 1000000 /dev/zero | tr '\\0' a", &[], None);
    assert_eq!(done.printed.bytes, Bytes(1_000_000));
    assert!(done.printed.tail.iter().all(|line| line.len() as u64 <= LINE_MAX));
}
