//! `keys officer add`.

use lifeboat_repo::crypto::envelope::Recipient;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::officer::{self, Officer};
use serde_json::json;

use super::writers::OfficerArgs;
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyfiles::{self, parse_recipient};
use crate::render::Outcome;
use crate::trusted;

#[derive(clap::Args)]
pub(crate) struct Add {
    /// The new officer's name
    name: Label,
    /// The new officer's public signing key: a .pub file, or the line in it
    #[arg(long, value_name = "FILE|KEY")]
    signing_key_file: String,
    /// The new officer's recovery recipient
    #[arg(long, value_name = "age1…", value_parser = parse_recipient)]
    recovery_recipient: Recipient,
    /// Only these regions [default: all]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn add(context: &Context, args: &Add) -> Result<Outcome> {
    let config = context.config()?;
    let key = args.officer.key(context)?;
    let public = keyfiles::read_public_key(&args.signing_key_file)?;
    let mut page = context.page();
    let mut regions = Vec::new();
    for region in context.regions(&config, &args.region)? {
        let repository = context.open(region)?;
        let name = trusted::officer_of(&repository, &key)?;
        if !args.dry_run {
            let recovery = context.recover(&repository, args.officer.identities.files(context))?;
            let acting = Officer { name, signing: &key };
            officer::add_officer(
                &recovery,
                &acting,
                &args.name,
                public,
                &args.recovery_recipient,
                &context.clock,
            )
            .map_err(|error| Failure::from(error).at(repository_place(region)))?;
        }
        let verb = if args.dry_run { "would be" } else { "is" };
        page.item(
            "-",
            &format!("{} {verb} an officer of {} and may recover from it", args.name, region.name),
        );
        regions.push(region.name.clone());
    }
    page.item("-", &format!("the key is {}", public.fingerprint()));
    page.item(
        "→",
        "print a new paper with `lifeboat keys paper` and let the new officer run `lifeboat keys check`",
    );
    let value = json!({ "officer": args.name, "fingerprint": public.fingerprint(), "regions": regions,
                        "dry_run": args.dry_run });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}
