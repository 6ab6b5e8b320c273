//! What is shown: valid by NIST's schema and by a validator of other people's, and a page that asks nobody for anything.

use std::fs;
use std::num::NonZeroU32;
use std::process::Command;
use std::time::Duration;

use lifeboat_repo::units::Timestamp;
use lifeboat_verify::evidence::controls::Standing;
use lifeboat_verify::evidence::facts::{Facts, Met, Moment, Outcome, Seconds, Verdict};
use lifeboat_verify::evidence::readiness::{Held, Now, Readiness};
use lifeboat_verify::evidence::{Attachment, Expired, canonical, derived};
use serde_json::Value;

use super::{Scene, drill};

fn file(facts: &Facts, name: &str) -> String {
    let made: Vec<Attachment> = derived(facts).unwrap();
    let bytes = made.into_iter().find(|file| file.name == name).unwrap().bytes;
    String::from_utf8(bytes).unwrap()
}

/// Facts of which hardly anything is known: no book, no steps, no components.
fn bare() -> Facts {
    let mut facts = drill();
    facts.book = None;
    facts.projection = None;
    facts.sample = None;
    facts.steps.clear();
    facts.components.clear();
    facts.planted.clear();
    facts.absent.clear();
    facts.not_run.clear();
    facts.assertions.clear();
    facts.history.clear();
    facts.exercise.interruptions.clear();
    facts
}

#[test]
fn oscal_is_valid_by_nists_schema_and_by_another_validator() {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/oscal/complete_schema.json.zst");
    let schema: Value =
        serde_json::from_slice(&zstd::decode_all(fs::File::open(packed).unwrap()).unwrap()).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for (number, facts) in [Scene::new().facts, drill(), bare()].into_iter().enumerate() {
        let text = file(&facts, "oscal-assessment-results.json");
        let value: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<String> =
            schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let path = scratch.path().join(format!("{number}.json"));
        fs::write(&path, &text).unwrap();
        let output = Command::new("oscal-validate").arg(&path).output();
        let output = output.unwrap_or_else(|error| panic!("scripts/test installs oscal-validate: {error}"));
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{}", said.lines().last().unwrap_or_default());
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn oscal_has_every_step_and_judges_every_control() {
    let facts = drill();
    let value: Value = serde_json::from_str(&file(&facts, "oscal-assessment-results.json")).unwrap();
    let result = &value["assessment-results"]["results"][0];
    let entries = result["assessment-log"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1 + facts.steps.len() + facts.exercise.interruptions.len());
    let states: Vec<(&str, &str)> = result["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["target"]["target-id"].as_str().unwrap(), one["target"]["status"]["state"].as_str().unwrap())
        })
        .collect();
    assert!(
        states.contains(&("gdpr-17", "satisfied")) && states.contains(&("cp-9", "not-satisfied")),
        "{states:?}"
    );
    // The same facts are the same UUIDs; other facts are others.
    let mut other = facts.clone();
    other.title.push('!');
    let again: Value = serde_json::from_str(&file(&other, "oscal-assessment-results.json")).unwrap();
    assert_ne!(again["assessment-results"]["uuid"], value["assessment-results"]["uuid"]);
    assert_eq!(
        file(&facts, "oscal-assessment-results.json"),
        file(&drill(), "oscal-assessment-results.json")
    );
}

/// Whatever could make a browser fetch or run anything.
fn asks_nobody(page: &str) {
    for bad in [
        "<script",
        "<img",
        "<link",
        "<iframe",
        "<object",
        "<embed",
        "src=",
        "srcset",
        "@import",
        "javascript:",
        "<base",
    ] {
        assert!(!page.contains(bad), "{bad} in the page");
    }
    for (at, _) in page.match_indices("url(") {
        assert!(page[at..].starts_with("url(#"), "{}", &page[at..at + 40]);
    }
    assert!(!page.contains("href="), "a page that links nowhere leads nowhere");
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_report_asks_nobody_for_anything_and_lets_nothing_through() {
    let mut facts = drill();
    let hostile = "</title><script>alert(1)</script><img src=x onerror=alert(1)> \u{1b}[2J\u{202e}\"'&";
    facts.title = hostile.into();
    facts.exercise.operator = hostile.into();
    facts.limits.push(hostile.into());
    facts.steps[1].heading = hostile.into();
    facts.components[0].checks[0].detail = hostile.into();
    let page = file(&facts, "report.html");
    // As text all of it stands there, and nothing of it is more than text.
    asks_nobody(&page.replace("&lt;script&gt;", "").replace("&lt;img src=x onerror=alert(1)&gt;", ""));
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "no control character");
    assert!(!page.contains('\u{202e}') && page.contains("\\u{1b}[2J\\u{202e}"));
    for facts in [drill(), bare()] {
        asks_nobody(&file(&facts, "report.html").replace("&lt;script&gt;", ""));
    }
}

#[test]
fn the_report_says_everything_in_words_and_numbers() {
    let page = file(&drill(), "report.html");
    for picture in page.split("<svg").skip(1) {
        let head = picture.split('>').next().unwrap();
        assert!(
            head.contains("aria-hidden") || (head.contains("role=\"img\"") && head.contains("aria-label=")),
            "{head}"
        );
    }
    let wanted = [
        "13 h 7 min",
        "target",
        "limit",
        "critical path",
        "unknown",
        "not caught",
        "insufficient evidence",
        "CP-9",
        "Art. 17",
        "prefers-color-scheme: dark",
        "@page",
        "size: A4",
        "auditor 2026-11",
    ];
    for words in wanted {
        assert!(page.contains(words), "{words}");
    }
    assert!(canonical(&drill()).unwrap().len() < page.len() * 2);
}

/// With LIFEBOAT_SHOW=DIR the page is written there, to be looked at in a browser.
fn show(name: &str, page: &str) {
    if let Some(directory) = std::env::var_os("LIFEBOAT_SHOW") {
        fs::write(std::path::Path::new(&directory).join(name), page).unwrap();
    }
}

/// A component as its backups stand, so many minutes old.
fn now(facts: &Facts, name: &str, minutes: u64) -> Now {
    let one = facts.components.iter().find(|one| one.name.as_str() == name).unwrap();
    let at = facts.exercise.ended.timestamp().seconds() - i64::try_from(minutes).unwrap() * 60;
    Now {
        name: one.name.clone(),
        region: one.region.clone(),
        recovery_point: Some(Moment::new(Timestamp::new(at, 0))),
        allowed: Seconds::new(Duration::from_secs(86_400)),
        against: Vec::new(),
    }
}

fn ready(facts: &Facts, names: &[&str]) -> Readiness {
    Readiness {
        now: facts.exercise.ended.plus(Duration::from_secs(3 * 86_400)),
        components: names.iter().map(|name| now(facts, name, 10)).collect(),
        at_a_time: NonZeroU32::MIN,
        unreachable: Vec::new(),
        against: Vec::new(),
        evidence: vec![Held { facts: facts.clone(), problem: None, expired: Vec::new() }],
    }
}

/// The drill, gone well for two of its components.
fn good() -> Facts {
    let mut good = drill();
    good.verdict = Verdict::Met;
    let known = good.components.iter().find(|one| one.name.as_str() == "identity").unwrap().rpo.clone();
    good.components.iter_mut().find(|one| one.name.as_str() == "files").unwrap().rpo = known;
    good
}

fn loss(page: &mut Readiness, met: Met) {
    page.evidence[0].facts.components[0].rpo.as_mut().unwrap().verdict = met;
}

#[test]
fn the_readiness_page_answers_no_unless_everything_says_yes() {
    let bad = drill();
    let mut whole = ready(&bad, &["identity", "chats", "files", "search"]);
    whole.components[3].recovery_point = None;
    show("readiness.html", &whole.page());
    asks_nobody(&whole.page());
    assert_eq!(whole.standing(), Standing::NotShown);
    show("report.html", &file(&bad, "report.html"));

    let good = good();
    let fresh = || {
        let mut fresh = ready(&good, &["identity", "files"]);
        fresh.now = good.exercise.ended;
        fresh
    };
    show("ready.html", &fresh().page());
    // A time is green where all that it rests on is.
    let time =
        |page: &str| page.split("In what time").next().unwrap().rsplit("<li").next().unwrap().to_owned();
    assert!(time(&fresh().page()).contains("good") && !time(&whole.page()).contains("good"));
    assert_eq!(fresh().standing(), Standing::Shown, "{:?}", fresh().ready());
    type Case = (&'static str, Standing, fn(&mut Readiness));
    let cases: [Case; 17] = [
        ("a schedule that is too long", Standing::NotShown, |it| {
            it.against.push((Standing::NotShown, "all together: too long".into()));
        }),
        ("evidence that cannot be read", Standing::Insufficient, |it| {
            it.against.push((Standing::Insufficient, "evidence x cannot be read".into()));
        }),
        ("old backups", Standing::NotShown, |it| it.now = it.now.plus(Duration::from_secs(2 * 86_400))),
        ("no snapshot", Standing::NotShown, |it| it.components[0].recovery_point = None),
        ("a partial snapshot", Standing::Insufficient, |it| {
            it.components[0].against.push((Standing::Insufficient, "partial".into()))
        }),
        ("never rehearsed", Standing::Insufficient, |it| it.evidence.clear()),
        ("changed evidence", Standing::Insufficient, |it| it.evidence[0].problem = Some("changed".into())),
        ("expired evidence", Standing::Insufficient, |it| {
            it.evidence[0].expired = vec![Expired::Configuration]
        }),
        ("the drill failed", Standing::NotShown, |it| it.evidence[0].facts.verdict = Verdict::Failed),
        ("a newer drill restored nothing", Standing::NotShown, |it| {
            let mut newer = it.evidence[0].clone();
            newer.facts.verdict = Verdict::Failed;
            for one in &mut newer.facts.components {
                one.rto = None;
                one.checks.clear();
            }
            it.evidence.push(newer);
        }),
        ("too much was lost", Standing::NotShown, |it| loss(it, Met::Missed)),
        ("what was lost is unknown", Standing::Insufficient, |it| loss(it, Met::Insufficient)),
        ("nothing was checked", Standing::Insufficient, |it| {
            it.evidence[0].facts.components[0].checks.clear();
        }),
        ("a check did not run", Standing::Insufficient, |it| {
            it.evidence[0].facts.components[0].checks[0].outcome = Outcome::NotRun("no".into());
        }),
        ("the whole took too long", Standing::NotShown, |it| {
            it.evidence[0].facts.verdict = Verdict::LimitMissed;
        }),
        ("the drill showed too little", Standing::Insufficient, |it| {
            it.evidence[0].facts.verdict = Verdict::Insufficient;
        }),
        ("a region out of reach", Standing::Insufficient, |it| {
            it.unreachable = vec![("us-dal".parse().unwrap(), "no route".into())];
        }),
    ];
    for (name, wanted, change) in cases {
        let mut changed = fresh();
        change(&mut changed);
        assert_eq!(changed.standing(), wanted, "{name}");
        assert!(!changed.page().contains("<strong>Yes</strong>"), "{name}");
    }
}

/// Another region, and a drill of it that took so many hours.
fn second(page: &mut Readiness, hours: u64) {
    let region: lifeboat_repo::ids::Label = "us-dal".parse().unwrap();
    let mut other = page.evidence[0].clone();
    let took = Seconds::new(Duration::from_secs(hours * 3600));
    other.facts.id = "2026-11-27t09-00-00z-other".parse().unwrap();
    other.facts.projection.as_mut().unwrap().seconds = took;
    for one in &mut other.facts.components {
        one.region = region.clone();
    }
    let more: Vec<Now> =
        page.components.iter().map(|one| Now { region: region.clone(), ..one.clone() }).collect();
    page.components.extend(more);
    page.evidence.push(other);
}

/// Each of them is back in time; all of them are where there are machines enough.
#[test]
fn regions_are_recovered_one_after_another_unless_there_are_machines() {
    let good = good();
    let with = |change: fn(&mut Readiness)| {
        let mut page = ready(&good, &["identity", "files"]);
        page.now = good.exercise.ended;
        second(&mut page, 12);
        change(&mut page);
        let said = page.reasons().into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; ");
        (page.standing(), page.together().seconds.map(Seconds::show), said, page.page())
    };
    let (standing, time, said, page) = with(|_| {});
    assert_eq!((standing, time.as_deref()), (Standing::NotShown, Some("1 d 1 h")));
    assert!(said.contains("us-dal 12 h on") && said.contains("target missed"), "{said}");
    assert!(page.contains("1 d 1 h") && page.contains("until all regions are back, one after another"));
    let (standing, time, said, _) = with(|it| it.at_a_time = NonZeroU32::new(2).unwrap());
    assert_eq!((standing, time.as_deref()), (Standing::Shown, Some("13 h 7 min")), "{said}");
    type Case = (&'static str, fn(&mut Readiness));
    let cases: [Case; 4] = [
        ("(us-dal: no drill was ever of all of it)", |it| it.evidence[1].facts.components.truncate(1)),
        ("(us-dal: its drill of", |it| it.evidence[1].expired = vec![Expired::Age]),
        ("cannot be believed)", |it| it.evidence[1].problem = Some("changed".into())),
        ("does not say how long it took)", |it| it.evidence[1].facts.projection = None),
    ];
    for (why, change) in cases {
        let (standing, time, said, _) = with(change);
        assert!(said.contains("how long all regions take together is not known"), "{why}: {said}");
        assert!(standing == Standing::Insufficient && time.is_none() && said.contains(why), "{why}: {said}");
    }
}
