//! `drill run`: a book executed against a disposable target, timed from the disruption on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::Label;
use lifeboat_runbooks::drill::conclude::{self, Scene, TENANTS_DRAWN};
use lifeboat_runbooks::drill::journal::{self, Body, Journal};
use lifeboat_runbooks::drill::measure;
use lifeboat_runbooks::drill::planted::Really;
use lifeboat_runbooks::drill::result::{self, Findings};
use lifeboat_runbooks::drill::run::{self, Stage, Went};
use lifeboat_runbooks::drill::step;
use lifeboat_runbooks::drill::target::{Cleanup, Target};
use lifeboat_verify::evidence::Attachment;
use lifeboat_verify::evidence::facts::{Facts, Moment, NotRun};

use super::evidence::{self, OfficerKey};
use super::failures;
use super::page;
use super::setup::{self, Asked, Setup};
use super::watching::Watching;
use crate::codes::Code;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};
use crate::render::{Outcome, Tone};

/// Where programs are, where nothing says so.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where evidence goes.
pub(super) const OUT: &str = crate::verbs::evidence::HOME;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The book: by name, or a file that ends with .md
    #[arg(value_name = "BOOK", required_unless_present = "resume")]
    book: Option<String>,
    #[command(flatten)]
    asked: Asked,
    /// A directory to restore to and to empty again: empty, or one to make [default: $DRILL_TARGET]
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// Who leads [default: $USER]
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// A step for people that was done, and what shows it: a ticket, a time; may be given several times
    #[arg(long, value_name = "STEP=TEXT")]
    done: Vec<String>,
    /// Where evidence of drills lies
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// Leave what was restored where it is
    #[arg(long)]
    keep: bool,
    /// Go on with the drill that was cut off, or of several this one
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["book", "target", "region", "component", "disruption", "window", "nonce", "values", "erased"])]
    resume: Option<String>,
    #[command(flatten)]
    officer: OfficerKey,
}

/// A drill under way.
struct Drill<'a> {
    context: &'a Context,
    args: &'a Args,
    setup: Setup,
    journal: Journal,
    watching: Watching<'a>,
    /// Signs the evidence.
    key: Option<SigningKey>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let drill = match &args.resume {
        Some(id) => resume(context, args, id)?,
        None => begin(context, args)?,
    };
    drill.perform()
}

fn begin<'a>(context: &'a Context, args: &'a Args) -> Result<Drill<'a>> {
    let book = args.book.as_deref().unwrap_or_default();
    let operator =
        args.operator.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "nobody named".into());
    let done = done(&args.done)?;
    let key = args.officer.key(context)?;
    let asked = target(args)?;
    let setup = Setup::new(context, &args.asked, book)?;
    if let Some(name) = done.keys().find(|name| !setup.book.steps.iter().any(|step| step.name == **name)) {
        return Err(Failure::usage(format!("the book has no step {name}")).code(Code::NoValue).at("--done"));
    }
    let now = Moment::new(context.now());
    let out = std::path::absolute(&args.out)
        .map_err(|error| Failure::file("use the directory", &args.out, &error))?;
    let id = id_of(now, &setup.found.name, &out)?;
    let files = args.asked.identities.files(context);
    let restored = std::path::absolute(&asked).unwrap_or(asked.clone()).join("restored");
    // What is missing is told before anything is made.
    setup.values(context, &args.asked, &restored)?;
    let sources = setup::sources(&setup.config, files);
    let target = Target::claim(&asked, &sources, id.as_str()).map_err(failures::target)?;
    let body = body(context, args, &setup, id, operator.clone(), now, target)?;
    let journal = Journal::begin(&out, body).map_err(failures::journal)?;
    let watching = Watching::new(context, &operator, done);
    Ok(Drill { context, args, setup, journal, watching, key })
}

fn body(
    context: &Context,
    args: &Args,
    setup: &Setup,
    id: Label,
    operator: String,
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
        id,
        book,
        book_sha256: result::hash(setup.found.text.as_bytes()),
        configuration: configuration(context)?,
        region: setup.region.clone(),
        component: setup
            .wanted
            .first()
            .filter(|_| args.asked.component.is_some())
            .map(|one| one.name.clone()),
        operator,
        disruption: Moment::new(setup.disruption.at),
        how: setup.disruption.how.clone(),
        begun: now,
        seed: measure::seed(checkpoint, &setup.nonce).to_string(),
        checkpoint: checkpoint.map(|one| format!("{} {}", one.entry, one.sha256)),
        nonce: setup.nonce.clone(),
        pins: setup.seen.pins.clone(),
        values: setup.values(context, &args.asked, &target.restored())?,
        target,
        erased: args.asked.erased.iter().map(ToString::to_string).collect(),
        steps: run::untouched(&setup.book),
        interruptions: Vec::new(),
        not_run,
    })
}

fn resume<'a>(context: &'a Context, args: &'a Args, id: &str) -> Result<Drill<'a>> {
    let directory = unfinished(&args.out, id)?;
    let key = args.officer.key(context)?;
    let mut journal = Journal::resume(&directory).map_err(failures::journal)?;
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
            .at(shown(&directory))
            .next("put it back, or begin a new drill"));
    }
    let files = args.asked.identities.files(context);
    body.target.reclaim(&setup::sources(&setup.config, files), body.id.as_str()).map_err(failures::target)?;
    // What the step that was cut off started may still be at it.
    let left = step::end_leftovers(body.id.as_str());
    run::resume(&mut journal, Moment::new(context.now())).map_err(failures::journal)?;
    let watching = Watching::new(context, &body.operator, done(&args.done)?);
    watching.say(
        Tone::Warn,
        &format!("{} goes on; {left} processes of it were still there and were ended", body.id),
    );
    Ok(Drill { context, args, setup, journal, watching, key })
}

impl Drill<'_> {
    fn perform(mut self) -> Result<Outcome> {
        let body = &self.journal.body;
        self.watching.say(
            Tone::Strong,
            &format!(
                "{}, as if since {}",
                self.setup.book.title,
                crate::when::show_moment(body.disruption.timestamp())
            ),
        );
        let (environment, mut secrets) = self.environment()?;
        secrets.extend(self.key_lines());
        let stage = Stage {
            book: &self.setup.book,
            environment: &environment,
            secrets: &secrets,
            clock: &self.context.clock,
            conductor: &self.watching,
        };
        let went = run::steps(&stage, &mut self.journal).map_err(failures::journal)?;
        if went == Went::Interrupted {
            return Err(self.interrupted());
        }
        self.watching.say(Tone::Strong, "Looking at what came back, and planting faults");
        let (facts, attachments) = self.conclude()?;
        let context = self.context;
        let directory = self.finish(&facts, &attachments)?;
        let exit = exit_of(&facts);
        Ok(Outcome {
            exit,
            value: page::value(&facts, &directory),
            page: page::render(context, &facts, &directory),
        })
    }

    fn interrupted(&self) -> Failure {
        Failure::new(Exit::Interrupted, format!("the drill {} was stopped", self.journal.body.id))
            .code(Code::Interrupted)
            .at(shown(self.journal.directory()))
            .next("`lifeboat drill run --resume` goes on with the step that was cut off; the clock runs on meanwhile")
    }

    /// Values of variables, and a `lifeboat` that is this very program.
    fn environment(&self) -> Result<(setup::Variables, Vec<String>)> {
        let body = &self.journal.body;
        let bin = self.journal.directory().join("bin");
        let own = bin.join("lifeboat");
        let program = std::env::current_exe()
            .map_err(|error| Failure::failed(error.to_string()).code(Code::Machine))?;
        fs::create_dir_all(&bin).map_err(|error| Failure::file("make the directory", &bin, &error))?;
        // It may be there from before; what it leads to is what counts.
        let _ = fs::remove_file(&own);
        symlink(&program, &own).map_err(|error| Failure::file("make a link", &own, &error))?;
        let mut path = OsString::from(&bin);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into()));
        let officers = self.officers()?;
        let mut set: setup::Variables = vec![
            ("PATH".into(), path),
            ("LIFEBOAT_DRILL".into(), body.id.as_str().into()),
            ("DRILL_TARGET".into(), body.target.restored().into()),
        ];
        if self.setup.book.front.variables.iter().any(|one| one.as_str() == "OFFICERS") {
            set.push(("OFFICERS".into(), officers.into()));
        }
        set.extend(body.values.iter().map(|(name, value)| (name.as_str().into(), value.into())));
        Ok(setup::environment(self.context, &self.args.asked, set))
    }

    /// The pinned officers, as a file that stock tools read.
    fn officers(&self) -> Result<PathBuf> {
        let region = self.setup.config.region(&self.setup.region)?;
        let lines: String = region.officers.iter().map(|one| format!("{} {}\n", one.key, one.name)).collect();
        let path = self.journal.directory().join("officers.pub");
        fs::write(&path, lines).map_err(|error| Failure::file("write the officers' keys", &path, &error))?;
        Ok(path)
    }

    /// What identity files hold, line by line, should a step print one.
    fn key_lines(&self) -> Vec<String> {
        let files = self.args.asked.identities.files(self.context);
        let texts = files.iter().filter_map(|path| fs::read_to_string(path).ok());
        texts
            .flat_map(|text| {
                text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    fn conclude(&self) -> Result<(Facts, Vec<Attachment>)> {
        let region = self.setup.config.region(&self.setup.region)?;
        let repository = self.context.open(region)?;
        let identities = setup::identities(self.context, &self.args.asked)?;
        let body = &self.journal.body;
        let scene = Scene {
            repository: &repository,
            identities: &identities,
            wanted: &self.setup.wanted,
            journal: body,
            clock: &self.context.clock,
            tenants: TENANTS_DRAWN,
            really: Really::Planted,
        };
        let found = conclude::look(&scene, &self.watching);
        if lifeboat_repo::observe::Observer::cancelled(&self.watching) {
            return Err(self.interrupted());
        }
        let took = result::times(&body.target.restored());
        let cleanup = if self.args.keep { Cleanup::default() } else { body.target.clean(body.id.as_str()) };
        let (own, attachments) = evidence::repository(self.context, region, &repository)?;
        let facts = result::facts(Findings {
            book: &self.setup.book,
            name: book_label(&self.setup.found.name)?,
            journal: body,
            tool: evidence::tool(),
            repositories: vec![own],
            wanted: &self.setup.wanted,
            found: found.map_err(|error| error.to_string()),
            took,
            cleanup,
            kept: self.args.keep,
            ended: Moment::new(self.context.now()),
            history: evidence::history(&self.args.out, &self.setup.found.name)?,
        });
        Ok((facts, attachments))
    }

    /// Writes evidence, then lets go of the journal.
    fn finish(self, facts: &Facts, attachments: &[Attachment]) -> Result<PathBuf> {
        let repository = self.context.open(self.setup.config.region(&self.setup.region)?)?;
        let directory = evidence::write(&self.args.out, facts, attachments, self.key.as_ref(), &repository)?;
        let path = self.journal.directory().to_owned();
        self.journal.remove().map_err(|error| Failure::file("remove the drill's notes", &path, &error))?;
        Ok(directory)
    }
}

fn target(args: &Args) -> Result<PathBuf> {
    let asked = args.target.clone().or_else(|| std::env::var_os("DRILL_TARGET").map(PathBuf::from));
    asked.filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
        Failure::usage("a drill needs a directory to restore to, and none was given")
            .code(Code::NoValue)
            .next("give --target DIR: empty or not there yet, with room for all that comes back")
    })
}

fn done(given: &[String]) -> Result<BTreeMap<String, String>> {
    let one = |text: &String| {
        let (step, reference) = text.split_once('=').unwrap_or((text, ""));
        if reference.is_empty() {
            return Err(Failure::usage("say what shows that it was done: --done STEP=TEXT")
                .code(Code::NoValue)
                .at("--done"));
        }
        Ok((step.to_owned(), reference.to_owned()))
    };
    given.iter().map(one).collect()
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

/// What a drill's verdict means for the process.
pub(super) fn exit_of(facts: &Facts) -> Exit {
    use lifeboat_verify::evidence::facts::{Outcome as Check, Verdict, What};
    match facts.verdict {
        Verdict::Met => Exit::Ok,
        Verdict::TargetMissed | Verdict::LimitMissed => Exit::Missed,
        Verdict::Insufficient => Exit::Unchecked,
        Verdict::Failed => {
            let damaged = facts
                .components
                .iter()
                .flat_map(|one| &one.checks)
                .any(|check| check.outcome == Check::Failed);
            let uncaught = facts.planted.iter().any(|one| one.caught_by.is_none());
            let back = facts.absent.iter().any(|one| !one.absent);
            let failed = facts.steps.iter().any(|step| matches!(step.what, What::Failed | What::TimedOut));
            match (damaged, uncaught || back, failed) {
                (true, ..) => Exit::Damaged,
                (_, true, _) => Exit::Failed,
                (_, _, true) => Exit::Partly,
                _ => Exit::Failed,
            }
        }
    }
}
