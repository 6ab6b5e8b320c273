//! `oscal-assessment-results.json`: the facts as NIST's OSCAL has assessment results.
//!
//! Every step is an entry of the assessment log, everything that was looked at an observation, every control that it
//! speaks to a finding. UUIDs are of version 5 over the facts, so the same facts give the same bytes.

use std::collections::BTreeMap;

use lifeboat_repo::crypto::hash::{sha256, uuid_v5};
use lifeboat_repo::ids::ObjectHash;
use serde::Serialize;
use serde_json::{Value, json};

use super::controls::{Control, Standing, controls};
use super::derived::FACTS_FILE;
use super::expiry::AGE_MAX;
use super::facts::{Facts, Kind, LookFact, Moment, StepFact};
use super::plain::{markdown, plain};
use observations::Observed;

mod observations;

/// Its name.
pub(super) const FILE: &str = "oscal-assessment-results.json";

/// The version of OSCAL that it follows.
const OSCAL_VERSION: &str = "1.2.3";

/// The namespace of our own properties.
const NS: &str = "urn:lifeboat:evidence:1";

/// The namespace of our UUIDs: a random one.
const UUIDS: [u8; 16] =
    [0x6f, 0x1d, 0x2c, 0x9b, 0x84, 0x5e, 0x4a, 0x17, 0x9c, 0x30, 0x5b, 0xe2, 0xd7, 0x61, 0x0a, 0x48];

/// The document for these facts; `text` is their canonical form.
pub(super) fn document(facts: &Facts, text: &[u8]) -> String {
    let writer = Writer { facts, base: uuid_v5(&UUIDS, text), sha256: ObjectHash::from_bytes(sha256(text)) };
    let sorted = Sorted::from(json!({ "assessment-results": writer.results() }));
    let mut document = serde_json::to_string_pretty(&sorted).unwrap_or_default();
    document.push('\n');
    document
}

pub(super) struct Writer<'f> {
    pub(super) facts: &'f Facts,
    base: [u8; 16],
    sha256: ObjectHash,
}

impl Writer<'_> {
    /// The UUID of a part, by what it is.
    pub(super) fn uuid(&self, part: &str) -> String {
        let hex = hex::encode(uuid_v5(&self.base, part.as_bytes()));
        let cut = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
        [cut(0, 8), cut(8, 12), cut(12, 16), cut(16, 20), cut(20, 32)].join("-")
    }

    fn results(&self) -> Value {
        let facts = self.facts;
        json!({
            "uuid": self.uuid("assessment-results"),
            "metadata": {
                "title": line(&format!("Evidence of {}: {}", facts.kind.one(), facts.title)),
                "last-modified": facts.exercise.ended, "version": line(facts.id.as_str()),
                "oscal-version": OSCAL_VERSION,
                "parties": [{ "uuid": self.uuid("operator"), "type": "person", "name": text(&facts.exercise.operator) }],
            },
            "import-ap": { "href": format!("#{}", self.uuid("plan")) },
            "results": [self.result()],
            "back-matter": { "resources": [self.plan(), self.evidence()] },
        })
    }

    /// The runbook, which is the plan of what is assessed.
    fn plan(&self) -> Value {
        let (title, hash) = match &self.facts.book {
            Some(book) => (format!("Runbook {}: {}", book.name, book.title), book.sha256),
            None => {
                let says = match self.facts.kind {
                    Kind::Erasure => {
                        "No runbook: officers sign what is erased, and the configuration says where it lies"
                    }
                    Kind::Drill | Kind::Verification => "No runbook: the configuration says what is verified",
                };
                (says.to_owned(), self.facts.configuration)
            }
        };
        json!({
            "uuid": self.uuid("plan"), "title": line(&title),
            "description": line("What was executed. It is named by its SHA-256, not enclosed."),
            "rlinks": [{ "href": FACTS_FILE, "media-type": "application/json" }],
            "props": [property("sha256", &hash.to_string())],
        })
    }

    fn evidence(&self) -> Value {
        json!({
            "uuid": self.uuid("evidence"), "title": "The facts that this document is made of",
            "rlinks": [{ "href": FACTS_FILE, "media-type": "application/json",
                         "hashes": [{ "algorithm": "SHA-256", "value": self.sha256 }] }],
        })
    }

    fn result(&self) -> Value {
        let facts = self.facts;
        let spoken: Vec<(Control, Standing)> = controls()
            .into_iter()
            .map(|control| {
                let standing = control.standing(facts, None);
                (control, standing)
            })
            .filter(|(_, standing)| *standing != Standing::NotLooked)
            .collect();
        let observed = observations::all(facts);
        let mut result = json!({
            "uuid": self.uuid("result"),
            "title": line(&facts.title),
            "description": line(&format!("Verdict: {}.", facts.verdict.words())),
            "start": facts.exercise.disruption, "end": facts.exercise.ended,
            "props": [property("verdict", facts.verdict.words()), property("tool-version", &facts.tool.version)],
            "reviewed-controls": { "control-selections": [self.selection(&spoken)] },
        });
        let mut put = |name: &str, values: Vec<Value>| {
            // OSCAL has no empty arrays: what there is none of is left out.
            if let (Some(result), false) = (result.as_object_mut(), values.is_empty()) {
                result.insert(name.to_owned(), Value::Array(values));
            }
        };
        put("observations", observed.iter().map(|one| self.observation(one)).collect());
        put(
            "findings",
            spoken.iter().map(|(control, standing)| self.finding(control, *standing, &observed)).collect(),
        );
        let components: Vec<Value> =
            facts.components.iter().map(|one| self.component(one.name.as_str())).collect();
        if let Some(result) = result.as_object_mut() {
            if !components.is_empty() {
                result.insert("local-definitions".to_owned(), json!({ "components": components }));
            }
            result.insert("assessment-log".to_owned(), json!({ "entries": self.log() }));
        }
        result
    }

    fn selection(&self, spoken: &[(Control, Standing)]) -> Value {
        if spoken.is_empty() {
            return json!({ "include-all": {} });
        }
        let controls: Vec<Value> =
            spoken.iter().map(|(control, _)| json!({ "control-id": control.id })).collect();
        json!({ "description": line("Controls of several standards, by ids of our own where they are not NIST's."),
                "include-controls": controls })
    }

    fn component(&self, name: &str) -> Value {
        json!({
            "uuid": self.uuid(&format!("component {name}")), "type": "service", "title": line(name),
            "description": line(&format!("The component {name}, backed up and restored on its own.")),
            "status": { "state": "operational" },
        })
    }

    /// The run itself, then every step or look, those that were not executed too.
    fn log(&self) -> Vec<Value> {
        let exercise = &self.facts.exercise;
        let (title, says) = match self.facts.kind {
            Kind::Drill => (
                "The exercise",
                format!("The clock of recovery starts at the disruption, {}.", exercise.disruption),
            ),
            Kind::Verification => ("The verification", "What is stored was looked at.".to_owned()),
            Kind::Erasure => {
                ("The erasure", "Keys were destroyed, or it was tried whether they are.".to_owned())
            }
        };
        let mut entries = vec![json!({
            "uuid": self.uuid("log begun"), "title": title, "start": exercise.begun, "end": exercise.ended,
            "description": line(&says), "logged-by": [{ "party-uuid": self.uuid("operator") }],
        })];
        let looks = self.facts.verification.iter().flat_map(|verification| &verification.looks);
        entries.extend(looks.enumerate().map(|(number, look)| self.look(number, look)));
        entries.extend(self.moments());
        entries.extend(self.facts.steps.iter().enumerate().map(|(number, step)| self.step(number, step)));
        for (number, gap) in exercise.interruptions.iter().enumerate() {
            entries.push(json!({
                "uuid": self.uuid(&format!("log interruption {number}")), "title": "The exercise was interrupted",
                "start": gap.from, "end": gap.to, "description": line(&gap.note),
            }));
        }
        entries
    }

    fn look(&self, number: usize, look: &LookFact) -> Value {
        let counts = look.counts.iter().map(|(name, count)| property(name, &count.to_string()));
        json!({
            "uuid": self.uuid(&format!("log look {number}")), "title": line(&look.words()),
            "description": line(&look.detail), "start": look.begun, "end": look.ended,
            "props": std::iter::once(property("outcome", look.outcome.words())).chain(counts).collect::<Vec<_>>(),
        })
    }

    /// What happened of an erasure, and when it is gone for good.
    fn moments(&self) -> Vec<Value> {
        let Some(erasure) = &self.facts.erasure else { return Vec::new() };
        let signed: Vec<&str> = erasure.tombstone.signed.iter().map(|one| one.officer.as_str()).collect();
        let all = [
            ("requested", Some(erasure.requested), format!("Signed first. Officers: {}.", signed.join(", "))),
            ("effective", erasure.effective, "From now on every verb refuses it.".to_owned()),
            ("destroyed", erasure.destroyed, "Its keys and cards are destroyed.".to_owned()),
        ];
        let entry = |(name, at, says): (&str, Option<Moment>, String)| {
            Some(
                json!({ "uuid": self.uuid(&format!("log {name}")), "title": name, "description": line(&says), "start": at?, "end": at? }),
            )
        };
        all.into_iter().filter_map(entry).collect()
    }

    fn step(&self, number: usize, step: &StepFact) -> Value {
        let start: Moment = step.started.unwrap_or(self.facts.exercise.ended);
        let mut props = vec![
            property("outcome", step.what.words()),
            property("attempt", &step.attempt.to_string()),
            property("script-sha256", &step.script_sha256.to_string()),
        ];
        if let Some(seconds) = step.seconds {
            props.push(property("seconds", &serde_json::to_string(&seconds).unwrap_or_default()));
        }
        if let Some(exit) = step.exit {
            props.push(property("exit-status", &exit.to_string()));
        }
        if let Some(output) = &step.output {
            props.push(property("output-sha256", &output.sha256.to_string()));
        }
        let approved =
            step.approver.as_ref().map(|one| format!(" Confirmed by {}.", one.by)).unwrap_or_default();
        let note = step.note.as_ref().map(|note| format!(" {note}.")).unwrap_or_default();
        let when = if step.started.is_none() { " It has no time of its own." } else { "" };
        json!({
            "uuid": self.uuid(&format!("log step {number}")),
            "title": line(&format!("{}: {}", step.name, step.heading)),
            "description": line(&format!("{}.{approved}{note}{when}", step.what.words())),
            "start": start, "end": step.ended.unwrap_or(start), "props": props,
        })
    }

    fn observation(&self, one: &Observed) -> Value {
        let mut observation = json!({
            "uuid": self.uuid(&format!("observation {}", one.key)), "title": line(&one.title),
            "description": line(&one.says), "methods": ["TEST"],
            "collected": self.facts.exercise.ended, "expires": self.facts.exercise.ended.plus(AGE_MAX),
            "props": [property("outcome", one.standing.words())],
            "relevant-evidence": [{ "href": format!("#{}", self.uuid("evidence")), "description": "The facts." }],
        });
        if let (Some(name), Some(object)) = (&one.component, observation.as_object_mut()) {
            let subject =
                json!([{ "subject-uuid": self.uuid(&format!("component {name}")), "type": "component" }]);
            object.insert("subjects".to_owned(), subject);
        }
        observation
    }

    fn finding(&self, control: &Control, standing: Standing, observed: &[Observed]) -> Value {
        let related: Vec<Value> = observed
            .iter()
            .filter(|one| control.topics(self.facts.kind).contains(&one.topic))
            .map(|one| json!({ "observation-uuid": self.uuid(&format!("observation {}", one.key)) }))
            .collect();
        let status = match standing {
            Standing::Shown => json!({ "state": "satisfied", "reason": "pass" }),
            Standing::NotShown => json!({ "state": "not-satisfied", "reason": "fail" }),
            Standing::Insufficient | Standing::NotLooked => {
                json!({ "state": "not-satisfied", "reason": "other", "remarks": "Insufficient evidence." })
            }
        };
        let mut finding = json!({
            "uuid": self.uuid(&format!("finding {}", control.id)),
            "title": line(&format!("{} {}", control.framework, control.label)), "description": line(&control.says),
            "target": { "type": "objective-id", "target-id": control.id, "status": status },
        });
        if let (Some(object), false) = (finding.as_object_mut(), related.is_empty()) {
            object.insert("related-observations".to_owned(), Value::Array(related));
        }
        finding
    }
}

/// A property of ours.
fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "ns": NS, "value": text(value) })
}

/// A text as OSCAL's markup: one line, never empty, and no markup.
fn line(words: &str) -> String {
    never_empty(markdown(words))
}

/// A text as OSCAL's plain strings: one line, never empty.
fn text(words: &str) -> String {
    never_empty(plain(words))
}

fn never_empty(words: String) -> String {
    let words = words.trim();
    if words.is_empty() { "-".to_owned() } else { words.to_owned() }
}

/// A value with its keys sorted. How serde_json keeps them is up to whoever else is built with it.
#[derive(Serialize)]
#[serde(untagged)]
enum Sorted {
    Object(BTreeMap<String, Sorted>),
    Array(Vec<Sorted>),
    Leaf(Value),
}

impl From<Value> for Sorted {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(map) => {
                Self::Object(map.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
            Value::Array(values) => Self::Array(values.into_iter().map(Self::from).collect()),
            leaf => Self::Leaf(leaf),
        }
    }
}
