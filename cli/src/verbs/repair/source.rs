//! Where whole copies come from, and that it is no place where the region's data may not be.

use std::path::PathBuf;

use lifeboat_repo::repository::RepositoryErrorKind;
use lifeboat_repo::repository::trust::Trust;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::s3::S3Settings;
use lifeboat_verify::heal::Copy;

use super::Args;
use crate::codes::Code;
use crate::config::{Config, Place, Region};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};

/// The store that `--from` names. Data never comes from where it may not be.
pub(super) fn copies(context: &Context, config: &Config, region: &Region, args: &Args) -> Result<Vec<Copy>> {
    let Some(from) = &args.from else { return Ok(Vec::new()) };
    let place = match (from.as_str(), from.strip_prefix("s3://")) {
        ("replica", _) => region.replica.clone().ok_or_else(|| {
            Failure::usage(format!("region {} has no replica", region.name)).next(
                "say where it lies with replica = \"…\" in its section of lifeboat.toml, or name a store",
            )
        })?,
        (_, Some(address)) => {
            let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
            let named = Place::Bucket(Box::new(S3Settings::of(
                bucket.to_owned(),
                prefix.trim_end_matches('/').to_owned(),
            )));
            // How the replica is reached stands in the configuration.
            region.replica.clone().filter(|replica| is_same(replica, &named)).unwrap_or(named)
        }
        (directory, None) => Place::Directory(PathBuf::from(directory)),
    };
    refuse_foreign(config, region, &place)?;
    let store = context.store(&Region { repository: place.clone(), ..region.clone() })?;
    refuse_stranger(region, store.as_ref(), &place)?;
    Ok(vec![Copy { name: from.clone(), store }])
}

/// A store that says itself that it belongs elsewhere.
fn refuse_stranger(region: &Region, store: &dyn Store, place: &Place) -> Result<()> {
    match Trust::load(store, &region.pins()) {
        Ok(Trust { header, .. })
            if header.region != region.name || header.jurisdiction != region.jurisdiction =>
        {
            Err(foreign(region, header.region.as_str(), &header.jurisdiction, place))
        }
        Ok(_) => Ok(()),
        // Somebody's whom we do not trust; but what holds no trust at all may be a copy of all else.
        Err(error) if matches!(error.kind, RepositoryErrorKind::Refused(_)) => {
            let listed = store.list("trust/").map_err(|error| Failure::from(error).at(place.to_string()))?;
            if listed.is_empty() { Ok(()) } else { Err(Failure::from(error).at(place.to_string())) }
        }
        // Damaged trust says nothing; what is copied is judged object by object.
        Err(error) if error.is_damage() => Ok(()),
        Err(error) => Err(Failure::from(error).at(place.to_string())),
    }
}

/// A place that the configuration gives to a region of another jurisdiction.
fn refuse_foreign(config: &Config, region: &Region, place: &Place) -> Result<()> {
    let mut theirs = config.regions.iter().filter(|other| other.jurisdiction != region.jurisdiction);
    let holds = |other: &&Region| {
        let stores = [Some(&other.repository), other.replica.as_ref()];
        stores.into_iter().flatten().any(|theirs| is_same(theirs, place))
    };
    match theirs.find(holds) {
        Some(other) => Err(foreign(region, other.name.as_str(), &other.jurisdiction, place)),
        None => Ok(()),
    }
}

/// Whether two addresses mean one place, however they are written.
fn is_same(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Directory(one), Place::Directory(other)) => {
            one == other
                || one
                    .canonicalize()
                    .ok()
                    .is_some_and(|one| other.canonicalize().is_ok_and(|other| one == other))
        }
        (Place::Bucket(one), Place::Bucket(other)) => {
            (&one.bucket, &one.prefix) == (&other.bucket, &other.prefix)
        }
        _ => false,
    }
}

fn foreign(region: &Region, other: &str, jurisdiction: &str, place: &Place) -> Failure {
    Failure::new(
        Exit::Refused,
        format!(
            "that store belongs to region {other} ({}), and data of {} stays in {}",
            tame(jurisdiction),
            region.name,
            region.jurisdiction
        ),
    )
    .code(Code::WrongRegion)
    .at(place.to_string())
    .next("name a copy of this region's repository: its replica, or a store in the same jurisdiction")
}
