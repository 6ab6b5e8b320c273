//! The keys that `init` finds or makes. None is ever overwritten.

use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::envelope::{Identity, Recipient};
use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::Label;
use lifeboat_repo::units::Timestamp;

use super::Args;
use crate::config::{Config, Host, Region};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::keyfiles;

/// Who can open a repository: names and recipients.
pub(super) type Named = Vec<(String, Recipient)>;

/// The files of keys, and which of them were made now.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) directory: PathBuf,
    /// The officer's signing key, where it was named.
    pub(super) officer_given: Option<PathBuf>,
    pub(super) officer_file: Option<PathBuf>,
    /// When a repository is made in the place of a lost one: new recovery identities are named after the day.
    pub(super) dated: Option<Timestamp>,
    pub(super) made: Vec<(PathBuf, &'static str)>,
}

pub(super) fn host_keys(context: &Context, host: &Host, keys: &mut Keys) -> Result<()> {
    if !host.signing_key.exists() {
        keyfiles::make_signing_key(&host.signing_key, host.writer.as_str(), &context.entropy)?;
        keys.made.push((host.signing_key.clone(), "signs what this host stores; stays on this host"));
    }
    if !host.card_identity.exists() {
        keyfiles::make_identity(&host.card_identity, &format!("card identity of writer {}", host.writer))?;
        keys.made.push((host.card_identity.clone(), "lets this host deduplicate; stays on this host"));
    }
    Ok(())
}

pub(super) fn officer_name(args: &Args) -> Result<Label> {
    if let Some(name) = &args.officer {
        return Ok(name.clone());
    }
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    user.to_lowercase().parse().map_err(|_| {
        Failure::usage("the officer has no name")
            .next("give one with --officer NAME, such as --officer alice")
    })
}

pub(super) fn officer_file(args: &Args, keys: &Keys) -> Result<PathBuf> {
    match &keys.officer_given {
        Some(given) => Ok(given.clone()),
        None => Ok(keys.directory.join(format!("officer-{}", officer_name(args)?))),
    }
}

pub(super) fn officer_key(
    context: &Context,
    args: &Args,
    name: &Label,
    keys: &mut Keys,
) -> Result<SigningKey> {
    let path = officer_file(args, keys)?;
    keys.officer_file = Some(path.clone());
    if keys.officer_given.is_some() || path.exists() {
        return keyfiles::read_signing_key(&path, "officer's signing key");
    }
    let key = keyfiles::make_signing_key(&path, name.as_str(), &context.entropy)?;
    keys.made.push((path, "the officer's: enrols and revokes writers; to the safe"));
    Ok(key)
}

pub(super) fn recovery_file(keys: &Keys, region: &Region) -> PathBuf {
    match keys.dated {
        // None may take the name of the one before, which lies in a safe and opens what is left of the lost repository.
        Some(at) => {
            let day = at.rfc3339().get(..10).unwrap_or_default().replace('-', "");
            keys.directory.join(format!("recovery-{}-{day}.txt", region.name))
        }
        None => keys.directory.join(format!("recovery-{}.txt", region.name)),
    }
}

/// Who can open the repository, and the file where that can be proven here.
pub(super) fn recovery(
    context: &Context,
    args: &Args,
    region: &Region,
    name: &Label,
    keys: &mut Keys,
) -> Result<(Named, Option<PathBuf>)> {
    if !args.recovery_recipient.is_empty() {
        return Ok((numbered(name, args.recovery_recipient.iter().cloned()), None));
    }
    if let Some(given) = args.identities.files(context).first() {
        let mut identities = Vec::new();
        for file in args.identities.files(context) {
            identities.extend(keyfiles::read_identities(file, "recovery identity")?);
        }
        return Ok((numbered(name, identities.iter().map(Identity::recipient)), Some(given.clone())));
    }
    let path = recovery_file(keys, region);
    if path.exists() {
        let identities = keyfiles::read_identities(&path, "recovery identity")?;
        return Ok((numbered(name, identities.iter().map(Identity::recipient)), Some(path)));
    }
    let comment =
        format!("recovery identity of region {}: opens every backup there; keep it in a safe", region.name);
    let identity = keyfiles::make_identity(&path, &comment)?;
    keys.made.push((path.clone(), "opens every backup of its region; to the safe, not on this host"));
    Ok((numbered(name, std::iter::once(identity.recipient())), Some(path)))
}

/// `alice`, `alice-2`, …
fn numbered(name: &Label, recipients: impl Iterator<Item = Recipient>) -> Named {
    let named = |(number, recipient)| match number {
        1 => (name.to_string(), recipient),
        _ => (format!("{name}-{number}"), recipient),
    };
    (1_u32..).zip(recipients).map(named).collect()
}

pub(super) fn keys_directory(args: &Args, config: &Config) -> PathBuf {
    let beside = config.path.parent().unwrap_or(Path::new("")).join("keys");
    args.keys.clone().unwrap_or(beside)
}
