use super::*;
use crate::args::Cli;
use clap::Parser;

#[test]
fn every_example_is_taken_by_the_program() {
    for (path, examples) in all() {
        for (line, _) in *examples {
            let parsed = Cli::try_parse_from(line.split_whitespace());
            let help = line.starts_with("lifeboat help");
            if let Err(error) = parsed {
                assert!(help && error.exit_code() == 0, "{path}: {line}: {error}");
            }
        }
    }
}

#[test]
fn every_page_has_examples_and_its_sections() {
    let pages = super::super::pages().unwrap();
    assert!(pages.len() >= 20, "{}", pages.len());
    for (name, text) in pages {
        let text = String::from_utf8(text).unwrap();
        let path = name.trim_end_matches(".1");
        let found = all().filter(|(of, _)| of.replace(' ', "-") == path).count();
        assert_eq!(found, 1, "{path} has no examples");
        for section in ["NAME", "SYNOPSIS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"] {
            let (plain, quoted) = (format!("\n.SH {section}\n"), format!("\n.SH \"{section}\"\n"));
            assert!(text.contains(&plain) || text.contains(&quoted), "{name} lacks {section}");
        }
    }
}
