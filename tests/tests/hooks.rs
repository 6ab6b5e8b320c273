//! Hooks: which run when, what they are told, and what becomes of a backup whose hooks fail.

#![cfg(test)]

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use lifeboat_backup::{BackupError, BackupErrorKind, Fault, Hooks, Job, Program, Report};
use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_tests::World;
use lifeboat_tests::programs::{await_death, command, shell};

/// A world and a file that everything which runs writes its name to.
struct Stage {
    world: World,
    log: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        let log = world.dir.path().join("log");
        fs::write(&log, "").unwrap();
        Self { world, log }
    }

    /// Writes a word, then does something.
    fn says(&self, word: &str, then: &str) -> Program {
        shell(&format!("echo {word} >> {}; {then}", self.log.display()))
    }

    /// A job whose reading can be seen too.
    fn job(&self, then: &str) -> Job {
        self.world.command_job(command(self.says("read", &format!("echo data; {then}"))))
    }

    /// Two hooks of each kind; the named one does something else.
    fn hooks(&self, odd: &str, does: &str) -> Hooks {
        let hook = |word: &str| self.says(word, if word == odd { does } else { ":" });
        Hooks {
            before: vec![hook("before1"), hook("before2")],
            after: vec![hook("after1"), hook("after2")],
            on_failure: vec![hook("failure1"), hook("failure2")],
        }
    }

    /// What ran since the last time.
    fn ran(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap();
        fs::write(&self.log, "").unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn snapshots(&self) -> usize {
        self.world.listed(&self.world.store).len()
    }
}

fn fault(error: &BackupError) -> &Fault {
    match &error.kind {
        BackupErrorKind::Program(error) => &error.fault,
        other => panic!("{other}"),
    }
}

fn failed(report: &Report) -> Vec<&str> {
    report.hook_failures.iter().map(|failure| failure.hook.as_str()).collect()
}

#[test]
fn every_way_a_backup_can_go_runs_the_right_hooks() {
    let stage = Stage::new();
    let run = |reading: &str, odd: &str, does: &str| {
        stage.world.run_hooked(stage.job(reading), stage.hooks(odd, does))
    };
    let report = run(":", "", "").unwrap();
    assert_eq!((stage.ran().as_str(), stage.snapshots()), ("before1 before2 read after1 after2", 1));
    assert_eq!((report.status, failed(&report).len()), (Status::Complete, 0));

    let error = run(":", "before1", "exit 7").unwrap_err();
    assert_eq!((stage.ran().as_str(), stage.snapshots()), ("before1 failure1 failure2", 1));
    assert!(matches!(fault(&error), Fault::Status(7)) && error.what == "before hook 1", "{error}");
    let error = run(":", "before2", "kill -9 $$").unwrap_err();
    assert_eq!((stage.ran().as_str(), stage.snapshots()), ("before1 before2 failure1 failure2", 1));
    assert!(matches!(fault(&error), Fault::Signal(9)) && error.what == "before hook 2", "{error}");

    let error = run("exit 3", "", "").unwrap_err();
    assert_eq!((stage.ran().as_str(), stage.snapshots()), ("before1 before2 read failure1 failure2", 1));
    assert!(matches!(fault(&error), Fault::Status(3)), "{error}");

    let report = run(":", "after1", "echo torn >&2; exit 1").unwrap();
    assert_eq!((stage.ran().as_str(), stage.snapshots()), ("before1 before2 read after1 after2", 2));
    assert_eq!((report.status, failed(&report)), (Status::Complete, vec!["after hook 1"]));
    let told = report.hook_failures[0].to_string();
    assert!(told.contains("exit status 1") && told.ends_with("torn"), "{told}");

    // What is to be done about a failure may fail too; the failure stands, and what failed besides is told.
    let watch = Watch::default();
    let job = Job { hooks: stage.hooks("failure1", "exit 1"), ..stage.job("exit 3") };
    let error = stage.world.run_watched(&job, &watch).unwrap_err();
    assert_eq!((stage.ran().as_str(), stage.snapshots()), ("before1 before2 read failure1 failure2", 2));
    assert!(matches!(fault(&error), Fault::Status(3)), "{error}");
    let warnings = watch.warnings.lock().unwrap();
    assert!(warnings.len() == 1 && warnings[0].starts_with("on_failure hook 1: "), "{warnings:?}");
}

#[derive(Default)]
struct Watch {
    warnings: Mutex<Vec<String>>,
    /// Asks to stop once this file is there.
    stop: Option<PathBuf>,
}

impl Observer for Watch {
    fn tell(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.warnings.lock().unwrap().push(text);
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.as_ref().is_some_and(|file| fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n')))
    }
}

/// Stopped while it reads or while a hook runs: that hook is ended, and what is to be done about a failure is done.
#[test]
fn an_interrupted_backup_cleans_up() {
    let stage = Stage::new();
    let pid = stage.world.dir.path().join("pid");
    let linger = format!("echo $$ > {}; exec sleep 1000", pid.display());
    for (reading, odd, ran) in [
        (linger.as_str(), "", "before1 before2 read failure1 failure2"),
        (":", "before2", "before1 before2 failure1 failure2"),
    ] {
        let watch = Watch { stop: Some(pid.clone()), ..Watch::default() };
        let mut hooks = stage.hooks(odd, &linger);
        hooks.on_failure.push(shell(&format!("echo $LIFEBOAT_STATUS >> {}", stage.log.display())));
        let error = stage.world.run_watched(&Job { hooks, ..stage.job(reading) }, &watch).unwrap_err();
        assert!(matches!(error.kind, BackupErrorKind::Interrupted), "{error}");
        assert_eq!((stage.ran(), stage.snapshots()), (format!("{ran} interrupted"), 0));
        await_death(&pid);
        fs::remove_file(&pid).unwrap();
    }
}

/// A hook that takes too long is ended with all it started.
#[test]
fn a_hook_has_its_time() {
    let stage = Stage::new();
    let pid = stage.world.dir.path().join("pid");
    let linger = format!("sleep 1000 & echo $! > {}; wait", pid.display());
    let mut hooks = stage.hooks("before1", &linger);
    hooks.before[0].timeout = Some(Duration::from_millis(500));
    let error = stage.world.run_hooked(stage.job(":"), hooks).unwrap_err();
    assert!(matches!(fault(&error), Fault::Timeout(_)), "{error}");
    assert_eq!(stage.ran(), "before1 failure1 failure2");
    await_death(&pid);
    // What a hook leaves running on purpose is not waited for, nor ended.
    let hooks = stage.hooks("before1", &format!("sleep 1000 & echo $! > {}", pid.display()));
    stage.world.run_hooked(stage.job(":"), hooks).unwrap();
    assert_eq!(stage.ran(), "before1 before2 read after1 after2");
    let number: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let number = rustix::process::Pid::from_raw(number).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::KILL).expect("it still runs");
}

/// A backup that finds another under way runs nothing: the other's `before` must not be undone.
#[test]
fn a_second_backup_touches_nothing_of_the_first() {
    let stage = Stage::new();
    let state = stage.world.job().state.join(stage.world.repository().id().to_string()).join("files");
    fs::create_dir_all(&state).unwrap();
    let lock = fs::File::create(state.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = stage.world.run_hooked(stage.job(":"), stage.hooks("", "")).unwrap_err();
    assert!(matches!(error.kind, BackupErrorKind::Busy), "{error}");
    assert_eq!(stage.ran(), "");
    drop(lock);
    stage.world.run_hooked(stage.job(":"), stage.hooks("", "")).unwrap();
    assert_eq!(stage.ran(), "before1 before2 read after1 after2");
}

#[test]
fn hooks_are_told_where_they_are() {
    let stage = Stage::new();
    let tells = |file: &str| {
        let mut hook = shell(&format!("env | grep ^LIFEBOAT_ | sort > {file}"));
        hook.inherited.set("PATH", "/bin:/usr/bin");
        hook.directory = stage.world.dir.path().to_owned();
        hook
    };
    let hooks = || Hooks { before: vec![tells("b")], after: vec![tells("a")], on_failure: vec![tells("f")] };
    let told = |file: &str| fs::read_to_string(stage.world.dir.path().join(file)).unwrap();
    fs::write(stage.world.source().join("file"), "x").unwrap();
    let report = stage.world.run_hooked(stage.world.job(), hooks()).unwrap();
    let (run, path) = (report.run, stage.world.source().display().to_string());
    let common = |hook: &str| {
        format!("LIFEBOAT_COMPONENT=files\nLIFEBOAT_HOOK={hook}\nLIFEBOAT_PATH={path}\nLIFEBOAT_RUN=")
    };
    assert_eq!(told("b"), format!("{}{run}\nLIFEBOAT_STATUS=starting\n", common("before")));
    let snapshot = &report.snapshot;
    let expected =
        format!("{}{run}\nLIFEBOAT_SNAPSHOT={snapshot}\nLIFEBOAT_STATUS=complete\n", common("after"));
    assert_eq!(told("a"), expected);
    assert!(!stage.world.dir.path().join("f").exists());

    // A tree that is gone fails the run, after what comes before.
    fs::remove_dir_all(stage.world.source()).unwrap();
    stage.world.run_hooked(stage.world.job(), hooks()).unwrap_err();
    let lines = told("f");
    assert!(lines.contains("LIFEBOAT_STATUS=failed\n") && lines.contains("LIFEBOAT_RUN="), "{lines}");
    assert!(lines.contains(&format!("LIFEBOAT_ERROR={path}: it cannot be read")), "{lines}");

    // A component that this writer may not back up: there is no run yet, and nothing came before.
    fs::remove_file(stage.world.dir.path().join("b")).unwrap();
    let other = Job { component: "other".parse().unwrap(), ..stage.world.job() };
    stage.world.run_hooked(other, hooks()).unwrap_err();
    assert!(!stage.world.dir.path().join("b").exists());
    let lines = told("f");
    assert!(lines.contains("LIFEBOAT_COMPONENT=other\n") && !lines.contains("LIFEBOAT_RUN="), "{lines}");
}
