//! Man pages as man and mandoc see them.

use std::fs;
use std::process::{Command, Output};

use crate::world::{World, both};

fn ran(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("MANROFFSEQ", "").env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
    command.output().unwrap_or_else(|error| panic!("{program}: {error} (scripts/test installs it)"))
}

#[test]
fn every_page_renders_without_a_warning() {
    let world = World::new();
    world.ends(&["manual", "--out", "man"], 0);
    let mut pages = 0;
    for entry in fs::read_dir(world.at().join("man")).unwrap() {
        let path = entry.unwrap().path();
        let page = path.to_str().unwrap();
        let rendered = ran("man", &["--warnings", "-l", page]);
        assert!(rendered.status.success() && rendered.stderr.is_empty(), "{page}: {}", both(&rendered));
        let text = String::from_utf8_lossy(&rendered.stdout).into_owned();
        for section in ["EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"] {
            assert!(text.lines().any(|line| line.trim_end() == section), "{page}: {section}\n{text}");
        }
        let checked = ran("mandoc", &["-T", "lint", "-W", "warning", page]);
        assert!(checked.status.success(), "{page}: {}", both(&checked));
        pages += 1;
    }
    assert!(pages >= 20, "{pages}");
}
