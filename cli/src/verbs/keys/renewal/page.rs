//! What sealing anew, and removing an officer, shows.

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::reseal::{Finished, Outlook, Resealed, Step, Unusable};
use lifeboat_repo::units::Timestamp;
use serde_json::{Value, json};

use crate::config::Region;
use crate::exit::Exit;
use crate::failure::tame;
use crate::render::{Page, Tone};
use crate::when::{count_of, show_moment};

pub(super) fn render_exposure(
    name: &Label,
    until: Timestamp,
    (snapshots, keys): (usize, usize),
    page: &mut Page,
) {
    page.paragraph(
        2,
        &format!(
            "With a recovery identity {name} could read everything stored here until {}: {} under {}. Who has kept the \
             tenants' keys reads, with access to the store, what is sealed to these keys later, too.",
            show_moment(until),
            count_of(snapshots as u64, "snapshot", "snapshots"),
            count_of(keys as u64, "tenant key", "tenant keys"),
        ),
    );
}

pub(super) fn exit_of(unusable: &[Unusable]) -> Exit {
    if unusable.is_empty() { Exit::Ok } else { Exit::Partly }
}

pub(super) fn render_resealed(done: &Resealed, page: &mut Page) {
    if let Some(seal) = done.seal {
        let went_on = if done.resumed { "went on where it was cut off: " } else { "" };
        let keys = count_of(done.keys as u64, "key is", "keys are");
        page.item(
            "-",
            &format!(
                "{went_on}seal {seal} is in use; {keys} below it and were opened, {} sealed anew",
                done.sealed
            ),
        );
    }
    render_unusable(&done.unusable, page);
}

pub(super) fn render_unusable(unusable: &[Unusable], page: &mut Page) {
    if unusable.is_empty() {
        return;
    }
    let many = count_of(unusable.len() as u64, "key object does", "key objects do");
    page.marked("warn", Tone::Warn, &format!("{many} not open and stay as they are"));
    for one in unusable.iter().take(20) {
        page.item("    -", &tame(&one.error.to_string()));
    }
    page.paragraph(7, "→ see whom it hits with `lifeboat verify --level readback`");
}

pub(super) fn value_of_resealed(region: &Region, done: &Resealed, dry_run: Option<bool>) -> Value {
    json!({
        "region": region.name, "dry_run": dry_run.unwrap_or(false), "seal": done.seal, "keys": done.keys,
        "sealed": done.sealed, "resumed": done.resumed, "unusable": messages(&done.unusable),
    })
}

pub(super) fn messages(unusable: &[Unusable]) -> Vec<String> {
    unusable.iter().map(|one| tame(&one.error.to_string())).collect()
}

pub(super) fn render_outlook(region: &Region, outlook: &Outlook, finish: bool, page: &mut Page) -> Value {
    let keys = count_of(outlook.sealed as u64, "key", "keys");
    if finish {
        let old = count_of(outlook.condemned.len() as u64, "condemned seal", "condemned seals");
        page.item(
            "-",
            &format!(
                "would destroy {old} with {} key objects below and {} seal objects",
                outlook.keys, outlook.seals
            ),
        );
        for name in outlook.waiting.iter().take(20) {
            page.item("-", &format!("not before {name} is there: that run may not have seen the new seal"));
        }
        if let Some(until) = outlook.bundled {
            page.item(
                "-",
                &format!("the seal itself not before {}: bundles hold keys below it", show_moment(until)),
            );
        }
    } else if outlook.cut_off {
        page.item("-", &format!("would go on where it was cut off: {keys} below seal {}", outlook.seal));
    } else {
        page.item(
            "-",
            &format!("would make a new seal, seal {keys} to it and condemn seal {}", outlook.seal),
        );
    }
    json!({
        "region": region.name, "dry_run": true, "seal": outlook.seal, "keys": outlook.sealed, "cut_off": outlook.cut_off,
        "condemned": outlook.condemned, "waiting": outlook.waiting, "old_keys": outlook.keys, "old_seals": outlook.seals,
        "bundled_until": outlook.bundled.map(|at| at.rfc3339()),
    })
}

pub(super) fn render_finished(region: &Region, done: &Finished, page: &mut Page) -> (Exit, Value) {
    if done.sealed > 0 {
        let late = count_of(done.sealed as u64, "key", "keys");
        page.item("-", &format!("{late} that runs had put below an old seal meanwhile sealed anew"));
    }
    if done.keys + done.seals > 0 {
        page.item(
            "-",
            &format!("{} key objects and {} seal objects destroyed, every version", done.keys, done.seals),
        );
    }
    render_unusable(&done.unusable, page);
    let (exit, step, until) = match &done.step {
        Step::Nothing => {
            page.item("-", "no seal is condemned; nothing to do");
            (Exit::Ok, "nothing", None)
        }
        Step::Waiting(open) => {
            for name in open.iter().take(20) {
                page.item("-", &format!("waits for the run that commits at {name}"));
            }
            page.item("→", "let these backups end; a maintainer ends those that died with `lifeboat gc`; then run this again");
            (Exit::Partly, "waiting", None)
        }
        Step::Held => {
            page.item(
                "→",
                "snapshots need keys that do not open; heal them with `lifeboat repair`, then run this again",
            );
            (Exit::Damaged, "held", None)
        }
        Step::Bundled(until) => {
            page.item(
                "→",
                &format!("bundles hold keys of the old seal; run this again from {} on", show_moment(*until)),
            );
            (Exit::Partly, "bundled", Some(*until))
        }
        Step::Destroyed(until) => {
            page.marked("ok  ", Tone::Good, "the seals before are destroyed");
            if let Some(until) = until {
                page.paragraph(7, &format!("bundles hold them until {}", show_moment(*until)));
            }
            (Exit::Ok, "destroyed", *until)
        }
    };
    let waiting = if let Step::Waiting(open) = &done.step { open.clone() } else { Vec::new() };
    let value = json!({
        "region": region.name, "dry_run": false, "step": step, "condemned": done.condemned, "waiting": waiting,
        "sealed": done.sealed, "old_keys": done.keys, "old_seals": done.seals, "unusable": messages(&done.unusable),
        "bundled_until": until.map(|at| at.rfc3339()),
    });
    (exit, value)
}
