//! What `--json` prints is what docs/json-schema.json and docs/json-events-schema.json say, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;

use crate::world::{TOUR, World, both};

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The documented schema lets fields come that nobody knows yet. Here none may: one that is not documented is a
/// mistake.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.contains_key("properties") && object.get("type") == Some(&Value::from("object")) {
                object.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[track_caller]
fn holds(validator: &Validator, value: &Value, whose: &str) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{whose}: {errors:#?}\n{value:#}");
}

/// What a verb printed is documented, to the last field.
#[track_caller]
pub(crate) fn documented(value: &Value) {
    let mut closed = schema("json-schema.json");
    close(&mut closed);
    holds(&jsonschema::validator_for(&closed).unwrap(), value, "--json");
}

#[test]
fn every_verb_prints_what_is_documented() {
    let documented = schema("json-schema.json");
    let mut closed = documented.clone();
    close(&mut closed);
    let (open, closed) =
        (jsonschema::validator_for(&documented).unwrap(), jsonschema::validator_for(&closed).unwrap());
    let events = jsonschema::validator_for(&schema("json-events-schema.json")).unwrap();
    let world = World::backed_up();
    let mut seen = BTreeSet::new();
    for (arguments, code) in TOUR {
        let output = world.ends(&[arguments, &["--json", "-v"][..]].concat(), *code);
        let value: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", both(&output)));
        assert_eq!(value["exit"], *code, "{value}");
        holds(&open, &value, &format!("{arguments:?}"));
        holds(&closed, &value, &format!("{arguments:?}"));
        if value.get("result").is_some() {
            seen.insert(value["verb"].as_str().unwrap().replace(' ', "-"));
        }
        // A command line that is not understood starts no log.
        for line in String::from_utf8(output.stderr).unwrap().lines() {
            holds(&events, &serde_json::from_str(line).unwrap(), &format!("{arguments:?}"));
        }
    }
    // Damage has fields of its own.
    let packs = std::fs::read_dir(world.at().join("repositories/eu-fra/packs")).unwrap();
    for shard in packs {
        for pack in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            std::fs::remove_file(pack.unwrap().path()).unwrap();
        }
    }
    let output =
        world.ends(&["verify", "--json", "--level", "all", "--identity", "keys/recovery-eu-fra.txt"], 4);
    holds(&closed, &serde_json::from_slice(&output.stdout).unwrap(), "verify of damage");
    assert!(seen.len() >= 16, "{seen:?}");
    for verb in seen {
        assert!(documented["$defs"].get(&verb).is_some(), "{verb} is in no schema");
    }
}

#[test]
fn the_schema_refuses_what_it_should() {
    let mut closed = schema("json-schema.json");
    close(&mut closed);
    let closed = jsonschema::validator_for(&closed).unwrap();
    let error = serde_json::json!({ "code": "LB-201", "what": "x", "where": null, "next": null });
    let good = serde_json::json!({ "verb": "status", "exit": 2, "meaning": "usage", "error": error });
    assert!(closed.is_valid(&good));
    for (key, value) in
        [("exit", 10.into()), ("error", Value::Null), ("more", 1.into()), ("result", good.clone())]
    {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(!closed.is_valid(&bad), "{bad}");
    }
}
