//! `init`: the first steps, from nothing to a repository that a backup can go to.
//!
//! Every step looks first and never overwrites, so an interrupted or repeated `init` goes on where it was.

use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::envelope::Recipient;
use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::{Label, RepositoryId};
use lifeboat_repo::repository::officer::{self, NewRepository, NewWriter, Officer};
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::template::TEMPLATE;
use crate::config::{Config, FILE, PinnedOfficer, Region, edit};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};
use crate::keyfiles::{self, parse_recipient};
use crate::render::{Outcome, Page, Tone};
use crate::trusted;
use keys::{
    Keys, Named, host_keys, keys_directory, officer_file, officer_key, officer_name, recovery, recovery_file,
};

mod keys;
mod page;
mod store;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only these regions [default: all of the configuration]
    #[arg(value_name = "REGION")]
    pub(crate) regions: Vec<Label>,
    /// Where keys are made that are not given [default: keys, beside lifeboat.toml]
    #[arg(long, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// The officer's name [default: $USER]
    #[arg(long, value_name = "NAME")]
    pub(crate) officer: Option<Label>,
    /// The officer's signing key, as `ssh-keygen -t ed25519` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) officer_key: Option<PathBuf>,
    /// Who may recover: an age recipient; may be given several times. Without, an identity is made
    #[arg(long, value_name = "age1…", value_parser = parse_recipient)]
    pub(crate) recovery_recipient: Vec<Recipient>,
    /// Make a new repository where one was made before and is gone for good
    #[arg(long)]
    pub(crate) anew: bool,
    /// Only say what would be made
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) identities: crate::survey::Identities,
}

/// What `init` did in one region.
pub(super) struct Done {
    pub(super) region: Label,
    pub(super) repository: RepositoryId,
    pub(super) place: String,
    pub(super) created: bool,
    pub(super) officer: Option<PinnedOfficer>,
    pub(super) recovery_file: Option<PathBuf>,
    pub(super) enrolled: Enrolled,
}

/// Whether this host may write.
pub(super) enum Enrolled {
    /// It was enrolled now.
    Now(Vec<Label>),
    /// It was before.
    Already,
    /// It could not be; the text says what to do.
    NotYet(String),
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let path = context.config_file();
    if !path.exists() {
        return if args.dry_run {
            Ok(page::would_write(context, &path))
        } else {
            write_template(context, args, &path)
        };
    }
    let config = context.config()?;
    let regions: Vec<Region> = context.regions(&config, &args.regions)?.into_iter().cloned().collect();
    let officer_given = args.officer_key.clone().or_else(|| context.environment.officer_key.clone());
    let mut keys = Keys { directory: keys_directory(args, &config), officer_given, ..Keys::default() };
    if args.anew {
        keys.dated = Some(context.now());
    }
    if args.dry_run {
        let planned = plan(context, args, &config, &regions, &keys)?;
        return Ok(page::would_make(context, &planned));
    }
    let mut done = Vec::new();
    for region in &regions {
        done.push(one(context, args, region, &mut keys)?);
    }
    if keys.officer_file.is_none() {
        // Not needed now, but it must not stay either.
        keys.officer_file = officer_file(args, &keys).ok().filter(|file| file.exists());
    }
    let page = page::render(context, &config, &keys, &done);
    let value = json!({
        "config": shown(&config.path), "keys": shown(&keys.directory),
        "keys_made": keys.made.iter().map(|(path, _)| shown(path)).collect::<Vec<_>>(),
        "regions": done.iter().map(value_of).collect::<Vec<_>>(),
    });
    Ok(Outcome { exit: Exit::Ok, value, page })
}

/// What would be made that is not there: a line each.
fn plan(
    context: &Context,
    args: &Args,
    config: &Config,
    regions: &[Region],
    keys: &Keys,
) -> Result<Vec<String>> {
    let mut planned = Vec::new();
    let mut file = |path: &Path, what: &str| {
        if !path.exists() {
            planned.push(format!("{what} in {}", shown(path)));
        }
    };
    if let Some(host) = &config.host {
        file(&host.signing_key, "the signing key of this host");
        file(&host.card_identity, "the card identity of this host");
    }
    let mut new = Vec::new();
    for region in regions {
        if !store::exists(region)? {
            new.push(region);
        }
    }
    if !new.is_empty() {
        file(&officer_file(args, keys)?, "the officer's signing key");
    }
    for region in &new {
        refuse_second(args, region)?;
        if args.recovery_recipient.is_empty() && args.identities.files(context).is_empty() {
            file(&recovery_file(keys, region), "a recovery identity");
        }
    }
    planned.extend(new.into_iter().map(|region| {
        format!("the repository of {}, its officer pinned in {FILE}, in {}", region.name, region.repository)
    }));
    Ok(planned)
}

fn write_template(context: &Context, args: &Args, path: &Path) -> Result<Outcome> {
    use std::io::Write;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    written.map_err(|error| Failure::file("write the configuration", path, &error))?;
    let mut page: Page = context.page();
    page.raw(&format!("Wrote {} with every field explained.", shown(path)));
    page.item("→", "edit it: regions, components, where their data lies");
    let (officer, whose) = match &args.officer {
        Some(name) => (name.as_str(), ""),
        None => ("NAME", "; NAME is yours, who enrols hosts"),
    };
    page.item(
        "→",
        &format!("then `lifeboat init --officer {officer}`: it makes keys and repositories{whose}"),
    );
    let value = json!({ "config": shown(path), "written": true, "regions": [] });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}

fn one(context: &Context, args: &Args, region: &Region, keys: &mut Keys) -> Result<Done> {
    // Read anew for each region: pinning changes it.
    let config = context.config()?;
    if let Some(host) = &config.host {
        host_keys(context, host, keys)?;
    }
    let place = repository_place(region);
    let exists = store::exists(region)?;
    if exists && !region.officers.is_empty() {
        let repository = context.open(region)?;
        let id = repository.id();
        let enrolled = enrol(context, args, &config, region, keys)?;
        let recovery_file = Some(recovery_file(keys, region)).filter(|file| file.exists());
        let (created, officer) = (false, region.officers.first().cloned());
        return Ok(Done {
            region: region.name.clone(),
            repository: id,
            place,
            created,
            officer,
            recovery_file,
            enrolled,
        });
    }
    if exists {
        return Err(Failure::new(
            Exit::Refused,
            "there is a repository already, and no officer of it is pinned",
        )
        .at(place)
        .next(
            "if it is yours, pin its officer's public key in lifeboat.toml (it is on the paper in the safe)",
        ));
    }
    refuse_second(args, region)?;
    let name = officer_name(args)?;
    let signing = officer_key(context, args, &name, keys)?;
    let pinned = PinnedOfficer { key: signing.public(), name: name.to_string() };
    if !region.officers.is_empty() && !region.officers.iter().any(|known| known.key == pinned.key) {
        return Err(Failure::new(Exit::Refused, "the officer's key is none of those pinned for this region")
            .code(Code::NotAnOfficer)
            .at(format!("region {}, {}", region.name, pinned.key.fingerprint()))
            .next("give the key of a pinned officer with --officer-key FILE"));
    }
    let edited = pin_text(&config, region, &pinned)?;
    let (recovery, recovery_file) = recovery(context, args, region, &name, keys)?;
    let id = create(context, region, &name, &signing, recovery)?;
    if let Some(text) = edited {
        write_config(&config.path, &text)?;
    }
    let config = context.config()?;
    let region = config.region(&region.name)?;
    let enrolled = enrol(context, args, &config, region, keys)?;
    Ok(Done {
        region: region.name.clone(),
        repository: id,
        place,
        created: true,
        officer: Some(pinned),
        recovery_file,
        enrolled,
    })
}

/// Refuses to make a repository where one was made before: its officer is pinned. It is more likely out of reach than gone,
/// and a new one with new keys in its place is what makes the old keys look like rubbish.
fn refuse_second(args: &Args, region: &Region) -> Result<()> {
    let Some(officer) = region.officers.first().filter(|_| !args.anew) else { return Ok(()) };
    Err(Failure::new(
        Exit::Refused,
        format!(
            "the repository of region {} is not there, and there was one: its officer {} is pinned in {FILE}",
            region.name, officer.name
        ),
    )
    .code(Code::NoRepository)
    .at(repository_place(region))
    .next(
        "check the address and that its disk is mounted, or restore from the replica with --replica; if it is gone for \
         good, --anew makes another one beside the keys of the old: keep these as long as a replica or a bundle may exist",
    ))
}

/// The configuration with the officer pinned, if that is a change; computed before anything is made.
fn pin_text(config: &Config, region: &Region, officer: &PinnedOfficer) -> Result<Option<String>> {
    if region.officers.iter().any(|known| known.key == officer.key) {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&config.path)
        .map_err(|error| Failure::file("read the configuration", &config.path, &error))?;
    edit::pin(config, &text, &region.name, officer).map(Some)
}

/// Replaces the file at once or not at all, keeping its permissions.
fn write_config(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let directory =
        path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed =
        |error: std::io::Error| Failure::file(&format!("pin the officer's key in {FILE}"), path, &error);
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let permissions = std::fs::metadata(path).map_err(failed)?.permissions();
    file.as_file().set_permissions(permissions).map_err(failed)?;
    file.persist(path).map(|_| ()).map_err(|error| failed(error.error))
}

fn create(
    context: &Context,
    region: &Region,
    name: &Label,
    signing: &SigningKey,
    recovery: Named,
) -> Result<RepositoryId> {
    let store = store::make(context, region)?;
    let officer = Officer { name: name.clone(), signing };
    let new =
        NewRepository { region: region.name.clone(), jurisdiction: region.jurisdiction.clone(), recovery };
    officer::create(store.as_ref(), &officer, &new, &context.clock, &context.entropy)
        .map_err(|error| Failure::from(error).at(repository_place(region)))
}

/// Enrols this host for its components in a region, if the keys at hand allow it.
fn enrol(
    context: &Context,
    args: &Args,
    config: &Config,
    region: &Region,
    keys: &mut Keys,
) -> Result<Enrolled> {
    let Some(host) = &config.host else {
        return Ok(Enrolled::NotYet("this configuration has no [host]".into()));
    };
    let components: Vec<Label> =
        config.components_of(&region.name).map(|component| component.name.clone()).collect();
    let credentials = context.credentials(host)?;
    let repository = context.open(region)?;
    let writer = trusted::writers(&repository).into_iter().find(|writer| writer.name == host.writer);
    let bound = |label: &Label| writer.as_ref().is_some_and(|writer| writer.components.contains(label));
    if writer.as_ref().is_some_and(|writer| writer.key == credentials.signing.public())
        && components.iter().all(bound)
    {
        return Ok(Enrolled::Already);
    }
    if components.is_empty() {
        return Ok(Enrolled::NotYet("no component names this region".into()));
    }
    let mut files = args.identities.files(context).to_vec();
    files.extend(Some(recovery_file(keys, region)).filter(|file| file.exists()));
    let officer_path = officer_file(args, keys).ok().filter(|path| path.exists());
    let Some(officer_path) = officer_path.filter(|_| !files.is_empty()) else {
        let list = components.iter().map(|name| format!(" --component {name}")).collect::<String>();
        return Ok(Enrolled::NotYet(format!(
            "an officer runs: lifeboat keys writer add {}{list}",
            host.writer
        )));
    };
    let signing = keyfiles::read_signing_key(&officer_path, "officer's signing key")?;
    let name = trusted::officer_of(&repository, &signing)?;
    let recovery = context.recover(&repository, &files)?;
    let new = NewWriter {
        name: host.writer.clone(),
        signing: credentials.signing.public(),
        card: credentials.card.recipient(),
        components: components.clone(),
    };
    officer::add_writer(&recovery, &Officer { name, signing: &signing }, &new, &context.clock)
        .map_err(|error| Failure::from(error).at(repository_place(region)))?;
    Ok(Enrolled::Now(components))
}

fn value_of(done: &Done) -> Value {
    json!({
        "region": done.region, "repository": done.repository, "created": done.created,
        "officer": done.officer.as_ref().map(|officer| json!({ "name": officer.name,
            "fingerprint": officer.key.fingerprint(), "key": officer.key.to_string() })),
        "recovery_identity": done.recovery_file.as_ref().map(|file| shown(file)),
        "enrolled": matches!(done.enrolled, Enrolled::Now(_) | Enrolled::Already),
    })
}

/// The tone of an enrolment.
pub(super) const fn tone(enrolled: &Enrolled) -> Tone {
    match enrolled {
        Enrolled::NotYet(_) => Tone::Warn,
        _ => Tone::Good,
    }
}
