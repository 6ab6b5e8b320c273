//! Pinning an officer in the file, without touching anything else in it.

use std::ops::Range;

use lifeboat_repo::ids::Label;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

use super::{Config, PinnedOfficer};
use crate::codes::Code;
use crate::failure::{Failure, Result, shown};

#[derive(Deserialize)]
struct Spans {
    regions: BTreeMap<String, Spanned<RegionSpans>>,
}

#[derive(Deserialize)]
struct RegionSpans {
    officers: Option<Spanned<Vec<Spanned<String>>>>,
    repository: Spanned<String>,
}

/// The text with the officer pinned in that region.
///
/// The result is parsed again and compared with what it should be, so a file laid out in a way this does not
/// foresee is left alone and the person told which line to add.
pub(crate) fn pin(config: &Config, text: &str, region: &Label, officer: &PinnedOfficer) -> Result<String> {
    let line = format!("\"{} {}\"", officer.key, officer.name);
    let by_hand = || {
        Failure::usage(format!("cannot pin the officer's key in region {region} by machine"))
            .code(Code::Configuration)
            .at(shown(&config.path))
            .next(format!("add it yourself: officers = [{line}]"))
    };
    let spans: Spans = toml::from_str(text).map_err(|_| by_hand())?;
    let found = spans.regions.get(region.as_str()).ok_or_else(by_hand)?.get_ref();
    let edited = match &found.officers {
        Some(officers) => {
            let mut all: Vec<String> = officers
                .get_ref()
                .iter()
                .map(|known| text.get(known.span()).unwrap_or_default().to_owned())
                .collect();
            all.push(line.clone());
            let list =
                if all.len() == 1 { format!("[{line}]") } else { format!("[\n  {},\n]", all.join(",\n  ")) };
            splice(text, officers.span(), &list)
        }
        None => {
            // A line of its own under the one that names the repository.
            let end = text.get(found.repository.span().end..).and_then(|rest| rest.find('\n'));
            let at = end.map_or(text.len(), |end| found.repository.span().end + end);
            splice(text, at..at, &format!("\nofficers = [{line}]"))
        }
    };
    let edited = edited.ok_or_else(by_hand)?;
    let again = Config::parse(&config.path, &edited).map_err(|_| by_hand())?;
    let pinned = again.region(region).is_ok_and(|region| region.officers.contains(officer));
    if pinned { Ok(edited) } else { Err(by_hand()) }
}

fn splice(text: &str, span: Range<usize>, with: &str) -> Option<String> {
    Some(format!("{}{with}{}", text.get(..span.start)?, text.get(span.end..)?))
}
