//! `keys writer new`: a host makes its own keys; what enrols it is public.

use serde_json::json;

use crate::codes::Code;
use crate::config::Host;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};
use crate::keyfiles;
use crate::render::Outcome;

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let host = config.host()?;
    let components: String =
        config.components.iter().map(|component| format!(" --component {}", component.name)).collect();
    if components.is_empty() {
        return Err(Failure::usage("the configuration names no component this host could back up")
            .code(Code::Configuration)
            .at(shown(&config.path))
            .next("add [components.NAME], then run this again"));
    }
    make(context, host, &format!("writer add {}{components}", host.writer), "writer")
}

/// Makes what is missing of this host's keys, and says with which command an officer enrols it as what it is to be.
pub(super) fn make(context: &Context, host: &Host, enrol: &str, role: &str) -> Result<Outcome> {
    let made_signing = !host.signing_key.exists();
    let signing = if made_signing {
        keyfiles::make_signing_key(&host.signing_key, host.writer.as_str(), &context.entropy)?
    } else {
        keyfiles::read_signing_key(&host.signing_key, "signing key of this host")?
    };
    let made_card = !host.card_identity.exists();
    let card = if made_card {
        keyfiles::make_identity(&host.card_identity, &format!("card identity of {role} {}", host.writer))?
    } else {
        keyfiles::read_identity(&host.card_identity, "card identity of this host")?
    };
    let line = format!(
        "lifeboat keys {enrol} --signing-key-file '{} {}' --card {}",
        signing.public(),
        host.writer,
        card.recipient()
    );
    let mut page = context.page();
    let word = |made: bool| if made { "made now" } else { "was there already" };
    page.field("signing key", &format!("{} ({})", shown(&host.signing_key), word(made_signing)));
    page.field("fingerprint", &signing.public().fingerprint());
    page.field("card identity", &format!("{} ({})", shown(&host.card_identity), word(made_card)));
    page.gap();
    page.paragraph(
        0,
        "Both stay on this host. Give this line to an officer (nothing in it opens any data), and \
                       read the fingerprint to each other over another way, so that nobody slips in a key:",
    );
    page.gap().raw(&line);
    Ok(Outcome {
        exit: Exit::Ok,
        value: json!({ role: host.writer, "signing_key": signing.public().to_string(),
                       "fingerprint": signing.public().fingerprint(), "card": card.recipient().to_string(),
                       "made": made_signing || made_card, "enrol_with": line }),
        page: page.finish(),
    })
}
