//! `[gc]`: when and how much is collected.

use std::time::Duration;

use lifeboat_repo::repository::collect::{Knobs, Percent};
use toml::Spanned;

use super::Source;
use super::amounts::parse_bytes;
use super::raw::RawGc;
use crate::failure::Result;
use crate::when::parse_duration;

/// The defaults, as far as the file says nothing else.
pub(super) fn check(source: &Source<'_>, raw: &RawGc) -> Result<Knobs> {
    let defaults = Knobs::default();
    let duration = |text: &Option<Spanned<String>>, default: Duration| match text {
        None => Ok(default),
        Some(text) => parse_duration(text.get_ref()).map_err(|why| source.mistake(text.span(), why)),
    };
    let dead_share = match &raw.dead_share {
        None => defaults.dead_share,
        Some(share) => u8::try_from(*share.get_ref())
            .ok()
            .filter(|share| (1..=100).contains(share))
            .map(Percent)
            .ok_or_else(|| {
                source.mistake(share.span(), "a share is a whole number of hundredths, 1 to 100")
            })?,
    };
    let copy_max = match &raw.copy {
        None => defaults.copy_max,
        Some(text) => parse_bytes(text.get_ref()).map_err(|why| source.mistake(text.span(), why))?,
    };
    Ok(Knobs {
        pack_age_min: duration(&raw.pack_age, defaults.pack_age_min)?,
        plan_age_min: duration(&raw.plan_age, defaults.plan_age_min)?,
        run_age_max: duration(&raw.run_age, defaults.run_age_max)?,
        dead_share,
        copy_max,
    })
}
