//! Metrics of what was done, as a file for the textfile collector of Prometheus' node exporter.
//!
//! All are gauges: a file says how things stand, not what happened. So one text is right in both forms that there are,
//! Prometheus' own and OpenMetrics. Each verb replaces what it knows, and what others wrote before stays: that is how
//! the last success outlives a failure.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::units::Timestamp;
use rustix::fs::FlockOperation;
use serde_json::Value;

use crate::config::Component;
use crate::exit::Exit;

/// A family of metrics, and what it says.
struct Family {
    name: &'static str,
    help: &'static str,
}

macro_rules! families {
    ($($constant:ident = $name:literal, $help:literal;)*) => {
        $(const $constant: &str = $name;)*
        /// Every family, by name.
        const FAMILIES: &[Family] = &[$(Family { name: $name, help: $help },)*];
    };
}

families! {
    BACKUP_ENTRIES = "lifeboat_backup_entries", "Entries in the last snapshot of a component.";
    BACKUP_EXIT = "lifeboat_backup_exit_code", "How the last backup of a component ended; 0 is well.";
    BACKUP_FILES = "lifeboat_backup_files", "Regular files in the last snapshot of a component.";
    BACKUP_SUCCESS = "lifeboat_backup_last_success_timestamp_seconds", "When a backup of a component last ended with everything stored and confirmed.";
    BACKUP_PROBLEMS = "lifeboat_backup_problems", "Entries of a component that the last backup has not, or not as they should be.";
    BACKUP_POINT = "lifeboat_backup_recovery_point_timestamp_seconds", "The moment up to which the last snapshot that this host made provably holds data.";
    BACKUP_SECONDS = "lifeboat_backup_duration_seconds", "How long the last backup of a component took.";
    BACKUP_SOURCE = "lifeboat_backup_source_bytes", "Content in the last snapshot of a component.";
    BACKUP_STORED = "lifeboat_backup_stored_bytes", "What the last backup of a component stored anew.";
    BUILD = "lifeboat_build_info", "The version that wrote this, always 1.";
    BUNDLE_PUT = "lifeboat_bundle_last_put_timestamp_seconds", "When a bundle of keys was last put and confirmed.";
    DURATION = "lifeboat_duration_seconds", "How long a verb took when it last ran.";
    EXIT = "lifeboat_exit_code", "How a verb ended when it last ran; 0 is well.";
    HEARTBEAT = "lifeboat_heartbeat_last_timestamp_seconds", "When a heartbeat was last written where the data of a component lies.";
    LAST_RUN = "lifeboat_last_run_timestamp_seconds", "When a verb last ended, however it did.";
    LAST_SUCCESS = "lifeboat_last_success_timestamp_seconds", "When a verb last ended well.";
    LOCK_DUE = "lifeboat_locks_due", "Objects of a kind whose lock ends too soon, or that have none.";
    LOCK_END = "lifeboat_locks_earliest_end_timestamp_seconds", "When the first lock of a kind ends.";
    RPO = "lifeboat_objective_rpo_seconds", "How much of a component may be lost.";
    RTO_LIMIT = "lifeboat_objective_rto_limit_seconds", "What was promised for a restore of a component.";
    RTO_TARGET = "lifeboat_objective_rto_target_seconds", "What is aimed for in a restore of a component.";
    POINT = "lifeboat_recovery_point_timestamp_seconds", "The moment up to which the newest snapshot that counts provably holds data, whoever made it.";
    REPLICATE_SUCCESS = "lifeboat_replicate_last_success_timestamp_seconds", "When all that counts was last in the replica, confirmed.";
    REPLICA_POINT = "lifeboat_replica_recovery_point_timestamp_seconds", "The moment up to which the newest snapshot that counts in the replica provably holds data.";
    RPO_MET = "lifeboat_rpo_met", "Whether the newest snapshot of a component is recent enough.";
    RTO_MEASURED = "lifeboat_rto_measured_seconds", "How long a restore takes, as measured last.";
    RTO_WHOLE = "lifeboat_rto_whole_upper_seconds", "How long it takes at the most until everything is back, in 95 of 100 cases.";
    VERIFY_EXIT = "lifeboat_verify_exit_code", "How a level of verification ended when it last ran; 0 is well.";
    VERIFY_SUCCESS = "lifeboat_verify_last_success_timestamp_seconds", "When a level of verification last ended well.";
}

/// What metrics are made of.
pub(super) struct Facts<'a> {
    pub(super) verb: &'static str,
    pub(super) exit: Exit,
    pub(super) now: Timestamp,
    pub(super) took: Duration,
    /// What `--json` prints, where there is a result.
    pub(super) result: Option<&'a Value>,
    /// Those of the configuration, if there is one.
    pub(super) components: Option<&'a [Component]>,
}

/// Values by family and labels, the latter as they are written.
#[derive(Debug, Default, PartialEq)]
struct Samples(BTreeMap<(&'static str, String), f64>);

impl Samples {
    fn set(&mut self, family: &'static str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        self.0.insert((family, labels.join(",")), value);
    }

    fn set_if(&mut self, family: &'static str, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.set(family, labels, value);
        }
    }

    /// Takes what a file says that we wrote; what is none of ours is not kept.
    fn read(text: &str) -> Self {
        let mut samples = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.trim_end_matches('}')),
                None => (series, ""),
            };
            let family = FAMILIES.iter().find(|family| family.name == name);
            if let (Some(family), Ok(value)) = (family, value.parse::<f64>()) {
                samples.0.insert((family.name, labels.to_owned()), value);
            }
        }
        samples
    }

    /// Forgets components that are not configured any more.
    fn forget(&mut self, components: &[Component]) {
        let known: Vec<String> = components.iter().map(|one| format!("component=\"{}\"", one.name)).collect();
        self.0.retain(|(_, labels), _| {
            let component = labels.split(',').find(|label| label.starts_with("component="));
            component.is_none_or(|label| known.iter().any(|known| known == label))
        });
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for family in FAMILIES {
            let mut values = self.0.iter().filter(|((name, _), _)| *name == family.name).peekable();
            if values.peek().is_none() {
                continue;
            }
            text.push_str(&format!("# HELP {0} {1}\n# TYPE {0} gauge\n", family.name, family.help));
            for ((name, labels), value) in values {
                let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                text.push_str(&format!("{name}{labels} {value}\n"));
            }
        }
        text.push_str("# EOF\n");
        text
    }
}

/// Puts what is known now in the place of what was, in one step.
///
/// # Errors
/// The system's own.
pub(super) fn write(file: &Path, facts: &Facts<'_>) -> io::Result<()> {
    let name = file.file_name().ok_or_else(|| io::Error::other("it names no file"))?.to_string_lossy();
    let beside = |name: String| file.with_file_name(name);
    // Verbs may end at the same time. Collectors read *.prom alone.
    let lock = File::create(beside(format!(".{name}.lock")))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let before = match fs::read_to_string(file) {
        Ok(text) => Samples::read(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Samples::default(),
        Err(error) => return Err(error),
    };
    let text = merged(before, facts).text();
    let fresh = beside(format!(".{name}.new"));
    let mut out = OpenOptions::new().mode(0o644).write(true).create(true).truncate(true).open(&fresh)?;
    out.write_all(text.as_bytes())?;
    drop(out);
    fs::rename(&fresh, file)
}

/// What a file holds, if there is one, with what is known now; nothing is written.
///
/// # Errors
/// The system's own.
#[cfg(feature = "recover")]
pub(super) fn served(file: Option<&Path>, facts: &Facts<'_>) -> io::Result<String> {
    let before = match file.map(fs::read_to_string) {
        Some(Ok(text)) => Samples::read(&text),
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Some(Err(_)) | None => Samples::default(),
    };
    Ok(merged(before, facts).text())
}

fn merged(mut samples: Samples, facts: &Facts<'_>) -> Samples {
    let now = seconds(facts.now);
    let verb = [("verb", facts.verb)];
    samples.0.retain(|(family, _), _| *family != BUILD);
    samples.set(BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    samples.set(LAST_RUN, &verb, now);
    samples.set(EXIT, &verb, f64::from(facts.exit.code()));
    samples.set(DURATION, &verb, facts.took.as_secs_f64());
    if facts.exit == Exit::Ok {
        samples.set(LAST_SUCCESS, &verb, now);
    }
    if let Some(components) = facts.components {
        samples.forget(components);
        for component in components {
            let labels = [("component", component.name.as_str()), ("region", component.region.as_str())];
            samples.set(RPO, &labels, component.rpo.as_secs_f64());
            samples.set(RTO_TARGET, &labels, component.rto.target.as_secs_f64());
            samples.set(RTO_LIMIT, &labels, component.rto.limit.as_secs_f64());
        }
    }
    match (facts.verb, facts.result) {
        ("backup", Some(result)) => backups(&mut samples, result, now),
        ("heartbeat", Some(result)) => heartbeats(&mut samples, result),
        ("status", Some(result)) => statuses(&mut samples, result),
        ("verify", Some(result)) => checks(&mut samples, result, now),
        ("locks", Some(result)) => locks(&mut samples, result),
        ("keys bundle", Some(result)) => bundles(&mut samples, result, now),
        ("replicate", Some(result)) => replications(&mut samples, result, now),
        _ => {}
    }
    samples
}

fn backups(samples: &mut Samples, result: &Value, now: f64) {
    for one in items(result, "components") {
        let labels = [("component", text(one, "component")), ("region", text(one, "region"))];
        samples.set_if(BACKUP_EXIT, &labels, number(one, "/exit"));
        if number(one, "/exit") == Some(0.0) {
            samples.set(BACKUP_SUCCESS, &labels, now);
        }
        // What no snapshot was made of leaves what is known of the last one.
        let fields = [
            (BACKUP_SECONDS, "/seconds"),
            (BACKUP_STORED, "/stored_bytes"),
            (BACKUP_SOURCE, "/counts/bytes"),
            (BACKUP_FILES, "/counts/files"),
            (BACKUP_ENTRIES, "/counts/entries"),
            (BACKUP_PROBLEMS, "/problems_total"),
        ];
        for (family, field) in fields {
            samples.set_if(family, &labels, number(one, field));
        }
        samples.set_if(BACKUP_POINT, &labels, moment(one, "recovery_point"));
    }
}

fn heartbeats(samples: &mut Samples, result: &Value) {
    for region in items(result, "regions") {
        for one in items(region, "components") {
            let labels = [("component", text(one, "component")), ("region", text(region, "region"))];
            samples.set_if(HEARTBEAT, &labels, moment(one, "time"));
        }
    }
}

fn statuses(samples: &mut Samples, result: &Value) {
    for one in items(result, "components") {
        let labels = [("component", text(one, "component")), ("region", text(one, "region"))];
        samples.set_if(POINT, &labels, moment(one, "recovery_point"));
        samples.set(RPO_MET, &labels, f64::from(u8::from(text(one, "rpo") == "met")));
        samples.set_if(RTO_MEASURED, &labels, number(one, "/rto/seconds"));
        let copied = one.get("replica").and_then(|replica| moment(replica, "recovery_point"));
        samples.set_if(REPLICA_POINT, &labels, copied);
    }
    samples.set_if(RTO_WHOLE, &[], number(result, "/whole/projection/range/high"));
}

fn locks(samples: &mut Samples, result: &Value) {
    for region in items(result, "regions") {
        for kind in items(region, "kinds") {
            let labels = [("region", text(region, "region")), ("kind", text(kind, "kind"))];
            samples.set_if(LOCK_END, &labels, moment(kind, "earliest"));
            let unlocked = number(kind, "/unlocked").unwrap_or_default();
            samples.set_if(LOCK_DUE, &labels, number(kind, "/due").map(|due| due + unlocked));
        }
    }
}

fn bundles(samples: &mut Samples, result: &Value, now: f64) {
    // Whoever only lists or extracts put none.
    for one in items(result, "regions").filter(|one| one.get("bundle").is_some_and(Value::is_string)) {
        samples.set(BUNDLE_PUT, &[("region", text(one, "region"))], now);
    }
}

fn replications(samples: &mut Samples, result: &Value, now: f64) {
    for one in items(result, "regions").filter(|one| number(one, "/exit") == Some(0.0)) {
        samples.set(REPLICATE_SUCCESS, &[("region", text(one, "region"))], now);
    }
}

fn checks(samples: &mut Samples, result: &Value, now: f64) {
    for one in items(result, "checks") {
        let labels = [("region", text(one, "region")), ("level", text(one, "level"))];
        samples.set_if(VERIFY_EXIT, &labels, number(one, "/exit"));
        if number(one, "/exit") == Some(0.0) {
            samples.set(VERIFY_SUCCESS, &labels, now);
        }
    }
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

fn moment(value: &Value, name: &str) -> Option<f64> {
    let moment: jiff::Timestamp = value.get(name)?.as_str()?.parse().ok()?;
    Some(moment.as_second() as f64)
}

fn seconds(moment: Timestamp) -> f64 {
    moment.seconds() as f64
}

/// A label's value, as both forms want it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
