//! `verify`: proof that backups are whole, open, and fit their objectives.

use std::path::PathBuf;

use clap::ValueEnum;
use lifeboat_repo::ids::Label;
use lifeboat_repo::units::Bytes;
use lifeboat_verify::evidence::facts::LookFact;
use lifeboat_verify::{Amount, Seed};
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::{Component, Config, Region};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::render::Outcome;
use crate::survey::Identities;

pub(crate) mod levels;
mod looks;
pub(crate) mod objective;
mod page;
mod restored;

/// Enough that a disk's cache and a few starts do not decide the time.
const TRIAL_BYTES: Bytes = Bytes::mib(256);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these components; integrity always looks at the whole repository
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<Label>,
    /// How deep to look
    #[arg(long, value_enum, default_value = "integrity")]
    pub(crate) level: Level,
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<Label>,
    /// readback: how many segments to read: 500, 10% or all
    #[arg(long, value_name = "AMOUNT", default_value = "all", value_parser = parse_amount)]
    pub(crate) sample: Amount,
    /// Draw the sample of an earlier report again (64 hex digits)
    #[arg(long, value_name = "SEED", value_parser = parse_seed, conflicts_with = "nonce")]
    pub(crate) seed: Option<Seed>,
    /// Any text of the auditor's: the seed is made of it and of the newest checkpoint [default: random]
    #[arg(long, value_name = "TEXT")]
    pub(crate) nonce: Option<String>,
    /// objective: how much to restore for the measurement: 20%, 256MB, 5GB or whole
    #[arg(long, value_name = "SIZE", value_parser = parse_trial)]
    pub(crate) trial: Option<Trial>,
    /// restore and objective: where to restore to, with room for it [default: $TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// restore: the latest snapshot that holds nothing later than this [default: the latest]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// objective: when the disaster strikes: now, 2026-11-23T18:43:39Z, 3h ago [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) disaster_at: Option<String>,
    /// Leave evidence of what was looked at and found there: a directory to make, or an empty one
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) identities: Identities,
}

/// How deep to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Every object that snapshots need is there; needs this host's keys or the recovery identity
    Inventory,
    /// Every stored byte matches its name, signature and ledger; needs no secret
    Integrity,
    /// Everything decrypts and matches what was backed up; needs the recovery identity
    Readback,
    /// A whole restore into scratch space equals what was backed up, metadata too; needs the recovery identity
    Restore,
    /// A restore is timed and compared with the objectives; needs the recovery identity
    Objective,
    /// All of them, one after another
    All,
}

impl Level {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Integrity => "integrity",
            Self::Readback => "readback",
            Self::Restore => "restore",
            Self::Objective => "objective",
            Self::All => "all",
        }
    }

    /// The levels this stands for.
    const fn each(self) -> &'static [Self] {
        match self {
            Self::Inventory => &[Self::Inventory],
            Self::Integrity => &[Self::Integrity],
            Self::Readback => &[Self::Readback],
            Self::Restore => &[Self::Restore],
            Self::Objective => &[Self::Objective],
            Self::All => &[Self::Inventory, Self::Integrity, Self::Readback, Self::Restore, Self::Objective],
        }
    }
}

/// How much of a component a measurement restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    Whole,
    Bytes(Bytes),
    /// So many of a hundred bytes.
    Percent(u8),
}

impl Args {
    /// What to do where nothing is said.
    pub(crate) fn of(level: Level, identities: Identities) -> Self {
        Self {
            components: Vec::new(),
            level,
            region: Vec::new(),
            sample: Amount::Full,
            seed: None,
            nonce: None,
            trial: None,
            scratch: None,
            at: None,
            disaster_at: None,
            evidence: None,
            identities,
        }
    }

    fn trial(&self) -> Trial {
        self.trial.unwrap_or(Trial::Bytes(TRIAL_BYTES))
    }

    /// The auditor's nonce, or a random one.
    fn nonce(&self, context: &Context) -> Result<Vec<u8>> {
        use lifeboat_repo::clock::Entropy;
        if let Some(nonce) = &self.nonce {
            return Ok(nonce.as_bytes().to_vec());
        }
        let mut nonce = vec![0; 16];
        context
            .entropy
            .fill(&mut nonce)
            .map_err(|error| Failure::failed(error.to_string()).code(Code::Machine))?;
        Ok(nonce)
    }
}

fn parse_amount(text: &str) -> std::result::Result<Amount, String> {
    let bad = || format!("{text:?} is no amount; write a number of segments, a share such as 10%, or all");
    if text == "all" {
        return Ok(Amount::Full);
    }
    match text.strip_suffix('%') {
        Some(percent) => percent
            .parse::<f64>()
            .ok()
            .filter(|percent| *percent > 0.0 && *percent <= 100.0)
            .map(Amount::Percent)
            .ok_or_else(bad),
        None => text.parse::<u64>().ok().filter(|count| *count > 0).map(Amount::Segments).ok_or_else(bad),
    }
}

fn parse_seed(text: &str) -> std::result::Result<Seed, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn parse_trial(text: &str) -> std::result::Result<Trial, String> {
    if text == "whole" {
        return Ok(Trial::Whole);
    }
    let bad = || format!("{text:?} is no size; write 20%, 256MB, 5GB, or whole");
    if let Some(percent) = text.strip_suffix('%') {
        let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
        return percent.map(Trial::Percent).ok_or_else(bad);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
    let unit: u64 = match unit.trim() {
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(bad()),
    };
    let bytes =
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    bytes.map(|bytes| Trial::Bytes(Bytes(bytes))).ok_or_else(bad)
}

/// What became of one level in one region.
pub(crate) struct Checked {
    /// The region.
    pub(crate) region: Label,
    /// The level.
    pub(crate) level: Level,
    /// What it means.
    pub(crate) exit: Exit,
    /// In a line.
    pub(crate) summary: String,
    /// What was found, for people.
    pub(crate) findings: Vec<levels::Shown>,
    /// Objectives, where they were measured.
    pub(crate) objectives: Vec<objective::Objective>,
    /// The same for evidence: nothing in it names a tenant or a file.
    pub(crate) looks: Vec<LookFact>,
    /// For `--json`.
    pub(crate) value: Value,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    for name in &args.components {
        config.component(name)?;
    }
    let regions = context.regions(&config, &args.region)?;
    let mut making = looks::making(context, args)?;
    let mut all = Vec::new();
    for region in regions {
        let components = components(&config, region, args);
        if components.is_empty() && !args.components.is_empty() {
            continue;
        }
        if let Some(making) = &mut making {
            making.see(context, region);
        }
        all.extend(region_levels(context, &config, region, &components, args)?);
        if all.last().is_some_and(|checked| checked.exit == Exit::Interrupted) {
            break;
        }
    }
    let exit = all.iter().fold(Exit::Ok, |exit, checked| exit.worst(checked.exit));
    let value = json!({ "checks": all.iter().map(|checked| &checked.value).collect::<Vec<_>>() });
    let mut outcome = Outcome { exit, value, page: page::render(context, &all, exit) };
    if let Some(making) = making {
        looks::leave(context, making, args, all, &mut outcome);
    }
    Ok(outcome)
}

fn components<'c>(config: &'c Config, region: &'c Region, args: &Args) -> Vec<&'c Component> {
    let asked =
        |component: &&Component| args.components.is_empty() || args.components.contains(&component.name);
    config.components_of(&region.name).filter(asked).collect()
}

/// Every level asked for in one region. A level that cannot run says so; the others run all the same.
pub(crate) fn region_levels(
    context: &Context,
    config: &Config,
    region: &Region,
    components: &[&Component],
    args: &Args,
) -> Result<Vec<Checked>> {
    let mut all = Vec::new();
    for level in args.level.each() {
        let begun = context.now();
        let checked = match level {
            Level::Objective => objective::check(context, config, region, components, args),
            Level::Restore => restored::check(context, region, components, args),
            _ => levels::check(context, config, region, args, *level),
        };
        let checked = checked.unwrap_or_else(|failure| {
            let failure = failure.into_check();
            let look = looks::failed(region, *level, None, (begun, context.now()), &failure);
            levels::not_run(region, *level, &failure, look)
        });
        let interrupted = checked.exit == Exit::Interrupted;
        all.push(checked);
        if interrupted {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_sizes_are_read() {
        assert_eq!(parse_amount("all"), Ok(Amount::Full));
        assert_eq!(parse_amount("500"), Ok(Amount::Segments(500)));
        assert_eq!(parse_amount("2.5%"), Ok(Amount::Percent(2.5)));
        for bad in ["", "0", "0%", "101%", "-1", "ten", "NaN%"] {
            assert!(parse_amount(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_trial("whole"), Ok(Trial::Whole));
        assert_eq!(parse_trial("5GB"), Ok(Trial::Bytes(Bytes(5_000_000_000))));
        assert_eq!(parse_trial("20%"), Ok(Trial::Percent(20)));
        for bad in ["0%", "101%", "%", "-1%", "", "5", "GB", "0MB", "5 apples", "99999999999999TB"] {
            assert!(parse_trial(bad).is_err(), "{bad}");
        }
    }
}
