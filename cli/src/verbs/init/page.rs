//! What `init` says at its end: what was made, and what must go to the safe.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::keys::Keys;
use super::{Done, Enrolled, tone};
use crate::config::{Config, list};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::shown;
use crate::render::{Outcome, Page};

pub(super) fn render(context: &Context, config: &Config, keys: &Keys, done: &[Done]) -> String {
    let mut page = context.page();
    for region in done {
        page.heading(&region.region.to_string());
        let state = if region.created { "made now" } else { "was there already" };
        page.field("repository", &format!("{} ({state})", region.repository));
        page.field("where", &region.place);
        if let Some(officer) = &region.officer {
            page.field(
                "officer",
                &format!("{}, {} (pinned in lifeboat.toml)", officer.name, officer.key.fingerprint()),
            );
        }
        let words = match &region.enrolled {
            Enrolled::Now(components) => {
                format!("enrolled now, for {}", list(components.iter()).replace(" or ", " and "))
            }
            Enrolled::Already => "enrolled already".to_owned(),
            Enrolled::NotYet(why) => format!("not enrolled: {why}"),
        };
        page.field_toned("this host", tone(&region.enrolled), &words);
    }
    if !keys.made.is_empty() {
        page.heading("Keys made now (readable by you alone)");
        for (path, what) in &keys.made {
            page.item("-", &format!("{}\n{what}", shown(path)));
        }
    }
    safe(&mut page, config, keys, done);
    page.finish()
}

/// A dry run where there is no configuration.
pub(super) fn would_write(context: &Context, path: &Path) -> Outcome {
    would_make(context, &[format!("the configuration, with every field explained, in {}", shown(path))])
}

/// A dry run.
pub(super) fn would_make(context: &Context, planned: &[String]) -> Outcome {
    let mut page = context.page();
    if planned.is_empty() {
        page.paragraph(
            0,
            "Nothing is done, and nothing has to be made; this host would be enrolled where it is not.",
        );
    } else {
        page.raw("Nothing is done; this would be made:");
    }
    for line in planned {
        page.item("-", line);
    }
    Outcome { exit: Exit::Ok, value: json!({ "dry_run": true, "would_make": planned }), page: page.finish() }
}

fn safe(page: &mut Page, config: &Config, keys: &Keys, done: &[Done]) {
    let recovery: Vec<&PathBuf> = done.iter().filter_map(|region| region.recovery_file.as_ref()).collect();
    page.heading("What must go to the safe");
    if recovery.is_empty() {
        page.paragraph(2, "The recovery identities (they do not lie here): without one of them no backup can ever be opened.");
    }
    let mut numbers = (1..).map(|number| format!("{number}."));
    let mut next = || numbers.next().unwrap_or_default();
    for file in &recovery {
        page.item(
            &next(),
            &format!(
                "{}\nOpens every backup of its region, and is the only thing that does. Copy it to two media in two \
                 places, then delete it here: a host that is broken into must not hold it.",
                shown(file)
            ),
        );
    }
    if let Some(file) = &keys.officer_file {
        page.item(
            &next(),
            &format!(
                "{}\nThe officer's signing key: it says who may write. Keep it apart from the recovery identity.",
                shown(file)
            ),
        );
    }
    page.item(
        &next(),
        &format!("a copy of {} and the paper that `lifeboat keys paper` prints", shown(&config.path)),
    );
    page.heading("Next");
    page.item("→", "lifeboat doctor          is everything as it must be?");
    page.item("→", "lifeboat backup --all");
}
