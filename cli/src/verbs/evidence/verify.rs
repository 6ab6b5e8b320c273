//! `evidence verify`.

use std::path::PathBuf;

use lifeboat_repo::crypto::signers::AllowedSigners;
use lifeboat_verify::evidence::{Checked, Reason, Vouch};
use serde_json::json;

use super::held::Held;
use crate::codes::Code;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::keyfiles;
use crate::render::{Outcome, Tone};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the evidence
    evidence: PathBuf,
    /// A public key to believe, from paper: its .pub file, or the line in it [default: the officers of lifeboat.toml]
    #[arg(long, value_name = "FILE|KEY", conflicts_with = "allowed_signers")]
    officer: Vec<String>,
    /// Believe whoever this file allows to sign lifeboat-evidence:…
    #[arg(long, value_name = "FILE")]
    allowed_signers: Option<PathBuf>,
    /// Say, too, whether it still fits this configuration, this program and the books
    #[arg(long)]
    against_config: bool,
    /// The books that it must fit [default: those that come with lifeboat]
    #[arg(long, value_name = "DIR", requires = "against_config")]
    books: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let vouch = vouch(context, args)?;
    let current = args.against_config.then(|| super::current(context, args.books.as_deref())).transpose()?;
    let held = Held::look(args.evidence.clone(), &vouch, current.as_ref());
    let checked = match &held.checked {
        Ok(checked) => checked,
        Err(failure) => return Err(failure.clone().at(shown(&args.evidence))),
    };
    let mut exit = exit(checked);
    if exit == Exit::Ok && !held.expired.is_empty() {
        exit = Exit::Unchecked;
    }
    let mut page = context.page();
    let (tone, words) = match exit {
        Exit::Unchecked if checked.unsigned => (Tone::Warn, "not signed yet: nobody's word is behind it"),
        Exit::Ok => (Tone::Good, "whole, and signed by somebody you vouch for"),
        Exit::Unchecked => (Tone::Warn, "whole and signed, and expired"),
        Exit::Refused => (Tone::Bad, "signed by a key that nobody vouches for: believe nothing of it"),
        _ => (Tone::Bad, "NOT what was signed: believe nothing of it"),
    };
    page.toned(tone, words);
    if let Some(facts) = &checked.facts {
        page.field("evidence", facts.id.as_str());
        page.field("of", facts.kind.one());
        page.field("verdict", facts.verdict.words());
    }
    if let Some(key) = &checked.signer {
        page.field("signed by", &key.fingerprint());
    }
    for problem in &checked.problems {
        page.item(
            "✗",
            &format!("{}: {}: {}", problem.reason.word(), tame(&problem.file), tame(&problem.what)),
        );
    }
    for reason in &held.expired {
        page.item("!", &tame(&reason.to_string()));
    }
    for note in &checked.notes {
        page.item("·", &tame(note));
    }
    let code = code(exit, checked);
    if let Some(code) = code {
        page.gap().raw(&format!("{code}: {}", code.title())).item("→", code.next());
    }
    let value = json!({
        "path": shown(&args.evidence), "id": checked.facts.as_ref().map(|facts| &facts.id),
        "kind": checked.facts.as_ref().map(|facts| facts.kind), "verdict": checked.facts.as_ref().map(|facts| facts.verdict),
        "signer": checked.signer.map(|key| key.fingerprint()), "principal": checked.principal,
        "problems": checked.problems, "expired": held.expired.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "notes": checked.notes, "code": code.map(|code| code.to_string()),
    });
    Ok(Outcome { exit, value, page: page.finish() })
}

/// Where only the signer is unknown it is refused; where there is none yet nothing is known; where anything does not fit it
/// is damage.
pub(super) fn exit(checked: &Checked) -> Exit {
    if checked.unsigned {
        return Exit::Unchecked;
    }
    let worst = checked.problems.iter().map(|problem| match problem.reason {
        Reason::WrongKey => Exit::Refused,
        _ => Exit::Damaged,
    });
    worst.fold(Exit::Ok, Exit::worst)
}

const fn code(exit: Exit, checked: &Checked) -> Option<Code> {
    match exit {
        Exit::Ok => None,
        Exit::Unchecked if checked.unsigned => Some(Code::EvidenceUnsigned),
        Exit::Unchecked => Some(Code::EvidenceExpired),
        Exit::Refused => Some(Code::EvidenceSigner),
        _ => Some(Code::EvidenceChanged),
    }
}

fn vouch(context: &Context, args: &Args) -> Result<Vouch> {
    if let Some(path) = &args.allowed_signers {
        let text = keyfiles::read_text(path, "allowed signers")?;
        let signers = AllowedSigners::parse(&text).map_err(|error| {
            Failure::new(Exit::Refused, format!("these allowed signers cannot be used: {error}"))
                .code(Code::BadKey)
                .at(shown(path))
        })?;
        return Ok(Vouch::Signers(signers));
    }
    if !args.officer.is_empty() {
        let keys = args.officer.iter().map(|key| keyfiles::read_public_key(key)).collect::<Result<_>>()?;
        return Ok(Vouch::Keys(keys));
    }
    let pinned = super::pinned(context).map_err(|failure| {
        failure.next("say whom to believe: --officer KEY, from paper, or --allowed-signers FILE")
    })?;
    match &pinned {
        Vouch::Keys(keys) if keys.is_empty() => {
            Err(Failure::new(Exit::Refused, "no officer is pinned in the configuration, and no key is given")
                .code(Code::NotPinned)
                .next("say whom to believe: --officer KEY, from paper, or --allowed-signers FILE"))
        }
        _ => Ok(pinned),
    }
}
