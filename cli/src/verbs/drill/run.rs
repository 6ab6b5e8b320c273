//! `drill run`: a book executed against a disposable target, timed from the disruption on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::Label;
use lifeboat_runbooks::drill::journal::{self, Body, Journal};
use lifeboat_runbooks::drill::target::Target;
use lifeboat_runbooks::drill::{measure, result, run, step};
use lifeboat_verify::evidence::facts::{Moment, NotRun};

use super::done::Done;
use super::evidence::OfficerKey;
use super::failures;
use super::setup::{self, Asked, Setup};
use super::watching::Watching;
use crate::codes::Code;
use crate::context::{Context, Side};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, word};
use crate::render::{Outcome, Tone};
use crate::when::count_of;

/// Where evidence goes.
pub(super) const OUT: &str = crate::verbs::evidence::HOME;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The book: by name, or a file that ends with .md
    #[arg(value_name = "BOOK", required_unless_present = "resume")]
    book: Option<String>,
    #[command(flatten)]
    pub(super) asked: Asked,
    /// A directory to restore to and to empty again: empty, or one to make [default: $DRILL_TARGET]
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// Who leads [default: $USER]
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    #[command(flatten)]
    done: Done,
    /// Where evidence of drills lies
    #[arg(long, value_name = "DIR", default_value = OUT)]
    pub(super) out: PathBuf,
    /// Leave what was restored where it is
    #[arg(long)]
    keep: bool,
    /// Go on with the drill that was cut off, or of several this one
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["book", "target", "region", "component", "disruption", "window", "seed", "nonce", "values", "erased", "operator", "replica"])]
    resume: Option<String>,
    #[command(flatten)]
    officer: OfficerKey,
}

/// A drill under way.
pub(super) struct Drill<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a Args,
    pub(super) setup: Setup,
    pub(super) journal: Journal,
    pub(super) watching: Watching<'a>,
    /// Signs the evidence.
    pub(super) key: Option<SigningKey>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.resume {
        Some(id) => {
            let directory = unfinished(&args.out, id)?;
            let replica = journal::peek(&directory).map_err(failures::journal)?.replica;
            resume(&context.at(Side { replica }), args, &directory)?.perform()
        }
        None => begin(&context.reading(args.asked.side), args)?.perform(),
    }
}

fn begin<'a>(context: &'a Context, args: &'a Args) -> Result<Drill<'a>> {
    let book = args.book.as_deref().unwrap_or_default();
    let operator =
        args.operator.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "nobody named".into());
    let key = args.officer.key(context)?;
    let asked = target(args)?;
    let setup = Setup::new(context, &args.asked, book)?;
    let done = args.done.read(&setup.book, &run::untouched(&setup.book))?;
    let now = Moment::new(context.now());
    let out = std::path::absolute(&args.out)
        .map_err(|error| Failure::file("use the directory", &args.out, &error))?;
    // It is emptied in the end, and what is left in it makes the drill red.
    if out.starts_with(&Target::in_place(&asked).directory) {
        return Err(Failure::new(Exit::Refused, "evidence would lie in the target, which is emptied")
            .code(Code::DrillTarget)
            .at(shown(&args.out))
            .next("name another directory with --out"));
    }
    let id = id_of(now, &setup.found.name, &out)?;
    let files = args.asked.identities.files(context);
    // What is missing is told before anything is made.
    setup.values(context, &args.asked, &Target::in_place(&asked))?;
    let sources = setup::sources(context, files)?;
    let target = Target::claim(&asked, &sources, id.as_str()).map_err(failures::target)?;
    let lead = Lead { operator: operator.clone(), done: done.clone() };
    let body = body(context, args, &setup, id.clone(), lead, now, target.clone());
    let body = body.inspect_err(|_| drop(target.clean(id.as_str())))?;
    let journal = Journal::begin(&out, body).map_err(|error| {
        // Nothing is in it yet, and nothing would ever take it up.
        let _ = target.clean(id.as_str());
        failures::journal(error)
    })?;
    let watching = Watching::new(context, &operator, done);
    Ok(Drill { context, args, setup, journal, watching, key })
}

/// Who leads, and what they said beforehand of steps for people.
struct Lead {
    operator: String,
    done: BTreeMap<String, String>,
}

fn body(
    context: &Context,
    args: &Args,
    setup: &Setup,
    id: Label,
    lead: Lead,
    now: Moment,
    target: Target,
) -> Result<Body> {
    let checkpoint = setup.seen.checkpoint.as_ref();
    let mut not_run = Vec::new();
    if checkpoint.is_none() {
        let reason = "no run has put a checkpoint yet, so what was drawn hangs on the nonce alone".to_owned();
        not_run.push(NotRun { what: "drawing by an earlier checkpoint".into(), reason });
    }
    let book = match &setup.found.file {
        Some(file) => {
            std::path::absolute(file).unwrap_or_else(|_| file.clone()).to_string_lossy().into_owned()
        }
        None => setup.found.name.clone(),
    };
    Ok(Body {
        resume: resume_line(context, args, &id),
        id,
        book,
        book_sha256: result::hash(setup.found.text.as_bytes()),
        configuration: configuration(context)?,
        region: setup.region.clone(),
        component: setup.component.clone(),
        operator: lead.operator,
        disruption: Moment::new(setup.disruption.at),
        how: setup.disruption.how.clone(),
        begun: now,
        seed: measure::seed(checkpoint, &setup.nonce).to_string(),
        checkpoint: checkpoint.map(|one| format!("{} {}", one.entry, one.sha256)),
        nonce: setup.nonce.clone(),
        pins: setup.seen.pins.clone(),
        values: setup.values(context, &args.asked, &target)?,
        target,
        erased: args.asked.erased.iter().map(ToString::to_string).collect(),
        steps: run::untouched(&setup.book),
        interruptions: Vec::new(),
        not_run,
        keep: args.keep,
        cleaning: false,
        done: lead.done,
        replica: context.replica,
        cleanup: None,
    })
}

/// The command that goes on with a drill, with what this one was given and has to be given again.
fn resume_line(context: &Context, args: &Args, id: &Label) -> String {
    let mut line = format!("lifeboat drill run --resume {id}");
    let mut add = |name: &str, path: &Path| {
        line.push_str(&format!(" {name} {}", word(path)));
    };
    if args.out != Path::new(OUT) {
        add("--out", &args.out);
    }
    args.asked.identities.files.iter().for_each(|path| add("--identity", path));
    args.officer.given().into_iter().for_each(|path| add("--officer-key", path));
    context.config_path.iter().for_each(|path| add("--config", path));
    line
}

fn resume<'a>(context: &'a Context, args: &'a Args, directory: &Path) -> Result<Drill<'a>> {
    let key = args.officer.key(context)?;
    let mut journal = Journal::resume(directory).map_err(failures::journal)?;
    let body = journal.body.clone();
    let asked = Asked {
        region: Some(body.region.clone()),
        component: body.component.clone(),
        disruption: Some(body.disruption.timestamp().to_string()),
        nonce: Some(body.nonce.clone()),
        values: body.values.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        identities: args.asked.identities.clone(),
        ..Asked::default()
    };
    let setup = Setup::new(context, &asked, &body.book)?;
    let changed = [
        ("the book", result::hash(setup.found.text.as_bytes()) == body.book_sha256),
        ("the configuration", configuration(context)? == body.configuration),
    ];
    if let Some((what, _)) = changed.iter().find(|(_, same)| !same) {
        return Err(Failure::new(Exit::Refused, format!("{what} is another than when the drill began"))
            .code(Code::NoDrill)
            .at(shown(directory))
            .next("put it back, or begin a new drill"));
    }
    // Whatever is said now outlives the next cut, too.
    journal.body.done.extend(args.done.read(&setup.book, &body.steps)?);
    let files = args.asked.identities.files(context);
    let sources = setup::sources(context, files)?;
    let concluded = journal.concluded().map_err(failures::journal)?.is_some();
    if !concluded {
        setup.complete(&body.values)?;
    }
    let keeps = args.keep && !body.keep;
    if keeps && body.cleaning {
        return Err(Failure::new(
            Exit::Refused,
            "what it restored is being removed already, so it cannot be kept",
        )
        .code(Code::NoDrill)
        .at(shown(directory))
        .next("run it without --keep: only its evidence is left to be written"));
    }
    // Once all was looked at, the target may be gone already.
    if !concluded || keeps {
        body.target.reclaim(&sources, body.id.as_str()).map_err(failures::target)?;
        journal.body.keep |= args.keep;
    }
    // What the step that was cut off started may still be at it.
    let left = step::end_leftovers(body.id.as_str(), &body.target.restored());
    run::resume(&mut journal, Moment::new(context.now())).map_err(failures::journal)?;
    let watching = Watching::new(context, &body.operator, journal.body.done.clone());
    let ended = match left {
        0 => String::new(),
        left => format!("; {} of it, still there, ended", count_of(left as u64, "process", "processes")),
    };
    watching.say(Tone::Warn, &format!("{} goes on{ended}", body.id));
    Ok(Drill { context, args, setup, journal, watching, key })
}

fn target(args: &Args) -> Result<PathBuf> {
    let asked = args.target.clone().or_else(|| std::env::var_os("DRILL_TARGET").map(PathBuf::from));
    asked.filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
        Failure::usage("a drill needs a directory to restore to, and none was given")
            .code(Code::NoValue)
            .next("give --target DIR: empty or not there yet, with room for all that comes back")
    })
}

/// `2026-11-27t21-00-00z-region-loss`, and `-2` behind it where there is one of that second already.
fn id_of(now: Moment, book: &str, out: &Path) -> Result<Label> {
    let moment: String = now.timestamp().rfc3339().to_ascii_lowercase().replace(':', "-");
    let name = format!("{moment}-{}", book_label(book)?);
    let free = |name: &String| {
        !out.join(name).exists() && !out.join(format!("{name}{}", journal::UNFINISHED)).exists()
    };
    let mut names = std::iter::once(name.clone()).chain((2_u32..).map(|number| format!("{name}-{number}")));
    let found = names.find(free).unwrap_or_default();
    found
        .parse()
        .map_err(|_| Failure::usage(format!("the book's name {book:?} is too long")).code(Code::BadBook))
}

/// A book's name as evidence knows it.
pub(super) fn book_label(name: &str) -> Result<Label> {
    name.parse().map_err(|_| {
        Failure::usage(format!("a book's file is named with a-z, 0-9, ., _ and -, not {name:?}"))
            .code(Code::BadBook)
    })
}

fn configuration(context: &Context) -> Result<lifeboat_repo::ids::ObjectHash> {
    let path = context.config_file();
    let text = fs::read(&path).map_err(|error| Failure::file("read the configuration", &path, &error))?;
    Ok(result::hash(&text))
}

/// The drill to go on with.
fn unfinished(out: &Path, id: &str) -> Result<PathBuf> {
    let found = journal::unfinished(out).map_err(|error| Failure::file("list drills", out, &error))?;
    let name = |path: &PathBuf| {
        path.file_name().unwrap_or_default().to_string_lossy().replace(journal::UNFINISHED, "")
    };
    let wanted: Vec<&PathBuf> = found.iter().filter(|path| id.is_empty() || name(path) == id).collect();
    match wanted.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::usage("there is no drill that was cut off")
            .code(Code::NoDrill)
            .at(shown(out))
            .next("begin one, or name its place with --out")),
        several => {
            let names = crate::config::list(several.iter().map(|path| name(path)));
            Err(Failure::usage("several drills were cut off")
                .code(Code::NoDrill)
                .at(shown(out))
                .next(format!("give --resume with {names}")))
        }
    }
}
