//! Evidence from facts made by hand: a drill that went badly in every way there is.

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::ObjectHash;

use super::facts::{Facts, Verdict, What};
use super::*;

pub(crate) fn facts() -> Facts {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/evidence/drill.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The same, gone well.
pub(crate) fn good() -> Facts {
    let mut facts = facts();
    facts.steps.retain(|step| step.what != What::Interrupted);
    facts.components.retain(|component| component.name.as_str() == "identity");
    facts.planted.retain(|one| one.caught_by.is_some());
    facts.assertions.retain(|one| one.met == facts::Met::Met);
    facts.not_run.clear();
    facts.verdict = Verdict::Met;
    facts
}

fn written() -> (tempfile::TempDir, std::path::PathBuf, SigningKey) {
    let scratch = tempfile::tempdir().unwrap();
    let key = SigningKey::from_seed([7; 32]);
    let signer = Signer { principal: "officer:alice".into(), key: &key };
    let path = write(scratch.path(), &facts(), &[], &signer).unwrap();
    (scratch, path, key)
}

fn reasons(path: &std::path::Path, key: &SigningKey) -> Vec<Reason> {
    let checked = check(path, &Vouch::Keys(vec![key.public()]), "0.1.0").unwrap();
    let mut reasons: Vec<Reason> = checked.problems.iter().map(|problem| problem.reason).collect();
    reasons.dedup();
    reasons
}

#[test]
fn what_is_written_is_what_is_checked() {
    let (scratch, path, key) = written();
    assert_eq!(reasons(&path, &key), []);
    let again = write_unsigned(scratch.path(), &facts(), &[]);
    assert!(matches!(again.unwrap_err().kind, EvidenceErrorKind::Exists));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing half made is left");
    let other = SigningKey::from_seed([8; 32]);
    assert_eq!(reasons(&path, &other), [Reason::WrongKey]);
}

#[test]
fn what_nobody_signed_may_be_signed_later_if_nobody_changed_it() {
    let scratch = tempfile::tempdir().unwrap();
    let path = write_unsigned(scratch.path(), &facts(), &[Attachment::new("note.txt", "x")]).unwrap();
    let key = SigningKey::from_seed([7; 32]);
    assert_eq!(reasons(&path, &key), [Reason::Unsigned]);
    let waits = || check(&path, &Vouch::Keys(Vec::new()), "0.1.0").unwrap().unsigned;
    assert!(waits());
    let signer = Signer { principal: "officer:alice".into(), key: &key };
    let sign = || sign(&path, &signer, "0.1.0");
    let sums = std::fs::read_to_string(path.join("SHA256SUMS")).unwrap();
    // A file, and a file with its hash.
    for (name, rehashed) in
        [("note.txt", false), ("report.html", true), ("evidence.json", true), ("SHA256SUMS", false)]
    {
        let (file, list) = (path.join(name), path.join("SHA256SUMS"));
        let was = std::fs::read(&file).unwrap();
        let changed = String::from_utf8(was.clone()).unwrap().replace("OPS-4711", "OPS-4712") + "\n";
        std::fs::write(&file, &changed).unwrap();
        if rehashed {
            let [before, after] = [was.as_slice(), changed.as_bytes()]
                .map(|bytes| ObjectHash::from_bytes(sha256(bytes)).to_string());
            std::fs::write(&list, sums.replace(&before, &after)).unwrap();
        } else if name == "SHA256SUMS" {
            std::fs::remove_file(&file).unwrap();
        }
        let refused = sign().unwrap_err();
        assert!(matches!(refused.kind, EvidenceErrorKind::NotEvidence(_)), "{name}: {refused}");
        std::fs::write(&file, was).unwrap();
        std::fs::write(&list, &sums).unwrap();
    }
    assert_eq!(sign().unwrap(), Vec::<String>::new());
    assert_eq!(reasons(&path, &key), []);
    assert!(matches!(sign().unwrap_err().kind, EvidenceErrorKind::Signed));
    assert!(!waits());
    // A signature that was taken away is no signature that is still to come.
    std::fs::rename(path.join("SHA256SUMS.sig"), scratch.path().join("sig")).unwrap();
    assert_eq!((waits(), reasons(&path, &key)), (false, vec![Reason::Unsigned]));
    assert!(sign().unwrap_err().to_string().contains("it was taken away"));
    std::fs::rename(scratch.path().join("sig"), path.join("SHA256SUMS.sig")).unwrap();
    let (_aside, whole, _) = written();
    let names = |path: &std::path::Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!(names(&path), names(&whole) + 1, "as if it had been signed at once");
}

/// Whoever signs may be cut off before, in and after every step: done again it is as if nothing had happened, by the same
/// hand and by another.
#[test]
fn signing_that_was_cut_off_anywhere_is_done_again() {
    use super::signing::{Step, steps};
    let scratch = tempfile::tempdir().unwrap();
    let made = |name: String| write_unsigned(&scratch.path().join(name), &facts(), &[]).unwrap();
    let content = |path: &std::path::Path| {
        let all = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        all.map(|path| (path.file_name().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let keys = [SigningKey::from_seed([7; 32]), SigningKey::from_seed([8; 32])];
    let signer = |who: usize| Signer { principal: format!("officer:{who}"), key: &keys[who] };
    let whole = [0, 1].map(|who| {
        let path = made(format!("whole-{who}"));
        sign(&path, &signer(who), "0.1.0").unwrap();
        content(&path)
    });
    let names = ["VERIFY.md", "allowed_signers", "SHA256SUMS", "SHA256SUMS.sig"];
    let added = names.map(|name| Attachment::new(name, whole[0][std::ffi::OsStr::new(name)].clone()));
    let all = steps(&added).len();
    assert_eq!(all, 11);
    for cut in 0..all {
        for (who, torn) in [(0, false), (0, true), (1, false)] {
            let path = made(format!("cut-{cut}-{who}-{torn}"));
            steps(&added)[..cut].iter().for_each(|step| step.perform(&path).unwrap());
            if let (true, Step::Put(file)) = (torn, steps(&added)[cut]) {
                let half = Attachment::new(file.name.clone(), &file.bytes[..file.bytes.len() / 2]);
                Step::Put(&half).perform(&path).unwrap();
            }
            let again = sign(&path, &signer(who), "0.1.0");
            // Once the signature has appeared it is one.
            if cut == all - 1 {
                assert!(matches!(again.unwrap_err().kind, EvidenceErrorKind::Signed));
                assert_eq!(content(&path), whole[0]);
                continue;
            }
            again.unwrap_or_else(|error| panic!("cut {cut}: {error}"));
            assert!(content(&path) == whole[who], "cut {cut} by {who}");
            assert_eq!(reasons(&path, &keys[who]), []);
        }
        // What was cut off hides no change.
        let path = made(format!("changed-{cut}"));
        steps(&added)[..cut].iter().for_each(|step| step.perform(&path).unwrap());
        let report = path.join("report.html");
        std::fs::write(&report, std::fs::read_to_string(&report).unwrap() + "\n").unwrap();
        assert!(sign(&path, &signer(0), "0.1.0").is_err(), "cut {cut}");
        if (1..all - 1).contains(&cut) {
            let checked = check(&path, &Vouch::Keys(Vec::new()), "0.1.0").unwrap();
            assert!(checked.problems.iter().any(|one| one.what.contains("cut off")), "cut {cut}");
        }
    }
}

#[test]
fn the_same_facts_are_the_same_bytes() {
    let text = canonical(&facts()).unwrap();
    let again: Facts = serde_json::from_slice(&text).unwrap();
    assert_eq!(canonical(&again).unwrap(), text);
    assert!(derived(&facts()).unwrap() == derived(&again).unwrap());
}

#[test]
fn a_verdict_is_never_better_than_what_it_rests_on() {
    assert!(facts().contradictions().is_empty(), "{:?}", facts().contradictions());
    assert!(good().contradictions().is_empty(), "{:?}", good().contradictions());
    let bad = |change: fn(&mut Facts)| {
        let mut facts = good();
        change(&mut facts);
        facts.contradictions()
    };
    let cases: [fn(&mut Facts); 12] = [
        |facts| facts.components[0].rto.as_mut().unwrap().verdict = Verdict::TargetMissed,
        |facts| facts.components[0].rto.as_mut().unwrap().verdict = Verdict::Insufficient,
        |facts| facts.components[0].rpo.as_mut().unwrap().verdict = facts::Met::Missed,
        |facts| facts.components[0].rpo.as_mut().unwrap().verdict = facts::Met::Insufficient,
        |facts| facts.projection.as_mut().unwrap().verdict = Verdict::LimitMissed,
        |facts| facts.projection.as_mut().unwrap().verdict = Verdict::Insufficient,
        |facts| facts.assertions.clear(),
        |facts| facts.assertions[0].met = facts::Met::Insufficient,
        |facts| facts.planted[0].caught_by = None,
        |facts| facts.absent[0].absent = false,
        |facts| facts.steps[0].what = What::TimedOut,
        |facts| facts.components[0].checks[0].outcome = facts::Outcome::NotRun("no".into()),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        assert_eq!(bad(case).len(), 1, "case {number}");
    }
    // More lost than promised, or too late, is no lack of evidence.
    let late: [fn(&mut Facts); 2] = [
        |facts| facts.components[0].rpo.as_mut().unwrap().verdict = facts::Met::Missed,
        |facts| facts.projection.as_mut().unwrap().verdict = Verdict::LimitMissed,
    ];
    for case in late {
        for (verdict, allowed) in [(Verdict::Insufficient, false), (Verdict::LimitMissed, true)] {
            let mut facts = good();
            facts.verdict = verdict;
            case(&mut facts);
            assert_eq!(facts.contradictions().is_empty(), allowed, "{verdict:?}");
        }
    }
    // Of what nobody brought back, nothing need be known.
    let mut nothing = good();
    let component = &mut nothing.components[0];
    component.rpo.as_mut().unwrap().verdict = facts::Met::Insufficient;
    component.rto = None;
    component.checks.clear();
    assert_eq!(nothing.contradictions(), Vec::<String>::new());
}

#[test]
fn it_expires_with_what_it_speaks_of() {
    let facts = facts();
    let book = facts.book.clone().unwrap();
    let current = Current {
        configuration: facts.configuration,
        books: vec![(book.name.clone(), book.sha256)],
        version: facts.tool.version.clone(),
        now: facts.exercise.ended,
    };
    assert_eq!(expired(&facts, &current), []);
    let other = Current { books: vec![(book.name.clone(), facts.configuration)], ..current.clone() };
    assert_eq!(expired(&facts, &other), [Expired::Book(book.name.clone())]);
    assert_eq!(expired(&facts, &other)[0].to_string(), "expired because the book region-loss changed");
    let other = Current { configuration: book.sha256, version: "0.2.0".into(), ..current.clone() };
    assert_eq!(expired(&facts, &other).len(), 2);
    let later = facts.exercise.ended.plus(std::time::Duration::from_secs(93 * 86_400));
    assert_eq!(expired(&facts, &Current { now: later, ..current }), [Expired::Age]);
}

#[test]
fn the_timeline_acts_on_nothing() {
    let mut facts = facts();
    facts.steps[0].name = "=cmd|' /C calc'!A0\u{1b}[2J\"\u{202e}".into();
    let text = timeline::csv(&facts);
    assert!(text.contains(r#""step","'=cmd|' /C calc'!A0\u{1b}[2J""\u{202e}","#), "{text}");
    let fields = text.lines().map(|line| line.matches(',').count());
    assert!(fields.collect::<std::collections::BTreeSet<_>>() == [9].into());
}

#[test]
fn the_report_says_where_a_loss_comes_from_and_names_no_range_where_there_is_none() {
    use super::report::{losses, schedule};
    let mut facts = facts();
    facts.components.retain(|one| one.rpo.is_some());
    let mut said = |canary: fn(usize) -> bool, bound: bool| {
        for (number, one) in facts.components.iter_mut().enumerate() {
            let rpo = one.rpo.as_mut().unwrap();
            rpo.newest_canary = canary(number).then_some(facts.exercise.begun);
            rpo.bound = bound.then(|| std::time::Duration::from_secs(60).into());
        }
        losses(&facts.components).into_string()
    };
    assert!(said(|_| true, true).contains("restored copy, below which none is missing. Where"));
    assert!(said(|number| number == 0, true).contains("where the table names none, from what the snapshot"));
    let silent = said(|_| false, true);
    assert!(silent.contains("no canary was found") && !silent.contains("From the newest"), "{silent}");
    assert!(said(|_| false, false).contains(">Where nothing bounds"));
    for one in &mut facts.components {
        if let Some(rto) = &mut one.rto {
            (rto.low, rto.high) = (None, None);
        }
    }
    let text = schedule(&facts).into_string();
    assert!(text.contains("data-label=\"range\">none<") && !text.contains("– to –"), "{text}");
}

/// What a verification that went well says of itself.
fn run() -> Run {
    let facts = facts();
    Run {
        id: "2026-11-28t06-00-00z-erasure-0000".parse().unwrap(),
        title: "A run".into(),
        tool: facts.tool,
        configuration: facts.configuration,
        operator: "alice".into(),
        begun: facts.exercise.begun,
        ended: facts.exercise.ended,
        repositories: Vec::new(),
        unread: Vec::new(),
    }
}

fn look_at(level: &'static str, outcome: crate::Outcome, findings: &[crate::Finding]) -> facts::LookFact {
    let (begun, ended, region) = (run().begun, run().ended, "eu-fra".parse().unwrap());
    look(Looked {
        level,
        region: &region,
        component: None,
        snapshot: None,
        begun,
        ended,
        outcome,
        detail: "all of it".into(),
        counts: Default::default(),
        sample: None,
        findings,
    })
}

#[test]
fn a_verification_is_as_good_as_its_worst_look_and_names_nobody() {
    use crate::{Finding, Outcome, Severity, Subject};
    let passed = || look_at("integrity", Outcome::Passed, &[]);
    let not_run = || look_at("readback", Outcome::NotRun("no key".into()), &[]);
    let failed = || look_at("restore", Outcome::Failed, &[]);
    let said =
        |verdict| [ObjectiveSaid { component: "chats".parse().unwrap(), verdict, detail: "so".into() }];
    let verdict = |looks, objectives: &[ObjectiveSaid], interrupted| {
        let facts = verified(run(), looks, objectives, interrupted);
        assert_eq!(facts.contradictions(), Vec::<String>::new());
        facts.verdict
    };
    assert_eq!(verdict(vec![passed()], &[], false), Verdict::Met);
    assert_eq!(verdict(vec![passed()], &said(Verdict::Met), false), Verdict::Met);
    assert_eq!(verdict(vec![passed()], &said(Verdict::TargetMissed), false), Verdict::TargetMissed);
    assert_eq!(verdict(vec![passed()], &[], true), Verdict::Insufficient);
    assert_eq!(verdict(vec![passed(), not_run()], &[], false), Verdict::Insufficient);
    assert_eq!(verdict(vec![passed(), not_run(), failed()], &said(Verdict::Met), false), Verdict::Failed);
    assert_eq!(verdict(Vec::new(), &[], false), Verdict::Insufficient);
    let unread = Run { unread: vec![("eu-fra".parse().unwrap(), "no".into())], ..run() };
    assert_eq!(verified(unread, vec![passed()], &[], false).verdict, Verdict::Insufficient);
    // Whoever says that it went well over what did not is found out.
    let cases = [vec![passed(), not_run()], vec![passed(), failed()], Vec::new()];
    for looks in cases {
        let better = Facts { verdict: Verdict::Met, ..verified(run(), looks, &[], false) };
        assert!(better.contradictions().iter().any(|why| why.contains("look") || why.contains("of eu-fra")));
    }
    // What is said of a manifest may quote the names of files in it.
    let key = lifeboat_repo::ids::KeyId::from_bytes([1; 32]);
    let manifest = Subject::Manifest("snapshots/x".parse().unwrap(), key);
    let findings = [
        Finding::new(Severity::CouldNotCheck, manifest.clone(), "acme/payroll.txt cannot be read"),
        Finding::new(Severity::Damage, manifest, "acme/payroll.txt stands twice in it"),
        Finding::new(Severity::Notice, Subject::Area("packs/"), "a note"),
    ];
    let reason = Outcome::of(&findings[..1]);
    let looks =
        vec![look_at("readback", reason, &findings[..1]), look_at("readback", Outcome::Failed, &findings)];
    assert_eq!(looks[1].found[0].gravity, facts::Gravity::Damage);
    let facts = verified(run(), looks, &[], false);
    let made = derived(&facts).unwrap();
    assert!(made.iter().all(|file| !String::from_utf8_lossy(&file.bytes).contains("payroll")));
}

fn erasure() -> Erased {
    let at = run().begun;
    Erased {
        region: "eu-fra".parse().unwrap(),
        tombstone: facts::TombstoneFact { number: 3, keys: Vec::new(), signed: Vec::new(), wanted: 0 },
        tenant_tokens: Vec::new(),
        requested: at,
        effective: Some(at),
        destroyed_in: Some(Ok(Vec::new())),
        destroyed: Some(at),
        bundled: Some(at.plus(std::time::Duration::from_secs(14 * 86_400))),
        proof: Ok(facts::ProofFact { at, identities: 3, objects: 9, segments: 4, found: Vec::new() }),
        unopened: 0,
        untold: 0,
    }
}

#[test]
fn an_erasure_is_one_once_it_holds_is_done_and_was_tried() {
    type Case = (&'static str, Verdict, fn(&mut Erased));
    let late = |erased: &mut Erased| {
        erased.bundled = Some(erased.requested.plus(std::time::Duration::from_secs(31 * 86_400)));
    };
    let cases: [Case; 11] = [
        ("all is well", Verdict::Met, |_| {}),
        ("without bundles it is gone at once", Verdict::Met, |it| it.bundled = None),
        ("looked at later", Verdict::Met, |it| it.destroyed_in = None),
        ("too few signed", Verdict::Insufficient, |it| {
            (it.effective, it.destroyed, it.destroyed_in) = (None, None, None);
            it.proof = Err("not destroyed yet".into());
        }),
        ("nobody tried", Verdict::Insufficient, |it| it.proof = Err("the store is away".into())),
        ("no grave", Verdict::Insufficient, |it| it.destroyed = None),
        ("keys of nobody knows whom", Verdict::Insufficient, |it| it.unopened = 1),
        ("a replica that knows nothing of it", Verdict::Insufficient, |it| it.untold = 1),
        ("a bundle that lasts too long", Verdict::LimitMissed, late),
        ("cut off", Verdict::Failed, |it| {
            (it.destroyed_in, it.destroyed) = (Some(Err("refused".into())), None);
            it.proof = Err("not destroyed yet".into());
        }),
        ("something opens it", Verdict::Failed, |it| {
            it.proof.as_mut().unwrap().found.push("a card is there again".into());
        }),
    ];
    let control = controls::controls().into_iter().find(|one| one.id == "gdpr-17").unwrap();
    for (name, wanted, change) in cases {
        let mut it = erasure();
        change(&mut it);
        let facts = erased(run(), it);
        assert_eq!(facts.verdict, wanted, "{name}: {:?}", facts.assertions);
        assert_eq!(facts.contradictions(), Vec::<String>::new(), "{name}");
        let satisfied = control.standing(&facts, None) == controls::Standing::Shown;
        // That a replica does not know yet, or a key opens nowhere, is told by the verdict alone.
        assert!(satisfied || wanted != Verdict::Met, "{name}");
        // Whoever lies does so throughout: what is told beside the conditions says otherwise.
        let mut better = Facts { verdict: Verdict::Met, ..facts };
        better.assertions.iter_mut().for_each(|one| one.met = facts::Met::Met);
        let only_judged = name.starts_with("keys of nobody") || name.starts_with("a replica");
        assert!(wanted == Verdict::Met || only_judged || !better.contradictions().is_empty(), "{name}");
    }
}
