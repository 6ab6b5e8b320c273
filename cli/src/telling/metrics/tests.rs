use serde_json::json;

use super::*;

fn facts<'a>(verb: &'static str, exit: Exit, at: i64, result: Option<&'a Value>) -> Facts<'a> {
    let now = Timestamp::new(at, 0);
    Facts { verb, exit, now, took: Duration::from_millis(1500), result, components: None }
}

fn get(samples: &Samples, family: &'static str, labels: &str) -> Option<f64> {
    samples.0.get(&(family, labels.to_owned())).copied()
}

#[test]
fn the_last_success_outlives_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lifeboat.prom");
    let good = json!({ "components": [
        { "component": "chats", "region": "eu-fra", "exit": 0, "seconds": 2.5, "stored_bytes": 100,
          "counts": { "bytes": 5000, "files": 7, "entries": 9 }, "problems_total": 0,
          "recovery_point": "2026-11-23T03:00:00Z" }] });
    write(&file, &facts("backup", Exit::Ok, 1_000, Some(&good))).unwrap();
    let bad = json!({ "components": [
        { "component": "chats", "region": "eu-fra", "exit": 1, "error": {} },
        { "component": "mail", "region": "eu-fra", "exit": 7, "error": {} }] });
    write(&file, &facts("backup", Exit::Refused, 2_000, Some(&bad))).unwrap();
    write(&file, &facts("verify", Exit::Usage, 3_000, None)).unwrap();

    let text = fs::read_to_string(&file).unwrap();
    let samples = Samples::read(&text);
    assert_eq!(samples.text(), text, "what is read is what was written");
    let chats = "component=\"chats\",region=\"eu-fra\"";
    assert_eq!(get(&samples, BACKUP_SUCCESS, chats), Some(1_000.0));
    assert_eq!(get(&samples, BACKUP_EXIT, chats), Some(1.0));
    assert_eq!(get(&samples, BACKUP_POINT, chats), Some(1_795_402_800.0));
    assert_eq!(get(&samples, BACKUP_SOURCE, chats), Some(5_000.0));
    assert_eq!(get(&samples, BACKUP_SUCCESS, "component=\"mail\",region=\"eu-fra\""), None);
    assert_eq!(get(&samples, LAST_SUCCESS, "verb=\"backup\""), Some(1_000.0));
    assert_eq!(get(&samples, LAST_RUN, "verb=\"backup\""), Some(2_000.0));
    assert_eq!(get(&samples, EXIT, "verb=\"verify\""), Some(2.0));
    assert!(text.contains("lifeboat_duration_seconds{verb=\"backup\"} 1.5\n") && text.ends_with("# EOF\n"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the file and its lock");
}

#[test]
fn locks_bundles_and_replicas_are_told() {
    let mut samples = Samples::default();
    let mut tell = |verb: &'static str, at: i64, result: Value| {
        samples = merged(std::mem::take(&mut samples), &facts(verb, Exit::Ok, at, Some(&result)));
    };
    tell(
        "locks",
        1,
        json!({ "regions": [{ "region": "eu", "kinds": [
        { "kind": "packs", "objects": 3, "earliest": "2026-11-23T03:00:00Z", "due": 2, "unlocked": 1 }] }] }),
    );
    tell(
        "keys bundle",
        10,
        json!({ "regions": [{ "region": "eu", "bundle": "bundles/20261127.00000000" }] }),
    );
    tell("keys bundle", 20, json!({ "regions": [{ "region": "eu", "bundles": [] }] }));
    tell(
        "replicate",
        30,
        json!({ "regions": [{ "region": "eu", "exit": 0 }, { "region": "us", "exit": 4 }] }),
    );
    tell(
        "status",
        40,
        json!({ "components": [{ "component": "chats", "region": "eu", "rpo": "met",
        "replica": { "recovery_point": "2026-11-23T03:00:00Z" } }],
        "whole": { "projection": { "range": { "low": 60, "high": 90.5 } } } }),
    );
    let packs = "region=\"eu\",kind=\"packs\"";
    let moment = Some(1_795_402_800.0);
    assert_eq!((get(&samples, LOCK_END, packs), get(&samples, LOCK_DUE, packs)), (moment, Some(3.0)));
    assert_eq!(get(&samples, RTO_WHOLE, ""), Some(90.5));
    assert_eq!(get(&samples, BUNDLE_PUT, "region=\"eu\""), Some(10.0), "a listing puts nothing");
    assert_eq!(get(&samples, REPLICATE_SUCCESS, "region=\"eu\""), Some(30.0));
    assert_eq!(get(&samples, REPLICATE_SUCCESS, "region=\"us\""), None);
    assert_eq!(get(&samples, REPLICA_POINT, "component=\"chats\",region=\"eu\""), moment);
}

#[test]
fn families_are_sorted_and_say_what_they_are() {
    for family in FAMILIES {
        assert!(family.name.starts_with("lifeboat_") && family.help.ends_with('.'), "{}", family.name);
    }
    assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    let mut samples = Samples::default();
    samples.set(EXIT, &[("verb", "a\"} 1\nb")], 3.0);
    assert_eq!(Samples::read(&samples.text()).text(), samples.text());
}
