//! Drills that were cut off, wherever they were, go on.

use std::fs;
use std::path::Path;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{IDENTITY, OFFICER, RESUME, World, finished, gone, slow_book, small_drill, waiting};

fn begun(world: &World, notes: &Path) -> Child {
    let set = format!("NOTES={}", notes.display());
    let arguments = ["drill", "run", "slow.md", "--target", "rehearsal", "--set", set.as_str()];
    waiting(world.command(&[&arguments[..], &IDENTITY, &OFFICER].concat()), notes)
}

#[test]
fn a_drill_that_was_killed_goes_on_with_the_step_it_was_in() {
    let world = World::new();
    slow_book(&world);
    for (signal, code) in [(Signal::KILL, None), (Signal::INT, Some(8))] {
        let notes = world.at(&format!("notes-{code:?}"));
        let child = begun(&world, &notes);
        // Another that wants to go on with it meanwhile is refused.
        let busy = world.json(&RESUME, 7);
        assert_eq!(busy["error"]["code"], "LB-731");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code);
        // Whoever reads it knows what to type, and another drill says whose the target is.
        let id = world.cut_off();
        let line = format!(
            "lifeboat drill run --resume {id} --identity safe/recovery-eu-fra.txt --officer-key safe/officer-alice"
        );
        assert!(world.ends(&["drill", "list"], 0).contains(&line));
        // As wide as a terminal.
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(said.contains(&line), code.is_some(), "{said}");
        let other = world.json(
            &[&["drill", "run", "slow.md", "--target", "rehearsal", "--set", "NOTES=x"][..], &IDENTITY]
                .concat(),
            7,
        );
        assert!(
            other["error"]["code"] == "LB-730" && other["error"]["what"].as_str().unwrap().contains(&id),
            "{other}"
        );
        let done = world.json(&RESUME, 0);
        assert!(gone(&notes), "what the step had started is ended");
        let (facts, text) = world.facts(&done["result"]);
        assert_eq!(facts["exercise"]["interruptions"].as_array().unwrap().len(), 1, "{facts:#}");
        assert_eq!((&facts["steps"][0]["what"], &facts["steps"][0]["attempt"]), (&"ran".into(), &2.into()));
        assert_eq!(facts["steps"][0]["output"]["tail"][0], "again");
        // And what the next step printed is kept without its secret and its escapes.
        assert_eq!(facts["steps"][1]["output"]["redacted_lines"], 1);
        assert!(!text.contains("AGE-SECRET-KEY") && !text.contains("u001b"), "{text}");
        assert!(!world.at("rehearsal").exists());
    }
    let said = world.json(&RESUME, 2);
    assert_eq!(said["error"]["code"], "LB-731");
}

/// Said at the beginning, or when a drill goes on: nobody says it twice, however often it is cut off before the step.
#[test]
fn what_is_said_to_be_done_outlives_being_killed() {
    let world = World::new();
    let notes = [world.at("notes-0"), world.at("notes-1")];
    let waits = |number: usize| {
        let own = notes[number].display();
        format!(
            "```sh {{\"name\":\"wait-{number}\",\"timeout\":\"1h\",\"phase\":\"transfer\"}}\nif [ -e '{own}' ]; then exit 0; fi\n\
             sleep 10000 & echo $! >'{own}'\nwait\n```\n\n"
        )
    };
    let asks = |name: &str| {
        format!(
            "```sh {{\"name\":\"{name}\",\"timeout\":\"1h\",\"mode\":\"manual\",\"drill\":\"run\",\"approvers\":[\"lead\"]}}\n{name}\n```\n\n"
        )
    };
    let head =
        "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\n---\n# People\n\n";
    let text = [head, &waits(0), &waits(1), &asks("call"), &asks("dns")].concat();
    fs::write(world.at("people.md"), text).unwrap();
    let killed = |arguments: &[&str], notes: &Path| {
        let mut child = waiting(world.command(&[arguments, &IDENTITY].concat()), notes);
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let begin = ["drill", "run", "people.md", "--target", "rehearsal"];
    killed(&[&begin[..], &["--done", "call=NET-1", "--approved", "call=lead=Eve"]].concat(), &notes[0]);
    killed(&[&RESUME[..3], &["--done", "dns=NET-2", "--approved", "dns=lead=Bob"]].concat(), &notes[1]);
    let done = world.json(&RESUME, 0);
    let (facts, _) = world.facts(&done["result"]);
    let told =
        [2, 3].map(|at| facts["steps"][at]["approver"]["reference"].as_str().unwrap_or("nothing").to_owned());
    assert_eq!(told, ["NET-1; lead: Eve", "NET-2; lead: Bob"], "{facts:#}");
}

/// Every time the drill is stopped after the last step, there is nothing left to restore from: what it found is kept.
#[test]
fn a_drill_that_cannot_write_its_evidence_loses_nothing() {
    let world = World::new();
    let place = world.at("drills");
    let script = format!(
        "lifeboat restore --region \"$REGION\" --target \"$TARGET\" >\"$TARGET.log\" 2>&1\nrm \"$TARGET.log\"\n: >\"{}/$LIFEBOAT_DRILL\"",
        place.display()
    );
    let output = small_drill(&world, "any", "REGION, TARGET", &script).output().unwrap();
    finished(&output, "drill whose evidence has no place", 7);
    assert!(!world.at("rehearsal").exists(), "by then the target is cleaned up");
    let id = world.cut_off();
    // What it measured is kept by then; where it was cut off before that, when it goes on, and never twice.
    let notes = world.at("host/state/predictions.jsonl");
    let kept = fs::read_to_string(&notes).unwrap();
    assert_eq!(kept.lines().filter(|line| line.contains(&id)).count(), 3, "{kept}");
    fs::write(&notes, kept.get(..20).unwrap()).unwrap();
    for _ in 0..2 {
        world.json(&RESUME, 7);
        let lines = fs::read_to_string(&notes).unwrap();
        assert_eq!(lines.split_once('\n').unwrap().1, kept);
    }
    // What is gone cannot be kept.
    let kept = world.json(&[&RESUME[..], &["--keep"]].concat(), 7);
    assert!(kept["error"]["what"].as_str().unwrap().contains("cannot be kept"), "{kept}");
    fs::remove_file(place.join(&id)).unwrap();
    let done = world.json(&RESUME, 0);
    let (facts, _) = world.facts(&done["result"]);
    assert_eq!(facts["verdict"], "met", "{facts:#}");
    assert_eq!(facts["components"][1]["checks"][0]["outcome"], "passed", "{facts:#}");
    let cleaned =
        facts["assertions"].as_array().unwrap().iter().find(|one| one["name"] == "the target is cleaned up");
    assert_eq!(cleaned.unwrap()["detail"], "3 removed");
    let cuts = facts["exercise"]["interruptions"].as_array().unwrap();
    assert!(
        cuts.len() == 3 && cuts.iter().all(|cut| cut["note"] == "cut off after the last step"),
        "{cuts:?}"
    );
    assert_eq!(facts["steps"][0]["attempt"], 1);
}

/// It was cut off once all was looked at, and before anything was removed: whoever goes on with it may still say to keep it.
#[test]
fn what_was_found_already_can_still_be_kept() {
    let world = World::new();
    let script = format!(
        "lifeboat restore --region \"$REGION\" --target \"$TARGET\" >/dev/null 2>&1\n: >\"{}/$LIFEBOAT_DRILL\"",
        world.at("drills").display()
    );
    let drill = || small_drill(&world, "any", "REGION, TARGET", &script);
    for kept in [true, false] {
        finished(&drill().arg("--keep").output().unwrap(), "drill whose evidence has no place", 7);
        let id = world.cut_off();
        let notes = world.at(&format!("drills/{id}.unfinished/drill.json"));
        let text = fs::read_to_string(&notes).unwrap();
        fs::write(&notes, text.replace("\"keep\": true", "\"keep\": false")).unwrap();
        fs::remove_file(world.at("drills").join(id)).unwrap();
        let keep = if kept { &["--keep"][..] } else { &[] };
        let done = world.json(&[&RESUME[..], keep].concat(), 0);
        let (facts, _) = world.facts(&done["result"]);
        assert_eq!(world.at("rehearsal/restored/identity/users").exists(), kept);
        assert_eq!(facts["not_run"].to_string().contains("it was to be kept"), kept, "{facts:#}");
        if kept {
            fs::remove_dir_all(world.at("rehearsal")).unwrap();
        }
    }
}
