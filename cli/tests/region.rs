//! `restore --region`: the order, one component's failure, going on after an interruption, one clock.

// Helpers here are test code too (clippy.toml).
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const IDENTITY: [&str; 2] = ["--identity", "keys/recovery-eu-fra.txt"];

fn lifeboat(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.current_dir(directory).args(arguments).env_clear().env("USER", "alice");
    command.output().unwrap()
}

#[track_caller]
fn ends(directory: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = lifeboat(directory, arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "lifeboat {}\n{out}\n{err}", arguments.join(" "));
    (out, err)
}

#[track_caller]
fn json(directory: &Path, arguments: &[&str], code: i32) -> Value {
    let (out, _) = ends(directory, &[arguments, &["--json"]].concat(), code);
    let mut value: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    value["result"].take()
}

/// Four components of one region, written in an order in which they cannot be restored.
fn made(needs: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut text = String::from(
        "[host]\nwriter = \"host-1\"\nsigning_key = \"keys/host-1\"\ncard_identity = \"keys/host-1.card\"\n\
         state = \"state\"\n\n[regions.eu-fra]\njurisdiction = \"EU\"\nrepository = \"repositories/eu-fra\"\n\
         rto_target = \"24h\"\nrto_limit = \"48h\"\n",
    );
    for name in ["web", "chats", "search", "identity"] {
        let data = at.join("data").join(name);
        fs::create_dir_all(data.join("sub")).unwrap();
        fs::write(data.join("sub/file"), name.repeat(1000)).unwrap();
        text.push_str(&format!(
            "\n[components.{name}]\nregion = \"eu-fra\"\npath = \"data/{name}\"\nsystem = \"ours\"\n"
        ));
        let own: Vec<String> =
            needs.iter().filter(|(of, _)| *of == name).map(|(_, need)| format!("\"{need}\"")).collect();
        text.push_str(&format!("needs = [{}]\n", own.join(", ")));
    }
    fs::write(at.join("lifeboat.toml"), text).unwrap();
    ends(at, &["init"], 0);
    directory
}

const NEEDS: [(&str, &str); 4] =
    [("web", "chats"), ("web", "search"), ("chats", "identity"), ("search", "identity")];

#[track_caller]
fn region(at: &Path, more: &[&str], code: i32) -> Value {
    json(
        at,
        &[&["restore", "--region", "eu-fra", "--target", "back"], more, IDENTITY.as_slice()].concat(),
        code,
    )
}

fn states(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let parts = value["components"].as_array().unwrap();
    parts.iter().map(|part| (text(&part["component"]), text(&part["state"]))).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[track_caller]
fn assert_back(at: &Path, names: &[&str]) {
    for name in names {
        let back = fs::read_to_string(at.join("back").join(name).join("sub/file")).unwrap();
        assert_eq!(back, name.repeat(1000));
    }
}

#[test]
fn components_come_back_in_the_order_they_need() {
    let directory = made(&NEEDS);
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    let all = ["identity", "chats", "search", "web"];
    let planned = region(at, &["--dry-run"], 0);
    assert_eq!(states(&planned), pairs(&all.map(|name| (name, "planned"))));
    assert!(
        planned["components"][0]["bytes"].as_u64().unwrap() == 8000 && planned["rto"]["elapsed"].is_null()
    );
    assert!(!at.join("back").exists());
    let value = region(at, &[], 0);
    assert_eq!(states(&value), pairs(&all.map(|name| (name, "restored"))));
    assert_back(at, &all);
    let rto = &value["rto"];
    assert_eq!((rto["target"].as_f64(), rto["limit"].as_f64()), (Some(86_400.0), Some(172_800.0)));
    let first = rto["elapsed"].as_f64().unwrap();
    // Run again, nothing is done again.
    let inner = fs::metadata(at.join("back/web/sub/file")).unwrap();
    fs::write(at.join("data/web/sub/file"), "newer").unwrap();
    ends(at, &["backup", "web"], 0);
    let again = region(at, &[], 0);
    assert_eq!(states(&again), pairs(&all.map(|name| (name, "restored before"))));
    // The clock stopped when everything was there; whoever looks tomorrow is not told that it took a day.
    assert_eq!(again["rto"]["elapsed"].as_f64().unwrap(), first);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(at.join("back/web/sub/file")).unwrap().ino(), inner.ino());
    assert_back(at, &all);
    // What was taken away or changed since is seen, not taken for done.
    fs::remove_file(at.join("back/chats/sub/file")).unwrap();
    let (out, _) =
        ends(at, &[&["restore", "--region", "eu-fra", "--target", "back"], IDENTITY.as_slice()].concat(), 3);
    assert!(out.contains("changed") && out.contains("chats: 1 entry"), "{out}");
}

#[test]
fn what_needs_a_component_that_failed_is_skipped_and_the_rest_comes_back() {
    let directory = made(&NEEDS);
    let at = directory.path();
    // Of `chats` there is no backup at all.
    for name in ["identity", "search", "web"] {
        ends(at, &["backup", name], 0);
    }
    let value = region(at, &[], 3);
    assert_eq!(
        states(&value),
        pairs(&[("identity", "restored"), ("chats", "failed"), ("search", "restored"), ("web", "skipped")])
    );
    assert_eq!(value["components"][3]["needs"], "chats");
    assert!(value["components"][1]["error"]["what"].as_str().unwrap().contains("chats"), "{value}");
    assert!(!at.join("back/web").exists());
    assert_back(at, &["identity", "search"]);
    // Once there is one, the same command brings the rest.
    ends(at, &["backup", "chats"], 0);
    let value = region(at, &[], 0);
    assert_eq!(
        states(&value),
        pairs(&[
            ("identity", "restored before"),
            ("chats", "restored"),
            ("search", "restored before"),
            ("web", "restored")
        ])
    );
    assert_back(at, &["identity", "chats", "search", "web"]);
}

#[test]
fn a_restore_that_was_cut_off_goes_on_with_the_snapshots_it_began_with() {
    let directory = made(&NEEDS);
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    // A target in the way of the third makes it fail, as a full disk or a lost host might.
    fs::create_dir_all(at.join("back")).unwrap();
    region(at, &["--dry-run"], 0);
    let (pack, away) = {
        let runs = json(at, &["snapshots"], 0);
        let run = |name: &str| {
            let all = runs["snapshots"].as_array().unwrap().clone();
            all.into_iter().find(|one| one["component"] == name).unwrap()["run"].as_str().unwrap().to_owned()
        };
        let path = at.join("repositories/eu-fra/snapshots/search").join(run("search"));
        (path.clone(), at.join("kept"))
    };
    let first = region(at, &[], 0);
    let began: Vec<Value> =
        first["components"].as_array().unwrap().iter().map(|part| part["run"].clone()).collect();
    // As if it had been killed within the third: its journal says begun, its tree is half there.
    let journal = at.join("back/lifeboat-region-restore.json");
    let mut body: Value = serde_json::from_str(&fs::read_to_string(&journal).unwrap()).unwrap();
    for name in ["search", "web"] {
        body["components"][name]["stage"] = "begun".into();
        body["components"][name]["took"] = Value::Null;
        fs::remove_dir_all(at.join("back").join(name)).unwrap();
    }
    fs::write(&journal, body.to_string()).unwrap();
    // Meanwhile there are newer snapshots, and one cannot be had just now.
    fs::write(at.join("data/web/sub/file"), "newer").unwrap();
    ends(at, &["backup", "--all"], 0);
    fs::rename(&pack, &away).unwrap();
    let value = region(at, &[], 4);
    assert_eq!(
        states(&value),
        pairs(&[
            ("identity", "restored before"),
            ("chats", "restored before"),
            ("search", "failed"),
            ("web", "skipped")
        ])
    );
    fs::rename(&away, &pack).unwrap();
    let value = region(at, &[], 0);
    assert_eq!(
        states(&value),
        pairs(&[
            ("identity", "restored before"),
            ("chats", "restored before"),
            ("search", "restored"),
            ("web", "restored")
        ])
    );
    let ended: Vec<Value> =
        value["components"].as_array().unwrap().iter().map(|part| part["run"].clone()).collect();
    assert_eq!(ended, began);
    assert_back(at, &["identity", "chats", "search", "web"]);
    assert_eq!(value["rto"]["basis"], "measured");
    assert!(value["rto"]["elapsed"].as_f64().unwrap() >= first["rto"]["elapsed"].as_f64().unwrap());
}

/// Killed when a component was all there, and before that was written down.
#[test]
fn what_had_just_come_to_its_end_is_not_in_the_way() {
    let directory = made(&[]);
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    let first = region(at, &[], 0);
    let journal = at.join("back/lifeboat-region-restore.json");
    let done = fs::read_to_string(&journal).unwrap();
    let unnoticed = || {
        let mut body: Value = serde_json::from_str(&done).unwrap();
        let step = &mut body["components"]["chats"];
        (step["stage"], step["took"]) = ("begun".into(), Value::Null);
        (step["entries"], step["bytes"]) = (0.into(), 0.into());
        fs::write(&journal, body.to_string()).unwrap();
    };
    let of_chats = |value: &Value| {
        let all = value["components"].as_array().unwrap();
        all.iter().find(|one| one["component"] == "chats").unwrap().clone()
    };
    unnoticed();
    let (before, now) = (of_chats(&first), of_chats(&region(at, &[], 0)));
    assert_eq!((now["state"].as_str(), now["complete"].as_bool()), (Some("restored before"), Some(true)));
    assert_eq!((&now["entries"], &now["bytes"]), (&before["entries"], &before["bytes"]));
    // What somebody else put there, or changed since, is neither taken for it nor written over.
    unnoticed();
    fs::write(at.join("back/chats/sub/file"), "changed").unwrap();
    let value = region(at, &[], 3);
    assert_eq!(of_chats(&value)["state"], "failed", "{value}");
    assert_eq!(fs::read_to_string(at.join("back/chats/sub/file")).unwrap(), "changed");
}

#[test]
fn a_missed_objective_and_wrong_targets_are_told() {
    let directory = made(&[]);
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    region(at, &[], 0);
    // As if it had been begun three days ago.
    let journal = at.join("back/lifeboat-region-restore.json");
    let mut body: Value = serde_json::from_str(&fs::read_to_string(&journal).unwrap()).unwrap();
    let begun = body["begun"].as_str().unwrap().split('.').next().unwrap().parse::<i64>().unwrap();
    body["begun"] = format!("{}.000000000", begun - 3 * 86_400).into();
    fs::write(&journal, body.to_string()).unwrap();
    let whole = |more: &[&str], code| {
        ends(at, &[&["restore", "--target", "back"], more, IDENTITY.as_slice()].concat(), code)
    };
    let (out, _) = whole(&["--region", "eu-fra"], 6);
    assert!(out.contains("MISSED, the limit is 48 h") && out.contains("Every component is there"), "{out}");
    // Another moment, another region, another target, and what makes no sense together.
    let (_, err) = whole(&["--region", "eu-fra", "--at", "1h ago"], 7);
    assert!(err.contains("begun for the latest"), "{err}");
    whole(&["--region", "us-dal"], 2);
    whole(&["--region", "eu-fra", "chats"], 2);
    whole(&["--region", "eu-fra", "--path", "x"], 2);
    whole(&[], 2);
    ends(at, &[&["restore", "--region", "eu-fra"], IDENTITY.as_slice()].concat(), 2);
    fs::create_dir(at.join("full")).unwrap();
    fs::write(at.join("full/x"), "x").unwrap();
    let full = [&["restore", "--region", "eu-fra", "--target", "full"], IDENTITY.as_slice()].concat();
    assert!(ends(at, &full, 7).1.contains("not empty"));
    fs::write(&journal, "{}").unwrap();
    whole(&["--region", "eu-fra"], 7);
}

#[test]
fn an_early_moment_has_nothing_to_restore() {
    let directory = made(&[]);
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    let value = region(at, &["--at", "2001-01-01T00:00:00Z"], 3);
    assert!(states(&value).iter().all(|(_, state)| state == "failed"), "{value}");
}

/// What restoring in place does to trees is tested where it is done; here is what it must not fall upon.
#[test]
fn in_place_falls_upon_nothing_without_consent() {
    let directory = made(&[]);
    let at = directory.path();
    ends(at, &["backup", "chats"], 0);
    let file = at.join("data/chats/sub/file");
    fs::write(&file, "written since").unwrap();
    std::os::unix::fs::symlink("data/chats", at.join("alias")).unwrap();
    let restore = |target: &str, more: &[&str], code| {
        let all =
            [&["restore", "chats", "--target", target, "--in-place"], more, IDENTITY.as_slice()].concat();
        ends(at, &all, code).1.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // Where it lives, above that, below it, and by another name.
    for target in ["data/chats", "data", "data/chats/sub", "alias"] {
        for more in [[].as_slice(), &["--dry-run"]] {
            let said = restore(target, more, 7);
            assert!(
                said.contains("this is where chats lives") && said.contains("--over-live-root"),
                "{said}"
            );
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "written since");
    // What the next restore needs is not removed.
    for target in ["keys", "repositories", "state"] {
        let said = restore(target, &["--delete"], 7);
        assert!(said.contains("which restores need") && said.contains(target), "{said}");
    }
}

/// `find`, `cat` and `diff` as people type them; what they say of trees is tested where they are made.
#[test]
fn looking_inside_ends_with_the_documented_codes() {
    let directory = made(&[]);
    let at = directory.path();
    let odd = std::ffi::OsStr::new(std::str::from_utf8(b"back\\slash").unwrap());
    fs::write(at.join("data/web").join(odd), "odd").unwrap();
    ends(at, &["backup", "web"], 0);
    fs::write(at.join("data/web/sub/file"), "other").unwrap();
    ends(at, &["backup", "web"], 0);
    let with = |arguments: &[&str], code| ends(at, &[arguments, IDENTITY.as_slice()].concat(), code).0;
    let found = json(at, &[&["find", "web", "sub/f*"], IDENTITY.as_slice()].concat(), 0);
    let states = found["found"][0]["states"].as_array().unwrap().clone();
    assert_eq!((states.len(), states[1]["changed"][0].as_str()), (2, Some("content")), "{found}");
    let first = states[0]["first"].as_str().unwrap().to_owned();
    assert_eq!(with(&["cat", &first, "sub/file"], 0), "web".repeat(1000));
    assert_eq!(with(&["cat", "web", "sub/file"], 0), "other");
    // A name with a backslash is found as it is.
    assert_eq!(with(&["cat", "web", "back\\slash"], 0), "odd");
    assert!(with(&["cat", "web", "no/such"], 7).is_empty() && with(&["cat", "web", "sub"], 7).is_empty());
    with(&["cat", "web", "sub/file", "--json"], 2);
    let kept = json(at, &[&["cat", "web", "sub/file", "--output", "kept"], IDENTITY.as_slice()].concat(), 0);
    assert_eq!(
        (kept["size"].as_u64(), fs::read_to_string(at.join("kept")).unwrap().as_str()),
        (Some(5), "other")
    );
    with(&["cat", "web", "sub/file", "--output", "kept"], 7);
    assert!(with(&["diff", &first, "latest"], 9).contains("~ sub/file"));
    with(&["diff", "web", "./data/web", "--content"], 0);
    fs::write(at.join("data/web/new"), "").unwrap();
    assert!(with(&["diff", "web", "./data/web"], 9).contains("+ new"));
    with(&["diff", "web", "./none"], 7);
    with(&["diff", "web", "none"], 2);
    with(&["verify", "web", "--level", "restore"], 0);
}
