//! Reading a book, strictly: a step that would be passed over in a disaster must be an error today.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::ops::Range;
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
    /// Commands that people are told to type, outside steps: blocks of `sh`, and `lifeboat …` within a line.
    pub told: Vec<Told>,
}

/// Something to type that is no step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The line of the book it stands on, or its block begins at, from 1.
    pub line: usize,
    /// What is to be typed.
    pub script: String,
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
    /// Environment variables that its steps are given: what differs from one disaster to the next. Values reach the shell
    /// in no other way, so that no name of a tenant or path can become a command.
    #[serde(default)]
    pub variables: BTreeSet<Variable>,
}

/// The name of an environment variable: capitals, digits and `_`, a letter first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Variable(String);

impl Variable {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Variable {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let right = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if right {
            Ok(Self(name))
        } else {
            Err(format!("a variable's name is made of A-Z, 0-9 and _, not {name:?}"))
        }
    }
}

impl std::str::FromStr for Variable {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        name.to_owned().try_into()
    }
}

/// What a book is for: one by name, or whichever is given when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
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

impl Phase {
    /// Its word, as books write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declare => "declare",
            Self::Prepare => "prepare",
            Self::Transfer => "transfer",
            Self::Replay => "replay",
            Self::Check => "check",
            Self::Cutover => "cutover",
            Self::Cleanup => "cleanup",
        }
    }
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

impl TryFrom<String> for Whose {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "any" => Ok(Self::Any),
            name => name.parse().map(Self::Only).map_err(|error| format!("{error}")),
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
    /// It has no front matter, an unknown key, a malformed step or one that is not closed, two steps of one name, or
    /// something that moves a terminal's cursor.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        refuse_escapes(text)?;
        let mut reading = Reading::default();
        for (event, range) in
            Parser::new_ext(text, Options::ENABLE_YAML_STYLE_METADATA_BLOCKS).into_offset_iter()
        {
            reading.take(event, &Spot { text, range })?;
        }
        let front = reading
            .front
            .ok_or_else(|| BookError { line: 1, why: "it does not begin with front matter".into() })?;
        if reading.steps.is_empty() {
            return Err(BookError { line: 1, why: "it has no step".into() });
        }
        let Reading { title, steps, told, .. } = reading;
        Ok(Self { title: title.unwrap_or_default(), front, steps, told })
    }
}

/// A book is shown on terminals and printed: nothing in it may move a cursor or turn a line round.
fn refuse_escapes(text: &str) -> Result<(), BookError> {
    let acts = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    match text.char_indices().find(|(_, c)| acts(*c)) {
        None => Ok(()),
        Some((at, found)) => Err(BookError {
            line: line_of(text, at),
            why: format!("it holds a character that acts on a terminal: {}", found.escape_unicode()),
        }),
    }
}

/// Where in a book something stands.
struct Spot<'t> {
    text: &'t str,
    range: Range<usize>,
}

impl Spot<'_> {
    fn line(&self) -> usize {
        line_of(self.text, self.range.start)
    }

    /// Whether the fenced block here has an end of its own: otherwise the rest of the book would be taken for a script.
    fn closed(&self) -> bool {
        let block = self.text.get(self.range.clone()).unwrap_or_default().trim_end();
        let fence = if block.starts_with('~') { "~~~" } else { "```" };
        block
            .lines()
            .skip(1)
            .last()
            .is_some_and(|last| last.trim_start().trim_start_matches('>').trim_start().starts_with(fence))
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
    told: Vec<Told>,
    names: HashSet<String>,
    collecting: Option<Collecting>,
}

struct Collecting {
    line: usize,
    what: Block,
    text: String,
}

/// What a block is.
enum Block {
    Front,
    Step(Info),
    Told,
}

impl Reading {
    fn take(&mut self, event: Event<'_>, spot: &Spot<'_>) -> Result<(), BookError> {
        match event {
            Event::Start(Tag::MetadataBlock(MetadataBlockKind::YamlStyle)) => {
                self.begin(spot.line(), Block::Front)
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let line = spot.line();
                let step = step_info(&info, line)?;
                if !spot.closed() {
                    return Err(BookError { line, why: "the block that begins here has no end".into() });
                }
                match step {
                    Some(info) => self.begin(line, Block::Step(info)),
                    None if info.trim() == "sh" => self.begin(line, Block::Told),
                    None => {}
                }
            }
            Event::Start(Tag::Heading { .. }) => {
                (self.in_heading, self.heading) = (true, String::new());
            }
            Event::End(TagEnd::Heading(_)) => {
                self.in_heading = false;
                self.title.get_or_insert_with(|| self.heading.clone());
            }
            Event::Text(part) | Event::Code(part) if self.in_heading => self.heading.push_str(&part),
            Event::Code(part) if part.starts_with("lifeboat ") => {
                self.told.push(Told { line: spot.line(), script: part.into_string() });
            }
            Event::Text(part) => {
                if let Some(collecting) = &mut self.collecting {
                    collecting.text.push_str(&part);
                }
            }
            Event::End(TagEnd::MetadataBlock(_) | TagEnd::CodeBlock) => {
                if let Some(block) = self.collecting.take() {
                    self.end(block)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, line: usize, what: Block) {
        self.collecting = Some(Collecting { line, what, text: String::new() });
    }

    fn end(&mut self, block: Collecting) -> Result<(), BookError> {
        let Collecting { line, what, text } = block;
        match what {
            Block::Front => self.front = Some(front_matter(line, &text)?),
            Block::Step(info) => self.add(line, info, text)?,
            Block::Told => self.told.push(Told { line, script: text }),
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
    // `sh{"name":…}`, without a space, is a step with a mistake in it, not a block for people.
    let Some(at) = info.find(|c: char| c.is_whitespace() || c == '{') else { return Ok(None) };
    let (language, rest) = info.split_at(at);
    if rest.trim().is_empty() {
        return Ok(None);
    }
    if rest.starts_with('{') {
        return Err(BookError { line, why: "a space is missing before the step's JSON".into() });
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

fn front_matter(line: usize, text: &str) -> Result<FrontMatter, BookError> {
    serde_yaml_ng::from_str(text).map_err(|error| {
        // YAML ends lines at a lone carriage return too, people's editors do not; and its place is within the block.
        let before = |index| text.chars().take(index).filter(|c| *c == '\n').count() + 1;
        let told = error.location().map(|at| before(at.index())).filter(|own| *own > 1);
        let why = placeless(&error);
        let own = told.unwrap_or_else(|| first_line_with(text, &why));
        BookError { line: line + own, why: format!("front matter: {why}") }
    })
}

/// Of what a value means the parser says no place: it is the first line with which the same is wrong.
fn first_line_with(text: &str, why: &str) -> usize {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let wrong = |count: &usize| {
        let part: String = lines.iter().take(*count).copied().collect();
        serde_yaml_ng::from_str::<FrontMatter>(&part).is_err_and(|error| placeless(&error) == why)
    };
    (1..=lines.len()).find(wrong).unwrap_or(1)
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
            assert!(book.steps.len() > 2, "{name}");
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
            (format!("{FRONT}\n```sh{{\"name\":\"a\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\"}}\ntrue\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"name\":\"b\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\"}}\ntrue \u{1b}[2J\n```\n"), 10),
            (format!("{FRONT}\n```sh {{\"name\":\"a\"}}\ntrue # \u{202e}\n```\n"), 10),
            (FRONT.replace("rto: 24h", "rto: 24h\nrto: 25h") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 5),
            (
                FRONT.replace("rto: 24h", "rto: 24h\nvariables: [\"A;B\"]")
                    + "\n```sh {\"name\":\"a\"}\ntrue\n```\n",
                5,
            ),
            (format!("{FRONT}\n```python {{\"name\":\"a\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a b\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"timeout\":\"soon\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"phase\":\"copy\"}}\ntrue\n```\n"), 9),
            (format!("{FRONT}\n```sh {{\"name\":\"a\",\"approvers\":[\"me\"]}}\ntrue\n```\n"), 9),
            (FRONT.replace("holes = 0", "all is well") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 6),
            (FRONT.replace("rto: 24h", "rto: soon") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 4),
            (FRONT.replace("rto: 24h", "rtoo: 24h") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 4),
            (
                FRONT.replace("r\nrto: 24h", "r\n# é\r\r\r\nrtoo: 24h")
                    + "\n```sh {\"name\":\"a\"}\ntrue\n```\n",
                5,
            ),
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
            "{FRONT}\n# Book\n\n## 1. Tell\n\n```sh {{\"name\":\"tell\",\"mode\":\"manual\",\"approvers\":[\"lead\"]}}\n# Call.\n```\n\n## 2. `Go`\n\n```sh {{\"name\":\"go\",\"drill\":\"skip\",\"phase\":\"cutover\",\"on_fail\":\"continue\"}}\ntrue\n```\n"
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
        assert_eq!((book.steps.len(), book.told.len(), book.told[0].script.as_str()), (1, 1, "for people\n"));
        assert_eq!((book.steps[0].script.as_str(), book.steps[0].line), ("a\n\nb\n", 13));
        assert_eq!(book.steps[0].timeout, Some(Duration::from_secs(4 * 3600)));
    }
}
