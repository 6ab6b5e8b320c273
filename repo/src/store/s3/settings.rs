//! Which bucket, reached how, by whom, within which bounds.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::ids::ObjectName;
use crate::units::{ByteRate, Bytes, LockClass, LockTerms, SHORT_PERIOD};

/// Where a repository lies in an object store and how it is reached.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// What stands before every object's name in it, without a slash at either end; empty for the whole bucket.
    pub prefix: String,
    /// The server, as a URL; none for Amazon's own of that region.
    pub endpoint: Option<String>,
    /// The region requests are signed for; none leaves it to the environment.
    pub region: Option<String>,
    /// Whether the bucket stands in the path rather than in the server's name. Most servers that are not Amazon's
    /// want it so.
    pub path_style: bool,
    /// Who we are.
    pub keys: Keys,
    /// Certificates (PEM) trusted besides the system's own.
    pub roots: Vec<Vec<u8>>,
    /// Whether the server may lie at a private or loopback address. Without it a name that suddenly resolves to one
    /// is refused, so nobody who controls names can turn requests, signed as ours, against the inside of a network.
    pub allow_private: bool,
    /// Whether requests may go unencrypted. What is stored is encrypted anyway; names and times would be seen.
    pub allow_http: bool,
    /// The storage class of packs; none for the bucket's default. All else is small and read often.
    pub storage_class: Option<String>,
    /// How long what is put may not be deleted by anybody (Object Lock, compliance mode), by class.
    pub locks: Locks,
    /// The profile of the shared files that extends locks, if that is another than [`Self::keys`].
    pub lock_profile: Option<String>,
    /// How much is done at once and how long is waited.
    pub bounds: Bounds,
}

/// Who we are to the server.
#[derive(Clone)]
pub enum Keys {
    /// Whatever the usual chain finds: environment, files, web identity, container, instance.
    Chain {
        /// A profile of the shared files.
        profile: Option<String>,
    },
    /// These.
    Given {
        /// The access key's id.
        access: String,
        /// The secret.
        secret: Zeroizing<String>,
    },
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chain { profile } => f.debug_struct("Chain").field("profile", profile).finish(),
            Self::Given { access, .. } => write!(f, "Given({access}, …)"),
        }
    }
}

/// How long objects of a class are locked when they are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// What backups consist of: packs, indexes, snapshots, runs, ledgers, gc records, trust, and what commits snapshots in a
    /// replica. Without it nothing is locked.
    pub normal: Option<Duration>,
    /// Packs of personal data under no tenant's key; without it 14 days, or the normal period if that is shorter.
    pub short: Option<Duration>,
    /// How much of a lock must be left for something new to rely on it; without it 30 days. Never more than half of
    /// a class's period.
    pub floor: Option<Duration>,
}

/// How much of a lock must be left where nobody says otherwise.
const FLOOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Locks {
    /// How long an object of this name is locked. Keys, cards and seals never are, or erasure would fail; what
    /// `doctor` puts to try the store is to go at once.
    #[must_use]
    pub fn of(&self, name: &ObjectName, class: LockClass) -> Option<Duration> {
        match name.parts().next() {
            Some("packs") => self.period(class),
            Some("index" | "snapshots" | "runs" | "ledger" | "gc" | "trust" | "replicas") => self.normal,
            _ => None,
        }
    }

    /// How long packs of a class are locked.
    #[must_use]
    pub fn period(&self, class: LockClass) -> Option<Duration> {
        let normal = self.normal?;
        match class {
            LockClass::Normal => Some(normal),
            LockClass::Short => Some(self.short.unwrap_or(SHORT_PERIOD).min(normal)),
        }
    }

    /// What is relied on of a class.
    #[must_use]
    pub fn terms(&self, class: LockClass) -> Option<LockTerms> {
        let period = self.period(class)?;
        Some(LockTerms { period, floor: self.floor.unwrap_or(FLOOR).min(period / 2) })
    }
}

/// How much is done at once and how long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Requests at once, at the most; fewer where the server asks for it.
    pub requests_max: u32,
    /// Bytes on their way that nobody waits for yet. An uploader waits beyond that.
    pub staged_max: Bytes,
    /// Bytes on their way that nobody asked for yet, but will.
    pub ahead_max: Bytes,
    /// Objects longer than this are put in parts.
    pub part_size: Bytes,
    /// How long an attempt may take whatever its size.
    pub patience: Duration,
    /// And per byte on top: a connection slower than this stalls and is given up.
    pub slowest: ByteRate,
    /// How often an operation is tried before it fails.
    pub attempts_max: u32,
    /// The first wait between attempts; it doubles up to [`Self::backoff_max`], and a random part of it is waited.
    pub backoff: Duration,
    /// The longest.
    pub backoff_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            requests_max: 32,
            staged_max: Bytes::mib(128),
            ahead_max: Bytes::mib(32),
            part_size: Bytes::mib(64),
            patience: Duration::from_secs(30),
            slowest: ByteRate(Bytes::kib(64)),
            attempts_max: 10,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(20),
        }
    }
}

impl S3Settings {
    /// A bucket with everything else as usual.
    #[must_use]
    pub fn of(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            endpoint: None,
            region: None,
            path_style: false,
            keys: Keys::Chain { profile: None },
            roots: Vec::new(),
            allow_private: false,
            allow_http: false,
            storage_class: None,
            locks: Locks::default(),
            lock_profile: None,
            bounds: Bounds::default(),
        }
    }

    /// Why the endpoint may not be used, if so; what to do about it stands behind a semicolon.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        super::client::refuse_endpoint(self)
    }

    /// `s3://bucket/prefix`
    #[must_use]
    pub fn url(&self) -> String {
        if self.prefix.is_empty() {
            format!("s3://{}", self.bucket)
        } else {
            format!("s3://{}/{}", self.bucket, self.prefix)
        }
    }
}
