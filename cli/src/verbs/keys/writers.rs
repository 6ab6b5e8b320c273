//! `keys writer add`, `revoke`, `list`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::envelope::Recipient;
use lifeboat_repo::crypto::sign::{SigningKey, VerifyingKey};
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::officer::{self, NewWriter, Officer};
use serde_json::json;

use crate::codes::Code;
use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyfiles::{self, parse_recipient};
use crate::render::{Cell, Column, Outcome, Table, Tone};
use crate::survey::Identities;
use crate::trusted::{self, Role};
use crate::when::show_moment;

/// What an officer needs to act.
#[derive(clap::Args)]
pub(crate) struct OfficerArgs {
    /// The officer's signing key
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) identities: Identities,
}

impl OfficerArgs {
    /// The file named on the command line.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.officer_key.as_deref()
    }

    /// Reads the officer's signing key.
    pub(crate) fn key(&self, context: &Context) -> Result<SigningKey> {
        let path =
            self.officer_key.as_ref().or(context.environment.officer_key.as_ref()).ok_or_else(|| {
                Failure::usage("this needs an officer's signing key, and none was given")
                    .code(Code::NoOfficerKey)
                    .next("give --officer-key FILE (or LIFEBOAT_OFFICER_KEY)")
            })?;
        keyfiles::read_signing_key(path, "officer's signing key")
    }
}

#[derive(clap::Args)]
pub(crate) struct Add {
    /// The writer's name; a name is never used twice
    name: Label,
    /// What it may back up; may be given several times
    #[arg(long = "component", value_name = "COMPONENT", required = true)]
    components: Vec<Label>,
    /// The writer's public key: its .pub file, or the line in it [default: this host's]
    #[arg(long, value_name = "FILE|KEY", requires = "card")]
    signing_key_file: Option<String>,
    /// The writer's card recipient [default: this host's]
    #[arg(long, value_name = "age1…", value_parser = parse_recipient, requires = "signing_key_file")]
    card: Option<Recipient>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
pub(crate) struct Revoke {
    /// The writer's name
    name: Label,
    /// Only in these regions [default: wherever it is enrolled]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
}

pub(crate) fn add(context: &Context, args: &Add) -> Result<Outcome> {
    let config = context.config()?;
    let (signing, card) = public_keys(context, &config, args)?;
    let mut by_region: BTreeMap<Label, Vec<Label>> = BTreeMap::new();
    for name in &args.components {
        let component = config.component(name).map_err(|mut failure| {
            let section = format!("[components.{name}]");
            failure.next = Some(format!(
                "copy {section} from the new host's lifeboat.toml: it says in which region that is"
            ));
            failure
        })?;
        by_region.entry(component.region.clone()).or_default().push(name.clone());
    }
    let mut page = context.page();
    if args.dry_run {
        page.raw("Nothing is done; this would be:");
    }
    let key = args.officer.key(context)?;
    for (region, components) in &by_region {
        let region = config.region(region)?;
        let repository = context.open(region)?;
        let name = trusted::officer_of(&repository, &key)?;
        let new = NewWriter {
            name: args.name.clone(),
            signing,
            card: card.clone(),
            components: components.clone(),
        };
        if !args.dry_run {
            let recovery = context.recover(&repository, args.officer.identities.files(context))?;
            officer::add_writer(&recovery, &Officer { name, signing: &key }, &new, &context.clock)
                .map_err(|error| Failure::from(error).at(repository_place(region)))?;
        }
        let names: Vec<&str> = components.iter().map(Label::as_str).collect();
        page.item(
            "-",
            &format!("writer {} is enrolled in {} for {}", args.name, region.name, names.join(", ")),
        );
    }
    page.item("-", &format!("its key is {}", signing.fingerprint()));
    let value = json!({ "writer": args.name, "fingerprint": signing.fingerprint(), "regions": by_region,
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
        _ => Err(Failure::usage(format!("the keys of writer {} are not known here", args.name)).next(
            "on that host run `lifeboat keys writer new`; it prints the line with --signing-key-file and --card",
        )),
    }
}

pub(crate) fn revoke(context: &Context, args: &Revoke, role: Role) -> Result<Outcome> {
    let config = context.config()?;
    let key = args.officer.key(context)?;
    let mut page = context.page();
    let mut values = Vec::new();
    for region in context.regions(&config, &args.region)? {
        let repository = context.open(region)?;
        let known = trusted::writers(&repository).into_iter().find(|writer| writer.name == args.name);
        if known.is_none_or(|known| known.role != role) {
            continue;
        }
        let name = trusted::officer_of(&repository, &key)?;
        if args.dry_run {
            page.item("-", &format!("would revoke {} {} in {}", role.word(), args.name, region.name));
            values.push(json!({ "region": region.name }));
            continue;
        }
        let recovery = context.recover(&repository, args.officer.identities.files(context))?;
        let cutoff =
            officer::revoke_writer(&recovery, &Officer { name, signing: &key }, &args.name, &context.clock)
                .map_err(|error| Failure::from(error).at(repository_place(region)))?;
        let until = cutoff.map_or_else(
            || "nothing it ever stored counts".to_owned(),
            |head| format!("its snapshots up to ledger entry {} still count", head.0.0),
        );
        page.item("-", &format!("{} {} is revoked in {}; {until}", role.word(), args.name, region.name));
        values.push(json!({ "region": region.name, "cutoff": cutoff }));
    }
    if values.is_empty() {
        return Err(Failure::new(Exit::Refused, format!("no region has a {} {}", role.word(), args.name))
            .code(Code::NoWriter)
            .next(format!("`lifeboat keys {} list` shows those there are", role.word())));
    }
    page.paragraph(
        2,
        "If its host was broken into: whoever was there could read names and sizes of what this \
                       repository holds (the catalog), never a tenant's data.",
    );
    let value = json!({ role.word(): args.name, "regions": values, "dry_run": args.dry_run });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}

pub(crate) fn list(context: &Context, args: &List, role: Role) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    let regions = context.regions(&config, &args.region)?;
    let reached = each(regions, &mut page, |region, page| {
        let repository = context.open(region)?;
        page.heading(&region.name.to_string());
        let mut columns = vec![Column::Left(role.word()), Column::Left("since"), Column::Left("standing")];
        if role == Role::Writer {
            columns.push(Column::Left("components"));
        }
        let mut table = Table::new(&columns);
        for writer in trusted::writers(&repository).into_iter().filter(|writer| writer.role == role) {
            let standing = match writer.until {
                None => Cell::toned(Tone::Good, "enrolled"),
                Some(_) => Cell::toned(Tone::Warn, "revoked"),
            };
            let components: Vec<&str> = writer.components.iter().map(Label::as_str).collect();
            let since = writer.from.map(show_moment).unwrap_or_default();
            let mut row = vec![Cell::from(writer.name.to_string()), since.into(), standing];
            if role == Role::Writer {
                row.push(components.join(", ").into());
            }
            table.row(row);
            values.push(value_of(region, &writer));
        }
        if table.is_empty() {
            page.raw("  nobody");
        } else {
            page.table(&table);
        }
        Ok(Exit::Ok)
    })?;
    let key = format!("{}s", role.word());
    let value = json!({ key: values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn value_of(region: &Region, writer: &trusted::Writer) -> serde_json::Value {
    json!({
        "region": region.name, writer.role.word(): writer.name, "components": writer.components,
        "key": writer.key.to_string(), "fingerprint": writer.key.fingerprint(),
        "since": writer.from.map(|at| at.rfc3339()), "revoked": writer.until.map(|at| at.rfc3339()),
    })
}
