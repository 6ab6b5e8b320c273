//! `keys maintainer new`, `add`. Revoking and listing are those of writers.

use lifeboat_repo::crypto::envelope::Recipient;
use lifeboat_repo::crypto::sign::VerifyingKey;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::officer::{self, NewMaintainer, Officer};
use serde_json::json;

use super::new;
use super::writers::OfficerArgs;
use crate::config::Config;
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyfiles::{self, parse_recipient};
use crate::render::Outcome;
use crate::trusted;

#[derive(clap::Args)]
pub(crate) struct Add {
    /// The maintainer's name; a name is never used twice, by writers neither
    name: Label,
    /// Only in these regions [default: all]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    /// The maintainer's public key: its .pub file, or the line in it [default: this host's]
    #[arg(long, value_name = "FILE|KEY", requires = "card")]
    signing_key_file: Option<String>,
    /// The maintainer's card recipient [default: this host's]
    #[arg(long, value_name = "age1…", value_parser = parse_recipient, requires = "signing_key_file")]
    card: Option<Recipient>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Makes the keys of this host, which is to maintain.
pub(super) fn new(context: &Context) -> Result<Outcome> {
    let config = context.config()?;
    let host = config.host()?;
    new::make(context, host, &format!("maintainer add {}", host.writer), "maintainer")
}

pub(super) fn add(context: &Context, args: &Add) -> Result<Outcome> {
    let config = context.config()?;
    let (signing, card) = public_keys(context, &config, args)?;
    let mut page = context.page();
    if args.dry_run {
        page.raw("Nothing is done; this would be:");
    }
    let key = args.officer.key(context)?;
    let mut regions = Vec::new();
    for region in context.regions(&config, &args.region)? {
        let repository = context.open(region)?;
        let name = trusted::officer_of(&repository, &key)?;
        let new = NewMaintainer { name: args.name.clone(), signing, card: card.clone() };
        if !args.dry_run {
            let recovery = context.recover(&repository, args.officer.identities.files(context))?;
            officer::add_maintainer(&recovery, &Officer { name, signing: &key }, &new, &context.clock)
                .map_err(|error| Failure::from(error).at(repository_place(region)))?;
        }
        page.item("-", &format!("maintainer {} is enrolled in {}", args.name, region.name));
        regions.push(&region.name);
    }
    page.item("-", &format!("its key is {}", signing.fingerprint()));
    let value = json!({ "maintainer": args.name, "fingerprint": signing.fingerprint(), "regions": regions,
                        "dry_run": args.dry_run });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}

fn public_keys(context: &Context, config: &Config, args: &Add) -> Result<(VerifyingKey, Recipient)> {
    if let (Some(signing), Some(card)) = (&args.signing_key_file, &args.card) {
        return Ok((keyfiles::read_public_key(signing)?, card.clone()));
    }
    match &config.host {
        Some(host) if host.writer == args.name => {
            let credentials = context.credentials(host)?;
            Ok((credentials.signing.public(), credentials.card.recipient()))
        }
        _ => Err(Failure::usage(format!("the keys of maintainer {} are not known here", args.name)).next(
            "on that host run `lifeboat keys maintainer new`; it prints the line with --signing-key-file and --card",
        )),
    }
}
