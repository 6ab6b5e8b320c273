//! Heartbeats: records in an application's data, and the log of them. FORMAT.md §18.

use serde::{Deserialize, Serialize};

use crate::crypto::envelope::Recipient;
use crate::crypto::hash::keyed_text;
use crate::format::{self, FORMAT_VERSION, FormatError};
use crate::ids::{Label, ObjectHash, ObjectName, RepositoryId, RunId, Tenant, TenantToken};
use crate::units::Timestamp;

/// A file of records has the newest so many: enough to see, at a beat a minute, what happened to the last eight hours.
pub const RECORDS_KEPT: usize = 512;

/// A record in an application's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Always `heartbeat`.
    pub lifeboat: String,
    /// Format version.
    pub format: u32,
    /// Which repository its component is backed up to.
    pub repository: RepositoryId,
    /// Who wrote it.
    pub writer: Label,
    /// Where.
    pub component: Label,
    /// In whose data.
    pub tenant: Tenant,
    /// One higher each time.
    pub seq: u64,
    /// Taken before it was written.
    pub time: Timestamp,
    /// Shows that its writer made it.
    pub mac: ObjectHash,
}

/// What makes and judges the records of one writer.
pub struct CanaryKey {
    repository: RepositoryId,
    writer: Label,
    secret: String,
}

impl CanaryKey {
    /// The key of a writer, by its card recipient.
    #[must_use]
    pub fn new(repository: RepositoryId, writer: Label, card: &Recipient) -> Self {
        Self { repository, writer, secret: card.to_string() }
    }

    /// A record.
    #[must_use]
    pub fn make(&self, component: &Label, tenant: &Tenant, seq: u64, time: Timestamp) -> Canary {
        Canary {
            lifeboat: "heartbeat".into(),
            format: FORMAT_VERSION,
            repository: self.repository,
            writer: self.writer.clone(),
            component: component.clone(),
            tenant: tenant.clone(),
            seq,
            time,
            mac: self.mac(component, tenant, seq, time),
        }
    }

    /// Whether a record is this writer's, as it was made.
    #[must_use]
    pub fn made(&self, canary: &Canary) -> bool {
        let mac = self.mac(&canary.component, &canary.tenant, canary.seq, canary.time);
        canary.repository == self.repository && canary.writer == self.writer && canary.mac == mac
    }

    /// Whose records.
    #[must_use]
    pub fn writer(&self) -> &Label {
        &self.writer
    }

    fn mac(&self, component: &Label, tenant: &Tenant, seq: u64, time: Timestamp) -> ObjectHash {
        let text = format!("{}:{component}:{tenant}:{seq}:{time}", self.repository);
        ObjectHash::from_bytes(keyed_text("lifeboat 0 heartbeat", self.secret.as_bytes(), &text))
    }
}

impl std::fmt::Debug for CanaryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CanaryKey").field("writer", &self.writer).finish_non_exhaustive()
    }
}

impl Canary {
    /// Its line, with the newline.
    ///
    /// # Errors
    /// Never; serde cannot know.
    pub fn line(&self) -> Result<Vec<u8>, FormatError> {
        format::encode(self, "heartbeat record")
    }

    /// The records among lines, and how many lines are none: of a file that was cut off, or of anything else.
    #[must_use]
    pub fn among(lines: &[u8]) -> (Vec<Self>, u64) {
        let mut found = Vec::new();
        let mut others = 0;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            match format::decode::<Self>(line, "heartbeat record") {
                Ok(canary) if canary.lifeboat == "heartbeat" => found.push(canary),
                _ => others += 1,
            }
        }
        (found, others)
    }
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatBody {
    /// Format version.
    pub format: u32,
    /// Whose log.
    pub writer: Label,
    /// Its id, which its name ends with.
    pub id: RunId,
    /// The entry before, and its hash.
    pub previous: Option<(ObjectName, ObjectHash)>,
    /// Records that were written.
    pub beats: Vec<Beat>,
    /// What the application had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<Counter>,
}

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Where.
    pub component: Label,
    /// In whose data; nothing for nobody's.
    pub tenant: Option<TenantToken>,
    /// Its number.
    pub seq: u64,
    /// Taken before it was written.
    pub time: Timestamp,
    /// Taken after.
    pub written: Timestamp,
}

/// How many records of a tenant an application had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Where.
    pub component: Label,
    /// Whose; nothing for nobody's.
    pub tenant: Option<TenantToken>,
    /// How many.
    pub records: u64,
    /// When they were counted.
    pub time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::envelope::Identity;

    #[test]
    fn a_record_is_known_by_its_writer_and_in_no_other_place() {
        let repository = RepositoryId::from_bytes([1; 16]);
        let card = Identity::generate().recipient();
        let label = |text: &str| text.parse::<Label>().unwrap();
        let key = CanaryKey::new(repository, label("fra-1"), &card);
        let made = key.make(&label("chats"), &Tenant::System, 7, Timestamp::new(100, 5));
        let text = String::from_utf8(made.line().unwrap()).unwrap();
        let (again, others) = Canary::among(format!("{text}\nnoise\n{}", &text[..40]).as_bytes());
        assert_eq!((again.as_slice(), others), (std::slice::from_ref(&made), 2));
        assert!(key.made(&made));
        let acme: Tenant = "acme".parse().unwrap();
        let forged = [
            Canary { seq: 8, ..made.clone() },
            Canary { time: Timestamp::new(101, 5), ..made.clone() },
            Canary { component: label("mail"), ..made.clone() },
            Canary { tenant: acme, ..made.clone() },
            Canary { writer: label("fra-2"), ..made.clone() },
            Canary { repository: RepositoryId::from_bytes([2; 16]), ..made.clone() },
        ];
        for (at, canary) in forged.iter().enumerate() {
            assert!(!key.made(canary), "{at}");
        }
        let other = CanaryKey::new(repository, label("fra-1"), &Identity::generate().recipient());
        assert!(!other.made(&made));
    }
}
