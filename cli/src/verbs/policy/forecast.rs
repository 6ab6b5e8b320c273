//! By when data that is deleted at its source today is gone: pure, from the configuration alone.
//!
//! Three things follow one another: snapshots that hold it expire; the packs that hold it are dead, are condemned, and
//! wait for runs that may not have seen it; their locks end and a sweep deletes them. Each step is dated at its latest.

use std::time::Duration;

use lifeboat_repo::ids::Tenant;
use lifeboat_repo::repository::bundles::BUNDLE_LOCK;
use lifeboat_repo::retention::{Horizon, horizon, tenant_horizon};
use lifeboat_repo::units::{LockClass, LockTerms, Timestamp};

use crate::config::{Component, Config, Place, Region, SourceKind, Treatment};
use crate::when::{show_moment, show_objective};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Within which time personal data under no tenant's key must be gone: what was promised is 30 days, and five are for
/// whoever must notice that something failed.
const UNKEYED_MAX: Duration = DAY.saturating_mul(25);

/// A moment on the way, and what happens until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) until: Timestamp,
    pub(super) why: String,
}

/// By when it is gone, for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forecast {
    /// Whose data.
    pub(super) whose: String,
    /// The tenant, where it has a rule of its own.
    pub(super) tenant: Option<Tenant>,
    /// By when; never, if it is not told.
    pub(super) gone: Option<Timestamp>,
    /// How long that is from now.
    pub(super) within: Option<Duration>,
    pub(super) steps: Vec<Step>,
    /// What the date leaves out.
    pub(super) notes: Vec<String>,
    /// Promises that do not hold.
    pub(super) broken: Vec<String>,
}

/// What is forecast for a component: one for all its data, one for each tenant with a rule of its own.
pub(super) fn forecasts(
    config: &Config,
    region: &Region,
    component: &Component,
    now: Timestamp,
) -> Vec<Forecast> {
    let treatment = &component.treatment;
    let until = treatment.keep.as_ref().map(|keep| horizon(&keep.rules, component.rpo, now, &keep.zone));
    let until = until.flatten();
    let maker = Maker { config, component, terms: terms(region, treatment.lock), now };
    let mut found = vec![maker.make(whose(component), None, until)];
    let holds = |tenant: &Tenant| match &component.source {
        SourceKind::Files(..) => !component.tenants.is_empty(),
        SourceKind::Command(source) => source.tenant == *tenant,
    };
    for rule in config.tenants.iter().filter(|rule| holds(&rule.tenant)) {
        let minimum = treatment.keep.as_ref().map_or(Duration::ZERO, |keep| keep.rules.minimum_age);
        let own = tenant_horizon(until, rule.keep, minimum, component.rpo, now);
        found.push(maker.make(format!("tenant {}", rule.tenant), Some(rule.tenant.clone()), Some(own)));
    }
    found
}

/// How long packs of a class are locked in a region; none where they are not.
fn terms(region: &Region, class: LockClass) -> Option<LockTerms> {
    match &region.repository {
        Place::Bucket(settings) => settings.locks.terms(class),
        Place::Directory(_) => None,
    }
}

fn holds_tenants(component: &Component) -> bool {
    match &component.source {
        SourceKind::Files(..) => !component.tenants.is_empty(),
        SourceKind::Command(source) => source.tenant != Tenant::System,
    }
}

fn whose(component: &Component) -> String {
    if holds_tenants(component) { "tenants".to_owned() } else { "all of it".to_owned() }
}

struct Maker<'c> {
    config: &'c Config,
    component: &'c Component,
    terms: Option<LockTerms>,
    now: Timestamp,
}

impl Maker<'_> {
    fn make(&self, whose: String, tenant: Option<Tenant>, until: Option<Horizon>) -> Forecast {
        let (steps, gone) = match until {
            Some(until) => self.steps(until),
            None => (Vec::new(), None),
        };
        let within = gone.map(|gone| gone.since(self.now));
        let mut forecast =
            Forecast { whose, tenant, gone, within, steps, notes: Vec::new(), broken: Vec::new() };
        self.judge(&mut forecast, until);
        self.note(&mut forecast);
        forecast
    }

    fn treatment(&self) -> &Treatment {
        &self.component.treatment
    }

    fn steps(&self, until: Horizon) -> (Vec<Step>, Option<Timestamp>) {
        let every = self.config.policy.every;
        let mut steps = Vec::new();
        let mut at = until.until.plus(every);
        let step = |until: Timestamp, why: String| Step { until, why };
        steps.push(step(
            at,
            format!("no snapshot holds it ({}); retain runs every {}", until.rule, show_objective(every)),
        ));
        let short = self.treatment().lock == LockClass::Short;
        let refreshed = LockClass::Short.relied_on(self.terms);
        if let Some(relied) = refreshed.filter(|_| short) {
            at = at.plus(relied);
            steps.push(step(
                at,
                format!(
                    "nothing else in its packs is needed: none is relied on for more than {}",
                    show_objective(relied)
                ),
            ));
        }
        let gc = &self.config.gc;
        let condemned = at.max(self.now.plus(gc.pack_age_min));
        // A record is so old before anything goes, and a run that began before it is waited for, then ended.
        let waits = gc.plan_age_min.max(gc.run_age_max);
        let mut swept = condemned.plus(waits);
        steps.push(step(
            swept,
            format!("gc condemned its packs, and waited {} for runs", show_objective(waits)),
        ));
        if let Some(terms) = self.terms {
            // What is live is extended, so up to the last day; the short class never is.
            let from = if short { self.now } else { until.until };
            let unlocked = from.plus(terms.period);
            if unlocked > swept {
                swept = unlocked;
                steps.push(step(swept, format!("the last lock ends, of {}", show_objective(terms.period))));
            }
        }
        let gone = swept.plus(every);
        steps.push(step(gone, "gc deletes its packs, in every version".to_owned()));
        (steps, Some(gone))
    }

    /// How long the keys of a tenant who is erased today can still be had: the last bundle with them may be of today.
    fn beyond_recovery(&self) -> Duration {
        BUNDLE_LOCK + self.config.policy.every
    }

    fn judge(&self, forecast: &mut Forecast, until: Option<Horizon>) {
        let treatment = self.treatment();
        let promised =
            treatment.forget_within.filter(|_| holds_tenants(self.component) || treatment.personal);
        let unkeyed = treatment.personal && forecast.tenant.is_none();
        let limit = if unkeyed {
            Some(promised.map_or(UNKEYED_MAX, |promised| promised.min(UNKEYED_MAX)))
        } else {
            promised
        };
        match (limit, forecast.within) {
            (Some(limit), None) => forecast.broken.push(format!(
                "no keep rule lets anything expire, and {} was promised; add [components.{}.keep]",
                show_objective(limit),
                self.component.name
            )),
            (Some(limit), Some(within)) if within > limit => forecast.broken.push(format!(
                "it takes {} until {} are gone, and {} is the most{}",
                show_objective(within),
                if unkeyed { "personal data under no tenant's key" } else { "a tenant's deleted data" },
                show_objective(limit),
                if unkeyed && limit == UNKEYED_MAX { " for those" } else { "" }
            )),
            _ => {}
        }
        let bundled = self.beyond_recovery();
        if let Some(promised) =
            promised.filter(|promised| holds_tenants(self.component) && bundled > *promised)
        {
            forecast.broken.push(format!(
                "an erased tenant's keys are in bundles for {}, and {} was promised",
                show_objective(bundled),
                show_objective(promised)
            ));
        }
        if unkeyed && treatment.lock != LockClass::Short {
            forecast.broken.push(
                "it is personal and under no tenant's key, so it goes with whole packs only, and these are kept for as \
                 long as anything in them is needed; add lock = \"short\""
                    .to_owned(),
            );
        }
        let outlasts = self.terms.zip(until).filter(|(terms, until)| {
            treatment.lock == LockClass::Normal && self.now.plus(terms.period) > until.until
        });
        if let Some((terms, until)) = outlasts.filter(|_| limit.is_some()) {
            forecast.broken.push(format!(
                "locks of {} outlast the rules, by which it expires within {}",
                show_objective(terms.period),
                show_objective(until.until.since(self.now))
            ));
        }
    }

    fn note(&self, forecast: &mut Forecast) {
        let treatment = self.treatment();
        if forecast.gone.is_none() {
            forecast.notes.push("no keep rule: nothing ever expires".to_owned());
        }
        if treatment.lock == LockClass::Normal && forecast.gone.is_some() {
            forecast.notes.push(
                "what shares a segment (4 MiB) or a pack with what lives on may stay for longer, unread by anybody; \
                 erasing a tenant does not wait for it"
                    .to_owned(),
            );
        }
        if holds_tenants(self.component) {
            forecast.notes.push(format!(
                "a tenant erased today is unreadable at once, and beyond recovery by {}: bundles of keys are kept for {}",
                show_moment(self.now.plus(self.beyond_recovery())),
                show_objective(BUNDLE_LOCK)
            ));
        }
        let relied = LockClass::Short.relied_on(self.terms).unwrap_or_default();
        let unlocked = self.terms.zip(forecast.within).filter(|(terms, _)| {
            let live = forecast.steps.first().map_or(Duration::ZERO, |step| step.until.since(self.now));
            treatment.lock == LockClass::Short && live + relied > terms.period
        });
        if let Some((terms, _)) = unlocked {
            forecast.notes.push(format!(
                "snapshots of it live for longer than their lock of {}: whoever may delete can delete the older ones",
                show_objective(terms.period)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(region: &str, fields: &str, tables: &str) -> Vec<Forecast> {
        let text = format!(
            "[regions.eu]\njurisdiction = \"EU\"\n{region}\n[components.chats]\nregion = \"eu\"\npath = \"/srv\"\n{fields}\n{tables}"
        );
        let config = Config::parse(Path::new("/etc/lifeboat.toml"), &text).unwrap();
        forecasts(&config, &config.regions[0], &config.components[0], Timestamp::new(1_795_780_800, 0))
    }

    fn days(forecast: &Forecast) -> u64 {
        forecast.within.unwrap().as_secs().div_ceil(DAY.as_secs())
    }

    const PLACE: &str = "repository = \"r\"";
    const LOCKED: &str = "repository = \"s3://bucket/r\"\ns3 = { lock = \"60d\" }";
    const TENANTS: &str = "tenants = [\"{tenant}\"]";
    const PERSONAL: &str = "system = \"a dump\"\npersonal = true\nlock = \"short\"";

    #[test]
    fn every_step_until_data_is_gone_is_counted() {
        let keep = "[components.chats.keep]\ndaily = 14\n";
        // 15 days of rules (the day it is in counts, and the interval), one each for retain and gc, 7 for the plan.
        let plain = found(PLACE, TENANTS, keep);
        assert_eq!((days(&plain[0]), plain[0].broken.len(), plain[0].steps.len()), (24, 0, 3));
        // Nothing is shorter than the lock of the last day.
        let locked = found(LOCKED, TENANTS, keep);
        assert_eq!(days(&locked[0]), 15 + 60 + 1);
        let tenants = found(PLACE, TENANTS, &format!("{keep}[tenants.acme]\nkeep = \"5d\"\n"));
        assert_eq!((tenants.len(), days(&tenants[1])), (2, 5 + 1 + 7 + 1));
        // What is configured for collection counts, not what is usual; and a run is waited for as long as it may take.
        let waits = |gc: &str| days(&found(PLACE, TENANTS, &format!("{keep}[gc]\n{gc}\n"))[0]);
        assert_eq!(
            (waits("plan_age = \"9d\""), waits("plan_age = \"1d\""), waits("run_age = \"10d\"")),
            (26, 24, 27)
        );
        assert_eq!(waits("plan_age = \"1d\"\nrun_age = \"2d\"\npack_age = \"20d\""), 20 + 2 + 1);
        let none = found(PLACE, TENANTS, "");
        assert_eq!((none[0].gone, none[0].broken.len()), (None, 0));
    }

    #[test]
    fn promises_that_break_are_named() {
        let said = |region, fields: &str, tables: &str| found(region, fields, tables)[0].broken.join("\n");
        let promise = format!("{TENANTS}\nforget_within = \"30d\"");
        let keep = |rules: &str| format!("[components.chats.keep]\n{rules}\n");
        assert_eq!(said(PLACE, &promise, &keep("daily = 14")), "");
        assert!(said(PLACE, &promise, &keep("monthly = 2")).contains("is the most"));
        assert!(said(PLACE, &promise, "").contains("no keep rule lets anything expire"));
        assert!(said(LOCKED, &promise, &keep("daily = 14")).contains("locks of 60 d outlast"));
        // Keys of a tenant who is erased are in bundles for 14 days, and go at the next run.
        let soon = format!("{TENANTS}\nforget_within = \"14d\"");
        assert!(said(PLACE, &soon, &keep("daily = 2")).contains("keys are in bundles for 15 d"));
        let note = found(PLACE, TENANTS, &keep("daily = 2")).remove(0).notes.join("\n");
        assert!(note.contains("beyond recovery by") && note.contains("14 d"), "{note}");
        // Personal data under no tenant's key: 25 days, unless less was promised, and a class of its own.
        assert_eq!(said(LOCKED, PERSONAL, &keep("daily = 6")), "");
        assert!(said(LOCKED, PERSONAL, &keep("daily = 14")).contains("25 d is the most"));
        assert!(said(PLACE, PERSONAL, "").contains("25 d was promised"));
        let stays = PERSONAL.replace("\nlock = \"short\"", "");
        assert!(said(PLACE, &stays, &keep("daily = 6")).contains("add lock = \"short\""));
        // What is nobody's personal data breaks no promise.
        assert_eq!(said(LOCKED, "system = \"ours\"\nforget_within = \"30d\"", ""), "");
    }
}
