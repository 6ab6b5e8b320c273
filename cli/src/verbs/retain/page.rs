//! What `retain` decided, for people.

use lifeboat_repo::retention::{Fate, KeyFate};

use super::{Decided, Plan};
use crate::failure::tame;
use crate::render::{Page, Tone};
use crate::when::{count_of, show_moment};

pub(super) fn render(page: &mut Page, plan: &Plan<'_>, dry_run: bool, record: Option<&str>) {
    for decided in &plan.components {
        page.heading(&format!("{} in {}", decided.component, plan.region.name));
        render_component(page, decided);
    }
    page.gap();
    let (snapshots, keys) = (plan.snapshots().len() as u64, plan.keys().len() as u64);
    let mut expired = count_of(snapshots, "snapshot", "snapshots");
    if keys > 0 {
        let shares = count_of(keys, "tenant's share", "tenants' shares");
        expired.push_str(&format!(" and {shares} of others"));
    }
    let said = match (dry_run, record) {
        _ if snapshots + keys == 0 => "nothing expires".to_owned(),
        (true, _) => format!("{expired} would expire; nothing was done"),
        (false, Some(record)) => format!("{expired} expired, by {record}; `lifeboat gc` frees the space"),
        (false, None) => expired,
    };
    page.field(plan.region.name.as_str(), &said);
    if plan.tenants_unknown {
        page.marked(
            "tenants",
            Tone::Warn,
            "rules of tenants were not applied: whose keys are in a snapshot only a recovery identity tells; give \
             --identity FILE",
        );
    }
}

fn render_component(page: &mut Page, decided: &Decided) {
    if decided.decisions.is_empty() {
        page.field("snapshots", "none");
    }
    for decision in &decided.decisions {
        let mark = match decision.fate {
            Fate::Kept(_) => "+",
            Fate::Expired(_) | Fate::Named => "-",
            Fate::Left(_) => "·",
        };
        page.item(mark, &format!("{}  {}", show_moment(decision.moment), tame(&decision.to_string())));
        for (tenant, key) in decided.keys.iter().filter(|(_, key)| key.snapshot == decision.name) {
            if key.fate == KeyFate::Expired {
                page.paragraph(6, &format!("{tenant} {key}"));
            }
        }
    }
}
