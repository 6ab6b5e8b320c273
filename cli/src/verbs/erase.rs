//! `erase`: a tenant's keys destroyed, so that nothing opens what is stored of it, and the proof of that.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_repo::format::names::Seq;
use lifeboat_repo::ids::{Label, Tenant};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::erase::{self, Plan, Proof, Put, Swept};
use lifeboat_repo::repository::officer::Officer;
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::store::Store;
use lifeboat_repo::units::{Bytes, Timestamp};
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::Region;
use crate::context::{Context, open_store, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::keyfiles;
use crate::render::{Outcome, Page, Tone, short_hashes};
use crate::trusted;
use crate::verbs::keys::OfficerArgs;
use crate::when::{count_of, show_moment};
use evidence::Did;
use steps::{Line, Steps};

mod evidence;
mod steps;
mod unknown;

/// As many key objects at once as requests to a store far away are worth.
const LANES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

#[derive(clap::Args)]
#[command(override_usage = "lifeboat erase --region <REGION> <TENANT> [OPTIONS]\n       \
                            lifeboat erase --region <REGION> --sign <NUMBER> [OPTIONS]\n       \
                            lifeboat erase --region <REGION> --sweep [OPTIONS]\n       \
                            lifeboat erase --region <REGION> --prove <NUMBER> [OPTIONS]\n       \
                            lifeboat erase --region <REGION> --readmit <TENANT> [OPTIONS]")]
#[command(group(clap::ArgGroup::new("what").required(true).args(["tenant", "sign", "sweep", "prove", "readmit"])))]
pub(crate) struct Args {
    /// The tenant to erase
    #[arg(value_name = "TENANT")]
    tenant: Option<Tenant>,
    /// The region
    #[arg(long, value_name = "REGION")]
    region: Label,
    /// Sign a tombstone that another officer put
    #[arg(long, value_name = "NUMBER")]
    sign: Option<u32>,
    /// Destroy again what tombstones name, and what came late: a day after an erasure
    #[arg(long)]
    sweep: bool,
    /// Try whether anything outside bundles opens what a tombstone erased
    #[arg(long, value_name = "NUMBER")]
    prove: Option<u32>,
    /// Let a tenant in again, with keys made anew
    #[arg(long, value_name = "TENANT")]
    readmit: Option<Tenant>,
    /// Erase a tenant of whom nothing is stored here, so that hosts never take data of that name
    #[arg(long, requires = "tenant")]
    in_advance: bool,
    /// Do it: what is erased nobody brings back
    #[arg(long)]
    irrevocably: bool,
    /// Leave evidence of the erasure there, proof and all: a directory to make, or an empty one
    #[arg(long, value_name = "DIR", conflicts_with_all = ["sweep", "readmit", "in_advance", "dry_run"])]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let region = config.region(&args.region)?;
    let repository = context.open(region)?;
    let signing = args.officer.key(context)?;
    let officer = Officer { name: trusted::officer_of(&repository, &signing)?, signing: &signing };
    let files = args.officer.identities.files(context);
    context.recover(&repository, files)?;
    let mut identities = Vec::new();
    for file in files {
        identities.extend(keyfiles::read_identities(file, "recovery identity")?);
    }
    let acting = Acting {
        repository: &repository,
        identities: &identities,
        officer: &officer,
        clock: &context.clock,
        lanes: LANES,
    };
    let places = places(context, region, &repository)?;
    let places: Vec<&dyn Store> = places.iter().map(Arc::as_ref).collect();
    let making = evidence::making(context, args, region)?;
    let steps = Steps::of(context, args);
    let (mut page, mut did) = (context.page(), Did::default());
    let done = perform(&acting, &places, args, &steps, &mut page, &mut did);
    let ended = done.map_err(|failure| failure.at(repository_place(region))).map(|(exit, mut value)| {
        if let Some(value) = value.as_object_mut() {
            value.insert("region".into(), json!(region.name));
            value.insert("dry_run".into(), json!(args.dry_run));
        }
        Outcome { exit, value, page: page.finish() }
    });
    match making {
        Some(making) => evidence::leave(context, making, &acting, region, did, ended),
        None => ended,
    }
}

/// Every place that holds keys: the repository, and its replica.
fn places(context: &Context, region: &Region, repository: &Repository) -> Result<Vec<Arc<dyn Store>>> {
    let mut places = vec![repository.store_shared()];
    if region.replica.is_some() {
        places.push(open_store(context.config()?.at_replicas().region(&region.name)?)?);
    }
    Ok(places)
}

fn perform(
    acting: &Acting<'_>,
    places: &[&dyn Store],
    args: &Args,
    steps: &Steps,
    page: &mut Page,
    did: &mut Did,
) -> Result<(Exit, Value)> {
    if let Some(number) = args.prove {
        let seq = Seq(number);
        let proof = perform_proof(acting, places, seq).inspect_err(|failure| {
            // What may not be asked for is no proof that failed.
            did.seq = (failure.exit != Exit::Refused).then_some(seq);
            did.proof = Some(Err(failure.coded()));
        })?;
        let told = render_proof(seq, &proof, steps, page);
        (did.seq, did.proof) = (Some(seq), Some(Ok(proof)));
        return Ok(told);
    }
    let mut value = json!({});
    let put = if let Some(tenant) = &args.tenant {
        let plan = erase::plan(acting, tenant, places)?;
        unknown::refuse(acting, &plan, args.in_advance, steps)?;
        value = render_plan(&plan, page);
        if args.dry_run {
            render_unopened(&plan.unopened, steps, page);
            let exit = if plan.unopened.is_empty() { Exit::Ok } else { Exit::Partly };
            return Ok((exit, value));
        }
        refuse_unless_meant(args)?;
        Some(erase::put(acting, &plan)?)
    } else if args.dry_run {
        page.item(
            "-",
            "would sign, or destroy what tombstones name; `erase TENANT --dry-run` shows what that is",
        );
        return Ok((Exit::Ok, value));
    } else if let Some(number) = args.sign {
        refuse_unless_meant(args)?;
        Some(erase::sign(acting, Seq(number))?)
    } else if let Some(tenant) = &args.readmit {
        Some(erase::readmit(acting, tenant)?)
    } else {
        None
    };
    let mut exit = Exit::Ok;
    if let Some(put) = &put {
        did.put(put);
        merge(&mut value, render_put(put, steps, page));
        if !put.effective {
            return Ok((Exit::Partly, value));
        }
    }
    if args.readmit.is_some() {
        page.item("-", "the next backup takes data of this tenant, under keys that it makes anew");
        return Ok((Exit::Ok, value));
    }
    let swept = erase::sweep(acting, places).map_err(|error| {
        let failure = Failure::from(error);
        did.swept = Some(Err(failure.coded()));
        failure
    })?;
    // One that names no key leaves nothing to be proven.
    let seq = put.filter(|put| put.keys > 0).map(|put| put.seq);
    merge(&mut value, render_swept(&swept, seq, places.len(), steps, page));
    if !swept.unopened.is_empty() || swept.untold > 0 {
        exit = exit.worst(Exit::Partly);
    }
    did.swept = Some(Ok(swept));
    // Evidence has the proof with it; without, it is tried tomorrow, when whatever comes late has come.
    if let (Some(seq), Some(_)) = (seq, &args.evidence) {
        evidence::prove(acting, places, seq, did);
        match did.proof.as_ref() {
            Some(Ok(proof)) => {
                let (proved, told) = render_proof(seq, proof, steps, page);
                exit = exit.worst(proved);
                merge_proof(&mut value, told);
            }
            Some(Err(why)) => {
                page.marked(
                    "?   ",
                    Tone::Warn,
                    &format!("whether anything opens it could not be tried: {why}"),
                );
                exit = exit.worst(Exit::Unchecked);
            }
            None => {}
        }
    }
    Ok((exit, value))
}

fn perform_proof(acting: &Acting<'_>, places: &[&dyn Store], seq: Seq) -> Result<Proof> {
    Ok(erase::prove(acting, seq, places)?)
}

/// What was proven, beside a plan that listed the keys: these stay.
fn merge_proof(into: &mut Value, proof: Value) {
    if let (Some(into), Value::Object(proof)) = (into.as_object_mut(), proof) {
        proof.into_iter().for_each(|(name, value)| {
            if name != "keys" || !into.contains_key(&name) {
                into.insert(name, value);
            }
        });
    }
}

/// Keys whose owners nobody can tell.
fn render_unopened(unopened: &[String], steps: &Steps, page: &mut Page) {
    for one in unopened.iter().take(20) {
        page.item(
            "!",
            &format!("opens in no place, so whose key it is cannot be told: {}", short_hashes(&tame(one))),
        );
    }
    if !unopened.is_empty() {
        let heal = "heal them (`lifeboat repair`, `lifeboat keys bundle --extract`), then sweep again: what turns out to be \
                    an erased tenant's goes then";
        step(page, heal, &steps.sweep());
    }
}

/// What to do next, and the line for it, whole: it is copied.
fn step(page: &mut Page, words: &str, line: &Line) {
    page.item("→", words).raw(&line.folded());
}

fn refuse_unless_meant(args: &Args) -> Result<()> {
    if args.irrevocably {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "an erasure cannot be taken back, and --irrevocably was not given")
        .code(Code::NotAllowed)
        .next("look at the plan with --dry-run, then say --irrevocably"))
}

fn render_plan(plan: &Plan, page: &mut Page) -> Value {
    let writers: BTreeSet<&Label> = plan.keys.iter().map(|(writer, _)| writer).collect();
    let bytes: Bytes = plan.snapshots.iter().map(|(_, bytes)| *bytes).sum();
    page.item(
        "-",
        &format!(
            "tenant {} has {} of {}, in {} that hold {} of it (before deduplication)",
            plan.tenant,
            count_of(plan.keys.len() as u64, "key", "keys"),
            count_of(writers.len() as u64, "writer", "writers"),
            count_of(plan.snapshots.len() as u64, "snapshot", "snapshots"),
            bytes,
        ),
    );
    match plan.bundled {
        _ if plan.keys.is_empty() => {
            page.item("-", "nothing is destroyed; from the tombstone on hosts take no data of that name")
        }
        Some(until) => page.item(
            "-",
            &format!(
                "beyond recovery from {} on, when the last bundle with its keys has expired",
                show_moment(until)
            ),
        ),
        None => page.item("-", "there are no bundles: beyond recovery at once"),
    };
    page.item("-", "space comes back when `lifeboat gc` collects what nothing needs any more");
    json!({
        "keys": plan.keys.iter().map(|(writer, key)| json!({ "writer": writer, "key": key })).collect::<Vec<_>>(),
        "unopened": tamed(&plan.unopened),
        "snapshots": plan.snapshots.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect::<Vec<_>>(),
        "irreversible": moment(plan.bundled),
    })
}

fn moment(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.rfc3339())
}

fn render_put(put: &Put, steps: &Steps, page: &mut Page) -> Value {
    if put.effective {
        page.item("-", &format!("tombstone {} is signed; from now on it holds", put.seq.0));
    } else {
        let more = count_of(put.wanted as u64, "officer", "officers");
        step(page, &format!("{more} more must sign; until then it does not hold"), &steps.sign(put.seq));
    }
    json!({ "seq": put.seq.0, "effective": put.effective, "wanted": put.wanted })
}

fn render_swept(swept: &Swept, seq: Option<Seq>, places: usize, steps: &Steps, page: &mut Page) -> Value {
    let places = count_of(places as u64, "place", "places");
    page.item(
        "-",
        &format!(
            "{} objects destroyed in {places}, every version; {} graves stand",
            swept.destroyed, swept.graves
        ),
    );
    if swept.late > 0 {
        page.item(
            "-",
            &format!("{} of them were made after the tombstone", count_of(swept.late as u64, "key", "keys")),
        );
    }
    render_unopened(&swept.unopened, steps, page);
    if swept.untold > 0 {
        page.item(
            "→",
            "the replica does not know yet who signed, so its readers see that keys are gone and not why: run `lifeboat \
             replicate` on a maintainer's host",
        );
    }
    if let Some(seq) = seq {
        step(page, "tomorrow, sweep once more for what comes late:", &steps.sweep());
        step(page, "then try whether anything that is left opens it:", &steps.prove(seq));
    }
    json!({
        "destroyed": swept.destroyed, "graves": swept.graves, "late": swept.late,
        "untold": swept.untold, "unopened": tamed(&swept.unopened),
    })
}

fn render_proof(seq: Seq, proof: &Proof, steps: &Steps, page: &mut Page) -> (Exit, Value) {
    page.item(
        "-",
        &format!(
            "tombstone {}: {}; {} tried on {} of theirs and {} below seals/, keys/ and cards/",
            seq.0,
            count_of(proof.keys as u64, "key", "keys"),
            count_of(proof.identities as u64, "identity", "identities"),
            count_of(proof.segments as u64, "segment", "segments"),
            count_of(proof.objects as u64, "object", "objects"),
        ),
    );
    let holds = proof.found.is_empty();
    if holds {
        page.marked("ok  ", Tone::Good, "nothing that is left outside bundles opens what was erased");
    } else {
        page.marked("FAIL", Tone::Bad, "something does");
        for one in proof.found.iter().take(20) {
            page.item("    -", &tame(one));
        }
        step(page, "sweep, then prove it again", &steps.sweep());
    }
    match proof.bundled {
        Some(until) => page.item("-", &format!("bundles may hold the keys until {}", show_moment(until))),
        None => page.item("-", "no bundle may hold the keys"),
    };
    let value = json!({
        "seq": seq.0, "proved": holds, "keys": proof.keys, "identities": proof.identities, "objects": proof.objects,
        "segments": proof.segments, "found": proof.found.iter().map(|one| tame(one)).collect::<Vec<_>>(),
        "irreversible": moment(proof.bundled),
    });
    (if holds { Exit::Ok } else { Exit::Damaged }, value)
}

fn tamed(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| tame(text)).collect()
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}
