//! The walk: every entry of a tree in manifest order, merged with the walk of last time.
//!
//! An entry that looks as it did costs one `statx`: the head of its line is built, compared, and the old line
//! copied. Everything else goes to readers, in batches that the assembler takes in order.

use std::collections::HashMap;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::format::manifest::{self, EntryKind, PATH_LEN_MAX, Tail};
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::agent::Card;
use lifeboat_repo::units::Bytes;
use rustix::io::Errno;

use crate::error::BackupError;
use crate::exclude::Excluding;
use crate::report::{Problem, ProblemKind};
use crate::source::{self, FileId, LISTING, Listing, Names, Stat};
use crate::tenants::{Belongs, TenantRules};

mod hand_on;
mod items;
mod last;

pub(crate) use items::{AttributesWork, Batch, FileWork, Item, ReadyLine, STREAMED_ABOVE, Same, TenantKeys};
use last::Found;
pub(crate) use last::Previous;

/// Where batches go, and what holds the walk back.
pub(crate) struct Outlet {
    pub(crate) readers: Sender<Batch>,
    /// One token a batch under way: so memory stays bounded however slow one file is.
    pub(crate) tokens: Receiver<()>,
}

/// A walk under way.
pub(crate) struct Walk<'a> {
    pub(crate) rules: &'a TenantRules,
    excluding: Excluding<'a>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) outlet: Outlet,
    pub(crate) previous: Option<Previous>,
    /// Gives a tenant's card, making a key where there is none.
    pub(crate) card: &'a (dyn Fn(&Tenant) -> Result<Arc<Card>, BackupError> + Sync),
    pub(crate) problem: &'a (dyn Fn(Problem) + Sync),
    /// Whether officers erased a tenant.
    pub(crate) erased: &'a (dyn Fn(&Tenant) -> bool + Sync),
    tenants: HashMap<Tenant, Arc<TenantKeys>>,
    links: HashMap<(u32, FileId), Vec<u8>>,
    names: Names,
    /// The tenant of the entry before: most often the next one's too.
    last: Option<Arc<TenantKeys>>,
    head: Vec<u8>,
    listing: Vec<MaybeUninit<u8>>,
    same: Option<Same>,
    items: Vec<Item>,
    bytes: u64,
    number: u64,
}

/// The walk ended early.
pub(crate) enum Ended {
    /// Somebody asked for it, or a later stage failed.
    Stopped,
    /// A key could not be made, or the root cannot be read.
    Failed(BackupError),
}

impl From<BackupError> for Ended {
    fn from(error: BackupError) -> Self {
        Self::Failed(error)
    }
}

/// A directory whose entries are being walked.
struct Level {
    dir: Arc<OwnedFd>,
    names: Listing,
    /// How long the path is without the entry's name.
    prefix: usize,
    belongs: Belongs,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        rules: &'a TenantRules,
        excluding: Excluding<'a>,
        observer: &'a dyn Observer,
        outlet: Outlet,
        previous: Option<Previous>,
        card: &'a (dyn Fn(&Tenant) -> Result<Arc<Card>, BackupError> + Sync),
        problem: &'a (dyn Fn(Problem) + Sync),
    ) -> Self {
        let (tenants, links, names) = (HashMap::new(), HashMap::new(), Names::default());
        Self {
            rules,
            excluding,
            observer,
            outlet,
            previous,
            card,
            problem,
            erased: &|_| false,
            tenants,
            links,
            names,
            last: None,
            head: Vec::new(),
            listing: vec![MaybeUninit::uninit(); LISTING],
            same: None,
            items: Vec::new(),
            bytes: 0,
            number: 0,
        }
    }

    /// Walks a tree.
    pub(crate) fn run(&mut self, root: &Path) -> Result<(), Ended> {
        let unreadable = |error: Errno| {
            BackupError::source(
                root.display().to_string(),
                format!("it cannot be read: {}", std::io::Error::from(error)),
            )
        };
        let cwd = rustix::fs::CWD;
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        let dir = rustix::fs::openat(cwd, root, flags, rustix::fs::Mode::empty()).map_err(unreadable)?;
        let stat = source::stat_fd(dir.as_fd()).map_err(unreadable)?;
        self.excluding.begin(&stat);
        let dir = Arc::new(dir);
        let names = source::names_in(dir.as_fd(), &mut self.listing).map_err(unreadable)?;
        self.entry(b".", &dir, c".", stat, &Belongs::System, None)?;
        let mut path = Vec::new();
        let mut levels = vec![Level { dir, names, prefix: 0, belongs: Belongs::System }];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                continue;
            };
            path.truncate(level.prefix);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            if let Some(below) = self.visit(&path, &level.dir, name, &level.belongs)? {
                levels.push(below);
            }
        }
        self.flush()
    }

    /// One name; the level below it, where it is a directory.
    fn visit(
        &mut self,
        path: &[u8],
        dir: &Arc<OwnedFd>,
        name: &CStr,
        above: &Belongs,
    ) -> Result<Option<Level>, Ended> {
        if path.len() > PATH_LEN_MAX {
            self.tell(path, ProblemKind::Unreadable, "its path is longer than 8 KiB");
            return Ok(None);
        }
        let stat = match source::stat_at(dir.as_fd(), name) {
            Ok(stat) => stat,
            Err(_) if self.excluding.leaves_out_unseen(path) => return Ok(None),
            Err(error) => {
                self.failed(path, above, error)?;
                return Ok(None);
            }
        };
        let directory = stat.kind == EntryKind::Dir;
        if self.excluding.leaves_out(path, directory) {
            return Ok(None);
        }
        let belongs = match above {
            Belongs::Tenant(_) => above.clone(),
            _ => self.rules.belongs(path, directory),
        };
        if !matches!(above, Belongs::Tenant(_)) && self.leaves_out_erased(path, &belongs) {
            return Ok(None);
        }
        self.tell_misnamed(path, above, &belongs);
        // What cannot be listed is known before its own entry is written, so that one entry speaks of it.
        let (mut below, mut unlisted) = (None, None);
        if directory && !self.excluding.stays_outside(&stat) {
            let opened = source::open_dir(dir.as_fd(), name).and_then(|fd| {
                let names = source::names_in(fd.as_fd(), &mut self.listing)?;
                Ok((self.excluding.keep(fd.as_fd(), names), fd))
            });
            match opened {
                Ok((names, fd)) => {
                    let prefix = path.len();
                    let belongs = belongs.clone();
                    below = Some(Level { dir: Arc::new(fd), names, prefix, belongs });
                }
                Err(Errno::NOENT) => {
                    self.tell(path, ProblemKind::Vanished, "it vanished while it was walked");
                    return Ok(None);
                }
                Err(error) => {
                    let why = format!("its entries cannot be listed: {}", std::io::Error::from(error));
                    self.tell(path, ProblemKind::Unreadable, &why);
                    unlisted = Some(why);
                }
            }
        }
        self.entry(path, dir, name, stat, &belongs, unlisted)?;
        Ok(below)
    }

    /// One entry; `unlisted` says why what is in it cannot be told, where it is a directory.
    fn entry(
        &mut self,
        path: &[u8],
        dir: &Arc<OwnedFd>,
        name: &CStr,
        mut stat: Stat,
        belongs: &Belongs,
        unlisted: Option<String>,
    ) -> Result<(), Ended> {
        if belongs == &Belongs::Undeclared {
            self.tell(
                path,
                ProblemKind::Undeclared,
                "it belongs to no declared tenant; it is kept with _system",
            );
        }
        let keys = self.keys(belongs)?;
        let mut tail = Tail { device: stat.device, error: unlisted, ..Tail::default() };
        if stat.kind == EntryKind::File && stat.links > 1 {
            let slot = (keys.ordinal, stat.file);
            if let Some(first) = self.links.get(&slot) {
                stat.kind = EntryKind::Hardlink;
                tail.link = Some(first.clone());
            } else {
                self.links.insert(slot, path.to_vec());
            }
        }
        let (user, group) = self.names.of(&stat.metadata);
        self.head.clear();
        manifest::write_head_named(&mut self.head, path, stat.kind, &stat.metadata, (user, group), stat.size);
        // What a directory held when it could be listed is not what it holds now.
        let previous = self.previous.as_mut().filter(|_| tail.error.is_none());
        let found = previous.map(|last| last.find(path, &self.head, &stat, &keys, &tail));
        let settled = matches!(found, Some(Found::Elsewhere));
        if let Some(Found::Same(record)) = found {
            return self.add_same(record, keys, &stat);
        }
        self.names.fill(&mut stat.metadata);
        match stat.kind {
            EntryKind::File => {
                let size = stat.size;
                let (dir, name, path) = (Arc::clone(dir), name.to_owned(), path.to_vec());
                self.push(Item::File(FileWork { keys, dir, name, path, stat, settled }), size)
            }
            EntryKind::Hardlink => {
                let mut line = self.head.clone();
                manifest::write_tail(&mut line, 0, &tail);
                let ready = ReadyLine {
                    keys,
                    path: path.to_vec(),
                    line,
                    kind: stat.kind,
                    size: stat.size,
                    stable: true,
                    needs: Vec::new(),
                };
                self.push(Item::Ready(ready), Bytes::ZERO)
            }
            _ => self.special(path, dir, name, stat, keys, tail),
        }
    }

    /// Directories, symlinks, devices and the like: no content, but attributes.
    fn special(
        &mut self,
        path: &[u8],
        dir: &Arc<OwnedFd>,
        name: &CStr,
        stat: Stat,
        keys: Arc<TenantKeys>,
        mut tail: Tail,
    ) -> Result<(), Ended> {
        if stat.kind == EntryKind::Symlink {
            match source::read_link(dir.as_fd(), name) {
                Ok(target) => tail.target = Some(target),
                Err(error) => return self.broken(path, &keys, error),
            }
        }
        let attributes = source::attributes_at(dir.as_fd(), name).unwrap_or_else(|error| {
            self.tell(
                path,
                ProblemKind::Unreadable,
                &format!("its extended attributes cannot be read: {error}"),
            );
            Vec::new()
        });
        let work = AttributesWork { keys, path: path.to_vec(), stat, tail, attributes };
        match work.ready() {
            Ok(ready) => self.push(Item::Ready(ready), Bytes::ZERO),
            Err(work) => self.push(Item::Attributes(*work), Bytes::ZERO),
        }
    }

    fn keys(&mut self, belongs: &Belongs) -> Result<Arc<TenantKeys>, Ended> {
        let tenant = match belongs {
            Belongs::Tenant(tenant) => tenant,
            Belongs::System | Belongs::Undeclared | Belongs::Misnamed => &Tenant::System,
        };
        if let Some(keys) = self.last.as_ref().filter(|keys| keys.card.tenant == *tenant) {
            return Ok(Arc::clone(keys));
        }
        if let Some(keys) = self.tenants.get(tenant) {
            self.last = Some(Arc::clone(keys));
            return Ok(Arc::clone(keys));
        }
        let card = (self.card)(tenant)?;
        let ordinal = u32::try_from(self.tenants.len()).unwrap_or(u32::MAX);
        let keys = Arc::new(TenantKeys::new(ordinal, card));
        self.tenants.insert(tenant.clone(), Arc::clone(&keys));
        Ok(keys)
    }

    fn failed(&mut self, path: &[u8], above: &Belongs, error: Errno) -> Result<(), Ended> {
        if error == Errno::NOENT {
            self.tell(path, ProblemKind::Vanished, "it vanished while it was walked");
            return Ok(());
        }
        let belongs = match above {
            Belongs::Tenant(_) => above.clone(),
            _ => self.rules.belongs(path, false),
        };
        if self.leaves_out_erased(path, &belongs) {
            return Ok(());
        }
        self.tell_misnamed(path, above, &belongs);
        let keys = self.keys(&belongs)?;
        self.broken(path, &keys, error)
    }

    /// Tells of a name that no tenant can have, once for all that is below it.
    fn tell_misnamed(&self, path: &[u8], above: &Belongs, belongs: &Belongs) {
        if *belongs == Belongs::Misnamed && *above != Belongs::Misnamed {
            self.tell(path, ProblemKind::Misnamed, "no tenant can have this name; it is kept with _system");
        }
    }

    /// Whether an entry, and all below it, is of a tenant that officers erased; then that is told.
    fn leaves_out_erased(&self, path: &[u8], belongs: &Belongs) -> bool {
        let erased = matches!(belongs, Belongs::Tenant(tenant) if (self.erased)(tenant));
        if erased {
            self.tell(path, ProblemKind::Erased, "officers erased its tenant; nothing of it is taken");
        }
        erased
    }

    fn broken(&mut self, path: &[u8], keys: &Arc<TenantKeys>, error: Errno) -> Result<(), Ended> {
        let why = std::io::Error::from(error).to_string();
        self.tell(path, ProblemKind::Unreadable, &why);
        self.push(Item::Ready(ReadyLine::broken(Arc::clone(keys), path.to_vec(), why)), Bytes::ZERO)
    }

    fn tell(&self, path: &[u8], kind: ProblemKind, why: &str) {
        (self.problem)(Problem { path: path.to_vec(), kind, why: why.to_owned() });
    }
}
