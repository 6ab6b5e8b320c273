//! What is made of facts, and of nothing else: the same facts give the same bytes.

use super::directory::Attachment;
use super::error::EvidenceError;
use super::facts::Facts;
use super::{oscal, report, timeline};

/// The name of the file of facts.
pub(super) const FACTS_FILE: &str = "evidence.json";

/// The facts as `evidence.json` holds them.
///
/// # Errors
/// They cannot be written as JSON, which no facts do.
pub fn canonical(facts: &Facts) -> Result<Vec<u8>, EvidenceError> {
    let mut text =
        serde_json::to_vec_pretty(facts).map_err(|error| EvidenceError::unfit(FACTS_FILE, error))?;
    text.push(b'\n');
    Ok(text)
}

/// Every file that is made of the facts.
///
/// # Errors
/// As [`canonical`].
pub fn derived(facts: &Facts) -> Result<Vec<Attachment>, EvidenceError> {
    let text = canonical(facts)?;
    Ok(vec![
        Attachment::new(oscal::FILE, oscal::document(facts, &text)),
        Attachment::new(report::FILE, report::page(facts)),
        Attachment::new(timeline::FILE, timeline::csv(facts)),
        Attachment::new(FACTS_FILE, text),
    ])
}
