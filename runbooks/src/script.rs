//! Which commands a step's script runs, as far as can be seen without running it: enough to ask our own command line whether
//! it still understands them.
//!
//! This is no shell. Words are taken apart by the rules of quoting, commands by `;`, `&`, `|`, line ends and the words of
//! compound commands. What a variable or a substitution will be nobody knows yet: such a word is [`Word::Open`].
//! Commands inside `$( … )` are found too. Here-documents are passed over.

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It says this, whatever happens.
    Plain(String),
    /// Some of it is known only when it runs; what is written is here.
    Open(String),
    /// The same, and it may become no word or several, since no quotes are around what is known only then.
    Loose(String),
}

/// A command in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its line in the script, from 1.
    pub line: usize,
    /// Its words: the program, then what it is given.
    pub words: Vec<Word>,
}

impl Word {
    /// What is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Open(text) | Self::Loose(text) => text,
        }
    }
}

/// Words that are no command by themselves, and behind which one may stand.
const COMPOUND: [&str; 14] =
    ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}", "time", "exec"];

/// The commands of a script, in the order they stand.
#[must_use]
pub fn invocations(script: &str) -> Vec<Invocation> {
    let mut lexer = Lexer { rest: script, line: 1, depth: 0, found: Vec::new(), heredocs: Vec::new() };
    lexer.commands(None);
    let mut found = lexer.found;
    found.sort_by_key(|invocation| invocation.line);
    found
}

/// Substitutions within substitutions that are looked into; deeper ones are passed over as they are written.
const DEPTH_MAX: usize = 16;

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
    depth: usize,
    found: Vec<Invocation>,
    /// Ends of here-documents that begin behind this line.
    heredocs: Vec<String>,
}

/// A word while it is read.
#[derive(Default)]
struct Reading {
    text: String,
    open: bool,
    loose: bool,
    begun: bool,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
        if next == '\n' {
            self.line += 1;
        }
        Some(next)
    }

    /// Reads commands up to `end`, which is taken.
    fn commands(&mut self, end: Option<char>) {
        let mut words = Vec::new();
        let mut line = self.line;
        while let Some(next) = self.peek() {
            if Some(next) == end {
                self.next();
                break;
            }
            match next {
                '\n' => {
                    self.next();
                    self.flush(&mut words, line);
                    self.skip_heredocs();
                }
                ';' | '&' | '|' | '(' | ')' => {
                    self.next();
                    self.flush(&mut words, line);
                }
                '#' => self.comment(),
                '<' | '>' => self.redirection(),
                c if c.is_whitespace() => {
                    self.next();
                }
                _ => {
                    if words.is_empty() {
                        line = self.line;
                    }
                    if let Some(word) = self.word() {
                        words.push(word);
                    }
                }
            }
        }
        self.flush(&mut words, line);
    }

    /// Takes the words so far as a command, without what compound commands and assignments put before it.
    fn flush(&mut self, words: &mut Vec<Word>, line: usize) {
        let mut words = std::mem::take(words);
        if words.first().is_some_and(|word| word.as_str() == "for" || word.as_str() == "case") {
            return;
        }
        let lead = words
            .iter()
            .take_while(|word| {
                matches!(word, Word::Plain(text) if COMPOUND.contains(&text.as_str())) || assigns(word)
            })
            .count();
        words.drain(..lead);
        if !words.is_empty() {
            self.found.push(Invocation { line, words });
        }
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    /// `> file`, `2>&1`, `<<EOF`: no words of the command.
    fn redirection(&mut self) {
        let mut signs = String::new();
        while let Some(sign) = self.peek().filter(|c| matches!(c, '<' | '>' | '&' | '-' | '|')) {
            signs.push(sign);
            self.next();
        }
        while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
            self.next();
        }
        if signs.ends_with('-') && !signs.starts_with("<<") {
            return;
        }
        if let Some(word) = self.word().filter(|_| signs.starts_with("<<")) {
            self.heredocs.push(word.as_str().to_owned());
        }
    }

    fn skip_heredocs(&mut self) {
        for end in std::mem::take(&mut self.heredocs) {
            while !self.rest.is_empty() {
                let mut text = String::new();
                while let Some(c) = self.next().filter(|c| *c != '\n') {
                    text.push(c);
                }
                if text.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
    }

    fn word(&mut self) -> Option<Word> {
        let mut word = Reading::default();
        while let Some(c) = self.peek() {
            match c {
                '\'' => {
                    self.next();
                    word.begun = true;
                    while let Some(c) = self.next().filter(|c| *c != '\'') {
                        word.text.push(c);
                    }
                }
                '"' => {
                    self.next();
                    word.begun = true;
                    self.quoted(&mut word);
                }
                '\\' => {
                    self.next();
                    // Before a line's end it joins the next line to this one.
                    if let Some(c) = self.next().filter(|c| *c != '\n') {
                        word.begun = true;
                        word.text.push(c);
                    }
                }
                '$' | '`' => {
                    word.loose = true;
                    self.expansion(&mut word);
                }
                c if c.is_whitespace() || ";&|()<>".contains(c) => break,
                c => {
                    self.next();
                    word.begun = true;
                    word.open |= "*?[~".contains(c);
                    word.loose |= "*?[".contains(c);
                    word.text.push(c);
                }
            }
        }
        // `2>` names a descriptor, no word.
        let descriptor =
            word.text.bytes().all(|b| b.is_ascii_digit()) && matches!(self.peek(), Some('<' | '>'));
        let kind = match (word.loose, word.open) {
            (true, _) => Word::Loose,
            (_, true) => Word::Open,
            _ => Word::Plain,
        };
        (word.begun && !descriptor).then(|| kind(word.text))
    }

    fn quoted(&mut self, word: &mut Reading) {
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.next();
                    return;
                }
                '$' | '`' => self.expansion(word),
                '\\' => {
                    self.next();
                    if let Some(c) = self.next().filter(|c| *c != '\n') {
                        word.text.push(c);
                    }
                }
                c => {
                    self.next();
                    word.text.push(c);
                }
            }
        }
    }

    /// `$name`, `${…}`, `$(…)`, `` `…` ``
    fn expansion(&mut self, word: &mut Reading) {
        (word.begun, word.open) = (true, true);
        let before = self.rest;
        let sign = self.next();
        match (sign, self.peek()) {
            (Some('`'), _) => self.within('`'),
            (_, Some('(')) => {
                self.next();
                self.within(')');
            }
            (_, Some('{')) => {
                while let Some(c) = self.next()
                    && c != '}'
                {}
            }
            _ => {
                while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                    self.next();
                }
            }
        }
        let taken = before.len() - self.rest.len();
        word.text.push_str(before.get(..taken).unwrap_or_default());
    }
}

impl Lexer<'_> {
    /// Commands of a substitution.
    fn within(&mut self, end: char) {
        if self.depth < DEPTH_MAX {
            self.depth += 1;
            self.commands(Some(end));
            self.depth -= 1;
        }
    }
}

fn assigns(word: &Word) -> bool {
    word.as_str().split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(script: &str) -> Vec<(usize, Vec<String>)> {
        let show = |word: Word| match word {
            Word::Plain(text) => text,
            Word::Open(text) => format!("?{text}"),
            Word::Loose(text) => format!("*{text}"),
        };
        invocations(script).into_iter().map(|i| (i.line, i.words.into_iter().map(show).collect())).collect()
    }

    fn one(line: usize, words: &[&str]) -> (usize, Vec<String>) {
        (line, words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn commands_are_found_wherever_they_stand() {
        let script = "# lifeboat init\nif lifeboat doctor --json | jq -e .; then\n  lifeboat restore chats \\\n    --target \
                      \"$DRILL_TARGET\" --identity 'a b.txt' 2>/dev/null || exit 1\nfi\nX=1 lifeboat status; at=$(lifeboat \
                      snapshots --json)\ncat <<EOF\nlifeboat nothing\nEOF\nlifeboat verify >out 2>&1 &\nlifeboat ls $X\n";
        assert_eq!(
            found(script),
            [
                one(2, &["lifeboat", "doctor", "--json"]),
                one(2, &["jq", "-e", "."]),
                one(
                    3,
                    &["lifeboat", "restore", "chats", "--target", "?$DRILL_TARGET", "--identity", "a b.txt"]
                ),
                one(4, &["exit", "1"]),
                one(6, &["lifeboat", "status"]),
                one(6, &["lifeboat", "snapshots", "--json"]),
                one(7, &["cat"]),
                one(10, &["lifeboat", "verify"]),
                one(11, &["lifeboat", "ls", "*$X"]),
            ]
        );
    }

    #[test]
    fn any_text_ends() {
        for script in [
            "$(",
            "`",
            "\"",
            "'",
            "\\",
            "<<",
            "${",
            "a <<X\nb",
            "((((",
            "$($($(",
            &"$(".repeat(100_000),
            &"`\"".repeat(1000),
            "\u{0}é\"$é",
        ] {
            drop(invocations(script));
        }
    }
}
