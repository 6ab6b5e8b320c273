//! Corpora in and out of the form the fuzzer works on, a directory of files for each target. `scripts/fuzz` uses it.
//!
//!     corpora seed DIR     real objects, opened
//!     corpora unpack DIR   what tests/fuzz/corpora holds
//!     corpora pack DIR     the reverse; only what is short enough to be kept
#![expect(clippy::print_stdout, clippy::expect_used, clippy::panic, reason = "a tool of the tests")]

use std::collections::BTreeMap;
use std::path::Path;

use lifeboat_repo::crypto::sha256;
use lifeboat_tests::corpora;

/// Longer inputs are not kept, and of one target no more than this: a corpus is read at every run of the tests.
const INPUT_MAX: usize = 4 << 10;
const CORPUS_MAX: usize = 40 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, dir] = arguments.as_slice() else { panic!("corpora seed|unpack|pack DIR") };
    let dir = Path::new(dir);
    match verb.as_str() {
        "seed" => corpora::seeds().into_iter().for_each(|(target, input)| put(dir, target, &input)),
        "unpack" => {
            for (target, inputs) in corpora::all() {
                inputs.iter().for_each(|input| put(dir, &target, input));
            }
        }
        "pack" => pack(dir),
        other => panic!("unknown verb {other}"),
    }
}

fn put(dir: &Path, target: &str, input: &[u8]) {
    let dir = dir.join(target);
    std::fs::create_dir_all(&dir).expect("a directory");
    let name: String = sha256(input).iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(dir.join(name), input).expect("a file");
}

fn pack(dir: &Path) {
    let mut all: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for target in std::fs::read_dir(dir).expect("a directory of corpora") {
        let target = target.expect("an entry");
        for input in std::fs::read_dir(target.path()).expect("a corpus") {
            let input = std::fs::read(input.expect("an entry").path()).expect("an input");
            all.entry(target.file_name().into_string().expect("a name")).or_default().push(input);
        }
    }
    std::fs::create_dir_all(corpora::home()).expect("a directory");
    for (target, mut inputs) in all {
        let found = inputs.len();
        let longest_taken =
            inputs.iter().filter(|input| corpora::is_taken(&target, input)).max_by_key(|i| i.len()).cloned();
        inputs.retain(|input| input.len() <= INPUT_MAX);
        inputs.sort_by_key(Vec::len);
        let mut room = CORPUS_MAX;
        inputs.retain(|input| {
            room.checked_sub(input.escape_ascii().count() + 1).map(|left| room = left).is_some()
        });
        inputs.extend(longest_taken);
        let written = corpora::written(inputs);
        println!("{target}: {} of {found} inputs, {} bytes", written.lines().count(), written.len());
        std::fs::write(corpora::home().join(format!("{target}.txt")), written).expect("a corpus file");
    }
}
