//! Reads a book: its front matter, its headings and the blocks between them.

use std::collections::HashSet;
use std::ops::Range;

use lifeboat_verify::span;
use pulldown_cmark::{CodeBlockKind, Event, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use serde::Deserialize;

use super::{Book, BookError, FrontMatter, InDrill, Mode, OnFail, Phase, Step, Told};

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
        let mut names: Vec<&str> = info.approvers.iter().map(|name| name.trim()).collect();
        names.sort_unstable();
        names.dedup();
        let said = info.approvers.iter().all(|name| !name.trim().is_empty() && !name.contains('='));
        if !said || names.len() < info.approvers.len() {
            // `--approved STEP=APPROVER=NAME` could not say them.
            return Err(bad("an approver has a name, without `=`, and each is named once".into()));
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
        let said = match why.strip_suffix("expected struct FrontMatter") {
            Some(_) => {
                "it is no list of fields; write each on a line of its own, as `component: chats`".to_owned()
            }
            None => why.clone(),
        };
        let own = told.unwrap_or_else(|| first_line_with(text, &why));
        BookError { line: line + own, why: format!("front matter: {said}") }
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
