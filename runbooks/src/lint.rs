//! What would make a book fail on the worst day, found today: commands that no longer parse, variables nobody sets,
//! needs that nobody restores, steps of which nobody knows how long they take.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lifeboat_repo::ids::Label;

use crate::book::{Book, Phase, Step, Variable, Whose};
use crate::script::{Word, invocations};

/// Something to mend in a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The book's name.
    pub book: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", self.book, self.line, self.what)
    }
}

/// What books are held against.
pub struct Against<'a> {
    /// Whether our own command line understands the words behind `lifeboat`; the text says what it does not.
    pub understands: &'a dyn Fn(&[Word]) -> Result<(), String>,
    /// The components and regions there are, where a configuration says so.
    pub configured: Option<Configured>,
}

/// What a configuration names.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// Components.
    pub components: BTreeSet<Label>,
    /// Regions.
    pub regions: BTreeSet<Label>,
}

/// Set for every step by whoever runs it, and by the shell itself.
const ALWAYS: [&str; 5] = ["HOME", "PATH", "TMPDIR", "PWD", "USER"];

/// Looks at all books together, since one may need what another restores.
#[must_use]
pub fn lint(books: &[(String, Book)], against: &Against<'_>) -> Vec<Remark> {
    let mut all = Vec::new();
    let restored: BTreeSet<&Label> =
        books.iter().filter_map(|(_, book)| only(&book.front.component)).collect();
    for (name, book) in books {
        let mut remarks = Remarks { book: name, all: &mut all };
        for step in &book.steps {
            commands(&step.script, step.line + 1, against, &mut remarks);
            variables(book, step, &mut remarks);
        }
        for told in &book.told {
            // A block's commands begin on the line after its fence.
            let block = told.script.ends_with('\n');
            commands(&told.script, told.line + usize::from(block), against, &mut remarks);
        }
        unused_variables(book, &mut remarks);
        shape(book, &mut remarks);
        needs(book, &restored, against, &mut remarks);
    }
    circles(books, &mut all);
    all.sort_by(|a, b| (&a.book, a.line).cmp(&(&b.book, b.line)));
    all
}

/// Remarks on one book.
struct Remarks<'a> {
    book: &'a str,
    all: &'a mut Vec<Remark>,
}

impl Remarks<'_> {
    fn add(&mut self, line: usize, what: impl Into<String>) {
        self.all.push(Remark { book: self.book.to_owned(), line, what: what.into() });
    }
}

/// The label, where it is only one.
const fn only(whose: &Whose) -> Option<&Label> {
    match whose {
        Whose::Any => None,
        Whose::Only(label) => Some(label),
    }
}

/// Commands of ours are asked of our command line; nothing may put text together and run it.
fn commands(script: &str, first: usize, against: &Against<'_>, remarks: &mut Remarks<'_>) {
    for invocation in invocations(script) {
        let line = first + invocation.line - 1;
        let Some((program, words)) = invocation.words.split_first() else { continue };
        let program = program.as_str();
        if program == "eval" {
            remarks.add(line, "`eval` runs what a name or a path may say; write the command out");
        }
        let shell = matches!(program, "sh" | "bash" | "/bin/sh");
        let pasted = words.iter().position(|word| word.as_str() == "-c").and_then(|at| words.get(at + 1));
        if shell && pasted.is_some_and(|text| !matches!(text, Word::Plain(_))) {
            remarks.add(line, format!("`{program} -c` runs what a variable says; pass it as an argument"));
        }
        if program != "lifeboat" {
            continue;
        }
        for loose in words.iter().filter(|word| matches!(word, Word::Loose(_))) {
            remarks.add(line, format!("{0} may become several words or none; write \"{0}\"", loose.as_str()));
        }
        if let Err(why) = (against.understands)(words) {
            let words: Vec<&str> = words.iter().map(Word::as_str).collect();
            remarks.add(line, format!("`lifeboat {}` is not understood: {why}", words.join(" ")));
        }
    }
}

/// Every variable that a step uses is one it sets, or one the book names.
fn variables(book: &Book, step: &Step, remarks: &mut Remarks<'_>) {
    for (line, name) in used(&step.script) {
        let known = ALWAYS.contains(&name)
            || book.front.variables.iter().any(|one| one.as_str() == name)
            || sets(&step.script, name);
        if !known {
            let what = format!("nothing sets {name}; name it in `variables` of the front matter");
            remarks.add(step.line + line, what);
        }
    }
}

fn unused_variables(book: &Book, remarks: &mut Remarks<'_>) {
    let all: BTreeSet<&str> =
        book.steps.iter().flat_map(|step| used(&step.script)).map(|(_, name)| name).collect();
    let unused = book.front.variables.iter().map(Variable::as_str).filter(|name| !all.contains(name));
    unused.for_each(|name| remarks.add(1, format!("no step uses the variable {name}")));
}

/// The variables in capitals that a script uses and does not set.
pub fn variables_of(script: &str) -> impl Iterator<Item = Variable> + '_ {
    used(script).into_iter().filter(|(_, name)| !sets(script, name)).filter_map(|(_, name)| name.parse().ok())
}

/// Names of variables in capitals, with their lines from 1.
fn used(script: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, text) in (1..).zip(script.lines()) {
        for part in text.split('$').skip(1) {
            let name = part.trim_start_matches('{');
            let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
            let name = name.get(..end).unwrap_or_default();
            if name.parse::<Variable>().is_ok() {
                found.push((line, name));
            }
        }
    }
    found
}

/// Whether a script sets a variable itself.
fn sets(script: &str, name: &str) -> bool {
    let starts = |word: &str| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    script.split(|c: char| c.is_whitespace() || ";&|(".contains(c)).any(starts)
        || script.contains(&format!("for {name} in"))
        || script.contains(&format!("read -r {name}"))
}

/// What every book has: a plan of its time, and a way to know that it worked.
fn shape(book: &Book, remarks: &mut Remarks<'_>) {
    for step in book.steps.iter().filter(|step| step.timeout.is_none()) {
        let what = format!("the step {} has no `timeout`, so nobody knows when it is late", step.name);
        remarks.add(step.line, what);
    }
    for (before, step) in book.steps.iter().zip(book.steps.iter().skip(1)) {
        if step.phase < before.phase {
            let what = format!(
                "the step {} is of the phase {}, and follows one of {}",
                step.name,
                step.phase.as_str(),
                before.phase.as_str()
            );
            remarks.add(step.line, what);
        }
    }
    if !book.steps.iter().any(|step| step.phase == Phase::Check) {
        remarks.add(1, "a step is missing: none is of the phase `check`, so nobody knows whether it worked");
    }
    for step in &book.steps {
        let told = step.script.lines().any(|line| !line.trim().is_empty());
        if !told {
            remarks.add(step.line, format!("the step {} says nothing", step.name));
        }
    }
}

/// Needs that nobody restores, and names that no configuration has.
fn needs(book: &Book, restored: &BTreeSet<&Label>, against: &Against<'_>, remarks: &mut Remarks<'_>) {
    let configured = against.configured.as_ref();
    for need in &book.front.needs {
        if only(&book.front.component) == Some(need) {
            remarks.add(1, format!("it needs {need}, which is what it restores"));
        }
        let known = configured.map_or_else(|| restored.contains(need), |all| all.components.contains(need));
        if !known {
            let where_ = if configured.is_some() { "the configuration has" } else { "a book restores" };
            remarks.add(1, format!("it needs {need}, and no component of that name is one that {where_}"));
        }
    }
    let Some(configured) = configured else { return };
    if let Some(component) = only(&book.front.component)
        && !configured.components.contains(component)
    {
        remarks.add(1, format!("the configuration has no component {component}"));
    }
    if let Some(region) = only(&book.front.region)
        && !configured.regions.contains(region)
    {
        remarks.add(1, format!("the configuration has no region {region}"));
    }
}

/// Components whose books wait for one another.
fn circles(books: &[(String, Book)], all: &mut Vec<Remark>) {
    let mut waiting: BTreeMap<&Label, (&str, BTreeSet<&Label>)> = books
        .iter()
        .filter_map(|(name, book)| {
            let component = only(&book.front.component)?;
            Some((
                component,
                (name.as_str(), book.front.needs.iter().filter(|need| *need != component).collect()),
            ))
        })
        .collect();
    while let Some(ready) = waiting
        .iter()
        .find(|(_, (_, needs))| !needs.iter().any(|need| waiting.contains_key(need)))
        .map(|(component, _)| *component)
    {
        waiting.remove(ready);
    }
    // What is left waits for itself, or for what does.
    for (component, (book, _)) in waiting {
        let what =
            format!("{component} waits for what waits for it: `needs` of the books go round in a circle");
        all.push(Remark { book: book.to_owned(), line: 1, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(text: &str) -> Book {
        Book::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn remarks(books: &[(&str, String)], configured: Option<Configured>) -> Vec<String> {
        let books: Vec<(String, Book)> =
            books.iter().map(|(name, text)| ((*name).to_owned(), book(text))).collect();
        let understands = |words: &[Word]| match words.first().map(Word::as_str) {
            Some("restore" | "status") => Ok(()),
            other => Err(format!("no {other:?}")),
        };
        lint(&books, &Against { understands: &understands, configured })
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn text(front: &str, step: &str, script: &str) -> String {
        format!(
            "---\n{front}\nregion: any\nrto: 24h\nrpo: 1h\nsuccess: 0 holes\n---\n# Book\n```sh {{\"name\":\"a\",{step}}}\n{script}\n```\n"
        )
    }

    #[test]
    fn what_would_fail_on_the_worst_day_is_found_today() {
        let good = r#""phase":"check","timeout":"1h""#;
        let cases = [
            ("component: a", good, "lifeboat restore", &[][..]),
            (
                "component: a",
                good,
                "lifeboat resurrect",
                &["b, line 10: `lifeboat resurrect` is not understood: no Some(\"resurrect\")"],
            ),
            (
                "component: a",
                good,
                "true\nx=$(lifeboat undo)",
                &["b, line 11: `lifeboat undo` is not understood: no Some(\"undo\")"],
            ),
            (
                "component: a\nvariables: [T]",
                good,
                "lifeboat restore $T",
                &["b, line 11: $T may become several words or none; write \"$T\""],
            ),
            (
                "component: a\nvariables: [T]",
                good,
                "eval \"$T\"",
                &["b, line 11: `eval` runs what a name or a path may say; write the command out"],
            ),
            (
                "component: a\nvariables: [T]",
                good,
                "sh -c \"rm $T\"",
                &["b, line 11: `sh -c` runs what a variable says; pass it as an argument"],
            ),
            (
                "component: a",
                good,
                "echo \"$TENANT ${HOME} $?\"",
                &["b, line 10: nothing sets TENANT; name it in `variables` of the front matter"],
            ),
            ("component: a", good, "TENANT=x; for W in a; do echo \"$TENANT$W\"; done", &[]),
            ("component: a\nvariables: [T]", good, "true", &["b, line 1: no step uses the variable T"]),
            (
                "component: a",
                r#""phase":"check""#,
                "true",
                &["b, line 9: the step a has no `timeout`, so nobody knows when it is late"],
            ),
            (
                "component: a",
                r#""timeout":"1h""#,
                "true",
                &[
                    "b, line 1: a step is missing: none is of the phase `check`, so nobody knows whether it worked",
                ],
            ),
            ("component: a", good, "", &["b, line 9: the step a says nothing"]),
            (
                "component: a\nneeds: [c]",
                good,
                "true",
                &["b, line 1: it needs c, and no component of that name is one that a book restores"],
            ),
            ("component: a\nneeds: [a]", good, "true", &["b, line 1: it needs a, which is what it restores"]),
        ];
        for (front, step, script, wanted) in cases {
            assert_eq!(remarks(&[("b", text(front, step, script))], None), wanted, "{front} {step} {script}");
        }
    }

    #[test]
    fn books_are_held_against_one_another_and_a_configuration() {
        let of = |component: &str, needs: &str| {
            text(
                &format!("component: {component}\nneeds: [{needs}]"),
                r#""phase":"check","timeout":"1h""#,
                "true",
            )
        };
        assert_eq!(remarks(&[("one", of("a", "c")), ("two", of("c", ""))], None), [""; 0]);
        let round = remarks(&[("one", of("a", "c")), ("two", of("c", "a"))], None);
        assert!(round.len() == 2 && round.iter().all(|what| what.contains("circle")), "{round:?}");
        let configured = Configured { components: ["a".parse().unwrap()].into(), regions: BTreeSet::new() };
        let found = remarks(&[("one", of("a", "c")), ("two", of("c", ""))], Some(configured));
        let wanted = [
            "one, line 1: it needs c, and no component of that name is one that the configuration has",
            "two, line 1: the configuration has no component c",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn phases_follow_one_another() {
        let late = "```sh {\"name\":\"z\",\"timeout\":\"1m\",\"phase\":\"prepare\"}\ntrue\n```\n";
        let text = text("component: a", r#""phase":"check","timeout":"1h""#, "true") + late;
        let wanted = ["b, line 12: the step z is of the phase prepare, and follows one of check"];
        assert_eq!(remarks(&[("b", text)], None), wanted);
    }
}
