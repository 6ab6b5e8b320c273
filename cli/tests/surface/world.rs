//! A small world: a configuration, two tenants' files with names that want to do harm, keys, a repository.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::planted;

/// Names that would clear a screen, start a C1 sequence, reverse a line or fake one.
const HOSTILE: [&[u8]; 4] =
    [b"x\x1b[2J\x1b[31mred", b"c1\xc2\x9b2J", "rtl\u{202e}txt.exe".as_bytes(), b"fake\nerror: all is lost\r"];

pub(crate) struct World {
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// One with this at the end of its configuration, too.
    pub(crate) fn with(more: &str) -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap() };
        planted::two_tenants(world.at());
        for tenant in ["acme", "globex"] {
            let uploads = world.at().join("data/chats/uploads").join(tenant);
            for name in HOSTILE {
                fs::write(uploads.join(std::ffi::OsStr::from_bytes(name)), "content").unwrap();
            }
        }
        world.ends(&["init"], 0);
        let configuration = world.at().join("lifeboat.toml");
        let text = fs::read_to_string(&configuration).unwrap();
        fs::write(configuration, text + more).unwrap();
        world.ends(&["init"], 0);
        world
    }

    /// One that holds a backup.
    pub(crate) fn backed_up() -> Self {
        let world = Self::new();
        world.ends(&["backup", "--all"], 0);
        let text = fs::read_to_string(world.at().join("lifeboat.toml")).unwrap();
        fs::write(world.at().join("keeper.toml"), text.replace("host-1", "keeper-1")).unwrap();
        world
    }

    pub(crate) fn at(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.current_dir(self.at()).args(arguments).env_clear().env("USER", "alice");
        command
    }

    #[track_caller]
    pub(crate) fn ends(&self, arguments: &[&str], code: i32) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "lifeboat {}\n{}", arguments.join(" "), both(&output));
        output
    }
}

/// Content that does not compress: what a generator of a fixed seed gives.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

/// What a page says, however its lines are broken.
pub(crate) fn said(output: &Output) -> String {
    both(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Standard output and standard error.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const OFFICER: &str = "--officer-key=keys/officer-alice";
/// The configuration of a host that maintains.
const KEEPER: &str = "--config=keeper.toml";

/// Calls of every verb in a world that is backed up, with how each ends: what goes well first, mistakes then. The
/// order matters: later ones rely on earlier ones.
pub(crate) const TOUR: &[(&[&str], i32)] = &[
    (&["init", "--dry-run"], 0),
    (&["init"], 0),
    (&["doctor", IDENTITY], 0),
    (&["backup", "--all", "--dry-run"], 0),
    (&["backup", "--all"], 0),
    (&["snapshots"], 0),
    (&["stats"], 0),
    (&["stats", "chats", IDENTITY], 0),
    (&["ls", "chats", IDENTITY], 0),
    (&["restore", "chats", "--target", "out", "--dry-run", IDENTITY], 0),
    (&["restore", "chats", "--target", "out", IDENTITY], 0),
    (&["restore", "chats", "--target", "out", "--in-place", "--dry-run", IDENTITY], 0),
    (&["restore", "chats", "--target", "out", "--in-place", "--delete", "--trust-times", IDENTITY], 0),
    (&["restore", "chats", "--target", "parts", "--shard", "2/2", "--dry-run", IDENTITY], 0),
    (&["restore", "chats", "--target", "parts", "--shard", "2/2", IDENTITY], 0),
    (&["restore", "chats", "--target", "parts", "--finish", IDENTITY], 7),
    (&["restore", "chats", "--target", "parts", "--shard", "1/2", IDENTITY], 0),
    (&["restore", "chats", "--target", "parts", "--finish", IDENTITY], 0),
    (&["restore", "--region", "eu-fra", "--target", "region", "--dry-run", IDENTITY], 0),
    (&["restore", "--region", "eu-fra", "--target", "region", IDENTITY], 0),
    (&["restore", "--region", "eu-fra", "--target", "region", IDENTITY], 0),
    (&["find", "chats", "*hello*", IDENTITY], 0),
    (&["diff", "chats", "latest", IDENTITY], 0),
    (&["verify", "--level", "all", IDENTITY], 0),
    (&["retain", "--dry-run"], 0),
    (&["retain", "--dry-run", IDENTITY], 0),
    (&["policy", "check"], 0),
    (&["locks"], 0),
    (&["drill", "check"], 0),
    (&["drill", "plan", "region-loss", IDENTITY], 0),
    // Nobody was erased yet, so nothing shows that the erased stay away.
    (&["drill", "run", "region-loss", "--target", "rehearsal", IDENTITY, OFFICER], 5),
    (&["drill", "list"], 0),
    (&["kit", "--out", "kit", "--dry-run"], 0),
    (&["status"], 0),
    (&["status", "--html", "ready.html"], 0),
    (&["evidence", "list"], 0),
    (&["evidence", "verify", "data"], 2),
    (&["keys", "check", IDENTITY], 0),
    (&["keys", "paper", IDENTITY], 0),
    (&["keys", "writer", "list"], 0),
    (&["keys", "writer", "new"], 0),
    (&["keys", "writer", "add", "host-1", "--component", "chats", "--dry-run", OFFICER, IDENTITY], 0),
    (&["keys", "writer", "revoke", "host-1", "--dry-run", OFFICER, IDENTITY], 0),
    (&["keys", "reseal", "--dry-run", OFFICER, IDENTITY], 0),
    (&["keys", "reseal", OFFICER, IDENTITY], 0),
    (&["keys", "reseal", "--finish", "--dry-run", OFFICER, IDENTITY], 0),
    (&["keys", "reseal", "--finish", OFFICER, IDENTITY], 0),
    (&["keys", "reseal", "--finish", OFFICER, IDENTITY], 0),
    (&["keys", "catalog", "renew", "--dry-run", OFFICER, IDENTITY], 0),
    (&["keys", "catalog", "renew", OFFICER, IDENTITY], 0),
    (&["verify", "--level", "readback", IDENTITY], 0),
    (&["erase", "globex", "--region", "eu-fra", "--dry-run", OFFICER, IDENTITY], 0),
    (&["erase", "globex", "--region", "eu-fra", "--irrevocably", OFFICER, IDENTITY], 0),
    (&["erase", "--sweep", "--region", "eu-fra", OFFICER, IDENTITY], 0),
    (&["erase", "--prove", "0", "--region", "eu-fra", OFFICER, IDENTITY], 0),
    (&["erase", "--readmit", "globex", "--region", "eu-fra", OFFICER, IDENTITY], 0),
    (&["backup", "--all"], 0),
    (&["keys", "maintainer", "new", KEEPER], 0),
    (&["keys", "maintainer", "add", "keeper-1", "--dry-run", KEEPER, OFFICER, IDENTITY], 0),
    (&["keys", "maintainer", "add", "keeper-1", KEEPER, OFFICER, IDENTITY], 0),
    (&["keys", "maintainer", "list"], 0),
    (&["gc", "--dry-run", KEEPER], 0),
    (&["gc", KEEPER], 0),
    (&["keys", "maintainer", "revoke", "keeper-1", OFFICER, IDENTITY], 0),
    (&["gc"], 7),
    (&["explain"], 0),
    (&["explain", "LB-201"], 0),
    (&["manual", "--out", "man"], 0),
    // Mistakes.
    (&["drill", "run", "region-loss", "--target", "data", IDENTITY], 7),
    (&["drill", "run", "region-loss", IDENTITY], 2),
    (&["drill", "run", "--resume"], 2),
    (&["drill", "check", "nothing"], 2),
    (&["dance"], 2),
    (&["backup"], 2),
    (&["explain", "LB-999"], 2),
    (&["backup", "nothing"], 2),
    (&["status", "--config", "elsewhere.toml"], 2),
    (&["snapshots", "--region", "eu-paris"], 2),
    (&["ls", "2001", IDENTITY], 2),
    (&["restore", "chats", "--target", "o", "--at", "yesterday", IDENTITY], 2),
    (&["restore", "chats", "--target", "o", "--identity", "nowhere.txt"], 2),
    (&["restore", "chats", "--target", "o"], 7),
    (&["restore", "chats", "--target", "o", "--identity", "keys/host-1.card"], 7),
    (&["restore", "chats", "--target", "o", "--at", "2001-01-01T00:00:00Z", IDENTITY], 7),
    (&["restore", "chats", "--target", "data", IDENTITY], 7),
    (&["restore", "chats", "--target", "data/chats", "--in-place", IDENTITY], 7),
    (&["restore", "chats", "--target", "o", "--finish", IDENTITY], 7),
    (&["restore", "chats", "--target", "o", "--shard", "0/2", IDENTITY], 2),
    (&["restore", "chats", "--target", "o", "--shard", "1/2", "--in-place", IDENTITY], 2),
    (&["restore", "chats", "--target", "o", "--shards", "2", IDENTITY], 2),
    (&["restore", "chats", IDENTITY], 2),
    (&["restore", "--region", "eu-fra", IDENTITY], 2),
    (&["restore", "chats", "--stdout", "--target", "o", IDENTITY], 2),
    (&["verify", "--level", "restore", "--scratch", "nowhere", IDENTITY], 5),
    (&["keys", "check", "--identity", "keys/host-1.card"], 7),
    (&["keys", "writer", "revoke", "nobody", OFFICER, IDENTITY], 7),
    (&["erase", "acme", "--region", "eu-fra", OFFICER, IDENTITY], 7),
    (&["erase", "--prove", "7", "--region", "eu-fra", OFFICER, IDENTITY], 7),
    (&["erase", "--region", "eu-fra", OFFICER, IDENTITY], 2),
    (&["keys", "officer", "remove", "alice", OFFICER, IDENTITY], 7),
    (&["keys", "officer", "remove", "nobody", OFFICER, IDENTITY], 7),
    (&["verify", "--level", "readback"], 7),
    (&["verify", "--level", "objective", "--disaster-at", "2099-01-01T00:00Z", IDENTITY], 6),
];
