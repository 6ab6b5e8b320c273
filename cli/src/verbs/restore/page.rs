//! What a restore shows at its end.

use std::path::Path;

use lifeboat_repo::format::snapshot::Status as SnapshotStatus;
use lifeboat_repo::format::text;
use lifeboat_restore::{Loss, Report, Severity, Status};
use serde_json::{Value, json};

use super::{CHANGES_COLUMN, Done, partial_words};
use crate::config::Component;
use crate::context::Context;
use crate::failure::{shown, tame};
use crate::render::{Page, Tone, short_hashes};
use crate::when::{count_of, show_count, show_duration, show_moment};

/// Losses and findings a page names; `--json` names more.
const SHOWN: usize = 20;

pub(super) fn render(
    context: &Context,
    target: &Path,
    component: &Component,
    done: &Done,
    report: &Report,
) -> String {
    let mut page: Page = context.page();
    let snapshot = &done.snapshot;
    page.heading(&format!("{}{} restored to {}", done.part.words(), component.name, shown(target)));
    let (tone, words) = match report.status() {
        Status::Complete if done.part.is_shard() => (Tone::Good, "all files of this shard are there"),
        Status::Complete => (Tone::Good, "everything asked for is there"),
        Status::Partial => (Tone::Bad, "NOT everything asked for is there: see below"),
    };
    page.field_toned("status", tone, words);
    page.field("snapshot", &snapshot.run.to_string());
    page.field("holds data to", &show_moment(snapshot.recovery_point));
    done.freshness.show(&mut page);
    if let Some(why) = &done.passed_over {
        page.field_toned("not newest", Tone::Bad, why);
    }
    if done.unrecorded {
        page.field_toned(
            "note",
            Tone::Warn,
            "no ledger names this snapshot yet: only its signature vouches for it",
        );
    }
    if snapshot.status == SnapshotStatus::Partial {
        page.field_toned(
            "note",
            Tone::Warn,
            &format!("the snapshot itself is partial{}", partial_words(&snapshot.counts)),
        );
    }
    page.field(
        "restored",
        &format!(
            "{}, {}, {}",
            count_of(report.files, "file", "files"),
            count_of(report.entries, "entry", "entries"),
            report.bytes
        ),
    );
    page.field("took", &format!("{}, {} fetched", show_duration(report.duration), report.fetched));
    if let Some(changes) = &report.changes {
        page.raw("  beside what was there:");
        page.columns(CHANGES_COLUMN, &changes.to_string());
    }
    let region = context.config().and_then(|config| config.region(&component.region).cloned());
    let elsewhere = !context.replica && region.is_ok_and(|region| region.replica.is_some());
    render_losses(&mut page, &report.losses, elsewhere);
    render_findings(&mut page, report);
    if done.part.is_shard() {
        page.item("→", "when all shards are complete: the same with --finish in place of --shard");
    }
    page.finish()
}

/// `elsewhere`: whether there is a replica that was not looked at.
fn render_losses(page: &mut Page, losses: &[Loss], elsewhere: bool) {
    if losses.is_empty() {
        return;
    }
    page.toned(Tone::Bad, "  lost:");
    for loss in losses.iter().take(SHOWN) {
        let whose = loss
            .tenant
            .as_ref()
            .map_or_else(|| format!("key {}", loss.key), |tenant| format!("tenant {tenant}"));
        let paths: Vec<_> = loss.paths.iter().take(3).map(|path| text::display(path).into_owned()).collect();
        let named = if paths.is_empty() { String::new() } else { format!(" ({}, …)", paths.join(", ")) };
        let count = count_of(loss.path_count, "path", "paths");
        page.item(
            "-",
            &format!("{whose}: {count}, {}{named}: {}", loss.bytes, short_hashes(&tame(&loss.why))),
        );
    }
    if losses.len() > SHOWN {
        page.item("-", &format!("and {} more", losses.len() - SHOWN));
    }
    if losses.iter().any(|loss| loss.why.contains("in no index")) {
        page.item(
            "→",
            "a maintainer's `lifeboat repair index` writes lost index objects anew from packs; --replica restores from the \
             replica meanwhile",
        );
    }
    if elsewhere {
        page.item(
            "→",
            "the replica may have them whole: the same with --replica and another target; `lifeboat repair --from replica` \
             heals the repository",
        );
    }
    page.item("→", "look for them in an earlier snapshot: `lifeboat snapshots`, then --snapshot RUN");
}

fn render_findings(page: &mut Page, report: &Report) {
    let counts = report.finding_counts;
    let grave = || report.findings.iter().filter(|finding| finding.severity > Severity::Note);
    let total = counts.warnings + counts.missing;
    if total == 0 {
        return;
    }
    page.toned(Tone::Warn, "  to know:");
    for finding in grave().take(SHOWN) {
        page.item("-", &format!("{}: {}", text::display(&finding.path), tame(&finding.what)));
    }
    let rest = total.saturating_sub(grave().take(SHOWN).count() as u64);
    if rest > 0 {
        page.item("-", &format!("and {} more", show_count(rest)));
    }
}

pub(super) fn report_value(report: &Report) -> Value {
    // Nothing in a report can fail to be JSON.
    let mut value = serde_json::to_value(report).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("duration".into(), json!(report.duration.as_secs_f64()));
    }
    value
}
