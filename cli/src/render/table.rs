//! Tables with aligned columns.

use super::page::wrap;
use super::{Paint, Tone, clean};

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
    /// Words in the last column, wrapped under themselves where a row does not fit.
    Folded(&'static str),
}

/// A cell.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text in a tone.
    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: clean(&text.into()).into_owned(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns. Without any name it has no head.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) -> &mut Self {
        self.rows.push(cells.into());
        self
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, each line indented by two.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let names = self.columns.iter().map(|column| match column {
            Column::Left(name) | Column::Right(name) | Column::Folded(name) => Cell::toned(Tone::Dim, *name),
        });
        let head: Vec<Cell> = names.collect();
        let headed = head.iter().any(|cell| !cell.text.is_empty());
        let rows: Vec<&Vec<Cell>> = headed.then_some(&head).into_iter().chain(&self.rows).collect();
        let width = |at: usize| {
            rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in rows {
            let mut line = String::from(" ");
            let mut at = 1;
            for ((cell, column), width) in row.iter().zip(&self.columns).zip(&widths) {
                let gap = " ".repeat(width.saturating_sub(cell.text.chars().count()));
                let painted = paint.paint(cell.tone, &cell.text);
                line.push(' ');
                match column {
                    Column::Left(_) => line.extend([painted, gap]),
                    Column::Right(_) => line.extend([gap, painted]),
                    Column::Folded(_) => {
                        line.push_str(&paint.paint(cell.tone, &wrap(&cell.text, at + 1, at + 1)))
                    }
                }
                line.push(' ');
                at += width + 2;
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let mut table = Table::new(&[Column::Left("name"), Column::Right("size")]);
        table.row(["a".into(), "1 B".into()]).row(["long name".into(), Cell::toned(Tone::Bad, "12.5 MB")]);
        let text = table.render(Paint::default());
        assert_eq!(text, "  name          size\n  a              1 B\n  long name  12.5 MB\n");
        assert!(!table.is_empty());
        let mut table = Table::new(&[Column::Left("name"), Column::Folded("why")]);
        table.row(["a".into(), "word ".repeat(20).into()]);
        let text = table.render(Paint::default());
        assert!(text.lines().all(|line| line.trim_end().chars().count() <= 80), "{text}");
        assert!(text.contains("\n        word"), "{text}");
    }
}
