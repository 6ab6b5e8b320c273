//! What `verify` shows.

use lifeboat_verify::Severity;

use super::objective::{Objective, rpo_words, rto_words, speeds, terms};
use super::{Checked, Level};
use crate::context::Context;
use crate::exit::Exit;
use crate::losses::loss_words;
use crate::render::{Page, Tone};
use crate::when::{count_of, show_moment};

/// Findings named for each level; `--json` has all.
const FINDINGS_SHOWN: usize = 20;
/// Snapshots and tenants named for each finding.
const AFFECTS_SHOWN: usize = 5;

pub(super) fn render(context: &Context, all: &[Checked], exit: Exit) -> String {
    let mut page = context.page();
    let mut region = None;
    for checked in all {
        if region != Some(&checked.region) {
            page.heading(&checked.region.to_string());
            region = Some(&checked.region);
        }
        level(&mut page, checked);
    }
    page.gap();
    match exit {
        Exit::Ok => page.toned(Tone::Good, "Everything that was checked holds."),
        Exit::Damaged => page.toned(Tone::Bad, "Stored data is DAMAGED: see above what it hits."),
        Exit::Missed => page.toned(Tone::Bad, "An objective is MISSED."),
        Exit::Unchecked => {
            page.toned(Tone::Warn, "Not everything could be checked: of that nothing is known.")
        }
        other => page.toned(Tone::Bad, &format!("Ended with: {}.", other.word())),
    };
    page.finish()
}

fn level(page: &mut Page, checked: &Checked) {
    let (word, tone) = match checked.exit {
        Exit::Ok => ("passed", Tone::Good),
        Exit::Damaged => ("FAILED", Tone::Bad),
        Exit::Missed => ("MISSED", Tone::Bad),
        _ => ("NOT RUN", Tone::Warn),
    };
    if checked.level == Level::Objective && !checked.objectives.is_empty() {
        checked.objectives.iter().for_each(|objective| render_objective(page, objective));
        return;
    }
    page.marked(&format!("{word:7}"), tone, &format!("{:9}  {}", checked.level.word(), checked.summary));
    for finding in checked.findings.iter().take(FINDINGS_SHOWN) {
        let (mark, tone) = match finding.severity {
            Severity::Damage => ("damaged  ", Tone::Bad),
            Severity::CouldNotCheck => ("unchecked", Tone::Warn),
            Severity::Notice => ("note     ", Tone::Dim),
        };
        page.marked(mark, tone, &finding.what);
        for affected in finding.affects.iter().take(AFFECTS_SHOWN) {
            page.item("          hits", affected);
        }
        let rest = finding.affects.len().saturating_sub(AFFECTS_SHOWN);
        if rest > 0 {
            page.item("          hits", &format!("{rest} more, which --json has"));
        }
    }
    let rest = checked.findings.len().saturating_sub(FINDINGS_SHOWN);
    if rest > 0 {
        page.item("…", &format!("and {rest} more; --json has them all"));
    }
}

fn render_objective(page: &mut Page, objective: &Objective) {
    let (word, tone) = match objective.exit {
        Exit::Ok => ("met    ", Tone::Good),
        Exit::Missed => ("MISSED ", Tone::Bad),
        Exit::Damaged => ("FAILED ", Tone::Bad),
        _ => ("unknown", Tone::Warn),
    };
    let found = match &objective.found {
        Err(failure) => {
            page.marked(word, tone, &format!("objective  {}: {}", objective.component, failure.coded()));
            if let Some(next) = failure.step() {
                page.paragraph(10, &format!("→ {next}"));
            }
            return;
        }
        Ok(found) => found,
    };
    page.marked(word, tone, &format!("objective  {}", objective.component));
    let line = |page: &mut Page, name: &str, text: &str| {
        page.item(&format!("         {name}"), text);
    };
    line(page, "time", &rto_words(&found.rto));
    line(page, "    ", &terms(&found.rto));
    let measured = &found.rto.measurements;
    let what = if measured.whole { "all of it" } else { "a sample" };
    let restored = measured.restored();
    let trials = count_of(measured.trials.len() as u64, "trial", "trials");
    line(
        page,
        "    ",
        &format!(
            "restored {what}: {} in {} ({trials}), extrapolated {:.1} times",
            restored.bytes,
            count_of(restored.files, "entry", "entries"),
            found.rto.factor
        ),
    );
    if let Some(speeds) = speeds(&found.rto) {
        line(page, "    ", &speeds);
    }
    line(page, "loss", &rpo_words(&found.rpo));
    if let Some(loss) = &found.loss {
        line(page, "    ", &loss_words(loss));
    }
    for note in &found.rto.notes {
        line(page, "note", note);
    }
    if let Some(at) = objective.kept {
        let words = "`status` goes on showing what was measured then, since it says more:";
        line(page, "kept", &format!("{words} {}", show_moment(at)));
    }
    if let Some(seed) = &found.seed {
        line(page, "seed", &seed.to_string());
    }
}
