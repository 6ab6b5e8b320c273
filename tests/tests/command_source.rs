//! The source `command`: what a program writes comes back exact, and what went wrong leaves no snapshot.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifeboat_backup::{BackupError, BackupErrorKind, CommandSource, Fault, Program, Report};
use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_restore::Choice;
use lifeboat_tests::programs::{await_death, command, in_own_process, peak_memory, shell};
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, label};
use lifeboat_verify::{Outcome, Restoration};

/// Several chunks, several segments; half of it does not compress.
fn content() -> Vec<u8> {
    let mut content = noise(7, 6 << 20);
    for line in 0..150_000 {
        content.extend_from_slice(
            format!("row {line}: the quick brown fox, number {}\n", line * 7919).as_bytes(),
        );
    }
    content
}

/// A world with a file that commands can write out.
fn world() -> (World, PathBuf) {
    let world = World::new();
    let file = world.dir.path().join("file");
    fs::write(&file, content()).unwrap();
    (world, file)
}

fn restored(world: &World, name: &str) -> PathBuf {
    let target = world.dir.path().join(name);
    let report = world.restore(&target).unwrap();
    assert!(
        report.losses.is_empty() && report.findings.is_empty(),
        "{:?} {:?}",
        report.losses,
        report.findings
    );
    target
}

fn fault(outcome: Result<Report, BackupError>) -> (Fault, Vec<String>) {
    match outcome.unwrap_err().kind {
        BackupErrorKind::Program(error) => (error.fault, error.said),
        other => panic!("{other}"),
    }
}

#[test]
fn a_stream_comes_back_exact_and_is_stored_once() {
    let (world, file) = world();
    let job = world.command_job(command(Program::new("cat", &[file.to_str().unwrap()])));
    let before = SystemClock.now();
    let first = world.run_job(&job).unwrap();
    assert_eq!((first.status, first.counts.entries, first.counts.files), (Status::Complete, 1, 1));
    assert!(before <= first.recovery_point && first.recovery_point <= SystemClock.now());
    let target = restored(&world, "first");
    assert!(fs::read(target.join("dump")).unwrap() == content());
    let meta = fs::metadata(target.join("dump")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o600, "a dump is nobody else's business");
    let at = (first.recovery_point.seconds(), i64::from(first.recovery_point.nanos()));
    assert_eq!((meta.mtime(), meta.mtime_nsec()), at, "it holds what was there when the command was started");

    let mut changed = content();
    changed[3_000_000..3_000_010].copy_from_slice(b"0123456789");
    fs::write(&file, &changed).unwrap();
    let second = world.run_job(&job).unwrap();
    assert_eq!(second.parent, Some(first.run));
    assert!(first.stored.0 > 6 << 20, "{}", first.stored);
    assert!(second.stored.0 < 3 << 20, "a change of ten bytes stores a chunk or two, not {}", second.stored);
    assert!(fs::read(restored(&world, "second").join("dump")).unwrap() == changed);

    let listed = world.listed(&world.store);
    let sources: Vec<_> =
        listed.iter().map(|one| one.snapshot.as_ref().unwrap().source.kind.as_str()).collect();
    assert_eq!(sources, ["command", "command"]);
}

/// The directory it is restored to is no entry that its manifest lacks.
#[test]
fn a_stream_that_came_back_is_what_was_backed_up() {
    let (world, file) = world();
    world.run_job(&world.command_job(command(Program::new("cat", &[file.to_str().unwrap()])))).unwrap();
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let scratch = world.dir.path().to_owned();
    let wanted = Restoration { component: label("files"), choice: Choice::Latest, scratch };
    let report = lifeboat_verify::restored(&recovery, &wanted, &Silent).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.outcome, report.compared, report.same), (Outcome::Passed, 1, 1));
}

/// The stream of a tenant is under that tenant's key and nobody else's.
#[test]
fn a_stream_belongs_to_its_tenant() {
    let world = World::new();
    let tenant = Tenant::Named("acme".parse().unwrap());
    let source = CommandSource { tenant: tenant.clone(), ..command(shell("echo hello")) };
    let report = world.run_job(&world.command_job(source)).unwrap();
    assert_eq!(report.tenants, 1);
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = world.listed(&world.store);
    let key = listed[0].snapshot.as_ref().unwrap().keys[0].key;
    assert_eq!(recovery.unwrap_tenant_key(&label("w1"), key).unwrap().tenant, tenant);
    assert_eq!(fs::read(restored(&world, "target").join("dump")).unwrap(), b"hello\n");
}

/// However a command fails, however much it wrote before: no snapshot, a clear reason, its last words, and the next
/// run works.
#[test]
fn a_command_that_fails_leaves_no_snapshot() {
    let (world, file) = world();
    let good = world.command_job(command(Program::new("cat", &[file.to_str().unwrap()])));
    world.run_job(&good).unwrap();
    let cat = format!("cat {}", file.display());
    let run = |program: Program| fault(world.run_job(&world.command_job(command(program))));
    let count = || world.listed(&world.store).iter().filter(|one| one.standing == Standing::Counts).count();

    let (why, said) = run(shell(&format!("{cat}; echo early >&2; echo 'it broke' >&2; exit 3")));
    assert!(matches!(why, Fault::Status(3)), "{why}");
    assert_eq!(said, ["early", "it broke"]);
    assert!(matches!(run(shell(&format!("{cat}; kill -9 $$"))).0, Fault::Signal(9)));
    let (why, _) = run(shell(&format!("{cat}; exec >&-; exit 5")));
    assert!(matches!(why, Fault::Status(5)), "it closed its output and failed later: {why}");
    assert!(matches!(run(Program::new("/no/such/program", &[])).0, Fault::NotFound));
    assert!(matches!(run(Program::new("no-such-program", &[])).0, Fault::NotFound));
    let nowhere = Program { directory: "/no/such/place".into(), ..shell("true") };
    assert!(matches!(run(nowhere).0, Fault::Directory { .. }));
    assert!(matches!(run(Program::new(file.to_str().unwrap(), &[])).0, Fault::Start(_)));
    let stranger = Program { user: Some("no-such-user".into()), ..shell("true") };
    assert!(matches!(run(stranger).0, Fault::NoUser(_)));
    assert!(matches!(run(shell("true")).0, Fault::Nothing));
    let (why, _) = run(shell("kill -TTIN $$; echo never"));
    assert!(matches!(why, Fault::Terminal), "it is stopped for ever: {why}");
    assert_eq!(count(), 1, "only the good one");
    assert!(fs::read(restored(&world, "still").join("dump")).unwrap() == content());

    // What may look like a failure and is none.
    let early = world.run_job(&world.command_job(command(shell(&format!("{cat}; exec >&-; exit 0")))));
    assert_eq!(early.unwrap().status, Status::Complete);
    let empty = CommandSource { allow_empty: true, ..command(shell("true")) };
    world.run_job(&world.command_job(empty)).unwrap();
    assert_eq!(fs::read(restored(&world, "empty").join("dump")).unwrap(), b"");
    assert_eq!(count(), 3);
}

/// Whoever is ended is ended with all it started, and none of its output counts.
#[test]
fn nothing_of_a_failed_command_stays_behind() {
    let (world, file) = world();
    let pid = world.dir.path().join("pid");
    let linger = format!("sleep 1000 & echo $! > {}; cat {}", pid.display(), file.display());

    let slow = Program { timeout: Some(Duration::from_millis(700)), ..shell(&format!("{linger}; wait")) };
    let (why, _) = fault(world.run_job(&world.command_job(command(slow))));
    assert!(matches!(why, Fault::Timeout(_)), "{why}");
    await_death(&pid);

    // It ends badly while another holds its output open: nobody waits for that one.
    let (why, _) = fault(world.run_job(&world.command_job(command(shell(&format!("{linger}; exit 4"))))));
    assert!(matches!(why, Fault::Status(4)), "{why}");
    await_death(&pid);

    // One that does not listen is killed.
    let deaf = format!("trap '' TERM; echo $$ > {}; while :; do :; done", pid.display());
    let deaf = Program { timeout: Some(Duration::from_millis(700)), ..shell(&deaf) };
    assert!(matches!(fault(world.run_job(&world.command_job(command(deaf)))).0, Fault::Timeout(_)));
    await_death(&pid);

    let stop = StopOnce { pid: pid.clone(), stopped: AtomicBool::new(false) };
    fs::remove_file(&pid).unwrap();
    let job = world.command_job(command(shell(&format!("{linger}; wait"))));
    let error = world.run_watched(&job, &stop).unwrap_err();
    assert!(matches!(error.kind, BackupErrorKind::Interrupted), "{error}");
    await_death(&pid);
    assert!(world.listed(&world.store).is_empty());
}

/// Asks to stop as soon as the command runs.
struct StopOnce {
    pid: PathBuf,
    stopped: AtomicBool,
}

impl Observer for StopOnce {
    fn tell(&self, _event: Event) {}

    fn cancelled(&self) -> bool {
        let stop = fs::read_to_string(&self.pid).is_ok_and(|text| text.ends_with('\n'));
        self.stopped.fetch_or(stop, Ordering::Relaxed) || stop
    }
}

/// A store that fails in the middle ends the command too.
#[test]
fn a_failing_store_ends_the_command() {
    use lifeboat_repo::store::faulty::{Fault as StoreFault, FaultyStore};
    use lifeboat_repo::store::memory::MemoryStore;
    let memory = MemoryStore::new();
    let world = World::over(std::sync::Arc::new(memory.clone()), tempfile::tempdir().unwrap());
    let pid = world.dir.path().join("pid");
    let endless = format!("echo $$ > {}; exec cat /dev/urandom", pid.display());
    let job = world.command_job(command(shell(&endless)));
    let faulty = std::sync::Arc::new(FaultyStore::new(memory).stop_at(40, StoreFault::Before));
    world.run(faulty, &job, &SystemClock, &Silent).unwrap_err();
    await_death(&pid);
}

/// It gets what it is given and nothing else; and errors do not give away what that was.
#[test]
fn a_command_gets_its_own_environment() {
    let world = World::new();
    let mut program = Program { directory: "/usr".into(), ..Program::new("/usr/bin/env", &[]) };
    program.inherited.set("PASSED", "on");
    program.inherited.set("BOTH", "ours");
    program.environment.set("BOTH", "its own");
    program.environment.set("PGPASSWORD", "hunter2");
    let shown = format!("{program:?}");
    assert!(shown.contains("PGPASSWORD") && !shown.contains("hunter2"), "{shown}");
    world.run_job(&world.command_job(command(program.clone()))).unwrap();
    let text = fs::read_to_string(restored(&world, "env").join("dump")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["BOTH=its own", "PASSED=on", "PGPASSWORD=hunter2"]);
    let failing = Program {
        arguments: vec!["-c".into(), "exit 1 # hunter2".into()],
        program: "/bin/sh".into(),
        ..program
    };
    let error = world.run_job(&world.command_job(command(failing))).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("PGPASSWORD=") && !error.to_string().contains("hunter2"));
}

const SIZE: &str = "LIFEBOAT_TEST_STREAM_MIB";

#[test]
#[ignore = "run by memory_does_not_grow_with_the_stream"]
fn streamed() {
    let Ok(mib) = std::env::var(SIZE) else { return };
    let world = World::over_memory_disk();
    let bytes = mib.parse::<u64>().unwrap() << 20;
    let source = command(Program::new("head", &["-c", &bytes.to_string(), "/dev/urandom"]));
    let report = world.run_job(&world.command_job(source)).unwrap();
    assert_eq!(report.counts.bytes.0, bytes);
    println!("PEAK {}", peak_memory());
}

#[test]
fn memory_does_not_grow_with_the_stream() {
    let peak = |mib: &str| -> u64 {
        let said = in_own_process("streamed", SIZE, mib);
        said.lines().find_map(|line| line.strip_prefix("PEAK ")).unwrap().parse().unwrap()
    };
    // Enough that every buffer is in use in both.
    let (small, large) = (peak("160"), peak("640"));
    println!("160 MiB: {} MB, 640 MiB: {} MB", small / 1_000_000, large / 1_000_000);
    assert!(large < small + (24 << 20), "{small} became {large}");
    assert!(large < 192 << 20, "{large}");
}

// --- a real database

const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

/// A server of its own, for the user `postgres`, on a socket in a directory of its own; stopped by its number.
struct Server {
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        assert!(Path::new(POSTGRES).join("postgres").exists(), "apt-get install postgresql-15");
        let server = Self { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
        let chowned = Command::new("chown").arg("postgres").arg(server.dir.path()).status().unwrap();
        assert!(chowned.success(), "this test needs root, and the user postgres");
        server.tool("initdb", &["-D", "data", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]);
        let options = format!("-k {} -h '' -c fsync=off", server.dir.path().display());
        server.tool("pg_ctl", &["-D", "data", "-o", &options, "-l", "log", "-w", "-s", "start"]);
        server
    }

    /// Runs a tool as the server's user; what it printed.
    fn tool(&self, name: &str, args: &[&str]) -> String {
        let log = fs::File::create(self.dir.path().join("tool.log")).unwrap();
        let out = Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
            .arg(Path::new(POSTGRES).join(name))
            .args(args)
            .current_dir(self.dir.path())
            .env("PGHOST", self.dir.path())
            .stdin(Stdio::null())
            .stderr(log)
            .output()
            .unwrap();
        let told = fs::read_to_string(self.dir.path().join("tool.log")).unwrap();
        assert!(out.status.success(), "{name}: {} {told}", out.status);
        String::from_utf8(out.stdout).unwrap()
    }

    fn sql(&self, database: &str, text: &str) -> String {
        self.tool("psql", &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text])
    }

    /// Everything a database holds, in an order of its own.
    fn everything(&self, database: &str) -> String {
        let schema = self.tool("pg_dump", &["--schema-only", "-d", database]);
        // Newer minor versions put a random key here.
        let schema: String = schema
            .lines()
            .filter(|line| !line.contains("restrict"))
            .map(|line| format!("{line}\n"))
            .collect();
        let rows = self.sql(database, "COPY (SELECT * FROM chats ORDER BY id) TO STDOUT");
        let next = self.sql(database, "COPY (SELECT last_value, is_called FROM chats_id_seq) TO STDOUT");
        format!("{schema}{rows}{next}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let file = fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap_or_default();
        let pid =
            file.lines().next().and_then(|line| line.parse().ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            // It takes its number away when it is done.
            while self.dir.path().join("data/postmaster.pid").exists()
                && rustix::process::test_kill_process(pid).is_ok()
            {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_real_database_is_dumped_restored_and_loaded() {
    let server = Server::start();
    server.tool("createdb", &["crm"]);
    server.sql(
        "crm",
        "CREATE TABLE chats (id serial PRIMARY KEY, tenant text NOT NULL, said text, at timestamptz NOT NULL);
         CREATE INDEX ON chats (tenant, at);
         INSERT INTO chats (tenant, said, at)
           SELECT 'tenant-' || n % 7, repeat(md5(n::text), 1 + n % 9) || E'\\n\\t\\\\ é ☃', timestamptz 'epoch' + n * interval '1 min'
           FROM generate_series(1, 60000) n;
         DELETE FROM chats WHERE id % 1000 = 0",
    );
    let world = World::new();
    let mut program = Program::new(format!("{POSTGRES}/pg_dump"), &["-Fc", "-Z0", "crm"]);
    program.user = Some("postgres".into());
    program.environment.set("PGHOST", server.dir.path());
    let job = world.command_job(CommandSource { stream_name: "crm.dump".into(), ..command(program) });
    let first = world.run_job(&job).unwrap();
    let then = server.everything("crm");

    server.sql("crm", "UPDATE chats SET said = 'changed' WHERE id BETWEEN 30000 AND 30100");
    let second = world.run_job(&job).unwrap();
    assert!(second.stored.0 * 3 < first.stored.0, "{} after {}", second.stored, first.stored);
    assert_ne!(server.everything("crm"), then, "there is a difference that could be missed");

    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    let dump = server.dir.path().join("restored.dump");
    fs::copy(target.join("crm.dump"), &dump).unwrap();
    let owned = fs::metadata(target.join("crm.dump")).unwrap();
    assert_ne!(owned.uid(), 0, "it belongs to whom the command ran as");
    Command::new("chmod").arg("644").arg(&dump).status().unwrap();
    server.tool("createdb", &["crm2"]);
    server.tool("pg_restore", &["--exit-on-error", "-d", "crm2", dump.to_str().unwrap()]);
    assert!(server.everything("crm2") == server.everything("crm"));

    // A database that is not there: no snapshot, and pg_dump's own words.
    let mut program = Program::new(format!("{POSTGRES}/pg_dump"), &["-Fc", "nothing"]);
    program.user = Some("postgres".into());
    program.environment.set("PGHOST", server.dir.path());
    let (why, said) = fault(world.run_job(&world.command_job(command(program))));
    assert!(matches!(why, Fault::Status(1)), "{why}");
    assert!(said.iter().any(|line| line.contains("nothing") && line.contains("does not exist")), "{said:?}");
    assert_eq!(world.listed(&world.store).len(), 2);
}
