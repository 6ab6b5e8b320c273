//! `explain`: the catalogue of errors, at hand where there is no network.

use serde_json::{Value, json};

use crate::codes::{self, Code};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::render::{Column, Outcome, Page, Table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The code, as in error[LB-201]; without any, all are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// Everything about every code
    #[arg(long, conflicts_with = "code")]
    all: bool,
    /// As Markdown
    #[arg(long, requires = "all")]
    markdown: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let chosen: Vec<Code> = match &args.code {
        None => Code::ALL.to_vec(),
        Some(text) => vec![Code::parse(text).ok_or_else(|| {
            Failure::usage(format!("there is no code {}", tame(text)))
                .code(Code::Unexplained)
                .next(Code::Unexplained.next())
        })?],
    };
    let mut page = context.page();
    if args.code.is_some() || args.all {
        chosen.iter().for_each(|code| render(&mut page, *code));
    } else {
        let mut table = Table::new(&[Column::Left("code"), Column::Left("exit"), Column::Left("what")]);
        for code in &chosen {
            table.row([code.to_string().into(), code.exit().code().to_string().into(), code.title().into()]);
        }
        page.table(&table).gap().raw("`lifeboat explain CODE` says what it means and what to do.");
    }
    let text = if args.markdown { codes::markdown() } else { page.finish() };
    let values: Vec<Value> = chosen.into_iter().map(value).collect();
    Ok(Outcome { exit: Exit::Ok, value: json!({ "codes": values }), page: text })
}

fn render(page: &mut Page, code: Code) {
    page.heading(&format!("{code}: {}", code.title()));
    page.paragraph(2, code.meaning());
    page.item("→", code.next());
    page.field("exit code", &format!("usually {} ({})", code.exit().code(), code.exit().word()));
}

fn value(code: Code) -> Value {
    json!({ "code": code.to_string(), "exit": code.exit().code(), "title": code.title(),
            "meaning": code.meaning(), "next": code.next() })
}
