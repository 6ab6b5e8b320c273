//! Reads Rust sources as far as the layer test needs: as tokens, and from these the paths a file names.

/// A word, a number, `::`, `!=` or a single other character. Literals in quotes and comments are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        let mut text = String::new();
        match (at(i), at(i + 1)) {
            ('/', '/') => i = (i..chars.len()).find(|&k| at(k) == '\n').unwrap_or(chars.len()),
            ('/', '*') => i = end_of_block_comment(&chars, i),
            ('"', _) => i = end_of_string(&chars, i),
            ('\'', '\\') => i = (i + 3..chars.len()).find(|&k| at(k) == '\'').unwrap_or(chars.len()) + 1,
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (':', ':') | ('!', '=') => {
                text.extend([at(i), at(i + 1)]);
                i += 2;
            }
            (c, _) if is_word(c) => {
                while is_word(at(i)) {
                    text.push(at(i));
                    i += 1;
                }
                if let ("r" | "br" | "cr", Some(end)) = (text.as_str(), end_of_raw_string(&chars, i)) {
                    text.clear();
                    i = end;
                } else if text == "r" && at(i) == '#' && is_word(at(i + 1)) {
                    text.clear();
                    i += 1;
                }
            }
            (c, _) => {
                if !c.is_whitespace() {
                    text.push(c);
                }
                i += 1;
            }
        }
        if !text.is_empty() {
            found.push(Token { text, line });
        }
        i = i.min(chars.len());
        line += (start..i).filter(|&k| at(k) == '\n').count();
    }
    found
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0_usize);
    while i < chars.len() {
        match (chars.get(i), chars.get(i + 1)) {
            (Some('/'), Some('*')) => {
                depth += 1;
                i += 2;
            }
            (Some('*'), Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    i
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while let Some(&c) = chars.get(i) {
        match c {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    i
}

/// The end of a raw string whose `#`s or quote stand at `start`; nothing if it is none.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let fence = chars.iter().skip(start).take_while(|&&c| c == '#').count();
    if chars.get(start + fence) != Some(&'"') {
        return None;
    }
    let body = start + fence + 1;
    let closes =
        |k: &usize| chars.get(*k) == Some(&'"') && (1..=fence).all(|hash| chars.get(*k + hash) == Some(&'#'));
    Some((body..chars.len()).find(closes).map_or(chars.len(), |quote| quote + 1 + fence))
}

// --- paths

/// A path as the source names it, and the module it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    pub(super) module: Vec<String>,
    pub(super) line: usize,
    pub(super) is_macro: bool,
}

/// What one source file says, test code left out.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) paths: Vec<Named>,
    /// Modules declared with a `;`, so living in files of their own.
    pub(super) modules: Vec<(String, usize)>,
    /// The same, compiled for tests only.
    pub(super) test_modules: Vec<String>,
}

/// Reads a source file that is the module `home` of its crate.
pub(super) fn read(source: &str, home: &[String]) -> Reading {
    let tokens = tokens(source);
    let mut reader = Reader { tokens: &tokens, at: 0, open: Vec::new(), found: Reading::default() };
    while reader.at < tokens.len() {
        reader.step(home);
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// One entry for each open brace: the module it opens, if it opens one.
    open: Vec<Option<String>>,
    found: Reading,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn step(&mut self, home: &[String]) {
        match self.text(0) {
            "#" if self.text(1) == "!" && self.attribute_is_test(2) => self.at = self.tokens.len(),
            "#" if self.attribute_is_test(1) => self.skip_test_item(),
            "mod" if self.text(2) == "{" => {
                self.open.push(Some(self.text(1).to_owned()));
                self.at += 3;
            }
            "mod" if self.text(2) == ";" => {
                self.found.modules.push((self.text(1).to_owned(), self.line()));
                self.at += 3;
            }
            "{" => {
                self.open.push(None);
                self.at += 1;
            }
            "}" => {
                self.open.pop();
                self.at += 1;
            }
            "use" if self.text(1) != "<" => {
                self.at += 1;
                self.use_tree(&[], home);
            }
            word if word.starts_with(is_word) => self.inline_path(home),
            _ => self.at += 1,
        }
    }

    fn module(&self, home: &[String]) -> Vec<String> {
        home.iter().cloned().chain(self.open.iter().flatten().cloned()).collect()
    }

    fn name(&mut self, segments: Vec<String>, home: &[String], line: usize, is_macro: bool) {
        let module = self.module(home);
        self.found.paths.push(Named { segments, module, line, is_macro });
    }

    /// `a::b::c` outside a `use`; single words count only as macros.
    fn inline_path(&mut self, home: &[String]) {
        let line = self.line();
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.text(1).starts_with(is_word) {
            segments.push(self.text(1).to_owned());
            self.at += 2;
        }
        let is_macro = self.text(0) == "!";
        if is_macro || segments.len() > 1 {
            self.name(segments, home, line, is_macro);
        }
    }

    /// One tree of a `use`, from its first word to the `,`, `}` or `;` after it.
    fn use_tree(&mut self, above: &[String], home: &[String]) {
        let mut segments = above.to_vec();
        let line = self.line();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | ";" | "") {
                        self.use_tree(&segments, home);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => self.at += 2,
                "self" if !segments.is_empty() => self.at += 1,
                word if word == "*" || word.starts_with(is_word) => {
                    segments.push(word.to_owned());
                    self.at += 1;
                }
                _ => break,
            }
        }
        if matches!(self.text(0), "," | "}" | ";" | "") {
            self.name(segments, home, line, false);
        } else {
            self.at += 1; // not a tree as macros may have it: go on after it
        }
    }

    /// Whether the attribute whose `[` is `ahead` is `test`, `cfg(test)` or `cfg(all(test, …))`.
    fn attribute_is_test(&self, ahead: usize) -> bool {
        let words: Vec<&str> = (0..7).map(|k| self.text(ahead + k)).collect();
        matches!(
            words.as_slice(),
            ["[", "test", "]", ..]
                | ["[", "cfg", "(", "test", ")", "]", ..]
                | ["[", "cfg", "(", "all", "(", "test", ..]
        )
    }

    fn skip_attributes(&mut self) {
        while self.text(0) == "#" {
            let mut depth = 0_usize;
            loop {
                match self.text(0) {
                    "[" => depth += 1,
                    "]" => depth -= 1,
                    "" => return,
                    _ => {}
                }
                self.at += 1;
                if depth == 0 && self.tokens.get(self.at - 1).is_some_and(|token| token.text == "]") {
                    break;
                }
            }
        }
    }

    /// Skips the item (or field, or arm) that a test attribute stands before.
    fn skip_test_item(&mut self) {
        const ITEMS: &[&str] = &[
            "async",
            "const",
            "enum",
            "extern",
            "fn",
            "impl",
            "macro_rules",
            "mod",
            "pub",
            "static",
            "struct",
            "trait",
            "type",
            "unsafe",
            "use",
        ];
        self.skip_attributes();
        let is_item = ITEMS.contains(&self.text(0));
        let declared = (0..6).find(|&k| self.text(k) == "mod" && self.text(k + 2) == ";");
        if let Some(k) = declared
            && (0..k).all(|before| !matches!(self.text(before), "{" | ";" | "}"))
        {
            let name = self.text(k + 1).to_owned();
            self.found.test_modules.push(name);
        }
        let mut depth = 0_usize;
        loop {
            match self.text(0) {
                "" => return,
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" if depth == 0 => return,
                ")" | "]" => depth -= 1,
                "}" => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return;
                    }
                }
                ";" if depth == 0 => {
                    self.at += 1;
                    return;
                }
                "," if depth == 0 && !is_item => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}
