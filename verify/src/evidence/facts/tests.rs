use std::time::Duration;

use lifeboat_repo::units::Timestamp;

use super::*;

#[test]
fn moments_have_one_spelling() {
    let moment = Moment::new(Timestamp::new(1_795_813_200, 123_999_999));
    assert_eq!(moment.to_string(), "2026-11-27T21:00:00.123Z");
    assert_eq!(moment.to_string().parse(), Ok(moment));
    assert_eq!((moment.minute(), moment.day()), ("2026-11-27 21:00 UTC".into(), "2026-11-27".into()));
    for bad in
        ["2026-11-27T21:00:00Z", "2026-11-27T22:00:00.000+01:00", "2026-11-27t21:00:00.000Z", "", "now"]
    {
        assert!(bad.parse::<Moment>().is_err(), "{bad}");
    }
}

#[test]
fn durations_are_seconds_to_the_millisecond() {
    let spelled = |nanos| serde_json::to_string(&Seconds::new(Duration::from_nanos(nanos))).unwrap();
    assert_eq!(spelled(3_600_000_000_000), "3600");
    assert_eq!(spelled(1_234_567_890), "1.235");
    for text in ["3600", "0.001", "1.235", "86400.007"] {
        let seconds: Seconds = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&seconds).unwrap(), text);
    }
    assert!(serde_json::from_str::<Seconds>("-1").is_err());
}

#[test]
fn ratios_come_back_as_they_were_written() {
    for number in [0.1 + 0.2, 1.0 / 3.0, 0.000_003, 999.999_999_999, f64::NAN, -1.0, f64::INFINITY] {
        let text = serde_json::to_string(&Ratio::new(number)).unwrap();
        let again: Ratio = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
    assert_eq!(Ratio::new(0.935).percent(), "93.5 %");
}
