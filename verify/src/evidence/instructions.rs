//! `VERIFY.md`: how a stranger checks the evidence, without Lifeboat.

use lifeboat_repo::crypto::sign::VerifyingKey;

use super::facts::{Facts, Freshness, Kind};
use super::plain::markdown;

/// Its name.
pub(super) const FILE: &str = "VERIFY.md";

/// The commands are the same for all evidence: what differs is read from `evidence.json` by jq.
const TEMPLATE: &str = include_str!("instructions.md");

/// The instructions for these facts, signed with this key.
pub(super) fn text(facts: &Facts, principal: &str, key: &VerifyingKey) -> String {
    let mut repositories = String::new();
    for one in &facts.repositories {
        let fresh = match &one.freshness {
            Freshness::Witnessed { entry, .. } => format!("witnessed: `{entry}`"),
            Freshness::NotProven(why) => format!("not proven: {}", markdown(why)),
        };
        repositories.push_str(&format!(
            "| {} | {} | {} | `{}` | {fresh} |\n",
            one.place.region,
            markdown(&one.place.jurisdiction),
            one.role.word(),
            one.place.repository,
        ));
    }
    if repositories.is_empty() {
        repositories.push_str("| none | | | | |\n");
    }
    TEMPLATE
        .replace("{{repositories}}\n", &repositories)
        .replace("{{unproven}}", unproven(facts.kind))
        .replace("{{id}}", facts.id.as_str())
        .replace("{{kind}}", facts.kind.one())
        .replace("{{principal}}", principal)
        .replace("{{fingerprint}}", &key.fingerprint())
}

/// What evidence of this kind does not prove, besides what none does.
const fn unproven(kind: Kind) -> &'static str {
    match kind {
        Kind::Drill => {
            "- **That nothing was left out.** Evidence of a failed drill can be kept from you. The history inside names earlier \
             evidence\n  with its hash: ask for every one of it, and for the drills that the schedule promises.\n\
             - **That production is what was restored.** A drill runs against a disposable target with the machines of that day."
        }
        Kind::Verification => {
            "- **That nothing was left out.** Evidence of a verification that found damage can be kept from you: ask for all that \
             the\n  schedule promises.\n\
             - **That the service comes back, and when.** That is what drills are for."
        }
        Kind::Erasure => {
            "- **That there are no other copies.** Lifeboat sees its repositories and their replicas. What somebody restored, \
             exported\n  or copied elsewhere before lies there.\n\
             - **Whose data it was.** The tenant is named nowhere: who holds the writer's card recipient makes the token of a \
             name\n  and compares."
        }
    }
}
