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
    /// Paths that patterns fit and that are no tenant's.
    nobodys: Vec<Vec<Part>>,
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
    /// A tenant's by its place, but no tenant can have the name that stands there: its data could neither be restored nor
    /// erased for that tenant alone.
    Misnamed,
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
        Ok(Self { patterns, system, nobodys: Vec::new() })
    }

    /// With these paths, and all below them, declared to be no tenant's although a pattern fits them; `*` stands for one
    /// whole part.
    ///
    /// # Errors
    /// One is no relative path.
    pub fn with_nobodys(mut self, paths: &[String]) -> Result<Self, BadPattern> {
        self.nobodys = paths.iter().map(|text| parse_plain(text)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Whose this path is. `directory` says whether it is one: only directories can be parents of tenants.
    #[must_use]
    pub fn belongs(&self, path: &[u8], directory: bool) -> Belongs {
        if path == b"." {
            return Belongs::System;
        }
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let is_below = |plain: &Vec<Part>| {
            parts.len() >= plain.len() && matches!(match_pattern(plain, &parts), Match::Parent)
        };
        if self.nobodys.iter().any(is_below) {
            return Belongs::System;
        }
        let (mut parent, mut misnamed) = (false, false);
        for pattern in &self.patterns {
            match match_pattern(pattern, &parts) {
                Match::Tenant(label) => return Belongs::Tenant(Tenant::Named(label)),
                Match::Parent => parent = true,
                Match::Misnamed => misnamed = true,
                Match::No => {}
            }
        }
        match (parent && directory, misnamed) {
            (true, _) => Belongs::System,
            (false, true) => Belongs::Misnamed,
            (false, false) if self.system.is_some() => Belongs::System,
            (false, false) => Belongs::Undeclared,
        }
    }
}

enum Match {
    Tenant(Label),
    /// Where a tenant's name should stand there is something that is none.
    Misnamed,
    /// It fits as far as it goes.
    Parent,
    No,
}

fn match_pattern(pattern: &[Part], parts: &[&[u8]]) -> Match {
    let (mut tenant, mut misnamed) = (None, false);
    for (wanted, part) in pattern.iter().zip(parts) {
        match wanted {
            Part::Any => {}
            Part::Literal(text) if text == part => {}
            Part::Literal(_) => return Match::No,
            Part::Tenant { before, after } => {
                let name =
                    part.strip_prefix(before.as_slice()).and_then(|rest| rest.strip_suffix(after.as_slice()));
                let Some(name) = name.filter(|name| !name.is_empty()) else { return Match::No };
                tenant = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
                misnamed = tenant.is_none();
            }
        }
    }
    let whole = parts.len() >= pattern.len();
    match tenant {
        Some(label) if whole => Match::Tenant(label),
        None if whole && misnamed => Match::Misnamed,
        _ => Match::Parent,
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

fn parse_plain(text: &str) -> Result<Vec<Part>, BadPattern> {
    let parts = text.trim_end_matches('/').split('/');
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains("{tenant}");
    if parts.clone().any(bad) {
        let why = "it must be a path relative to the component's root, without {tenant}";
        return Err(BadPattern { pattern: text.to_owned(), why });
    }
    Ok(parts.map(|part| if part == "*" { Part::Any } else { Part::Literal(part.into()) }).collect())
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
        for undeclared in [b"other".as_slice(), b"exports/x/y", b"exports/x/.csv"] {
            assert_eq!(rules.belongs(undeclared, true), Belongs::Undeclared, "{undeclared:?}");
        }
    }

    #[test]
    fn a_name_that_no_tenant_can_have_is_told_whatever_is_said_of_the_rest() {
        let patterns =
            ["uploads/{tenant}", "exports/*/{tenant}.csv", "{tenant}/files", "uploads/Shared/{tenant}"];
        let patterns = patterns.map(String::from);
        let long = format!("uploads/{}", "a".repeat(64));
        for system in [None, Some("ours".to_owned())] {
            let rules = TenantRules::parse(&patterns, system).unwrap();
            for misnamed in [
                "uploads/Acme",
                "uploads/bob@example.com",
                "uploads/Ünï côde",
                "uploads/_system",
                &long,
                "uploads/Acme/a/b",
                "exports/2026/ACME.csv",
                "Acme/files/x",
                "uploads/Shared/Acme",
            ] {
                assert_eq!(rules.belongs(misnamed.as_bytes(), true), Belongs::Misnamed, "{misnamed}");
            }
            assert_eq!(rules.belongs(b"uploads/a\xff", false), Belongs::Misnamed);
            assert_eq!(
                rules.belongs(b"uploads/Shared/acme/x", false),
                tenant("acme"),
                "another pattern fits"
            );
            for system in ["uploads/Shared", "Acme", "exports/2026"] {
                assert_eq!(rules.belongs(system.as_bytes(), true), Belongs::System, "{system} is a parent");
            }
            let nobodys = ["uploads/lost+found".to_owned(), "exports/*/ALL.csv".to_owned()];
            let rules = rules.with_nobodys(&nobodys).unwrap();
            for system in ["uploads/lost+found", "uploads/lost+found/#12", "exports/2026/ALL.csv"] {
                assert_eq!(rules.belongs(system.as_bytes(), false), Belongs::System, "{system}");
            }
            assert_eq!(rules.belongs(b"uploads/lost+founD", true), Belongs::Misnamed);
            assert_eq!(rules.belongs(b"exports/2026/All.csv", true), Belongs::Misnamed);
        }
        let rules = TenantRules::parse(&patterns, None).unwrap();
        for bad in ["", "/uploads", "uploads/../x", "uploads/{tenant}"] {
            assert!(rules.clone().with_nobodys(&[bad.to_owned()]).is_err(), "{bad}");
        }
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
