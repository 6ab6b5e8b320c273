//! What a verification finds, and whom it hits: objects for the operator, snapshots, tenants and paths for those
//! who lose something.

use std::fmt;

use lifeboat_repo::format::text;
use lifeboat_repo::ids::{KeyId, Label, ObjectName, SegmentId, SegmentPrefix, Tenant};
use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::store::{StoreError, StoreErrorKind};
use serde::{Serialize, Serializer};

/// So many paths are named of what a finding hits; the rest is counted. A person reads a few, a program restores
/// the snapshot and compares.
pub const PATHS_NAMED_MAX: usize = 5;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Stored data is not what was written, or is gone.
    Damage,
    /// The way to it failed: nothing is known of the data.
    CouldNotCheck,
    /// Worth knowing; nothing is lost.
    Notice,
}

/// One thing that a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// What it is about.
    pub object: Subject,
    /// What is the matter with it, and what to do where that is not plain.
    pub what: String,
    /// Whom it hits, as far as it is known.
    pub affects: Vec<Affected>,
}

impl Finding {
    /// A finding of which it is not known yet whom it hits.
    #[must_use]
    pub fn new(severity: Severity, object: Subject, what: impl Into<String>) -> Self {
        Self { severity, object, what: what.into(), affects: Vec::new() }
    }

    pub(crate) fn damage(object: impl Into<Subject>, what: impl Into<String>) -> Self {
        Self::new(Severity::Damage, object.into(), what)
    }

    pub(crate) fn notice(object: impl Into<Subject>, what: impl Into<String>) -> Self {
        Self::new(Severity::Notice, object.into(), what)
    }

    pub(crate) fn unchecked(object: impl Into<Subject>, what: impl Into<String>) -> Self {
        Self::new(Severity::CouldNotCheck, object.into(), what)
    }

    /// What a failed store operation on `object` means; an object that is gone or cut short is damage.
    pub(crate) fn of_store_error(object: impl Into<Subject>, error: &StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Missing | StoreErrorKind::TooLong { .. } | StoreErrorKind::Short { .. } => {
                Self::damage(object, error.kind.to_string())
            }
            _ => Self::unchecked(object, error.to_string()),
        }
    }

    /// What an error on the way to `object` means: damage where the data is at fault, else "could not check".
    pub(crate) fn of_error(object: impl Into<Subject>, error: &RepositoryError) -> Self {
        let object = object.into();
        let what = if error.what == object.to_string() { error.kind.to_string() } else { error.to_string() };
        if error.is_damage() || matches!(error.kind, RepositoryErrorKind::WrongKey(_)) {
            Self::damage(object, what)
        } else {
            Self::unchecked(object, what)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.what)
    }
}

/// What a finding is about. Shown and serialised as one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A stored object.
    Object(ObjectName),
    /// Everything below a prefix of names.
    Area(&'static str),
    /// A segment.
    Segment(SegmentId),
    /// A segment that no index names; a snapshot knows it by its prefix only.
    LostSegment(SegmentPrefix),
    /// One tenant's share of a snapshot.
    Manifest(ObjectName, KeyId),
}

impl From<ObjectName> for Subject {
    fn from(name: ObjectName) -> Self {
        Self::Object(name)
    }
}

impl From<&ObjectName> for Subject {
    fn from(name: &ObjectName) -> Self {
        Self::Object(name.clone())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(name) => write!(f, "{name}"),
            Self::Area(prefix) => f.write_str(prefix),
            Self::Segment(id) => write!(f, "segment {id}"),
            Self::LostSegment(prefix) => write!(f, "segment {prefix}…"),
            Self::Manifest(snapshot, key) => write!(f, "the manifest of key {key} in {snapshot}"),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a finding takes from one tenant in one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affected {
    /// The snapshot.
    pub snapshot: ObjectName,
    /// Its component.
    pub component: Label,
    /// Whose share it is; only a recovery identity can tell.
    pub tenant: Option<Tenant>,
    /// How much of the share.
    pub extent: Extent,
}

/// How much of a tenant's share of a snapshot is hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "extent")]
pub enum Extent {
    /// Something of it; what, only the manifest can tell, and nothing here may open it.
    Unknown,
    /// All of it: without its manifest or key nothing can be placed.
    Whole,
    /// Some entries.
    Paths {
        /// The first of them, made harmless for terminals.
        first: Vec<String>,
        /// How many there are.
        count: u64,
    },
}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant =
            self.tenant.as_ref().map_or_else(|| "a tenant".to_owned(), |tenant| format!("tenant {tenant}"));
        match &self.extent {
            Extent::Unknown => write!(f, "something of {tenant} in {}", self.snapshot),
            Extent::Whole => write!(f, "the whole of {tenant} in {}", self.snapshot),
            Extent::Paths { first, count } => {
                let noun = if *count == 1 { "path" } else { "paths" };
                write!(f, "{count} {noun} of {tenant} in {}: {}", self.snapshot, first.join(", "))?;
                let rest = count.saturating_sub(first.len() as u64);
                if rest > 0 { write!(f, " and {rest} more") } else { Ok(()) }
            }
        }
    }
}

/// Collects the paths that a finding hits in one share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    first: Vec<String>,
    count: u64,
}

impl Hits {
    pub(crate) fn add(&mut self, path: &[u8]) {
        self.count += 1;
        if self.first.len() < PATHS_NAMED_MAX {
            self.first.push(text::display(path).into_owned());
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn first(&self) -> &str {
        self.first.first().map_or("", String::as_str)
    }

    /// The same, where more are hit than were named.
    pub(crate) fn into_extent_of(self, count: u64) -> Extent {
        Extent::Paths { count: count.max(self.count), first: self.first }
    }

    pub(crate) fn into_extent(self) -> Extent {
        Extent::Paths { first: self.first, count: self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected(extent: Extent) -> Affected {
        Affected {
            snapshot: "snapshots/chats/20251123t184416123z-abababababababab".parse().unwrap(),
            component: "chats".parse().unwrap(),
            tenant: Some("acme".parse().unwrap()),
            extent,
        }
    }

    #[test]
    fn losses_are_said_in_words() {
        let snapshot = "snapshots/chats/20251123t184416123z-abababababababab";
        assert_eq!(affected(Extent::Whole).to_string(), format!("the whole of tenant acme in {snapshot}"));
        let mut hits = Hits::default();
        for name in ["a", "b\x1b[2J", "c", "d", "e", "f", "g"] {
            hits.add(name.as_bytes());
        }
        let text = affected(hits.into_extent()).to_string();
        assert_eq!(text, format!("7 paths of tenant acme in {snapshot}: a, b\\0033[2J, c, d, e and 2 more"));
    }

    #[test]
    fn json_names_objects_as_text() {
        let name: ObjectName = "trust/00000000".parse().unwrap();
        let mut finding = Finding::damage(name, "gone");
        finding.affects.push(affected(Extent::Paths { first: vec!["a".into()], count: 1 }));
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(json["object"], "trust/00000000");
        assert_eq!(json["severity"], "damage");
        assert_eq!(json["affects"][0]["extent"]["count"], 1);
        assert_eq!(json["affects"][0]["tenant"], "acme");
    }

    #[test]
    fn a_failing_store_is_not_damage() {
        let name: ObjectName = "trust/00000000".parse().unwrap();
        let missing = RepositoryError { what: name.to_string(), kind: RepositoryErrorKind::Missing };
        assert_eq!(Finding::of_error(&name, &missing).severity, Severity::Damage);
        let machine =
            RepositoryError { what: "zstd".into(), kind: RepositoryErrorKind::Machine("no memory".into()) };
        let finding = Finding::of_error(&name, &machine);
        assert_eq!((finding.severity, finding.what.as_str()), (Severity::CouldNotCheck, "zstd: no memory"));
    }
}
