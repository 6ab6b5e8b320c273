//! System tests of Lifeboat: what they share.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "test support fails loudly")]

pub mod churn;
pub mod collecting;
pub mod compare;
pub mod model;
pub mod nobody;
pub mod paced;
pub mod pair;
pub mod policies;
pub mod programs;
pub mod proof;
pub mod proxy;
pub mod seaweed;
pub mod stepped;
pub mod stock;
pub mod trees;

pub mod corpora;
pub mod examine;
pub mod forge;
pub mod targets;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_backup::{
    BackupError, Excludes, Hooks, Job, Report, Resources, Rewriting, Source, TenantRules, Tree,
};
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey, VerifyingKey};
use lifeboat_repo::ids::Label;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::officer::{self, NewMaintainer, NewRepository, NewWriter, Officer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::units::LockClass;
use lifeboat_restore::{Choice, Options, RestoreError, Selection};

/// A repository with one officer and one writer bound to the component `files`, and the keys of both.
pub struct World {
    /// Where everything lies.
    pub dir: tempfile::TempDir,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Signs trust and seals.
    pub officer: SigningKey,
    /// Opens everything.
    pub recovery: Identity,
    /// Signs what the writer puts.
    pub writer: SigningKey,
    /// Opens the writer's cards.
    pub card: Identity,
}

impl World {
    /// A world on a local store.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = LocalStore::create_at(&dir.path().join("repository")).expect("a local store");
        Self::over(Arc::new(store), dir)
    }

    /// A world in memory, where the machine has such a place.
    #[must_use]
    pub fn over_memory_disk() -> Self {
        let dir = proof::scratch();
        let store = LocalStore::create_at(&dir.path().join("repository")).expect("a local store");
        Self::over(Arc::new(store), dir)
    }

    /// A world on this store.
    #[must_use]
    pub fn over(store: Arc<dyn Store>, dir: tempfile::TempDir) -> Self {
        let world = Self {
            dir,
            store,
            officer: SigningKey::from_seed([1; 32]),
            recovery: Identity::generate(),
            writer: SigningKey::from_seed([2; 32]),
            card: Identity::generate(),
        };
        let new = NewRepository {
            region: label("eu-fra"),
            jurisdiction: "EU".into(),
            recovery: vec![("alice".into(), world.recovery.recipient())],
        };
        officer::create(world.store.as_ref(), &world.alice(), &new, &SystemClock, &SystemEntropy)
            .expect("a new repository");
        world.enrol("w1", &world.writer.public(), &world.card, &["files"]);
        std::fs::create_dir(world.source()).expect("a source directory");
        world
    }

    /// Enrols a writer.
    pub fn enrol(&self, name: &str, key: &VerifyingKey, card: &Identity, components: &[&str]) {
        let repository = self.repository();
        let recovery = self.recovery(&repository);
        let new = NewWriter {
            name: label(name),
            signing: *key,
            card: card.recipient(),
            components: components.iter().map(|name| label(name)).collect(),
        };
        officer::add_writer(&recovery, &self.alice(), &new, &SystemClock).expect("an enrolled writer");
    }

    /// Enrols a maintainer.
    pub fn enrol_maintainer(&self, name: &str, key: &SigningKey, card: &Identity) {
        let repository = self.repository();
        let recovery = self.recovery(&repository);
        let new = NewMaintainer { name: label(name), signing: key.public(), card: card.recipient() };
        officer::add_maintainer(&recovery, &self.alice(), &new, &SystemClock)
            .expect("an enrolled maintainer");
    }

    /// Enrols a maintainer, and gives what its host holds.
    #[must_use]
    pub fn maintainer(&self, name: &str, seed: u8) -> Arc<Credentials> {
        let (signing, card) = (SigningKey::from_seed([seed; 32]), Identity::generate());
        self.enrol_maintainer(name, &signing, &card);
        Arc::new(Credentials { writer: label(name), signing, card })
    }

    /// The officer.
    #[must_use]
    pub fn alice(&self) -> Officer<'_> {
        Officer { name: label("alice"), signing: &self.officer }
    }

    /// The repository, opened.
    #[must_use]
    pub fn repository(&self) -> Repository {
        self.repository_over(Arc::clone(&self.store))
    }

    /// The repository, opened over another store.
    #[must_use]
    pub fn repository_over(&self, store: Arc<dyn Store>) -> Repository {
        Repository::open(store, &[self.officer.public()]).expect("a repository")
    }

    /// The repository, opened for recovery.
    #[must_use]
    pub fn recovery<'r>(&self, repository: &'r Repository) -> Recovery<'r> {
        let identities = [self.recovery_identity()];
        Recovery::open(repository, &identities, &SystemClock).expect("an open seal")
    }

    /// Another copy of the recovery identity.
    #[must_use]
    pub fn recovery_identity(&self) -> Identity {
        copy(&self.recovery)
    }

    /// What the writer's host holds.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        let signing = self.writer.to_openssh().expect("a key as text");
        Credentials {
            writer: label("w1"),
            signing: SigningKey::from_openssh(signing.as_bytes()).expect("the key again"),
            card: copy(&self.card),
        }
    }

    /// The directory that is backed up.
    #[must_use]
    pub fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    /// A backup job of the source, with tenants below `tenants/`.
    #[must_use]
    pub fn job(&self) -> Job {
        Job {
            component: label("files"),
            source: files_in(self.source()),
            hooks: Hooks::default(),
            resources: Resources::default(),
            rewriting: Rewriting::default(),
            lock: LockClass::Normal,
            state: self.dir.path().join("state"),
            state_in_repository: false,
            tool: "lifeboat-tests".into(),
        }
    }

    /// Backs the source up.
    ///
    /// # Errors
    /// As `lifeboat_backup::run`.
    pub fn backup(&self) -> Result<Report, BackupError> {
        self.backup_over(Arc::clone(&self.store))
    }

    /// Backs the source up into another store of the same repository.
    ///
    /// # Errors
    /// As `lifeboat_backup::run`.
    pub fn backup_over(&self, store: Arc<dyn Store>) -> Result<Report, BackupError> {
        let repository = Repository::open(store, &[self.officer.public()])?;
        lifeboat_backup::run(
            &repository,
            self.credentials(),
            &self.job(),
            &SystemClock,
            &SystemEntropy,
            &Silent,
        )
    }

    /// Restores all of the latest snapshot into `target`, which is made.
    ///
    /// # Errors
    /// As choosing, planning and performing.
    pub fn restore(&self, target: &Path) -> Result<lifeboat_restore::Report, RestoreError> {
        self.restore_with(target, &Selection::default(), &Options::default())
    }

    /// Restores what is selected of the latest snapshot.
    ///
    /// # Errors
    /// As choosing, planning and performing.
    pub fn restore_with(
        &self,
        target: &Path,
        selection: &Selection,
        options: &Options,
    ) -> Result<lifeboat_restore::Report, RestoreError> {
        let repository = self.repository();
        let recovery = self.recovery(&repository);
        let component = label("files");
        let listed = Judge::new(&repository, recovery.catalog())?.list(Some(&component))?;
        let chosen = lifeboat_restore::choose(&listed, &component, Choice::Latest)?;
        let plan = lifeboat_restore::plan(&recovery, chosen.snapshot, selection, &Silent)?;
        lifeboat_restore::perform(repository.store(), &plan, target, options, &Silent)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// The files in a directory, with tenants below `tenants/`, nothing left out.
#[must_use]
pub fn files_in(root: PathBuf) -> Source {
    let tenants = TenantRules::parse(&["tenants/{tenant}".into()], Some("test data".into())).expect("rules");
    Source::Files(Tree { root, tenants, excludes: Excludes::default(), allow_empty: true })
}

/// A name.
#[must_use]
pub fn label(text: &str) -> Label {
    text.parse().expect("a name")
}

/// Another copy of an identity.
#[must_use]
pub fn copy(identity: &Identity) -> Identity {
    identity.to_secret_string().parse().expect("an identity")
}

/// Writes a file with its parents.
pub fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    std::fs::write(path, bytes).expect("a file");
}
