//! Reading a book, strictly: a step that would be passed over in a disaster must be an error today.

use std::collections::HashSet;
use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_verify::span;
use pulldown_cmark::{CodeBlockKind, Event, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use serde::{Deserialize, Deserializer, Serialize};

use crate::success::Success;

/// A book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// Its first heading.
    pub title: String,
    /// What it is for.
    pub front: FrontMatter,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// What a book says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontMatter {
    /// The component it restores.
    pub component: Whose,
    /// The region.
    pub region: Whose,
    /// Components that must be back before.
    #[serde(default)]
    pub needs: Vec<Label>,
    /// The recovery time it promises.
    #[serde(deserialize_with = "duration")]
    pub rto: Duration,
    /// The data loss it promises.
    #[serde(deserialize_with = "duration")]
    pub rpo: Duration,
    /// When it has succeeded.
    #[serde(deserialize_with = "success")]
    pub success: Success,
}

/// What a book is for: one by name, or whichever is given when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Named")]
pub enum Whose {
    /// Whichever is given.
    Any,
    /// This one.
    Only(Label),
}

/// A block that is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, unique in the book.
    pub name: String,
    /// The heading it stands under.
    pub heading: String,
    /// The shell script; of a manual step what a person is to do.
    pub script: String,
    /// The line of the book that its block begins at, from 1.
    pub line: usize,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// What part of a recovery it is.
    pub phase: Phase,
    /// Who does it.
    pub mode: Mode,
    /// Who must agree before it is done, each by a role such as `network on-call`.
    pub approvers: Vec<String>,
    /// What a drill does with it.
    pub drill: InDrill,
    /// What its failure means.
    pub on_fail: OnFail,
}

/// What part of a recovery a step is. They follow one another in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Finding out what happened and saying so.
    Declare,
    /// Making ready: a machine, keys, a look at what there is.
    #[default]
    Prepare,
    /// Bringing data back.
    Transfer,
    /// Bringing it up to date: logs, erasures.
    Replay,
    /// Making sure that it is what it should be.
    Check,
    /// Letting people use it.
    Cutover,
    /// Tidying up.
    Cleanup,
}

/// Who does a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The shell.
    #[default]
    Auto,
    /// A person, who then says what came of it.
    Manual,
}

/// What a drill does with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InDrill {
    /// It is done.
    Run,
    /// It is shown, and said to be simulated.
    Simulate,
    /// It is listed as not executed.
    Skip,
}

/// What a step's failure means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFail {
    /// The book ends here; steps of the phase `cleanup` are done all the same.
    #[default]
    Abort,
    /// The book goes on.
    Continue,
}

/// `any`, or a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Any(Any),
    Only(Label),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Any {
    Any,
}

impl From<Named> for Whose {
    fn from(named: Named) -> Self {
        match named {
            Named::Any(Any::Any) => Self::Any,
            Named::Only(label) => Self::Only(label),
        }
    }
}

impl Whose {
    /// Whether the book is for this one.
    #[must_use]
    pub fn is_for(&self, name: &Label) -> bool {
        match self {
            Self::Any => true,
            Self::Only(only) => only == name,
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    span::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn success<'de, D: Deserializer<'de>>(from: D) -> Result<Success, D::Error> {
    Success::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// A book that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BookError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    name: String,
    #[serde(default)]
    timeout: Option<String>,
    #[serde(default)]
    phase: Phase,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    approvers: Vec<String>,
    #[serde(default)]
    drill: Option<InDrill>,
    #[serde(default)]
    on_fail: OnFail,
}

impl Book {
    /// Reads a book.
    ///
    /// # Errors
    /// It has no front matter, an unknown key, a malformed step, or two steps of one name.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        let mut reading = Reading::default();
        for (event, range) in
            Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS).into_offset_iter()
        {
            reading.take(event, || line_of(text, range.start))?;
        }
        let front = reading
            .front
            .ok_or_else(|| BookError { line: 1, why: "it does not begin with front matter".into() })?;
        if reading.steps.is_empty() {
            return Err(BookError { line: 1, why: "it has no step".into() });
        }
        Ok(Self { title: reading.title.unwrap_or_default(), front, steps: reading.steps })
    }
}

/// A book while it is read.
#[derive(Default)]
struct Reading {
    title: Option<String>,
    heading: String,
    in_heading: bool,
    front: Option<FrontMatter>,
    steps: Vec<Step>,
    names: HashSet<String>,
    collecting: Option<Collecting>,
}

struct Collecting {
    line: usize,
    info: Option<Info>,
    text: String,
}

impl Reading {
    fn take(&mut self, event: Event<'_>, line: impl Fn() -> usize) -> Result<(), BookError> {
        match event {
            Event::Start(Tag::MetadataBlock(MetadataBlockKind::YamlStyle)) => {
                self.collecting = Some(Collecting { line: line(), info: None, text: String::new() });
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let line = line();
                self.collecting = step_info(&info, line)?.map(|info| Collecting {
                    line,
                    info: Some(info),
                    text: String::new(),
                });
            }
            Event::Start(Tag::Heading { .. }) => {
                (self.in_heading, self.heading) = (true, String::new());
            }
            Event::End(TagEnd::Heading(_)) => {
                self.in_heading = false;
                self.title.get_or_insert_with(|| self.heading.clone());
            }
            Event::Text(part) | Event::Code(part) if self.in_heading => self.heading.push_str(&part),
            Event::Text(part) => {
                if let Some(collecting) = &mut self.collecting {
                    collecting.text.push_str(&part);
                }
            }
            Event::End(TagEnd::MetadataBlock(_)) => {
                if let Some(block) = self.collecting.take() {
                    self.front = Some(front_matter(&block)?);
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some(Collecting { line, info: Some(info), text }) = self.collecting.take() {
                    self.add(line, info, text)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, line: usize, info: Info, script: String) -> Result<(), BookError> {
        let bad = |why: String| BookError { line, why };
        if !self.names.insert(info.name.clone()) {
            return Err(bad(format!("a second step is named {:?}", info.name)));
        }
        let timeout = info.timeout.as_deref().map(span::parse).transpose();
        let timeout = timeout.map_err(|error| bad(format!("the step's timeout: {error}")))?;
        if info.mode == Mode::Auto && !info.approvers.is_empty() {
            return Err(
                bad("only a manual step has approvers: nobody is asked before the shell runs".into()),
            );
        }
        let usual = if info.mode == Mode::Auto { InDrill::Run } else { InDrill::Simulate };
        self.steps.push(Step {
            name: info.name,
            heading: self.heading.clone(),
            script,
            line,
            timeout,
            phase: info.phase,
            mode: info.mode,
            approvers: info.approvers,
            drill: info.drill.unwrap_or(usual),
            on_fail: info.on_fail,
        });
        Ok(())
    }
}

/// The step that a block's info string announces; none where the block is for people only.
fn step_info(info: &str, line: usize) -> Result<Option<Info>, BookError> {
    let Some((language, rest)) = info.split_once(char::is_whitespace) else { return Ok(None) };
    if rest.trim().is_empty() {
        return Ok(None);
    }
    if language != "sh" {
        return Err(BookError {
            line,
            why: format!("only `sh` blocks can be steps, this one is {language:?}"),
        });
    }
    let info: Info = serde_json::from_str(rest)
        .map_err(|error| BookError { line, why: format!("the step's JSON: {}", placeless(&error)) })?;
    let well_named = !info.name.is_empty()
        && info.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if well_named {
        Ok(Some(info))
    } else {
        Err(BookError { line, why: format!("a step's name is made of a-z, 0-9 and -, not {:?}", info.name) })
    }
}

fn front_matter(block: &Collecting) -> Result<FrontMatter, BookError> {
    serde_yaml_ng::from_str(&block.text).map_err(|error| {
        // YAML ends lines at a lone carriage return too, people's editors do not; and its place is within the block.
        let before = |index| block.text.chars().take(index).filter(|c| *c == '\n').count() + 1;
        let line = block.line + error.location().map_or(0, |at| before(at.index()));
        BookError { line, why: format!("front matter: {}", placeless(&error)) }
    })
}

/// What a parser says, without the place in its own part of the book.
fn placeless(error: &dyn std::error::Error) -> String {
    error.to_string().split(" at line ").next().unwrap_or_default().to_owned()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().bytes().filter(|b| *b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: &str = "---\ncomponent: a\nregion: r\nrto: 24h\nrpo: 1h\nsuccess: holes = 0\n---\n";

    #[test]
    fn the_books_that_come_with_lifeboat_can_be_read() {
        for (name, text) in crate::BOOKS {
            let book = Book::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(book.steps.iter().any(|step| step.name == "restore"), "{name}");
        }
    }

    #[test]
    fn mistakes_are_found_with_their_line() {
        let bad = [
            ("no front\n\n```sh {\"name\":\"a\"}\ntrue\n```\n".to_owned(), 1),
            (FRONT.to_owned(), 1),
            (
                format!(
                    "{FRONT}\n```sh {{\"name\":\"a\"}}\ntrue\n```\n\n```sh {{\"name\":\"a\"}}\ntrue\n```\n"
                ),
                13,
            ),
            (format!("{FRONT}\n```sh {{\"nom\":\"a\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"on_fail\":\"shrug\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```python {{\"name\":\"a\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a b\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"timeout\":\"soon\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"phase\":\"copy\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"approvers\":[\"me\"]}}\ntrue\n```\n"), 9),
            (FRONT.replace("holes = 0", "all is well") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 6),
            (FRONT.replace("rto: 24h", "rto: soon") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 4),
            (FRONT.replace("rto: 24h", "rtoo: 24h") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 4),
            (FRONT.replace("r\nrto: 24h", "é\r\r\r\nrtoo: 24h") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 4),
            (FRONT.replace("rto: 24h", "rto: \"24h"), 7),
        ];
        for (text, line) in bad {
            let error = Book::parse(&text).expect_err(&text);
            assert_eq!(error.line, line, "{error}\n{text}");
            assert!(error.to_string().matches("line").count() == 1, "{error}");
        }
    }

    #[test]
    fn a_step_says_who_does_it_and_what_a_drill_does_with_it() {
        let text = format!(
            "{FRONT}\n# Book\n\n## 1. Tell\n\n```sh {{\"name\":\"tell\",\"mode\":\"manual\",\"approvers\":[\"lead\"]}}\n# Call.\n             ```\n\n## 2. `Go`\n\n```sh {{\"name\":\"go\",\"drill\":\"skip\",\"phase\":\"cutover\",\"on_fail\":\"continue\"}}\n             true\n```\n"
        );
        let book = Book::parse(&text).unwrap();
        let [tell, go] = book.steps.as_slice() else { panic!("{book:?}") };
        assert_eq!(
            (book.title.as_str(), tell.heading.as_str(), go.heading.as_str()),
            ("Book", "1. Tell", "2. Go")
        );
        assert_eq!((tell.mode, tell.drill, tell.phase), (Mode::Manual, InDrill::Simulate, Phase::Prepare));
        assert_eq!((go.mode, go.drill, go.phase), (Mode::Auto, InDrill::Skip, Phase::Cutover));
        assert_eq!(
            (go.on_fail, tell.approvers.as_slice()),
            (OnFail::Continue, ["lead".to_owned()].as_slice())
        );
    }

    #[test]
    fn steps_keep_their_script_and_place() {
        let text = format!(
            "{FRONT}\n```sh\nfor people\n```\n\n```sh {{\"name\":\"go\",\"timeout\":\"4h\"}}\na\n\nb\n```\n"
        );
        let book = Book::parse(&text).unwrap();
        assert_eq!(book.steps.len(), 1);
        assert_eq!((book.steps[0].script.as_str(), book.steps[0].line), ("a\n\nb\n", 13));
        assert_eq!(book.steps[0].timeout, Some(Duration::from_secs(4 * 3600)));
    }
}
