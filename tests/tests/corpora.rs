//! The fuzzer's corpora, replayed: every rule of every parser on inputs that once reached further than others. And
//! bombs, each in a process of its own whose peak memory is measured.

#![cfg(test)]

use std::collections::BTreeSet;

use lifeboat_tests::corpora;
use lifeboat_tests::targets::TARGETS;

/// Fuzzed and replayed by the program that owns the parser (cli/src/config/tests.rs).
const ELSEWHERE: &[&str] = &["config"];

#[test]
fn every_input_of_every_corpus_keeps_the_rules() {
    let all = corpora::all();
    let named: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<&str> =
        TARGETS.iter().map(|(name, _)| *name).chain(ELSEWHERE.iter().copied()).collect();
    assert_eq!(named, known, "each parser has a corpus and each corpus a parser; see scripts/fuzz");
    let mut count = 0;
    for (name, look) in TARGETS {
        let inputs = all.iter().find(|(corpus, _)| corpus == name).map_or(&[][..], |(_, inputs)| inputs);
        // A corpus that the parser takes nothing of was left behind by the format: scripts/fuzz --seed --keep.
        let taken = inputs.iter().filter(|input| look(input)).count();
        assert!(taken > 0, "nothing of the corpus {name} is taken any more");
        assert!(taken < inputs.len(), "the corpus {name} holds nothing that is refused");
        count += inputs.len();
    }
    println!("{count} inputs");
    assert!(count > 1000);
}

#[test]
fn real_objects_are_taken() {
    for (name, input) in corpora::seeds() {
        let refused_on_purpose = matches!(name, "age-edits" | "identities");
        assert!(
            refused_on_purpose || ELSEWHERE.contains(&name) || corpora::is_taken(name, &input),
            "{name}: {}",
            input.escape_ascii()
        );
    }
}

#[test]
fn corpora_come_back_from_their_files() {
    let inputs: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte, b'\\', byte]).chain([Vec::new()]).collect();
    let mut back = corpora::read(&corpora::written(inputs.clone()));
    back.sort();
    let mut inputs = inputs;
    inputs.sort();
    assert_eq!(back, inputs);
}
