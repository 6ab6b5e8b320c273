//! A page of text, built line by line.

use super::{Paint, Table, Tone, clean};

/// What fits everywhere.
pub(crate) const WIDTH: usize = 80;
/// The width of a field's name.
const FIELD: usize = 14;

/// A page being built.
pub(crate) struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(paint: Paint) -> Self {
        Self { text: String::new(), paint }
    }

    /// A heading, apart from what came before.
    pub(crate) fn heading(&mut self, text: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.toned(Tone::Strong, text)
    }

    /// A line as it is: not wrapped, no tone.
    pub(crate) fn raw(&mut self, text: &str) -> &mut Self {
        self.painted(&clean(text))
    }

    /// A line whose parts are cleaned and painted.
    fn painted(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self.text.push('\n');
        self
    }

    /// A line in a tone, wrapped under itself.
    pub(crate) fn toned(&mut self, tone: Tone, text: &str) -> &mut Self {
        let text = clean(text);
        let painted = self.paint.paint(tone, &wrap_under(&text));
        self.painted(&painted)
    }

    /// An empty line, where something stands above.
    pub(crate) fn gap(&mut self) -> &mut Self {
        if self.text.is_empty() {
            return self;
        }
        self.raw("")
    }

    /// A paragraph, wrapped and indented.
    pub(crate) fn paragraph(&mut self, indent: usize, text: &str) -> &mut Self {
        let line = format!("{}{}", " ".repeat(indent), wrap(text, indent, indent));
        self.raw(&line)
    }

    /// Lines whose values begin at this column, each value wrapped under itself.
    #[cfg(feature = "recover")]
    pub(crate) fn columns(&mut self, column: usize, text: &str) -> &mut Self {
        for line in text.lines() {
            match line.split_at_checked(column) {
                Some((name, value)) => self.raw(&format!("{name}{}", wrap(value, column, column))),
                None => self.raw(line),
            };
        }
        self
    }

    /// An item of a list, wrapped under its mark.
    pub(crate) fn item(&mut self, mark: &str, text: &str) -> &mut Self {
        let indent = mark.chars().count() + 3;
        let line = format!("  {mark} {}", wrap(text, indent, indent));
        self.raw(&line)
    }

    /// An item whose mark has a tone.
    pub(crate) fn marked(&mut self, mark: &str, tone: Tone, text: &str) -> &mut Self {
        let indent = mark.chars().count() + 3;
        let line = format!("  {} {}", self.paint.paint(tone, mark), wrap(&clean(text), indent, indent));
        self.painted(&line)
    }

    /// A named value, wrapped under itself.
    pub(crate) fn field(&mut self, name: &str, value: &str) -> &mut Self {
        self.field_toned(name, Tone::Plain, value)
    }

    /// A named value in a tone.
    pub(crate) fn field_toned(&mut self, name: &str, tone: Tone, value: &str) -> &mut Self {
        let name = self.paint.paint(Tone::Dim, &format!("{name:FIELD$}"));
        let line =
            format!("  {name}  {}", self.paint.paint(tone, &wrap(&clean(value), FIELD + 4, FIELD + 4)));
        self.painted(&line)
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) -> &mut Self {
        self.text.push_str(&table.render(self.paint));
        self
    }

    /// The page's text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Breaks text at spaces so that it fits; the first line begins at column `first`, those after it with `indent`
/// spaces. A word that does not
/// fit (a path, a key) stays whole, since it will be copied.
pub(crate) fn wrap(text: &str, first: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    for (at, line) in text.split('\n').enumerate() {
        let column = if at == 0 { first } else { indent };
        if at > 0 {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
        }
        fill(&mut wrapped, line.split(' '), (column, WIDTH), "\n", indent);
    }
    wrapped
}

/// Breaks a line that may begin with spaces so that it fits; what follows stands two further in.
pub(crate) fn wrap_under(text: &str) -> String {
    let indent = text.chars().take_while(|character| *character == ' ').count();
    wrap(text, 0, if indent == 0 { 0 } else { indent + 2 })
}

/// Appends words, from a column on, and begins a new line with `turn` and the indent where one would end past the width.
pub(crate) fn fill<'w>(
    text: &mut String,
    words: impl Iterator<Item = &'w str>,
    (mut column, width): (usize, usize),
    turn: &str,
    indent: usize,
) {
    for (at, word) in words.enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > width {
            text.push_str(turn);
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if at > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
}

/// Hashes for people: of a run of 64 hexadecimal digits the first 12 are enough to find the rest with `--json`.
pub(crate) fn short_hashes(text: &str) -> String {
    const WHOLE: usize = 64;
    const SHOWN: usize = 12;
    let mut shown = String::with_capacity(text.len());
    let mut digits = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_digit() || ('a'..='f').contains(&character) {
            digits.push(character);
            continue;
        }
        match digits.get(..SHOWN) {
            Some(first) if digits.len() == WHOLE => shown.extend([first, "…"]),
            _ => shown.push_str(&digits),
        }
        digits.clear();
        if character != '\0' {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_and_words_stay_whole() {
        let text = wrap(&"word ".repeat(40), 9, 9);
        assert!(text.lines().all(|line| line.trim_end().chars().count() <= WIDTH), "{text}");
        let key = "k".repeat(120);
        assert!(wrap(&format!("a {key} b"), 4, 4).contains(&key));
        assert_eq!(wrap("a\nb", 2, 2), "a\n  b");
        let mut page = Page::new(Paint::default());
        page.toned(Tone::Bad, &format!("  eu-fra: {}", "word ".repeat(40)));
        let page = page.finish();
        assert!(page.lines().all(|line| line.trim_end().chars().count() <= WIDTH), "{page}");
        assert!(page.starts_with("  eu-fra: word") && page.contains("\n    word"), "{page}");
    }

    #[test]
    fn hashes_are_shortened_and_nothing_else() {
        let hash = "0123456789abcdef".repeat(4);
        assert_eq!(short_hashes(&format!("packs/01/{hash}: gone")), "packs/01/0123456789ab…: gone");
        for text in ["", "a deadbeef", &"ab".repeat(31), &"a".repeat(65), "é"] {
            assert_eq!(short_hashes(text), text);
        }
    }
}
