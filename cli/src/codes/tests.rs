use super::*;
use std::collections::BTreeSet;
use std::path::Path;

fn source(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of an enum's variants, by its source: those of other crates are open to new ones, so that the
/// compiler does not ask for an arm.
fn variants(path: &str, name: &str) -> Vec<String> {
    let text = source(path);
    let body = text.split(&format!("pub enum {name} {{\n")).nth(1).unwrap().split("\n}").next().unwrap();
    let at_first_level = body.lines().filter(|line| {
        line.starts_with("    ") && line.chars().nth(4).is_some_and(|first| first.is_ascii_uppercase())
    });
    at_first_level
        .map(|line| line.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned())
        .collect()
}

#[test]
fn numbers_are_distinct_and_in_order() {
    assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    for code in Code::ALL {
        assert_eq!(Code::parse(&code.to_string()), Some(*code));
        assert_eq!(u16::from(code.exit().code()), code.number() / 100, "{code}");
        assert!(code.title().len() <= 60 && !code.meaning().is_empty(), "{code}");
        assert!(code.meaning().ends_with('.') && code.next().ends_with('.'), "{code}");
    }
    for exit in Exit::ALL.into_iter().skip(1) {
        assert_eq!(Code::of(exit).exit(), exit);
    }
    assert_eq!(Code::parse("lb-201"), Some(Code::NoConfiguration));
    assert_eq!((Code::parse("999"), Code::parse("LB-"), Code::parse("")), (None, None, None));
}

/// With LIFEBOAT_WRITE_DOCS=1 it writes the file instead.
#[test]
fn the_catalogue_is_what_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    if std::env::var_os("LIFEBOAT_WRITE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    assert!(source("docs/errors.md") == markdown(), "run it once with LIFEBOAT_WRITE_DOCS=1");
}

#[test]
fn every_error_of_the_libraries_has_a_code() {
    let kinds = [
        ("repo/src/repository/error.rs", "RepositoryErrorKind"),
        ("repo/src/store/mod.rs", "StoreErrorKind"),
        ("backup/src/error.rs", "BackupErrorKind"),
        ("restore/src/error.rs", "RestoreErrorKind"),
        ("verify/src/error.rs", "VerifyErrorKind"),
        ("verify/src/evidence/error.rs", "EvidenceErrorKind"),
    ];
    let table = source("cli/src/failure/causes.rs");
    for (path, name) in kinds {
        let found = variants(path, name);
        assert!(found.len() >= 5, "{path}: {found:?}");
        for variant in found {
            assert!(table.contains(&format!("{name}::{variant}")), "{name}::{variant} has no code");
        }
    }
}

#[test]
fn every_code_is_used() {
    let mut used = BTreeSet::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.ends_with("codes.rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let named = text.split("Code::").skip(1);
                used.extend(
                    named.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()),
                );
            }
        }
    }
    for code in Code::ALL {
        let generic = Code::of(code.exit()) == *code;
        assert!(generic || used.contains(&format!("{code:?}")), "{code:?} is in no source");
    }
}
