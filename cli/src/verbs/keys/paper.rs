//! `keys paper`: what belongs in a safe, to be printed. Whoever holds this page and the recovery identity can
//! restore, with Lifeboat or without it.

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use serde_json::{Value, json};

use crate::config::{Config, Region};
use crate::context::Context;
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Result, shown, tame};
use crate::keyfiles;
use crate::render::{Outcome, Page};
use crate::survey::Identities;
use crate::trusted;
use crate::when::show_moment;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    /// Print the recovery identities themselves too: whoever reads the page can then read every backup
    #[arg(long)]
    with_secret: bool,
    #[command(flatten)]
    identities: Identities,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    page.raw("LIFEBOAT: HOW TO GET EVERYTHING BACK");
    page.raw(&format!(
        "printed {}; print anew when officers or repositories change",
        show_moment(context.now())
    ));
    let mut regions = Vec::new();
    let reached = each(context.regions(&config, &args.region)?, &mut page, |region, page| {
        let repository = context.open(region)?;
        let recipients = recipients(context, &repository, args)?;
        render_region(page, region, &repository);
        render_recipients(page, recipients.as_deref());
        let mut value = region_value(region, &repository);
        if let Some(value) = value.as_object_mut() {
            value.insert("recovery".into(), recipients.into());
        }
        regions.push(value);
        Ok(Exit::Ok)
    })?;
    let identities = render_identities(context, &mut page, args)?;
    render_steps(&mut page, &config, context.regions(&config, &args.region)?.first().copied());
    let value = json!({ "regions": regions, "identities": identities, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn render_region(page: &mut Page, region: &Region, repository: &Repository) {
    page.heading(&format!("Region {} ({})", region.name, region.jurisdiction));
    page.field("repository", &repository.id().to_string());
    page.field("where", &region.repository.whole());
    for (name, key) in trusted::officers(repository) {
        page.field("officer", &format!("{name}, {}", key.fingerprint()));
        page.raw(&format!("    {key} {name}"));
    }
    for pinned in &region.officers {
        let known = trusted::officers(repository).iter().any(|(_, key)| *key == pinned.key);
        if !known {
            page.field(
                "pinned",
                &format!("{}, {} (no longer an officer)", pinned.name, pinned.key.fingerprint()),
            );
        }
    }
}

/// Everybody whose recovery identity opens the repository, as name and recipient; nothing where no identity at hand
/// opens the list, which is stored for them alone.
fn recipients(context: &Context, repository: &Repository, args: &Args) -> Result<Option<Vec<Value>>> {
    let files = args.identities.files(context);
    if files.is_empty() {
        return Ok(None);
    }
    match context.recover(repository, files) {
        Ok(recovery) => Ok(Some(
            recovery
                .recipients()
                .map(|(name, recipient)| json!({ "name": tame(name), "recipient": tame(recipient) }))
                .collect(),
        )),
        // Of another region.
        Err(failure) if failure.exit == Exit::Refused => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn render_recipients(page: &mut Page, recipients: Option<&[Value]>) {
    let Some(recipients) = recipients else {
        page.field(
            "opened by",
            "not known here: only a recovery identity of this region opens the list (--identity)",
        );
        return;
    };
    for one in recipients {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        page.field("opened by", &format!("{}, {}", text("name"), text("recipient")));
    }
}

fn region_value(region: &Region, repository: &Repository) -> Value {
    let officers = trusted::officers(repository);
    json!({
        "region": region.name, "jurisdiction": region.jurisdiction, "repository": repository.id(),
        "where": region.repository.to_string(),
        "officers": officers.iter().map(|(name, key)| {
            json!({ "name": name, "key": key.to_string(), "fingerprint": key.fingerprint() })
        }).collect::<Vec<_>>(),
    })
}

fn render_identities(context: &Context, page: &mut Page, args: &Args) -> Result<Vec<Value>> {
    page.heading("Recovery identity (opens every backup; keep it apart from the officers' keys)");
    let mut values = Vec::new();
    for file in args.identities.files(context) {
        for identity in keyfiles::read_identities(file, "recovery identity")? {
            let recipient = identity.recipient().to_string();
            page.field("public", &recipient);
            page.field("file", &shown(file));
            let secret = args.with_secret.then(|| identity.to_secret_string());
            if let Some(secret) = &secret {
                page.field("SECRET", secret);
            }
            values.push(json!({ "recipient": recipient, "file": shown(file),
                                "secret": secret.as_ref().map(|secret| secret.as_str()) }));
        }
    }
    if values.is_empty() {
        page.paragraph(
            2,
            "Not read for this page (give --identity FILE to have its public half printed here). Write \
                           by hand where its two copies lie:",
        );
    }
    page.gap();
    page.raw("  copy 1: ____________________________   copy 2: ____________________________");
    Ok(values)
}

fn render_steps(page: &mut Page, config: &Config, region: Option<&Region>) {
    let component = region.and_then(|region| config.components_of(&region.name).next());
    let component = component.map_or_else(|| "COMPONENT".to_owned(), |component| component.name.to_string());
    let place = region.map_or_else(|| "DIR".to_owned(), |region| region.repository.whole());
    page.heading("To restore with Lifeboat");
    page.item("1.", "On a clean machine put the lifeboat program, lifeboat.toml and the repository (or its replica). \
                     Without lifeboat.toml: `lifeboat init` writes one; set jurisdiction and repository, and copy the \
                     officers' lines above to officers = [\"…\"].");
    page.item(
        "2.",
        "Bring the recovery identity from the safe, into memory if you can:\n\
                     export LIFEBOAT_IDENTITY=/dev/shm/recovery.txt",
    );
    page.item("3.", "lifeboat keys check            does it open everything?");
    page.item("4.", "lifeboat snapshots             what is there?");
    page.item("5.", &format!("lifeboat restore {component} --target /restored/{component}"));
    page.item("6.", "lifeboat verify --level integrity    is everything else whole?");
    page.heading("To restore without Lifeboat");
    page.paragraph(
        2,
        "With Debian's age, zstd, jq, openssh-client and the scripts break-glass and check-signatures. \
                       Type the officers' lines above into officers.txt: believe no other copy of them.",
    );
    page.raw(&format!("  1. REPOSITORY={place}"));
    page.raw("  2. sh break-glass --repository $REPOSITORY --officer officers.txt --list");
    page.raw("  3. sh break-glass --repository $REPOSITORY --officer officers.txt \\");
    page.raw(&format!("       --identity recovery.txt --component {component} --target EMPTYDIR"));
    page.paragraph(
        2,
        "It stops at the first object that is damaged or not signed; FORMAT.md says how each is read by \
                       hand.",
    );
}
