//! Books that can be read, and mistakes in others.

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
            format!("{FRONT}\n```sh {{\"name\":\"a\"}}\ntrue\n```\n\n```sh {{\"name\":\"a\"}}\ntrue\n```\n"),
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
        (
            format!(
                "{FRONT}\n```sh {{\"name\":\"a\",\"mode\":\"manual\",\"approvers\":[\"\"]}}\ntrue\n```\n"
            ),
            9,
        ),
        (
            format!(
                "{FRONT}\n```sh {{\"name\":\"a\",\"mode\":\"manual\",\"approvers\":[\"a=b\"]}}\ntrue\n```\n"
            ),
            9,
        ),
        (
            format!(
                "{FRONT}\n```sh {{\"name\":\"a\",\"mode\":\"manual\",\"approvers\":[\"x\",\"x\"]}}\ntrue\n```\n"
            ),
            9,
        ),
        (FRONT.replace("holes = 0", "all is well") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 6),
        (FRONT.replace("rto: 24h", "rto: soon") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 4),
        (FRONT.replace("rto: 24h", "rtoo: 24h") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n", 4),
        (
            FRONT.replace("r\nrto: 24h", "r\n# é\r\r\r\nrtoo: 24h") + "\n```sh {\"name\":\"a\"}\ntrue\n```\n",
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
    assert_eq!((go.on_fail, tell.approvers.as_slice()), (OnFail::Continue, ["lead".to_owned()].as_slice()));
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
