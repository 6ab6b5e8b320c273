//! What was erased: who signed it, what was destroyed where, whether anything opens it, when it is gone for good.

use maud::{Markup, html};

use super::super::facts::{ErasureFact, Facts, ProofFact, Seconds};
use super::super::plain::plain;
use super::bars::{Scale, part, row};
use super::{badge, moment, promise, tile};

pub(super) fn tiles(facts: &Facts) -> Markup {
    let Some(erasure) = &facts.erasure else { return html! {} };
    let gone = erasure.horizon();
    let kept = gone.is_some_and(|gone| gone <= erasure.promised);
    let words = gone.map_or_else(|| "unknown".to_owned(), Seconds::show);
    let (proven, note, tone) = match &erasure.proof {
        None => ("not tried", "whether anything that is left opens it", "warn"),
        Some(proof) if proof.found.is_empty() => ("nothing", "that is left outside bundles", "good"),
        Some(_) => ("SOMETHING", "see below", "bad"),
    };
    html! {
        (tile("Beyond recovery after", &words, match gone { None => "warn", Some(_) if kept => "good", Some(_) => "bad" },
            &format!("{} promised", promise(erasure.promised))))
        (tile("What opens it", proven, tone, note))
    }
}

/// What was erased, and when it is gone for good.
pub(super) fn section(facts: &Facts) -> Markup {
    if facts.absent.is_empty() && facts.erasure.is_none() {
        return html! {};
    }
    html! {
        section {
            h2 { "What was erased" }
            @if let Some(erasure) = &facts.erasure {
                (horizon(erasure))
                (tombstone(erasure))
                (destroyed(erasure))
                @if let Some(proof) = &erasure.proof { (proven(proof)) }
            }
            ul.plain {
                @for one in &facts.absent {
                    li {
                        "The tenant behind the token " code { (one.tenant_token) } " is "
                        @if one.absent { (badge("good", "absent")) } @else { (badge("bad", "there")) }
                        "; looked for by " (plain(&one.looked_by)) "."
                    }
                }
            }
        }
    }
}

fn horizon(erasure: &ErasureFact) -> Markup {
    let after = |at: super::super::facts::Moment| Seconds::new(at.since(erasure.requested));
    let (destroyed, gone) = (erasure.destroyed.map(after), erasure.horizon());
    let times = [destroyed, gone, Some(erasure.promised)].into_iter().flatten().map(Seconds::number);
    let scale = Scale::over(times, None, Some(erasure.promised));
    let kept = gone.is_some_and(|gone| gone <= erasure.promised);
    let (tone, word) = match gone {
        None => ("warn", "open"),
        Some(_) if kept => ("good", "kept"),
        Some(_) => ("bad", "missed"),
    };
    let words = gone.map_or_else(|| "not yet known".to_owned(), |gone| format!("after {}", gone.show()));
    let says = format!("Irreversible {words}; {} promised", promise(erasure.promised));
    let picture = html! {
        @if let Some(gone) = gone { (part(if kept { "g" } else { "b" }, 0.0, scale.x(gone.number()), 3.0, 18.0)) }
        @if let Some(destroyed) = destroyed { (part("critical", 0.0, scale.x(destroyed.number()), 8.0, 8.0)) }
        (scale.lines(24.0))
    };
    let value = html! { b { (words) } " " (badge(tone, word)) };
    html! {
        div.bars {
            (scale.axis())
            (row(&html! { "gone for good" small { "dark: until keys were destroyed" } }, &says, &picture, &value))
        }
        dl {
            dt { "Asked for" } dd { (erasure.requested.minute()) }
            dt { "Refused by every verb since" } dd { (moment(erasure.effective)) }
            dt { "Keys destroyed" } dd { (moment(erasure.destroyed)) }
            dt { "Irreversible from" } dd { (moment(erasure.irreversible)) }
            dt { "Promised" } dd { (promise(erasure.promised)) }
        }
    }
}

fn tombstone(erasure: &ErasureFact) -> Markup {
    let tombstone = &erasure.tombstone;
    html! {
        h3 { "Tombstone " (tombstone.number) " in " (erasure.region) }
        dl {
            dt { "Signed by" }
            dd {
                @for one in &tombstone.signed { (one.officer) " " small { code { (one.entry) } " " code { (one.sha256) } } br; }
                @if tombstone.wanted > 0 { (badge("warn", "not enough")) " " (tombstone.wanted) " more must sign" }
            }
            dt { "Keys that it names" }
            dd { @for one in &tombstone.keys { code { (one.key) } " of " (one.writer) br; } }
            dt { "Tokens of the tenant" }
            dd { @for token in &erasure.tenant_tokens { code { (token) } br; } }
        }
    }
}

fn destroyed(erasure: &ErasureFact) -> Markup {
    if erasure.destroyed_in.is_empty() {
        return html! {};
    }
    html! {
        h3 { "What was destroyed" }
        div.wide {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "place" } th."number" scope="col" { "key objects and cards" }
                        th."number" scope="col" { "versions" } th."number" scope="col" { "graves that stand" }
                    }
                }
                tbody {
                    @for one in &erasure.destroyed_in {
                        tr {
                            th scope="row" { (one.place.word()) }
                            td."number" data-label="objects" { (one.objects) }
                            td."number" data-label="versions" { (one.versions) }
                            td."number" data-label="graves" { (one.graves) }
                        }
                    }
                }
            }
        }
    }
}

fn proven(proof: &ProofFact) -> Markup {
    html! {
        h3 { "Whether anything opens it" }
        p {
            "Tried " (proof.at.minute()) " with every identity there is to be had, those given and whatever they open ("
            (proof.identities) "), on segments of the erased keys (" (proof.segments) "); what lies below "
            code { "seals/" } ", " code { "keys/" } " and " code { "cards/" } " was looked into (" (proof.objects) " objects). "
            @if proof.found.is_empty() { (badge("good", "nothing opens it")) } @else { (badge("bad", "something does")) }
        }
        @if !proof.found.is_empty() { ul.plain { @for one in &proof.found { li { (plain(one)) } } } }
    }
}
