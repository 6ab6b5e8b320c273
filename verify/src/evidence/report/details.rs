//! Faults, conditions, what is open, and where it all comes from.

use maud::{Markup, html};

use super::super::facts::{Facts, Freshness, SampleFact};
use super::super::plain::plain;
use super::{badge, met_tone};

/// What was planted, and what caught it.
pub(super) fn planted(facts: &Facts) -> Markup {
    if facts.planted.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Faults that were planted" }
            p.soft { "A drill that cannot fail proves nothing. Each of these had to be caught." }
            div.wide {
                table.stack {
                    thead {
                        tr {
                            th scope="col" { "fault" } th scope="col" { "what was done" } th scope="col" { "where" }
                            th scope="col" { "expected" } th scope="col" { "caught by" }
                        }
                    }
                    tbody {
                        @for one in &facts.planted {
                            tr {
                                th scope="row" { (one.name) }
                                td data-label="done" { (plain(&one.what)) }
                                td data-label="where" { code { (plain(&one.place)) } }
                                td data-label="expected" { (plain(&one.expected)) }
                                td data-label="caught by" {
                                    @match &one.caught_by {
                                        Some(by) => { (badge("good", "caught")) " " (plain(by)) }
                                        None => (badge("bad", "not caught")),
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the verdict rests on.
pub(super) fn assertions(facts: &Facts) -> Markup {
    if facts.assertions.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "What the verdict rests on" }
            @if let Some(success) = facts.book.as_ref().and_then(|book| book.success.as_ref()) {
                p { "The book calls it a success if " code { (plain(success)) } "." }
            }
            div.wide {
                table.stack {
                    thead { tr { th scope="col" { "condition" } th scope="col" { "holds" } th scope="col" { "numbers" } } }
                    tbody {
                        @for one in &facts.assertions {
                            tr {
                                th scope="row" { (plain(&one.name)) }
                                td data-label="holds" { (badge(met_tone(one.met), one.met.words())) }
                                td data-label="numbers" { (plain(&one.detail)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is not known.
pub(super) fn open(facts: &Facts) -> Markup {
    html! {
        section {
            h2 { "What this does not show" }
            @if !facts.not_run.is_empty() {
                h3 { "Not checked" }
                ul.plain { @for one in &facts.not_run { li { (plain(&one.what)) ": " (plain(&one.reason)) } } }
            }
            @let looks = facts.verification.iter().flat_map(|one| &one.looks).filter_map(|look| look.sample.as_ref());
            @for sample in facts.sample.iter().chain(looks) { (drawn(sample)) }
            ul.plain {
                @for limit in &facts.limits { li { (plain(limit)) } }
                li { "A signature shows who says so, not that it is true; " code { "VERIFY.md" } " says more." }
            }
        }
    }
}

fn drawn(sample: &SampleFact) -> Markup {
    html! {
        h3 { "Looked at in part" }
        p {
            "Of " (sample.population) " " (plain(&sample.of)) ", " (sample.drawn) " were drawn ("
            (sample.coverage.percent()) ")."
            @match sample.bound {
                Some(bound) => { " All were well, which leaves room for a failure rate of up to " (bound.percent()) " (95 %)." }
                None => " Not all were well.",
            }
            " The seed " code { (plain(&sample.seed)) } " comes from "
            @match &sample.checkpoint { Some(from) => { "the checkpoint " code { (plain(from)) } }, None => "no checkpoint" }
            " and "
            @match &sample.nonce { Some(nonce) => { "the nonce " code { (plain(nonce)) } }, None => "no auditor's nonce" }
            "."
        }
    }
}

/// What it speaks of: with another of these it has expired.
pub(super) fn origin(facts: &Facts) -> Markup {
    html! {
        section {
            h2 { "What it speaks of" }
            dl {
                dt { "Program" }
                dd {
                    (plain(&facts.tool.name)) " " (plain(&facts.tool.version))
                    @if let Some(commit) = &facts.tool.commit { ", commit " code { (plain(commit)) } }
                }
                @if let Some(book) = &facts.book {
                    dt { "Book" } dd { (book.name) ", " (plain(&book.title)) br; code { (book.sha256) } }
                    @if let Some(rto) = &book.rto { dt { "Promised time" } dd { (plain(rto)) } }
                    @if let Some(rpo) = &book.rpo { dt { "Promised loss" } dd { (plain(rpo)) } }
                }
                dt { "Configuration" } dd { code { (facts.configuration) } }
                @for one in &facts.repositories {
                    dt { "Repository of " (one.place.region) }
                    dd {
                        (one.role.word()) " " code { (one.place.repository) } ", " (plain(&one.place.jurisdiction)) "; "
                        @match &one.freshness {
                            Freshness::Witnessed { entry, .. } => { "a witness has seen " code { (entry) } }
                            Freshness::NotProven(why) => { "freshness not proven: " (plain(why)) }
                        }
                        @for head in &one.heads { br; code { (head.entry) } " " small { code { (head.sha256) } } }
                    }
                }
            }
        }
    }
}
