//! Reading a book, strictly: a step that would be passed over in a disaster must be an error today.

use std::collections::HashSet;

use pulldown_cmark::{CodeBlockKind, Event, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use serde::Deserialize;

/// A book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// What it is for.
    pub front: FrontMatter,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// What a book says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontMatter {
    /// The component it restores, or `any`.
    pub component: String,
    /// The region, or `any`.
    pub region: String,
    /// Components that must be back before.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The recovery time it promises.
    pub rto: String,
    /// The data loss it promises.
    pub rpo: String,
    /// When it has succeeded, in words.
    pub success: String,
}

/// A block that is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, unique in the book.
    pub name: String,
    /// The shell script.
    pub script: String,
    /// The line of the book that its block begins at, from 1.
    pub line: usize,
    /// How long it may take, as written: `4h`.
    pub timeout: Option<String>,
    /// What part of a recovery it is: `transfer`.
    pub phase: Option<String>,
    /// What its failure means.
    pub on_fail: OnFail,
}

/// What a step's failure means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFail {
    /// The book ends here.
    #[default]
    Abort,
    /// The book goes on.
    Continue,
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
    phase: Option<String>,
    #[serde(default)]
    on_fail: OnFail,
}

impl Book {
    /// Reads a book.
    ///
    /// # Errors
    /// It has no front matter, an unknown key, a malformed step, or two steps of one name.
    pub fn parse(text: &str) -> Result<Self, BookError> {
        let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
        let mut front = None;
        let mut steps: Vec<Step> = Vec::new();
        let mut names = HashSet::new();
        let mut collecting: Option<Collecting> = None;
        for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
            let line = line_of(text, range.start);
            match event {
                Event::Start(Tag::MetadataBlock(MetadataBlockKind::YamlStyle)) => {
                    collecting = Some(Collecting { line, info: None, text: String::new() });
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    collecting = step_info(&info, line)?.map(|info| Collecting {
                        line,
                        info: Some(info),
                        text: String::new(),
                    });
                }
                Event::Text(part) => {
                    if let Some(collecting) = &mut collecting {
                        collecting.text.push_str(&part);
                    }
                }
                Event::End(TagEnd::MetadataBlock(_)) => {
                    if let Some(block) = collecting.take() {
                        front = Some(front_matter(&block)?);
                    }
                }
                Event::End(TagEnd::CodeBlock) => {
                    let Some(Collecting { line, info: Some(info), text }) = collecting.take() else {
                        continue;
                    };
                    if !names.insert(info.name.clone()) {
                        return Err(BookError {
                            line,
                            why: format!("a second step is named {:?}", info.name),
                        });
                    }
                    let Info { name, timeout, phase, on_fail } = info;
                    steps.push(Step { name, script: text, line, timeout, phase, on_fail });
                }
                _ => {}
            }
        }
        let front =
            front.ok_or_else(|| BookError { line: 1, why: "it does not begin with front matter".into() })?;
        if steps.is_empty() {
            return Err(BookError { line: 1, why: "it has no step".into() });
        }
        Ok(Self { front, steps })
    }
}

struct Collecting {
    line: usize,
    info: Option<Info>,
    text: String,
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

    const FRONT: &str = "---\ncomponent: a\nregion: r\nrto: 24h\nrpo: 1h\nsuccess: ok\n---\n";

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
    fn steps_keep_their_script_and_place() {
        let text = format!(
            "{FRONT}\n```sh\nfor people\n```\n\n```sh {{\"name\":\"go\",\"timeout\":\"4h\"}}\na\n\nb\n```\n"
        );
        let book = Book::parse(&text).unwrap();
        assert_eq!(book.steps.len(), 1);
        assert_eq!((book.steps[0].script.as_str(), book.steps[0].line), ("a\n\nb\n", 13));
        assert_eq!(book.steps[0].timeout.as_deref(), Some("4h"));
    }
}
