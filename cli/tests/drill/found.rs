//! What a drill finds, what it holds against what was said before, and what it leaves.

use std::fs;

use serde_json::Value;

use crate::world::{DRILL, HEARTBEAT, IDENTITY, World, finished, gone, small_drill};

#[test]
fn a_book_of_one_component_needs_no_word_of_it_and_officers_are_there() {
    let world = World::new();
    let restore = "test \"$COMPONENT\" = chats\nlifeboat restore \"$COMPONENT\" --target \"$TARGET\"";
    let output = small_drill(&world, "chats", "COMPONENT, TARGET", restore).output().unwrap();
    finished(&output, "drill of a book of one component", 0);
    let (facts, _) = world.facts(&serde_json::from_slice::<Value>(&output.stdout).unwrap()["result"]);
    assert_eq!(facts["components"].as_array().unwrap().len(), 1);
    assert_eq!(facts["components"][0]["checks"][0]["outcome"], "passed", "{facts:#}");
    let officers = small_drill(&world, "any", "OFFICERS", "grep alice \"$OFFICERS\"").output().unwrap();
    finished(&officers, "drill that reads officers' keys", 0);
}

/// What was said of a component before is held against what the drill measured, and what it measured is kept: by the whole, five
/// of them give probabilities.
#[test]
fn a_drill_holds_what_was_said_before_against_what_it_measured() {
    let world = World::new();
    let notes = world.at("host/state/predictions.jsonl");
    let kept = || -> Vec<Value> {
        let text = fs::read_to_string(&notes).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["measured"].clone()).collect()
    };
    let drill = || {
        let done = world.json(&[&DRILL[..], &IDENTITY].concat(), 0);
        let components = world.facts(&done["result"]).0["components"].clone();
        [0, 1].map(|at| components[at]["rto"]["note"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(drill(), ["", ""]);
    let lines = kept();
    let names: Vec<&Value> = lines.iter().map(|line| &line["component"]).collect();
    assert_eq!(names, [&Value::from("identity"), &Value::from("chats"), &Value::Null]);
    assert_eq!(lines[2]["region"], "eu-fra");
    assert!(lines[2]["took"].as_f64().unwrap() > 23_400.0, "with what people do: {}", lines[2]);
    let said = |line: &Value, high: f64| {
        let (at, component, work) = (&line["at"], &line["component"], &line["work"]);
        let range = serde_json::json!({ "low": 0.0, "high": high });
        let predicted = serde_json::json!({ "at": at, "component": component, "time": high, "range": range, "full": work, "factor": 5.0 });
        serde_json::json!({ "predicted": predicted }).to_string()
    };
    let text = fs::read_to_string(&notes).unwrap();
    fs::write(&notes, format!("{text}{}\n{}\n", said(&lines[0], 0.000_001), said(&lines[1], 3600.0)))
        .unwrap();
    let [identity, chats] = drill();
    assert!(identity.ends_with("which did NOT hold"), "{identity}");
    assert!(chats.ends_with("which held"), "{chats}");
    assert_eq!(kept().iter().filter(|line| line.is_object() && line["component"].is_null()).count(), 2);
}

/// The server holds the step's output open and is there for the next step; in the end nothing of it is left.
#[test]
fn a_server_that_a_step_starts_lives_until_the_drill_ends() {
    let world = World::new();
    let notes = world.at("notes");
    let script = format!("setsid sleep 10000 &\necho $! >'{}'", notes.display());
    let output = small_drill(&world, "any", "", &script).output().unwrap();
    finished(&output, "drill that starts a server", 0);
    assert!(gone(&notes));
}

/// What came back is listened to, as `heartbeat --check` does: of trees by their files, of anything else by what a step reads
/// out of it.
#[test]
fn what_is_lost_is_told_by_heartbeats_in_what_came_back() {
    let besides = format!(
        "{HEARTBEAT}\n[components.identity.heartbeat]\nwrite = \"echo \\\"$LIFEBOAT_HEARTBEAT\\\" >>@/data/identity/beats\"\n"
    );
    let world = World::with(&besides);
    let book = |read: &str| {
        let text = format!(
            "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: canary gap <= 24h and 0 holes\nvariables: [REGION, TARGET, \
             AT, RECORDS]\n---\n# Listen\n\n```sh {{\"name\":\"restore\",\"timeout\":\"1h\",\"phase\":\"transfer\"}}\nlifeboat restore \
             --region \"$REGION\" --target \"$TARGET\" --at \"$AT\"\n{read}\n```\n"
        );
        fs::write(world.at("listen.md"), text).unwrap();
    };
    let drill = ["drill", "run", "listen.md", "--target", "rehearsal", "--erased", "canary"];
    book(
        "cp \"$TARGET/identity/beats\" \"$RECORDS/identity.heartbeats\"\necho _system 3 >\"$RECORDS/identity.counts\"",
    );
    let done = world.json(&[&drill[..], &IDENTITY].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    assert_eq!(facts["verdict"], "met", "{facts:#}");
    for component in facts["components"].as_array().unwrap() {
        let rpo = &component["rpo"];
        assert!(rpo["note"].as_str().unwrap().starts_with("by its heartbeats"), "{rpo}");
        // The newest record in it is the second of three, and the third is known to be lost.
        let [low, bound] = ["low", "bound"].map(|end| rpo[end].as_f64().unwrap());
        assert!(low > 0.0 && low <= bound, "{rpo}");
        assert!(
            rpo["newest_canary"].as_str().unwrap() <= component["recovery_point"].as_str().unwrap(),
            "{component}"
        );
    }
    // What would never end, and what is longer than anybody reads, is told.
    for (made, why) in [("mkfifo", "no plain file"), ("truncate -s 65M", "longer than 67.1 MB")] {
        book(&format!("{made} \"$RECORDS/identity.heartbeats\""));
        let done = world.json(&[&drill[..], &IDENTITY].concat(), 5);
        let (facts, _) = world.facts(&done["result"]);
        let rpo = &facts["components"][0]["rpo"];
        assert!(rpo["bound"].is_null() && rpo["note"].as_str().unwrap().contains(why), "{rpo}");
    }
    // Whom nobody listens to says nothing.
    book("true # \"$RECORDS\"");
    let done = world.json(&[&drill[..], &IDENTITY].concat(), 5);
    let (facts, _) = world.facts(&done["result"]);
    let rpo = &facts["components"][0]["rpo"];
    assert!(rpo["bound"].is_null() && rpo["note"].as_str().unwrap().contains("$RECORDS/identity"), "{rpo}");
}

/// Evidence says so, and no other drill takes it for its own, or for one that was cut off.
#[test]
fn what_is_kept_stays_and_is_said() {
    let world = World::new();
    let done = world.json(&[&DRILL[..], &IDENTITY, &["--keep"]].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    assert!(world.at("rehearsal/restored").is_dir());
    assert!(facts.to_string().contains("kept"), "{facts:#}");
    let said = world.json(&[&DRILL[..], &IDENTITY].concat(), 7);
    assert_eq!(said["error"]["code"], "LB-730", "{said}");
    assert!(said["error"]["what"].as_str().unwrap().contains("what it restored is kept"), "{said}");
    assert!(world.at("rehearsal/restored").is_dir());
}
