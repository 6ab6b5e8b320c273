//! `retain`: decides which snapshots expire, says why for each, and puts a gc record. Nothing is deleted by it.
//!
//! Whose keys are in a snapshot only a recovery identity can tell. Without one, tenants with rules of their own are left
//! out, and the verb ends "partly done".
//!
//! One that nobody can read any more takes no place by any rule; it expires by its name.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_repo::ids::{KeyId, Label, ObjectName, Tenant};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::gc::Condemned;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::{Judge, Listed};
use lifeboat_repo::repository::{RepositoryError, expiry};
use lifeboat_repo::retention::{Decision, KeyDecision, KeyFate, decide, expire_keys};
use serde_json::{Value, json};

use crate::clocks::refuse_clocks_apart;
use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::render::Outcome;
use crate::survey::Asked;

mod named;
mod page;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Expire this snapshot of the component named, and nothing else, whatever the rules say; even one that cannot be read
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Option<String>,
    /// Only say what would expire
    #[arg(long)]
    dry_run: bool,
}

/// What is decided on a component.
struct Decided {
    component: Label,
    /// Whether anything may expire at all.
    ruled: bool,
    /// Newest first.
    decisions: Vec<Decision>,
    /// Of tenants with rules of their own.
    keys: Vec<(Tenant, KeyDecision)>,
}

/// What is decided in a region.
struct Plan<'c> {
    region: &'c Region,
    components: Vec<Decided>,
    /// Whether tenants have rules that could not be applied.
    tenants_unknown: bool,
}

impl Decided {
    fn expired(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.expires())
    }

    fn expired_keys(&self) -> impl Iterator<Item = &KeyDecision> {
        self.keys.iter().map(|(_, key)| key).filter(|key| key.fate == KeyFate::Expired)
    }
}

impl Plan<'_> {
    fn snapshots(&self) -> Vec<ObjectName> {
        let all = self.components.iter().flat_map(Decided::expired);
        let mut names: Vec<ObjectName> = all.map(|decision| decision.name.clone()).collect();
        names.sort();
        names
    }

    fn keys(&self) -> Vec<(ObjectName, KeyId)> {
        let all = self.components.iter().flat_map(Decided::expired_keys);
        let mut keys: Vec<(ObjectName, KeyId)> = all.map(|key| (key.snapshot.clone(), key.key)).collect();
        keys.sort();
        keys
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    let regions = args.asked.regions(context, &config)?;
    let reached = each(regions, &mut page, |region, page| {
        let at = |failure: Failure| failure.at(repository_place(region));
        let repository = context.open(region)?;
        let plan = plan(context, &config, region, &repository, args).map_err(at)?;
        let record =
            if args.dry_run { None } else { put(context, &config, &repository, &plan).map_err(at)? };
        page::render(page, &plan, args.dry_run, record.as_deref());
        values.push(value(&plan, record.as_deref()));
        Ok(if plan.tenants_unknown { Exit::Partly } else { Exit::Ok })
    })?;
    let value = json!({ "dry_run": args.dry_run, "regions": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn plan<'c>(
    context: &Context,
    config: &Config,
    region: &'c Region,
    repository: &Repository,
    args: &Args,
) -> Result<Plan<'c>> {
    let now = repository.store().now()?;
    refuse_clocks_apart(context.now(), now, "a wrong clock could expire everything")?;
    let files = args.asked.identities.files(context);
    let reader = context.reader(config, repository, files)?;
    let judge = Judge::new(repository, reader.catalog())?;
    if let Some(snapshot) = &args.snapshot {
        let [component] = args.asked.components.as_slice() else {
            return Err(Failure::usage(
                "--snapshot is about one component, and there is none before it, or several",
            )
            .next("write `lifeboat retain COMPONENT --snapshot SNAPSHOT`"));
        };
        let components = vec![named::decide(&judge, config.component(component)?, snapshot)?];
        return Ok(Plan { region, components, tenants_unknown: false });
    }
    let recovery = match &reader {
        crate::context::Reader::Recovery(recovery) => Some(recovery),
        crate::context::Reader::Agent(_) => None,
    };
    let mut components = Vec::new();
    let wanted = config.components_of(&region.name).filter(|component| args.asked.wants(&component.name));
    for component in wanted {
        let listed = judge.list(Some(&component.name))?;
        let candidates = expiry::candidates(&listed, judge.condemned());
        let keep = component.treatment.keep.as_ref();
        let zone = keep.map_or(jiff::tz::TimeZone::UTC, |keep| keep.zone.clone());
        let rules = keep.map(|keep| &keep.rules);
        let decisions = decide(&candidates, rules, now, &zone);
        let keeps = recovery.map_or_else(
            || Ok(BTreeMap::new()),
            |recovery| keys_of(config, recovery, &listed, judge.condemned()),
        )?;
        let by_key = keeps.iter().map(|(key, (_, keep))| (*key, *keep)).collect();
        let minimum_age = rules.map_or(Duration::ZERO, |rules| rules.minimum_age);
        let keys = expire_keys(&decisions, &candidates, &by_key, minimum_age, now);
        let named = keys.into_iter().filter_map(|key| Some((keeps.get(&key.key)?.0.clone(), key)));
        components.push(Decided {
            component: component.name.clone(),
            ruled: keep.is_some(),
            decisions,
            keys: named.collect(),
        });
    }
    let tenants_unknown = recovery.is_none() && !config.tenants.is_empty();
    Ok(Plan { region, components, tenants_unknown })
}

/// Keys of tenants with rules of their own, in these snapshots: whose each is, and how long its data is kept. What is erased
/// or expired already nobody asks for; whose a key is that does not open, nobody can tell.
fn keys_of(
    config: &Config,
    recovery: &Recovery<'_>,
    listed: &[Listed],
    condemned: &Condemned,
) -> std::result::Result<BTreeMap<KeyId, (Tenant, Duration)>, RepositoryError> {
    let mut known = BTreeMap::new();
    if config.tenants.is_empty() {
        return Ok(known);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (one, snapshot) in listed.iter().filter_map(|one| Some((one, one.snapshot.as_ref()?))) {
        let kept = snapshot.keys.iter().filter(|share| !condemned.key(&one.name, share.key));
        for share in kept.filter(|share| seen.insert(share.key)) {
            let tenant = match recovery.unwrap_tenant_key(&snapshot.writer, share.key) {
                Ok(opened) => opened.tenant.clone(),
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            if let Some(rule) = config.tenants.iter().find(|rule| rule.tenant == tenant) {
                known.insert(share.key, (tenant, rule.keep));
            }
        }
    }
    Ok(known)
}

/// Puts the record, if anything expires; its name.
fn put(
    context: &Context,
    config: &Config,
    repository: &Repository,
    plan: &Plan<'_>,
) -> Result<Option<String>> {
    let draft = GcDraft { snapshots: plan.snapshots(), keys: plan.keys(), ..GcDraft::default() };
    if draft.snapshots.is_empty() && draft.keys.is_empty() {
        return Ok(None);
    }
    let credentials = context.credentials(config.host()?)?;
    let maintainer = Maintainer::open(repository, credentials.into(), &context.clock, &context.entropy)?;
    let seq = maintainer.put_gc(&draft)?;
    Ok(Some(lifeboat_repo::format::names::gc(seq).map_err(RepositoryError::from)?.to_string()))
}

fn value(plan: &Plan<'_>, record: Option<&str>) -> Value {
    let components = plan.components.iter().map(|decided| {
        let decisions = decided.decisions.iter().map(|decision| {
            json!({ "snapshot": decision.name, "run": decision.run, "moment": decision.moment.rfc3339(),
                    "decision": decision.word(), "why": tame(&decision.why()) })
        });
        let keys = decided.keys.iter().map(|(tenant, key)| {
            json!({ "snapshot": key.snapshot, "run": key.run, "tenant": tenant, "key": key.key,
                    "decision": if key.fate == KeyFate::Expired { "expired" } else { "kept" },
                    "why": key.to_string() })
        });
        json!({ "component": decided.component, "rules": decided.ruled,
                "expired": decided.expired().count(), "expired_keys": decided.expired_keys().count(),
                "decisions": decisions.collect::<Vec<_>>(), "keys": keys.collect::<Vec<_>>() })
    });
    json!({ "region": plan.region.name, "record": record, "tenants_unknown": plan.tenants_unknown,
            "components": components.collect::<Vec<_>>() })
}
