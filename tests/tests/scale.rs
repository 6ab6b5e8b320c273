//! A great deal of data: memory stays bounded, and work grows with the data and no faster.
//!
//! Each case runs at a quarter, half and all of its size, every run in a process of its own, since a process tells
//! only the most memory it ever had. The suite runs a tenth, within a share of the memory; with
//! `LIFEBOAT_SOAK` set, full size it is: a million files, a terabyte with 200,000 extents, 32 GiB from a command.
//! Times are printed with a straight line through them; nothing is asserted of them.

#![cfg(test)]

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lifeboat_backup::{Job, Report};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::{Created, Listed, Store, StoreError, Upload};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::programs::{command, in_own_process, peak_memory, shell};
use lifeboat_tests::proof::scratch;
use lifeboat_tests::{World, files_in};

/// The most memory that any of these may take at full size.
const MEMORY: u64 = 512 << 20;
/// What buffers may take of it, however little there is to do; the rest may grow with the data.
const BUFFERS: u64 = 128 << 20;
/// What one unit of work may cost more at full size than at a quarter: trees of directories and tables have edges.
const GROWTH: f64 = 1.1;
/// Says to a process of its own what to do: size and directory.
const TASK: &str = "LIFEBOAT_SCALE_TASK";

const FILES: u64 = 1_000_000;
const FILES_IN_DIRECTORY: u64 = 500;
const EXTENTS: u64 = 200_000;
const EXTENT: u64 = 4 << 10;
/// From the beginning of one extent to the next: 200,000 of them span a terabyte.
const STRIDE: u64 = 5_000_000;
const STREAM: u64 = 32 << 30;

/// A local store that counts, and forgets packs if it is told to: what it holds is on a disk, not in this process.
struct CountingStore {
    inner: LocalStore,
    forgets: bool,
    forgotten: Mutex<Vec<Listed>>,
    operations: AtomicU64,
    bytes: AtomicU64,
}

struct CountingUpload<'s> {
    store: &'s CountingStore,
    inner: Option<Box<dyn Upload + 's>>,
    length: u64,
}

impl CountingStore {
    fn new(dir: &Path, forgets: bool) -> Self {
        Self {
            inner: LocalStore::create_at(&dir.join("repository")).unwrap(),
            forgets,
            forgotten: Mutex::default(),
            operations: AtomicU64::default(),
            bytes: AtomicU64::default(),
        }
    }

    fn count(&self, bytes: u64) -> &LocalStore {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        &self.inner
    }
}

impl Store for CountingStore {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.count(bytes.len() as u64).create(name, bytes)
    }
    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.count(bytes.len() as u64).stage(name, bytes)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        let inner = if self.forgets { None } else { Some(self.count(0).upload()?) };
        Ok(Box::new(CountingUpload { store: self, inner, length: 0 }))
    }
    fn barrier(&self) -> Result<(), StoreError> {
        self.count(0).barrier()
    }
    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        self.count(0).read(name, limit)
    }
    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.count(0).read_range(name, offset, length, into)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.count(0).list(prefix)?;
        let forgotten = self.forgotten.lock().unwrap();
        listed.extend(forgotten.iter().filter(|pack| pack.name.as_str().starts_with(prefix)).cloned());
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        let forgotten = self.forgotten.lock().unwrap().iter().find(|pack| pack.name == *name).cloned();
        if forgotten.is_some() { Ok(forgotten) } else { self.count(0).stat(name) }
    }
    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.count(0).delete(name)
    }
    fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now()
    }
}

impl Upload for CountingUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.length += bytes.len() as u64;
        self.store.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.inner.as_mut().map_or(Ok(()), |inner| inner.write(bytes))
    }
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        self.store.operations.fetch_add(1, Ordering::Relaxed);
        if let Some(inner) = self.inner {
            return inner.finish(name);
        }
        let modified = self.store.now()?;
        let pack = Listed { name: name.clone(), length: Bytes(self.length), modified };
        self.store.forgotten.lock().unwrap().push(pack);
        Ok(())
    }
}

/// What one run took, stage by stage.
#[derive(Debug, Clone)]
struct Stage {
    name: String,
    seconds: f64,
    peak: u64,
    operations: u64,
    bytes: u64,
}

/// A world over a counting store, in a process of its own.
struct Bench {
    world: World,
    store: Arc<CountingStore>,
}

impl Bench {
    fn new(dir: &Path, forgets: bool) -> Self {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let store = Arc::new(CountingStore::new(dir.path(), forgets));
        let shared: Arc<dyn Store> = store.clone();
        Self { world: World::over(shared, dir), store }
    }

    /// Does something and prints what it took, for the process that waits.
    fn stage<T>(&self, name: &str, work: impl FnOnce(&World) -> T) -> T {
        let counts =
            || [&self.store.operations, &self.store.bytes].map(|count| count.load(Ordering::Relaxed));
        let (before, began) = (counts(), Instant::now());
        let done = work(&self.world);
        let [operations, bytes] = counts();
        let took = began.elapsed().as_secs_f64();
        println!("stage {name} {took} {} {} {}", peak_memory(), operations - before[0], bytes - before[1]);
        done
    }

    fn back_up(&self, name: &str, source: &Path) -> Report {
        let job = Job { source: files_in(source.to_owned()), ..self.world.job() };
        self.stage(name, |world| world.run_job(&job).unwrap())
    }

    fn restore(&self) -> PathBuf {
        let target = self.world.dir.path().join("out");
        self.stage("restore", |world| world.restore(&target).unwrap());
        target
    }
}

/// Size and directory that this process was given.
fn task() -> (u64, PathBuf) {
    let text = std::env::var(TASK).expect("only another test runs this");
    let (size, dir) = text.split_once(' ').unwrap();
    (size.parse().unwrap(), PathBuf::from(dir))
}

/// What makes the source in a directory, at a size; the test that then works on it, and a unit in words.
struct Case {
    name: &'static str,
    unit: &'static str,
    full: u64,
    make: fn(&Path, u64),
    worker: &'static str,
}

impl Case {
    /// Runs three sizes, prints the table, and holds memory and work to what is promised.
    fn run(&self) {
        let soak = std::env::var_os("LIFEBOAT_SOAK").is_some();
        let largest = if soak { self.full } else { self.full / 10 };
        let sizes = [largest / 4, largest / 2, largest];
        let runs: Vec<Vec<Stage>> = sizes.iter().map(|size| self.measure(*size)).collect();
        let mut table = format!("{} ({}; peak memory is that of the process so far)\n", self.name, self.unit);
        for (size, stages) in sizes.iter().zip(&runs) {
            for stage in stages {
                let Stage { name, seconds, peak, operations, bytes } = stage;
                let peak = peak >> 20;
                writeln!(
                    table,
                    "  {size:>11} {name:<10} {seconds:8.2} s  {peak:4} MiB  {operations:6} operations  {bytes:>12} bytes put"
                )
                .unwrap();
            }
        }
        let [small, _, large] = &runs[..] else { unreachable!() };
        for (index, (few, many)) in small.iter().zip(large).enumerate() {
            let times: Vec<f64> = runs.iter().map(|stages| stages[index].seconds).collect();
            let (each, start, fit) = line(&sizes, &times);
            writeln!(
                table,
                "  {}: {start:.2} s + {:.3} µs each, R² {fit:.4}; {:.1} bytes of memory each",
                many.name,
                each * 1e6,
                many.peak.saturating_sub(few.peak) as f64 / (largest - largest / 4) as f64,
            )
            .unwrap();
        }
        println!("{table}");
        // In u128: 32 GiB times 384 MiB.
        let limit = u128::from(MEMORY - BUFFERS) * u128::from(largest) / u128::from(self.full);
        let limit = BUFFERS + u64::try_from(limit).unwrap();
        for (index, (few, many)) in small.iter().zip(large).enumerate() {
            assert!(many.peak <= limit, "{}: more than {limit} bytes of memory\n{table}", many.name);
            // What a small run does once does not count as growth; what is done per unit does.
            for (kind, few, many) in
                [("operations", few.operations, many.operations), ("bytes", few.bytes, many.bytes)]
            {
                assert!(
                    many as f64 <= 4.0 * few as f64 * GROWTH,
                    "stage {index}: {kind} outgrow data\n{table}"
                );
            }
        }
    }

    fn measure(&self, size: u64) -> Vec<Stage> {
        let dir = scratch();
        (self.make)(dir.path(), size);
        let said = in_own_process(self.worker, TASK, &format!("{size} {}", dir.path().display()));
        let stages: Vec<Stage> = said.lines().filter_map(parse).collect();
        assert!(!stages.is_empty(), "{said}");
        stages
    }
}

fn parse(line: &str) -> Option<Stage> {
    let (_, told) = line.split_once("stage ")?;
    let fields: Vec<&str> = told.split(' ').collect();
    let [name, seconds, peak, operations, bytes] = fields[..] else { return None };
    Some(Stage {
        name: name.to_owned(),
        seconds: seconds.parse().ok()?,
        peak: peak.parse().ok()?,
        operations: operations.parse().ok()?,
        bytes: bytes.parse().ok()?,
    })
}

/// The straight line through the times: seconds a unit, seconds to start with, and how well it fits.
fn line(sizes: &[u64], times: &[f64]) -> (f64, f64, f64) {
    let count = times.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let sizes: Vec<f64> = sizes.iter().map(|size| *size as f64).collect();
    let (x, y) = (mean(&sizes), mean(times));
    let pairs = || sizes.iter().zip(times);
    let each = pairs().map(|(a, b)| (a - x) * (b - y)).sum::<f64>()
        / sizes.iter().map(|a| (a - x).powi(2)).sum::<f64>();
    let start = y - each * x;
    let missed: f64 = pairs().map(|(a, b)| (b - start - each * a).powi(2)).sum();
    let spread: f64 = times.iter().map(|b| (b - y).powi(2)).sum();
    (each, start, 1.0 - missed / spread)
}

#[test]
fn many_files() {
    Case { name: "small files", unit: "files", full: FILES, make: make_files, worker: "work_on_files" }.run();
}

#[test]
fn many_extents() {
    Case {
        name: "a sparse file",
        unit: "extents of 4 KiB",
        full: EXTENTS,
        make: make_extents,
        worker: "work_on_extents",
    }
    .run();
}

#[test]
fn a_long_stream() {
    Case {
        name: "random output of a command",
        unit: "bytes",
        full: STREAM,
        make: |_, _| {},
        worker: "work_on_a_stream",
    }
    .run();
}

fn make_files(dir: &Path, count: u64) {
    let root = dir.join("data");
    for index in 0..count {
        let directory = root.join(format!("{:05}", index / FILES_IN_DIRECTORY));
        if index % FILES_IN_DIRECTORY == 0 {
            std::fs::create_dir_all(&directory).unwrap();
        }
        std::fs::write(directory.join(format!("message-{index:07}")), index.to_le_bytes()).unwrap();
    }
}

#[test]
#[ignore = "many_files runs it in a process of its own"]
fn work_on_files() {
    let (count, dir) = task();
    let source = dir.join("data");
    let bench = Bench::new(&dir, false);
    assert_eq!(bench.back_up("first", &source).counts.files, count);
    let again = bench.back_up("unchanged", &source);
    assert_eq!(again.counts.files, count);
    let out = bench.restore();
    let last = format!("{:05}/message-{:07}", (count - 1) / FILES_IN_DIRECTORY, count - 1);
    assert_eq!(std::fs::read(out.join(last)).unwrap(), (count - 1).to_le_bytes());
}

fn make_extents(dir: &Path, count: u64) {
    std::fs::create_dir(dir.join("data")).unwrap();
    let file = File::create(dir.join("data/disk")).unwrap();
    file.set_len(count * STRIDE).unwrap();
    for index in 0..count {
        let block: Vec<u8> = (0..EXTENT / 8).flat_map(|word| (index << 16 | word).to_le_bytes()).collect();
        file.write_all_at(&block, extent_start(index)).unwrap();
    }
}

/// Where an extent begins: on a page.
fn extent_start(index: u64) -> u64 {
    index * STRIDE / EXTENT * EXTENT
}

#[test]
#[ignore = "many_extents runs it in a process of its own"]
fn work_on_extents() {
    let (count, dir) = task();
    let bench = Bench::new(&dir, false);
    bench.back_up("first", &dir.join("data"));
    bench.back_up("unchanged", &dir.join("data"));
    let restored = File::open(bench.restore().join("disk")).unwrap();
    assert_eq!(restored.metadata().unwrap().len(), count * STRIDE);
    let mut block = [0; 8];
    restored.read_exact_at(&mut block, extent_start(count - 1)).unwrap();
    assert_eq!(u64::from_le_bytes(block), (count - 1) << 16);
}

#[test]
#[ignore = "a_long_stream runs it in a process of its own"]
fn work_on_a_stream() {
    let (size, dir) = task();
    let bench = Bench::new(&dir, true);
    let job = bench.world.command_job(command(shell(&format!("head -c {size} /dev/urandom"))));
    let report = bench.stage("backup", |world| world.run_job(&job).unwrap());
    assert_eq!(report.counts.bytes.0, size);
    assert!(bench.store.bytes.load(Ordering::Relaxed) > size, "random bytes do not shrink");
}
