//! What restored copies lost, by the heartbeats found in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use lifeboat_backup::heartbeat::{RECORDS, records_in, tenants_of};
use lifeboat_repo::format::heartbeat::Canary;
use lifeboat_repo::ids::{Tenant, TenantToken};
use lifeboat_repo::repository::heartbeats::read_log;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_verify::loss::{Found, Known, Loss, lost_records};
use lifeboat_verify::objective::RpoVerdict;
use serde_json::Value;

use crate::config::{Component, Placed};
use crate::failure::{Result, tame};
use crate::when::show_duration;

/// Tenants in whose restored directories records are looked for: as many as ever have any.
const TENANTS_MAX: usize = 1000;

/// The records of a component among lines.
pub(crate) fn among(recovery: &Recovery<'_>, component: &Component, lines: &[u8]) -> Found {
    let keys = recovery.canary_keys();
    let token = |canary: &Canary| token(recovery, canary);
    Found::among(lines, &component.name, &keys, &token)
}

/// Records that somebody hands over are so long at the most: of a beat a minute, more than three months.
pub(crate) const HANDED_MAX: Bytes = Bytes::mib(64);

/// The records in a restored tree, or in a file.
///
/// # Errors
/// It is not there, cannot be read, or is a file that is longer than [`HANDED_MAX`].
pub(crate) fn found_at(recovery: &Recovery<'_>, component: &Component, path: &Path) -> io::Result<Found> {
    let handed = File::open(path)?;
    if !handed.metadata()?.is_dir() {
        return Ok(among(recovery, component, &handed_over(handed)?));
    }
    let mut found = Found::default();
    if let Some(Placed::File(file)) = component.heartbeat.as_ref().map(|heartbeat| &heartbeat.placed)
        && let Some(lines) = records_in(path, file)?
    {
        found.extend(among(recovery, component, &lines));
    }
    // A pattern whose directory was not restored has no tenants in it.
    for (_, dir) in tenants_of(path, &component.tenants, TENANTS_MAX).unwrap_or_default() {
        if let Ok(Some(lines)) = records_in(path, &dir.join(RECORDS)) {
            found.extend(among(recovery, component, &lines));
        }
    }
    Ok(found)
}

/// What somebody hands over in a file or through a pipe. One that never ends must not take all memory.
///
/// # Errors
/// It cannot be read, or is longer than [`HANDED_MAX`].
pub(crate) fn handed_over(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(HANDED_MAX.0 + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > HANDED_MAX.0 {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {HANDED_MAX}; the newest few hundred records are enough"),
        ));
    }
    Ok(bytes)
}

fn token(recovery: &Recovery<'_>, canary: &Canary) -> Option<TenantToken> {
    if canary.tenant == Tenant::System {
        return None;
    }
    recovery
        .tokens_of(&canary.tenant)
        .into_iter()
        .find(|(writer, _)| *writer == canary.writer)
        .map(|(_, token)| token)
}

/// What a disaster lost of a component, if what was found is a copy of the snapshot whose reading began at
/// `recovery_point`; nothing where that is not known.
pub(crate) fn judge(
    recovery: &Recovery<'_>,
    component: &Component,
    found: &Found,
    counts: Option<&BTreeMap<Tenant, u64>>,
    disaster: Timestamp,
    recovery_point: Option<Timestamp>,
) -> Result<Loss> {
    let repository = recovery.repository();
    let from = found.oldest().or(recovery_point).unwrap_or(disaster);
    let log = match read_log(repository, recovery.catalog(), from, disaster) {
        Ok(log) => {
            for trouble in &log.trouble {
                tracing::warn!("{trouble}");
            }
            Some(log.entries)
        }
        Err(error) => {
            tracing::warn!(%error, "the log of heartbeats cannot be read");
            None
        }
    };
    // A log without a word of this component says nothing of what was written.
    let known = log.as_ref().is_some_and(|log| {
        log.iter().flat_map(|entry| &entry.beats).any(|beat| beat.component == component.name)
    });
    let log = log.as_deref().filter(|_| known);
    let mut loss = lifeboat_verify::loss::judge(&Known {
        component: &component.name,
        found,
        log,
        recovery_point,
        disaster,
        objective: component.rpo,
    });
    let restored = counts.map(|counts| tokens(recovery, counts));
    loss.lost = lost_records(log, &component.name, disaster, restored.as_ref());
    Ok(loss)
}

/// Counts by what stands for tenants in every writer's log.
fn tokens(recovery: &Recovery<'_>, counts: &BTreeMap<Tenant, u64>) -> BTreeMap<Option<TenantToken>, u64> {
    let mut all = BTreeMap::new();
    for (tenant, records) in counts {
        match tenant {
            Tenant::System => {
                all.insert(None, *records);
            }
            Tenant::Named(_) => {
                all.extend(recovery.tokens_of(tenant).into_iter().map(|(_, token)| (Some(token), *records)));
            }
        }
    }
    all
}

/// In a line: `met: between 30 s and 1 min 30 s lost by its heartbeats, 24 h allowed`.
pub(crate) fn loss_words(loss: &Loss) -> String {
    let Some(bound) = loss.bound else {
        let why = match &loss.verdict {
            RpoVerdict::InsufficientEvidence(why) => tame(why),
            _ => String::new(),
        };
        return format!("what is lost is unknown: {why}");
    };
    let low = loss.low.map_or_else(|| "nothing".to_owned(), |low| show_duration(low.0));
    let holes = match loss.holes {
        0 => String::new(),
        holes => format!("; {holes} HOLES: something is lost in the middle, as far as is known"),
    };
    format!("between {low} and {} lost, by the heartbeats in it{holes}", show_duration(bound.0))
}

/// For `--json`.
pub(crate) fn value(loss: &Loss) -> Value {
    readable(serde_json::to_value(loss).unwrap_or_default())
}

/// Moments as they are everywhere in what programs read: RFC 3339.
pub(crate) fn readable(value: Value) -> Value {
    const MOMENTS: [&str; 8] =
        ["disaster", "proven", "counted", "recovery_point", "predicted_at", "measured_at", "target", "limit"];
    match value {
        Value::Array(items) => items.into_iter().map(readable).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let moment = value.as_str().filter(|_| MOMENTS.contains(&name.as_str()));
                let moment = moment.and_then(|text| text.parse::<Timestamp>().ok());
                (name, moment.map_or_else(|| readable(value), |moment| moment.rfc3339().into()))
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        other => other,
    }
}
