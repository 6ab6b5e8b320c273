//! Whose data lies where in a tree.

use lifeboat_repo::ids::{Label, Tenant};

/// Path patterns that say which tenant a path belongs to.
///
/// A pattern is a relative path; one of its parts holds `{tenant}`, as the whole part or between fixed text
/// (`exports/{tenant}.csv`); `*` stands for one whole part. Everything below a match belongs to that tenant.
#[derive(Debug, Clone, Default)]
pub struct TenantRules {
    patterns: Vec<Vec<Part>>,
    system: Option<String>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(Vec<u8>),
    Any,
    Tenant { before: Vec<u8>, after: Vec<u8> },
}

/// Whose a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belongs {
    /// A tenant's, with everything below it.
    Tenant(Tenant),
    /// Nobody's in particular, and declared so: a parent of tenants, or the rules give a reason.
    System,
    /// Nobody's, and nothing says that this is meant.
    Undeclared,
}

/// A pattern that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("tenant pattern {pattern:?}: {why}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl TenantRules {
    /// The rules of these patterns; `system` is the reason why other paths belong to no tenant, if they may.
    ///
    /// # Errors
    /// A pattern is no relative path or does not hold `{tenant}` exactly once; or there is neither a pattern nor
    /// a reason, so that all data would be undeclared.
    pub fn parse(patterns: &[String], system: Option<String>) -> Result<Self, BadPattern> {
        if patterns.is_empty() && system.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
            return Err(BadPattern {
                pattern: String::new(),
                why: "give at least one pattern with {tenant}, or say with `system = \"reason\"` why none of it is \
                      a tenant's",
            });
        }
        let patterns = patterns.iter().map(|text| parse_pattern(text)).collect::<Result<_, _>>()?;
        Ok(Self { patterns, system })
    }

    /// Whose this path is. `directory` says whether it is one: only directories can be parents of tenants.
    #[must_use]
    pub fn belongs(&self, path: &[u8], directory: bool) -> Belongs {
        if path == b"." {
            return Belongs::System;
        }
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let mut parent = false;
        for pattern in &self.patterns {
            match match_pattern(pattern, &parts) {
                Match::Tenant(label) => return Belongs::Tenant(Tenant::Named(label)),
                Match::Parent => parent = true,
                Match::No => {}
            }
        }
        if (parent && directory) || self.system.is_some() { Belongs::System } else { Belongs::Undeclared }
    }
}

enum Match {
    Tenant(Label),
    Parent,
    No,
}

fn match_pattern(pattern: &[Part], parts: &[&[u8]]) -> Match {
    let mut tenant = None;
    for (wanted, part) in pattern.iter().zip(parts) {
        match wanted {
            Part::Any => {}
            Part::Literal(text) if text == part => {}
            Part::Literal(_) => return Match::No,
            Part::Tenant { before, after } => {
                let name =
                    part.strip_prefix(before.as_slice()).and_then(|rest| rest.strip_suffix(after.as_slice()));
                let label =
                    name.and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| name.parse().ok());
                match label {
                    Some(label) => tenant = Some(label),
                    None => return Match::No,
                }
            }
        }
    }
    match tenant {
        Some(label) if parts.len() >= pattern.len() => Match::Tenant(label),
        _ if parts.len() < pattern.len() => Match::Parent,
        _ => Match::No,
    }
}

fn parse_pattern(text: &str) -> Result<Vec<Part>, BadPattern> {
    let bad = |why| BadPattern { pattern: text.to_owned(), why };
    let mut tenants = 0;
    let mut parts = Vec::new();
    for part in text.trim_end_matches('/').split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return Err(bad("it must be a path relative to the component's root"));
        }
        parts.push(match part.split_once("{tenant}") {
            Some((before, after)) => {
                tenants += 1;
                if after.contains("{tenant}") {
                    return Err(bad("it must hold {tenant} exactly once"));
                }
                Part::Tenant { before: before.into(), after: after.into() }
            }
            None if part == "*" => Part::Any,
            None => Part::Literal(part.into()),
        });
    }
    if tenants == 1 { Ok(parts) } else { Err(bad("it must hold {tenant} exactly once")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Belongs {
        Belongs::Tenant(name.parse().unwrap())
    }

    #[test]
    fn paths_belong_to_whom_the_patterns_say() {
        let rules =
            TenantRules::parse(&["uploads/{tenant}".into(), "exports/*/{tenant}.csv".into()], None).unwrap();
        assert_eq!(rules.belongs(b"uploads/acme", true), tenant("acme"));
        assert_eq!(rules.belongs(b"uploads/acme/a/b", false), tenant("acme"));
        assert_eq!(rules.belongs(b"exports/2026/beta.csv", false), tenant("beta"));
        assert_eq!(rules.belongs(b".", true), Belongs::System);
        assert_eq!(rules.belongs(b"uploads", true), Belongs::System);
        assert_eq!(rules.belongs(b"uploads", false), Belongs::Undeclared);
        for undeclared in
            [b"uploads/ACME".as_slice(), b"uploads/_system", b"uploads/a\xff", b"other", b"exports/x/y"]
        {
            assert_eq!(rules.belongs(undeclared, true), Belongs::Undeclared, "{undeclared:?}");
        }
        let rules = TenantRules::parse(&["{tenant}".into()], Some("shared".into())).unwrap();
        assert_eq!(rules.belongs(b"NOT A TENANT", true), Belongs::System);
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in ["", "/abs/{tenant}", "a", "{tenant}/{tenant}", "{tenant}{tenant}", "../{tenant}"] {
            assert!(TenantRules::parse(&[bad.to_owned()], None).is_err(), "{bad}");
        }
        assert!(TenantRules::parse(&[], None).is_err());
        assert!(TenantRules::parse(&[], Some("no customers here".into())).is_ok());
    }
}
