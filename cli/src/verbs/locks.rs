//! `locks`: how long what backups consist of is locked, and extending that.

use std::collections::BTreeMap;

use lifeboat_repo::repository::locks::{self, Held};
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::s3::Keys;
use lifeboat_repo::units::{LockClass, LockTerms, Timestamp};
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::{Config, Place, Region};
use crate::context::{Context, open_store, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Result, tame};
use crate::render::{Column, Outcome, Page, Table, Tone};
use crate::survey::Identities;
use crate::when::{count_of, show_count, show_moment, show_objective};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    region: Vec<lifeboat_repo::ids::Label>,
    /// Extend locks of which less than the floor is left, and record how far; as a maintainer, with `lock_profile`
    #[arg(long)]
    extend: bool,
    /// With --extend: only say what would be extended
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    identities: Identities,
}

/// What was found and done in a region.
struct Done<'c> {
    region: &'c Region,
    /// How long is locked what is put; none where nothing is.
    terms: Option<LockTerms>,
    kinds: BTreeMap<String, Kind>,
    extended: u64,
    failed: Vec<String>,
    record: Option<String>,
}

/// What is known of a kind of object.
#[derive(Default)]
struct Kind {
    objects: u64,
    earliest: Option<Timestamp>,
    due: u64,
    unlocked: u64,
}

impl Done<'_> {
    fn sum(&self, count: impl Fn(&Kind) -> u64) -> u64 {
        self.kinds.values().map(count).sum()
    }

    fn exit(&self, extend: bool) -> Exit {
        if !self.failed.is_empty() {
            Exit::Partly
        } else if !extend && self.sum(|kind| kind.unlocked) > 0 {
            Exit::Missed
        } else {
            Exit::Ok
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    let regions = context.regions(&config, &args.region)?;
    let reached = each(regions, &mut page, |region, page| {
        let done =
            work(context, &config, region, args).map_err(|failure| failure.at(repository_place(region)))?;
        render(page, &done, args);
        values.push(value(&done));
        Ok(done.exit(args.extend))
    })?;
    let value = json!({ "dry_run": args.dry_run, "extend": args.extend, "regions": values,
                        "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn work<'c>(context: &Context, config: &Config, region: &'c Region, args: &Args) -> Result<Done<'c>> {
    let repository = context.open(region)?;
    let terms = repository.store().lock_terms(LockClass::Normal);
    let (kinds, failed) = (BTreeMap::new(), Vec::new());
    let mut done = Done { region, terms, kinds, extended: 0, failed, record: None };
    let Some(terms) = terms else { return Ok(done) };
    let reader = context.reader(config, &repository, args.identities.files(context))?;
    let survey = locks::survey(&repository, reader.catalog())?;
    let now = repository.store().now()?;
    // Of these packs no lock is extended, for nobody knows whether it should be; of all others it is.
    done.failed.extend(survey.unreadable.iter().cloned());
    for held in &survey.held {
        note(&mut done.kinds, held, terms, now);
    }
    let plan = locks::extension(&survey, terms, now);
    if !args.extend || args.dry_run {
        done.extended = plan.objects.len() as u64;
        return Ok(done);
    }
    let store = store_of_locks(region)?;
    for name in &plan.objects {
        match locks::extend(store.as_ref(), name, plan.until) {
            Ok(()) => done.extended += 1,
            Err(error) => done.failed.push(error.to_string()),
        }
    }
    // Nothing is stated of what did not come about.
    if let Some(stated) = plan.stated.filter(|_| done.failed.is_empty()) {
        done.record = Some(put(context, config, &repository, stated)?);
    }
    Ok(done)
}

fn note(kinds: &mut BTreeMap<String, Kind>, held: &Held, terms: LockTerms, now: Timestamp) {
    let kind = kinds.entry(held.name.parts().next().unwrap_or_default().to_owned()).or_default();
    kind.objects += 1;
    match held.until.filter(|until| *until > now) {
        None => kind.unlocked += 1,
        Some(until) => {
            kind.earliest = Some(kind.earliest.map_or(until, |earliest| earliest.min(until)));
            kind.due += u64::from(until < now.plus(terms.floor));
        }
    }
}

/// The store as whoever extends locks reaches it: with credentials of its own, where there are such.
fn store_of_locks(region: &Region) -> Result<std::sync::Arc<dyn Store>> {
    let mut region = region.clone();
    if let Place::Bucket(settings) = &mut region.repository
        && let Some(profile) = settings.lock_profile.take()
    {
        settings.keys = Keys::Chain { profile: Some(profile) };
    }
    open_store(&region)
}

fn put(
    context: &Context,
    config: &Config,
    repository: &Repository,
    stated: lifeboat_repo::format::records::Locked,
) -> Result<String> {
    let credentials = context.credentials(config.host()?)?;
    let maintainer = Maintainer::open(repository, credentials.into(), &context.clock, &context.entropy)?;
    let seq = maintainer.put_gc(&GcDraft { locked: Some(stated), ..GcDraft::default() })?;
    Ok(lifeboat_repo::format::names::gc(seq).map_err(RepositoryError::from)?.to_string())
}

fn render(page: &mut Page, done: &Done<'_>, args: &Args) {
    page.heading(&format!("locks in {}", done.region.name));
    let Some(terms) = done.terms else {
        page.field("locks", "none are configured: whoever may delete can delete everything");
        return;
    };
    let (period, floor) = (show_objective(terms.period), show_objective(terms.floor));
    page.field("locked for", &format!("{period}; extended below {floor}"));
    let mut table = Table::new(&[
        Column::Left("objects"),
        Column::Right("number"),
        Column::Right("first ends"),
        Column::Right("end soon"),
        Column::Right("not locked"),
    ]);
    for (name, kind) in &done.kinds {
        let earliest = kind.earliest.map_or_else(|| "-".to_owned(), show_moment);
        table.row([
            name.as_str().into(),
            show_count(kind.objects).into(),
            earliest.into(),
            show_count(kind.due).into(),
            show_count(kind.unlocked).into(),
        ]);
    }
    page.table(&table);
    let objects = count_of(done.extended, "object", "objects");
    match (args.extend, args.dry_run) {
        (true, true) => page.field("extend", &format!("{objects} would be; nothing was done")),
        (true, false) => page.field("extended", &objects),
        (false, _) => page.field("to extend", &format!("{objects}; `lifeboat locks --extend` does it")),
    };
    if let Some(record) = &done.record {
        page.field("recorded", record);
    }
    for error in &done.failed {
        page.marked("failed", Tone::Bad, &tame(error));
    }
    if done.exit(args.extend) == Exit::Missed {
        page.marked("unlocked", Tone::Bad, &format!("some objects are not locked ({})", Code::Missed));
    }
}

fn value(done: &Done<'_>) -> Value {
    let kinds = done.kinds.iter().map(|(name, kind)| {
        json!({ "kind": name, "objects": kind.objects, "earliest": kind.earliest.map(Timestamp::rfc3339),
                "due": kind.due, "unlocked": kind.unlocked })
    });
    let failed = done.failed.iter().map(|error| tame(error));
    json!({ "region": done.region.name, "period_seconds": done.terms.map(|terms| terms.period.as_secs()),
            "floor_seconds": done.terms.map(|terms| terms.floor.as_secs()), "kinds": kinds.collect::<Vec<_>>(),
            "extended": done.extended, "record": done.record, "failed": failed.collect::<Vec<_>>() })
}
