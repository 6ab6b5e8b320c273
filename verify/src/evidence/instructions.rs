//! `VERIFY.md`: how a stranger checks the evidence, without Lifeboat.

use lifeboat_repo::crypto::sign::VerifyingKey;

use super::facts::{Facts, Freshness};
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
        .replace("{{id}}", facts.id.as_str())
        .replace("{{kind}}", facts.kind.word())
        .replace("{{principal}}", principal)
        .replace("{{fingerprint}}", &key.fingerprint())
}
