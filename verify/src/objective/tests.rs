use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Twelve trials that differ in files a byte, cost exactly 1 µs a byte fetched and 1 ms a file, and are together one
/// tenth of the whole. The whole takes this many times as long as all of them.
fn tenth() -> Measurements {
    let streams = [8, 4, 8, 1, 8, 2, 8, 1, 8, 4, 8, 2];
    let trial = |(at, streams): (u64, u32)| {
        let work =
            Work { bytes: Bytes::mib(20), fetched: Bytes::mib(10), requests: 3, files: 100 + 400 * at };
        let seconds = work.fetched.0 as f64 * 1e-6 + work.files as f64 * 1e-3;
        let (stratum, transfer) = (String::new(), Duration::from_secs_f64(seconds));
        Trial { work, streams, stratum, lost: 0, transfer }
    };
    let trials: Vec<Trial> = (0..).zip(streams).map(trial).collect();
    let one: Work = trials.iter().map(|trial| trial.work).sum();
    let full = (0..10).map(|_| one).sum();
    Measurements { trials, full, ..Measurements::default() }
}

/// The whole, restored in this time.
fn whole(transfer: Duration) -> Measurements {
    let full = Work { bytes: Bytes::mib(1024), fetched: Bytes::mib(512), requests: 300, files: 100_000 };
    let trial = Trial { work: full, streams: 2, stratum: String::new(), lost: 0, transfer };
    Measurements { trials: vec![trial], full, whole: true, ..Measurements::default() }
}

fn judge(measured: &Measurements, objective: RtoObjective) -> Rto {
    project(measured, Least::default(), objective, &Assumptions::default())
}

fn reason(measured: &Measurements) -> String {
    match judge(measured, RtoObjective::default()).verdict {
        RtoVerdict::InsufficientEvidence(why) => why,
        other => other.to_string(),
    }
}

#[test]
fn the_upper_end_decides_exactly_at_target_and_limit() {
    let objective = RtoObjective { target: 25 * HOUR, limit: 50 * HOUR };
    let verdict = |transfer| judge(&whole(transfer), objective).verdict;
    let millisecond = Duration::from_millis(1);
    assert_eq!(verdict(20 * HOUR), RtoVerdict::Met);
    assert_eq!(verdict(20 * HOUR + millisecond), RtoVerdict::TargetMissed);
    assert_eq!(verdict(40 * HOUR), RtoVerdict::TargetMissed);
    assert_eq!(verdict(40 * HOUR + millisecond), RtoVerdict::LimitMissed);
}

#[test]
fn every_term_counts_and_says_where_it_comes_from() {
    let retrieval = Retrieval { class: "GLACIER".into(), wait: 5 * HOUR, source: "its maker".into() };
    let assumptions = Assumptions {
        setup: Some(2 * HOUR),
        retrieval: Some(retrieval),
        replay: Some(HOUR),
        ..Assumptions::default()
    };
    let measured = Measurements { planning: Duration::from_secs(60), ..tenth() };
    let rto = project(&measured, Least::default(), RtoObjective::default(), &assumptions);
    let of = |name: &str| rto.terms.iter().find(|term| term.name == name).unwrap();
    let names: Vec<&str> = rto.terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "setup",
            "retrieval",
            "planning",
            "bytes",
            "requests",
            "files",
            "replay",
            "erasures",
            "checks",
            "cutover"
        ]
    );
    assert_eq!((of("setup").basis, of("planning").basis), (Basis::Assumed, Basis::Measured));
    assert_eq!((of("files").basis, of("cutover").basis), (Basis::Modelled, Basis::Assumed));
    assert!(of("setup").note.contains("as configured") && of("cutover").note.contains("0 assumed"));
    assert!(of("retrieval").note.contains("GLACIER"));
    let close = |time: Duration, seconds: f64| (time.as_secs_f64() / seconds - 1.0).abs() < 0.01;
    assert!(close(of("bytes").time, 10.0 * 12.0 * f64::from(10 << 20) * 1e-6), "{rto:#?}");
    assert!(close(of("files").time, 10.0 * (1200.0 + 400.0 * 66.0) * 1e-3), "{rto:#?}");
    assert!((rto.factor - 10.0).abs() < 1e-9);
    let sum: Duration = rto.terms.iter().map(|term| term.time).sum();
    assert_eq!(rto.projected, sum);
    // Only what was measured spreads: trials by no less than a tenth, what was timed once by a quarter.
    let transfer = of("bytes").time + of("requests").time + of("files").time;
    let rest = sum - transfer - Duration::from_secs(60);
    assert!(close(rto.range.high - rest, transfer.as_secs_f64() * 1.1 + 75.0));
    assert!(close(rto.range.low - rest, transfer.as_secs_f64() / 1.1 + 48.0));
}

#[test]
fn too_little_is_never_a_pass() {
    assert_eq!(judge(&tenth(), RtoObjective::default()).verdict, RtoVerdict::Met);
    let cut = |change: fn(&mut Measurements)| {
        let mut measured = tenth();
        change(&mut measured);
        reason(&measured)
    };
    let full = |n: usize, m: &mut Measurements| m.full = (0..n).map(|_| m.full).sum();
    assert!(cut(|m| m.trials[0].lost = 1).contains("could not be restored"));
    assert!(cut(|m| m.trials.clear()).contains("nothing was restored"));
    assert!(
        cut(|m| m.trials.iter_mut().for_each(|t| t.work.bytes = Bytes::mib(5))).contains("at least 67.1 MB")
    );
    assert!(cut(|m| m.trials.iter_mut().for_each(|t| t.work.files = 80)).contains("at least 1000"));
    let few = cut(|m| {
        m.trials.truncate(7);
        m.full = m.trials.iter().chain(&m.trials).map(|trial| trial.work).sum();
    });
    assert!(few.contains("fewer than 8"), "{few}");
    // 2 % of the whole, and a share that just suffices.
    let mut small = tenth();
    full(5, &mut small);
    assert!(reason(&small).contains("50 times the sample"));
    let mut enough = tenth();
    full(2, &mut enough);
    assert_eq!(reason(&enough), "met");
    // Trials that contradict one another.
    let wild = cut(|m| m.trials.iter_mut().step_by(3).for_each(|t| t.transfer *= 5));
    assert!(wild.contains("says nothing"), "{wild}");
    // What the whole is made of was not in the sample.
    let other = cut(|m| {
        m.trials.iter_mut().for_each(|t| t.work.files /= 5);
        m.full.files = m.trials.iter().map(|t| t.work.files).sum::<u64>() * 19;
    });
    assert_eq!(other, "met");
    let other = cut(|m| {
        m.trials.iter_mut().for_each(|t| t.work.files = 120);
        m.full.files = 120 * 12 * 20;
        (m.full.bytes, m.full.requests) = (Bytes(m.full.bytes.0 / 4), m.full.requests / 4);
    });
    assert!(other.contains("many more files a byte"), "{other}");
}

#[test]
fn a_whole_component_suffices_however_small_but_says_so() {
    let mut measured = whole(Duration::from_millis(5));
    let small = Work { bytes: Bytes(10), fetched: Bytes(10), requests: 1, files: 1 };
    (measured.full, measured.trials[0].work) = (small, small);
    let rto = judge(&measured, RtoObjective::default());
    assert_eq!(rto.verdict, RtoVerdict::Met);
    assert!(rto.notes.iter().any(|note| note.contains("it is small")));
    measured.trials[0].lost = 1;
    assert!(reason(&measured).contains("could not be restored"));
}

#[test]
fn json_says_the_verdict_and_seconds_and_is_read_again() {
    let rto = judge(&tenth(), RtoObjective::default());
    let json = serde_json::to_value(&rto).unwrap();
    assert_eq!(json["verdict"], "met");
    assert_eq!(json["objective"]["target"], 86_400.0);
    assert_eq!(json["terms"][3]["basis"], "modelled");
    let again: Rto = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), json);
    let none = judge(&Measurements::default(), RtoObjective::default());
    let again: Rto = serde_json::from_value(serde_json::to_value(&none).unwrap()).unwrap();
    assert_eq!(again.verdict, none.verdict);
}
