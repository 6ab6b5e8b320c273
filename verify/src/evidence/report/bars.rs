//! Bars along a scale of time. Names and numbers are HTML, so they stay legible on a phone; only bars are SVG.

use maud::{Markup, html};

use super::super::facts::Seconds;

/// The width of a bar's picture in its own units; it is stretched to whatever room there is.
const WIDTH: f64 = 1000.0;

/// A scale of time from 0 on, with the lines for target and limit where these are in sight.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    longest: f64,
    target: Option<f64>,
    limit: Option<f64>,
}

impl Scale {
    /// Reaches over all times and, unless that would leave bars too short to see, over target and limit.
    pub(super) fn over(
        times: impl Iterator<Item = f64>,
        target: Option<Seconds>,
        limit: Option<Seconds>,
    ) -> Self {
        let longest = times.fold(0.0_f64, f64::max);
        let (target, limit) = (target.map(Seconds::number), limit.map(Seconds::number));
        let wanted = [target, limit].into_iter().flatten().filter(|line| *line <= longest.max(1.0) * 25.0);
        let longest = wanted.fold(longest, f64::max).max(1.0) * 1.04;
        let sight = |line: Option<f64>| line.filter(|line| *line <= longest);
        Self { longest, target: sight(target), limit: sight(limit) }
    }

    pub(super) fn x(self, time: f64) -> f64 {
        (time / self.longest * WIDTH).clamp(0.0, WIDTH)
    }

    /// The lines, over a picture of this height.
    pub(super) fn lines(self, height: f64) -> Markup {
        html! {
            @if let Some(target) = self.target { (line("target", self.x(target), height)) }
            @if let Some(limit) = self.limit { (line("limit", self.x(limit), height)) }
        }
    }

    /// The lines across a picture of upright bars of this height.
    pub(super) fn across(self, height: f64) -> Markup {
        let y = |at: f64| number(height - self.x(at) / WIDTH * height);
        html! {
            @if let Some(target) = self.target { line class="target" x1="0" x2="1000" y1=(y(target)) y2=(y(target)) {} }
            @if let Some(limit) = self.limit { line class="limit" x1="0" x2="1000" y1=(y(limit)) y2=(y(limit)) {} }
        }
    }

    /// The scale in numbers, above the bars.
    pub(super) fn axis(self) -> Markup {
        let steps = [
            1.0,
            5.0,
            15.0,
            60.0,
            300.0,
            900.0,
            3600.0,
            3.0 * 3600.0,
            6.0 * 3600.0,
            12.0 * 3600.0,
            24.0 * 3600.0,
        ];
        let whole = steps.into_iter().find(|step| self.longest / step <= 6.0);
        let step = whole.unwrap_or_else(|| (self.longest / 6.0 / 86_400.0).ceil() * 86_400.0);
        let ticks: Vec<f64> = (1_u32..8)
            .map(|number| f64::from(number) * step)
            .take_while(|tick| *tick < self.longest * 0.97)
            .collect();
        let near = |tick: f64| {
            [self.target, self.limit]
                .into_iter()
                .flatten()
                .any(|line| (self.x(line) - self.x(tick)).abs() < 90.0)
        };
        html! {
            div."row head" aria-hidden="true" {
                span."name" {}
                div."axis" {
                    span."start" style="left:0" { "0" }
                    @for tick in ticks {
                        @if !near(tick) { (self.tick(tick, &short(tick), false)) }
                    }
                    @if let Some(target) = self.target { (self.tick(target, &format!("{} target", short(target)), true)) }
                    @if let Some(limit) = self.limit { (self.tick(limit, &format!("{} limit", short(limit)), true)) }
                }
                span."value" {}
            }
        }
    }

    fn tick(self, at: f64, words: &str, strong: bool) -> Markup {
        let x = self.x(at);
        let side = if x > WIDTH * 0.9 { "end" } else { "" };
        html! {
            span class=(side) style=(format!("left:{:.1}%", x / WIDTH * 100.0)) {
                @if strong { b { (words) } } @else { (words) }
            }
        }
    }
}

fn line(class: &str, x: f64, height: f64) -> Markup {
    html! { line class=(class) x1=(number(x)) x2=(number(x)) y1="0" y2=(number(height)) {} }
}

/// A part of a bar.
pub(super) fn part(class: &str, from: f64, to: f64, y: f64, height: f64) -> Markup {
    // Thinner than this nobody would see it.
    let width = (to - from).max(4.0);
    html! { rect class=(class) x=(number(from.min(WIDTH - width))) y=(number(y)) width=(number(width)) height=(number(height)) {} }
}

/// A striped part: nobody knows.
pub(super) fn striped(from: f64, to: f64) -> Markup {
    html! { rect fill="url(#stripes)" x=(number(from)) y="2" width=(number((to - from).max(4.0))) height="20" {} }
}

/// One row: a name, a picture that says in words what it shows, the number.
pub(super) fn row(name: &Markup, says: &str, picture: &Markup, value: &Markup) -> Markup {
    html! {
        div."row" {
            span."name" { (name) }
            svg viewBox="0 0 1000 24" preserveAspectRatio="none" role="img" aria-label=(says) { (picture) }
            span."value" { (value) }
        }
    }
}

/// A mark of the key.
pub(super) fn mark(class: &str, words: &str) -> Markup {
    html! {
        li {
            svg viewBox="0 0 28 16" aria-hidden="true" {
                @match class {
                    "target" | "limit" => { line class=(class) x1="14" x2="14" y1="0" y2="16" {} }
                    "stripes" => { rect fill="url(#stripes)" width="28" height="16" {} }
                    _ => { rect class=(class) width="28" height="16" {} }
                }
            }
            (words)
        }
    }
}

/// A coordinate, always spelled alike.
pub(super) fn number(number: f64) -> String {
    format!("{number:.1}")
}

/// A round time: `24h`, `15m`, `2d`.
fn short(seconds: f64) -> String {
    let (hours, minutes) = (seconds / 3600.0, seconds / 60.0);
    if hours >= 72.0 && hours % 24.0 == 0.0 {
        format!("{:.0}d", hours / 24.0)
    } else if hours >= 1.0 {
        if hours.fract() == 0.0 { format!("{hours:.0}h") } else { format!("{hours:.1}h") }
    } else if minutes >= 1.0 {
        format!("{minutes:.0}m")
    } else {
        format!("{seconds:.0}s")
    }
}
