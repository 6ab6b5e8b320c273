use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn size(bytes: Bytes, files: u64) -> Size {
    Size { bytes, files }
}

/// A sample of a tenth that took this long.
fn tenth(transfer: Duration) -> Trial {
    Trial {
        restored: size(Bytes::mib(1024), 100_000),
        full: size(Bytes::mib(10_240), 1_000_000),
        whole: false,
        lost: 0,
        planning: Duration::ZERO,
        transfer,
    }
}

fn judge(trial: &Trial) -> RtoVerdict {
    project(trial, RtoObjective::default(), Assumptions::default()).verdict
}

fn is_insufficient(trial: &Trial) -> bool {
    matches!(judge(trial), RtoVerdict::InsufficientEvidence(_))
}

#[test]
fn verdicts_change_exactly_at_target_and_limit() {
    let whole = |transfer| Trial { whole: true, restored: tenth(HOUR).full, ..tenth(transfer) };
    let nanosecond = Duration::from_nanos(1);
    assert_eq!(judge(&whole(24 * HOUR)), RtoVerdict::Met);
    assert_eq!(judge(&whole(24 * HOUR + nanosecond)), RtoVerdict::TargetMissed);
    assert_eq!(judge(&whole(48 * HOUR)), RtoVerdict::TargetMissed);
    assert_eq!(judge(&whole(48 * HOUR + nanosecond)), RtoVerdict::LimitMissed);
    assert_eq!(judge(&tenth(2 * HOUR)), RtoVerdict::Met);
    assert_eq!(judge(&tenth(3 * HOUR)), RtoVerdict::TargetMissed);
    assert_eq!(judge(&tenth(5 * HOUR)), RtoVerdict::LimitMissed);
}

#[test]
fn every_term_counts_and_says_where_it_comes_from() {
    let trial = Trial { planning: Duration::from_secs(60), ..tenth(HOUR) };
    let assumptions = Assumptions { setup: Some(2 * HOUR), cutover: None };
    let rto = project(&trial, RtoObjective::default(), assumptions);
    assert_eq!(rto.projected, 12 * HOUR + Duration::from_secs(60));
    let bases: Vec<_> = rto.terms.iter().map(|term| (term.name, term.basis)).collect();
    assert_eq!(
        bases,
        [
            ("setup", Basis::Assumed),
            ("planning", Basis::Measured),
            ("transfer", Basis::Modelled),
            ("cutover", Basis::Assumed)
        ]
    );
    assert!(rto.terms[0].note.contains("as configured") && rto.terms[3].note.contains("0 assumed"));
    assert!((rto.factor - 10.0).abs() < 1e-9);
    assert!((rto.files_per_second.unwrap() - 100_000.0 / 3600.0).abs() < 1e-9);
    assert!((rto.bytes_per_second.unwrap() - (1_u64 << 30) as f64 / 3600.0).abs() < 1e-6);
    let whole = project(&Trial { whole: true, ..trial }, RtoObjective::default(), assumptions);
    assert_eq!(whole.terms[2].basis, Basis::Measured);
}

#[test]
fn whichever_grows_more_decides() {
    let few_files = Trial { restored: size(Bytes::mib(5120), 1000), ..tenth(HOUR) };
    let rto = project(&few_files, RtoObjective::default(), Assumptions::default());
    assert!((rto.factor - 1000.0).abs() < 1e-9);
    assert_eq!(rto.verdict, RtoVerdict::LimitMissed);
}

#[test]
fn too_little_is_never_a_pass() {
    let sample = |bytes, files| Trial { restored: size(bytes, files), ..tenth(Duration::from_millis(1)) };
    assert!(is_insufficient(&sample(Bytes(SAMPLE_BYTES_MIN.0 - 1), 100_000)));
    assert!(!is_insufficient(&sample(SAMPLE_BYTES_MIN, SAMPLE_FILES_MIN)));
    assert!(is_insufficient(&sample(SAMPLE_BYTES_MIN, SAMPLE_FILES_MIN - 1)));
    assert!(is_insufficient(&sample(Bytes::ZERO, 0)));
    // 1 TiB from 64 MiB: 16,384 times.
    let huge = Trial { full: size(Bytes::mib(1 << 20), 2000), ..sample(SAMPLE_BYTES_MIN, 2000) };
    assert!(is_insufficient(&huge));
    let lossy = Trial { lost: 1, whole: true, ..tenth(HOUR) };
    assert!(is_insufficient(&lossy));
    let empty = Trial { whole: true, restored: Size::default(), full: Size::default(), ..tenth(HOUR) };
    assert!(is_insufficient(&empty));
}

#[test]
fn a_whole_component_suffices_however_small_but_says_so() {
    let small = size(Bytes(10), 1);
    let trial = Trial { whole: true, restored: small, full: small, ..tenth(Duration::from_millis(5)) };
    let rto = project(&trial, RtoObjective::default(), Assumptions::default());
    assert_eq!(rto.verdict, RtoVerdict::Met);
    assert!(rto.notes.iter().any(|note| note.contains("it is small")));
}

#[test]
fn a_component_smaller_than_a_sample_may_be_sampled_to_its_end() {
    let all = size(Bytes::mib(1), 10);
    let trial = Trial { restored: all, full: all, ..tenth(HOUR) };
    assert_eq!(judge(&trial), RtoVerdict::Met);
}

#[test]
fn no_factor_overflows() {
    let trial =
        Trial { restored: size(Bytes(1), 1), full: size(Bytes(u64::MAX), u64::MAX), ..tenth(Duration::MAX) };
    assert_eq!(project(&trial, RtoObjective::default(), Assumptions::default()).projected, Duration::MAX);
}

#[test]
fn json_says_the_verdict_and_seconds() {
    let json =
        serde_json::to_value(project(&tenth(HOUR), RtoObjective::default(), Assumptions::default())).unwrap();
    assert_eq!(json["verdict"], "met");
    assert_eq!(json["objective"]["target"], 86_400.0);
    assert_eq!(json["terms"][2]["basis"], "modelled");
}
