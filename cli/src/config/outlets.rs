//! `[metrics]` and `[ping]`: who is told how it went, besides whoever looks.

use std::path::PathBuf;

use clap::CommandFactory;
use lifeboat_repo::store::web::{self, Allowed};
use toml::Spanned;

use super::raw::{RawMetrics, RawPing};
use super::{Source, check};
use crate::args::Cli;
use crate::failure::{Failure, Result};

/// What stands for the verb in a URL.
pub(crate) const VERB: &str = "{verb}";
/// What stands for the exit code in what is appended to one.
pub(crate) const EXIT: &str = "{exit}";

/// Who is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlets {
    /// The file that a collector of Prometheus reads.
    pub(crate) textfile: Option<PathBuf>,
    /// The service that misses us when we fall silent.
    pub(crate) ping: Ping,
}

/// Pings: URLs that are asked for as work begins and ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ping {
    /// The URL, with [`VERB`] where each verb has its own.
    pub(crate) url: Option<String>,
    /// The verbs that ping it.
    pub(crate) verbs: Vec<String>,
    /// What is appended as work begins; nothing is asked for then without it.
    pub(crate) start: Option<String>,
    /// What is appended once it is done, whole.
    pub(crate) success: String,
    /// What is appended when it ended otherwise; nothing is asked for then without it.
    pub(crate) failure: Option<String>,
    /// Where it may go.
    pub(crate) allowed: Allowed,
    /// Certificates trusted besides the system's own.
    pub(crate) roots: Vec<Vec<u8>>,
}

pub(super) fn check(source: &Source<'_>, metrics: &RawMetrics, ping: Option<&RawPing>) -> Result<Outlets> {
    let textfile = metrics.textfile.as_ref().map(|text| check::path(source, text)).transpose()?;
    let ping = ping.map(|ping| check_ping(source, ping)).transpose()?.unwrap_or_default();
    Ok(Outlets { textfile, ping })
}

fn check_ping(source: &Source<'_>, raw: &RawPing) -> Result<Ping> {
    let allowed = Allowed { private: raw.allow_private, http: raw.allow_http };
    let url = raw.url.as_ref().map(|text| check_url(source, text, allowed)).transpose()?;
    let commands = Cli::command();
    let mut verbs = vec!["backup".to_owned()];
    if let Some(named) = &raw.verbs {
        for verb in named {
            if commands.find_subcommand(verb.get_ref()).is_none() {
                return Err(source
                    .mistake(verb.span(), format!("there is no verb {:?}", verb.get_ref()))
                    .next("name verbs as on the command line, as in verbs = [\"backup\", \"verify\"]"));
            }
        }
        verbs = named.iter().map(|verb| verb.get_ref().clone()).collect();
        if let (Some(text), [_, _, ..]) = (&raw.url, verbs.as_slice())
            && !text.get_ref().contains(VERB)
        {
            return Err(source
                .mistake(text.span(), "several verbs ping one URL, so that one would cover up for another")
                .next("put {verb} into the URL, or name one verb"));
        }
    }
    let mut roots = Vec::new();
    if let Some(file) = &raw.ca_file {
        let path = check::path(source, file)?;
        let pem = std::fs::read(&path).map_err(|error| {
            source
                .mistake(file.span(), format!("the certificates cannot be read: {error}"))
                .next("name a file of PEM certificates")
        })?;
        roots.push(pem);
    }
    let part = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.get_ref().clone());
    Ok(Ping {
        url,
        verbs,
        start: part(&raw.start),
        success: part(&raw.success).unwrap_or_default(),
        failure: part(&raw.failure),
        allowed,
        roots,
    })
}

/// A URL that may be asked for.
pub(super) fn check_url(source: &Source<'_>, text: &Spanned<String>, allowed: Allowed) -> Result<String> {
    // What stands in braces is no URL, but what is put there is.
    let looked_at = text.get_ref().replace(VERB, "verb");
    let wrong = |why: String| -> Failure {
        let (why, next) = why
            .split_once("; ")
            .map_or((why.clone(), None), |(why, next)| (why.to_owned(), Some(format!("{next} in [ping]"))));
        let failure = source.mistake(text.span(), why);
        match next {
            Some(next) => failure.next(next),
            None => failure.next("write a URL such as https://hc.example.com/ping/KEY"),
        }
    };
    let tame = looked_at.bytes().all(|byte| byte.is_ascii_graphic());
    match web::refuse(&looked_at, allowed) {
        Some(why) => Err(wrong(why)),
        None if !tame => Err(wrong("the URL holds what no URL holds".to_owned())),
        None => Ok(text.get_ref().clone()),
    }
}
