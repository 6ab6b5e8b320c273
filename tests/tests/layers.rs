//! Holds the layer rule: which crate may depend on which, which module may import which, and who may know the
//! terminal and the environment. The tables below are the rule; a new line in one is a design decision.
//!
//! Sources are read as tokens, not as text: comments, strings and test code do not count, and a path counts
//! however it is spelled (`use crate::{a, b}`, an inline `crate::a::f()`, `super::super::a`). What a macro
//! pastes together is not seen.

// Helpers here are test code too (clippy.toml).
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "layers/source.rs"]
mod source;

use source::{Named, Reading, read};

// --- the rule

/// Which workspace packages each package may depend on. Nothing may name `lifeboat-tests`.
const CRATES: &[(&str, &[&str])] = &[
    ("lifeboat-repo", &[]),
    ("lifeboat-backup", &["lifeboat-repo"]),
    ("lifeboat-restore", &["lifeboat-repo"]),
    ("lifeboat-verify", &["lifeboat-repo", "lifeboat-restore"]),
    ("lifeboat-runbooks", &["lifeboat-repo", "lifeboat-backup", "lifeboat-restore", "lifeboat-verify"]),
    ("lifeboat-cli", LIBRARIES),
    ("lifeboat-tests", ABOVE_LIBRARIES),
];
const LIBRARIES: &[&str] =
    &["lifeboat-repo", "lifeboat-backup", "lifeboat-restore", "lifeboat-verify", "lifeboat-runbooks"];
const ABOVE_LIBRARIES: &[&str] = &[
    "lifeboat-repo",
    "lifeboat-backup",
    "lifeboat-restore",
    "lifeboat-verify",
    "lifeboat-runbooks",
    "lifeboat-cli",
];
/// What the unit tests of a library crate may depend on besides.
const LIBRARY_DEV: &[&str] = &["lifeboat-repo"];
/// Crates that belong to the program, not to its libraries.
const CLI_CRATES: &[&str] = &["anyhow", "clap", "clap_complete", "clap_mangen", "indicatif", "roff"];

/// The modules of `repo` from the ground up, each with what it may import.
const FLOORS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("ids", &["units"]),
    ("clock", &["units", "ids"]),
    ("observe", &["units", "ids", "clock"]),
    ("store", &["units", "ids", "clock", "observe"]),
    ("crypto", &["units", "ids", "clock", "observe"]),
    ("format", &["units", "ids", "clock", "observe", "crypto"]),
    ("retention", &["units", "ids"]),
    ("repository", &["units", "ids", "clock", "observe", "store", "crypto", "format", "retention"]),
];

/// What does I/O, and so has no place in `format`: it turns bytes into values and back, in memory.
const FORMAT_FORBIDDEN: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["rustix"],
    &["tempfile"],
    &["xattr"],
];
/// What only `cli` may know, by the beginning of the path.
const CLI_ONLY: &[&[&str]] = &[&["anyhow"], &["clap"], &["clap_complete"], &["indicatif"], &["std", "env"]];
/// The same, wherever in a path it stands, so that `use std::process; process::exit(1)` is seen too.
const CLI_ONLY_ANYWHERE: &[&[&str]] =
    &[&["process", "exit"], &["io", "stdout"], &["io", "stderr"], &["io", "IsTerminal"]];
const CLI_ONLY_MACROS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Where the time of day and randomness come from; everybody else is given a `Clock` and an `Entropy`. A stopwatch
/// (`Instant`) is no time of day. The age library draws keys and headers of its own.
const CLOCK: &str = "repo/src/clock.rs";
/// What tells the time of day or draws randomness, wherever in a path it stands.
const AMBIENT: &[&[&str]] = &[
    &["SystemTime", "now"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["SystemTime", "elapsed"],
    &["clock_gettime"],
    &["getrandom"],
    &["rand"],
    &["OsRng"],
    &["SystemRandom"],
    &["RandomState"],
];
/// What stores are made of: a file system, a network and its clients. In `repo` only `store` knows it.
const STORE_ONLY: &[&[&str]] = &[&["std", "fs"], &["std", "net"], &["std", "os"], &["rustix"], &["xattr"]];
/// The same of remote stores, which nobody else knows either.
const REMOTE: &[&str] =
    &["aws_config", "aws_sdk_s3", "aws_smithy_runtime", "http", "hyper", "reqwest", "tokio"];

// --- the checks, pure

/// One source file: its path from the workspace's root, with `/`, and its text.
type Source = (String, String);

/// `repo/src/store/local.rs` is the module `store::local`.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.split_once("src/").map_or(file, |(_, inner)| inner);
    let mut module: Vec<String> = inner.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// Reads the files of one crate; leaves out those that are compiled for tests only.
fn readings(sources: &[Source]) -> Vec<(String, Vec<String>, Reading)> {
    let read: Vec<(String, Vec<String>, Reading)> = sources
        .iter()
        .map(|(file, text)| {
            let module = module_of(file);
            let reading = read(text, &module);
            (file.clone(), module, reading)
        })
        .collect();
    let test_only: BTreeSet<Vec<String>> = read
        .iter()
        .flat_map(|(_, module, reading)| {
            reading.test_modules.iter().map(|name| module.iter().chain([name]).cloned().collect())
        })
        .collect();
    read.into_iter()
        .filter(|(_, module, _)| {
            (1..=module.len()).all(|n| module.get(..n).is_none_or(|m| !test_only.contains(m)))
        })
        .collect()
}

/// Where a path leads within its own crate: from the crate's root, or nowhere if it leaves the crate.
fn resolve(named: &Named) -> Option<Vec<String>> {
    let mut rest = named.segments.as_slice();
    let mut place = match rest.first().map(String::as_str) {
        Some("crate") => Vec::new(),
        Some("self" | "super") => named.module.clone(),
        _ => return None,
    };
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => {
                place.pop();
            }
            _ => break,
        }
        rest = others;
    }
    place.extend(rest.iter().cloned());
    Some(place)
}

/// Every module edge of `repo` that the floors do not allow, and all I/O in `format`.
fn module_findings(sources: &[Source]) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().find(|(floor, _)| *floor == name).map(|(_, allowed)| *allowed);
    let unknown = |at: String, name: &str| {
        format!(
            "{at}: repo has no module {name:?} on its floors: a new line in FLOORS is a design decision \
             (and items are imported from the module that owns them, not from the crate's root)"
        )
    };
    let mut findings = Vec::new();
    for (file, module, reading) in readings(sources) {
        let Some(home) = module.first() else {
            // The root: it declares modules and may show their items, that is all.
            for (name, line) in &reading.modules {
                if floor(name).is_none() {
                    findings.push(unknown(format!("{file}:{line}"), name));
                }
            }
            continue;
        };
        let Some(allowed) = floor(home) else {
            findings.push(unknown(file, home));
            continue;
        };
        for named in &reading.paths {
            let (at, path) = (format!("{file}:{}", named.line), named.segments.join("::"));
            match resolve(named).as_deref().map(<[String]>::first) {
                None => {}
                Some(None) => findings.push(format!("{at}: {path} names the whole crate")),
                Some(Some(target)) if target == home || allowed.contains(&target.as_str()) => {}
                Some(Some(target)) if floor(target).is_none() => findings.push(unknown(at.clone(), target)),
                Some(Some(target)) => {
                    findings
                        .push(format!("{at}: {home} stands below or beside {target}, yet imports {path}"));
                }
            }
            if home == "format" && FORMAT_FORBIDDEN.iter().any(|forbidden| begins(&named.segments, forbidden))
            {
                findings.push(format!("{at}: format does no I/O, yet names {path}"));
            }
        }
    }
    findings
}

/// Whether a path begins with another, or brings all of it in by `*`, or is its first part alone.
fn begins(segments: &[String], beginning: &[&str]) -> bool {
    let glob = segments.last().is_some_and(|last| last == "*");
    let plain = if glob { segments.get(..segments.len() - 1).unwrap_or_default() } else { segments };
    let agree = plain.iter().zip(beginning).all(|(a, b)| a == b);
    agree && (plain.len() >= beginning.len() || glob || plain.len() == 1)
}

/// Every mention, in a library crate, of what only `cli` may know.
fn terminal_findings(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, _, reading) in readings(sources) {
        for named in &reading.paths {
            let last = named.segments.last().map_or("", String::as_str);
            let forbidden = (named.is_macro && CLI_ONLY_MACROS.contains(&last))
                || CLI_ONLY.iter().any(|forbidden| begins(&named.segments, forbidden))
                || CLI_ONLY_ANYWHERE
                    .iter()
                    .any(|tail| named.segments.windows(tail.len()).any(|w| w == *tail));
            if forbidden {
                let (line, path) = (named.line, named.segments.join("::"));
                findings.push(format!("{file}:{line}: only cli may know {path}"));
            }
        }
    }
    findings
}

/// Who tells the time or draws randomness by himself.
fn ambient_findings(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, _, reading) in readings(sources) {
        for named in reading.paths.iter().filter(|_| file != CLOCK) {
            if AMBIENT.iter().any(|tail| named.segments.windows(tail.len()).any(|w| w == *tail)) {
                let (line, path) = (named.line, named.segments.join("::"));
                findings
                    .push(format!("{file}:{line}: {path}: only {CLOCK} tells the time and draws randomness"));
            }
        }
    }
    findings
}

/// Who knows what a store is made of, besides stores.
fn store_findings(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, module, reading) in readings(sources) {
        if file.starts_with("repo/") && module.first().is_some_and(|first| first == "store") {
            continue;
        }
        for named in &reading.paths {
            let remote = named.segments.first().is_some_and(|first| REMOTE.contains(&first.as_str()));
            let local =
                file.starts_with("repo/") && STORE_ONLY.iter().any(|path| begins(&named.segments, path));
            if remote || local {
                let (line, path) = (named.line, named.segments.join("::"));
                findings.push(format!(
                    "{file}:{line}: {path}: only repo/src/store knows what stores are made of"
                ));
            }
        }
    }
    findings
}

/// A dependency as a manifest states it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    dev: bool,
}

fn edge(from: &str, to: &str, dev: bool) -> Edge {
    Edge { from: from.to_owned(), to: to.to_owned(), dev }
}

/// Every crate edge the rule does not allow. `members` are the packages of the workspace.
fn crate_findings(members: &BTreeSet<String>, edges: &[Edge]) -> Vec<String> {
    let mut findings = Vec::new();
    for member in members {
        if !CRATES.iter().any(|(name, _)| name == member) {
            findings.push(format!("{member} is not in CRATES: a new line there is a design decision"));
        }
    }
    for Edge { from, to, dev } in edges {
        let library = LIBRARIES.contains(&from.as_str());
        if members.contains(to) {
            let allowed =
                CRATES.iter().find(|(name, _)| name == from).map_or(&[][..], |(_, allowed)| *allowed);
            let allowed = if *dev && library { LIBRARY_DEV } else { allowed };
            if !allowed.contains(&to.as_str()) {
                let kind = if *dev { "its tests may not depend" } else { "it may not depend" };
                findings.push(format!("{from} → {to}: {kind} on that; a new edge is a design decision"));
            }
        } else if library && !dev && CLI_CRATES.contains(&to.replace('-', "_").as_str()) {
            findings.push(format!("{from} → {to}: only cli may depend on that"));
        }
    }
    findings
}

/// Everything `from` is linked with, however far away.
fn reachable(from: &str, edges: &[Edge]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut todo = vec![from.to_owned()];
    while let Some(next) = todo.pop() {
        for found in edges.iter().filter(|edge| !edge.dev && edge.from == next) {
            if seen.insert(found.to.clone()) {
                todo.push(found.to.clone());
            }
        }
    }
    seen
}

/// What in `cargo tree --format '{p} {f}' --prefix none` does not belong on a production host.
fn agent_findings(tree: &str) -> Vec<String> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let package = words.next()?;
            let features = words.next_back().unwrap_or_default();
            let opens = package == "lifeboat-repo" && features.split(',').any(|feature| feature == "recover");
            match package {
                "lifeboat-restore" | "lifeboat-verify" | "lifeboat-runbooks" | "lifeboat-tests" => {
                    Some(format!("an agent-only build links {package}"))
                }
                _ if opens => Some("an agent-only build has lifeboat-repo's feature \"recover\"".to_owned()),
                _ => None,
            }
        })
        .collect()
}

// --- the workspace as it is

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

fn cargo(arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).current_dir(root()).output().expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {} failed:\n{errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("cargo speaks UTF-8")
}

fn workspace() -> (BTreeSet<String>, Vec<Edge>) {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let members = packages.iter().map(|package| text(&package["name"])).collect();
    let edges = packages.iter().flat_map(|package| {
        package["dependencies"].as_array().expect("dependencies").iter().map(|dependency| Edge {
            from: text(&package["name"]),
            to: text(&dependency["name"]),
            dev: dependency["kind"] == "dev",
        })
    });
    (members, edges.collect())
}

/// The sources of one crate, from its folder's `src`.
fn sources(folder: &str) -> Vec<Source> {
    let root = root();
    let mut todo = vec![root.join(folder).join("src")];
    let mut found = Vec::new();
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(&next).expect("a source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("inside").to_str().expect("UTF-8").to_owned();
                found.push((name, std::fs::read_to_string(&path).expect("a source file")));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder}/src has no sources: is the test looking at the right place?");
    found
}

#[track_caller]
fn assert_none(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "the layer rule is broken (see the tables in this file):\n{}",
        findings.join("\n")
    );
}

#[test]
fn crates_depend_only_downwards() {
    let (members, edges) = workspace();
    let expected: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        members, expected,
        "CRATES lists the workspace's members; a change there is a design decision"
    );
    assert!(edges.contains(&edge("lifeboat-verify", "lifeboat-restore", false)), "edges are read");
    assert_none(&crate_findings(&members, &edges));
}

#[test]
fn modules_of_repo_import_only_lower_floors() {
    assert_none(&module_findings(&sources("repo")));
}

#[test]
fn only_cli_knows_terminal_and_environment() {
    for folder in ["repo", "backup", "restore", "verify", "runbooks"] {
        assert_none(&terminal_findings(&sources(folder)));
    }
}

#[test]
fn only_the_clock_tells_the_time_and_draws_randomness() {
    for folder in ["repo", "backup", "restore", "verify", "runbooks", "cli"] {
        assert_none(&ambient_findings(&sources(folder)));
    }
    // The check is not blind: where it is allowed, it is there.
    let clock = sources("repo").into_iter().find(|(file, _)| file == CLOCK).unwrap().1;
    let found = ambient_findings(&in_file("repo/src/other.rs", &clock));
    assert!(found.len() >= 2, "{found:?}");
}

#[test]
fn only_stores_know_what_they_are_made_of() {
    for folder in ["repo", "backup", "restore", "verify", "runbooks", "cli"] {
        assert_none(&store_findings(&sources(folder)));
    }
    let disk =
        sources("repo").into_iter().find(|(file, _)| file == "repo/src/store/local/disk.rs").unwrap().1;
    assert!(!store_findings(&in_file("repo/src/repository/other.rs", &disk)).is_empty());
}

#[test]
fn restore_never_reaches_backup() {
    let (_, edges) = workspace();
    let linked = reachable("lifeboat-restore", &edges);
    assert!(linked.contains("lifeboat-repo"), "edges are followed");
    assert!(!linked.contains("lifeboat-backup"));
    let tree =
        cargo(&["tree", "-p", "lifeboat-restore", "-e", "normal,build", "--prefix", "none", "--offline"]);
    assert!(tree.contains("lifeboat-repo "));
    assert!(!tree.contains("lifeboat-backup "), "{tree}");
}

#[test]
fn agent_only_build_opens_nothing() {
    let tree = |features: &[&str]| {
        let fixed = ["tree", "-p", "lifeboat-cli", "-e", "normal", "--prefix", "none", "--offline"];
        cargo(&[&fixed[..], &["--format", "{p} {f}"], features].concat())
    };
    let agent = tree(&["--no-default-features", "--features", "agent"]);
    assert!(agent.contains("lifeboat-backup "), "the agent is in the tree:\n{agent}");
    assert_none(&agent_findings(&agent));
    // The same look at the full build finds what it must: the check is not blind.
    let full = agent_findings(&tree(&[])).join("\n");
    assert!(full.contains("lifeboat-restore") && full.contains("lifeboat-verify"), "{full}");
    assert!(full.contains("recover"), "{full}");
}

// --- the checks turn red

fn in_file(file: &str, text: &str) -> Vec<Source> {
    vec![(file.to_owned(), text.to_owned())]
}

#[track_caller]
fn assert_red(findings: &[String], expected: &str) {
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains(expected), "{findings:?} should say {expected:?}");
}

#[test]
fn planted_module_edges_are_found() {
    let found = |file: &str, text: &str| module_findings(&in_file(file, text));
    for (file, text, expected) in [
        ("repo/src/format/pack.rs", "use crate::store::Store;", "repo/src/format/pack.rs:1: format"),
        ("repo/src/store/mod.rs", "\n\nuse crate::repository::Repository;", "store/mod.rs:3: store stands"),
        ("repo/src/store/local.rs", "use crate::{ids::Id, crypto::{self as c}};", "imports crate::crypto"),
        ("repo/src/crypto/mod.rs", "fn f() { crate::store::open(); }", "crypto stands below or beside store"),
        ("repo/src/store/local.rs", "use super::super::format::Pack;", "imports super::super::format::Pack"),
        ("repo/src/units.rs", "mod inner { use super::super::ids::Id; }", "units stands below or beside ids"),
        ("repo/src/ids.rs", "use crate as whole;", "names the whole crate"),
        ("repo/src/ids.rs", "use crate::*;", "no module \"*\""),
        ("repo/src/ids.rs", "use crate::Store;", "no module \"Store\""),
        ("repo/src/ids.rs", "#[cfg(feature = \"testing\")] use crate::store::Store;", "ids stands"),
        ("repo/src/helpers/mod.rs", "", "a new line in FLOORS is a design decision"),
        ("repo/src/lib.rs", "pub mod units; mod helpers;", "no module \"helpers\""),
        ("repo/src/format/mod.rs", "use std::fs;", "format does no I/O, yet names std::fs"),
        ("repo/src/format/mod.rs", "use std::{fmt, io::{self as x}};", "yet names std::io"),
        ("repo/src/format/mod.rs", "fn f(r: impl std::io::Read) {}", "yet names std::io::Read"),
        ("repo/src/format/mod.rs", "use std::*;", "yet names std::*"),
    ] {
        assert_red(&found(file, text), expected);
    }
}

#[test]
fn allowed_module_edges_pass() {
    let source = r##"
        //! Not `crate::store`, only words about it: use crate::store::Store;
        /* use crate::store::Store; /* nested */ use crate::repository::R; */
        use crate::{crypto::codec, ids::{Id, Label as Name}, units::*};
        pub(crate) mod inner { use super::Pack; use super::super::format::Index; }
        const A: &str = "use crate::store::Store;";
        const B: &str = r#"" use crate::store::Store; "#;
        const C: (char, &'static str, u8) = ('"', "\"crate::store::x", b'\'');
        fn f<'a>(x: &'a str) -> impl Sized + use<'a> { crate::ids::f(x) != self::g(x) }
        #[cfg(test)]
        #[path = "odd.rs"]
        mod tests;
        #[test]
        fn t<A, B>(a: [A; 3], b: B) { crate::store::open(); }
        struct S { #[cfg(test)] store: crate::store::Store, id: crate::ids::Id }
        #[cfg(all(test, unix))]
        mod more { use crate::repository::Repository; use std::fs; fn f() { if true {} } }
    "##;
    let mut files = in_file("repo/src/format/mod.rs", source);
    files.extend(in_file("repo/src/format/tests.rs", "use crate::store::Store;"));
    files.extend(in_file("repo/src/format/tests/deep.rs", "use crate::store::Store;"));
    files.extend(in_file("repo/src/lib.rs", "pub mod units; pub use store::Store; #[cfg(test)] mod trial;"));
    files.extend(in_file("repo/src/trial.rs", "use crate::store::Store;"));
    files.extend(in_file("repo/src/crypto/mod.rs", "#![cfg(test)] use crate::store::Store;"));
    assert_none(&module_findings(&files));
    // After skipped test code the reader is awake again.
    let after = format!("{source}\n use crate::store::Store;");
    assert_red(&module_findings(&in_file("repo/src/format/mod.rs", &after)), "format stands");
}

#[test]
fn planted_knowledge_of_the_terminal_is_found() {
    for text in [
        "use clap::Parser;",
        "#[derive(clap::Args)] struct A;",
        "use {std::fmt, indicatif::ProgressBar};",
        "fn f() -> anyhow::Result<()> { Ok(()) }",
        "use std::{env, fs};",
        "fn f() { ::std::env::var(\"HOME\"); }",
        "fn f() { std::process::exit(1) }",
        "use std::process; fn f() { process::exit(1) }",
        "fn f() { println!(\"x\") }",
        "fn f() { std::eprintln!(\"x\") }",
        "use std::io::{Read, stdout};",
    ] {
        assert_red(
            &terminal_findings(&in_file("backup/src/agent.rs", text)),
            "backup/src/agent.rs:1: only cli",
        );
    }
    let fine = "use std::process::Command; use std::io::Read; fn f(clap: u8) { write!(env!(\"X\")); } \
                #[cfg(test)] mod tests { use std::env; fn f() { println!(\"x\") } }";
    assert_none(&terminal_findings(&in_file("backup/src/agent.rs", fine)));
}

#[test]
fn planted_clocks_randomness_and_stores_are_found() {
    for text in [
        "fn f() { std::time::SystemTime::now(); }",
        "use std::time::SystemTime; fn f() { SystemTime::now() }",
        "fn f() -> jiff::Timestamp { jiff::Timestamp::now() }",
        "use jiff::Zoned; fn f() { Zoned::now() }",
        "fn f() { getrandom::fill(&mut []) }",
        "fn f() { rand::random() }",
        "use aws_lc_rs::rand::SystemRandom;",
        "use std::collections::hash_map::RandomState;",
    ] {
        for file in ["backup/src/job.rs", "cli/src/when.rs", "repo/src/store/local.rs"] {
            assert_red(&ambient_findings(&in_file(file, text)), "only repo/src/clock.rs");
        }
        assert_none(&ambient_findings(&in_file(CLOCK, text)));
    }
    let fine = "use std::time::{Duration, Instant, SystemTime}; fn f(clock: &dyn Clock) { clock.now(); Instant::now(); \
                timestamp_of(SystemTime::UNIX_EPOCH) } #[cfg(test)] mod tests { fn t() { SystemTime::now() } }";
    assert_none(&ambient_findings(&in_file("backup/src/job.rs", fine)));

    for text in ["use std::fs;", "use std::{fmt, net::TcpStream};", "fn f() { rustix::fs::sync() }"] {
        assert_red(&store_findings(&in_file("repo/src/repository/run.rs", text)), "only repo/src/store");
        assert_none(&store_findings(&in_file("repo/src/store/local.rs", text)));
        assert_none(&store_findings(&in_file("backup/src/walk.rs", text)));
    }
    for file in ["backup/src/walk.rs", "cli/src/main.rs", "repo/src/repository/run.rs"] {
        let text = "fn f(client: &aws_sdk_s3::Client) {}";
        assert_red(&store_findings(&in_file(file, text)), "only repo/src/store");
    }
    assert_none(&store_findings(&in_file("repo/src/store/s3.rs", "use aws_sdk_s3::Client;")));
}

#[test]
fn planted_crate_edges_are_found() {
    let members: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let found = |from: &str, to: &str, dev: bool| crate_findings(&members, &[edge(from, to, dev)]);
    assert_red(&found("lifeboat-restore", "lifeboat-backup", false), "lifeboat-restore → lifeboat-backup");
    assert_red(&found("lifeboat-repo", "lifeboat-restore", true), "its tests may not depend");
    assert_red(&found("lifeboat-cli", "lifeboat-tests", true), "lifeboat-cli → lifeboat-tests");
    assert_red(&found("lifeboat-backup", "clap", false), "only cli may depend on that");
    assert_none(&found("lifeboat-backup", "lifeboat-repo", true));
    assert_none(&found("lifeboat-tests", "lifeboat-cli", false));
    let more: BTreeSet<String> = members.iter().cloned().chain(["lifeboat-server".to_owned()]).collect();
    assert_red(&crate_findings(&more, &[]), "lifeboat-server is not in CRATES");
}

#[test]
fn planted_long_ways_are_found() {
    let edges = [
        edge("lifeboat-restore", "lifeboat-repo", false),
        edge("lifeboat-repo", "bridge", false),
        edge("bridge", "lifeboat-backup", false),
        edge("lifeboat-repo", "only-for-tests", true),
    ];
    let linked = reachable("lifeboat-restore", &edges);
    assert!(linked.contains("lifeboat-backup") && !linked.contains("only-for-tests"));
    let tree = "lifeboat-cli v0.1.0 agent\nlifeboat-repo v0.1.0 (/x) default,recover\nlifeboat-restore v0.1.0 (/x) \n";
    let findings = agent_findings(tree).join("\n");
    assert!(findings.contains("recover") && findings.contains("links lifeboat-restore"), "{findings}");
}

/// The rule itself has no cycle: each crate and each module stands above all it may import.
#[test]
fn tables_go_from_the_ground_up() {
    for table in [CRATES, FLOORS] {
        let height: BTreeMap<&str, usize> =
            table.iter().enumerate().map(|(n, (name, _))| (*name, n)).collect();
        for (name, allowed) in table {
            assert!(allowed.iter().all(|lower| height[lower] < height[name]), "{name}");
        }
    }
}
