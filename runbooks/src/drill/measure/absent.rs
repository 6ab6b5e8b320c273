//! Whether the erased stay away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lifeboat_repo::ids::{Label, Tenant, TenantToken};
use lifeboat_repo::repository::erasures::{Act, Erasures, may_be_grave};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::store::Listed;
use lifeboat_verify::evidence::facts::AbsentFact;

/// What became of somebody with the erasures of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erased {
    /// They are erased: what stands for them in each writer's log.
    By(BTreeSet<(Label, TenantToken)>),
    /// They were, and were let in again.
    Readmitted,
    /// They never were.
    Never,
}

/// What became of a tenant.
#[must_use]
pub fn erased_as(recovery: &Recovery<'_>, erasures: &Erasures, tenant: &Tenant) -> Erased {
    let tokens = recovery.tokens_of(tenant);
    let now: BTreeSet<_> =
        tokens.iter().filter(|(writer, token)| erasures.tenant(writer, *token)).cloned().collect();
    let own = |(writer, token): (&Label, &TenantToken)| {
        tokens.iter().any(|(name, known)| name == writer && known == token)
    };
    let ever = |act: &Act| act.body.tenants.iter().any(own);
    if !now.is_empty() {
        Erased::By(now)
    } else if tombstones(erasures).any(ever) {
        Erased::Readmitted
    } else {
        Erased::Never
    }
}

/// The erased, as far as they are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absent {
    /// Each who is erased.
    pub facts: Vec<AbsentFact>,
    /// Those who were let in again, and whose old keys are gone.
    pub readmitted: u64,
}

/// Every tombstone's keys must be gone, and no directory of a named tenant may be in what was restored.
///
/// # Errors
/// The store failed, a tombstone is damaged, or somebody named is not erased: then nobody can say who is absent.
pub fn absent(recovery: &Recovery<'_>, restored: &Path, named: &[String]) -> Result<Absent, String> {
    let repository = recovery.repository();
    let erasures = Erasures::load(repository).map_err(|error| error.to_string())?;
    let names = directories(restored);
    let mut looked = BTreeMap::new();
    for name in named {
        let tenant: Tenant = name.parse().map_err(|_| "a name given with --erased is no tenant's")?;
        let Erased::By(tokens) = erased_as(recovery, &erasures, &tenant) else {
            return Err("a tenant named with --erased is not erased".to_owned());
        };
        let back = names.contains(name);
        looked.extend(tokens.into_iter().map(|token| (token, back)));
    }
    let listed = repository.store().list("keys/").map_err(|error| error.to_string())?;
    let mut all = Absent::default();
    for act in tombstones(&erasures) {
        let mut left = 0;
        for (writer, key) in &act.body.keys {
            left += u64::from(recovery.unwrap_tenant_key(writer, *key).is_ok());
            left += keys_left(&listed, key);
        }
        for (writer, token) in &act.body.tenants {
            let back = looked.get(&(writer.clone(), *token)).copied();
            let paths = if erasures.tenant(writer, *token) {
                paths_how(back, names.len())
            } else if left == 0 {
                all.readmitted += 1;
                continue;
            } else {
                // A new key is made for who is let in again: what the old one covered stays erased.
                "let in again since, so no path was looked for".to_owned()
            };
            all.facts.push(AbsentFact {
                tenant_token: *token,
                looked_by: format!("{}; {paths}", keys_how(act.body.keys.len(), left)),
                absent: left == 0 && back != Some(true),
            });
        }
    }
    Ok(all)
}

fn tombstones(erasures: &Erasures) -> impl Iterator<Item = &Act> {
    erasures.acts().iter().filter(|act| act.effective && !act.body.readmit)
}

fn keys_how(keys: usize, left: u64) -> String {
    match left {
        0 => format!("{keys} erased keys: none opens and only graves are at their names"),
        left => format!("{keys} erased keys: {left} still open or lie at their names"),
    }
}

/// What directories say of a tenant: whether its own is among them, where it was named.
fn paths_how(back: Option<bool>, names: usize) -> String {
    match back {
        None => "it was not named, so no path was looked for".to_owned(),
        Some(_) if names == 0 => "nothing was restored, so no path was found".to_owned(),
        Some(false) => format!("{names} restored directory names: none is its own"),
        Some(true) => format!("{names} restored directory names: ONE IS ITS OWN"),
    }
}

/// Objects at names of a key that are no graves.
fn keys_left(listed: &[Listed], key: &lifeboat_repo::ids::KeyId) -> u64 {
    let ending = format!("/{key}");
    let own = listed.iter().filter(|object| object.name.as_str().ends_with(&ending));
    own.filter(|object| !may_be_grave(object.length)).count() as u64
}

/// The names of all directories in a tree. What cannot be listed is what the comparison tells of.
fn directories(tree: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![tree.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                names.insert(entry.file_name().to_string_lossy().into_owned());
                waiting.push(entry.path());
            }
        }
    }
    names
}
