//! A drill under way: its steps, what it looks at by itself, its evidence.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lifeboat_backup::heartbeat::parse_counts;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_runbooks::drill::conclude::{self, Scene, TENANTS_DRAWN};
use lifeboat_runbooks::drill::journal::Concluded;
use lifeboat_runbooks::drill::planted::Really;
use lifeboat_runbooks::drill::result::{self, Findings};
use lifeboat_runbooks::drill::run::{self, Stage, Went};
use lifeboat_runbooks::drill::step;
use lifeboat_verify::evidence::Attachment;
use lifeboat_verify::evidence::facts::{Facts, Moment};
use lifeboat_verify::loss::{Found, Loss};

use super::run::{Drill, book_label};
use super::{backtest, evidence, failures, page, setup};
use crate::codes::Code;
use crate::config::{Component, Placed};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::keyfiles;
use crate::losses;
use crate::predictions;
use crate::render::{Outcome, Tone};
use crate::verbs::restore_region;
use crate::when::count_of;

/// Where programs are, where nothing says so.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl Drill<'_> {
    /// Goes on with it to its end, from wherever it is.
    pub(super) fn perform(mut self) -> Result<Outcome> {
        let Concluded { mut facts, attachments, measured } =
            match self.journal.concluded().map_err(failures::journal)? {
                Some(concluded) => concluded,
                None => self.rehearse()?,
            };
        if let Some(host) = &self.setup.config.host {
            predictions::keep_once(&host.state, &measured);
        }
        self.clean_up()?;
        let context = self.context;
        result::close(&mut facts, &self.journal.body, Moment::new(context.now()));
        let directory = self.finish(&facts, &attachments)?;
        Ok(Outcome {
            exit: exit_of(&facts),
            value: page::value(&facts, &directory),
            page: page::render(context, &facts, &directory),
        })
    }

    /// Does the book's steps and looks at what came of them.
    fn rehearse(&mut self) -> Result<Concluded> {
        let since = crate::when::show_moment(self.journal.body.disruption.timestamp());
        self.watching.say(Tone::Strong, &format!("{}, as if since {since}", self.setup.book.title));
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
        self.conclude()
    }

    fn interrupted(&self) -> Failure {
        let body = &self.journal.body;
        Failure::new(Exit::Interrupted, format!("the drill {} was stopped", body.id))
            .code(Code::Interrupted)
            .at(shown(self.journal.directory()))
            .next(format!(
                "`{}` goes on with the step that was cut off; the clock runs on meanwhile",
                body.resume
            ))
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
        let records = body.target.records();
        fs::create_dir_all(&records)
            .map_err(|error| Failure::file("make the directory", &records, &error))?;
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
        let texts = files.iter().filter_map(|path| keyfiles::read_text(path, "recovery identity").ok());
        texts
            .flat_map(|text| {
                text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Looks at all of it, and writes down what it found before anything is removed.
    fn conclude(&self) -> Result<Concluded> {
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
            listen: &|recovery, name, place| self.listen(recovery, name, place),
        };
        let found = conclude::look(&scene, &self.watching);
        if lifeboat_repo::observe::Observer::cancelled(&self.watching) {
            return Err(self.interrupted());
        }
        let (own, attachments) = evidence::repository(self.context, region, &repository)?;
        let brought = restore_region::brought(&body.target.restored());
        let took = |(name, (took, _)): (&Label, &(_, _))| (name.clone(), *took);
        let mut facts = result::facts(Findings {
            book: &self.setup.book,
            name: book_label(&self.setup.found.name)?,
            journal: body,
            tool: evidence::tool(),
            repositories: vec![own],
            wanted: &self.setup.wanted,
            found: found.map_err(|error| error.to_string()),
            took: brought.iter().map(took).collect(),
            looked: Moment::new(self.context.now()),
            history: evidence::history(
                &self.args.out,
                &self.setup.found.name,
                &self.setup.region,
                &self.setup.wanted,
            )?,
        });
        let state = self.setup.config.host.as_ref().map(|host| host.state.as_path());
        let measured = state
            .map(|state| backtest::tell(&mut facts, &self.setup.config, &self.setup.region, &brought, state));
        let concluded = Concluded { facts, attachments, measured: measured.unwrap_or_default() };
        self.journal.conclude(&concluded).map_err(failures::journal)?;
        Ok(concluded)
    }

    /// What a component lost by the heartbeats in what came back of it, as `heartbeat --check` says it.
    fn listen(
        &self,
        recovery: &Recovery<'_>,
        name: &Label,
        place: Option<&Path>,
    ) -> Option<std::result::Result<Loss, String>> {
        let component = self.setup.config.component(name).ok()?;
        component.heartbeat.as_ref()?;
        Some(self.heard(recovery, component, place).map_err(|why| tame(&why)))
    }

    fn heard(
        &self,
        recovery: &Recovery<'_>,
        component: &Component,
        place: Option<&Path>,
    ) -> std::result::Result<Loss, String> {
        let body = &self.journal.body;
        let said = |ending: &str| {
            let path = body.target.records().join(format!("{}.{ending}", component.name));
            let bad = |why: &str| format!("cannot read {}: {why}", path.display());
            match fs::metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                // A pipe that nobody fills would never end.
                Ok(there) if !there.is_file() => Err(bad("it is no plain file")),
                _ => {
                    let read = fs::File::open(&path).and_then(losses::handed_over);
                    read.map(Some).map_err(|error| bad(&error.to_string()))
                }
            }
        };
        let (records, counts) = (said("heartbeats")?, said("counts")?);
        let by_program =
            component.heartbeat.as_ref().is_some_and(|own| matches!(own.placed, Placed::Program(_)));
        let mut found = match (place, &records) {
            (None, None) => return Err("nothing was restored of it".to_owned()),
            (_, None) if by_program => {
                return Err(format!(
                    "a program puts them into it, so a step of the book has to write them into \"$RECORDS/{}.heartbeats\"",
                    component.name
                ));
            }
            (Some(place), _) => {
                losses::found_at(recovery, component, place).map_err(|error| error.to_string())?
            }
            (None, Some(_)) => Found::default(),
        };
        if let Some(lines) = records {
            found.extend(losses::among(recovery, component, &lines));
        }
        let counts = counts.map(|lines| parse_counts(&lines)).transpose()?;
        let pin = body.pins.iter().find(|pin| pin.component == component.name);
        let point = pin.and_then(|pin| pin.recovery_point).map(Moment::timestamp);
        losses::judge(recovery, component, &found, counts.as_ref(), body.disruption.timestamp(), point)
            .map_err(|failure| failure.coded())
    }

    /// Removes what was restored and ends what steps left running, unless it is to be kept.
    fn clean_up(&mut self) -> Result<()> {
        let body = &mut self.journal.body;
        if body.keep || body.cleanup.is_some() {
            return Ok(());
        }
        body.cleaning = true;
        self.journal.store().map_err(failures::journal)?;
        let body = &mut self.journal.body;
        let ended = step::end_leftovers(body.id.as_str(), &body.target.restored());
        let mut cleanup = body.target.clean(body.id.as_str());
        if ended > 0 {
            cleanup.removed.push(count_of(
                ended as u64,
                "process that a step left",
                "processes that steps left",
            ));
        }
        body.cleanup = Some(cleanup);
        self.journal.store().map_err(failures::journal)
    }

    /// Writes evidence, then lets go of the journal.
    fn finish(self, facts: &Facts, attachments: &[Attachment]) -> Result<PathBuf> {
        let repository = self.context.open(self.setup.config.region(&self.setup.region)?)?;
        // Where it was cut off after that, only its notes are left.
        let directory = match evidence::of(&self.args.out, &facts.id)? {
            Some(there) => there,
            None => evidence::write(&self.args.out, facts, attachments, self.key.as_ref(), &repository)?,
        };
        let path = self.journal.directory().to_owned();
        self.journal.remove().map_err(|error| Failure::file("remove the drill's notes", &path, &error))?;
        Ok(directory)
    }
}

/// What a drill's verdict means for the process.
fn exit_of(facts: &Facts) -> Exit {
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
