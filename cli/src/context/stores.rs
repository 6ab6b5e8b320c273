//! Opens stores: of regions, of their witnesses, held back to what this host may use of the network.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifeboat_backup::Program;
use lifeboat_repo::repository::Role;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::s3::S3Store;
use lifeboat_repo::store::throttled::{Pause, ThrottledStore};
use lifeboat_repo::store::{Store, StoreErrorKind};

use super::{Context, inherited};
use crate::codes::Code;
use crate::config::{Place, Region};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};
use crate::witness_command::WitnessCommand;

/// How soon a wait for bandwidth notices that somebody asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits as long as nobody asks to stop.
pub(super) struct Patience(pub(super) Arc<AtomicBool>);

impl Pause for Patience {
    fn pause(&self, how_long: Duration) {
        let mut left = how_long;
        while !left.is_zero() && !self.0.load(Ordering::Relaxed) {
            let part = left.min(LOOK_EVERY);
            std::thread::sleep(part);
            left -= part;
        }
    }
}

impl Context {
    /// The store of a region, held back to what this host may use of the network.
    pub(crate) fn store(&self, region: &Region) -> Result<Arc<dyn Store>> {
        Ok(self.throttled(open_store(region)?))
    }

    /// The witness of a region, if it has one.
    pub(crate) fn witness(&self, region: &Region) -> Result<Option<Arc<dyn Store>>> {
        if let Some(program) = &region.witness_command {
            let program = Program { inherited: inherited(), ..program.clone() };
            return Ok(Some(Arc::new(WitnessCommand::new(program, Arc::clone(&self.cancelled)))));
        }
        let Some(place) = &region.witness else { return Ok(None) };
        if let Place::Directory(directory) = place
            && !directory.exists()
        {
            // Its parent must be there: a disk that is not mounted must not look like a new witness.
            std::fs::create_dir(directory)
                .map_err(|error| Failure::file("make the witness", directory, &error))
                .map_err(|failure| failure.next("mount its disk, or make the directory it is to lie in"))?;
        }
        let opened = open_store(&Region { repository: place.clone(), ..region.clone() });
        let store = opened.map_err(|failure| failure.at(format!("witness of {} in {place}", region.name)))?;
        Ok(Some(self.throttled(store)))
    }

    /// The store, held back to what this host may use of the network.
    pub(super) fn throttled(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match self.throttle.get() {
            Some(throttle) => Arc::new(ThrottledStore::new(store, Arc::clone(throttle))),
            None => store,
        }
    }
}

/// A region's repository in words.
pub(crate) fn repository_place(region: &Region) -> String {
    let what = match region.role {
        Role::Primary => "repository",
        Role::Replica => "replica",
    };
    format!("{what} of {} in {}", region.name, region.repository)
}

/// The store of a region's repository.
pub(crate) fn open_store(region: &Region) -> Result<Arc<dyn Store>> {
    let directory = match &region.repository {
        Place::Directory(directory) => directory,
        Place::Bucket(settings) => {
            let opened = S3Store::open(settings.as_ref().clone());
            let store = opened.map_err(|error| Failure::from(error).at(repository_place(region)))?;
            return Ok(Arc::new(store));
        }
    };
    match LocalStore::open(directory) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => {
            let missing =
                matches!(&error.kind, StoreErrorKind::Io(io) if io.kind() == io::ErrorKind::NotFound);
            let failure = Failure::from(error);
            Err(if missing {
                Failure::new(Exit::Refused, format!("there is no repository of region {} here", region.name))
                    .code(Code::NoRepository)
                    .next(Code::NoRepository.next())
            } else {
                failure
            }
            .at(shown(directory)))
        }
    }
}
