//! Names of things: hashes, runs, labels, object names. Each has one spelling and no conversion into another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::Timestamp;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}: {found:?}")]
pub struct BadId {
    /// What was wanted, with its shape.
    pub expected: &'static str,
    /// The beginning of what was found.
    pub found: String,
}

impl BadId {
    fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(80).collect() }
    }
}

/// Bytes from lower-case hex digits, two each; there are millions of ids in an index, so this is quick.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let digit = |byte| match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => 255,
    };
    let mut none = 0;
    let bytes = pairs.map(|[high, low]| {
        let (high, low) = (digit(high), digit(low));
        none |= high | low;
        high << 4 | low
    });
    (none < 16).then_some(bytes)
}

/// Parses an id straight from the text a deserializer shows, without a copy.
struct ParseVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = BadId>> de::Visitor<'_> for ParseVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(de::Error::custom)
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(ParseVisitor(std::marker::PhantomData))
            }
        }
    };
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The id with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0_u8; $bytes * 2];
                match hex::encode_to_slice(self.0, &mut text) {
                    Ok(()) => f.pad(std::str::from_utf8(&text).unwrap_or_default()),
                    Err(_) => Err(fmt::Error),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                parse_hex(text).map(Self).ok_or_else(|| BadId::new($expected, text))
            }
        }

        as_text!($name);
    };
}

hash_id!(
    /// Names a piece of plaintext within one tenant key: BLAKE3 keyed with that key's `K_id`.
    ChunkId, 32, "a chunk id (64 lower-case hex digits)"
);
hash_id!(
    /// Names a segment: BLAKE3 of its stored bytes.
    SegmentId, 32, "a segment id (64 lower-case hex digits)"
);
hash_id!(
    /// Names a pack: SHA-256 of its bytes.
    PackId, 32, "a pack id (64 lower-case hex digits)"
);
hash_id!(
    /// Names a tenant key: SHA-256 over a context and its recipient.
    KeyId, 32, "a key id (64 lower-case hex digits)"
);
hash_id!(
    /// SHA-256 of a stored object's bytes: what ledgers record and strangers check.
    ObjectHash, 32, "an object hash (64 lower-case hex digits)"
);
hash_id!(
    /// The first 8 bytes of a segment id: enough for a snapshot to say which segments it needs.
    SegmentPrefix, 8, "a segment prefix (16 lower-case hex digits)"
);
hash_id!(
    /// Names a repository: 16 random bytes.
    RepositoryId, 16, "a repository id (32 lower-case hex digits)"
);
hash_id!(
    /// Names a seal or a catalog identity: the first 8 bytes of SHA-256 over a context and its recipient.
    IdentityId, 8, "an identity id (16 lower-case hex digits)"
);

hash_id!(
    /// Stands for a tenant of a writer in a tombstone: BLAKE3 keyed with what only that writer and the officers know.
    TenantToken, 32, "a tenant token (64 lower-case hex digits)"
);

impl SegmentId {
    /// The part of the id that snapshots carry.
    #[must_use]
    pub fn prefix(&self) -> SegmentPrefix {
        let mut prefix = [0; 8];
        for (to, from) in prefix.iter_mut().zip(self.0) {
            *to = from;
        }
        SegmentPrefix(prefix)
    }
}

/// The longest [`Label`]. Tenants, writers and components become parts of names on many systems; 63 is what
/// the tightest of them (DNS labels) takes.
pub const LABEL_MAX: usize = 63;

/// The longest [`ObjectName`]: what S3 (1,024) and file systems (4,096 a path, 255 a part) all take.
pub const OBJECT_NAME_MAX: usize = 512;

fn is_label(text: &str) -> bool {
    let head = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    head && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

/// A name people give: of a tenant, a writer, a component, a region. `[a-z0-9][a-z0-9._-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        if text.len() <= LABEL_MAX && is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId::new("a name (a-z 0-9 . _ -, at most 63, a letter or digit first)", text))
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

as_text!(Label);

/// Whose data it is: a customer, or nobody's in particular.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tenant {
    /// Data of no tenant; spelt `_system`, which no [`Label`] can be.
    System,
    /// A customer.
    Named(Label),
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.pad("_system"),
            Self::Named(label) => f.pad(label.as_str()),
        }
    }
}

impl FromStr for Tenant {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        if text == "_system" { Ok(Self::System) } else { text.parse().map(Self::Named) }
    }
}

as_text!(Tenant);

/// The name of a stored object: labels between slashes, checked before any use.
///
/// The alphabet is narrow because globs in `allowed_signers` cross `/`, and because a name becomes a file
/// name, a URL and a shell word.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part, after the last slash.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The parts between slashes.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for ObjectName {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        if text.len() <= OBJECT_NAME_MAX && text.split('/').all(is_label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId::new("an object name (parts of a-z 0-9 . _ - between slashes)", text))
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

as_text!(ObjectName);

/// Names a run, and the snapshot it commits: `20261123t184339123z-0123456789abcdef`, UTC to the millisecond
/// and 8 random bytes. Sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// Milliseconds since 1970. First, so that the derived order is the order of the texts.
    millis: u64,
    nonce: [u8; 8],
}

/// The length of a [`RunId`] as text.
pub const RUN_ID_LEN: usize = 36;
/// 9999-12-31T23:59:59.999Z, the last moment the text form can say.
const RUN_MILLIS_MAX: u64 = 253_402_300_799_999;

impl RunId {
    /// The run started at `moment` (clamped to the years 1970 to 9999) with these random bytes.
    #[must_use]
    pub fn new(moment: Timestamp, nonce: [u8; 8]) -> Self {
        let seconds = u64::try_from(moment.seconds()).unwrap_or(0);
        let millis = seconds.saturating_mul(1000).saturating_add(u64::from(moment.nanos() / 1_000_000));
        Self { millis: millis.min(RUN_MILLIS_MAX), nonce }
    }

    /// When the run started, by its writer's clock.
    #[must_use]
    pub fn moment(&self) -> Timestamp {
        let seconds = i64::try_from(self.millis / 1000).unwrap_or(i64::MAX);
        Timestamp::new(seconds, u32::try_from(self.millis % 1000 * 1_000_000).unwrap_or(0))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_millisecond(i64::try_from(self.millis).map_err(|_| fmt::Error)?)
            .map_err(|_| fmt::Error)?;
        let utc = jiff::tz::Offset::UTC.to_datetime(moment);
        f.pad(&format!(
            "{:04}{:02}{:02}t{:02}{:02}{:02}{:03}z-{}",
            utc.year(),
            utc.month(),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second(),
            utc.millisecond(),
            hex::encode(self.nonce)
        ))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        parse_run_id(text).ok_or_else(|| BadId::new("a run id (20261123t184339123z-0123456789abcdef)", text))
    }
}

fn parse_run_id(text: &str) -> Option<RunId> {
    if text.len() != RUN_ID_LEN || !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i16> {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let small = |from, to| number(from, to).and_then(|n| i8::try_from(n).ok());
    if text.get(8..9)? != "t" || text.get(18..20)? != "z-" {
        return None;
    }
    let civil = jiff::civil::DateTime::new(
        number(0, 4)?,
        small(4, 6)?,
        small(6, 8)?,
        small(9, 11)?,
        small(11, 13)?,
        small(13, 15)?,
        i32::from(number(15, 18)?) * 1_000_000,
    )
    .ok()?;
    let moment = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
    let nonce = parse_hex(text.get(20..)?)?;
    Some(RunId { millis: u64::try_from(moment.as_millisecond()).ok()?, nonce })
}

as_text!(RunId);

#[cfg(test)]
mod tests;
