//! Limits hold: on bandwidth by the hour, on a clock of the test's own, and on memory.

#![cfg(test)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::civil::time;
use jiff::tz::TimeZone;
use lifeboat_backup::{BackupErrorKind, Job, Resources};
use lifeboat_repo::clock::Clock;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::recorder::{Change, RecordingStore};
use lifeboat_repo::store::throttled::{Pause, Rates, Throttle, ThrottledStore, Window};
use lifeboat_repo::units::{ByteRate, Bytes, Timestamp};
use lifeboat_tests::programs::{in_own_process, peak_memory};
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, write};

/// A clock that moves only when somebody waits, or by hand.
#[derive(Clone)]
struct FakeTime(Arc<Mutex<(Timestamp, Duration)>>);

impl FakeTime {
    fn at(text: &str) -> Self {
        let now: jiff::Timestamp = text.parse().unwrap();
        Self(Arc::new(Mutex::new((now.into(), Duration::ZERO))))
    }

    fn jump(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        now.0 = Timestamp::new(now.0.seconds() + seconds, now.0.nanos());
    }

    /// How long was waited in all.
    fn waited(&self) -> f64 {
        self.0.lock().unwrap().1.as_secs_f64()
    }
}

impl Clock for FakeTime {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }
}

impl Pause for FakeTime {
    fn pause(&self, how_long: Duration) {
        let mut now = self.0.lock().unwrap();
        now.0 = now.0.plus(how_long);
        now.1 += how_long;
    }
}

fn mb(count: u64) -> ByteRate {
    ByteRate(Bytes(count * 1_000_000))
}

fn always(rate: ByteRate) -> Rates {
    Rates { always: Some(rate), windows: Vec::new() }
}

fn throttle(rates: Rates, time: &FakeTime) -> Arc<Throttle> {
    Arc::new(Throttle::new(rates, Box::new(time.clone()), Box::new(time.clone())))
}

#[track_caller]
fn about(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 0.3, "{found} s, expected {expected} s");
}

#[test]
fn bytes_take_their_time_whichever_way_they_go() {
    let time = FakeTime::at("2026-11-23T12:00:00Z");
    let store = ThrottledStore::new(Arc::new(MemoryStore::new()), throttle(always(mb(2)), &time));
    let bytes = vec![7; 10_000_000];
    let name = |text: &str| text.parse().unwrap();
    store.stage(&name("x/staged"), &bytes).unwrap();
    about(time.waited(), 5.0);
    let mut upload = store.upload().unwrap();
    upload.write(&bytes).unwrap();
    upload.finish(&name("x/uploaded")).unwrap();
    store.barrier().unwrap();
    about(time.waited(), 10.0);
    assert_eq!(store.create(&name("x/created"), &bytes).unwrap().to_string(), "created");
    about(time.waited(), 15.0);
    assert_eq!(store.read(&name("x/staged"), Bytes::mib(64)).unwrap(), bytes);
    about(time.waited(), 20.0);
    let mut part = Vec::new();
    store.read_range(&name("x/uploaded"), Bytes(5), Bytes(4_000_000), &mut part).unwrap();
    assert_eq!(part.len(), 4_000_000);
    about(time.waited(), 22.0);
    assert_eq!(store.list("x/").unwrap().len(), 3);
    about(time.waited(), 22.0);
    // What does not come is not waited for, whatever length somebody claims.
    store.read_range(&name("x/uploaded"), Bytes(5), Bytes(1 << 40), &mut part).unwrap_err();
    about(time.waited(), 22.0);
}

/// What was not used is not saved up; two stores behind one throttle share it.
#[test]
fn a_throttle_is_the_hosts() {
    let time = FakeTime::at("2026-11-23T12:00:00Z");
    let throttle = throttle(always(mb(1)), &time);
    let stores: Vec<ThrottledStore> =
        (0..2).map(|_| ThrottledStore::new(Arc::new(MemoryStore::new()), Arc::clone(&throttle))).collect();
    for store in &stores {
        store.stage(&"x/y".parse().unwrap(), &vec![0; 3_000_000]).unwrap();
    }
    about(time.waited(), 6.0);
    time.jump(3600);
    stores[0].stage(&"x/z".parse().unwrap(), &vec![0; 3_000_000]).unwrap();
    about(time.waited(), 9.0);
}

/// A pause that only notes how long it should be: as if others waited at the same moment.
struct Noted(Arc<Mutex<Vec<Duration>>>);

impl Pause for Noted {
    fn pause(&self, how_long: Duration) {
        self.0.lock().unwrap().push(how_long);
    }
}

#[test]
fn whoever_comes_while_others_wait_waits_behind_them() {
    let (time, noted) = (FakeTime::at("2026-11-23T12:00:00Z"), Arc::default());
    let rates = always(ByteRate(Bytes(100_000)));
    let throttle = Throttle::new(rates, Box::new(time.clone()), Box::new(Noted(Arc::clone(&noted))));
    for _ in 0..3 {
        throttle.wait_for(Bytes(100_000));
    }
    time.jump(2);
    throttle.wait_for(Bytes(100_000));
    let seconds: Vec<u64> = noted.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [1, 2, 3, 2]);
}

#[test]
fn hours_have_rates_of_their_own() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let day =
        Window { from: time(8, 0, 0, 0), to: time(18, 0, 0, 0), zone: berlin.clone(), rate: Some(mb(1)) };
    let night = Window { from: time(22, 0, 0, 0), to: time(6, 0, 0, 0), zone: berlin, rate: None };
    let rates = Rates { always: Some(mb(5)), windows: vec![day, night] };
    let rate = |text: &str| rates.at(text.parse::<jiff::Timestamp>().unwrap().into());
    // Winter is one hour ahead of UTC, summer two.
    for (moment, expected) in [
        ("2026-11-23T06:59:59Z", Some(mb(5))),
        ("2026-11-23T07:00:00Z", Some(mb(1))),
        ("2026-11-23T16:59:59Z", Some(mb(1))),
        ("2026-11-23T17:00:00Z", Some(mb(5))),
        ("2026-07-23T05:59:59Z", Some(mb(5))),
        ("2026-07-23T06:00:00Z", Some(mb(1))),
        ("2026-07-23T16:00:00Z", Some(mb(5))),
        ("2026-11-23T20:59:59Z", Some(mb(5))),
        ("2026-11-23T21:00:00Z", None),
        ("2026-11-24T00:00:00Z", None),
        ("2026-11-24T04:59:59Z", None),
        ("2026-11-24T05:00:00Z", Some(mb(5))),
    ] {
        assert_eq!(rate(moment), expected, "{moment}");
    }
    // From 17:59:55 in Berlin: 5 s at 1 MB/s, the other 20 MB at 5 MB/s.
    let now = FakeTime::at("2026-11-23T16:59:55Z");
    throttle(rates.clone(), &now).wait_for(Bytes(25_000_000));
    about(now.waited(), 9.0);
    let now = FakeTime::at("2026-11-23T23:00:00Z");
    throttle(rates, &now).wait_for(Bytes(25_000_000));
    about(now.waited(), 0.0);
}

#[test]
fn a_clock_that_jumps_costs_one_step() {
    for jump in [-86_400, -1, 1, 86_400, 315_360_000] {
        let time = FakeTime::at("2026-11-23T12:00:00Z");
        let throttle = throttle(always(mb(1)), &time);
        throttle.wait_for(Bytes(5_000_000));
        time.jump(jump);
        throttle.wait_for(Bytes(5_000_000));
        assert!((time.waited() - 10.0).abs() <= 0.6, "{jump} s: {}", time.waited());
    }
}

/// A whole backup and a whole restore take the time that their bytes take.
#[test]
fn backup_and_restore_keep_to_it() {
    let time = FakeTime::at("2026-11-23T12:00:00Z");
    let recorder = Arc::new(RecordingStore::new(MemoryStore::new()));
    let throttle = throttle(always(ByteRate(Bytes(100_000))), &time);
    let store = Arc::new(ThrottledStore::new(Arc::clone(&recorder) as Arc<dyn Store>, throttle));
    let world = World::over(store, tempfile::tempdir().unwrap());
    write(&world.source(), "tenants/acme/file", &noise(3, 3_000_000));
    let (began, stored) = (time.waited(), recorder.changes().len());
    world.backup().unwrap();
    let put: usize = recorder
        .changes()
        .iter()
        .skip(stored)
        .map(|recorded| match &recorded.change {
            Change::Stage { bytes, .. } | Change::Finish { bytes, .. } | Change::Create { bytes, .. } => {
                bytes.len()
            }
            Change::Delete { .. } | Change::Barrier => 0,
        })
        .sum();
    let (took, least) = (time.waited() - began, put as f64 / 100_000.0);
    assert!(put > 3_000_000 && took >= least && took < least + 5.0, "{put} bytes took {took} s");
    let began = time.waited();
    world.restore(&world.dir.path().join("target")).unwrap();
    let took = time.waited() - began;
    assert!((30.0..45.0).contains(&took), "{took} s");
}

const MEMORY: &str = "LIFEBOAT_TEST_MEMORY_MIB";

#[test]
#[ignore = "run by memory_stays_within_its_limit"]
fn backed_up() {
    let Ok(mib) = std::env::var(MEMORY) else { return };
    let memory = Some(mib.parse().unwrap()).filter(|mib| *mib > 0).map(Bytes::mib);
    let world = World::over_memory_disk();
    // So many tenants that all their segments at once would not fit.
    for tenant in 0..64_u64 {
        for part in 0..3 {
            write(
                &world.source(),
                &format!("tenants/t{tenant}/{part}"),
                &noise(tenant * 3 + part + 1, 1_000_000),
            );
        }
    }
    let job = Job { resources: Resources { threads: None, memory }, ..world.job() };
    let report = world.run_job(&job).unwrap();
    let peak = peak_memory();
    assert_eq!(report.counts.files, 192);
    println!("PEAK {peak}");
}

#[test]
fn memory_stays_within_its_limit() {
    let peak = |mib: &str| -> u64 {
        let said = in_own_process("backed_up", MEMORY, mib);
        said.lines().find_map(|line| line.strip_prefix("PEAK ")).unwrap().parse().unwrap()
    };
    let (free, limited) = (peak("0"), peak("128"));
    println!("without a limit {} MB, with 128 MiB {} MB", free / 1_000_000, limited / 1_000_000);
    assert!(limited <= 128 << 20, "{limited}");
    assert!(free > 192 << 20, "{free}: this tree would fit anyway, and shows nothing");
}

#[test]
fn too_little_memory_is_refused() {
    let world = World::new();
    let job = Job { resources: Resources { threads: None, memory: Some(Bytes::mib(20)) }, ..world.job() };
    let error = world.run_job(&job).unwrap_err();
    let BackupErrorKind::Limits(why) = &error.kind else { panic!("{error}") };
    assert!(why.asked == Bytes::mib(20) && error.to_string().contains("at least"), "{error}");
    let just = Job { resources: Resources { threads: None, memory: Some(why.least) }, ..world.job() };
    world.run_job(&just).unwrap();
}
