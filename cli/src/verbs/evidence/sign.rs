//! `evidence sign`: puts an officer's word, or a drill lead's, behind evidence that nobody signed yet.

use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_verify::evidence::{Signer, sign};
use serde_json::json;

use crate::codes::Code;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::keyfiles;
use crate::render::Outcome;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the evidence
    evidence: PathBuf,
    #[command(flatten)]
    key: Key,
}

/// Whose word it is.
#[derive(clap::Args, Clone)]
pub(crate) struct Key {
    /// The signing key of an officer, or of whoever leads drills [default: LIFEBOAT_OFFICER_KEY]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    /// Whose it is, such as drill-lead:bob [default: the officer's name in lifeboat.toml]
    #[arg(long = "as", value_name = "NAME")]
    principal: Option<String>,
}

/// A key, and whose it is.
pub(crate) struct Hand {
    key: SigningKey,
    principal: String,
}

impl Hand {
    /// For the library.
    pub(crate) fn signer(&self) -> Signer<'_> {
        Signer { principal: self.principal.clone(), key: &self.key }
    }
}

impl Key {
    /// The key that was given, if one was.
    pub(crate) fn hand(&self, context: &Context) -> Result<Option<Hand>> {
        match self.officer_key.as_ref().or(context.environment.officer_key.as_ref()) {
            None => Ok(None),
            Some(path) => self.read(context, path).map(Some),
        }
    }

    fn read(&self, context: &Context, path: &Path) -> Result<Hand> {
        let key = keyfiles::read_signing_key(path, "signing key of the evidence")?;
        if let Some(principal) = &self.principal {
            return Ok(Hand { key, principal: principal.clone() });
        }
        let config = context.config()?;
        let mut officers = config.regions.iter().flat_map(|region| &region.officers);
        let Some(officer) = officers.find(|officer| officer.key == key.public()) else {
            return Err(Failure::new(
                Exit::Refused,
                "the key is none of the officers' that the configuration pins",
            )
            .code(Code::NotAnOfficer)
            .at(shown(path))
            .next("say whose it is with --as drill-lead:NAME, and give verifiers its public half on paper"));
        };
        // The name in the file is for people; where it is no principal, the role alone is.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        let named = !officer.name.is_empty() && officer.name.chars().all(plain);
        let principal = if named { format!("officer:{}", officer.name) } else { "officer".to_owned() };
        Ok(Hand { key, principal })
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let hand = args.key.hand(context)?.ok_or_else(|| {
        Failure::usage("this needs a signing key, and none was given")
            .code(Code::NoOfficerKey)
            .next("give --officer-key FILE (or LIFEBOAT_OFFICER_KEY)")
    })?;
    let notes = sign(&args.evidence, &hand.signer(), super::VERSION).map_err(Failure::from)?;
    let fingerprint = hand.key.public().fingerprint();
    let mut page = context.page();
    page.raw(&format!("signed as {} by {fingerprint}", hand.principal));
    for note in &notes {
        page.item("·", &tame(note));
    }
    let value = json!({ "path": shown(&args.evidence), "principal": hand.principal, "signer": fingerprint, "notes": notes });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}
