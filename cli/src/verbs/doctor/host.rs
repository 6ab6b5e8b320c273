//! What `doctor` looks at on this host: keys, state, the components' trees.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use lifeboat_backup::{Program, TenantRules};
use lifeboat_repo::units::Bytes;
use rustix::fs::statvfs;

use super::Findings;
use crate::codes::Code;
use crate::config::{Component, Config, Host, SourceKind};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::keyfiles;

/// Less free space than this, or than a twentieth of the disk, is too little for a night.
const FREE_MIN: Bytes = Bytes(1_000_000_000);
const FREE_SHARE_MIN: u64 = 20;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    match &config.host {
        None => findings.ok("this host", "writes nothing: there is no [host] in the configuration"),
        Some(host) => check_host(config, host, findings),
    }
    for component in &config.components {
        if config.host.is_some() {
            check_component(config, component, findings);
        }
    }
}

fn check_host(config: &Config, host: &Host, findings: &mut Findings) {
    let first = config.regions.iter().all(|region| region.officers.is_empty());
    let signing =
        keyfiles::read_signing_key(&host.signing_key, "signing key").map(|key| key.public().fingerprint());
    check_key(&host.signing_key, signing, "signing key", first, findings);
    let card = keyfiles::read_identity(&host.card_identity, "card identity")
        .map(|card| card.recipient().to_string());
    check_key(&host.card_identity, card, "card identity", first, findings);
    for path in stray_secrets(host) {
        findings.warn(
            "this host",
            format!("a recovery identity or officer's key lies on a host that writes: {}", shown(&path)),
            "move it to the safe: whoever breaks into this host must not open backups, nor say who may write them",
        );
    }
    // The first backup makes it; until then what counts is the directory it will lie in.
    let there = host.state.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    match writable(there) {
        Ok(()) => findings.ok("this host", format!("state can be kept in {}", shown(&host.state))),
        Err(failure) => findings.failure("this host", failure),
    }
    free_space(there, "this host", findings);
}

/// `first`: there is no repository yet, nor anybody who could enrol this host.
fn check_key(path: &Path, key: Result<String>, what: &str, first: bool, findings: &mut Findings) {
    match (key, keyfiles::too_open(path)) {
        (Err(failure), _) => findings.failure(
            "this host",
            failure.next(if first {
                "`lifeboat init` makes all keys, and the repositories"
            } else {
                "make this host's keys with `lifeboat keys writer new`, then let an officer enrol it"
            }),
        ),
        (Ok(_), Some(mode)) => findings.fail(
            "this host",
            Exit::Refused,
            format!("others on this host may read the {what} (mode {mode:04o}): {}", shown(path)),
            format!("chmod 600 {}", shown(path)),
        ),
        (Ok(shown), None) => findings.ok("this host", format!("{what} {shown}")),
    }
}

/// Files beside the host's keys that look like what belongs in a safe.
fn stray_secrets(host: &Host) -> Vec<std::path::PathBuf> {
    let directory = host.signing_key.parent().filter(|directory| !directory.as_os_str().is_empty());
    let entries = fs::read_dir(directory.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let own = *path == host.signing_key || *path == host.card_identity;
            !own && (name.starts_with("recovery-")
                || (name.starts_with("officer-") && !name.ends_with(".pub")))
        })
        .collect();
    found.sort();
    found
}

fn writable(directory: &Path) -> Result<()> {
    tempfile::NamedTempFile::new_in(directory)
        .map(drop)
        .map_err(|error| Failure::file("write there", directory, &error))
}

/// Whether the disk of a directory has room.
pub(super) fn free_space(path: &Path, area: &str, findings: &mut Findings) {
    let Ok(disk) = statvfs(path) else { return };
    let free = Bytes(disk.f_bavail.saturating_mul(disk.f_frsize));
    let whole = Bytes(disk.f_blocks.saturating_mul(disk.f_frsize));
    let words = format!("{free} of {whole} free for {}", shown(path));
    if free < FREE_MIN || free.0.saturating_mul(FREE_SHARE_MIN) < whole.0 {
        findings.warn(area, words, "make room before the next night: a backup that finds none fails");
    } else {
        findings.ok(area, words);
    }
}

fn check_component(config: &Config, component: &Component, findings: &mut Findings) {
    let area = format!("component {}", component.name);
    match &component.source {
        SourceKind::Files(path, _) => check_tree(config, component, path, &area, findings),
        SourceKind::Command(command) => check_program(&command.program, "command", &area, findings),
    }
    let hooks = [&component.hooks.before, &component.hooks.after, &component.hooks.on_failure];
    // Most are lines for the same shell: said once for each user.
    let mut seen = BTreeSet::new();
    for hook in hooks.into_iter().flatten() {
        if seen.insert((&hook.program, &hook.user)) {
            check_program(hook, "hooks'", &area, findings);
        }
    }
}

fn check_tree(config: &Config, component: &Component, path: &Path, area: &str, findings: &mut Findings) {
    if let Err(error) = TenantRules::parse(&component.tenants, component.system.clone()) {
        findings.failure(
            area,
            Failure::usage(tame(&error.to_string())).code(Code::Configuration).at(shown(&config.path)),
        );
    }
    match fs::read_dir(path) {
        Ok(_) => findings.ok(area, format!("{} can be read", shown(path))),
        Err(error) => findings.fail(
            area,
            Exit::Unchecked,
            format!("{} cannot be read: {error}", shown(path)),
            "check the path, and that this user may read it (backups usually run as root)",
        ),
    }
    if component.tenants.is_empty() {
        findings.ok(area, "no tenant's data, as declared");
    } else if component.system.is_none() {
        findings.ok(area, "what no tenant pattern matches makes its backups \"partly done\"");
    }
}

/// Whether a program is there and can be run as the user it is meant for. It is not run.
fn check_program(program: &Program, what: &str, area: &str, findings: &mut Findings) {
    let name = program.name();
    let path = program.environment.get("PATH").map(OsStr::to_owned).or_else(|| std::env::var_os("PATH"));
    match program.find(path.as_deref()) {
        Ok(place) => findings.ok(area, format!("{what} {name} is {}", shown(&place))),
        Err(fault) => {
            let whole = tame(&fault.to_string());
            let (why, next) =
                whole.split_once("; ").unwrap_or((&whole, "correct lifeboat.toml, or install it"));
            findings.fail(area, Exit::Failed, format!("{what} {name}: {why}"), next);
        }
    }
}
