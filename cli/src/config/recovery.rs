//! How everything is brought back, and what is checked then.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use lifeboat_backup::Program;
use lifeboat_repo::ids::Label;
use lifeboat_verify::objective::Retrieval;
use toml::Spanned;

use super::check::{duration, label, positive};
use super::raw::{RawRecovery, RawReference};
use super::sources::check_hook;
use super::{Component, Source, list};
use crate::failure::Result;

/// How long the archive classes of S3 take until an object can be read, by their maker's documentation (*Understanding
/// archive retrieval options*, standard retrievals; for Deep Archive within 12 hours). What is not here is there at once.
const WAITS: [(&str, u64); 2] = [("GLACIER", 5), ("DEEP_ARCHIVE", 12)];
const SOURCE: &str =
    "Amazon S3 documentation, archive retrieval options: standard retrieval, the longest it names";

/// With whom and how everything is brought back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recovering {
    /// How many machines restore at a time.
    pub(crate) workers: Option<NonZeroU32>,
    /// Checks of what components say of one another.
    pub(crate) references: Vec<Reference>,
    waits: BTreeMap<String, Retrieval>,
}

/// A check of what components say of one another, on restored copies.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    /// Its name.
    pub(crate) name: Label,
    /// Which components it looks at.
    pub(crate) components: Vec<Label>,
    /// Ends well if they fit. `LIFEBOAT_RESTORED` is the directory that has a directory for each component.
    pub(crate) program: Program,
}

impl Recovering {
    /// How long objects of a storage class are waited for.
    pub(crate) fn wait(&self, class: &str) -> Retrieval {
        if let Some(said) = self.waits.get(class) {
            return said.clone();
        }
        let known = WAITS.iter().find(|(known, _)| *known == class);
        let (wait, source) = match known {
            Some((_, hours)) => (Duration::from_secs(hours * 3600), SOURCE.to_owned()),
            None => (
                Duration::ZERO,
                "no archive by its maker's documentation, so nothing is waited for".to_owned(),
            ),
        };
        Retrieval { class: class.to_owned(), wait, source }
    }
}

pub(super) fn check(
    source: &Source<'_>,
    raw: &RawRecovery,
    references: BTreeMap<Spanned<String>, RawReference>,
    components: &[Component],
) -> Result<Recovering> {
    let mut waits = BTreeMap::new();
    for (class, said) in &raw.retrieval {
        let wait = duration(source, &said.wait)?;
        let retrieval =
            Retrieval { class: class.get_ref().clone(), wait, source: said.source.get_ref().clone() };
        waits.insert(class.get_ref().clone(), retrieval);
    }
    let references = super::check::in_order(references, |name, raw| {
        let names = raw.components.iter().map(|text| {
            let found = label(source, text, "a component's name")?;
            if components.iter().any(|component| component.name == found) {
                return Ok(found);
            }
            Err(source
                .mistake(
                    text.span(),
                    format!("reference {} names a component that is not here", name.get_ref()),
                )
                .next(format!("use {}", list(components.iter().map(|component| &component.name)))))
        });
        Ok(Reference {
            name: label(source, name, "a reference's name")?,
            components: names.collect::<Result<_>>()?,
            program: check_hook(source, &raw.run)?,
        })
    })?;
    Ok(Recovering {
        workers: raw.workers.as_ref().map(|count| positive(source, count)).transpose()?,
        references,
        waits,
    })
}
