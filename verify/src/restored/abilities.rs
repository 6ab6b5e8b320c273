//! What this machine, user and file system can have as it was, found out by trying.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use lifeboat_restore::diff::{Aspect, Difference};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, SeekFrom, Timespec, Timestamps, UTIME_OMIT, XattrFlags, lsetxattr, mknodat,
    seek, utimensat,
};
use rustix::io::Errno;

use crate::error::VerifyError;
use crate::objective::scratch::{Scratch, scratch_error};

/// Somebody else, to give a file to: `nobody` nearly everywhere; and who stands in for him where that is us.
const STRANGERS: [u32; 2] = [65_534, 65_533];
/// Bits of a mode that a restore leaves out where it could not set the owner.
const SPEAKING: u32 = 0o6000;
/// Long enough to hold a hole on every file system.
const HOLE: u64 = 1 << 20;
/// Kinds of attributes that a manifest may hold. The ACL says what its owner's mode says already.
const ATTRIBUTES: [(&str, &[u8]); 4] = [
    ("user.lifeboat", b"x"),
    ("trusted.lifeboat", b"x"),
    ("security.lifeboat", b"x"),
    ("system.posix_acl_access", ACL),
];
/// Version 2; owner, one named user, group, mask, others: what makes an ACL one of its own.
const ACL: &[u8] = &[
    2, 0, 0, 0, //
    1, 0, 6, 0, 255, 255, 255, 255, //
    2, 0, 4, 0, 254, 255, 0, 0, //
    4, 0, 4, 0, 255, 255, 255, 255, //
    16, 0, 4, 0, 255, 255, 255, 255, //
    32, 0, 4, 0, 255, 255, 255, 255,
];

/// What can be had here.
pub(super) struct Abilities {
    /// Whether files can be given to others.
    owners: bool,
    /// Whether device nodes can be made.
    pub(super) devices: bool,
    /// Whether every kind of attribute can be set.
    attributes: bool,
    /// Whether the file system tells holes from content.
    holes: bool,
    /// A file to try times on.
    probe: PathBuf,
}

impl Abilities {
    /// Tries everything beside the place that is restored to.
    pub(super) fn probe(scratch: &Scratch) -> Result<Self, VerifyError> {
        let probe = scratch.beside("probe");
        let failed = |error| scratch_error(&probe, error);
        let file = File::create_new(&probe).map_err(failed)?;
        file.set_len(HOLE).map_err(failed)?;
        let holes = matches!(seek(&file, SeekFrom::Data(0)), Err(Errno::NXIO));
        let attributes = ATTRIBUTES
            .iter()
            .all(|(name, value)| lsetxattr(&probe, *name, value, XattrFlags::empty()).is_ok());
        let node = scratch.beside("device");
        let device = rustix::fs::makedev(1, 3);
        let devices =
            mknodat(CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(0o600), device).is_ok();
        // Last: whoever can give it away might not get it back.
        let given = scratch.beside("given");
        File::create_new(&given).map_err(failed)?;
        let us = rustix::process::geteuid().as_raw();
        let stranger = STRANGERS.into_iter().find(|one| *one != us);
        let owners = stranger.is_some() && lchown(&given, stranger, stranger).is_ok();
        Ok(Self { owners, devices, attributes, holes, probe })
    }

    /// Why a difference in this says nothing of the stored data; nothing where it does.
    pub(super) fn lacks_for(&self, aspect: Aspect, difference: &Difference) -> Option<&'static str> {
        let (old, new) = (difference.old.as_ref()?, difference.new.as_ref()?);
        let own = (old.uid, old.gid) == (new.uid, new.gid);
        match aspect {
            Aspect::Owner if !self.owners => Some("this user may not give files away; run it as root"),
            Aspect::Mode if !self.owners && !own && (old.mode ^ new.mode) & !SPEAKING == 0 => {
                Some("setuid and setgid were left out, since the owner could not be set; run it as root")
            }
            Aspect::Xattrs if !self.attributes => Some(
                "this user or file system cannot have every kind of attribute; run it as root, on another",
            ),
            Aspect::Holes if !self.holes => Some("the file system of the scratch space cannot tell holes"),
            Aspect::Mtime if !holds_time(&self.probe, old.mtime.seconds(), old.mtime.nanos()) => {
                Some("the file system of the scratch space cannot hold such a time")
            }
            _ => None,
        }
    }
}

/// Whether a file here can have exactly this time.
fn holds_time(probe: &Path, seconds: i64, nanos: u32) -> bool {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
    };
    let set = utimensat(CWD, probe, &times, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    let found = fs::symlink_metadata(probe).map(|found| (found.mtime(), found.mtime_nsec()));
    set && found.is_ok_and(|found| found == (seconds, i64::from(nanos)))
}
