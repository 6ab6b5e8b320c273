//! A step for people, asked about at a terminal: who did it, what shows it, and who agreed.

use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_runbooks::Step;
use lifeboat_runbooks::drill::run::Answer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::render::Tone;

/// How often it is seen whether somebody wants to stop.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// No line of a terminal is longer.
const LINE_MAX: usize = 4096;

/// Who is asked: what is said to them, and what they answer.
pub(super) trait Dialogue {
    /// Says a line.
    fn say(&mut self, tone: Tone, text: &str);
    /// The next line that somebody types; none where nobody is there any more, or everything should stop.
    fn line(&mut self) -> Option<String>;
}

/// Asks about a step what `--done` and `--approved` say beforehand.
pub(super) fn ask(step: &Step, dialogue: &mut dyn Dialogue) -> Answer {
    for line in step.script.lines() {
        dialogue.say(Tone::Plain, line);
    }
    // They must agree before it is done.
    let mut agreed = Vec::new();
    for role in &step.approvers {
        let Some(who) = answer(dialogue, &format!("Who agrees, as {role}? An empty line: nobody does."))
        else {
            return Answer::Nobody;
        };
        if who.is_empty() {
            return Answer::Failed(format!("its {role} did not agree"));
        }
        agreed.push((role.as_str(), who));
    }
    let Some(by) = answer(dialogue, "Who did it? An empty line: it could not be done.") else {
        return Answer::Nobody;
    };
    if by.is_empty() {
        return Answer::Failed("it could not be done".to_owned());
    }
    let Some(shows) = answer(dialogue, "What shows it? A ticket, a time; an empty line: nothing does.")
    else {
        return Answer::Nobody;
    };
    let reference = reference(&shows, agreed.iter().map(|(role, who)| (*role, who.as_str())));
    Answer::Done { by, reference: Some(reference).filter(|text| !text.is_empty()) }
}

fn answer(dialogue: &mut dyn Dialogue, question: &str) -> Option<String> {
    dialogue.say(Tone::Strong, question);
    // Arrow keys and the like send what is no text.
    let line = dialogue.line()?;
    Some(line.chars().filter(|character| !character.is_control()).collect::<String>().trim().to_owned())
}

/// What shows that a step was done, and who agreed, as evidence has it.
pub(super) fn reference<'a>(shows: &str, agreed: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let shows = (!shows.is_empty()).then(|| shows.to_owned());
    let agreed = agreed.map(|(role, who)| format!("{role}: {who}"));
    shows.into_iter().chain(agreed).collect::<Vec<_>>().join("; ")
}

/// A line typed at the terminal that standard input is: it gives one at a time. None at its end, or once everything should
/// stop.
pub(super) fn typed(cancelled: &AtomicBool) -> Option<String> {
    let stdin = std::io::stdin();
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut waiting, Some(&LOOK_EVERY)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) => {
                let mut line = [0; LINE_MAX];
                let length = rustix::io::read(&stdin, &mut line).ok().filter(|length| *length > 0)?;
                return line.get(..length).map(|line| String::from_utf8_lossy(line).into_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_runbooks::Book;

    struct Script {
        typed: Vec<&'static str>,
        said: Vec<String>,
    }

    impl Dialogue for Script {
        fn say(&mut self, _: Tone, text: &str) {
            self.said.push(text.to_owned());
        }

        fn line(&mut self) -> Option<String> {
            (!self.typed.is_empty()).then(|| format!("{}\n", self.typed.remove(0)))
        }
    }

    #[test]
    fn whoever_must_agree_is_asked_for() {
        let text = "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\n---\n# People\n\n\
                    ```sh {\"name\":\"dns\",\"timeout\":\"1h\",\"mode\":\"manual\",\"drill\":\"run\",\"approvers\":[\"network on-call\",\"lead\"]}\n\
                    Ask the network.\n```\n";
        let book = Book::parse(text).unwrap();
        let asked = |typed: &[&'static str]| {
            let mut script = Script { typed: typed.to_vec(), said: Vec::new() };
            let answer = ask(&book.steps[0], &mut script);
            (answer, script.said)
        };
        let done =
            |reference: &str| Answer::Done { by: "Eve Adams".into(), reference: Some(reference.into()) };
        let (answer, said) = asked(&["Bob", "\u{1b}[ACarol", "Eve Adams", " NET-1 "]);
        assert_eq!(answer, done("NET-1; network on-call: Bob; lead: [ACarol"));
        assert_eq!(said[0], "Ask the network.");
        assert!(said[1].contains("as network on-call?") && said[2].contains("as lead?"), "{said:?}");
        assert_eq!(asked(&["Bob", "Carol", "Eve Adams", ""]).0, done("network on-call: Bob; lead: Carol"));
        assert_eq!(asked(&["Bob", "Carol", ""]).0, Answer::Failed("it could not be done".into()));
        assert_eq!(asked(&["Bob", ""]).0, Answer::Failed("its lead did not agree".into()));
        // Whoever goes away in the middle of it said nothing.
        for count in 0..4 {
            assert_eq!(asked(&["Bob", "Carol", "Eve"][..count]).0, Answer::Nobody, "{count}");
        }
    }
}
