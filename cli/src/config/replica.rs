//! `replica = …`: where a region's second store lies, and that it stays where the region's data may be.

use std::time::Duration;

use lifeboat_backup::Program;
use toml::Spanned;

use super::place::{Place, check_place};
use super::raw::RawRegion;
use super::sources::command_of;
use super::{Config, Region, Source};
use crate::failure::Result;
use lifeboat_repo::repository::Role;

/// How long a witness command may take for one entry: a backup is done by then, and waits for nothing else.
const WITNESS_PATIENCE: Duration = Duration::from_secs(60);

/// Where a region's replica lies, if it has one.
pub(super) fn check(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: &RawRegion,
    repository: &Place,
) -> Result<Option<Place>> {
    let Some(address) = &raw.replica else {
        let stray = raw.replica_s3.as_ref().map(Spanned::span);
        return match stray.or_else(|| raw.replica_jurisdiction.as_ref().map(Spanned::span)) {
            None => Ok(None),
            Some(span) => Err(source
                .mistake(span, format!("region {} says how its replica is, and has none", name.get_ref()))
                .next("write replica = \"s3://BUCKET/PREFIX\" or a directory, or remove this")),
        };
    };
    let home = raw.jurisdiction.get_ref();
    if let Some(other) = raw.replica_jurisdiction.as_ref().filter(|other| other.get_ref() != home) {
        return Err(source
            .mistake(
                other.span(),
                format!(
                    "the replica of region {} lies in {}, and its data must stay in {home}",
                    name.get_ref(),
                    crate::failure::tame(other.get_ref())
                ),
            )
            .next(format!(
                "put the replica into another place in {home}; data never leaves its jurisdiction"
            )));
    }
    let place = check_place(source, ["replica", "replica_s3"], address, raw.replica_s3.as_ref())?;
    if place.is(repository) {
        return Err(source
            .mistake(address.span(), format!("the replica of region {} is its repository", name.get_ref()))
            .next("give it a place of its own: another disk, bucket and account"));
    }
    Ok(Some(place))
}

/// Where a region's witness lies, if it has one. It holds hashes of ciphertext, so it may lie anywhere.
pub(super) fn check_witness(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: &RawRegion,
    stores: [Option<&Place>; 2],
) -> Result<Option<Place>> {
    let Some(address) = &raw.witness else {
        return match &raw.witness_s3 {
            None => Ok(None),
            Some(options) => Err(source
                .mistake(
                    options.span(),
                    format!("region {} says how its witness is, and has none", name.get_ref()),
                )
                .next("write witness = \"s3://BUCKET/PREFIX\" or a directory, or remove this")),
        };
    };
    let place = check_place(source, ["witness", "witness_s3"], address, raw.witness_s3.as_ref())?;
    if stores.into_iter().flatten().any(|store| store.is(&place)) {
        return Err(source
            .mistake(address.span(), format!("the witness of region {} is one of its stores", name.get_ref()))
            .next(
                "give it a place in another account: whoever can roll back the one must not reach the other",
            ));
    }
    Ok(Some(place))
}

/// The command that keeps a region's ledger entries elsewhere, if it has one.
pub(super) fn check_witness_command(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: &RawRegion,
) -> Result<Option<Program>> {
    let Some(command) = &raw.witness_command else { return Ok(None) };
    if raw.witness.is_some() {
        return Err(source
            .mistake(command.span(), format!("region {} has two witnesses", name.get_ref()))
            .next("keep one: witness for a store, or witness_command for a program"));
    }
    let next = "write the program, then its arguments: witness_command = [\"/usr/lib/lifeboat/witness\", \"ssh\", \"HOST\"]";
    let program = command_of(source, command, next)?;
    Ok(Some(Program { timeout: Some(WITNESS_PATIENCE), ..program }))
}

impl Config {
    /// The same with every region's replica in the place of its repository, for verbs that only read.
    pub(crate) fn at_replicas(mut self) -> Self {
        for region in &mut self.regions {
            *region = region.at_replica();
        }
        self
    }
}

impl Region {
    /// Whether somebody keeps the newest entries of its ledgers.
    pub(crate) const fn has_witness(&self) -> bool {
        self.witness.is_some() || self.witness_command.is_some()
    }

    /// The same with its replica in the place of its repository.
    pub(crate) fn at_replica(&self) -> Self {
        let repository = self.replica.as_ref().unwrap_or(&self.repository).clone();
        Self { role: Role::Replica, repository, ..self.clone() }
    }
}
