//! SECURITY.md names a test for every claim. A test that is gone makes the claim an empty one.

use std::fs;
use std::path::Path;

#[test]
fn every_claim_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|') && line.contains("::")).collect();
    let mut tests = 0;
    for row in &rows {
        // Every second piece between backquotes is a name.
        for name in row.split('`').skip(1).step_by(2).filter(|piece| piece.contains("::")) {
            let (file, test) = name.split_once("::").unwrap();
            let source =
                fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let found = source.split(&format!("fn {test}(")).collect::<Vec<_>>();
            assert_eq!(found.len(), 2, "{name} is no test");
            let before = found[0].trim_end().rsplit('\n').take(6).collect::<String>();
            assert!(before.contains("#[test]"), "{name} is no test");
            tests += 1;
        }
    }
    assert!(rows.len() >= 20 && tests >= rows.len(), "{} claims, {tests} tests", rows.len());
}
