//! Where objects lie: the table of FORMAT.md §2 as functions.

use std::str::FromStr;

use crate::ids::{BadId, IdentityId, KeyId, Label, ObjectName, PackId, RunId};
use crate::units::Timestamp;

/// Numbers with eight digits, so that names sort as numbers do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u32);

/// The highest number that eight digits can say.
pub const SEQ_MAX: u32 = 99_999_999;

impl Seq {
    /// The number after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

impl FromStr for Seq {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { expected: "a number of eight digits", found: text.chars().take(20).collect() };
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        text.parse().map(Self).map_err(|_| bad())
    }
}

/// A day by UTC, as bundles are named after: `20261127`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        // A run's id begins with it.
        let run = RunId::new(moment, [0; 8]).to_string();
        Self(run.get(..8).and_then(|day| day.parse().ok()).unwrap_or_default())
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

impl FromStr for Day {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { expected: "a date of eight digits", found: text.chars().take(20).collect() };
        text.parse::<Seq>().map(|digits| Self(digits.0)).map_err(|_| bad())
    }
}

/// Object names are built from checked parts, so they are always well formed.
fn name(text: &str) -> Result<ObjectName, BadId> {
    text.parse()
}

/// Which seal object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealFor {
    /// For recovery recipients.
    Officers,
    /// For writers' card recipients.
    Writers,
}

/// The hint for people.
///
/// # Errors
/// Never; the type cannot know.
pub fn hint() -> Result<ObjectName, BadId> {
    name("lifeboat.json")
}

/// `trust/<seq>`
///
/// # Errors
/// The number is beyond eight digits.
pub fn trust(seq: Seq) -> Result<ObjectName, BadId> {
    name(&format!("trust/{seq}"))
}

/// `seals/<seq>/officers` or `seals/<seq>/writers`
///
/// # Errors
/// The number is beyond eight digits.
pub fn seal(seq: Seq, which: SealFor) -> Result<ObjectName, BadId> {
    let last = match which {
        SealFor::Officers => "officers",
        SealFor::Writers => "writers",
    };
    name(&format!("seals/{seq}/{last}"))
}

/// `keys/<seal>/<writer>/<KeyId>`
///
/// # Errors
/// Never for well-formed parts.
pub fn key(seal: IdentityId, writer: &Label, key: KeyId) -> Result<ObjectName, BadId> {
    name(&format!("keys/{seal}/{writer}/{key}"))
}

/// `cards/<writer>/<KeyId>`
///
/// # Errors
/// Never for well-formed parts.
pub fn card(writer: &Label, key: KeyId) -> Result<ObjectName, BadId> {
    name(&format!("cards/{writer}/{key}"))
}

/// `packs/<2 hex>/<PackId>`
///
/// # Errors
/// Never for well-formed parts.
pub fn pack(pack: PackId) -> Result<ObjectName, BadId> {
    let hex = pack.to_string();
    name(&format!("packs/{}/{hex}", hex.get(..2).unwrap_or_default()))
}

/// `index/<writer>/<run>.<seq>`
///
/// # Errors
/// Never for well-formed parts.
pub fn index(writer: &Label, run: RunId, seq: Seq) -> Result<ObjectName, BadId> {
    name(&format!("index/{writer}/{run}.{seq}"))
}

/// `snapshots/<component>/<run>`
///
/// # Errors
/// Never for well-formed parts.
pub fn snapshot(component: &Label, run: RunId) -> Result<ObjectName, BadId> {
    name(&format!("snapshots/{component}/{run}"))
}

/// `runs/<writer>/<run>`
///
/// # Errors
/// Never for well-formed parts.
pub fn run(writer: &Label, run: RunId) -> Result<ObjectName, BadId> {
    name(&format!("runs/{writer}/{run}"))
}

/// `ledger/<writer>/<seq>`
///
/// # Errors
/// The number is beyond eight digits.
pub fn ledger(writer: &Label, seq: Seq) -> Result<ObjectName, BadId> {
    name(&format!("ledger/{writer}/{seq}"))
}

/// `replicas/<run>`
///
/// # Errors
/// Never for well-formed parts.
pub fn replica(run: RunId) -> Result<ObjectName, BadId> {
    name(&format!("replicas/{run}"))
}

/// `bundles/<date>.<seq>`
///
/// # Errors
/// The number is beyond eight digits.
pub fn bundle(day: Day, seq: Seq) -> Result<ObjectName, BadId> {
    name(&format!("bundles/{day}.{seq}"))
}

/// `state/<component>/<run>.<seq>`
///
/// # Errors
/// The number is beyond eight digits.
pub fn state(component: &Label, run: RunId, seq: Seq) -> Result<ObjectName, BadId> {
    name(&format!("state/{component}/{run}.{seq}"))
}

/// `heartbeats/<writer>/<day>/<run>`
///
/// # Errors
/// Never for well-formed parts.
pub fn heartbeat(writer: &Label, id: RunId) -> Result<ObjectName, BadId> {
    name(&format!("heartbeats/{writer}/{}/{id}", Day::of(id.moment())))
}

/// `gc/<seq>`
///
/// # Errors
/// The number is beyond eight digits.
pub fn gc(seq: Seq) -> Result<ObjectName, BadId> {
    name(&format!("gc/{seq}"))
}

/// `erasures/<seq>/<officer>`
///
/// # Errors
/// The number is beyond eight digits.
pub fn erasure(seq: Seq, officer: &Label) -> Result<ObjectName, BadId> {
    name(&format!("erasures/{seq}/{officer}"))
}

/// What a name says about the object under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `lifeboat.json`
    Hint,
    /// `trust/<seq>`
    Trust(Seq),
    /// `seals/<seq>/…`
    Seal(Seq, SealFor),
    /// `keys/<seal>/<writer>/<KeyId>`
    Key(IdentityId, Label, KeyId),
    /// `cards/<writer>/<KeyId>`
    Card(Label, KeyId),
    /// `packs/<2 hex>/<PackId>`
    Pack(PackId),
    /// `index/<writer>/<run>.<seq>`
    Index(Label, RunId, Seq),
    /// `snapshots/<component>/<run>`
    Snapshot(Label, RunId),
    /// `runs/<writer>/<run>`
    Run(Label, RunId),
    /// `ledger/<writer>/<seq>`
    Ledger(Label, Seq),
    /// `gc/<seq>`
    Gc(Seq),
    /// `erasures/<seq>/<officer>`
    Erasure(Seq, Label),
    /// `replicas/<run>`
    Replica(RunId),
    /// `bundles/<date>.<seq>`
    Bundle(Day, Seq),
    /// `state/<component>/<run>.<seq>`
    State(Label, RunId, Seq),
    /// `heartbeats/<writer>/<day>/<run>`
    Heartbeat(Label, RunId),
}

/// What a name means, or `None` where this version knows no such place.
#[must_use]
pub fn place(name: &ObjectName) -> Option<Place> {
    let parts: Vec<&str> = name.parts().collect();
    Some(match parts.as_slice() {
        ["lifeboat.json"] => Place::Hint,
        ["trust", seq] => Place::Trust(seq.parse().ok()?),
        ["seals", seq, "officers"] => Place::Seal(seq.parse().ok()?, SealFor::Officers),
        ["seals", seq, "writers"] => Place::Seal(seq.parse().ok()?, SealFor::Writers),
        ["keys", seal, writer, key] => {
            Place::Key(seal.parse().ok()?, writer.parse().ok()?, key.parse().ok()?)
        }
        ["cards", writer, key] => Place::Card(writer.parse().ok()?, key.parse().ok()?),
        ["packs", shard, id] if id.starts_with(shard) && shard.len() == 2 => Place::Pack(id.parse().ok()?),
        ["index", writer, id] => {
            let (run, seq) = id.split_once('.')?;
            Place::Index(writer.parse().ok()?, run.parse().ok()?, seq.parse().ok()?)
        }
        ["snapshots", component, run] => Place::Snapshot(component.parse().ok()?, run.parse().ok()?),
        ["runs", writer, run] => Place::Run(writer.parse().ok()?, run.parse().ok()?),
        ["ledger", writer, seq] => Place::Ledger(writer.parse().ok()?, seq.parse().ok()?),
        ["gc", seq] => Place::Gc(seq.parse().ok()?),
        ["erasures", seq, officer] => Place::Erasure(seq.parse().ok()?, officer.parse().ok()?),
        ["replicas", run] => Place::Replica(run.parse().ok()?),
        ["bundles", id] => {
            let (day, seq) = id.split_once('.')?;
            Place::Bundle(day.parse().ok()?, seq.parse().ok()?)
        }
        ["state", component, id] => {
            let (run, seq) = id.split_once('.')?;
            Place::State(component.parse().ok()?, run.parse().ok()?, seq.parse().ok()?)
        }
        ["heartbeats", writer, day, run] if run.starts_with(day) && day.len() == 8 => {
            Place::Heartbeat(writer.parse().ok()?, run.parse().ok()?)
        }
        _ => return None,
    })
}
