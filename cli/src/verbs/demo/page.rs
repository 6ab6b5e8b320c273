//! The page of the demonstration.

use lifeboat_verify::objective::{RpoVerdict, RtoVerdict};
use serde_json::{Value, json};

use super::{Proven, Story};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::shown;
use crate::render::{Cell, Column, Page, Table, Tone};
use crate::verbs::verify::objective::{Measured, Objective, rpo_words, rto_words};
use crate::verbs::verify::{Checked, Level};
use crate::when::{show_count, show_duration, show_moment, show_objective};

pub(super) fn render(context: &Context, story: &Story) -> String {
    let mut page = context.page();
    page.heading("Lifeboat: a service is backed up, destroyed, and comes back");
    let from: Vec<String> = story.sources.iter().map(|path| shown(path)).collect();
    page.paragraph(
        0,
        &format!(
            "{}. Two regions, three tenants (aurora and borealis in Frankfurt, cascade in Dallas), {} real files \
             ({}) from {}; and a canary, a tenant that is erased and must not come back.",
            show_moment(story.began),
            show_count(story.data.files),
            story.data.bytes,
            from.first().map(String::as_str).unwrap_or_default()
        ),
    );
    page.heading("What was done");
    let mut table = Table::new(&[Column::Right(""), Column::Left(""), Column::Right(""), Column::Left("")]);
    for (number, step) in (1..).zip(&story.steps) {
        let number: u32 = number;
        table.row([
            number.to_string().into(),
            step.name.into(),
            show_duration(step.took).into(),
            step.what.clone().into(),
        ]);
    }
    page.table(&table);
    promises(&mut page, story);
    levels(&mut page, story);
    differences(&mut page, story);
    verdict(&mut page, story);
    whereabouts(&mut page, story);
    page.finish()
}

fn promises(page: &mut Page, story: &Story) {
    page.heading("Promises kept?");
    let mut table = Table::new(&[
        Column::Left("component"),
        Column::Left("region"),
        Column::Left("came back"),
        Column::Left("restore time (RTO)"),
        Column::Left("data lost (RPO)"),
    ]);
    for compared in &story.compared {
        let same = match compared.differences.len() {
            0 => Cell::toned(Tone::Good, "identical"),
            count => Cell::toned(Tone::Bad, format!("{count} DIFFER")),
        };
        let found = objectives(story).find(|objective| objective.component == compared.component);
        let (rto, rpo) = match found.map(|objective| &objective.found) {
            Some(Ok(found)) => (rto_cell(found), rpo_cell(found)),
            _ => (Cell::toned(Tone::Bad, "not measured"), Cell::toned(Tone::Bad, "not measured")),
        };
        table.row([
            compared.component.to_string().into(),
            compared.region.to_string().into(),
            same,
            rto,
            rpo,
        ]);
    }
    page.table(&table);
}

fn objectives(story: &Story) -> impl Iterator<Item = &Objective> {
    story.proven.iter().flat_map(|proven| &proven.levels).flat_map(|checked| &checked.objectives)
}

fn rto_cell(found: &Measured) -> Cell {
    let about = show_duration(found.rto.projected);
    let limits = (show_objective(found.rto.objective.target), show_objective(found.rto.objective.limit));
    match &found.rto.verdict {
        RtoVerdict::Met => Cell::toned(Tone::Good, format!("met: {about} of {}", limits.0)),
        RtoVerdict::TargetMissed => Cell::toned(Tone::Warn, format!("over target: {about} of {}", limits.0)),
        RtoVerdict::LimitMissed => Cell::toned(Tone::Bad, format!("MISSED: {about} of {}", limits.1)),
        RtoVerdict::InsufficientEvidence(_) => Cell::toned(Tone::Warn, "insufficient evidence"),
    }
}

fn rpo_cell(found: &Measured) -> Cell {
    let lost = found.rpo.loss.map_or_else(|| "all".to_owned(), show_duration);
    let allowed = show_objective(found.rpo.objective);
    match &found.rpo.verdict {
        RpoVerdict::Met => Cell::toned(Tone::Good, format!("met: {lost} of {allowed}")),
        RpoVerdict::Missed => Cell::toned(Tone::Bad, format!("MISSED: {lost} of {allowed}")),
        RpoVerdict::InsufficientEvidence(_) => Cell::toned(Tone::Warn, "insufficient evidence"),
    }
}

fn levels(page: &mut Page, story: &Story) {
    page.heading("Backups proven whole?");
    let names: Vec<String> = story.proven.iter().map(|proven| proven.region.to_string()).collect();
    let mut table = Table::new(&[Column::Left(""), Column::Left(""), Column::Left(""), Column::Left("")]);
    let pair = |of: &dyn Fn(&Proven) -> Cell| -> Vec<Cell> { story.proven.iter().map(of).collect() };
    let mut row = |name: &str, cells: Vec<Cell>, means: &str| {
        if let [first, second] = cells.as_slice() {
            table.row([name.into(), first.clone(), second.clone(), Cell::toned(Tone::Dim, means)]);
        }
    };
    row("", names.into_iter().map(|name| Cell::toned(Tone::Dim, name)).collect(), "");
    let of = |level: Level| move |proven: &Proven| level_cell(proven, level);
    row("inventory", pair(&of(Level::Inventory)), "every object is there");
    row("integrity", pair(&of(Level::Integrity)), "every byte as signed; needs no key");
    row("readback", pair(&of(Level::Readback)), "everything decrypts, bit for bit");
    row("restore", pair(&of(Level::Restore)), "a restored tree equals what was backed up");
    let fault = |proven: &Proven| match proven.fault_found {
        true => Cell::toned(Tone::Good, "found"),
        false => Cell::toned(Tone::Bad, "NOT FOUND"),
    };
    row("planted fault", pair(&fault), "one bit flipped in a copy turns it red");
    page.table(&table);
}

fn level_cell(proven: &Proven, level: Level) -> Cell {
    match proven.levels.iter().find(|checked| checked.level == level) {
        Some(Checked { exit: Exit::Ok, .. }) => Cell::toned(Tone::Good, "passed"),
        Some(Checked { exit: Exit::Damaged, .. }) => Cell::toned(Tone::Bad, "FAILED"),
        _ => Cell::toned(Tone::Warn, "not run"),
    }
}

fn differences(page: &mut Page, story: &Story) {
    for compared in &story.compared {
        for path in compared.differences.iter().take(10) {
            page.item("≠", &format!("{}: {}", compared.component, shown(path)));
        }
    }
    for checked in
        story.proven.iter().flat_map(|proven| &proven.levels).filter(|checked| checked.exit != Exit::Ok)
    {
        page.item("!", &format!("{} of {}: {}", checked.level.word(), checked.region, checked.summary));
        for finding in checked.findings.iter().take(5) {
            page.item("   -", &finding.what);
        }
        for objective in &checked.objectives {
            match &objective.found {
                Err(failure) => page.item("   -", &format!("{}: {}", objective.component, failure.coded())),
                Ok(found) => {
                    page.item("   -", &format!("{}, time {}", objective.component, rto_words(&found.rto)));
                    page.item("   -", &format!("{}, loss {}", objective.component, rpo_words(&found.rpo)))
                }
            };
        }
    }
}

fn verdict(page: &mut Page, story: &Story) {
    page.gap();
    match story.exit() {
        Exit::Ok => page.toned(Tone::Good, "VERDICT: everything came back, whole and in time."),
        exit => page.toned(Tone::Bad, &format!("VERDICT: NOT as promised ({}).", exit.word())),
    };
    page.paragraph(
        0,
        "Measured on this machine with little data; `lifeboat verify --level objective` measures yours.",
    );
}

fn whereabouts(page: &mut Page, story: &Story) {
    let at = |name: &str| shown(&story.root.join(name));
    page.heading("Where things are");
    page.field("configuration", &at("lifeboat.toml"));
    page.field("repositories", &at("repositories"));
    page.field("the safe", &format!("{} (here only for the demonstration)", at("safe")));
    page.field("restored", &at("restored"));
    page.heading("Try next");
    let root = shown(&story.root);
    page.raw(&format!("  cd {root}"));
    page.raw("  export LIFEBOAT_IDENTITY=safe/recovery-eu-fra.txt:safe/recovery-us-dal.txt");
    page.raw("  lifeboat snapshots");
    page.raw("  lifeboat ls chats uploads/aurora");
    page.raw("  lifeboat restore chats --tenant aurora --target only-aurora");
    page.raw("  lifeboat drill run region-loss --region eu-fra --target drill --erased canary");
}

pub(super) fn value(story: &Story) -> Value {
    let steps = story
        .steps
        .iter()
        .map(|step| json!({ "step": step.name, "seconds": step.took.as_secs_f64(), "what": step.what }));
    let compared = story.compared.iter().map(|compared| {
        json!({ "component": compared.component, "region": compared.region, "entries": compared.entries,
                "differences": compared.differences.iter().map(|path| shown(path)).collect::<Vec<_>>() })
    });
    let proven = story.proven.iter().map(|proven| {
        json!({ "region": proven.region, "fault_found": proven.fault_found,
                "checks": proven.levels.iter().map(|checked| &checked.value).collect::<Vec<_>>() })
    });
    json!({
        "directory": shown(&story.root), "files": story.data.files, "bytes": story.data.bytes,
        "steps": steps.collect::<Vec<_>>(), "compared": compared.collect::<Vec<_>>(),
        "regions": proven.collect::<Vec<_>>(),
    })
}
