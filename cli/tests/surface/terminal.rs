//! Width, colours, and names that want to act on a terminal.

use std::process::{Command, Stdio};

use crate::world::{TOUR, World, both};

/// What would act on a terminal: control characters but the newline, and those that reverse a line.
fn acts(text: &str) -> Option<char> {
    let reverses =
        |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().find(|c| (c.is_control() && *c != '\n') || reverses(*c))
}

/// A line is too wide if it could have been broken: what has no space within (a path, a key) stays whole, since it
/// will be copied, and so do lines that are commands.
fn too_wide(line: &str) -> bool {
    let words = line.split_whitespace();
    let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
    line.chars().count() > 80 && longest < 40
}

#[test]
fn every_page_fits_and_nothing_in_it_acts_on_the_terminal() {
    let world = World::backed_up();
    for (arguments, code) in TOUR {
        let text = both(&world.ends(arguments, *code));
        assert_eq!(acts(&text), None, "{arguments:?}: {text}");
        for line in text.lines() {
            // `ls` has the path last; `keys writer new` prints a command to be copied.
            let free = arguments[0] == "ls" || line.starts_with("lifeboat keys writer add");
            assert!(free || !too_wide(line), "{arguments:?}: {line}");
        }
    }
}

#[test]
fn help_of_every_verb_fits() {
    let world = World::new();
    let verbs: &[&[&str]] = &[&[], &["keys"], &["keys", "writer"], &["keys", "writer", "add"]];
    let help = both(&world.ends(&["help"], 0));
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let listed: Vec<&str> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(listed.len() >= 14, "{listed:?}");
    let all = verbs.iter().map(|verb| verb.to_vec()).chain(listed.iter().map(|verb| vec![*verb]));
    for verb in all.filter(|verb| *verb != ["help"]) {
        for flag in ["-h", "--help"] {
            let text = both(&world.ends(&[verb.as_slice(), &[flag]].concat(), 0));
            let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{verb:?}: {wide:?}");
        }
    }
}

/// A terminal is made by `script` of util-linux; standard error is one there, too.
fn on_a_terminal(world: &World, arguments: &str, set: &[(&str, &str)]) -> String {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_lifeboat"));
    let mut command = Command::new("script");
    command.current_dir(world.at()).args(["-qc", &line, "/dev/null"]).env("TERM", "xterm");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let output = command.envs(set.iter().copied()).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn colours_follow_terminal_and_environment() {
    const COLOUR: &str = "\u{1b}[32m";
    let world = World::backed_up();
    assert!(on_a_terminal(&world, "status", &[]).contains(COLOUR));
    assert!(!on_a_terminal(&world, "status", &[("NO_COLOR", "1")]).contains(COLOUR));
    assert!(!on_a_terminal(&world, "status", &[("CLICOLOR", "0")]).contains(COLOUR));
    assert!(!on_a_terminal(&world, "status", &[("TERM", "dumb")]).contains(COLOUR));
    let forced = world.command(&["status"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(both(&forced).contains(COLOUR));
    let json = world.command(&["status", "--json"]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(!both(&json).contains('\u{1b}'));
    assert!(on_a_terminal(&world, "backup nothing", &[]).contains("\u{1b}[1;31merror[LB-204]:"));
}

#[test]
fn names_are_tame_on_a_terminal_too() {
    let world = World::backed_up();
    let shown = on_a_terminal(&world, "ls chats --identity keys/recovery-eu-fra.txt", &[("NO_COLOR", "1")]);
    // The terminal itself makes \r\n of every newline, and the progress line is cleared by sequences of our own.
    let listing: Vec<&str> = shown.lines().filter(|line| line.contains("uploads/")).collect();
    assert!(listing.len() >= 10, "{shown}");
    for line in listing {
        let line = line.rsplit('\u{1b}').next().unwrap_or(line);
        assert!(!line.contains("[2J") || line.contains("\\0033[2J") || line.contains("\\02332J"), "{line:?}");
        assert!(!line.contains('\u{202e}') && !line.contains('\u{9b}'), "{line:?}");
    }
}
