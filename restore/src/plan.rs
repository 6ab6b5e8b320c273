//! The plan of a restore: what goes where, and what that takes. Nothing is touched while it is made.

use std::collections::BTreeSet;
use std::fmt;

use lifeboat_repo::format::snapshot::{Counts, Snapshot, Status};
use lifeboat_repo::format::text;
use lifeboat_repo::ids::{Label, RunId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::units::{Bytes, Timestamp};
use serde::Serialize;

use crate::error::RestoreError;
use crate::report::{Finding, FindingCounts, Loss, Severity};
use crate::select::{PathMatcher, Selection};
use crate::shard::Division;
use crate::shares::{self, Ended, ManifestReader, Shares};
use crate::work::Work;
use build::Builder;

mod build;
pub(crate) mod stretch;

/// What a restore will do. Printing it is the dry run.
#[derive(Serialize)]
pub struct Plan {
    /// The component.
    pub component: Label,
    /// The snapshot.
    pub run: RunId,
    /// The moment up to which it holds data.
    pub recovery_point: Timestamp,
    /// Whether the snapshot holds everything its component should.
    pub snapshot_status: Status,
    /// The store it comes from.
    pub from: String,
    /// Tenants with something in it, sorted.
    pub tenants: Vec<Tenant>,
    /// Entries to make.
    pub entries: u64,
    /// Regular files among them; further names of one file are not counted again.
    pub files: u64,
    /// Bytes of content to write, holes left out.
    pub bytes: Bytes,
    /// Segments to fetch, each once.
    pub segments: u64,
    /// Objects (packs) they lie in.
    pub objects: u64,
    /// Stored bytes to fetch.
    pub fetch: Bytes,
    /// What is left out, and why.
    pub left_out: Vec<LeftOut>,
    /// What a person should know of single paths; the first of them.
    pub findings: Vec<Finding>,
    /// How many such findings there are.
    pub finding_counts: FindingCounts,
    /// What cannot be restored, as far as is known before anything is fetched.
    pub losses: Vec<Loss>,
    /// What of the snapshot was asked for.
    #[serde(skip)]
    pub(crate) asked: Selection,
    /// What the snapshot counts, and with it what it lacks.
    #[serde(skip)]
    pub(crate) counts: Counts,
    /// Entries that the backup left out as configured.
    #[serde(skip)]
    pub(crate) excluded: u64,
    /// Whether retention expired some tenants in this snapshot.
    #[serde(skip)]
    pub(crate) expired: bool,
    /// What of it one process does, where several share it.
    #[serde(skip)]
    pub(crate) division: Option<Division>,
    #[serde(skip)]
    pub(crate) work: Work,
}

/// Something of the snapshot that a restore leaves out on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// What: `entries`, `tenants`.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
}

/// Reads the manifests of the shares asked for and works out what to fetch and where it goes.
///
/// What cannot be had (an erased tenant key, a lost segment, what only a damaged index object knew) becomes a
/// [`Loss`] in the plan.
///
/// # Errors
/// What was asked for is not in the snapshot, the store failed, or somebody asked to stop.
pub fn plan(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
    observer: &dyn Observer,
) -> Result<Plan, RestoreError> {
    let matcher = PathMatcher::new(&selection.paths)?;
    let mut shares = shares::open(recovery, snapshot, selection, observer)?;
    observer.tell(Event::Phase("reading the index"));
    let map = shares::segments(recovery, snapshot, &shares)?;
    observer.tell(Event::Phase("reading manifests"));
    let mut reader = ManifestReader::new(recovery, &map)?;
    let mut builder = Builder::new(matcher, &map);
    builder.losses.append(&mut shares.losses);
    builder.note_unreadable(map.unreadable());
    for one in &shares.open {
        builder.begin(&one.key);
        let mut outcome = reader.read(one, &mut |entry| {
            if observer.cancelled() { Err(RestoreError::cancelled()) } else { builder.take(entry) }
        });
        if outcome.is_ok() && builder.resolve_links()? {
            // Further names were asked for, their file was not: its content goes to the first of them.
            outcome = reader.read(one, &mut |entry| builder.take_linked(entry));
        }
        builder.end();
        match outcome {
            Ok(()) => {}
            Err(Ended::Stopped(error)) => return Err(error),
            Err(Ended::Unreadable(error)) => {
                builder.losses.push(shares::lost_share(one.share, Some(&one.key.tenant), &error));
            }
        }
    }
    finish(recovery, snapshot, selection, &shares, builder)
}

fn finish(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
    shares: &Shares<'_>,
    mut builder: Builder<'_>,
) -> Result<Plan, RestoreError> {
    builder.judge_selection(&format!("snapshot {} of {}", snapshot.run, snapshot.component))?;
    let tenants: BTreeSet<&Tenant> = shares.open.iter().map(|one| &one.key.tenant).collect();
    let left_out = [
        LeftOut { count: builder.not_selected, what: "entries", why: "they are outside the paths asked for" },
        LeftOut { count: shares.other, what: "tenants", why: "they were not asked for" },
        LeftOut {
            count: shares.expired,
            what: "tenant keys",
            why: "retention expired them in this snapshot",
        },
    ];
    let built = builder.into_built();
    Ok(Plan {
        component: snapshot.component.clone(),
        run: snapshot.run,
        recovery_point: snapshot.recovery_point,
        snapshot_status: snapshot.status,
        from: recovery.repository().store().location(),
        tenants: tenants.into_iter().cloned().collect(),
        entries: built.entries,
        files: built.files,
        bytes: built.bytes,
        segments: built.work.fetches.len() as u64,
        objects: built.work.objects(),
        fetch: built.work.stored(),
        left_out: left_out.into_iter().filter(|left| left.count > 0).collect(),
        findings: built.findings.first,
        finding_counts: built.findings.counts,
        losses: built.losses,
        asked: selection.clone(),
        counts: snapshot.counts,
        excluded: snapshot.source.excluded,
        expired: shares.expired > 0,
        division: None,
        work: built.work,
    })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Tenants, paths and losses named in print; JSON has more.
        const SHOWN: usize = 10;
        writeln!(f, "restore {} from {}", self.component, self.from)?;
        writeln!(f, "  snapshot  {}", self.run)?;
        writeln!(f, "  holds to  {}", self.recovery_point.rfc3339())?;
        if let Some(Division { number: Some(number), of, .. }) = self.division {
            writeln!(f, "  shard     {number} of {of}, which restores files alone")?;
        }
        writeln!(f, "  makes     {} entries, {} files, {}", self.entries, self.files, self.bytes)?;
        writeln!(f, "  fetches   {} in {} segments of {} objects", self.fetch, self.segments, self.objects)?;
        let named: Vec<String> = self.tenants.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = self.tenants.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        writeln!(f, "  tenants   {}{more}", named.join(", "))?;
        for left in &self.left_out {
            writeln!(f, "  left out  {} {}: {}", left.count, left.what, left.why)?;
        }
        for loss in self.losses.iter().take(SHOWN) {
            let whose =
                loss.tenant.as_ref().map_or_else(|| format!("key {}", loss.key), |t| format!("tenant {t}"));
            writeln!(f, "  lost      {} paths of {whose} ({}): {}", loss.path_count, loss.bytes, loss.why)?;
        }
        for finding in self.findings.iter().filter(|one| one.severity > Severity::Note).take(SHOWN) {
            writeln!(f, "  note      {}: {}", text::display(&finding.path), finding.what)?;
        }
        let unsaid = self.losses.len().saturating_sub(SHOWN) as u64
            + (self.finding_counts.warnings + self.finding_counts.missing).saturating_sub(SHOWN as u64);
        if unsaid > 0 {
            writeln!(f, "  and {unsaid} more losses and notes")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("run", &self.run).field("entries", &self.entries).finish_non_exhaustive()
    }
}
